import assert from "node:assert/strict";
import { MAX_DEPTH, type Plan, readPlan } from "../../../proto/analysis/plan.ts";
import { blankProcessEvent, type ProcessEvent } from "../../../proto/process_event.ts";
import { eventRow } from "../../../proto/event_row.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";

const CHAIN = "chain: executable\ntitle: t\nstages:\n  - { stage: hash }\n  - { stage: elf, needs: [hash] }\n";

function trigger(when: string, more = "", id = "one"): [string, string] {
  return [`${id}.yml`, `trigger: trigger-${id}\ntitle: t\nchain: executable\n${more}\nwhen:\n${when}\n`];
}

function plan(...files: [string, string][]): Plan {
  return readPlan([["chain.yml", CHAIN], ...files]);
}

/** Whether a trigger matches an event. */
function matches(when: string, event: Partial<ProcessEvent>): boolean {
  const { triggers, rejected } = plan(trigger(when));
  assert.deepEqual(rejected, []);
  using engine = new RuleEngine([triggers[0]!.rule!]);
  const whole = { ...blankProcessEvent("start", 1, "x-7-1", 7), ...event };
  return engine.evaluate([eventRow(whole, 1, "host")]).hits.length > 0;
}

function refuses(files: [string, string][], reason: RegExp): void {
  const { rejected } = readPlan(files);
  assert.ok(rejected.some((each) => reason.test(each.reason)), JSON.stringify(rejected));
}

Deno.test("readPlan() reads a chain, a trigger and a rule over results", () => {
  const rule =
    "id: packed-one\ntitle: t\ndescription: d\nseverity: high\nsql: SELECT packer FROM file_facts WHERE packer = 'UPX'\n";
  const found = plan(trigger("  name: [xmrig]", "priority: high\nper_minute: 5\nagain_after: 1h"), ["rule.yml", rule]);
  assert.deepEqual(found.rejected, []);
  const [{ priority, perMinute, againMs, chain }] = found.triggers as [Plan["triggers"][0]];
  assert.deepEqual([priority, perMinute, againMs, chain], ["high", 5, 3_600_000, "executable"]);
  assert.deepEqual(found.chains.get("executable")!.stages.map(({ stage }) => stage), ["hash", "elf"]);
  assert.equal(found.rules[0]!.rule.id, "packed-one");
});

Deno.test("Conditions match what they say, through the rule engine", () => {
  assert.ok(matches("  name: [MINER, xmr_g]", { name: "my-miner" }));
  assert.ok(matches("  name: [xmr_g]", { name: "xmr_g" }));
  assert.ok(!matches("  name: [xmr_g]", { name: "xmrig" }), "_ is no wildcard");
  assert.ok(!matches("  name: ['100%']", { name: "100x" }), "% is no wildcard");
  assert.ok(matches("  path: ['/it''s']", { executablePath: "/tmp/it's" }));
  assert.ok(!matches("  path: [/tmp/]", { kind: "stop", executablePath: "/tmp/x" }));
  assert.ok(matches("  missing_executable: true", { executableKind: "memfd" }));
  assert.ok(matches("  missing_executable: true", { fileExists: false }));
  assert.ok(!matches("  missing_executable: true", { executableKind: "file", fileExists: true }));
  assert.ok(matches("  hash_mismatch: true", { onDiskMismatch: true }));
  const reason = "its executable is not what /opt/x was the last time: a, then b";
  assert.ok(matches("  hash_mismatch: true", { kind: "suspicious", reason }));
  assert.ok(!matches("  hash_mismatch: true", { kind: "suspicious", reason: "it poses as a thread of the kernel" }));
  assert.ok(!matches("  hash_mismatch: true", { onDiskMismatch: false }));
  const pair = "  parent_child:\n    - { parent: [nginx], child: [sh, bash] }\n    - { parent: [java], child: [curl] }";
  assert.ok(matches(pair, { parentName: "nginx", name: "bash" }));
  assert.ok(!matches(pair, { parentName: "java", name: "bash" }));
  assert.ok(matches("  resource_anomaly: { memory_mb: 10 }", { kind: "modify", memoryUsage: 11 * 2 ** 20 }));
  assert.ok(!matches("  resource_anomaly: { memory_mb: 10 }", { kind: "modify", memoryUsage: 10 * 2 ** 20 }));
  const cpu = "  resource_anomaly: { cpu_percent: 150 }",
    lived = { kind: "modify", startTime: 1_000, time: 11_000 } as const;
  assert.ok(matches(cpu, { ...lived, cpuTimeMs: 15_001 }));
  assert.ok(!matches(cpu, { ...lived, cpuTimeMs: 15_000 }), "strictly more");
  assert.ok(!matches(cpu, { ...lived, time: 1_999, cpuTimeMs: 9_999 }), "too young to say");
  assert.ok(!matches(cpu, { ...lived, startTime: null, cpuTimeMs: 99_999 }), "nobody knows its age");
  const either = "  resource_anomaly: { memory_mb: 10, cpu_percent: 150 }";
  assert.ok(matches(either, { ...lived, cpuTimeMs: 15_001, memoryUsage: 1 }));
  assert.ok(matches(either, { ...lived, cpuTimeMs: 1, memoryUsage: 11 * 2 ** 20 }));
  assert.ok(!matches(either, { ...lived, cpuTimeMs: 1, memoryUsage: 1 }));
  assert.ok(matches("  sql: SELECT pid FROM process_events WHERE pid = 7", {}));
});

