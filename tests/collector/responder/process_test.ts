/**
 * The response helper as a process of its own, with the user, the capabilities, the grants and the confinement that its
 * policy gives it: what it does to processes of others, and what the kernel says of each of its threads.
 */
import assert from "node:assert/strict";
import { landlockVersion } from "../../../collector/kernel/landlock.ts";
import { ResponderClient } from "../../../collector/responder_client.ts";
import { findLibc } from "../../../deploy/launch.ts";
import { tierGrants } from "../../../deploy/privileges.ts";
import { grantFlags } from "../../../deploy/runtime_flags.ts";
import { asUserWith } from "../../../deploy/tier_command.ts";
import type { ResponseAnswer, ResponseRequest } from "../../../proto/response/action.ts";
import { capabilitiesOf, parsePolicy, type ResponseCapability } from "../../../proto/response/policy.ts";
import { stateLayout } from "../../../proto/state_layout.ts";
import { BundledProgram } from "../../support/bundled_program.ts";
import { needs } from "../../support/needs.ts";
import { nameOfPid, stateOf, until } from "./world.ts";

const HELPER = 65_121, VICTIM = 65_122;
const BITS: Readonly<Record<ResponseCapability, bigint>> = { dac_read_search: 4n, kill: 32n, sys_ptrace: 0x80000n };
/** Where the kernel has it. */
const FENCE = landlockVersion() > 0 ? /, under Landlock$/ : /, NOT UNDER LANDLOCK: the kernel has none$/;
const asRoot = needs({ root: true, setpriv: true, programs: ["setpriv", "setsid", "sleep"] });

