import assert from "node:assert/strict";
import { bytes, count, counted, localTime, parseSpan, span } from "../../cli/units.ts";

Deno.test("parseSpan() reads spans with units, and bare seconds", () => {
  const expected: Record<string, number | null> = {
    "10m": 600_000,
    "1h30m": 5_400_000,
    "500ms": 500,
    "2d": 172_800_000,
    "1w": 604_800_000,
    "45": 45_000,
    "0": 0,
    "": null,
    "m": null,
    "10x": null,
    "-5m": null,
    "1.5h": null,
    "10 m": null,
    "1h!": null,
    "9999999999999m": null,
  };
  for (const [text, ms] of Object.entries(expected)) assert.equal(parseSpan(text), ms, text);
});

Deno.test("localTime() names its zone, also over a change of daylight saving time", () => {
  const before = Deno.env.get("TZ");
  try {
    Deno.env.set("TZ", "Europe/Berlin");
    assert.equal(localTime(Date.UTC(2026, 7, 5, 10, 3, 11, 123)), "2026-08-05T12:03:11.123+02:00");
    assert.equal(localTime(Date.UTC(2026, 0, 5, 10, 3, 11), "s"), "2026-01-05T11:03:11+01:00");
    Deno.env.set("TZ", "America/St_Johns");
    assert.equal(localTime(Date.UTC(2026, 0, 5, 0, 0, 0), "s"), "2026-01-04T20:30:00-03:30");
    Deno.env.set("TZ", "UTC");
    assert.equal(localTime(0), "1970-01-01T00:00:00.000Z");
  } finally {
    if (before === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", before);
  }
});

Deno.test("localTime() of a number that is no time does not throw", () => {
  for (const time of [NaN, Infinity, 9e15, -9e15, 8.64e15]) assert.equal(typeof localTime(time), "string");
});

Deno.test("span() uses at most two units and never sixty of one", () => {
  const expected: [number, string][] = [
    [0, "0 ms"],
    [3, "3 ms"],
    [0.25, "0.3 ms"],
    [999, "999 ms"],
    [1_200, "1.2 s"],
    [2_000, "2 s"],
    [59_949, "59.9 s"],
    [59_960, "1 min"],
    [250_000, "4 min 10 s"],
    [3_600_000, "1 h"],
    [90_000_000, "1 d 1 h"],
    [-1_500, "-1.5 s"],
    [NaN, "unknown"],
  ];
  for (const [ms, text] of expected) assert.equal(span(ms), text);
});

Deno.test("bytes() and counts read well", () => {
  assert.deepEqual([0, 1023, 1024, 1_468_006, 2 ** 40].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "1.0 TiB"]);
  assert.deepEqual([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
  assert.equal(count(2n ** 60n), "1,152,921,504,606,846,976");
  assert.deepEqual([counted(1, "gap"), counted(2, "gap"), counted(0, "child", "children")], [
    "1 gap",
    "2 gaps",
    "0 children",
  ]);
});
