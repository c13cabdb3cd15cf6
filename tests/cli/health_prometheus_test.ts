import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { NOW, TestState } from "../support/test_store.ts";
import { WORLDS } from "../support/cli_worlds.ts";

const LABEL = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"`;
const SAMPLE = new RegExp(
  String.raw`^(daemoneye_[a-z0-9_]+)(\{${LABEL}(?:,${LABEL})*\})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)$`,
);

/** Reads the text as the format wants it: families one after the other, no series twice. */
function parsed(text: string): Map<string, string> {
  assert.ok(text.endsWith("\n"));
  const series = new Map<string, string>(), closed = new Set<string>();
  let family = "", described = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (daemoneye_[a-z0-9_]+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      assert.ok(!closed.has(name!), `${name} comes twice`);
      described = name!;
    } else if (kind === "TYPE") {
      assert.equal(name, described);
      assert.match(rest!, /^(?:gauge|counter|untyped)$/);
      assert.equal(name!.endsWith("_total"), rest === "counter", name);
      closed.add(family = name!);
    } else {
      const sample = SAMPLE.exec(line);
      assert.ok(sample !== null, line);
      assert.equal(sample[1], family);
      const key = `${family}${sample[2] ?? ""}`;
      assert.ok(!series.has(key), `${key} comes twice`);
      series.set(key, sample[3]!);
    }
  }
  return series;
}

Deno.test("health --prometheus writes the text format in every state of the host", async () => {
  for (const world of Object.keys(WORLDS)) {
    using state = WORLDS[world]!();
    const { out, code } = await cli(state, ["health", "--prometheus"]);
    const series = parsed(out);
    assert.equal(code, 0, world);
    assert.equal(series.get("daemoneye_healthy"), world === "watched" ? "1" : series.get("daemoneye_healthy"));
  }
});

Deno.test("health --prometheus makes hostile names harmless labels, once each, and says what it left out", async () => {
  using state = new TestState();
  const rule = {
    title: "t",
    severity: "low",
    file: "f",
    state: "active",
    line: null,
    column: null,
    reason: null,
    hits: 1,
    lane: "stream",
    hash: null,
    evaluations: 0,
    matches: 0,
    cpuMs: 0,
    rows: 0,
    suppressed: 0,
    degraded: [],
  };
  const hostile = ['a"} 1\ndaemoneye_up 1', "back\\slash", "\x1b[2J", "\u202e", "", 'a"} 1\ndaemoneye_up 1'];
  const many = Array.from({ length: 2_500 }, (_, i) => `rule-${i}`);
  state.writeStatus({ time: NOW, rules: [...hostile, ...many].map((id) => ({ ...rule, id })) }, { time: NOW });
  const { out } = await cli(state, ["health", "--prometheus"]);
  const series = parsed(out);
  for (const harmful of ["\x1b", "\u202e"]) assert.ok(!out.includes(harmful));
  assert.equal(series.get(String.raw`daemoneye_rule_hits_total{rule="a\"} 1\\ndaemoneye_up 1"}`), "1");
  assert.equal(series.get(String.raw`daemoneye_rule_hits_total{rule="back\\slash"}`), "1");
  assert.equal(series.get("daemoneye_series_left_out"), "505");
});
