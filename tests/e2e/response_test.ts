/** Responses between real processes: an operator asks, the agent passes it on, the helper does it, the ledger has it. */
import assert from "node:assert/strict";
import type { Statements } from "../../proto/ledger/statement.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";
import { eventually } from "../support/patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const POLICY = "actions: [stop, resume, kill, trace, evidence]\nprotect: { names: [tail] }\n";

interface Reply {
  readonly outcome: string;
  readonly text: string;
  readonly value: { readonly place: string; readonly processes: readonly string[] } | null;
}

/** `deno task ask`, as root. */
async function ask(world: World, ...args: string[]): Promise<Reply> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", `${ROOT}deploy/ask.ts`, "--state", world.layout.state, "--json", ...args],
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.ok(text !== "", new TextDecoder().decode(stderr));
  return JSON.parse(text) as Reply;
}

/** The responses in the ledger, as the CLI shows them. */
async function ledgered(world: World): Promise<Statements["response"][]> {
  const { stdout } = await world.cli("audit", "show", "--action", "response", "-f", "json", "--limit", "1000");
  return (JSON.parse(stdout) as { payload: unknown }[]).map(({ payload }) =>
    (typeof payload === "string" ? JSON.parse(payload) : payload) as Statements["response"]
  );
}

/** The name under which the store has a process that runs. */
async function execIdOf(world: World, pid: number): Promise<string> {
  let found = "";
  await world.until(`the store has process ${pid}`, () => {
    const [row] = world.query("SELECT exec_id FROM processes WHERE pid = ? AND end_time IS NULL", pid);
    found = String(row?.["exec_id"] ?? "");
    return found !== "";
  });
  return found;
}

/** As the kernel has it: one that was told to stop does so when it runs next. */
function stateOf({ pid }: Deno.ChildProcess): string {
  return /^\d+ \(sleep\) (.) /.exec(Deno.readTextFileSync(`/proc/${pid}/stat`))?.[1] ?? "";
}

function writePolicy(state: string, text: string): void {
  Deno.writeTextFileSync(`${state}/response.yaml`, text);
  Deno.chmodSync(`${state}/response.yaml`, 0o644);
}

