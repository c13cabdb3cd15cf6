import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { WORLDS } from "../support/cli_worlds.ts";
import { needs } from "../support/needs.ts";
import { testProcess, TestState } from "../support/test_store.ts";
import { TestTerminal } from "../support/tmux.ts";

const MAIN = new URL("../../cli/main.ts", import.meta.url).pathname;

function command(state: TestState, args: readonly string[]): string[] {
  const flags = ["run", "--quiet", "--no-prompt", "--no-remote", "--no-check", `--allow-read=${state.directory}`];
  return ["env", "NO_COLOR=1", Deno.execPath(), ...flags, MAIN, "--state", state.directory, ...args];
}

/** Waits until one of the processes is stopped: a signal to go on that comes before that is lost. */
async function stopped(pids: readonly number[]): Promise<void> {
  for (;;) {
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "stat=", "-p", pids.join(",")] }).output();
    if (/^T/m.test(new TextDecoder().decode(stdout))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const inTerminal = needs({ programs: ["tmux", "stty"] });

function running(): TestState {
  const state = WORLDS["watched"]!(), now = Date.now();
  state.writeStatus({ time: now }, { time: now });
  return state;
}

Deno.test("top and watch need a terminal, or a format, and say so", async () => {
  using state = WORLDS["watched"]!();
  const top = await cli(state, ["top"]);
  assert.deepEqual([top.out, top.code], ["", 1]);
  assert.match(top.err, /^top needs a terminal; processes --sort cpu/);
  for (const args of [["--format", "json"], ["--type", "start"], ["--user", "0"], ["--show", "evens"], ["x"]]) {
    assert.equal((await cli(state, ["watch", ...args])).code, 2, args.join(" "));
  }
});

Deno.test("watch writes what is there and what comes, each once, in the order of time", async () => {
  using state = WORLDS["watched"]!();
  const args = ["watch", "--back", "2m", "--for", "400ms", "--interval", "50ms", "--columns", "kind,pid"];
  const running = cli(state, args);
  state.event({ pid: 77, time: Date.UTC(2026, 7, 5, 12) + 10 });
  const { out, err, code } = await running;
  const rows = out.trim().split("\n").map((line) => JSON.parse(line) as { kind: string; pid: number });
  assert.deepEqual(rows.map(({ kind, pid }) => `${kind} ${pid}`), [
    ...["start 902", "alert 902", "start 903", "alert 903", "stop 903", "stop 902", "modify 901", "start 77"],
  ]);
  assert.deepEqual([err, code], ["", 0]);
  const alerts = await cli(state, [
    "watch",
    "--back",
    "2m",
    "--for",
    "1ms",
    "--show",
    "alerts",
    "-f",
    "csv",
    "--columns",
    "pid",
  ]);
  assert.equal(alerts.out, "pid\r\n902\r\n903\r\n");
  const named = await cli(state, [
    "watch",
    "--back",
    "2m",
    "--for",
    "1ms",
    "--contains",
    "/tmp/",
    "-f",
    "csv",
    "--columns",
    "kind",
  ]);
  assert.equal(named.out, "kind\r\nstart\r\nalert\r\nstop\r\n");
});

Deno.test("watch says when nothing can come", async () => {
  using state = WORLDS["stopped"]!();
  const { err, code } = await cli(state, ["watch", "--for", "1ms"]);
  assert.match(err, /^Nothing new can come: the agent is stopped/);
  assert.equal(code, 3);
});

Deno.test({
  name: "top sorts, filters and scrolls by keys, follows the store, and leaves the terminal as it was",
  ...inTerminal,
  async fn() {
    using state = running();
    await using terminal = await TestTerminal.run(command(state, ["top", "--plain"]), { columns: 90, rows: 12 });
    const first = await terminal.shows(/sorted by cpu/);
    assert.match(first, /5 processes {2}0\.0 starts\/s {2}0\.0 events\/s {2}0 alerts in 1 h/);
    assert.match(
      first,
      /PID {2}USER {5}CPU% +TIME +MEMORY {2}STATE +COMMAND\n[- ]+\n901 {2}alice>0 +[0-9.]+ {2}901 ms/,
    );
    await terminal.press("s");
    await terminal.shows(/sorted by memory/);
    await terminal.press("s", "s", "s");
    await terminal.shows(/sorted by name[^]*\n900 .*\n +2 .*\n812 .*\n901 .*\n +1 /);
    await terminal.press("r");
    await terminal.shows(/sorted by name, reversed[^]*\n {2}1 .*\n901 /);
    await terminal.type("/ssh");
    await terminal.shows(/1 match[^]*\n812 .*sshd[^]*\n\/ssh_$/);
    await terminal.press("Enter");
    await terminal.shows(/\/ssh {2}q quit/);
    await terminal.press("Escape");
    await terminal.shows(/\n901 /);
    // What the store learns is on the screen, with the CPU since the look before
    state.db.exec(
      "UPDATE processes SET cpu_time_ms = cpu_time_ms + 750, collection_time = collection_time + 1000 WHERE pid = 900",
    );
    state.process(4711, { name: "new\u202e", command_line: "new\x1b[2J", parent_exec_id: testProcess(1) });
    await terminal.shows(/6 processes[^]*75\.0[^]*4711 .*new\\x1b\[2J|6 processes[^]*4711 .*new\\x1b\[2J[^]*75\.0/);
    await terminal.resize(20, 10);
    const narrow = await terminal.shows(/^ *PID +COMMAND$/m);
    for (const line of narrow.split("\n")) assert.ok(line.length <= 20, line);
    await terminal.press("q");
    const after = await terminal.shows(/ended 0\nicanon echo/);
    assert.ok(!after.includes("PID"), "the other screen is gone");
  },
});

Deno.test({
  name: "watch on a terminal shows what comes, filters, and gives the terminal back on a signal",
  ...inTerminal,
  async fn() {
    using state = running();
    await using terminal = await TestTerminal.run(command(state, ["watch", "--plain"]), { columns: 90, rows: 12 });
    await terminal.shows(/0 lines/);
    const now = Date.now();
    const event = state.event({ pid: 4711, time: now, command_line: "/tmp/x\u202e" });
    state.alert(event, { time: now + 1, pid: 4711, title: "Found" });
    state.event({ pid: 4711, time: now + 2, event_type: "stop", command_line: "/tmp/x", exit_code: 3, duration_ms: 2 });
    await terminal.shows(
      /start +4711 alice {5}\/tmp\/x\\u202e\n.*alert +4711 alice {5}test-rule: Found\n.*stop +4711 alice {5}\/tmp\/x {2}\(exit 3, 2 ms\)\n/,
    );
    await terminal.press("a");
    await terminal.shows(/3 lines.*\n.*alert +4711[^\n]*\n[^\d]*q quit/);
    await terminal.press("a");
    await terminal.type("/exit");
    await terminal.shows(/3 lines.*\n.*stop +4711[^\n]*\n/);
    for (const pid of await terminal.children()) Deno.kill(pid, "SIGTERM");
    await terminal.shows(/ended 143\nicanon echo/);
  },
});

Deno.test({
  name: "top gives the terminal back on every signal, and after it was stopped and continued",
  ...inTerminal,
  async fn() {
    using state = running();
    for (const [signal, code] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGQUIT", 131]] as const) {
      await using terminal = await TestTerminal.run(command(state, ["top"]));
      await terminal.shows(/sorted by cpu/);
      for (const pid of await terminal.children()) Deno.kill(pid, signal);
      await terminal.shows(new RegExp(`ended ${code}\nicanon echo`));
    }
    await using terminal = await TestTerminal.run(command(state, ["top"]));
    await terminal.shows(/sorted by cpu/);
    const children = await terminal.children();
    for (const pid of children) Deno.kill(pid, "SIGTSTP");
    await terminal.shows(/^(?![^]*sorted by cpu)/);
    await stopped(children);
    for (const pid of children) Deno.kill(pid, "SIGCONT");
    await terminal.shows(/sorted by cpu/);
    await terminal.press("C-c");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test({
  name: "health --watch draws what health prints, scrolls, filters, and leaves the terminal as it was",
  ...inTerminal,
  async fn() {
    using state = running();
    const args = ["health", "--watch", "--plain", "--interval", "200ms"];
    await using terminal = await TestTerminal.run(command(state, args), { columns: 80, rows: 12 });
    await terminal.shows(/q quit {2}\? help {2}\/ filter/);
    // Nobody writes the status anew: what is drawn later says that
    await terminal.shows(/stopped: this host is not watched/);
    await terminal.type("/newest");
    await terminal.shows(/^[^\n]*\n {2}newest event +2026-08-05/);
    await terminal.press("Escape");
    await terminal.shows(/this host is not watched/);
    await terminal.press("NPage");
    await terminal.shows(/^(?![^]*this host is not watched)[^]*confinement/);
    await terminal.press("C-c");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test({
  name: "top opens the selected process, its tree and its keys above the list, and comes back",
  ...inTerminal,
  async fn() {
    using state = running();
    await using terminal = await TestTerminal.run(command(state, ["top", "--sort", "pid"]), { columns: 80, rows: 24 });
    await terminal.shows(/sorted by pid[^]*bash[^]*q quit/);
    await terminal.type("/bash");
    await terminal.press("Enter");
    await terminal.shows(/1 match/);
    await terminal.press("Enter");
    await terminal.shows(/\nbash 900\n {2}process [^]*q back/);
    await terminal.press("Escape");
    await terminal.shows(/1 match/);
    await terminal.type("t");
    await terminal.shows(/bash 900 ◀[^]*q back/);
    await terminal.type("q?");
    await terminal.shows(/^Keys\nEnter +the selected process in full[^]*\n +its alerts\n[^]*Ctrl-C +leave\nq back/);
    await terminal.type("q");
    await terminal.shows(/1 match/);
    // The selection is the process' and not the row's
    await terminal.press("Escape");
    await terminal.shows(/^(?![^]*1 match)[^]*sorted by pid/);
    await terminal.press("End", "r");
    await terminal.shows(/sorted by pid, reversed/);
    const last = /PID[^]*?\n[─ ]+\n *(\d+)/.exec(await terminal.screen())![1]!;
    await terminal.press("Enter");
    await terminal.shows(new RegExp(`\\n\\S+ ${last}\\n {2}process `));
    await terminal.type("qq");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test({
  name: "watch stays at the selected line while others come, and opens an alert and the process of an event",
  ...inTerminal,
  async fn() {
    using state = running();
    await using terminal = await TestTerminal.run(command(state, ["watch", "--plain"]), { columns: 90, rows: 8 });
    await terminal.shows(/0 lines/);
    const now = Date.now(), add = (pid: number) => state.event({ pid, time: now + pid, command_line: `/tmp/x${pid}` });
    state.alert(add(1), { time: now + 1, pid: 1, exec_id: testProcess(902), title: "Found" });
    for (let pid = 2; pid <= 5; pid++) add(pid);
    await terminal.shows(/6 lines[^]*\/tmp\/x1\n[^]*\/tmp\/x5\n/);
    await terminal.press("Home");
    await terminal.shows(/End follows/);
    for (let pid = 6; pid <= 12; pid++) add(pid);
    const held = await terminal.shows(/13 lines/);
    assert.match(held, /\/tmp\/x1\n.*Found\n[^]*\/tmp\/x5\n/, "what is read stays");
    await terminal.press("Down", "Enter");
    await terminal.shows(/\nFound\n {2}severity[^]*q back/);
    await terminal.type("q");
    await terminal.press("End");
    await terminal.shows(/\/tmp\/x12\nq quit/);
    await terminal.type("/x12");
    await terminal.shows(/13 lines, 1 shown/);
    await terminal.press("C-c");
    await terminal.shows(/ended 0\nicanon echo/);
  },
});

Deno.test("watch ends after as many rows as --limit says, and tells events of one moment in their order", async () => {
  using state = running();
  const now = Date.now(), ids = [1, 2, 3].map((pid) => state.event({ pid, time: now }));
  const args = ["--back", "1m", "--interval", "50ms", "--limit", "2", "--columns", "event_id", "-f", "jsonl"];
  const { out, code } = await cli(state, ["watch", ...args], { now });
  assert.deepEqual(out.trim().split("\n").map((line) => JSON.parse(line).event_id), ids.slice(0, 2));
  assert.equal(code, 0);
});