class HelperWorld implements AsyncDisposable {
  readonly state: string = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "daemoneye-helper-" }));
  readonly layout = stateLayout(this.state);
  readonly ended: ResponseAnswer[] = [];
  stderr = "";
  #process: Deno.ChildProcess | null = null;
  #reading: Promise<void> = Promise.resolve();
  #client: ResponderClient | null = null;
  #running: Promise<void> = Promise.resolve();
  readonly #victims: number[] = [];

  constructor(private readonly program: BundledProgram) {
    Deno.chmodSync(this.state, 0o755);
    for (const path of [this.layout.run, this.layout.responder, this.layout.responses]) Deno.mkdirSync(path);
    for (const path of [this.layout.responder, this.layout.responses]) Deno.chownSync(path, HELPER, HELPER);
  }

  /** As the supervisor starts it under this policy. The collector is this test. */
  async start(policy: string, held = capabilitiesOf(parsePolicy(policy))): Promise<void> {
    this.write(policy);
    const { layout, program } = this;
    const paths = { layout, rulesDirs: [], configFiles: [], alertHosts: [], libc: findLibc() };
    // A call that the filter lacks ends it, and the test.
    const flags = [
      "--state",
      this.state,
      "--set",
      "collector.user=0",
      "--set",
      "collector.syscall_filter=kill",
      "responder",
    ];
    const [command, ...args] = asUserWith(held, HELPER, HELPER, [
      ...[program.deno, "run", "-q", "--no-config", "--no-lock", "--no-npm", "--no-code-cache"],
      ...[...grantFlags(tierGrants("responder", paths)), program.path, ...flags],
    ]);
    const env = { DENO_DIR: `${program.directory}/deno_dir`, DENO_NO_UPDATE_CHECK: "1" };
    const process = new Deno.Command(command!, {
      ...{ args, cwd: "/", clearEnv: true, env, stdin: "null", stdout: "null", stderr: "piped" },
    }).spawn();
    this.#process = process;
    this.#reading = (async () => {
      for await (const chunk of process.stderr) this.stderr += new TextDecoder().decode(chunk);
    })();
    const client = this.#client = new ResponderClient({
      socket: layout.responderSocket,
      checkPeer: () => {},
      ended: (_, answer) => void this.ended.push(answer),
      greeted: () => {},
      left: () => {},
      notice: () => {},
    });
    this.#running = client.run();
    await until(`the helper greets; it said ${this.stderr}`, () => client.greeting !== null);
  }

  write(policy: string): void {
    Deno.writeTextFileSync(this.layout.responsePolicy, policy);
    Deno.chmodSync(this.layout.responsePolicy, 0o644);
  }

  get pid(): number {
    return this.#process!.pid;
  }

  get client(): ResponderClient {
    return this.#client!;
  }

  /** A process of another user, that is nobody's child: what is below this test is, to the helper, DaemonEye's. */
  async victim(): Promise<number> {
    const args = ["--fork", "setpriv", `--reuid=${VICTIM}`, `--regid=${VICTIM}`, "--clear-groups", "sleep", "1000"];
    const streams = { stdin: "null", stdout: "null", stderr: "null" } as const;
    await new Deno.Command("setsid", { args, ...streams }).spawn().status;
    let found: number | undefined;
    await until("the victim sleeps", () => {
      found = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).find((pid) =>
        pid > 0 && !this.#victims.includes(pid) && isVictim(pid)
      );
      return found !== undefined;
    });
    this.#victims.push(found!);
    return found!;
  }

  ask(pid: number, request: Partial<ResponseRequest>): Promise<ResponseAnswer> {
    return this.client.ask({
      ...{ action: "kill", process: nameOfPid(pid), tree: false, seconds: 0, rule: "", byRule: false },
      ...{ by: "user 0 (root)", reason: "a test" },
      ...request,
    });
  }

  /** Every thread: its user, its capabilities in all sets, its filter. */
  threads(): Set<string> {
    const line = (text: string, name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)![1]!;
    return new Set([...Deno.readDirSync(`/proc/${this.pid}/task`)].map(({ name }) => {
      const text = Deno.readTextFileSync(`/proc/${this.pid}/task/${name}/status`);
      const sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((set) => BigInt(`0x${line(text, set)}`));
      return [line(text, "Uid"), line(text, "NoNewPrivs"), line(text, "Seccomp"), ...sets].join(" ");
    }));
  }

  async stop(): Promise<void> {
    this.#client?.stop();
    await this.#running;
    this.#process?.kill("SIGTERM");
    await this.#process?.status;
    await this.#reading;
    this.#process = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process !== null) await this.stop();
    for (const pid of this.#victims) if (isVictim(pid)) Deno.kill(pid, "SIGKILL");
    await Deno.remove(this.state, { recursive: true });
  }
}

/** Whether it is one that a test here started: nobody else has that user. */
function isVictim(pid: number): boolean {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    // Whoever takes in orphans here may let them lie for a while.
    return status.includes(`\nUid:\t${VICTIM}\t`) && status.startsWith("Name:\tsleep\n") &&
      !status.includes("\nState:\tZ");
  } catch {
    return false;
  }
}

