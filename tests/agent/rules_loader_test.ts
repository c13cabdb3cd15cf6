import assert from "node:assert/strict";
import { RulesLoader } from "../../agent/rules_loader.ts";
import { MAX_RULE_FILE_BYTES } from "../../agent/rule_directories.ts";
import { loadRuleFiles, TempDir } from "./support.ts";

function ruleText(id: string, sql = "SELECT pid FROM process_events WHERE name = 'x'", more = ""): string {
  return `id: ${id}\ntitle: T\ndescription: D\nseverity: low\ntags: []\nsql: ${sql}\n${more}`;
}

Deno.test("RulesLoader takes rules of all directories below the given ones, and nothing else", () => {
  using dir = new TempDir();
  const { path } = dir;
  for (const directory of ["a", "a/deep", "b"]) Deno.mkdirSync(`${path}/${directory}`);
  Deno.writeTextFileSync(`${path}/a/one.yml`, ruleText("one"));
  Deno.writeTextFileSync(`${path}/a/deep/two.yaml`, ruleText("two"));
  Deno.writeTextFileSync(`${path}/b/three.yml`, ruleText("three"));
  Deno.writeTextFileSync(`${path}/b/notes.txt`, "not a rule");
  Deno.writeTextFileSync(`${path}/outside.yml`, ruleText("outside"));
  Deno.symlinkSync(`${path}/outside.yml`, `${path}/b/link.yml`);
  Deno.symlinkSync(path, `${path}/b/up`);
  new Deno.Command("mkfifo", { args: [`${path}/b/pipe.yml`] }).outputSync();
  const { active, others, notices } = loadRuleFiles([`${path}/a`, `${path}/b`, `${path}/a`]);
  assert.deepEqual(active.map((rule) => rule.id).sort(), ["one", "three", "two"]);
  assert.deepEqual(others, []);
  assert.deepEqual(notices, []);
});

Deno.test("RulesLoader rejects a faulty rule with file, line, column and reason, and keeps the others", () => {
  using dir = new TempDir();
  const cases: Record<string, [string | Uint8Array<ArrayBuffer>, RegExp, boolean]> = {
    "broken-yaml.yml": ["id: [", /./, true],
    "unknown-column.yml": [ruleText("unknown-column", "SELECT nope FROM process_events"), /nope/, true],
    "forbidden-function.yml": [
      ruleText("forbidden", "SELECT load_extension('x') AS a FROM process_events"),
      /load_ext/,
      true,
    ],
    "two-statements.yml": [ruleText("two-statements", "SELECT pid FROM process_events; DROP TABLE alerts"), /./, true],
    "not-utf8.yml": [Uint8Array.of(0x69, 0x64, 0x3a, 0xff, 0xfe), /./, false],
    "large.yml": ["#".repeat(MAX_RULE_FILE_BYTES + 1), /at most 262144 are read/, false],
  };
  for (const [name, [text]] of Object.entries(cases)) {
    if (typeof text === "string") Deno.writeTextFileSync(`${dir.path}/${name}`, text);
    else Deno.writeFileSync(`${dir.path}/${name}`, text);
  }
  Deno.writeTextFileSync(`${dir.path}/good.yml`, ruleText("good"));
  const { active, others } = loadRuleFiles([dir.path]);
  assert.deepEqual(active.map((rule) => rule.id), ["good"]);
  assert.equal(others.length, Object.keys(cases).length);
  for (const [name, [, reason, placed]] of Object.entries(cases)) {
    const file = `${dir.path}/${name}`;
    const row = others.find((other) => other.file === file)!;
    assert.equal(row.id, file);
    assert.equal(row.state, "rejected");
    assert.match(row.reason!, reason, name);
    assert.equal(row.line !== null && row.column !== null, placed, name);
  }
});

Deno.test("RulesLoader rejects the second rule of an id and names the first", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/a.yml`, ruleText("same"));
  Deno.writeTextFileSync(`${dir.path}/b.yml`, ruleText("same"));
  const { active, others } = loadRuleFiles([dir.path]);
  assert.equal(active[0]!.file, `${dir.path}/a.yml`);
  assert.equal(others[0]!.file, `${dir.path}/b.yml`);
  assert.match(others[0]!.reason!, /same.*a\.yml/);
});

Deno.test("RulesLoader shows a rule that its file turns off as disabled", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/off.yml`, ruleText("off-rule", undefined, "enabled: false\n"));
  const { active, others } = loadRuleFiles([dir.path]);
  assert.deepEqual(active, []);
  assert.deepEqual(others.map((row) => [row.id, row.state]), [["off-rule", "disabled"]]);
});

