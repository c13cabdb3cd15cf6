import assert from "node:assert/strict";
import { readTar, writeTar } from "../../cli/tar.ts";
import { loadRuleFiles } from "../agent/support.ts";
import { knownRules } from "../proto/sigma/known_rules.ts";
import { cli } from "../support/cli_run.ts";
import { TestState } from "../support/test_store.ts";

function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    Deno.mkdirSync(`${root}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(`${root}/${name}`, text);
  }
}

const KNOWN = knownRules(3, 300);
const OTHERS = {
  ".github/workflow.yml": "on: push\n",
  "docs/config.yaml": "just: a mapping\n",
  "README.md": "no YAML",
  "rules/broken.yml": "title: 'x\nlogsource:\n",
};
const SUM = (() => {
  const of = (word: string): number => KNOWN.filter(({ verdict }) => verdict === word).length;
  return `301 rules: ${of("live")} live, ${of("partial")} partial, ${of("unsupported") + 1} unsupported`;
})();

Deno.test("rules import prints a verdict for each rule of a checkout, and the sums", async () => {
  using state = new TestState();
  const root = `${state.directory}/checkout`;
  write(root, { ...Object.fromEntries(KNOWN.map(({ file, text }) => [file, text])), ...OTHERS });
  const { out, err, code } = await cli(state, ["rules", "import", root, "--format", "json"], { stderrTerminal: true });
  assert.equal(code, 0, err);
  const rows = JSON.parse(out) as {
    verdict: string;
    file: string;
    rule_id: string;
    line: number;
    reason: string | null;
  }[];
  assert.equal(rows.length, 301);
  const byFile = new Map(rows.map((row) => [row.file, row]));
  for (const { file, verdict, line, reason, id } of KNOWN) {
    const row = byFile.get(file)!;
    assert.equal(row.verdict, verdict, file);
    if (verdict === "live") assert.deepEqual([row.rule_id, row.reason], [id, null]);
    else assert.deepEqual([row.line, row.reason?.includes(reason!)], [line, true], `${file}: ${row.reason}`);
  }
  assert.equal(byFile.get("rules/broken.yml")!.verdict, "unsupported");
  assert(err.includes(SUM), err);
  assert.match(err, /302 files read in .*, 1 of them no Sigma/);
  assert.match(err, /of 302 files read/, "progress");
  assert.match(err, /[0-9]+ unsupported: .*is not of a Linux host/);
});

Deno.test("rules import as a table names file, line and reason; without a terminal there is no progress", async () => {
  using state = new TestState();
  const root = `${state.directory}/checkout`;
  write(root, Object.fromEntries(KNOWN.slice(0, 40).map(({ file, text }) => [file, text])));
  const { out, err, code } = await cli(state, ["rules", "import", root]);
  assert.equal(code, 0);
  const bad = KNOWN.slice(0, 40).find(({ verdict }) => verdict === "unsupported")!;
  assert(out.includes(`${bad.file}:${bad.line}`), out);
  assert(!err.includes("\r"));
});

Deno.test("rules import --tar gives what runs, which the agent loads as the verdicts say", async () => {
  using state = new TestState();
  const root = `${state.directory}/checkout`, live = KNOWN.filter(({ verdict }) => verdict === "live");
  const [first, second] = live, bad = KNOWN.find(({ verdict }) => verdict === "unsupported")!;
  const mixed = `${first!.text.replace(/id: .*/, "id: 10000000-0000-4000-8000-000000000001")}---\n${
    bad.text.replace(/id: .*/, "id: 10000000-0000-4000-8000-000000000002")
  }---\n${second!.text.replace(/id: .*/, "id: 10000000-0000-4000-8000-000000000003")}`;
  write(root, {
    ...Object.fromEntries(KNOWN.map(({ file, text }) => [file, text])),
    ...OTHERS,
    "rules/odd name ä.yml": mixed,
    "sigma-mapping.yml": "fields:\n    Odd: name\n",
  });
  const { out, err, code } = await cli(state, ["rules", "import", root, "--tar"]);
  assert.equal(code, 0, err);
  const files = [...readTar(new TextEncoder().encode(out))];
  const unpacked = `${state.directory}/unpacked`;
  for (const { path, bytes } of files) {
    write(unpacked, { [path]: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) });
  }
  assert(files.some(({ path }) => path === "sigma/rules/odd_name__.yml"), files.map(({ path }) => path).join(" "));
  const one = files.find(({ path }) => path === `sigma/${first!.file}`)!;
  assert.equal(new TextDecoder().decode(one.bytes), first!.text, "a file that runs is there as it is");
  const { active, others, notices, remarks } = loadRuleFiles([unpacked]);
  const runs = KNOWN.filter(({ verdict }) => verdict !== "unsupported");
  assert.deepEqual(others, []);
  assert.deepEqual(notices, []);
  assert.equal(active.length, runs.length + 2);
  assert.deepEqual(
    [...remarks.keys()].sort(),
    KNOWN.filter(({ verdict }) => verdict === "partial").map(({ id }) => id).sort(),
  );
});

Deno.test("rules import reads a tar from standard input, and says what is none", async () => {
  using state = new TestState();
  let tar = "";
  writeTar(KNOWN.map(({ file, text }) => ({ path: `./${file}`, text })), (text) => tar += text);
  const { out, err, code } = await cli(state, ["rules", "import", "-", "-f", "jsonl"], { stdin: tar });
  assert.equal(code, 0, err);
  assert.equal(out.trimEnd().split("\n").length, 300);
  const empty = await cli(state, ["rules", "import", "-"], { stdin: "x".repeat(2_000) });
  assert.deepEqual([empty.code, /is no tar archive/.test(empty.err)], [1, true], empty.err);
  const packed = await cli(state, ["rules", "import", "-"], {
    stdin: Uint8Array.of(0x1f, 0x8b, ...Array(600).fill(1)),
  });
  assert.match(packed.err, /It is compressed; unpack it first/);
  const cut = await cli(state, ["rules", "import", "-"], { stdin: tar.slice(0, 700) });
  assert.match(cut.err, /ends before its last file/);
});

Deno.test("rules import of what is not there, or holds no Sigma, fails with words", async () => {
  using state = new TestState();
  const none = await cli(state, ["rules", "import", `${state.directory}/none`]);
  assert.deepEqual([none.code, /There is no directory/.test(none.err)], [1, true]);
  write(`${state.directory}/other`, { "a.yml": "a: 1\n" });
  const other = await cli(state, ["rules", "import", `${state.directory}/other`]);
  assert.deepEqual([other.code, /There is no Sigma rule in/.test(other.err)], [1, true]);
  assert.equal((await cli(state, ["rules", "import"])).code, 2);
});

Deno.test("rules validate, test, explain and list know Sigma rules", async () => {
  using state = new TestState();
  const text =
    `title: A rule\nid: 10000000-0000-4000-8000-000000000001\nlogsource:\n    category: process_creation\n    product: linux\n` +
    `detection:\n    a:\n        CommandLine|contains: evil\n    b:\n        OriginalFileName: x\n    condition: 1 of *\n` +
    `daemoneye:\n    tests:\n        match:\n            - { command_line: very evil }\n        no_match:\n            - { command_line: good }\n`;
  write(state.layout.rules, {
    "a.yml": text,
    "b.yml": text.replace("00001\n", "00002\n").replace("contains: evil", "contain: evil"),
  });
  const validated = await cli(state, ["rules", "validate"]);
  assert.equal(validated.out.replaceAll(state.layout.rules, ""), '/b.yml:8:9: The modifier "contain" is unknown\n');
  assert.equal(validated.err, "1 rule right, 1 refused\n");
  const tested = await cli(state, ["rules", "test", `${state.layout.rules}/a.yml`]);
  assert.deepEqual([tested.code, tested.out, tested.err], [0, "", "1 rule, 2 of 2 tests passed\n"]);
  const explained = await cli(state, ["rules", "explain", "10000000-0000-4000-8000-000000000001"]);
  assert.equal(explained.code, 0, explained.err);
  assert.match(explained.out, /command_line contains "evil"/);
  assert.match(
    explained.out,
    /left out, since this host cannot tell it[\s\S]*OriginalFileName is not seen.*\(line 10\)/,
  );
  const failing = await cli(state, ["rules", "test", "-"], { stdin: text.replace("very evil", "very good") });
  assert.deepEqual([failing.code, /stdin:15:15: .*must match this row/.test(failing.out)], [4, true], failing.out);
});
