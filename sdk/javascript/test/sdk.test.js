// The parts that need no WebAssembly. Numbers are tested where they matter: in a component.

import assert from "node:assert/strict";
import { test } from "node:test";

import { outcome, Problem, verdict } from "../answer.js";
import { guest } from "../guest.js";
import { drop, e164, ExactNumber, fail, pass, path, replace, retry, split, values } from "../index.js";

test("phone numbers come out in one form", () => {
  for (const [text, country, expected] of [
    ["0812 3456 7890", "id", "+6281234567890"],
    ["62812-3456-7890", "ID", "+6281234567890"],
    ["812-3456-7890", "+62", "+6281234567890"],
    ["0049 30 123456", "ID", "+4930123456"],
    ["(415) 555-0123", "US", "+14155550123"],
    ["1 415 555 0123", "US", "+14155550123"],
    ["06 1234 5678", "IT", "+390612345678"],
    ["8 (912) 345-67-89", "RU", "+79123456789"],
    ["6012 3456", "MY", "+6060123456"],
    [81234567890, "ID", "+6281234567890"],
    ["", "ID", undefined],
    ["12", "ID", undefined],
    ["0812", "XX", undefined],
    ["+1234567890123456", "ID", undefined],
    [null, "ID", undefined],
    [undefined, "ID", undefined],
  ]) {
    assert.equal(e164(text, country), expected, String(text));
  }
});

test("paths step into objects and arrays, and never into what is inherited", () => {
  const data = { a: { labels: [{ name: "vip" }, { name: "new" }, {}], list: ["x"] } };
  assert.equal(path(data, "a.labels.1.name"), "new");
  assert.equal(path(data, "a.none.name"), undefined);
  assert.equal(path(data, "a.constructor"), undefined);
  assert.deepEqual(values(data, "a.labels.name"), ["vip", "new"]);
  assert.deepEqual(values(data, "a.list"), ["x"]);
  assert.deepEqual(values(data, "a.labels.0.name"), ["vip"]);
  assert.deepEqual(values(data, "none"), []);
});

test("what a filter returns is a verdict", () => {
  for (const returned of [undefined, true, pass]) assert.deepEqual(verdict(returned), { tag: "pass" });
  assert.deepEqual(verdict("why"), { tag: "drop", val: "why" });
  assert.deepEqual(verdict(drop("why")), { tag: "drop", val: "why" });
  assert.equal(verdict(false).tag, "drop");
  for (const returned of [null, 0, {}, replace({}), Promise.resolve(true)]) {
    assert.throws(() => verdict(returned), TypeError);
  }
});

test("what a transform returns is an outcome", () => {
  const data = (result) => JSON.parse(result.val.data);
  assert.deepEqual(outcome(undefined, "{}"), { tag: "unchanged" });
  assert.deepEqual(data(outcome({ a: 1 }, "{}")), { a: 1 });
  assert.deepEqual(outcome(drop("why"), "{}"), { tag: "drop", val: "why" });
  const headers = outcome(replace({ headers: { "X-Kind": 7 } }), '{"a":1.50}').val;
  assert.deepEqual(headers, { data: '{"a":1.50}', eventType: null, attributes: [], headers: [["X-Kind", "7"]] });
  const parts = outcome(split([{ a: 1 }, replace({ data: { b: 2 }, type: "x.y" })]), "{}").val;
  assert.deepEqual(parts.map((part) => [part.data, part.eventType]), [['{"a":1}', null], ['{"b":2}', "x.y"]]);
  for (const returned of [null, 7, "text", [1], Promise.resolve({}), split([drop("x")])]) {
    assert.throws(() => outcome(returned, "{}"), TypeError);
  }
  assert.throws(() => outcome({ a: NaN }, "{}"), /a is NaN/);
});

test("problems reach the host as it expects them, others with their place", () => {
  const event = { id: "1", eventType: "a.b", tenant: "t", timestamp: "", attributes: [["k", "v"]], data: "{}" };
  const thrown = (filter) => {
    try {
      guest({ filter }, "filter", () => {}).run(event, "{}");
    } catch (error) {
      return error;
    }
  };
  assert.deepEqual(thrown(() => retry("busy")), { tag: "retry", val: "busy" });
  assert.deepEqual(thrown(() => fail("never")), { tag: "fail", val: "never" });
  const own = thrown(({ data }) => data.a.b);
  assert.equal(own.tag, "retry");
  assert.match(own.val, /^TypeError: .*\(.*sdk\.test\.js:\d+\)$/);
  assert.equal(thrown(({ type, attributes }) => type === "a.b" && attributes.k === "v"), undefined);
  assert.throws(() => guest({}, "filter", () => {}), /exports no function filter/);
  assert.ok(new Problem("retry", "x") instanceof Error);
});

test("an exact number calculates as a number and shows all digits", () => {
  const exact = new ExactNumber("0.12345678901234567890");
  assert.equal(`${exact}`, "0.12345678901234567890");
  assert.equal(exact * 2, 0.2469135780246913578);
  assert.throws(() => new ExactNumber("1e"), TypeError);
});
