/** What operators change of rules and settings: kept over restarts, taken back when it fails, never a hindrance. */
import assert from "node:assert/strict";
import { Detection } from "../../../agent/detection.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Journal } from "../../../agent/journal.ts";
import { AskedRules, type RulesInUse } from "../../../agent/requests/asked_rules.ts";
import { type Appliers, AskedSettings } from "../../../agent/requests/asked_settings.ts";
import { FailedError, RefusedError } from "../../../agent/requests/operation.ts";
import { RuleReloader } from "../../../agent/rule_reloader.ts";
import { RulesLoader } from "../../../agent/rules_loader.ts";
import { Turn } from "../../../agent/turn.ts";
import { loadSettings } from "../../../proto/config.ts";
import { allSteps } from "../../../proto/steps.ts";
import { TempDir } from "../support.ts";

const ALICE = { userId: 1_000, name: "alice" }, BOB = { userId: 1_001, name: null };

function ruleText(id: string, more = ""): string {
  return `id: ${id}\ntitle: T\ndescription: D\nseverity: low\n${more}sql: SELECT pid FROM process_events WHERE name = '${id}'\n`;
}

/** An agent's rules over real files, with what was asked for. */
class RulesWorld implements AsyncDisposable {
  readonly directory: string;
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly asked: AskedRules;
  readonly detection: Detection;
  readonly reloader: RuleReloader;
  isBroken = false;

