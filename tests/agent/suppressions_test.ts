// What exceptions and filters take is counted once a batch is stored, stays over reloads, and is told: to the status, to
// the ledger, and in the journal when one has ended. Exceptions are loaded and taken over like rules.
import assert from "node:assert/strict";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { ExceptionWatch } from "../../agent/exception_watch.ts";
import { Journal } from "../../agent/journal.ts";
import type { NewNote } from "../../agent/ledger_notes.ts";
import { RulesLoader } from "../../agent/rules_loader.ts";
import { allSteps } from "../../proto/steps.ts";
import type { Store } from "../../agent/store/store.ts";
import type { Stream } from "../../agent/store/streams.ts";
import { NOTE_EVERY_MS } from "../../agent/suppressions.ts";
import { eventRow, type SqlValue } from "../../proto/event_row.ts";
import { BOOT_ID, start, TempDir } from "./support.ts";

const STREAM: Stream = {
  number: 3,
  collectorId: "col",
  epoch: "e",
  bootId: BOOT_ID,
  version: "1",
  source: "ebpf",
  lastSequence: 0,
};
const NOW = start(1).time, DAY_MS = 86_400_000;
const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

function row(sequence: number, parentName: string): SqlValue[] {
  const event = start(sequence, { name: "su", parentName, userId: 0 });
  return eventRow(event, STREAM.number * 2 ** 40 + sequence, "col");
}

const RULES: Readonly<Record<string, string>> = {
  "one.yml":
    "id: one-row\ntitle: T\ndescription: D\nseverity: low\ntags: [attack.t1003]\nsql: SELECT pid FROM process_events WHERE name = 'su'\n",
  "count.yml":
    "id: counted\ntitle: T\ndescription: D\nseverity: low\ncorrelation: { type: count, of: name = 'su', by: [user_id], within: 1h, at_least: 2 }\n",
  "sigma.yml":
    "title: S\nid: 00000000-0000-4000-8000-000000000001\nlogsource: { product: linux, category: process_creation }\ndetection: { s: { Image|endswith: prog }, condition: s }\n",
  "filter.yml":
    `title: F\nid: 00000000-0000-4000-8000-00000000000f\nauthor: bob\ndescription: harmless\nlogsource: { product: linux, category: process_creation }\nfilter: { rules: any, s: { ParentImage: x }, condition: s }\ndaemoneye: { expires: ${
      day(NOW - 9 * DAY_MS)
    } }\n`,
};

const exception = (where: string, expires: string, rules = "'*'", id = "backup"): string =>
  `exceptions:\n  - id: ${id}\n    rules: ${rules}\n    where: ${where}\n    reason: R\n    author: alice\n    expires: ${expires}\n`;

class World implements Disposable {
  readonly directory = new TempDir();
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly loader: RulesLoader;
  readonly detection: Detection;