Deno.test({
  name:
    "an operator has a process stopped, traced, collected and ended, as far as root's policy goes; the ledger has all",
  ...needs({ root: true, bpf: true, setpriv: true, programs: ["setpriv", "sleep", "tail"] }),
  async fn() {
    const state = await newStateDirectory(), children: Deno.ChildProcess[] = [];
    const start = (program: string, ...args: string[]): Deno.ChildProcess => {
      const child = new Deno.Command(program, { args, stdin: "null" }).spawn();
      children.push(child);
      return child;
    };
    writePolicy(state, `mode: enforce\n${POLICY}`);
    try {
      await using world = await World.start({ state });
      await world.until("the helper is connected", () => {
        const source = world.collectorStatus()!.sources.find(({ name }) => name === "responder");
        return source?.misses.length === 0 &&
          source.detail.startsWith("responds: may stop, resume, kill, trace, evidence");
      });
      const victim = start("sleep", "1000"), id = await execIdOf(world, victim.pid), why = ["--reason", "a test"];
      const stopped = await ask(world, "respond", "stop", id, ...why);
      assert.equal(stopped.outcome, "done", stopped.text);
      await eventually("it stands still", () => stateOf(victim) === "T", () => stateOf(victim));
      const evidence = await ask(world, "respond", "evidence", id, "--rule", "odd", ...why);
      assert.equal(evidence.outcome, "done", evidence.text);
      const { place } = evidence.value!;
      assert.equal(JSON.parse(await Deno.readTextFile(`${place}/manifest.json`)).request.rule, "odd");
      const { mode, uid } = await Deno.stat(`${place}/manifest.json`);
      assert.deepEqual([(mode! & 0o777).toString(8), uid === 0], ["640", false]);
      const trace = await ask(world, "respond", "trace", id, "--for", "1s", ...why);
      assert.equal(trace.outcome, "done", trace.text);
      const killed = await ask(world, "respond", "kill", id, "--tree", "yes", ...why);
      assert.equal(killed.outcome, "done", killed.text);
      assert.equal((await victim.status).signal, "SIGKILL");

      const again = await ask(world, "respond", "kill", id, ...why);
      assert.deepEqual([again.outcome, again.text], ["refused", `no process has the number ${victim.pid} any more`]);
      const tail = start("tail", "-f", "/dev/null");
      const named = await ask(world, "respond", "kill", await execIdOf(world, tail.pid), ...why);
      assert.match(named.text, /is protected: the policy protects processes named tail$/);
      const ticks = Deno.readTextFileSync("/proc/1/stat").split(") ").at(-1)!.split(" ")[19];
      for (
        const [pid, process] of [
          [1, `${id.split("-")[0]}-1-${ticks}`],
          [world.agentStatus()!.pid, await execIdOf(world, world.agentStatus()!.pid)],
        ] as const
      ) {
        const { outcome, text } = await ask(world, "respond", "stop", process, ...why);
        assert.equal(outcome, "refused");
        assert.match(text, new RegExp(`^process ${pid} \\(.*\\) is protected: `));
      }
      // What root writes holds at once.
      writePolicy(state, POLICY);
      const other = start("sleep", "1001"), otherId = await execIdOf(world, other.pid);
      const dry = await ask(world, "respond", "kill", otherId, ...why);
      assert.match(dry.text, /^Dry run, nothing was done: SIGKILL would have been sent to process \d+ \(sleep\)$/);
      assert.match(stateOf(other), /^[SR]$/);
      Deno.chmodSync(`${state}/response.yaml`, 0o666);
      assert.match(
        (await ask(world, "respond", "kill", otherId, ...why)).text,
        /response\.yaml can be written by others/,
      );

      let entries: Statements["response"][] = [];
      const outcomes = (): string[] => entries.map(({ what, outcome }) => `${what}: ${outcome}`);
      await eventually("all is in the ledger", async () => {
        entries = await ledgered(world);
        return outcomes().filter((each) => each === "kill: refused").length >= 3;
      }, () => outcomes().join("\n"));
      const wanted = ["stop: asked", "stop: done", "evidence: asked", "evidence: done", "trace 1 s: asked"];
      wanted.push("trace 1 s: done", "trace 1 s: ended: done", "kill tree: asked", "kill tree: done", "kill: refused");
      for (const each of [...wanted, "kill: dry_run", "stop: refused"]) {
        assert.ok(outcomes().includes(each), `${each} is not in the ledger: ${outcomes()}`);
      }
      assert.ok(entries.every(({ by, reason }) => by.startsWith("user 0") && reason === "a test"));
      const collected = entries.find(({ outcome, what }) => what === "evidence" && outcome === "done")!;
      assert.deepEqual([collected.place, collected.rule, id.startsWith(collected.process)], [place, "odd", true]);
      const verified = await world.cli("audit", "verify");
      assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    } finally {
      await endAll(children);
      await Deno.remove(state, { recursive: true });
    }
  },
});

async function endAll(children: readonly Deno.ChildProcess[]): Promise<void> {
  for (const child of children) {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await child.status;
  }
}

/** A rule for programs with this argument, which asks for these responses. */
function writeRule(world: World, id: string, argument: string, response: string): void {
  Deno.mkdirSync(world.layout.rules, { recursive: true });
  const sql = `SELECT pid FROM process_events WHERE event_type = 'start' AND command_line LIKE '%${argument}'`;
  const text = `id: ${id}\ntitle: T\ndescription: D\nseverity: high\nresponse: ${response}\nsql: |\n  ${sql}\n`;
  Deno.writeTextFileSync(`${world.layout.rules}/${id}.yml`, text, { mode: 0o644 });
}

