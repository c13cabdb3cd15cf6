// Exceptions and coverage at the command line: what the files say where no agent runs, and what a rule would have found
// with the exceptions that there are.
import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { AGENT, NOW, TestState } from "../support/test_store.ts";

const HEAD = "title: A rule\ndescription: For a test\nseverity: low\n";
const ROW = `id: odd-one\n${HEAD}tags: [attack.execution, attack.t1059.004]\nsql: |
  SELECT pid FROM process_events WHERE name = 'odd'
`;
const COUNT = `id: odd-count\n${HEAD}correlation:\n  type: count\n  of: name = 'odd'\n  within: 1h\n  at_least: 3\n`;
const SIGMA = `title: S\nid: 00000000-0000-4000-8000-000000000001\nlevel: low\ntags: [attack.discovery, attack.t1082]
logsource: { product: linux, category: process_creation }
detection: { s: { Image|endswith: /odd }, condition: s }
`;
const FILTER = `title: F\nid: 00000000-0000-4000-8000-00000000000f\ndescription: harmless here
logsource: { product: linux, category: process_creation }
filter: { rules: any, s: { User: bob }, condition: s }
`;
const exception = (id: string, rules: string, where: string, expires: string): string =>
  `  - id: ${id}\n    rules: ${rules}\n    where: ${where}\n    reason: known\n    author: alice\n    expires: ${expires}\n`;
const EXCEPTIONS = "exceptions:\n" + exception("backup", "'*'", "parent_name = 'backup'", "never") +
  exception("long-ago", "[attack.t1059.004]", "name = 'odd'", "2020-01-31");

/** A host with 30 odd events, every third of them of a backup, and these files beside its rules. */
class World extends TestState {
  readonly rules = Deno.makeTempDirSync();

  constructor(files: Readonly<Record<string, string>> = {}) {
    super();
    this.live();
    for (let i = 0; i < 30; i++) {
      const parent = i % 3 === 0 ? "backup" : "sh", time = NOW - 86_400_000 + i * 600_000;
      this.event({ pid: i + 1, name: "odd", command_line: "odd", parent_name: parent, time });
    }
    const all = { "odd-one.yml": ROW, "odd-count.yml": COUNT, "s.yml": SIGMA, "f.yml": FILTER, ...files };
    for (const [name, text] of Object.entries(all)) Deno.writeTextFileSync(`${this.rules}/${name}`, text);
  }

  run(...args: string[]) {
    return cli(this, [...args, "--set", `rules_dirs=${this.rules}`]);
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    Deno.removeSync(this.rules, { recursive: true });
  }
}

Deno.test("rules replay counts what exceptions take apart, of a rule over one event and of one over several", async () => {
  using plain = new World(), state = new World({ "exceptions.yml": EXCEPTIONS });
  const answerOf = async (world: World, rule: string) => {
    const { code, out } = await world.run("rules", "replay", rule, "-f", "json", "--since", "7d");
    const { matches, excepted } = JSON.parse(out);
    return [code, matches, excepted];
  };
  assert.deepEqual(await answerOf(plain, "odd-one"), [0, 30, 0]);
  assert.deepEqual(await answerOf(state, "odd-one"), [0, 20, 10]);
  // Six in an hour, of which two are of the backup
  const [, found] = await answerOf(plain, "odd-count"), [code, less, taken] = await answerOf(state, "odd-count");
  assert.deepEqual([code, taken], [0, 10]);
  assert(Number(found) >= Number(less) && Number(less) > 0, `${found} ${less}`);
  const { err } = await state.run("rules", "replay", "odd-one");
  assert.match(err, /odd-one would have fired 20 times in .*\n10 matches more would be no alerts, by exceptions\n/);
});

Deno.test("rules explain shows the exceptions for a rule, and which have ended", async () => {
  using state = new World({ "exceptions.yml": EXCEPTIONS });
  const { exceptions } = JSON.parse((await state.run("rules", "explain", "odd-one", "-f", "json")).out);
  assert.deepEqual(
    exceptions.map(({ kind, id, author, where, state, expires }: Record<string, unknown>) => [
      kind,
      id,
      author,
      where,
      state,
      expires,
    ]),
    [
      ["exception", "backup", "alice", "parent_name = 'backup'", "active", null],
      ["exception", "long-ago", "alice", "name = 'odd'", "expired", "2020-01-31"],
    ],
  );
  const table = await state.run("rules", "explain", "odd-one");
  assert.match(
    table.out,
    /hits that are no alerts\n.*exception backup by alice, without end: parent_name = 'backup' \(known\)/,
  );
  assert.match(table.out, /exception long-ago by alice, expired, held until 2020-01-31: /);
  const sigma = await state.run("rules", "explain", "00000000-0000-4000-8000-000000000001");
  assert.match(
    sigma.out,
    /filter 00000000-0000-4000-8000-00000000000f, without end: .*user_name.*bob.*\(harmless here\)/,
  );
});

