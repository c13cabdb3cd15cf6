// Sigma files in a rules directory: loaded, loaded again, with filters and mappings that reach from file to file.
import assert from "node:assert/strict";
import { RulesLoader } from "../../agent/rules_loader.ts";
import type { LoadedRules } from "../../agent/loaded_rules.ts";
import { allSteps } from "../../proto/steps.ts";
import { PARTIAL } from "../../proto/rules/rule.ts";
import { TempDir } from "./support.ts";

const ID = (i: number): string => `10000000-0000-4000-8000-00000000000${i}`;
const rule = (i: number, detection = "CommandLine|contains: evil"): string =>
  `title: Rule ${i}\nid: ${
    ID(i)
  }\nlogsource:\n    category: process_creation\n    product: linux\ndetection:\n    a:\n        ${detection}\n` +
  "    condition: a\n";
const filter = (selection: string): string =>
  `title: Filter\nlogsource:\n    category: process_creation\nfilter:\n    rules: [${
    ID(1)
  }]\n    s:\n        ${selection}\n    condition: not s\n`;

class World implements Disposable {
  readonly #dir = new TempDir();
  readonly directories: readonly string[] = [this.#dir.path];
  readonly loader = new RulesLoader(this.directories);

  write(files: Readonly<Record<string, string | null>>): LoadedRules {
    for (const [name, text] of Object.entries(files)) {
      const path = `${this.#dir.path}/${name}`;
      if (text === null) Deno.removeSync(path);
      else {
        // Another file, so that its stamp is another
        Deno.writeTextFileSync(`${path}.new`, text);
        Deno.renameSync(`${path}.new`, path);
      }
    }
    return allSteps(this.loader.load());
  }

  [Symbol.dispose](): void {
    this.#dir[Symbol.dispose]();
  }
}

const ids = ({ active }: LoadedRules): string[] => active.map(({ id }) => id);

Deno.test("Sigma rules are rules like others: several in a file, beside our own, one broken", () => {
  using world = new World();
  const own =
    "id: own\ntitle: T\ndescription: D\nseverity: low\nsql: SELECT pid FROM process_events WHERE name = 'x'\n";
  const loaded = world.write({
    "own.yml": own,
    "sigma.yml": `${rule(1)}---\n${rule(2).replace("contains", "contain")}---\n${rule(3)}`,
    "overrides.yml": `overrides:\n  - { id: ${ID(3)}, severity: high, reason: test }\n`,
  });
  assert.deepEqual(ids(loaded), [ID(1), ID(3), "own"]);
  assert.equal(loaded.active[1]!.severity, "high");
  assert.deepEqual(loaded.others.map(({ state, line, reason }) => [state, line, reason]), [
    ["rejected", 18, 'The modifier "contain" is unknown'],
  ]);
});

Deno.test("two rules with one id: the first counts, our own before Sigma's", () => {
  using world = new World();
  const loaded = world.write({ "a.yml": rule(1), "b.yml": rule(1, "Image: x") });
  assert.equal(loaded.active.length, 1);
  assert.match(loaded.others[0]!.reason!, /is also that of .*a\.yml:1; give each rule its own/);
  assert.notEqual(loaded.others[0]!.id, ID(1));
});

Deno.test("a reload keeps the form of what did not change, also when others do", () => {
  using world = new World();
  const form = ({ active }: LoadedRules): unknown => active.find(({ id }) => id === ID(1))!.query!.row!.translation;
  const first = world.write({ "a.yml": rule(1), "b.yml": rule(2) });
  const second = world.write({ "b.yml": rule(2, "Image: x"), "c.yml": rule(3) });
  assert.equal(form(second), form(first));
  assert.deepEqual(ids(second), [ID(1), ID(2), ID(3)]);
});

Deno.test("a filter in its own file changes the rule, and gives it back when it goes", () => {
  using world = new World();
  const sql = ({ active }: LoadedRules): string => active[0]!.sql;
  const bare = world.write({ "a.yml": rule(1) });
  const filtered = world.write({ "filters.yml": filter("User: backup") });
  assert.notEqual(sql(filtered), sql(bare));
  assert.notEqual(filtered.active[0]!.hash, bare.active[0]!.hash);
  assert.deepEqual(filtered.others, []);
  const gone = world.write({ "filters.yml": null });
  assert.equal(sql(gone), sql(bare));
  assert.equal(gone.active[0]!.hash, bare.active[0]!.hash);
});

Deno.test("a filter for a rule that is not there is told", () => {
  using world = new World();
  const { others, active } = world.write({ "a.yml": rule(2), "filters.yml": filter("User: backup") });
  assert.deepEqual(ids({ active } as LoadedRules), [ID(2)]);
  assert.match(others[0]!.reason!, /There is no Sigma rule .* to filter/);
});

Deno.test("a file that is not right any more leaves its rules as they were, and says so", () => {
  using world = new World();
  world.write({ "a.yml": `${rule(1)}---\n${rule(2)}` });
  const broken = world.write({
    "a.yml": `${rule(1, "Image: x")}---\n${rule(2).replace("condition: a", "condition: b")}`,
  });
  assert.deepEqual(ids(broken), [ID(1), ID(2)]);
  assert.match(broken.active[0]!.sql, /evil/);
  assert.match(broken.others[0]!.reason!, /nothing named "b".*what it held before still counts/);
  const mended = world.write({ "a.yml": rule(1, "Image: x") });
  assert.deepEqual(ids(mended), [ID(1)]);
  assert.match(mended.active[0]!.sql, /executable_path/);
  assert.deepEqual(mended.others, []);
});

Deno.test("a rule that this host cannot judge any more stays as it was, and says so", () => {
  using world = new World();
  world.write({ "a.yml": rule(1, "Odd: x"), "sigma-mapping.yml": "fields:\n    Odd: name\n" });
  const { active, remarks, others } = world.write({ "sigma-mapping.yml": "fields:\n    Other: name\n" });
  assert.deepEqual(active.map(({ id }) => id), [ID(1)]);
  assert.match(remarks.get(ID(1))!.reason, /The field "Odd".*the version before this one stays active/);
  assert.deepEqual(others, []);
  const again = world.write({ "a.yml": rule(1) });
  assert.deepEqual([ids(again), again.remarks.size], [[ID(1)], 0]);
});

Deno.test("a rule that never could be judged is rejected, with its id, place and reason", () => {
  using world = new World();
  const { active, others } = world.write({
    "a.yml": rule(1, "Odd: x"),
    "b.yml": rule(2).replace("process_creation", "file_event"),
  });
  assert.deepEqual(active, []);
  assert.deepEqual(others.map(({ id, line, title, state }) => [id, line, title, state]), [
    [ID(1), 8, "Rule 1", "rejected"],
    [ID(2), 3, "Rule 2", "rejected"],
  ]);
});

Deno.test("a partial rule is judged and says what is missing", () => {
  using world = new World();
  const { active, remarks } = world.write({ "a.yml": rule(1, "CommandLine|re: [evil, '(?=x)']") });
  assert.equal(active.length, 1);
  assert(remarks.get(ID(1))!.reason.startsWith(PARTIAL));
  assert.match(remarks.get(ID(1))!.reason, /look-around/);
});

Deno.test("a mapping that is not right leaves the one before in place", () => {
  using world = new World();
  world.write({ "a.yml": rule(1, "Odd: x"), "sigma-mapping.yml": "fields:\n    Odd: name\n" });
  const { active, remarks, others } = world.write({ "sigma-mapping.yml": "fields:\n    Odd: nope\n" });
  assert.deepEqual([active.length, remarks.size], [1, 0]);
  assert.match(others[0]!.reason!, /no column "nope".*what it held before still counts/);
});

/** Steps that the work took, and the longest. */
function stepped<T>(work: Generator<void, T>): { value: T; steps: number } {
  for (let steps = 1;; steps++) {
    const { done, value } = work.next();
    if (done) return { value, steps };
  }
}

Deno.test("a file of many documents is loaded in steps of one, and loaded again in few", () => {
  using world = new World();
  const id = (i: number): string => `20000000-0000-4000-8000-${String(i).padStart(12, "0")}`;
  const text = (from: number, count: number): string =>
    Array.from({ length: count }, (_, i) => rule(1, `Image: x${i}`).replace(ID(1), id(from + i))).join("---\n");
  const files = 3, documents = 1_000;
  assert.deepEqual(
    ids(
      world.write(
        Object.fromEntries(Array.from({ length: files }, (_, i) => [`many-${i}.yml`, text(i * documents, documents)])),
      ),
    ).length,
    files * documents,
  );
  const again = stepped(world.loader.load());
  assert.ok(again.steps < documents, `${again.steps} steps for what did not change`);
  const fresh = new RulesLoader(world.directories), first = stepped(fresh.load());
  assert.equal(first.value.active.length, files * documents);
  // Each is read, compiled, and shown to SQLite
  assert.ok(first.steps > 3 * files * documents, `${first.steps} steps`);
  assert.ok(first.value.active.every(({ tests }) => tests.match.length === 0));
});

Deno.test("correlations are rules over a window; their rules raise no alerts of their own", () => {
  using world = new World();
  const correlation =
    `title: Many\nid: ${ID(9)}\ncorrelation:\n    type: event_count\n    rules: [${ID(1)}]\n    group-by: [User]\n` +
    "    timespan: 1m\n    condition:\n        gte: 3\n";
  const { active } = world.write({ "a.yml": rule(1), "many.yml": correlation });
  assert.deepEqual(active.map(({ id, status, windowMs }) => [id, status, windowMs]), [[ID(1), "draft", null], [
    ID(9),
    "active",
    60_000,
  ]]);
  const alone = world.write({ "many.yml": null });
  assert.equal(alone.active[0]!.status, "active");
});
