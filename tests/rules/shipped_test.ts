// The rules that are shipped. Reads `rules/` and `tests/recorded/`.
import assert from "node:assert/strict";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import { RuleEngine } from "../../proto/rules/engine.ts";
import { laneOf, type ValidatedRule } from "../../proto/rules/rule.ts";
import { loadRules, type RuleFile } from "../../proto/rules/rule_set.ts";
import { runRuleTests } from "../../proto/rules/rule_tests.ts";
import { DEFINITIONS } from "../../proto/setting_definitions.ts";

const RULES = new URL("../../rules/", import.meta.url);
const ADMINISTRATION = new URL("../recorded/administration.tsv", import.meta.url);

/** The tactics of ATT&CK for enterprises. */
const TACTICS = new Set(
  ["reconnaissance", "resource_development", "initial_access", "execution", "persistence", "privilege_escalation"]
    .concat(["defense_evasion", "credential_access", "discovery", "lateral_movement", "collection"])
    .concat(["command_and_control", "exfiltration", "impact"])
    .map((tactic) => `attack.${tactic}`),
);

function shippedFiles(): RuleFile[] {
  const names = [...Deno.readDirSync(RULES)].filter(({ isFile }) => isFile).map((entry) => entry.name).sort();
  return names.map((file) => ({ file, text: Deno.readTextFileSync(new URL(file, RULES)) }));
}

function streamed(): readonly ValidatedRule[] {
  return loadRules(shippedFiles()).active.filter((rule) => rule.windowMs === null);
}

Deno.test("shipped rules pass the guard and are 200", () => {
  const { active, disabled, rejected } = loadRules(shippedFiles());
  assert.deepEqual(rejected.map((error) => error.message), []);
  assert.deepEqual(disabled, []);
  assert.equal(active.length, 200);
});

Deno.test("shipped rules are judged in the stream lane, but two over a window and 24 correlations", () => {
  const lanes = loadRules(shippedFiles()).active.map(laneOf).filter((lane) => lane !== "stream");
  const correlations = lanes.filter((lane) => lane.startsWith("correlation: "));
  assert.deepEqual(lanes.filter((lane) => !correlations.includes(lane)), ["window: 1m", "window: 2m"]);
  assert.equal(correlations.length, 24);
});

Deno.test("shipped rules look no longer back than an agent does that nobody has configured", () => {
  const longest = Number(DEFINITIONS["agent.window_minutes"]!.default) * 60_000;
  const long = loadRules(shippedFiles()).active.filter((rule) =>
    rule.windowMs !== null && rule.windowMs > longest && rule.correlation?.kind !== "first_seen"
  );
  assert.deepEqual(long.map(({ id }) => id), []);
});

Deno.test("shipped rules match the rows that they must, and no others of their own", () => {
  for (const rule of loadRules(shippedFiles()).active) {
    assert(rule.tests.match.length >= 2 && rule.tests.noMatch.length >= 2, `${rule.file} has too few test rows`);
    for (const { position, expected, got, fault } of runRuleTests(rule)) {
      assert.equal(got, expected, `${rule.file}:${position.line}: ${fault ?? "judged wrongly"}`);
    }
  }
});

Deno.test("shipped rules tell the reader what to do and name a technique", () => {
  for (const rule of loadRules(shippedFiles()).active) {
    assert.equal(rule.file, `${rule.id}.yml`);
    assert(rule.tags.some((tag) => /^attack\.t\d{4}(\.\d{3})?$/.test(tag)), `${rule.file} names no technique`);
    assert(rule.tags.some((tag) => TACTICS.has(tag)), `${rule.file} names no tactic`);
    const strange = rule.tags.filter((tag) => !TACTICS.has(tag) && !/^attack\.t\d{4}(\.\d{3})?$/.test(tag));
    assert.deepEqual(strange, [], `${rule.file} has tags that are neither tactic nor technique`);
    assert(rule.references.length > 0, `${rule.file} has no reference`);
    assert(rule.description.length > 150, `${rule.file} says too little`);
    assert(rule.falsePositives.length > 0, `${rule.file} does not say when it is wrong`);
  }
});

Deno.test("shipped rules of the stream lane look at starts of processes alone", () => {
  const place = columnPlaces("process_events").get("event_type")!;
  const active = streamed();
  using engine = new RuleEngine(active);
  const rows = active.flatMap((rule) => rule.tests.match.map((row) => row.values.with(place, "stop")));
  assert.deepEqual(engine.evaluate(rows).hits, []);
});

// A package upgrade, the daily cron jobs and a build, recorded with strace on Debian 12 (execve: name, executable,
// command line), and, with the name of the parent, what else administrators, builds and containers do every day.
Deno.test("shipped rules say nothing above low over a day of administration", () => {
  const places = columnPlaces("process_events");
  const lines = Deno.readTextFileSync(ADMINISTRATION).trimEnd().split("\n");
  assert(lines.length > 200);
  const rows = lines.map((line) => {
    const [name, executable, commandLine, parent] = line.split("\t");
    const row: SqlValue[] = Array(places.size).fill(null);
    row[places.get("event_type")!] = "start";
    row[places.get("name")!] = name!;
    row[places.get("executable_path")!] = executable!;
    row[places.get("command_line")!] = commandLine!.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
    row[places.get("parent_name")!] = parent === "-" ? null : parent!;
    return row;
  });
  using engine = new RuleEngine(streamed());
  const { hits, faults } = engine.evaluate(rows);
  const loud = hits.filter(({ rule }) => rule.severity !== "info" && rule.severity !== "low");
  assert.deepEqual(loud.map(({ rule, row }) => `${rule.id}: ${lines[row]}`), []);
  assert(hits.length <= lines.length / 20, `${hits.length} of ${lines.length} rows are told at low or info`);
  assert.deepEqual(faults, []);
});