Deno.test("RulesLoader says what is wrong with a directory, with its mend", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/file`, "");
  const { notices } = loadRuleFiles([`${dir.path}/none`, `${dir.path}/file`]);
  assert.match(notices[0]!, /none does not exist; create it, or set rules_dirs/);
  assert.match(notices[1]!, /file cannot be read .*; create it, or set rules_dirs/);
});

Deno.test("RulesLoader loads the twenty rules that come with the program", () => {
  const { active, others, notices } = loadRuleFiles([new URL("../../rules", import.meta.url).pathname]);
  assert.ok(active.length >= 20);
  assert.deepEqual(others.filter((row) => row.state === "rejected"), []);
  assert.deepEqual(notices, []);
});

Deno.test("RulesLoader takes the first 10,000 files and says so", () => {
  using dir = new TempDir();
  for (let i = 0; i <= 10_000; i++) {
    const good = i % 5_000 === 0;
    Deno.writeTextFileSync(
      `${dir.path}/${String(i).padStart(5, "0")}.yml`,
      good ? ruleText(`rule-${i}`) : `id: [${i}\n`,
    );
  }
  const { active, others, notices } = loadRuleFiles([dir.path]);
  assert.deepEqual(active.map((rule) => rule.id), ["rule-0", "rule-5000"]);
  assert.equal(others.length, 9_998);
  assert(
    others.every(({ state, line, column, reason }) => state === "rejected" && line === 2 && column === 1 && reason),
  );
  assert.match(notices.join(), /There are 10001 rule files; the first 10000 are loaded, remove some/);
});

Deno.test("RulesLoader reads a file of 10 MB no further than it may", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/large.yml`, ruleText("large") + "# x\n".repeat(2_621_440));
  const { others } = loadRuleFiles([dir.path]);
  assert.match(others[0]!.reason!, /has 104858[0-9]+ bytes; at most 262144 are read/);
});

/** A long rule whose first and last lines name the writer's version. */
function versioned(name: string): string {
  return ruleText("changing", undefined, `${"# padding\n".repeat(20_000)}references: [${name}]\n`).replace(
    "title: T",
    `title: ${name}`,
  );
}

/** Loads while a shell writes the file over and over; gives what was seen: titles, or why it was rejected. */
async function whileWritten(write: string): Promise<Map<string, number>> {
  using dir = new TempDir();
  for (const name of ["a", "b"]) Deno.writeTextFileSync(`${dir.path}/${name}`, versioned(name));
  Deno.mkdirSync(`${dir.path}/rules`);
  Deno.copyFileSync(`${dir.path}/a`, `${dir.path}/rules/changing.yml`);
  const loop = `while [ ! -e stop ]; do for f in a b; do ${write}; done; done`;
  const shell = new Deno.Command("sh", { args: ["-c", loop], cwd: dir.path }).spawn();
  const seen = new Map<string, number>();
  try {
    for (let i = 0; i < 400; i++) {
      const { active, others } = loadRuleFiles([`${dir.path}/rules`]);
      for (const { title, references } of active) {
        assert(references.every((name) => name === title), "half of one, half of the other");
      }
      const what = active[0]?.title ?? others[0]?.reason ?? "nothing";
      seen.set(what, (seen.get(what) ?? 0) + 1);
    }
  } finally {
    Deno.writeTextFileSync(`${dir.path}/stop`, "");
    await shell.status;
  }
  return seen;
}

Deno.test("RulesLoader reads a file that is replaced meanwhile as it was or as it is", async () => {
  const seen = await whileWritten("cp $f new.tmp; mv new.tmp rules/changing.yml");
  assert.deepEqual([...seen.keys()].filter((what) => what !== "a" && what !== "b"), []);
});

Deno.test("RulesLoader takes no half of a file that is written in place meanwhile", async () => {
  const seen = await whileWritten("cat $f > rules/changing.yml");
  for (const what of seen.keys()) {
    assert.match(
      what,
      /^[ab]$|written to while it was read|mapping|missing|not 0|expected|unexpected|character|empty|sequence/i,
    );
  }
});

Deno.test("RulesLoader.load() reads at most one file in a step, and of known ones looks at few", () => {
  using dir = new TempDir();
  const count = 200, loader = new RulesLoader([dir.path]);
  for (let i = 0; i < count; i++) Deno.writeTextFileSync(`${dir.path}/r-${i}.yml`, ruleText(`rule-${i}`));
  /** How many steps there were, and the most files that one of them was done with. */
  const load = (): { steps: number; most: number; active: number } => {
    const work = loader.load();
    let steps = 0, most = 0, before = 0;
    for (;;) {
      const { done, value } = work.next(), now = loader.progress.done;
      steps += 1;
      most = Math.max(most, now - before);
      before = now;
      if (done) return { steps, most, active: value.active.length };
    }
  };
  assert.equal(loader.seen, null);
  const fresh = load();
  assert.deepEqual([fresh.most, fresh.active, loader.progress], [1, count, { done: count, of: count }]);
  assert.ok(fresh.steps > 3 * count, `${fresh.steps} steps`);
  assert.equal(loader.seen, loader.fingerprint());
  const known = load();
  assert.ok(known.most <= 64 && known.steps > 2 * count / 64, `${known.steps} steps, ${known.most} files in one`);
  Deno.writeTextFileSync(
    `${dir.path}/r-7.yml`,
    ruleText("rule-7", "SELECT pid FROM process_events WHERE name = 'changed'"),
  );
  assert.notEqual(loader.seen, loader.fingerprint());
  assert.equal(load().active, count);
});
