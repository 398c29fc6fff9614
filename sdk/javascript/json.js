// JSON that keeps what JavaScript's numbers lose.
//
//   a whole number beyond 2^53            becomes a BigInt          8202522731445525542
//   a fraction that no number can hold    becomes an ExactNumber    0.12345678901234567890, 1e400
//   one that is written otherwise         stays a number, and its   1.50, 1E2, -0
//                                         text is put back where it is not changed
//
// `JSON.parse` tells a number's text, and `JSON.rawJSON` writes one, in engines that have the
// proposal "JSON.parse source text access": QuickJS, by which plugins run, does. Older versions of
// Node don't; there a plugin's unit tests see numbers as JSON.parse gives them.

const raw = JSON.rawJSON ?? Number;

/** Objects and arrays as they were read; those that an author made are not among them. */
const holders = new WeakSet();
/** Text of numbers by the object or array that they came in, and by key. */
const textsByHolder = new WeakMap();
/** Text by key and value, for objects that an author copied; null where there are two texts. */
const textsByValue = new Map();

/** A number whose digits no number of JavaScript can hold. */
export class ExactNumber {
  #text;

  constructor(text) {
    if (!DECIMAL.test(text)) throw new TypeError(`${text} is no number of JSON`);
    this.#text = String(text);
    Object.freeze(this);
  }

  toString() {
    return this.#text;
  }

  valueOf() {
    return Number(this.#text);
  }

  toJSON() {
    return raw(this.#text);
  }
}

export const parse = (text) => JSON.parse(text, revive);

/** @throws {TypeError} for NaN and infinities, which JSON has no number for. */
export const stringify = (value) => JSON.stringify(value, restore);

const WHOLE = /^-?\d+$/;
const DECIMAL = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

function revive(key, value, context) {
  if (typeof value === "object" && value !== null) holders.add(value);
  // QuickJS has no text for a key that stands there twice.
  const text = context?.source;
  if (typeof value !== "number" || typeof text !== "string" || String(value) === text) return value;
  if (WHOLE.test(text) && !Number.isSafeInteger(value)) return BigInt(text);
  if (!Number.isFinite(value) || decimal(String(value)) !== decimal(text)) return new ExactNumber(text);
  remember(this, key, value, text);
  return value;
}

function remember(holder, key, value, text) {
  let texts = textsByHolder.get(holder);
  if (texts === undefined) textsByHolder.set(holder, (texts = new Map()));
  texts.set(key, text);
  const id = idOf(key, value);
  textsByValue.set(id, textsByValue.has(id) && textsByValue.get(id) !== text ? null : text);
}

function restore(key, value) {
  if (typeof value === "bigint") return raw(String(value));
  if (typeof value !== "number") return value;
  if (!Number.isFinite(value)) throw new TypeError(`${key} is ${value}, which JSON has no number for`);
  const text = holders.has(this) ? textsByHolder.get(this)?.get(key) : textsByValue.get(idOf(key, value));
  return typeof text === "string" && Object.is(Number(text), value) ? raw(text) : value;
}

const idOf = (key, value) => `${key}\0${Object.is(value, -0) ? "-0" : value}`;

/** One spelling for all that mean the same: sign, digits without zeros around them, exponent. */
function decimal(text) {
  const [, sign, whole, fraction = "", exponent = "0"] = DECIMAL.exec(text);
  const digits = (whole + fraction).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  // The sign of a zero is kept by a number, though String does not show it.
  if (short === "") return "0";
  return `${sign}${short}e${Number(exponent) - fraction.length + digits.length - short.length}`;
}
