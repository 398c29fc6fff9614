/** Any value of JSON, as the SDK reads it. */
export type Json =
  | null
  | boolean
  | number
  /** A whole number beyond 2^53, such as 8202522731445525542. */
  | bigint
  /** A fraction that no number can hold. */
  | ExactNumber
  | string
  | Json[]
  | { [key: string]: Json };

/** Something that happened. */
export interface Event<Data = any> {
  readonly id: string;
  readonly type: string;
  readonly tenant: string;
  /** RFC 3339, UTC, with milliseconds. */
  readonly timestamp: string;
  readonly attributes: Record<string, string>;
  /**
   * What was posted. Whole numbers beyond 2^53 are BigInts. Other numbers are numbers, and those that
   * stay as they are keep their text: 1.50 does not become 1.5.
   */
  readonly data: Data;
}

/** What `drop` makes. */
export interface Drop {
  readonly tag: "drop";
}

/** What `replace` makes. */
export interface Replace {
  readonly tag: "replace";
}

/** What `split` makes. */
export interface Split {
  readonly tag: "split";
}

/** What `pass` is. */
export interface Pass {
  readonly tag: "pass";
}

/** New data, and what may go with it. */
export interface Replacement {
  /** Left out: the data stays as it was posted. */
  data?: object;
  /** At intake only: another type. */
  type?: string;
  /** At intake only. Each replaces the attribute of its name; the others stay. */
  attributes?: Record<string, string | number | boolean>;
  /** In a webhook only: headers of the request. */
  headers?: Record<string, string | number | boolean>;
}

/**
 * `export const filter = …` of a plugin. true, nothing or `pass` lets the event pass; false, a text or
 * `drop("…")` drops it, with the text as the reason that people see.
 */
export type Filter<Config = any, Data = any> = (
  event: Event<Data>,
  config: Config,
) => boolean | string | undefined | void | Pass | Drop;

/**
 * `export const transform = …` of a plugin. Returns the new data, nothing for unchanged, or what
 * `drop`, `replace` and `split` make.
 */
export type Transform<Config = any, Data = any> = (
  event: Event<Data>,
  config: Config,
) => object | undefined | void | Pass | Drop | Replace | Split;

/** The event passes, or stays as it is. */
export const pass: Pass;

/** The event ends here. People see the reason. */
export function drop(reason: string): Drop;

/** New data with headers, or at intake with another type or attributes. */
export function replace(replacement: Replacement): Replace;

/** At intake only: one event becomes several, each of data or of what `replace` makes. */
export function split(parts: Iterable<object | Replace>): Split;

/** No answer now. What happens is what `on_error` of the plugin's use says. */
export function retry(reason: string): never;

/** Gives up at once. */
export function fail(reason: string): never;

/** The value at a dotted path, or undefined. A number steps into an array. */
export function path(data: unknown, dotted: string): any;

/**
 * All values at a dotted path. An array on the way, or at the end, means each of its elements:
 * `values(data, "conversation.labels.name")`.
 */
export function values(data: unknown, dotted: string): any[];

/**
 * `+` and 7 to 15 digits (E.164), or undefined. `country` is an ISO code such as `ID`, or a calling
 * code such as `62`; it is where a number comes from that names no country.
 *
 * Everything but digits and a leading `+` is dropped. `+` and `00` begin an international number; a
 * leading 0 (in Russia and Kazakhstan 8) stands for the country; other digits get the country's code
 * before them unless they begin with it.
 */
export function e164(text: unknown, country: string): string | undefined;

/** Lines for the plugin's log. What is no text is written as JSON. `console` does the same. */
export const log: Record<"debug" | "info" | "warn" | "error", (...parts: unknown[]) => void>;

/** A number whose digits no number of JavaScript can hold. It is written as it was read. */
export class ExactNumber {
  /** @param text as JSON has it: `new ExactNumber("12345678.123456789012")` */
  constructor(text: string);
  /** All digits. */
  toString(): string;
  /** The nearest number, as in calculations. */
  valueOf(): number;
  toJSON(): unknown;
}
