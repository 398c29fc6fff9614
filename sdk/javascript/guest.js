// A plugin as a component. `antar plugin build` writes the entry that calls this.

import { outcome, Problem, verdict } from "./answer.js";
import { ExactNumber, parse, stringify } from "./json.js";
import { connect, log } from "./log.js";

/**
 * The export `filter` or `transform` of a component.
 *
 * @param plugin what plugin.js exports
 * @param kind "filter" or "transform"
 * @param write the contract's function for log lines
 */
export function guest(plugin, kind, write) {
  connect(write);
  globalThis.console ??= { ...log, log: log.info };
  // So that a whole number beyond 2^53 does not stop JSON.stringify in a log line.
  BigInt.prototype.toJSON ??= function () {
    return new ExactNumber(this.toString()).toJSON();
  };
  const run = plugin[kind];
  if (typeof run !== "function") {
    throw new TypeError(
      `plugin.js exports no function ${kind}. Write: export const ${kind} = ({ data }, config) => …`,
    );
  }
  return { describe: () => describe(plugin), run: (event, config) => answer(run, kind, event, config) };
}

function describe({ description = "", config }) {
  return { description, configSchema: config === undefined ? "" : stringify(config) };
}

function answer(run, kind, raw, config) {
  try {
    const returned = run(eventOf(raw), parse(config));
    return kind === "filter" ? verdict(returned) : outcome(returned, raw.data);
  } catch (error) {
    if (error instanceof Problem) throw { tag: error.tag, val: error.message };
    throw { tag: "retry", val: told(error) };
  }
}

/** The data is read when it is asked for. */
function eventOf({ id, eventType, tenant, timestamp, attributes, data }) {
  let read;
  return {
    id,
    type: eventType,
    tenant,
    timestamp,
    attributes: Object.fromEntries(attributes),
    get data() {
      return (read ??= parse(data));
    },
  };
}

/** What was thrown, with the line of the author's own code. */
function told(error) {
  if (!(error instanceof Error)) return String(error);
  const lines = String(error.stack ?? "").split("\n");
  const at = lines.map((line) => /([^\s(/]+\.m?js:\d+)/.exec(line)?.[1]);
  const own = at.find((place, index) => place !== undefined && !lines[index].includes("antar-sdk/"));
  return `${error.name}: ${error.message}${own === undefined ? "" : ` (${own})`}`;
}
