// Log lines. Inside Antar they go to the plugin's log, elsewhere to standard error.

let write = (level, text) => console.error(`${level}: ${text}`);

/** Called once, by what `antar plugin build` puts before a plugin. */
export const connect = (to) => {
  write = to;
};

const line = (parts) => parts.map((part) => (typeof part === "string" ? part : shown(part))).join(" ");

function shown(part) {
  if (part instanceof Error) return `${part.name}: ${part.message}`;
  try {
    return JSON.stringify(part) ?? String(part);
  } catch {
    return String(part);
  }
}

const at = (level) => (...parts) => write(level, line(parts));

export const log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
