import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { WORLDS } from "../support/cli_worlds.ts";
import { needs } from "../support/needs.ts";
import { NOW, TestState } from "../support/test_store.ts";
import { TestTerminal } from "../support/tmux.ts";

const MAIN = new URL("../../cli/main.ts", import.meta.url).pathname;
const STUCK = new URL("../support/stuck_query.ts", import.meta.url).pathname;

/** The command line of the program under the CLI's permissions. */
function command(state: TestState, args: readonly string[], program = MAIN): string[] {
  const flags = ["run", "--quiet", "--no-prompt", "--no-remote", "--no-check", `--allow-read=${state.directory}`];
  return ["env", "NO_COLOR=1", Deno.execPath(), ...flags, program, "--state", state.directory, ...args];
}

/** Both daemons of a test run, however slow the test is. */
function alive(state: TestState): Disposable {
  const tell = (): void => state.writeStatus({ time: Date.now() }, { time: Date.now() });
  tell();
  const timer = setInterval(tell, 500);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const inTerminal = needs({ programs: ["tmux", "stty"] });

Deno.test("shell runs the statements of a file, over lines, with its own commands between them", async () => {
  using state = WORLDS["watched"]!();
  const stdin = `.mode jsonl
SELECT pid,
  name -- a comment; with a semicolon
FROM processes WHERE name = 'bash'; SELECT count(*) AS n FROM alerts;
.mode csv
SELECT ';' AS a /* ; */ FROM processes WHERE pid = 1`;
  const { out, err, code } = await cli(state, ["shell"], { stdin });
  assert.deepEqual([out, err, code], ['{"pid":900,"name":"bash"}\n{"n":2}\na\r\n;\r\n', "", 0]);
});

Deno.test("shell ends at the first failure of a file, with its exit code and nothing of the failed answer", async () => {
  using state = WORLDS["watched"]!();
  const run = (stdin: string) => cli(state, ["shell", "-f", "csv"], { stdin });
  const refused = await run(
    "SELECT pid AS a FROM processes WHERE pid = 1; SELECT nothing FROM processes; SELECT pid FROM gaps;",
  );
  assert.deepEqual([refused.out, refused.code], ["a\r\n1\r\n", 1]);
  assert.match(refused.err, /^The query is refused: .*nothing/);
  const changed = await run("DELETE FROM processes;");
  assert.deepEqual([changed.out, changed.code], ["", 1]);
  const mistyped = await run(".tabels\nSELECT pid FROM gaps;");
  assert.deepEqual([mistyped.out, mistyped.err, mistyped.code], [
    "",
    "There is no command .tabels; did you mean .tables?\n",
    2,
  ]);
  const left = await run("SELECT pid AS a FROM processes WHERE pid = 1;\n.quit\nSELECT pid FROM processes;");
  assert.deepEqual([left.out, left.code], ["a\r\n1\r\n", 0]);
});

Deno.test("shell's commands say what is set, set it, and refuse what they do not know", async () => {
  using state = WORLDS["watched"]!();
  const said = async (line: string) => {
    const { out, err, code } = await cli(state, ["shell"], { stdin: line });
    return `${code} ${err}${out}`;
  };
  assert.equal(await said(".mode"), "0 mode table\n");
  assert.equal(
    await said(".mode cvs"),
    "2 There is no mode cvs; did you mean csv?; there are table, line, json, jsonl, csv\n",
  );
  assert.equal(await said(".timer on\n.timer\n"), "0 timer off\n");
  assert.equal(await said(".timer maybe"), "2 .timer is on or off, and not maybe\n");
  assert.equal(await said(".limit 2\n.limit"), "0 limit 2 rows\n");
  assert.equal(await said(".limit 0"), "2 .limit takes a whole number from 1 to 100000000, and not 0\n");
  assert.equal(await said(".timeout 5m\n.timeout"), "0 timeout 5 min\n");
  assert.match(await said(".timeout never"), /^2 .timeout takes a span/);
  assert.match(await said(".since 1h\n.since"), /^0 since 2026-08-05T/);
  assert.equal(await said(".since 1h\n.since all\n.since"), "0 since all\n");
  assert.match(await said(".since noon"), /^2 .since takes/);
  assert.equal(await said(".tables proc"), "0 process_events\nprocesses\n");
  assert.equal(await said(".tables %event%"), "0 process_events\n");
  assert.equal(await said(".tables *nothing"), "0 No table is like *nothing; .tables lists all\n");
  assert.match(await said(".schema gaps"), /^0 COLUMN .*\n.*\ngap_id +INTEGER/);
  assert.match(await said(".schema gasp"), /^2 There is no table gasp; did you mean gaps\?/);
  assert.match(await said(".help"), /\.tables \[PATTERN\] +the tables/);
  assert.equal(await said(".mode csv json"), "2 .mode takes at most one word\n");
});

Deno.test("shell cuts answers at its limit and says that they are not whole", async () => {
  using state = WORLDS["watched"]!();
  const asked = await cli(state, ["shell", "--limit", "1", "-f", "csv"], { stdin: "SELECT pid FROM processes;" });
  assert.equal(asked.code, 0);
  assert.match(asked.err, /Cut at 1 rows/);
  const stdin = ".timer on\nSELECT pid FROM alerts WHERE pid = 1;";
  assert.match((await cli(state, ["shell"], { stdin })).err, /^Time: [\d.]+ m?s\n$/);
});

Deno.test({
  name: "shell at a terminal edits lines, completes, remembers, and leaves the terminal as it was",
  ...inTerminal,
  async fn() {
    using state = WORLDS["watched"]!();
    using _daemons = alive(state);
    await using terminal = await TestTerminal.run(command(state, ["shell", "--plain"]));
    await terminal.shows(/reading only[^]*daemoneye>$/m);
    // Tables after FROM, columns of the table that is named, functions
    await terminal.type("select pid, name from proces");
    await terminal.press("Tab");
    await terminal.shows(/from process/);
    await terminal.press("Tab");
    await terminal.shows(/process_events {2}processes\n/);
    await terminal.type("es where execu");
    await terminal.press("Tab");
    await terminal.shows(/where executable_/);
    await terminal.type("p");
    await terminal.press("Tab");
    await terminal.shows(/where executable_path$/m);
    await terminal.press("Enter");
    await terminal.shows(/ {6}\.\.\.>$/m);
    await terminal.type("like '%900';");
    await terminal.press("Enter");
    await terminal.shows(/pid {2}name\n--- {2}----\n900 {2}bash\ndaemoneye>$/);
    // The whole statement comes back, and can be changed in its middle
    await terminal.press("Up");
    await terminal.shows(/daemoneye> select pid, name from processes where executable_path like '%900';$/m);
    await terminal.press("Left", "Left", "BSpace", "1");
    await terminal.press("Enter");
    await terminal.shows(/901 {2}sudo\ndaemoneye>$/);
    await terminal.type("select nonsense from processes;");
    await terminal.press("Enter");
    await terminal.shows(/The query is refused: [^]*\ndaemoneye>$/);
    // Ctrl-C forgets the statement that was begun
    await terminal.type("select 'half");
    await terminal.press("Enter");
    await terminal.shows(/ {6}\.\.\.>$/m);
    await terminal.press("C-c");
    await terminal.shows(/\^C\ndaemoneye>$/);
    await terminal.type(".mode line");
    await terminal.press("Enter");
    await terminal.type("select pid as one from processes where pid = 1;");
    await terminal.press("Enter");
    await terminal.shows(/one = 1\ndaemoneye>$/);
    await terminal.press("C-d");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test({
  name: "shell takes pasted lines as they are, searches what was typed, and knows the words of other shells",
  ...inTerminal,
  async fn() {
    using state = WORLDS["watched"]!();
    using _daemons = alive(state);
    await using terminal = await TestTerminal.run(command(state, ["shell", "--plain"]));
    await terminal.shows(/daemoneye>$/m);
    await terminal.paste("select pid,\n\tname\nfrom proc\tesses where pid = 900;\nselect pid as two from processes\n");
    // The tab completed nothing: there is no table proc
    await terminal.shows(/name\n {6}\.\.\.> from proc esses where pid = 900;\n[^]*refused[^]* {6}\.\.\.>$/);
    await terminal.type("where pid = 901;");
    await terminal.press("Enter");
    await terminal.shows(/two\n---\n901\n[^]*daemoneye>$/);
    await terminal.press("C-r");
    await terminal.type("two from");
    await terminal.shows(/search 'two from': select pid as two from processes where pid = 901;$/);
    await terminal.type("!");
    await terminal.shows(/not found 'two from!': select/);
    await terminal.press("BSpace", "Enter");
    await terminal.shows(/\ndaemoneye> select pid as two[^\n]*901;\ntwo\n---\n901\n[^]*daemoneye>$/);
    await terminal.type("help");
    await terminal.press("Enter");
    await terminal.shows(/\.quit +leave[^]*daemoneye>$/);
    await terminal.type("quit;");
    await terminal.press("Enter");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test({
  name: "shell in a terminal of 20 columns shows the end of a line that is wider, and no more",
  ...inTerminal,
  async fn() {
    using state = WORLDS["watched"]!();
    using _daemons = alive(state);
    await using terminal = await TestTerminal.run(command(state, ["shell", "--plain"]), { columns: 20, rows: 12 });
    await terminal.shows(/^>$/m);
    await terminal.type("select pid from processes where name = 'bash'");
    await terminal.shows(/^> re name = 'bash'$/m);
    await terminal.press("Home");
    await terminal.shows(/^> select pid from p/m);
    await terminal.press("End");
    await terminal.type(";");
    await terminal.press("Enter");
    await terminal.shows(/pid\n---\n900\n>$/);
    await terminal.press("C-d");
    await terminal.shows(/ended 0/);
  },
});

Deno.test({
  name: "shell stops a statement at Ctrl-C and goes on",
  ...inTerminal,
  async fn() {
    using state = new TestState();
    state.live(Date.now());
    state.db.exec("BEGIN");
    for (let i = 1; i <= 20_000; i++) state.insert("process_events", { event_id: i, time: NOW + i, pid: i });
    state.db.exec("COMMIT");
    await using terminal = await TestTerminal.run(command(state, ["shell", "--plain"]));
    await terminal.shows(/daemoneye>$/m);
    await terminal.type("select a.pid from process_events a join process_events b on a.pid + b.pid = -1;");
    await terminal.press("Enter");
    await terminal.shows(/This is slow/);
    await terminal.press("C-c");
    await terminal.shows(/\nStopped\n/);
    await terminal.type("select count(*) as seven from alerts;");
    await terminal.press("Enter");
    await terminal.shows(/seven\n-----\n {4}0\n/i);
    await terminal.press("C-d");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test({
  name: "shell ends with a word when a statement does not come back, and restores the terminal",
  ...inTerminal,
  async fn() {
    using state = new TestState();
    state.live(Date.now());
    state.event();
    for (const how of ["interrupted", "late"] as const) {
      const args = how === "late" ? ["shell", "--timeout", "100ms"] : ["shell", "--timeout", "1h"];
      await using terminal = await TestTerminal.run(command(state, args, STUCK));
      await terminal.shows(/daemoneye>$/m);
      await terminal.type("select count(*) from process_events;");
      await terminal.press("Enter");
      await terminal.shows(/stuck$/);
      if (how === "interrupted") await terminal.press("C-c", "C-c", "C-c");
      await terminal.shows(/\nKilled: the query [^]*ended 137\nicanon echo/);
    }
  },
});

Deno.test({
  name: "shell gives the terminal back on every signal, also while a statement runs",
  ...inTerminal,
  async fn() {
    using state = new TestState();
    state.live(Date.now());
    state.event();
    const signals = { SIGTERM: 143, SIGHUP: 129, SIGINT: 130, SIGQUIT: 131 } as const;
    for (const [signal, code] of Object.entries(signals) as [keyof typeof signals, number][]) {
      await using terminal = await TestTerminal.run(command(state, ["shell"]));
      await terminal.shows(/daemoneye>$/m);
      for (const pid of await terminal.children()) Deno.kill(pid, signal);
      await terminal.shows(new RegExp(`ended ${code}\nicanon echo`));
    }
    await using terminal = await TestTerminal.run(command(state, ["shell", "--timeout", "1h"], STUCK));
    await terminal.shows(/daemoneye>$/m);
    await terminal.type("select count(*) from process_events;");
    await terminal.press("Enter");
    await terminal.shows(/stuck$/);
    for (const pid of await terminal.children()) Deno.kill(pid, "SIGTERM");
    await terminal.shows(/ended 137\nicanon echo/);
  },
});

Deno.test("shell sets, lists and forgets parameters, and explains instead of running", async () => {
  using state = WORLDS["watched"]!();
  const stdin = `.param name=ba sh
.param
.param name=bash
SELECT pid FROM processes WHERE name = :name;
.explain on
SELECT pid FROM processes WHERE pid = :pid;
.explain off
.param name
SELECT pid FROM processes WHERE name = :name;`;
  const { out, err, code } = await cli(state, ["shell", "-f", "jsonl", "--param", "pid=1"], { stdin });
  const lines = out.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.pid ?? line.words), [900, lines[1].words]);
  assert.match(lines[1].words, /processes/);
  const said =
    ":pid number 1\n:name text ba sh\nThe parameter :name has no value; give it by --param name=VALUE, in the shell by .param\n";
  assert.deepEqual([err, code], [said, 1]);
});