Deno.test("readPlan() refuses what is not right, with the reason and its place, and keeps the rest", () => {
  const found = plan(trigger("  name: [a]"), trigger("  nonsense: 1", "", "two"), ["bad.yml", "{"]);
  assert.equal(found.triggers.length, 1);
  assert.equal(found.rejected.length, 2);
  assert.match(found.rejected[0]!.reason, /^6:3: Unknown key "nonsense"/);
  const refusesTrigger = (when: string, reason: RegExp, more = ""): void =>
    refuses([["chain.yml", CHAIN], trigger(when, more)], reason);
  refusesTrigger("  resource_anomaly: { cpu_percent: 0 }", /cpu_percent is from 1 to/);
  refusesTrigger("  resource_anomaly: {}", /memory_mb, cpu_percent or both/);
  refusesTrigger("  sql: SELECT * FROM alerts", /alerts/);
  refusesTrigger("  sql: DELETE FROM process_events", /./);
  refusesTrigger("  name: [a]\n  path: [b]", /one condition/);
  refusesTrigger("  missing_executable: false", /is true/);
  refusesTrigger("  name: [a]", /per_minute is from 1 to 600/, "per_minute: 0");
  refusesTrigger("  name: [a]", /priority is one of/, "priority: urgent");
  refusesTrigger("  name: [a]", /after/, "after: [executable]");
  refusesTrigger("  results: SELECT pid FROM processes", /reads analyses, .* not processes/, "after: [executable]");
  refuses([trigger("  name: [a]")], /there is no chain executable/);
  refuses([["a.yml", CHAIN], ["b.yml", CHAIN]], /is there already/);
});

Deno.test("readPlan() refuses chains whose stages wait for each other, are unknown or are there twice", () => {
  const chain = (stages: string): [string, string][] => [["c.yml", `chain: one\ntitle: t\nstages: ${stages}\n`]];
  refuses(chain("[{ stage: hash, needs: [elf] }, { stage: elf, needs: [hash] }]"), /hash, elf wait for each other/);
  refuses(chain("[{ stage: hash, needs: [hash] }]"), /hash wait for each other/);
  refuses(chain("[{ stage: hash, needs: [yara] }]"), /needs the stage yara, which this chain has not/);
  refuses(chain("[{ stage: hash }, { stage: hash }]"), /is there twice/);
  refuses(chain("[{ stage: rm }]"), /A stage is one of/);
  refuses(chain("[]"), /list of 1 to/);
  refuses(chain("[{ stage: hash, timeout: 10h }]"), /timeout is a time from 1s to 5m/);
  refuses(chain("[{ stage: hash, retries: 99 }]"), /retries is from 0 to 3/);
});

function led(from: string, to: string): [string, string] {
  const text =
    `trigger: from-${from}-to-${to}\ntitle: t\nchain: ${to}\nafter: [${from}]\nwhen:\n  results: SELECT executable_path FROM file_facts\n`;
  return [`${from}-${to}.yml`, text];
}

Deno.test("readPlan() refuses triggers whose chains set each other going, and cascades that are too deep", () => {
  const chains = Array.from({ length: MAX_DEPTH + 3 }, (_, i): [string, string] => [
    `c${i}.yml`,
    `chain: chain-${i}\ntitle: t\nstages: [{ stage: hash }]\n`,
  ]);
  const steps = Array.from({ length: MAX_DEPTH + 2 }, (_, i) => led(`chain-${i}`, `chain-${i + 1}`));
  const deep = readPlan([...chains, ...steps]);
  assert.equal(deep.rejected.length, 1);
  assert.equal(deep.triggers.length, steps.length - 1);
  assert.match(deep.rejected[0]!.reason, /6 analyses would follow one; 5 may/);
  const cycle = readPlan([...chains, steps[0]!, steps[1]!, led("chain-2", "chain-0")]);
  assert.equal(cycle.triggers.length, 2);
  assert.match(cycle.rejected[0]!.reason, /without end: chain-0 -> chain-1 -> chain-2 -> chain-0/);
  assert.match(readPlan([...chains, led("chain-1", "chain-1")]).rejected[0]!.reason, /without end/);
});

Deno.test("The shipped analyses are right", () => {
  const directory = new URL("../../../rules/analysis/", import.meta.url);
  const read = Deno.permissions.querySync({ name: "read", path: directory }).state;
  if (read !== "granted") return; // run without permissions, as proto/ is
  const files = [...Deno.readDirSync(directory)].map(({ name }): [string, string] => [
    name,
    Deno.readTextFileSync(new URL(name, directory)),
  ]);
  const { rejected, triggers, chains, rules } = readPlan(files);
  assert.deepEqual(rejected, []);
  assert.deepEqual([triggers.length, chains.size, rules.length], [4, 2, 5]);
});
