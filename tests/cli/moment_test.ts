import assert from "node:assert/strict";
import { parseMoment } from "../../cli/moment.ts";
import { localTime } from "../../cli/units.ts";

Deno.test("parseMoment() reads a span back from now, and ISO times, local without a zone", () => {
  const now = Date.UTC(2026, 7, 5, 12);
  assert.equal(parseMoment("10m", now), now - 600_000);
  assert.equal(parseMoment("2026-08-05T10:00:00Z", now), now - 7_200_000);
  assert.equal(parseMoment("2026-08-05T12:00:00+02:00", now), now - 7_200_000);
  assert.equal(parseMoment("2026-08-05", now), new Date(2026, 7, 5).getTime());
  assert.equal(parseMoment("2026-08-05 09:30", now), new Date(2026, 7, 5, 9, 30).getTime());
  const texts: Readonly<Record<string, string | null>> = {
    now: "2026-08-05T14:00",
    "10 minutes ago": "2026-08-05T13:50",
    "2 hours": "2026-08-05T12:00",
    "1 h 30 m": "2026-08-05T12:30",
    "3 weeks ago": "2026-07-15T14:00",
    today: "2026-08-05T00:00",
    yesterday: "2026-08-04T00:00",
    "yesterday 22:00": "2026-08-04T22:00",
    "today 6:00": "2026-08-05T06:00",
    "06:30": "2026-08-05T06:30",
    "22:00": "2026-08-04T22:00",
    "12:00Z": "2026-08-05T14:00",
    "2026-03-29T02:30": "2026-03-29T03:30",
    "2026-08-05T12:00:00-0330": "2026-08-05T17:30",
    "1785931200": "2026-08-05T14:00",
    "1785931200000": "2026-08-05T14:00",
    ...Object.fromEntries(
      ["someday", "2026-13-05", "2026-00-05", "2026-02-30", "2026-08-05T25:00", "2026-08-05T24:00", "05.08.2026"]
        .concat("0000-01-01", "17859312001", "T10:00", "ago", " ", "m", "10 x ago", "-1h").map((bad) => [bad, null]),
    ),
  };
  const zone = Deno.env.get("TZ");
  try {
    Deno.env.set("TZ", "Europe/Berlin");
    for (const [text, expected] of Object.entries(texts)) {
      const time = parseMoment(text, now);
      assert.equal(time === null ? null : localTime(time).slice(0, 16), expected, text);
    }
    // The first hour of a year is yesterday's of another
    assert.equal(parseMoment("yesterday 23:30", Date.UTC(2026, 11, 31, 23, 10)), Date.UTC(2026, 11, 31, 22, 30));
  } finally {
    if (zone === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", zone);
  }
});

Deno.test("parseMoment() reads days and times of the clock, also over a change of daylight saving time", () => {
  const before = Deno.env.get("TZ");
  try {
    Deno.env.set("TZ", "Europe/Berlin");
    // 09:00 on the Monday after the clocks went back
    const now = Date.parse("2026-10-26T09:00:00+01:00");
    const expected = {
      now: "2026-10-26T09:00:00+01:00",
      today: "2026-10-26T00:00:00+01:00",
      yesterday: "2026-10-25T00:00:00+02:00",
      "yesterday 22:00": "2026-10-25T22:00:00+01:00",
      "todayT06:30:15": "2026-10-26T06:30:15+01:00",
      "8:59": "2026-10-26T08:59:00+01:00",
      "09:00": "2026-10-26T09:00:00+01:00",
      "22:00": "2026-10-25T22:00:00+01:00",
    };
    for (const [text, time] of Object.entries(expected)) assert.equal(parseMoment(text, now), Date.parse(time), text);
  } finally {
    if (before === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", before);
  }
});