Deno.test("rules exceptions lists those of the files where no agent runs, and names that no rule has", async () => {
  using state = new World({ "exceptions.yml": EXCEPTIONS + exception("lost", "[odd-won]", "pid = 1", "never") });
  state.stop();
  state.writeStatus({ state: "stopped" }, null);
  const { code, out, err } = await state.run("rules", "exceptions", "-f", "json");
  assert.equal(code, 0);
  assert.deepEqual(
    JSON.parse(out).map(({ id, kind, state, rules, suppressed }: Record<string, unknown>) => [
      id,
      kind,
      state,
      rules,
      suppressed,
    ]),
    [
      ["backup", "exception", "active", 3, null],
      ["long-ago", "exception", "expired", 1, null],
      ["lost", "exception", "unused", 0, null],
      ["00000000-0000-4000-8000-00000000000f", "filter", "active", 1, null],
    ],
  );
  assert.match(err, /exceptions.yml:15:13: The exception lost is for odd-won.*did you mean odd-one\?/);
  assert.match(err, /1 exception has expired: long-ago \(held until 2020-01-31\)/);
  assert.doesNotMatch(err, /kept/);
});

Deno.test("rules validate checks exceptions, and their names when it looks at all rules", async () => {
  using state = new World({ "exceptions.yml": EXCEPTIONS + exception("lost", "[odd-won]", "pid = 1", "never") });
  const all = await state.run("rules", "validate");
  assert.deepEqual([all.code, all.err], [4, "3 rules and 3 exceptions right, 1 refused\n"]);
  const one = await state.run("rules", "validate", `${state.rules}/exceptions.yml`);
  assert.deepEqual([one.code, one.err], [0, "0 rules and 3 exceptions right, 0 refused\n"]);
  const piped = await cli(state, ["rules", "validate", "-"], { stdin: EXCEPTIONS.replace("name = 'odd'", "nam = 1") });
  assert.equal(piped.code, 4);
  assert.match(piped.out, /^stdin:10:12: .*nam/);
});

Deno.test("rules coverage counts active rules, those of Sigma too, and gaps, in every format", async () => {
  using state = new World({ "overrides.yml": "overrides:\n  - { id: odd-one, state: disabled, reason: R }\n" });
  const rowsOf = async () => {
    const { code, out, err } = await state.run("rules", "coverage", "-f", "json");
    assert.equal(code, 0);
    const rows = JSON.parse(out) as Record<string, unknown>[];
    return { rows: rows.filter(({ rules }) => rules !== 0), all: rows.length, err };
  };
  const live = async (...active: string[]) => {
    const [rule] = AGENT.rules;
    state.writeStatus({ rules: active.map((id) => ({ ...rule!, id })) }, null);
    return await rowsOf();
  };
  const both = await live("odd-one", "odd-count", "00000000-0000-4000-8000-000000000001");
  assert.deepEqual(
    both.rows.map((
      row,
    ) => [row["tactic"], row["technique_id"], row["subtechniques"], row["sigma_rules"], row["rule_ids"]]),
    [
      ["execution", "T1059", "T1059.004", 0, "odd-one"],
      ["discovery", "T1082", "", 1, "00000000-0000-4000-8000-000000000001"],
    ],
  );
  assert.match(both.err, /^3 active rules for 2 of \d+ techniques of ATT&CK .*; \d+ have no rule\n1 rule with no tag/);
  assert.deepEqual((await live("odd-one")).rows.map((row) => row["technique_id"]), ["T1059"]);
  state.writeStatus({ state: "stopped" }, null);
  const files = await rowsOf();
  assert.deepEqual(files.rows.map((row) => row["technique_id"]), ["T1082"], "an override turns the other off");
  assert.match(files.err, /The agent does not run: these are the rules of the files/);

  const csv = await state.run("rules", "coverage", "-f", "csv");
  assert.equal(csv.out.split("\r\n").length, files.all + 2);
  const lines = await state.run("rules", "coverage", "-f", "jsonl");
  assert.equal(lines.out.trim().split("\n").length, files.all);
  const table = await state.run("rules", "coverage");
  assert.match(table.out, /^Discovery +- +1 +1 +1 of \d+ techniques have a rule, \d+ have none: T1007 /m);
  const { versions, techniques } = JSON.parse((await state.run("rules", "coverage", "--navigator")).out);
  assert.equal(versions.layer, "4.5");
  assert.equal(techniques.length, files.all);
});
