import assert from "node:assert/strict";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { Ingest } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import { noteRules } from "../../agent/self_notes.ts";
import { decodeStatement } from "../../proto/ledger/statement.ts";
import { RuleReloader } from "../../agent/rule_reloader.ts";
import { RuleRecord } from "../../agent/rule_record.ts";
import { RulesLoader } from "../../agent/rules_loader.ts";
import { NO_RULES } from "../../agent/loaded_rules.ts";
import { validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { allSteps } from "../../proto/steps.ts";
import { Store } from "../../agent/store/store.ts";
import { Turn } from "../../agent/turn.ts";
import { ruleFile } from "../../bench/support/real_shaped_rules.ts";
import { blankProcessEvent } from "../../proto/process_event.ts";
import { openTestStream, rows, TempDir, until } from "./support.ts";

function ruleText(id: string, where: string, more = ""): string {
  return `id: ${id}\ntitle: T\ndescription: D\nseverity: low\n${more}sql: SELECT pid FROM process_events WHERE ${where}\n`;
}

/** An agent's rules, over real files. */
class World implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly directory = `${this.dir.path}/rules`;
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly counters = newCounters();
  readonly detection: Detection;
  readonly reloader: RuleReloader;
  readonly turn = new Turn();
  /** What windows are filled from. */
  store: Store | null = null;
  changes = 0;

  constructor(files: Readonly<Record<string, string>>) {
    Deno.mkdirSync(this.directory);
    for (const [name, text] of Object.entries(files)) this.write(name, text);
    const loader = new RulesLoader([this.directory]), { journal, counters } = this;
    const changed = (): void => void this.changes++;
    this.detection = new Detection(allSteps(loader.load()), { deadlineMs: 60_000, journal, counters, changed });
    const timing = { quietMs: 20, pollMs: 200 };
    this.reloader = new RuleReloader({
      directories: [this.directory],
      loader,
      detection: this.detection,
      turn: this.turn,
      store: () => this.store,
      journal,
      ...timing,
    });
    this.reloader.begin();
  }

  write(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.directory}/${name}`, text);
  }

  /** State and reason of each rule. */
  states(): Record<string, [string, string | null]> {
    const known = this.detection.statuses().map((
      { id, state, reason },
    ) => [id.replace(this.directory, ""), state, reason]);
    return Object.fromEntries(known.map(([id, state, reason]) => [id, [state, reason]]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reloader.stop();
    this.detection.close();
    this.dir[Symbol.dispose]();
  }
}

Deno.test("RuleReloader takes over rules that come, change and go, without being asked", async () => {
  await using world = new World({
    "a.yml": ruleText("rule-a", "name = 'a'"),
    "b.yml": ruleText("rule-b", "name = 'b'"),
  });
  const [before] = world.detection.loaded.active;
  world.write("c.yml", ruleText("rule-c", "name = 'c'"));
  world.write("a.yml", ruleText("rule-a", "name = 'changed'"));
  Deno.removeSync(`${world.directory}/b.yml`);
  await until("the rules are those of the files", () => Object.keys(world.states()).join() === "rule-a,rule-c");
  assert.notEqual(world.detection.loaded.active[0]!.hash, before!.hash);
  assert.ok(world.changes > 0);
  assert.match(world.lines.join("\n"), /rules loaded again: 2 judge, 1 added, 1 changed, 1 removed, 0 rejected/);
});

Deno.test("RuleReloader keeps the last version of a rule that held until its file is mended", async () => {
  await using world = new World({
    "a.yml": ruleText("rule-a", "name = 'a'"),
    "b.yml": ruleText("rule-b", "name = 'b'"),
  });
  const { hash } = world.detection.loaded.active[0]!;
  world.write("a.yml", ruleText("rule-a", "nope = 'a'"));
  await until("the fault is told", () => world.states()["rule-a"]![1] !== null);
  const [state, reason] = world.states()["rule-a"]!;
  assert.equal(state, "active");
  assert.match(reason!, /nope.*the version before this one stays active/s);
  const told = world.detection.statuses()[0]!;
  assert.deepEqual([told.line, told.hash], [5, hash]);
  assert.match(world.lines.join("\n"), /rule rule-a:5:\d+: .*nope/);
  // A version that holds takes the place of both
  world.write("a.yml", ruleText("rule-a", "name = 'mended'"));
  await until("it is mended", () => world.states()["rule-a"]![1] === null);
  assert.notEqual(world.detection.loaded.active[0]!.hash, hash);
});

Deno.test("RuleReloader keeps the rules of a directory that vanishes, and sees it come back", async () => {
  await using world = new World({ "a.yml": ruleText("rule-a", "name = 'a'") });
  Deno.renameSync(world.directory, `${world.directory}.away`);
  await until("the rules are those of a directory that is gone", () => world.states()["rule-a"]![1] !== null);
  assert.match(world.states()["rule-a"]![1]!, /does not exist; what it was stays active/);
  assert.equal(world.detection.active, 1);
  Deno.mkdirSync(world.directory);
  world.write("a.yml", ruleText("rule-a", "name = 'new'"));
  await until("the new one counts", () => world.states()["rule-a"]![1] === null);
  // And it is watched anew
  world.write("b.yml", ruleText("rule-b", "name = 'b'"));
  await until("what comes into it is seen", () => "rule-b" in world.states());
});

Deno.test("RuleReloader lets overrides turn rules off, make drafts of them and change how severe they are", async () => {
  await using world = new World({
    "a.yml": ruleText("rule-a", "name = 'a'"),
    "b.yml": ruleText("rule-b", "name = 'b'"),
  });
  world.write(
    "overrides.yml",
    `overrides:
  - {id: rule-a, state: disabled, reason: we do that all day}
  - {id: rule-b, state: draft, severity: critical, reason: to be tried}
  - {id: rule-none, state: disabled, reason: gone}
`,
  );
  await until("they count", () => world.states()["rule-a"]![0] === "disabled");
  const states = world.states();
  assert.match(states["rule-a"]![1]!, /^disabled by .*overrides.yml: we do that all day$/);
  assert.deepEqual(states["rule-b"], ["draft", null]);
  assert.equal(world.detection.statuses().find((rule) => rule.id === "rule-b")!.severity, "critical");
  assert.deepEqual(states["/overrides.yml#rule-none"]![0], "rejected");
  assert.match(states["/overrides.yml#rule-none"]![1]!, /There is no rule rule-none to override/);
  world.write("overrides.yml", "overrides:\n  - {id: rule-a, state: off, reason: x}\n");
  await until("the fault is told", () => "/overrides.yml" in world.states());
  assert.match(world.states()["/overrides.yml"]![1]!, /state is one of active, draft, disabled; the overrides before/);
  assert.equal(world.states()["rule-a"]![0], "disabled", "as before");
});

Deno.test("RuleReloader waits for the batch that is judged and not stored yet", async () => {
  await using world = new World({ "a.yml": ruleText("rule-a", "name = 'a'") });
  const { detection, reloader } = world, [before] = detection.loaded.active;
  const batch = Promise.withResolvers<void>();
  const judging = world.turn.run(() => batch.promise);
  world.write("a.yml", ruleText("rule-a", "name = 'changed'"));
  let prepared = 0;
  const prepare = detection.prepare.bind(detection);
  detection.prepare = function* (loaded) {
    const result = yield* prepare(loaded);
    prepared += 1;
    return result;
  };
  const reloading = reloader.reload();
  await until("the new rules are ready", () => prepared > 0);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(detection.loaded.active[0], before, "they wait");
  batch.resolve();
  await judging;
  await reloading;
  assert.notEqual(detection.loaded.active[0]!.hash, before!.hash);
});

Deno.test("a version whose window is longer than may be is rejected, and does not take the place of one that fits", () => {
  const text = (window: string): string =>
    `id: burst\ntitle: T\ndescription: D\nseverity: low\nwindow: ${window}\nsql: |\n` +
    "  SELECT ppid, count(*) AS n FROM process_events WHERE name = 'a' GROUP BY ppid HAVING count(*) > 2\n";
  using dir = new TempDir();
  const loader = new RulesLoader([dir.path], 60_000),
    write = (window: string): void => Deno.writeTextFileSync(`${dir.path}/burst.yml`, text(window));
  const load = () => allSteps(loader.load());
  write("2m");
  const [rejected] = load().others;
  assert.deepEqual([rejected!.state, load().active], ["rejected", []]);
  assert.match(rejected!.reason!, /its window 2m is longer than 1m; raise agent.window_minutes/);
  write("1m");
  const [fitting] = load().active;
  assert.equal(fitting!.windowMs, 60_000);
  write("61s");
  const { active, others, remarks } = load();
  assert.deepEqual([active.map(({ hash }) => hash), others], [[fitting!.hash], []]);
  assert.match(
    remarks.get("burst")!.reason,
    /^its window 61s is longer than 1m.*the version before this one stays active/,
  );
});

Deno.test("noteRules() tells the ledger of every change of what is judged, overrides included, and of no other", () => {
  using dir = new TempDir();
  const directory = `${dir.path}/rules`,
    loader = new RulesLoader([directory]),
    write = (name: string, text: string) => Deno.writeTextFileSync(`${directory}/${name}`, text);
  Deno.mkdirSync(directory);
  write("a.yml", ruleText("rule-a", "name = 'a'"));
  write("b.yml", ruleText("rule-b", "name = 'b'"));
  const store = new Store(`${dir.path}/events.db`);
  const noted = () => {
    noteRules(store, allSteps(loader.load()), []);
    return store.notesFor("col").map(({ payload }) => decodeStatement("rulesChanged", payload).value);
  };
  assert.equal(noted().length, 1);
  assert.equal(noted().length, 1, "nothing changed");
  write("a.yml", ruleText("rule-a", "name = 'changed'"));
  assert.equal(noted().length, 2);
  const override = (what: string): void => write("overrides.yml", `overrides:\n  - {id: rule-b, ${what}, reason: r}\n`);
  override("severity: info");
  assert.equal(noted().length, 3);
  override("state: draft");
  const last = noted().at(-1)!;
  assert.deepEqual([last.active, last.drafts, last.rejected, last.disabled], [1, 1, 0, 0]);
  override("state: disabled");
  assert.deepEqual([noted().at(-1)!.disabled, noted().length], [1, 5]);
  assert.equal(new Set(noted().map(({ digest }) => digest)).size, 5);
  store.close();
});

Deno.test("RuleReloader loads rules for the first time in slices, says how far it is, and then finds nothing changed", async () => {
  using dir = new TempDir();
  const directory = `${dir.path}/rules`, lines: string[] = [], told: string[] = [];
  Deno.mkdirSync(directory);
  for (let i = 0; i < 300; i++) {
    Deno.writeTextFileSync(`${directory}/r-${i}.yml`, ruleText(`rule-${i}`, `name = 'n${i}'`));
  }
  const journal = new Journal((line) => lines.push(line)), counters = newCounters();
  const detection = new Detection(NO_RULES, { deadlineMs: 60_000, journal, counters });
  const reloader = new RuleReloader({
    directories: [directory],
    loader: new RulesLoader([directory]),
    detection,
    turn: new Turn(),
    store: () => null,
    journal,
    progress: (text) => told.push(text),
    tellMs: 0,
    quietMs: 1,
    pollMs: 20,
  });
  let pauses = 0;
  const timer = setInterval(() => pauses++, 0);
  // Asked for meanwhile, it is loaded again when the first time is over
  const [loaded] = await Promise.all([reloader.first(), reloader.reload()]);
  clearInterval(timer);
  assert.equal(loaded.active.length, 300);
  assert.deepEqual([detection.active, reloader.reloads], [300, 1]);
  assert.ok(pauses > 3, `${pauses}`);
  assert.match(told.join("\n"), /^\d+ of 300 rule files are read$/m);
  assert.match(lines.join("\n"), /loading rules: \d+ of 300 rule files are read, after \d+ s/);
  reloader.begin();
  const change = reloader.reload();
  Deno.writeTextFileSync(`${directory}/new.yml`, ruleText("rule-new", "name = 'new'"));
  await change;
  await until("the new one judges", () => detection.active === 301);
  await reloader.stop();
  detection.close();
});

Deno.test("RuleReloader gives up a first load when it is told to stop", async () => {
  using dir = new TempDir();
  for (let i = 0; i < 300; i++) {
    Deno.writeTextFileSync(`${dir.path}/r-${i}.yml`, ruleText(`rule-${i}`, `name = 'n${i}'`));
  }
  const journal = new Journal(() => {}),
    detection = new Detection(NO_RULES, { deadlineMs: 60_000, journal, counters: newCounters() });
  const loader = new RulesLoader([dir.path]), turn = new Turn();
  const reloader = new RuleReloader({ directories: [dir.path], loader, detection, turn, store: () => null, journal });
  const first = reloader.first();
  await reloader.stop();
  await assert.rejects(first, /the agent stops/);
  assert.equal(detection.active, 0);
  detection.close();
});

Deno.test("RuleRecord writes what the rules are, one list after the other, and leaves a store that is closed meanwhile", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path), journal = new Journal(() => {});
  const rule = (id: string) => validateRule(parseRule(ruleText(id, "name = 'a'"), `${id}.yml`));
  const ids = Array.from({ length: 600 }, (_, i) => `rule-${String(i).padStart(3, "0")}`);
  const options = { deadlineMs: 60_000, journal, counters: newCounters() };
  let detection = new Detection({ ...NO_RULES, active: ids.map(rule) }, options), open: Store | null = store;
  const faults: unknown[] = [];
  const record = new RuleRecord({
    detection: () => detection,
    store: () => open,
    failed: (_, error) => faults.push(error),
  });
  const stored = () => rows(path, "SELECT rule_id FROM detection_rules ORDER BY rule_id").map((row) => row["rule_id"]);
  await record.write(store);
  assert.deepEqual(stored(), ids);
  detection.close();
  detection = new Detection({ ...NO_RULES, active: ids.slice(300).map(rule) }, options);
  record.ask();
  record.ask();
  await record.write(store);
  assert.deepEqual(stored(), ids.slice(300));
  assert.equal(store.notesFor("col").length, 2, "the ledger is told of each change once");
  detection.close();
  detection = new Detection({ ...NO_RULES, active: ids.map(rule) }, options);
  const writing = record.write(store);
  await Promise.resolve(); // it has begun, and no step of it is made once the store is not in use
  open = null;
  await writing;
  assert.deepEqual(faults, []);
  open = store;
  await record.write(store);
  assert.deepEqual(stored(), ids);
  detection.close();
  store.close();
});

/** Events of one second, and for how many seconds at least. */
const RATE = 5_000, SECONDS = 4, TICK_MS = 10, RULES = 1_000;

Deno.test("1,000 rules are reloaded again and again under 5,000 events/s, and no event and no match is lost", async () => {
  const files: Record<string, string> = { "marked.yml": ruleText("marked", "name = 'marked'") };
  for (let i = 0; i < RULES - 1; i++) files[`shaped-${i}.yml`] = ruleFile(1, i, "linux");
  await using world = new World(files);
  assert.equal(world.detection.active, RULES);
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path), stream = openTestStream(store);
  const { detection, counters, turn } = world;
  const ingest = new Ingest({ store, detection, turn, counters, alerted: () => {}, failed: () => {} });
  let sent = 0, marked = 0, version = 0, reloading: Promise<void> = Promise.resolve(), busy = false;
  const began = performance.now();
  for (;;) {
    const due = Math.floor((performance.now() - began) * RATE / 1_000);
    if (due > sent) {
      const events = Array.from({ length: due - sent }, (_, i) => {
        const n = sent + i, isMarked = n % 7 === 0;
        marked += Number(isMarked);
        const event = blankProcessEvent("start", 1_700_000_000_000 + n, `0123abcd-${n + 1}-${n}`, n + 1);
        return { ...event, name: isMarked ? "marked" : "quiet", executablePath: "/usr/bin/x" };
      });
      const message = { kind: "events", firstSequence: sent + 1, events } as const;
      await ingest.take(stream, [message], { lastEventTime: 0 }, () => Promise.resolve(true));
      sent = due;
    }
    if (sent >= RATE * SECONDS && world.reloader.reloads >= 1) break;
    if (!busy) {
      // Every rule is another version, so that all of them are read, checked and compiled again
      busy = true;
      version += 1;
      for (const [name, text] of Object.entries(files)) world.write(name, `${text}# version ${version}\n`);
      reloading = world.reloader.reload().then(() => void (busy = false));
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await reloading;
  const [{ n: events }] = rows(path, "SELECT count(*) AS n FROM process_events") as [{ n: number }];
  const [{ n: alerts }] = rows(path, "SELECT count(*) AS n FROM alerts WHERE rule_id = 'marked'") as [{ n: number }];
  assert.equal(events, sent);
  assert.equal(alerts, marked);
  const status = detection.statuses().find((rule) => rule.id === "marked")!;
  assert.deepEqual([status.matches, status.hits, status.rows], [marked, marked, events], "counted over all versions");
  const raised = rows(path, "SELECT DISTINCT rule_hash FROM alerts WHERE rule_id = 'marked'");
  assert.ok(raised.length >= 2 && raised.every((row) => /^[0-9a-f]{64}$/.test(String(row["rule_hash"]))));
  console.log(
    `${world.reloader.reloads} reloads of ${RULES} rules, ${events} events, ${alerts} matches of ${marked}; ` +
      `longest slice of the last reload ${world.reloader.longestSliceMs.toFixed(1)} ms`,
  );
  store.close();
});
