import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { TestState } from "../support/test_store.ts";

const HEAD = "title: A rule\ndescription: For a test\nseverity: low\n";
const RIGHT = `id: netcat\n${HEAD}sql: SELECT pid FROM process_events WHERE name = 'nc'
tests:
  match:
    - { name: nc }
  no_match:
    - { name: cat }
`;
const WRONG_COLUMN = `id: wrong-column\n${HEAD}sql: |\n  SELECT pid FROM process_events\n  WHERE nam = 'nc'\n`;
const FAILING = RIGHT.replace("id: netcat", "id: failing").replace("{ name: nc }", "{ name: ncat }");

function world(files: Record<string, string | Uint8Array>): TestState {
  const state = new TestState();
  for (const [name, content] of Object.entries(files)) {
    const path = `${state.layout.rules}/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  }
  return state;
}

Deno.test("rules validate names file, line, column and reason of each fault, and goes on", async () => {
  using state = world({
    "a.yml": RIGHT,
    "deep/b.yaml": WRONG_COLUMN,
    "c.yml": Uint8Array.of(0xff, 0xfe),
    "d.yml": "id: [",
    "e.txt": "no rule",
    "z.yml": RIGHT,
  });
  const { out, err, code } = await cli(state, ["rules", "validate"]);
  const lines = out.replaceAll(state.layout.rules, "RULES").trimEnd().split("\n");
  assert.equal(lines.length, 4, out);
  assert.equal(lines[0], "RULES/c.yml: The file is not UTF-8");
  assert.match(lines[1]!, /^RULES\/d\.yml:1:\d+: /);
  assert.match(lines[2]!, /^RULES\/deep\/b\.yaml:7:9: There is no column nam; did you mean name\?$/);
  assert.match(lines[3]!, /^RULES\/z\.yml:1:5: The id netcat is also that of .*a\.yml/);
  assert.deepEqual([err, code], ["1 rule right, 4 refused\n", 4]);
});

Deno.test("rules validate says nothing on stdout when all is right", async () => {
  using state = world({ "a.yml": RIGHT });
  const result = await cli(state, ["rules", "validate"]);
  assert.deepEqual([result.code, result.out, result.err], [0, "", "1 rule right, 0 refused\n"]);
});

Deno.test("rules validate takes files, directories and standard input, each file once", async () => {
  using state = world({ "a.yml": RIGHT });
  const file = `${state.layout.rules}/a.yml`;
  const both = await cli(state, ["rules", "validate", file, state.layout.rules, "-"], {
    stdin: WRONG_COLUMN,
  });
  assert.match(both.out, /^stdin:7:9: There is no column nam/);
  assert.equal(both.err, "1 rule right, 1 refused\n");
  const missing = await cli(state, ["rules", "validate", `${file}x`]);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /There is no rule file/);
});

Deno.test("rules validate gives its findings to programs", async () => {
  using state = world({ "b.yml": WRONG_COLUMN });
  const { out } = await cli(state, ["rules", "validate", "-f", "json"]);
  const [finding] = JSON.parse(out);
  assert.deepEqual([finding.line, finding.column, finding.reason], [
    7,
    9,
    "There is no column nam; did you mean name?",
  ]);
});

Deno.test("rules test names each row that fails, and what was expected of it", async () => {
  using state = world({ "a.yml": RIGHT, "f.yml": FAILING });
  const { out, err, code } = await cli(state, ["rules", "test"]);
  assert.match(out, /^.*\/f\.yml:8:7: failing: the rule must match this row and does not\n$/);
  assert.deepEqual([err, code], ["2 rules, 3 of 4 tests passed\n", 4]);
  const rows = JSON.parse((await cli(state, ["rules", "test", "-f", "json"])).out);
  assert.deepEqual(
    rows.map((row: Record<string, unknown>) => [row["rule_id"], row["expected"], row["got"], row["passed"]]),
    [
      ["failing", "match", "no_match", 0],
      ["failing", "no_match", "no_match", 1],
      ["netcat", "match", "match", 1],
      ["netcat", "no_match", "no_match", 1],
    ],
  );
});

Deno.test("rules test says which rules have no tests, and fails for those refused", async () => {
  using state = world({ "a.yml": RIGHT.slice(0, RIGHT.indexOf("tests:")), "b.yml": WRONG_COLUMN });
  const { out, err, code } = await cli(state, ["rules", "test"]);
  assert.match(out, /b\.yml:7:9: /);
  assert.match(err, /a\.yml: netcat has no tests\n1 rule, 0 of 0 tests passed, 1 rule refused\n$/);
  assert.equal(code, 4);
});

Deno.test("rules list falls back from the agent to the store to the files, and says so", async () => {
  using state = world({ "a.yml": RIGHT, "b.yml": WRONG_COLUMN });
  state.insert("detection_rules", { rule_id: "stored", severity: "low", title: "t", state: "active", file: "/r" });
  state.live();
  const ids = async (): Promise<[string[], string]> => {
    const { out, err } = await cli(state, ["rules", "list", "-f", "json"]);
    return [JSON.parse(out).map((row: { rule_id: string }) => row.rule_id), err];
  };
  assert.deepEqual(await ids(), [["test-rule"], ""]);
  Deno.removeSync(state.layout.agentStatus);
  const [stored, noAgent] = await ids();
  assert.deepEqual(stored, ["stored"]);
  assert.match(noAgent, /rules of its last start/);
  state.stop();
  Deno.removeSync(state.layout.store);
  const [files, noStore] = await ids();
  assert.deepEqual(files, ["netcat", `${state.layout.rules}/b.yml`]);
  assert.match(noStore, /rules of the files\n1 rule rejected/);
});