Deno.test({
  name:
    "a rule has the process of its alert stopped and collected, as far as root's policy lets rules; alert and ledger say so",
  ...needs({ root: true, bpf: true, setpriv: true, programs: ["setpriv", "sleep", "tail"] }),
  async fn() {
    const state = await newStateDirectory(), children: Deno.ChildProcess[] = [];
    const start = (program: string, ...args: string[]): Deno.ChildProcess => {
      const child = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
      children.push(child);
      return child;
    };
    const rules = "rules: { ids: [bad-*], actions: [stop, evidence], mode: enforce }\n";
    writePolicy(state, `mode: enforce\n${POLICY}${rules}`);
    try {
      await using world = await World.start({ state });
      writeRule(world, "bad-sleeper", "31337", "[{action: stop, tree: true}, evidence, kill]");
      writeRule(world, "odd-sleeper", "31338", "[stop]");
      await world.until("the helper is connected, and the agent has the rules", () => {
        const source = world.collectorStatus()!.sources.find(({ name }) => name === "responder");
        const ids = world.agentStatus()!.rules.map(({ id }) => id);
        return source?.misses.length === 0 && ids.includes("bad-sleeper") && ids.includes("odd-sleeper");
      });
      const victim = start("sleep", "31337"), guarded = start("tail", "-f", "/dev/null", "31337");
      const other = start("sleep", "31338");
      const history = (pid: number): string[] =>
        world.query(
          "SELECT action, actor, text FROM alert_history JOIN alerts USING (alert_id) WHERE pid = ? ORDER BY entry_id",
          pid,
        ).map(({ action, actor, text }) => `${action} / ${actor} / ${text}`);
      await world.until("all are answered", () =>
        history(victim.pid).length === 3 &&
        [victim, guarded, other].every(({ pid }) => {
          return history(pid).length > 0 && history(pid).every((line) => !line.startsWith("response asked"));
        }));
      const [stop, evidence, kill] = history(victim.pid);
      assert.equal(
        stop,
        "response done / rule bad-sleeper / stop with its descendants: " +
          `SIGSTOP was sent to process ${victim.pid} (sleep)`,
      );
      assert.match(evidence!, /^response done \/ rule bad-sleeper \/ evidence: Evidence of process .*\/evidence-\S+$/);
      assert.match(kill!, /^response refused .* kill: the policy does not let rules ask for kill by themselves/);
      await eventually("it stands still", () => stateOf(victim) === "T", () => stateOf(victim));
      assert.match(
        history(guarded.pid)[0]!,
        /^response refused .* is protected: the policy protects processes named tail$/,
      );
      assert.match(history(other.pid)[0]!, /^response refused .* does not let the rule odd-sleeper ask for anything/);
      assert.match(stateOf(other), /^[SR]$/);
      const [alert] = world.query("SELECT alert_id FROM alerts WHERE pid = ?", victim.pid),
        id = String(alert!["alert_id"]);
      const shown = await world.cli("alerts", "show", id);
      assert.match(
        shown.stdout,
        /response done +\S.* by rule bad-sleeper: stop with its descendants: SIGSTOP was sent/,
      );

      let entries: Statements["response"][] = [];
      const of = (name: string): string[] =>
        entries.filter(({ rule }) => rule === name).map(({ what, outcome }) => `${what}: ${outcome}`);
      await eventually("all is in the ledger", async () => {
        entries = await ledgered(world);
        return of("odd-sleeper").length >= 2 && of("bad-sleeper").length >= 12;
      }, () => [...of("odd-sleeper"), ...of("bad-sleeper")].join("\n"));
      assert.deepEqual(of("odd-sleeper").sort(), ["stop: asked", "stop: refused"]);
      const wanted = ["evidence: asked", "evidence: done", "kill: asked", "kill: refused", "stop tree: asked"];
      for (const each of [...wanted, "stop tree: done", "stop tree: refused"]) {
        assert.ok(of("bad-sleeper").includes(each), `${each} is not in the ledger: ${of("bad-sleeper")}`);
      }
      const done = entries.find(({ what, outcome }) => what === "stop tree" && outcome === "done")!;
      assert.deepEqual([done.by, done.reason], ["rule bad-sleeper", `alert ${id}`]);
    } finally {
      await endAll(children);
      await Deno.remove(state, { recursive: true });
    }
  },
});

Deno.test({
  name: "without a policy there is no helper, and whoever asks is told so",
  ...needs({ root: true, bpf: true, setpriv: true, programs: ["setpriv"] }),
  async fn() {
    await using world = await World.start();
    const id = await execIdOf(world, Deno.pid);
    const { outcome, text } = await ask(world, "respond", "kill", id, "--reason", "a test");
    assert.equal(outcome, "refused");
    assert.equal(text, "responses are off: there is no policy for them; see docs/response.md");
    assert.ok(world.collectorStatus()!.sources.every(({ name }) => name !== "responder"));
    assert.doesNotMatch(world.stderr, /responder/);
  },
});