Deno.test({ name: "the response helper as a process of its own", ...asRoot }, async (t) => {
  await using program = await BundledProgram.make("collector/main.ts");
  const thread = (...held: ResponseCapability[]): Set<string> => {
    const mask = held.reduce((sum, name) => sum | BITS[name], 0n), ids = Array(4).fill(HELPER).join("\t");
    return new Set([[ids, 1, 2, mask, mask, mask, mask, mask].join(" ")]);
  };

  await t.step("a policy of signals gives CAP_KILL alone, under Landlock, and what is done is done", async () => {
    await using world = new HelperWorld(program);
    await world.start("mode: enforce\nactions: [stop, resume, kill]\n");
    const pid = await world.victim();
    assert.match(
      world.client.greeting!.sees,
      /with CAP_KILL and no other capability, under a filter of system calls, /,
    );
    assert.match(world.client.greeting!.sees, FENCE);
    assert.equal((await world.ask(pid, { action: "stop" })).outcome, "done");
    assert.equal(stateOf(pid), "stopped");
    assert.equal((await world.ask(pid, { action: "resume" })).outcome, "done");
    const { outcome, text } = await world.ask(pid, {});
    assert.equal(outcome, "done", text);
    assert.equal(isVictim(pid), false);
    assert.deepEqual(world.threads(), thread("kill"));
    // What is below whoever started it is DaemonEye's
    const own = new Deno.Command("sleep", { args: ["1000"] }).spawn();
    assert.match((await world.ask(own.pid, {})).text, /is protected: it is DaemonEye/);
    own.kill("SIGKILL");
    await own.status;
    assert.match((await world.ask(world.pid, {})).text, /is protected: it runs as user 65121, which is DaemonEye's/);
    // What root takes away holds at once, what it gives only with what that takes
    const other = await world.victim();
    world.write("mode: enforce\nactions: [stop]\n");
    assert.equal((await world.ask(other, {})).text, "the policy does not allow kill; it allows stop");
    world.write("mode: enforce\nactions: [evidence]\n");
    assert.match((await world.ask(other, { action: "evidence" })).text, /lacks sys_ptrace, dac_read_search; restart/);
    Deno.chownSync(world.layout.responsePolicy, HELPER, 0);
    assert.match((await world.ask(other, {})).text, /but \/\S+ belongs to user 65121/);
    Deno.removeSync(world.layout.responsePolicy);
    assert.match((await world.ask(other, {})).text, /^The policy \S+ is refused: it is not there/);
    assert.equal(stateOf(other), "sleeping");
    await world.stop();
    assert.match(world.stderr, /^responder: kill of \S+, asked for by user 0 \(root\): done: SIGKILL was sent/m);
  });

  await t.step("a dry run holds no capability at all", async () => {
    await using world = new HelperWorld(program);
    await world.start("actions: [stop, resume, kill, trace, evidence]\n");
    const pid = await world.victim();
    const { outcome, text } = await world.ask(pid, {});
    assert.equal(outcome, "dry_run", text);
    assert.equal((await world.ask(pid, { action: "evidence" })).outcome, "dry_run");
    assert.equal(stateOf(pid), "sleeping");
    assert.match(world.client.greeting!.sees, /without any capability, /);
    assert.match(world.client.greeting!.sees, FENCE);
    assert.deepEqual(world.threads(), thread());
  });

  await t.step("a policy of evidence and traces lets it see processes of others, and write its directory", async () => {
    await using world = new HelperWorld(program);
    await world.start("mode: enforce\nactions: [trace, evidence]\ntrace: { interval_ms: 50 }\n");
    const pid = await world.victim();
    assert.match(
      world.client.greeting!.sees,
      /with CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE and no other capability, .*NOT UNDER LANDLOCK: it would hide/,
    );
    const evidence = await world.ask(pid, { action: "evidence" });
    assert.equal(evidence.outcome, "done", evidence.text);
    assert.doesNotMatch(evidence.text, /without/);
    const manifest = JSON.parse(Deno.readTextFileSync(`${evidence.place}/manifest.json`));
    assert.deepEqual([manifest.missing, manifest.user, manifest.path], [[], VICTIM, Deno.realPathSync("/bin/sleep")]);
    const trace = await world.ask(pid, { action: "trace", seconds: 1 });
    assert.equal(trace.outcome, "done", trace.text);
    await until("the trace is over", () => world.ended.length === 1);
    assert.match(Deno.readTextFileSync(trace.place), /"call":"\w*nanosleep\(/);
    assert.match((await world.ask(pid, {})).text, /does not allow kill/);
    assert.equal(stateOf(pid), "sleeping");
    assert.deepEqual(world.threads(), thread("sys_ptrace", "dac_read_search"));
  });

  await t.step("a policy that is not right is said in the greeting, and everything is refused", async () => {
    await using world = new HelperWorld(program);
    await world.start("mode: enforce\nactions: [everything]\n", []);
    assert.match(world.client.greeting!.fault, /^The policy \S+ is refused: line 2: it must be one of stop/);
    assert.match((await world.ask(1, { process: "00000000-1-1" })).text, /^The policy \S+ is refused: line 2/);
  });
});
