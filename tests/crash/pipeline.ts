/**
 * One simulated life of the whole pipeline: log, outbox, publisher, socket, sessions, rules, store and deliveries, with
 * everything that can go wrong between and below them, by seed and on virtual time.
 *
 * After every step: what the collector holds for acknowledged is in the store, as another program reads it. In the end,
 * when everything is sound again, all must have come through: everything that was on disk, once, in order; a gap for
 * everything that was refused; an alert for every hit, once, delivered, and entered into the audit ledger once.
 *
 * @module
 */
import { loadRuleFiles } from "../agent/support.ts";
import { StoreError } from "../../agent/store/store_error.ts";
import { TempDir } from "../agent/support.ts";
import { Random } from "../fuzz/random.ts";
import { NO_FAULTS, SimStorage, SimulatedCrash } from "../support/sim_storage.ts";
import { SimHome } from "../support/test_log.ts";
import { RULES } from "./known_events.ts";
import { MemoryNetwork, SOUND } from "./memory_network.ts";
import { AgentLife, FaultySqlite, Outside } from "./sim_agent.ts";
import { judgeLedger } from "./ledgered.ts";
import type { PipelineResult } from "./pipeline_result.ts";
import { CollectorLife, type LedgerDisks } from "./sim_collector.ts";
import { type Expected, judge, type Range, type Told } from "./stored.ts";
import { VirtualTime } from "./virtual_time.ts";

/** The pipeline broke a promise. */
export class BrokenPromise extends Error {
  override name = "BrokenPromise";
}

/** Most items of one drain. */
const MOST = 40;
/** Once everything is sound, all is delivered in this time, the longest waits between two tries included. */
const QUIET_MS = 3_600_000;
const DIGESTED_MS = 10_000;
const DAY_MS = 86_400_000;

/** What a thread has once: time and SQLite are taken over for good. */
export interface Ground {
  readonly time: VirtualTime;
  readonly sqlite: FaultySqlite;
  readonly rules: ReturnType<typeof loadRuleFiles>;
}

/** Takes the clocks, the timers and SQLite of this thread over. */
export function prepare(): Ground {
  using directory = new TempDir();
  for (const [name, text] of Object.entries(RULES)) Deno.writeTextFileSync(`${directory.path}/${name}`, text);
  const rules = loadRuleFiles([directory.path]);
  const time = new VirtualTime(), sqlite = new FaultySqlite();
  time.install();
  sqlite.install();
  // Of a process that died at its disk nobody waits for the rest.
  globalThis.addEventListener("unhandledrejection", (event) => {
    if (event.reason instanceof SimulatedCrash) event.preventDefault();
  });
  return { time, sqlite, rules };
}

/** Runs the life with this seed, and tells `trace` its steps. @throws {BrokenPromise} */
export async function simulate(seed: number, ground: Ground, trace?: (text: string) => void): Promise<PipelineResult> {
  const pipeline = new Pipeline(seed, ground, trace);
  try {
    return await pipeline.run();
  } finally {
    pipeline.remove();
  }
}

class Pipeline {
  readonly #random: Random;
  readonly #time: VirtualTime;
  readonly #home: SimHome;
  readonly #disks: LedgerDisks;
  readonly #network: MemoryNetwork;
  readonly #outside = new Outside();
  readonly #directory: string;
  readonly #limits: { totalBytes: number; segmentBytes: number; memoryBytes: number; keepMs: number };
  readonly #told = new Map<number, Told>();
  readonly #acknowledged = new Map<string, number>();
  /** The highest number that was on disk, by epoch. */
  readonly #promised = new Map<string, number>();
  readonly #torn = new Map<string, Range[]>();
  readonly #faults: string[] = [];
  readonly #deaths = { collectors: 0, agents: 0 };
  #collector: CollectorLife | null = null;
  #agent: AgentLife | null = null;
  #life = 0;
  #store = 0;
  #steps = 0;
  #isQuiet = false;

