/**
 * SIGKILL, again and again, at random moments, on a real writer of the log and a real agent; then everything is counted.
 *
 * The writer is the collector's outbox, log and publisher on a real disk, with a small log, so that segments turn over,
 * go and come back many times; the agent is the real one. The seed decides who dies when, as far as a machine lets it.
 *
 * @module
 */
import { makeBundles } from "../../deploy/bundle.ts";
import { tierGrants } from "../../deploy/privileges.ts";
import { BUNDLE_FLAGS, grantFlags } from "../../deploy/runtime_flags.ts";
import { rows, TempDir } from "../agent/support.ts";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import { Random } from "../fuzz/random.ts";
import { RULES } from "./known_events.ts";
import { type Expected, judge, readAlertIds, type Told, type Verdict } from "./stored.ts";
import { TierProcess } from "./tier_process.ts";
import type { WriterSettings } from "./writer.ts";

/** Anything that must happen happens in this time, however busy the machine is. */
const PATIENCE_MS = 60_000;
/** A tier lives at most so long before it is killed. */
const MAX_LIFE_MS = 400;
const TOKEN = "c5".repeat(32);
/** Time after which strace is told of the log's files anew. */
const RENEW_MS = 1_000;
/** Some 2,000 events a second. */
const STEP = 10, PAUSE_MS = 5;

export interface CyclesResult extends Verdict {
  readonly killed: { writer: number; agent: number };
  /** Longest time from a kill to the next acknowledgement. */
  readonly recoveryMs: number;
  /** Where it all lies when something is wrong; otherwise it is gone. */
  readonly state: string;
}

/** Runs so many cycles. */
export async function killCycles(cycles: number, seed: number, say: (text: string) => void): Promise<CyclesResult> {
  const run = new CrashRun(seed, say);
  try {
    await run.begin();
    for (let cycle = 1; cycle <= cycles; cycle++) await run.cycle();
    await run.end();
  } catch (error) {
    run.faults.push(error instanceof Error ? error.message : String(error));
  }
  return await run.judge();
}

type Tier = "writer" | "agent";

/** System calls that fail, as strace has it: `fdatasync:error=EIO:when=1+3`, each of them. */
export type Injections = readonly string[];

export class CrashRun {
  readonly faults: string[] = [];
  readonly killed = { writer: 0, agent: 0 };
  readonly told = new Map<number, Told>();
  readonly acknowledged = new Map<string, number>();
  readonly #random: Random;
  readonly #directory = new TempDir();
  readonly #layout: StateLayout = stateLayout(this.#directory.path);
  readonly #processes = new Map<Tier, TierProcess>();
  #life = 0;
  #opened = false;
  #listening = false;
  #ended = "";
  /** Counts acknowledgements that say something new. */
  #news = 0;
  #recoveryMs = 0;
  #heard: string[] = [];

  /** `areFaultsExpected`: its disk will fail, so the log may say that it does. */
  constructor(
    seed: number,
    private readonly say: (text: string) => void,
    private readonly areFaultsExpected: boolean = false,
  ) {
    this.#random = new Random(seed);
  }