  constructor(readonly dir: TempDir, files: Readonly<Record<string, string>> = {}) {
    this.directory = `${dir.path}/rules`;
    Deno.mkdirSync(this.directory, { recursive: true });
    for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${this.directory}/${name}`, text);
    const { journal } = this;
    this.asked = new AskedRules(`${dir.path}/asked_rules.json`, journal);
    const loader = new RulesLoader([this.directory], Infinity, () => this.asked.overrides());
    const loaded = allSteps(loader.load());
    for (const notice of loaded.notices) journal.notice(notice);
    this.detection = new Detection(loaded, { deadlineMs: 60_000, journal, counters: newCounters() });
    const directories = [this.directory], detection = this.detection, quietMs = 5;
    this.reloader = new RuleReloader({
      directories,
      loader,
      detection,
      turn: new Turn(),
      store: () => null,
      journal,
      quietMs,
    });
  }

  readonly rules: RulesInUse = {
    statuses: () => this.detection.statuses(),
    reload: async () => {
      if (this.isBroken) return false;
      await this.reloader.reload();
      return true;
    },
  };

  state(id: string): [string | undefined, string | null | undefined] {
    const rule = this.detection.statuses().find((each) => each.id === id);
    return [rule?.state, rule?.reason];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reloader.stop();
    this.detection.close();
  }
}

Deno.test("a rule that is disabled says by whom and why, stays so over a restart, and comes back", async () => {
  using dir = new TempDir();
  {
    await using world = new RulesWorld(dir, {
      "a.yml": ruleText("rule-a"),
      "off.yml": ruleText("rule-off", "enabled: false\n"),
    });
    const { asked, rules } = world;
    await asked.disable("rule-a", "it is noisy", ALICE, rules);
    const [state, reason] = world.state("rule-a");
    assert.equal(state, "disabled");
    assert.match(reason!, /^disabled by a request of user 1000 \(alice\) at 20..-.*Z: it is noisy$/);
    assert.deepEqual(world.detection.loaded.active.map(({ id }) => id), []);
    await assert.rejects(asked.disable("rule-a", "again", BOB, rules), /is disabled already: disabled by a request/);
    await assert.rejects(asked.disable("rule-b", "x", BOB, rules), /There is no rule rule-b; did you mean rule-a\?/);
    await assert.rejects(asked.disable("rule-a", " ", BOB, rules), RefusedError);
    await assert.rejects(asked.enable("rule-off", rules), /not disabled by a request: .*enabled: false; change that/);
  }
  {
    await using world = new RulesWorld(dir);
    assert.equal(world.state("rule-a")[0], "disabled");
    assert.equal(await world.asked.enable("rule-a", world.rules), "The rule rule-a is active");
    assert.deepEqual(world.state("rule-a"), ["active", null]);
    await assert.rejects(world.asked.enable("rule-a", world.rules), /is not disabled: it is active/);
    await world.asked.disable("rule-a", "for good", ALICE, world.rules);
    Deno.removeSync(`${world.directory}/a.yml`);
  }
  await using world = new RulesWorld(dir);
  assert.match(
    world.lines.join(),
    /There is no rule rule-a, which a request of user 1000 .* 'ask rules enable rule-a'/,
  );
  assert.match(await world.asked.enable("rule-a", world.rules), /no rule rule-a any more; .* is forgotten/);
  assert.deepEqual(world.asked.disabled, []);
});

Deno.test("when the rules cannot be loaded again, what was asked for is taken back, also on disk", async () => {
  using dir = new TempDir();
  await using world = new RulesWorld(dir, { "a.yml": ruleText("rule-a") });
  await world.asked.disable("rule-a", "first", ALICE, world.rules);
  await world.asked.enable("rule-a", world.rules);
  const before = Deno.readTextFileSync(`${dir.path}/asked_rules.json`);
  world.isBroken = true;
  await assert.rejects(world.asked.disable("rule-a", "second", ALICE, world.rules), FailedError);
  assert.equal(Deno.readTextFileSync(`${dir.path}/asked_rules.json`), before);
  assert.deepEqual([world.asked.disabled, world.state("rule-a")[0]], [[], "active"]);
});

Deno.test("a damaged file of what was asked for is put aside and told of, and the agent goes on without", () => {
  for (
    const text of ["", "{", "[]", '{"version":2,"disabled":{}}', '{"version":1,"disabled":{"a":{"by":1}}}', "null"]
  ) {
    using dir = new TempDir();
    const lines: string[] = [], path = `${dir.path}/asked.json`;
    const journal = new Journal((line) => lines.push(line));
    Deno.writeTextFileSync(path, text);
    assert.deepEqual(new AskedRules(path, journal).disabled, [], text);
    assert.match(lines.join(), /does not count, it is not right .* kept as .*asked\.json\.damaged: ask again/, text);
    assert.equal(Deno.readTextFileSync(`${path}.damaged`), text);
    Deno.writeTextFileSync(path, text);
    assert.equal(new AskedSettings(path, journal).version, 0);
    assert.equal(lines.length, 2);
  }
});

/** Settings that only a test applies. */
class SettingsWorld {
  readonly lines: string[] = [];
  readonly lower = loadSettings({ flags: { set: ["agent.max_connections=20"] }, env: {}, readFile: () => null });
  readonly applied: [string, number][] = [];
  /** The setting that cannot be applied. */
  broken = "";
  readonly asked: AskedSettings;
  readonly appliers = Object.fromEntries(
    ["retention_hours", "alert_retention_hours", "store_max_bytes", "max_connections", "idle_timeout_ms"].map((
      name,
    ) => [
      `agent.${name}`,
      (value: number) => {
        if (name === this.broken) throw new Error(`${name} does not take ${value}`);
        this.applied.push([name, value]);
      },
    ]),
  ) as unknown as Appliers;

  constructor(readonly path: string) {
    this.asked = new AskedSettings(path, new Journal((line) => this.lines.push(line)));
  }

  set(...assignments: string[]): string {
    return this.asked.set(assignments, ALICE, this.lower, this.appliers);
  }

  revert(to: number | null = null): string {
    return this.asked.revert(to, BOB, this.lower, this.appliers);
  }

  /** As the agent loads them at its next start. */
  loaded(): ReturnType<typeof loadSettings> {
    const asked = new AskedSettings(this.path, new Journal((line) => this.lines.push(line))).layer();
    return loadSettings({ flags: { set: ["agent.max_connections=20"] }, env: {}, readFile: () => null, asked });
  }
}

Deno.test("a change of settings changes what it names, is a version, and is there after a restart", () => {
  using dir = new TempDir();
  const world = new SettingsWorld(`${dir.path}/asked_settings.json`);
  assert.equal(world.set("agent.retention_hours=48", "agent.max_connections=30").slice(0, 10), "Version 1:");
  assert.deepEqual(world.applied.splice(0), [["retention_hours", 48], ["max_connections", 30]]);
  world.set("agent.retention_hours=24");
  assert.deepEqual(world.applied.splice(0), [["retention_hours", 24]]);
  const { agent, origins, values } = world.loaded();
  assert.deepEqual([agent.retentionMs, agent.maxConnections, agent.idleTimeoutMs], [86_400_000, 30, 30_000]);
  assert.match(origins.get("agent.retention_hours")!, /^request of user 1000 \(alice\) at /);
  assert.equal(origins.get("agent.idle_timeout_ms"), "default");
  assert.deepEqual(values, world.asked.effective(world.lower));
  const now = world.asked.now(world.lower).find(({ key }) => key === "agent.max_connections")!;
  assert.deepEqual([now.value, now.runtime], [30, true]);

  assert.match(world.revert(), /^Version 3, which is version 1 again: agent.retention_hours is 48, agent.max_conn/);
  assert.match(world.revert(0), /^Version 4, which is version 0 again: what files and flags say$/);
  assert.deepEqual(world.applied, [["retention_hours", 48], ["retention_hours", 720], ["max_connections", 20]]);
  assert.equal(world.loaded().agent.maxConnections, 20);
  assert.throws(() => world.revert(9), /There is no version 9; there are 0, 1, 2, 3, 4/);
});

Deno.test("a change that is refused or fails leaves every setting as it was", () => {
  using dir = new TempDir();
  const world = new SettingsWorld(`${dir.path}/asked_settings.json`);
  assert.throws(() => world.revert(), /No request has changed a setting/);
  const refused = (assignment: string, reason: RegExp): void => {
    assert.throws(() => world.set("agent.retention_hours=1", assignment), reason);
    assert.throws(() => world.set("agent.retention_hours=1", assignment), RefusedError);
  };
  refused("collector.ledger=off", /is not KEY=VALUE of what may change while the agent runs: agent\.retention_hours,/);
  refused("agent.alert_file=/etc/passwd", /write others in the configuration file/);
  refused("__proto__=1", /is not KEY=VALUE/);
  refused("agent.max_connections", /is not KEY=VALUE/);
  refused("agent.max_connections=0", /must be a whole number from 1 to 1000/);
  refused("agent.max_connections=1e3", /must be a whole number/);
  refused("agent.retention_hours=2", /is set twice/);
  world.broken = "idle_timeout_ms";
  assert.throws(() => world.set("agent.retention_hours=5", "agent.idle_timeout_ms=5000"), (error: Error) => {
    assert.ok(error instanceof FailedError);
    assert.match(error.message, /all settings are as before: idle_timeout_ms does not take 5000/);
    return true;
  });
  assert.deepEqual(world.applied.splice(0), [["retention_hours", 5], ["retention_hours", 720]]);
  // Nor does one count that cannot be kept
  Deno.mkdirSync(`${world.path}.new`);
  assert.throws(() => world.set("agent.retention_hours=5"), FailedError);
  assert.deepEqual(world.applied, [["retention_hours", 5], ["retention_hours", 720]]);
  assert.deepEqual([world.asked.version, world.asked.layer()], [0, []]);
});

Deno.test("a kept value that is in no range any more does not keep the agent from starting", () => {
  using dir = new TempDir();
  const world = new SettingsWorld(`${dir.path}/asked_settings.json`);
  world.set("agent.max_connections=30", "agent.retention_hours=5");
  const text = Deno.readTextFileSync(world.path);
  Deno.writeTextFileSync(world.path, text.replace('"value":30', '"value":3000000'));
  const { agent } = world.loaded();
  assert.deepEqual([agent.maxConnections, agent.retentionMs], [20, 18_000_000]);
  assert.match(world.lines.join(), /does not count any more: .*agent\.max_connections must be a whole number/);
});
