// A function whose text is a webhook's config.

import * as sdk from "antar-sdk";

// What a script may use without importing it, as a plugin does.
for (const name of ["drop", "e164", "ExactNumber", "fail", "log", "path", "replace", "retry", "split", "values"]) {
  globalThis[name] = sdk[name];
}

const CODE_CHARS_MAX = 65536;

/** JSON Schema of the config. */
export const schema = (about) => ({
  type: "object",
  properties: {
    code: { type: "string", minLength: 1, maxLength: CODE_CHARS_MAX, description: about },
    config: { type: "object", description: "What the function gets as its second argument." },
  },
  required: ["code"],
  additionalProperties: false,
});

/** Calls the function `kind` that is written in `config.code`. */
export function runScript(kind, event, { code, config = {} }) {
  const script = compiled(kind, code);
  try {
    return script(event, config);
  } catch (error) {
    // What `retry` and `fail` throw is an answer.
    if (error?.name === "Problem") throw error;
    throw sdk.retry(told(error, code));
  }
}

/** A message that begins with `config` is about the config: Antar shows it when a webhook is saved. */
function compiled(kind, code) {
  if (typeof code !== "string") throw sdk.retry("config.code: a text is needed, with a function in it");
  const source = code.replace(/^(\s*)export (?=const |function |let )/gm, "$1       ");
  const mistakes = [];
  // A function alone; then lines among which is one of the right name; then lines that end in a function.
  const forms = [`(\n${source}\n)`, `\n${source}\n;typeof ${kind} === "function" ? ${kind} : undefined`, `\n${source}`];
  for (const form of forms) {
    try {
      const made = (0, eval)(`"use strict";${form}`);
      if (typeof made === "function") return made;
    } catch (error) {
      mistakes.push(error);
    }
  }
  if (mistakes.length < 2) {
    throw sdk.retry(`config.code: there is no function in it. Write ${kind} as (event, config) => …`);
  }
  // The reading that got furthest is the one that was meant.
  const furthest = mistakes.reduce((a, b) => (isBefore(placeOf(a), placeOf(b)) ? b : a));
  throw sdk.retry(`config.code: ${told(furthest, code)}`);
}

const isBefore = (a, b) => a !== undefined && b !== undefined && (a.line - b.line || a.column - b.column) < 0;

/** An error's own words, and its place in the script. */
function told(error, code) {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`;
  const what = error instanceof SyntaxError ? error.message : `${error.name}: ${error.message}`;
  const place = placeOf(error);
  if (place === undefined) return what;
  const lines = code.split("\n").length;
  // What is behind the end was put there by us.
  if (place.line > lines) return `it ends too early, something is not closed: line ${lines}`;
  return `${what}: line ${place.line}, column ${place.column}`;
}

/** Where in the script an error arose. One line of ours stands before it. */
function placeOf(error) {
  const found = /<input>:(\d+):(\d+)/.exec(String(error?.stack ?? ""));
  return found === null ? undefined : { line: Number(found[1]) - 1, column: Number(found[2]) };
}