  constructor(files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries({ ...RULES, ...files })) this.write(name, text);
    this.loader = new RulesLoader([this.directory.path]);
    const options = { deadlineMs: 10_000, journal: this.journal, counters: newCounters() };
    this.detection = new Detection(allSteps(this.loader.load()), options);
  }

  write(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.directory.path}/${name}`, text);
  }

  reload(): void {
    const prepared = allSteps(this.detection.prepare(allSteps(this.loader.load())));
    allSteps(this.detection.refill(prepared, null, NOW));
    this.detection.swap(prepared);
  }

  async judge(...rows: SqlValue[][]): Promise<string[]> {
    const alerts = await this.detection.judge(rows, STREAM, NOW + DAY_MS);
    this.detection.stored(alerts);
    return alerts.map((alert) => alert.ruleId).sort();
  }

  took(id = "backup"): [number, string[]] {
    const found = this.detection.suppressions.statuses().find((each) => each.id === id)!;
    return [found.suppressed, found.byRule.map(({ ruleId, count }) => `${ruleId} ${count}`)];
  }

  [Symbol.dispose](): void {
    this.detection.close();
    this.directory[Symbol.dispose]();
  }
}

const BACKUP = "parent_name = 'backup'", SIGMA = "00000000-0000-4000-8000-000000000001";

Deno.test("what an exception takes is no alert, and counts for it and for each rule once the batch is stored", async () => {
  using world = new World({ "exceptions.yml": exception(BACKUP, "never") });
  const rows = [row(1, "backup"), row(2, "backup"), row(3, "sh")];
  await world.detection.judge(rows, STREAM, NOW);
  assert.equal(world.took()[0], 0, "it is not stored yet");
  assert.deepEqual(await world.judge(...rows), [SIGMA, "one-row"]);
  assert.deepEqual(world.took(), [6, [`${SIGMA} 2`, "counted 2", "one-row 2"]]);
  const suppressed = world.detection.statuses().map((rule) => [rule.id, rule.suppressed, rule.hits]);
  assert.deepEqual(suppressed.filter(([id]) => id === "one-row"), [["one-row", 2, 1]]);
  assert.deepEqual(await world.judge(row(4, "sh")), [SIGMA, "counted", "one-row"], "the window has the third of them");
});

Deno.test("exceptions are taken over with the rules, windows included, and what they took stays", async () => {
  using world = new World({ "exceptions.yml": exception(BACKUP, "never", "[counted]") });
  assert.deepEqual(await world.judge(row(1, "backup")), [SIGMA, "one-row"]);
  world.write("exceptions.yml", exception(BACKUP, "never", "[attack.t1003]"));
  world.reload();
  // No store was read back, so the window is empty
  assert.deepEqual(await world.judge(row(2, "backup"), row(3, "backup")), [SIGMA, SIGMA, "counted"]);
  assert.deepEqual(world.took(), [3, ["one-row 2", "counted 1"]]);
  Deno.removeSync(`${world.directory.path}/exceptions.yml`);
  world.reload();
  assert.deepEqual((await world.judge(row(4, "backup"))).filter((id) => id !== "counted"), [SIGMA, "one-row"]);
});

Deno.test("a change of an exception for others leaves a window as it is", async () => {
  using world = new World({});
  await world.judge(row(1, "backup"));
  world.write("exceptions.yml", exception(BACKUP, "never", "[one-row]"));
  world.reload();
  assert.deepEqual(await world.judge(row(2, "backup")), [SIGMA, "counted"]);
});

Deno.test("a file of exceptions with a fault is told, and what it held before counts; so is a name that no rule has", async () => {
  using world = new World({ "exceptions.yml": exception(BACKUP, "never") });
  const faults = (): (string | null)[] =>
    world.detection.loaded.others.map(({ file, line, reason }) => `${file.split("/").at(-1)}:${line} ${reason}`);
  assert.deepEqual(faults(), []);
  world.write("exceptions.yml", exception("nonsense =", "never"));
  world.reload();
  assert.match(faults().join(), /^exceptions.yml:4 .*; what it held before still counts$/);
  assert.deepEqual(await world.judge(row(1, "backup")), []);
  world.write("exceptions.yml", exception(BACKUP, "never", "[one-rov, counted]"));
  world.reload();
  assert.match(faults().join(), /^exceptions.yml:3 The exception backup is for one-rov.*did you mean one-row\?/);
  assert.equal(world.detection.loaded.exceptions.exceptions.length, 1);
});

Deno.test("a directory exceptions may hold files of them and filters of Sigma", async () => {
  using world = new World({});
  Deno.mkdirSync(`${world.directory.path}/exceptions`);
  world.write("exceptions/web.yml", exception(BACKUP, "never"));
  Deno.renameSync(`${world.directory.path}/filter.yml`, `${world.directory.path}/exceptions/filter.yml`);
  world.reload();
  const kinds = world.detection.suppressions.statuses().map(({ kind, rules }) => `${kind} ${rules}`);
  assert.deepEqual(kinds.sort(), ["exception 3", "filter 1"]);
  assert.deepEqual(await world.judge(row(1, "backup")), []);
});

Deno.test("one that has ended takes nothing from then on, and says so once; the ledger is told what was taken", async () => {
  const ended = day(NOW - DAY_MS), tomorrow = Math.floor(NOW / DAY_MS) * DAY_MS + 2 * DAY_MS;
  using world = new World({
    "exceptions.yml": exception(BACKUP, ended, "'*'", "ended") +
      exception(BACKUP, day(NOW + DAY_MS), "[one-row]").replace("exceptions:\n", ""),
  });
  assert.deepEqual(await world.judge(row(1, "backup")), [SIGMA]);
  assert.deepEqual(world.took("ended"), [0, []]);
  const notes: NewNote[] = [], store = { note: (note: NewNote) => void notes.push(note) } as unknown as Store;
  const { suppressions } = world.detection, { journal } = world, failed = (): void => assert.fail();
  const watch = new ExceptionWatch({ suppressions, journal, store: () => store, failed });
  watch.look(NOW);
  watch.look(NOW + 1);
  const said = (): string[] => world.lines.filter((line) => line.includes("suppresses nothing any more"));
  assert.equal(said().length, 2, said().join("\n"));
  assert.match(said().join("\n"), new RegExp(`the exception ended .*exceptions.yml:2\\) held until ${ended}`));
  assert.match(said().join("\n"), /the filter 00000000-0000-4000-8000-00000000000f .*filter.yml:1\)/);
  watch.look(tomorrow);
  assert.equal(said().length, 3);

  const what = "hits that the exception backup kept from being alerts, of one-row", time = start(1).time;
  assert.deepEqual(notes, [{ action: "suppressed", value: { what, count: 1, from: time, to: time } }]);
});

Deno.test("the ledger is told of an exception once in a while, and at the end", async () => {
  using world = new World({ "exceptions.yml": exception(BACKUP, "never", "[one-row]") });
  const notes: NewNote[] = [], store = { note: (note: NewNote) => void notes.push(note) } as unknown as Store;
  const { suppressions } = world.detection, { journal } = world, failed = (): void => assert.fail();
  const watch = new ExceptionWatch({ suppressions, journal, store: () => store, failed });
  const counts = (): unknown[] => notes.map(({ value }) => (value as { count: number }).count);
  await world.judge(row(1, "backup"));
  watch.look(NOW);
  await world.judge(row(2, "backup"), row(3, "backup"));
  watch.look(NOW + NOTE_EVERY_MS - 1);
  assert.deepEqual(counts(), [1]);
  watch.look(NOW + NOTE_EVERY_MS);
  assert.deepEqual(counts(), [1, 2]);
  await world.judge(row(4, "backup"));
  watch.look(NOW + NOTE_EVERY_MS + 1);
  watch.stop();
  assert.deepEqual(counts(), [1, 2, 1]);
});
