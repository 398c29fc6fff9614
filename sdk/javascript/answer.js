// What a plugin answers, and how that is said in the contract (wit/plugin.wit).

import { stringify } from "./json.js";

const NO_REASON = "the filter returned false";

/** An answer that `drop`, `replace` and `split` make. */
class Answer {
  constructor(tag, value) {
    this.tag = tag;
    this.value = value;
  }
}

/** What `retry` and `fail` throw. */
export class Problem extends Error {
  constructor(tag, reason) {
    super(String(reason));
    this.name = "Problem";
    this.tag = tag;
  }
}

export const pass = new Answer("pass");
export const drop = (reason) => new Answer("drop", String(reason));
export const replace = (replacement) => new Answer("replace", { ...replacement });
export const split = (parts) => new Answer("split", [...parts]);

export const retry = (reason) => {
  throw new Problem("retry", reason);
};

export const fail = (reason) => {
  throw new Problem("fail", reason);
};

/** `verdict` of the contract. */
export function verdict(returned) {
  if (returned === undefined || returned === true || returned === pass) return { tag: "pass" };
  if (returned === false) return { tag: "drop", val: NO_REASON };
  if (typeof returned === "string") return { tag: "drop", val: returned };
  if (returned instanceof Answer && returned.tag === "drop") return dropped(returned);
  throw new TypeError(
    `a filter returns true, false, a reason as text, or drop("…"); this one returned ${shown(returned)}`,
  );
}

/** `outcome` of the contract. `text` is the data as posted. */
export function outcome(returned, text) {
  if (returned === undefined || returned === pass) return { tag: "unchanged" };
  if (!(returned instanceof Answer)) return { tag: "replace", val: replacement(returned, text) };
  if (returned.tag === "drop") return dropped(returned);
  if (returned.tag === "replace") return { tag: "replace", val: replacement(returned, text) };
  return { tag: "split", val: returned.value.map((part) => replacement(part, text)) };
}

const dropped = (answer) => ({ tag: "drop", val: answer.value });

/** `replacement` of the contract, of data or of what `replace` made. */
function replacement(part, text) {
  const { data, type, attributes, headers } =
    part instanceof Answer && part.tag === "replace" ? part.value : { data: part };
  if (data !== undefined && !isObject(data)) {
    throw new TypeError(
      `a transform returns an object, nothing, or what drop, replace and split make; this one returned ${shown(data)}`,
    );
  }
  return {
    data: data === undefined ? text : stringify(data),
    eventType: type ?? null,
    attributes: pairs(attributes),
    headers: pairs(headers),
  };
}

const isObject = (value) =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Answer) &&
  typeof value.then !== "function";

const pairs = (object) => Object.entries(object ?? {}).map(([name, value]) => [name, String(value)]);

function shown(value) {
  if (typeof value?.then === "function") return "a Promise: an async function can't be a plugin";
  if (value instanceof Answer) return `what ${value.tag} makes`;
  if (Array.isArray(value)) return "an array";
  return value === null ? "null" : typeof value === "string" ? "a text" : `${typeof value} ${String(value)}`;
}