  constructor(seed: number, private readonly ground: Ground, private readonly say: (text: string) => void = () => {}) {
    const random = this.#random = new Random(seed);
    this.#time = ground.time;
    this.#time.reset();
    ground.sqlite.random = random;
    ground.sqlite.faults = { full: 0, crash: 0 };
    ground.sqlite.counts.full = 0;
    this.#home = new SimHome(seed * 100);
    this.#disks = { ledger: new SimStorage(new Random(seed, 1)), secrets: new SimStorage(new Random(seed, 2)) };
    this.#network = new MemoryNetwork(this.#time, random);
    this.#directory = Deno.makeTempDirSync({ prefix: "daemoneye-pipeline-", ...inMemory() });
    this.#limits = {
      totalBytes: random.pick([24_576, 65_536, 262_144]),
      segmentBytes: random.pick([2_048, 8_192]),
      memoryBytes: random.pick([8_192, 65_536]),
      keepMs: random.pick([500, 60_000]),
    };
  }

  async run(): Promise<PipelineResult> {
    Deno.mkdirSync(`${this.#directory}/0`);
    this.#startAgent();
    this.#startCollector();
    this.#drainLater();
    this.#chaosLater();
    const end = 20_000 + this.#random.below(100_000);
    while (this.#time.now < end) await this.#step();
    this.#trace("all is sound from here on");
    this.#isQuiet = true;
    this.#sound();
    await this.#until("the tiers are up", () => this.#collector !== null && this.#agent !== null);
    this.#collector!.isProductive = false;
    await this.#until(
      "all is delivered",
      () => this.#collector !== null && this.#collector.isDelivered && this.#agent !== null && this.#agent.isDelivered,
    );
    await this.#until(
      "every alert is entered into the ledger",
      () => this.#agent?.notes?.waiting === 0 && this.#collector !== null && this.#collector.isEntered,
    );
    // What came last is under a digest only then.
    for (const digested = this.#time.now + DIGESTED_MS; this.#time.now < digested;) await this.#step();
    return await this.#judge();
  }

  /** Ends what is left of it. */
  remove(): void {
    this.ground.sqlite.faults = { full: 0, crash: 0 };
    for (const life of [this.#collector, this.#agent]) if (life !== null) life.isDead = true;
    this.#agent?.leaveTo(`${this.#directory}/end`);
    this.#time.reset();
    Deno.removeSync(this.#directory, { recursive: true });
  }

  async #step(): Promise<void> {
    this.#steps += 1;
    const collector = this.#collector;
    if (!await this.#time.step()) throw new BrokenPromise("Nothing is left that could happen");
    // One that died within a call, half way from one log to another, says nothing any more: nobody acts on it.
    if (collector !== null && !collector.isDead) {
      const { epoch, acknowledged } = collector.outbox;
      const before = this.#acknowledged.get(epoch) ?? 0;
      this.#promised.set(epoch, Math.max(this.#promised.get(epoch) ?? 0, collector.outbox.durable));
      if (acknowledged > before) {
        this.#acknowledged.set(epoch, acknowledged);
        if (this.#agent !== null) this.#checkWatermark(epoch, acknowledged);
      }
    }
    if (this.#collector?.isDead) this.#collectorDied("the machine stops");
    if (this.#agent?.isDead) this.#agentDied("in a commit");
    if (this.#faults.length > 0) throw new BrokenPromise(this.#faults.join("; "));
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    const end = this.#time.now + QUIET_MS;
    while (!holds()) {
      if (this.#time.now > end) {
        const c = this.#collector;
        throw new BrokenPromise(
          `It did not come about that ${what}: ` +
            (c === null ? "no collector" : `collector ${c.standing}; ledger ${c.ledgerStanding}`) +
            `; notes ${JSON.stringify(this.#agent?.notes)}` +
            `; agent ${this.#agent === null ? "none" : this.#agent.isDelivered ? "has delivered" : "owes deliveries"}`,
        );
      }
      await this.#step();
    }
  }

  async #judge(): Promise<PipelineResult> {
    const expected: Expected = { told: this.#told, acknowledged: this.#acknowledged, torn: this.#torn, step: MOST };
    const verdict = judge(this.#agent!.path, this.#outside.ids, expected);
    const ledger = await judgeLedger(
      this.#disks.ledger,
      this.#agent!.path,
      this.#time.wall(),
      this.#collector!.outbox.epoch,
    );
    verdict.faults.push(...ledger.faults);
    if (verdict.faults.length > 0) throw new BrokenPromise(verdict.faults.slice(0, 5).join("; "));
    const { faults: _, again: __, ...counts } = verdict;
    const { full } = this.ground.sqlite.counts;
    return {
      ...counts,
      entered: ledger.entered,
      bare: ledger.bare,
      ...this.#deaths,
      ...this.#network.counts,
      full,
      steps: this.#steps,
    };
  }

  #checkWatermark(epoch: string, acknowledged: number): void {
    const stored = this.#agent!.watermark(epoch);
    if (stored >= acknowledged) return;
    this.#faults.push(`${acknowledged} are acknowledged of epoch ${epoch}, and ${stored} are stored`);
  }

  #startCollector(): void {
    const life = this.#life + 1;
    try {
      this.#collector = new CollectorLife(life, {
        home: this.#home,
        disks: this.#disks,
        network: this.#network,
        time: this.#time,
        random: this.#random,
        limits: this.#limits,
        notice: (text) => this.#noticed("collector", text),
      });
      this.#life = life;
      this.#told.set(life, this.#collector.told);
      this.#collector.isProductive = !this.#isQuiet;
      const { epoch, acknowledged, durable, lastSequence } = this.#collector.outbox;
      const first = (this.#promised.get(epoch) ?? 0) + 1;
      if (lastSequence >= first) this.#torn.set(epoch, [...this.#torn.get(epoch) ?? [], { first, last: lastSequence }]);
      this.#trace(`collector ${life} starts: epoch ${epoch}, ${acknowledged}, ${durable}, ${lastSequence}`);
      void this.#collector.begin();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      this.#trace("the machine stops while the collector starts");
      this.#powerCut();
      this.#time.at(this.#random.below(1_000), () => this.#startCollector());
    }
  }

  #startAgent(): void {
    try {
      this.#agent = new AgentLife(`${this.#directory}/${this.#store}`, {
        ...this.ground,
        network: this.#network,
        random: this.#random,
        outside: this.#outside,
        notice: (text) => this.#noticed("agent", text),
      });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#trace(`the agent does not start: ${error.message}`);
      return this.#time.at(this.#random.below(2_000), () => this.#startAgent());
    }
    this.#trace("agent starts");
    for (const [epoch, acknowledged] of this.#acknowledged) this.#checkWatermark(epoch, acknowledged);
  }

  #collectorDied(how: string, act: () => void = () => this.#powerCut()): void {
    const collector = this.#collector!;
    this.#trace(`collector dies: ${how}; ${JSON.stringify(collector.told)}`);
    collector.isDead = true;
    this.#collector = null;
    this.#deaths.collectors += 1;
    act();
    this.#network.bury(collector);
    this.#time.at(this.#random.below(3_000), () => this.#startCollector());
  }

  #powerCut(): void {
    this.#home.crash();
    this.#disks.ledger.crash();
    this.#disks.secrets.crash();
  }

  #kill(): void {
    this.#home.kill();
    this.#disks.ledger.kill();
    this.#disks.secrets.kill();
  }

  #agentDied(how: string): void {
    const agent = this.#agent!;
    this.#trace(`agent dies: ${how}`);
    agent.isDead = true;
    this.#agent = null;
    this.#deaths.agents += 1;
    this.#network.bury(agent);
    agent.leaveTo(`${this.#directory}/${++this.#store}`);
    this.#time.at(this.#random.below(3_000), () => this.#startAgent());
  }

  #drainLater(): void {
    this.#time.at(this.#random.below(this.#isQuiet ? 1_000 : 400), () => {
      this.#collector?.drain(MOST);
      if (this.#random.chance(0.2)) this.#agent?.tend();
      this.#drainLater();
    });
  }

  #chaosLater(): void {
    const random = this.#random;
    this.#time.at(random.chance(0.1) ? random.below(60_000) : random.below(4_000), () => {
      if (this.#isQuiet) return;
      this.#chaos(random.below(12));
      this.#chaosLater();
    });
  }

  #chaos(what: number): void {
    const random = this.#random, collector = this.#collector, agent = this.#agent;
    switch (what) {
      case 0:
        return collector === null ? undefined : this.#collectorDied("power cut");
      case 1:
        return collector === null ? undefined : this.#collectorDied("killed", () => this.#kill());
      case 2:
      case 3:
        return agent === null ? undefined : this.#agentDied("killed");
      case 4:
      case 5: {
        const rate = (): number => random.pick([0, 0, 0.01, 0.1]);
        this.#network.faults = {
          delayMs: random.pick([0, 5, 500]),
          cut: rate(),
          flip: rate(),
          stall: random.pick([0, 0, 0.01]),
        };
        return this.#trace(`network: ${JSON.stringify(this.#network.faults)}`);
      }
      case 6: {
        const faults = {
          // A file that fails again and again is called lost, and that is counted: seldom here, so as to see what is not.
          io: random.pick([0, 0.02, 0.1]),
          short: random.pick([0, 0.2]),
          crash: random.pick([0, 0, 0.01]),
        };
        for (const storage of this.#storages) Object.assign(storage.faults, faults);
        return this.#trace(`disk: ${JSON.stringify(faults)}`);
      }
      case 7: {
        const used = Math.max(0, ...[...this.#home.logs.values()].map((storage) => storage.used()));
        this.#home.capacity = random.pick([Infinity, used + random.below(4_096)]);
        this.#disks.ledger.faults.capacity = random.pick([Infinity, this.#disks.ledger.used() + random.below(4_096)]);
        return this.#trace("disk: full, or not");
      }
      case 8:
        this.ground.sqlite.faults = { full: random.pick([0, 0.1, 0.9]), crash: random.pick([0, 0.02]) };
        return this.#trace(`store: ${JSON.stringify(this.ground.sqlite.faults)}`);
      case 9:
        this.#time.wallOffset += random.pick([-DAY_MS, DAY_MS, -3_600_000, 1_000]);
        this.#outside.fault = random.pick([0, 0, 0.5]);
        return this.#trace(`the clock of the day is off by ${this.#time.wallOffset}`);
      case 10:
        return this.#sound();
      default:
        return void this.#stopOne();
    }
  }

  /** Stops one of the tiers as a person would. */
  async #stopOne(): Promise<void> {
    const collector = this.#collector, agent = this.#agent;
    if (this.#random.chance(0.5)) {
      if (collector === null) return;
      this.#trace("collector is told to stop");
      await collector.stop();
    } else if (agent !== null) {
      this.#trace("agent is told to stop");
      await agent.stop();
      if (this.#agent !== agent) return; // it was killed meanwhile
      this.#agent = null;
      this.#network.bury(agent);
      this.#time.at(this.#random.below(3_000), () => this.#startAgent());
    }
  }

  get #storages(): readonly SimStorage[] {
    return [...this.#home.logs.values(), this.#disks.ledger, this.#disks.secrets];
  }

  #sound(): void {
    this.#network.faults = { ...SOUND };
    for (const storage of this.#storages) storage.faults = { ...NO_FAULTS };
    this.#home.capacity = Infinity;
    this.ground.sqlite.faults = { full: 0, crash: 0 };
    this.#outside.fault = 0;
    this.#trace("all is sound");
  }

  #noticed(who: string, text: string): void {
    this.#trace(`${who}: ${text}`);
    // Nothing here sets anybody back, and no log is anybody else's.
    if (/set back|left alone|acknowledges what/.test(text)) this.#faults.push(`${who}: ${text}`);
  }

  #trace(text: string): void {
    this.say(`${this.#time.now.toFixed(0).padStart(9)} ${text}`);
  }
}

/** Where files cost no disk, if there is such a place. */
function inMemory(): { dir?: string } {
  try {
    return Deno.statSync("/dev/shm").isDirectory ? { dir: "/dev/shm" } : {};
  } catch {
    return {};
  }
}
