import assert from "node:assert/strict";
import { loadRuleFiles, MAX_RULE_FILE_BYTES } from "../../agent/rules_loader.ts";
import { TempDir } from "./support.ts";

function ruleText(id: string, sql = "SELECT pid FROM process_events WHERE name = 'x'", more = ""): string {
  return `id: ${id}\ntitle: T\ndescription: D\nseverity: low\ntags: []\nsql: ${sql}\n${more}`;
}

Deno.test("loadRuleFiles() takes rules of all directories below the given ones, and nothing else", () => {
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

Deno.test("loadRuleFiles() rejects a faulty rule with file, line, column and reason, and keeps the others", () => {
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

Deno.test("loadRuleFiles() rejects the second rule of an id and names the first", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/a.yml`, ruleText("same"));
  Deno.writeTextFileSync(`${dir.path}/b.yml`, ruleText("same"));
  const { active, others } = loadRuleFiles([dir.path]);
  assert.equal(active[0]!.file, `${dir.path}/a.yml`);
  assert.equal(others[0]!.file, `${dir.path}/b.yml`);
  assert.match(others[0]!.reason!, /same.*a\.yml/);
});

Deno.test("loadRuleFiles() shows a rule that its file turns off as disabled", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/off.yml`, ruleText("off-rule", undefined, "enabled: false\n"));
  const { active, others } = loadRuleFiles([dir.path]);
  assert.deepEqual(active, []);
  assert.deepEqual(others.map((row) => [row.id, row.state]), [["off-rule", "disabled"]]);
});

Deno.test("loadRuleFiles() says what is wrong with a directory, with its mend", () => {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/file`, "");
  const { notices } = loadRuleFiles([`${dir.path}/none`, `${dir.path}/file`]);
  assert.match(notices[0]!, /none does not exist; create it, or set rules_dirs/);
  assert.match(notices[1]!, /file cannot be read .*; create it, or set rules_dirs/);
});

Deno.test("loadRuleFiles() loads the twenty rules that come with the program", () => {
  const { active, others, notices } = loadRuleFiles([new URL("../../rules", import.meta.url).pathname]);
  assert.ok(active.length >= 20);
  assert.deepEqual(others.filter((row) => row.state === "rejected"), []);
  assert.deepEqual(notices, []);
});