  async begin(): Promise<void> {
    const { run, agent, rules, token } = this.#layout;
    for (const directory of [run, agent, rules, `${this.#layout.state}/collector`]) Deno.mkdirSync(directory);
    Deno.writeTextFileSync(token, TOKEN + "\n");
    for (const [name, text] of Object.entries(RULES)) Deno.writeTextFileSync(`${rules}/${name}`, text);
    await makeBundles([
      { entry: "agent/main.ts", output: this.#bundle("agent") },
      { entry: "tests/crash/writer.ts", output: this.#bundle("writer") },
    ], Deno.execPath());
    this.#start("agent");
    this.#start("writer");
    await this.#until("the first acknowledgement comes", () => this.#news > 0);
  }

  async cycle(): Promise<void> {
    const random = this.#random;
    const who: readonly Tier[] = random.pick<readonly Tier[]>([["writer"], ["agent"], ["agent", "writer"]]);
    await new Promise((resolve) => setTimeout(resolve, random.below(MAX_LIFE_MS)));
    const began = performance.now();
    // The first of two is dead for a moment before the other.
    for (const tier of who) {
      this.#processes.get(tier)!.signal("SIGKILL");
      if (random.chance(0.5)) await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    }
    for (const tier of who) {
      const { code, signal } = await this.#processes.get(tier)!.ended();
      if (signal !== "SIGKILL") throw new Error(`The ${tier} ended by itself with ${signal ?? code}`);
      this.killed[tier] += 1;
    }
    if (who.includes("agent")) this.#checkStore();
    for (const tier of random.chance(0.5) ? who : who.toReversed()) this.#start(tier);
    // One in four dies again before it has come up.
    if (random.chance(0.25)) return;
    const news = this.#news;
    await this.#until(
      "what waits is acknowledged after a kill",
      () => this.#opened && this.#listening && this.#news > news,
    );
    this.#recoveryMs = Math.max(this.#recoveryMs, performance.now() - began);
  }

  /**
   * Has calls of the writer's main thread fail, until `count` of them have and it has said `words`, as not each of them
   * is one that it speaks of; then waits until it goes on. `within`: only calls on the files that the log has now, for those that Deno makes itself, and
   * does not survive. Needs strace and the right to trace.
   */
  async inject(
    injections: Injections,
    count: number,
    words: RegExp | null,
    within: "anywhere" | "log",
  ): Promise<void> {
    const log = `${this.#directory.path}/strace`, begin = this.#heard.length;
    Deno.writeTextFileSync(log, ""); // of the one before
    const injected = (): number => readIfThere(log).split("(INJECTED)").length - 1;
    const isSaid = (): boolean => words === null || words.test(this.#heard.slice(begin).join("\n"));
    const hasFailed = (): boolean => injected() >= count && isSaid();
    const end = performance.now() + PATIENCE_MS;
    while (!hasFailed()) {
      if (performance.now() > end) {
        throw new Error(`It did not come about that ${injections.join()} fail ${count} times`);
      }
      await this.#trace(injections, within, log, hasFailed);
    }
    const news = this.#news;
    // The log waits up to half a minute before it tries a bad disk again.
    await this.#until(`acknowledgements go on after ${injections.join()}`, () => this.#news > news + 3);
    this.say(`${injections.join()}: ${injected()} failed`);
  }

  /**
   * Has strace fail calls until enough have, or a second is over: by then the log may write to files that it did not have
   * when strace was told of them.
   */
  async #trace(
    injections: Injections,
    within: "anywhere" | "log",
    log: string,
    hasFailed: () => boolean,
  ): Promise<void> {
    const writer = this.#processes.get("writer")!, directory = `${this.#layout.wal}/1`;
    const files = within === "log" ? [...Deno.readDirSync(directory)].map(({ name }) => `${directory}/${name}`) : [];
    const tracer = new Deno.Command("strace", {
      args: [
        ...["-qq", "-p", String(writer.pid), "-A", "-o", log],
        ...files.flatMap((path) => ["-P", path]),
        ...injections.flatMap((each) => ["-e", `inject=${each}`]),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const end = performance.now() + (within === "log" ? RENEW_MS : PATIENCE_MS);
    try {
      await this.#until("calls fail", () => hasFailed() || performance.now() > end);
    } finally {
      tracer.kill("SIGINT"); // detaches
      await tracer.output();
    }
  }

  /** Lets everything be delivered. */
  async end(): Promise<void> {
    await this.#until("both tiers are up", () => this.#opened && this.#listening);
    const writer = this.#processes.get("writer")!, agent = this.#processes.get("agent")!;
    await writer.closeInput();
    await this.#until("all is delivered", () => this.#ended !== "");
    const { faults, missing, damaged } = JSON.parse(this.#ended);
    if (missing > 0 || (!this.areFaultsExpected && faults + damaged > 0)) {
      this.faults.push(`the log found damage where there was none: ${this.#ended}`);
    }
    await writer.ended();
    agent.signal("SIGTERM");
    const { code } = await agent.ended();
    if (code !== 0) this.faults.push(`the agent ended with ${code}`);
  }

  async judge(): Promise<CyclesResult> {
    for (const process of this.#processes.values()) await process.kill();
    const { store, alertFile, state } = this.#layout, { killed } = this, recoveryMs = this.#recoveryMs;
    const expected: Expected = { told: this.told, acknowledged: this.acknowledged, torn: new Map(), step: STEP };
    const verdict = judge(store, readAlertIds(alertFile), expected);
    verdict.faults.unshift(...this.faults);
    if (verdict.faults.length === 0) this.#directory[Symbol.dispose]();
    return { ...verdict, killed, recoveryMs, state };
  }

  /** An agent that was killed has stored what it acknowledged. */
  #checkStore(): void {
    for (const [epoch, sequence] of this.acknowledged) {
      const sql = "SELECT last_sequence AS n FROM collectors WHERE epoch = ?";
      const [row] = rows(this.#layout.store, sql, epoch), stored = row?.["n"] as number | undefined ?? 0;
      if (stored < sequence) {
        this.faults.push(`${sequence} was acknowledged of ${epoch}, after a kill ${stored} is stored`);
      }
    }
  }

  #start(tier: Tier): void {
    if (tier === "agent") {
      this.#listening = false;
      this.#processes.set(tier, new TierProcess(this.#agent(), (line) => this.#heardOfAgent(line)));
    } else {
      this.#opened = false;
      const life = ++this.#life, told: Told = { durable: 0, refused: 0, about: 0, aboutRefused: 0 };
      this.told.set(life, told);
      this.#processes.set(tier, new TierProcess(this.#writer(life), (line) => this.#heardOfWriter(line, told)));
    }
  }

  #heardOfAgent(line: string): void {
    this.say(line);
    if (line.includes("listening on")) this.#listening = true;
    if (/cannot be|damaged|did not take/.test(line)) this.faults.push(line);
  }

  #heardOfWriter(line: string, told: Told): void {
    const [word, ...rest] = line.split(" ");
    switch (word) {
      case "about":
        [told.about, told.aboutRefused] = rest.map(Number) as [number, number];
        return;
      case "durable":
        [told.durable, told.refused] = rest.map(Number) as [number, number];
        return;
      case "acknowledged": {
        const [epoch, sequence] = [rest[0]!, Number(rest[1])];
        const before = this.acknowledged.get(epoch) ?? 0;
        if (sequence <= before) return; // a new life begins with what its log knew
        this.acknowledged.set(epoch, sequence);
        this.#news += 1;
        return;
      }
      case "opened":
        this.#opened = true;
        return;
      case "ended":
        this.#ended = rest.join(" ");
        return;
      default:
        this.say(`writer: ${line}`);
        this.#heard.push(line);
        if (/set back|left alone|^error: /i.test(line)) this.faults.push(`writer: ${line}`);
        if (!this.areFaultsExpected && /in memory|replaced/.test(line)) this.faults.push(`writer: ${line}`);
    }
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!holds()) {
      for (const [tier, { status }] of this.#processes) {
        if (status !== null && this.#ended === "") throw new Error(`The ${tier} ended by itself with ${status.code}`);
      }
      if (performance.now() > end) throw new Error(`It did not come about that ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  #bundle(program: string): string {
    return `${this.#layout.state}/${program}.js`;
  }

  #writer(life: number): Deno.Command {
    const settings: WriterSettings = {
      wal: this.#layout.wal,
      socket: this.#layout.brokerSocket,
      token: TOKEN,
      life,
      events: STEP,
      pauseMs: PAUSE_MS,
      steps: 0,
      totalBytes: 393_216,
      segmentBytes: 16_384,
      memoryBytes: 262_144,
      keepMs: 200,
    };
    return this.#command(["-A"], this.#bundle("writer"), JSON.stringify(settings));
  }

  #agent(): Deno.Command {
    const { state, rules } = this.#layout;
    const paths = { rulesDirs: [rules], configFiles: [], alertHosts: [], libc: "/lib/libc.so.6" };
    const flags = grantFlags(tierGrants("agent", { layout: this.#layout, ...paths }));
    return this.#command(flags, this.#bundle("agent"), "--state", state, "--set", "agent.stdout=none");
  }

  #command(flags: readonly string[], ...rest: readonly string[]): Deno.Command {
    const args = ["run", ...BUNDLE_FLAGS, ...flags, ...rest];
    return new Deno.Command(Deno.execPath(), {
      args,
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
  }
}

function readIfThere(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
