/**
 * One life of a simulated agent: the real broker, sessions, ingest, rules, store and deliveries, on a network in memory
 * and on SQLite that can be full and can die in a commit.
 *
 * A crash leaves what the killed process would have left: the files as they are, copied before anything closes them.
 *
 * @module
 */
import { DatabaseSync, type SQLInputValue, StatementSync } from "node:sqlite";
import { Delivery } from "../../agent/alerts/delivery.ts";
import { AlertManager } from "../../agent/alerts/manager.ts";
import type { Sink } from "../../agent/alerts/sink.ts";
import { Broker } from "../../agent/broker/listener.ts";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { Ingest } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import { alertNotes } from "../../agent/ledger_notes.ts";
import type { LoadedRules } from "../../agent/loaded_rules.ts";
import { Store } from "../../agent/store/store.ts";
import { StoreKeeper } from "../../agent/store_keeper.ts";
import type { Alert } from "../../proto/alert.ts";
import type { Random } from "../fuzz/random.ts";
import type { MemoryNetwork, Process } from "./memory_network.ts";
import { TOKEN } from "./sim_collector.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** How long judged batches wait for each other, as in the agent. */
const GROUP_MS = 100;

export interface StoreFaults {
  /** Probability that a statement finds the disk full. */
  full: number;
  /** Probability that the process dies in a commit: before it, or after it and before anybody is told. */
  crash: number;
}

/** What SQLite does besides what it is asked to. One for a thread. */
export class FaultySqlite {
  faults: StoreFaults = { full: 0, crash: 0 };
  readonly counts = { full: 0, crashes: 0 };
  random!: Random;
  /** Who works with the store now. */
  owner: { isDead: boolean } = { isDead: false };
  #inTransaction = false;

  /** Stands between the product and SQLite, for good. Databases in memory, as the rules have, are left alone. */
  install(): void {
    const { exec } = DatabaseSync.prototype, { run } = StatementSync.prototype;
    // deno-lint-ignore no-this-alias -- the database is `this` in the functions below
    const faulty = this;
    DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string): void {
      if (this.location() === null) return exec.call(this, sql);
      if (sql.startsWith("BEGIN")) faulty.#inTransaction = true;
      if (sql === "ROLLBACK") faulty.#inTransaction = false;
      if (sql !== "COMMIT") return exec.call(this, sql);
      faulty.#inTransaction = false;
      faulty.#fail(faulty.faults.full);
      faulty.#die();
      exec.call(this, sql);
      faulty.#die();
    };
    StatementSync.prototype.run = function (this: StatementSync, ...values: SQLInputValue[]) {
      if (faulty.#inTransaction) faulty.#fail(faulty.faults.full / 20);
      return (run as (...values: SQLInputValue[]) => ReturnType<typeof run>).apply(this, values);
    } as typeof run;
  }

  #fail(probability: number): void {
    if (this.owner.isDead) throw new Error("The process is dead");
    if (!this.random.chance(probability)) return;
    this.counts.full += 1;
    throw Object.assign(new Error("database or disk is full"), { code: "ERR_SQLITE_ERROR", errcode: 13 });
  }

  #die(): void {
    if (!this.random.chance(this.faults.crash / 2)) return;
    this.counts.crashes += 1;
    this.owner.isDead = true;
    throw new Error("The process dies");
  }
}

/** Where alerts go; outlives every agent. Ids in the order in which they came. */
export class Outside {
  readonly ids: string[] = [];
  fault = 0;
}

export interface AgentWorld {
  readonly sqlite: FaultySqlite;
  readonly network: MemoryNetwork;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly rules: LoadedRules;
  readonly outside: Outside;
  readonly notice: (text: string) => void;
}

export class AgentLife implements Process {
  isDead = false;
  readonly path: string;
  readonly #world: AgentWorld;
  readonly #keeper: StoreKeeper;
  readonly #detection: Detection;
  readonly #delivery: Delivery;
  readonly #manager: AlertManager;
  readonly #broker: Broker;
  #ingest: Ingest | null = null;
  readonly #serving: Promise<void>;
  /** Any other program that reads; there once there is something to read. */
  #reader: DatabaseSync | null = null;

  /** Opens what is in `directory`. @throws {StoreError} when the disk is full just then. */
  constructor(readonly directory: string, world: AgentWorld) {
    const { sqlite, network, rules, outside, random, notice } = this.#world = world;
    this.path = `${directory}/events.db`;
    sqlite.owner = this;
    const counters = newCounters(), journal = new Journal(notice);
    const sink = new OutsideSink(outside, this, world.time, random);
    this.#keeper = new StoreKeeper({ path: this.path, open: () => new Store(this.path, [sink.name]), journal });
    this.#keeper.begin();
    const storeFailed = (store: Store, error: unknown): void => this.#keeper.failed(store, error);
    const detection = this.#detection = new Detection(rules, { deadlineMs: 1_000, journal, counters });
    this.#delivery = new Delivery(sink, { fault: notice, storeFault: storeFailed }, {
      clock: {
        monotonic: () => performance.now(),
        wall: () => Date.now(),
        random: () => random.below(1_000) / 1_000,
      },
    });
    this.#broker = new Broker(network.listen(this), {
      token: TOKEN,
      storeFailed,
      journal,
      counters,
      joined: (stream) => this.#keeper.store!.putSystemInfo({ boot_id: stream.bootId }, Date.now()),
      maxConnections: 4,
      idleTimeoutMs: 30_000,
    });
    const alerted = (): void => this.#delivery.poke(), notesOf = alertNotes, failed = storeFailed;
    const limits = { windowMs: 300_000, rulePerMinute: 60, perMinute: 600 };
    const manager = this.#manager = new AlertManager({ ...limits, counters, notesOf, alerted, failed, notice });
    this.#keeper.use({
      opened: (store) => {
        detection.recover(store, Date.now());
        manager.attach(store);
        this.#delivery.attach(store);
        const failed = storeFailed, notesOf = alertNotes, groupMs = GROUP_MS;
        this.#ingest = new Ingest({ store, detection, manager, counters, alerted, notesOf, failed, groupMs });
        this.#broker.take({ store, ingest: this.#ingest });
      },
      closing: (reason) => {
        this.#broker.refuse(reason);
        this.#ingest?.drop();
        manager.detach();
        this.#delivery.detach();
      },
    });
    this.#serving = this.#broker.serve();
  }

  /** What it has stored of an epoch, as any other program would read it. */
  watermark(epoch: string): number {
    // Also of a store that the agent has closed, since its disk is full: what it acknowledged is there.
    if (this.#reader === null && isThere(this.path)) this.#reader = new DatabaseSync(this.path, { readOnly: true });
    const row = this.#reader?.prepare("SELECT last_sequence AS n FROM collectors WHERE epoch = ?").get(epoch);
    return row?.["n"] as number | undefined ?? 0;
  }

  /** Whether every alert has been delivered. */
  get isDelivered(): boolean {
    return this.#keeper.store?.owedDeliveries === 0;
  }

  /** Notes that no collector has entered yet, and those that found no room; `null` while there is no store. */
  get notes(): { readonly waiting: number; readonly refused: number } | null {
    const counters = this.#keeper.store?.counters;
    if (counters === undefined) return null;
    return { waiting: counters["ledger_notes_waiting"]!, refused: counters["ledger_notes_refused"]! };
  }

  /** What upkeep does now and then. */
  tend(): void {
    try {
      this.#keeper.store?.tick();
      this.#manager.tick();
    } catch (error) {
      if (this.#keeper.store !== null) this.#keeper.failed(this.#keeper.store, error);
      this.#world.notice(String(error));
    }
  }

  /** Ends as an agent that is told to. */
  async stop(): Promise<void> {
    try {
      this.#ingest?.settle();
    } catch {
      // The disk is full, or it died in this commit: the collector has what was not stored
    }
    if (this.isDead) return;
    this.#broker.stop(2_000);
    await this.#serving;
    await this.#delivery.stop(2_000);
    if (this.isDead) return; // it crashed meanwhile
    this.#close();
    this.isDead = true;
  }

  /** After its death: copies what a killed process leaves into `directory`, and forgets it. */
  leaveTo(directory: string): void {
    Deno.mkdirSync(directory);
    for (const { name } of Deno.readDirSync(this.directory)) {
      if (/-shm$|\.lock$/.test(name)) continue;
      Deno.copyFileSync(`${this.directory}/${name}`, `${directory}/${name}`);
    }
    this.#close();
    Deno.removeSync(this.directory, { recursive: true });
  }

  #close(): void {
    this.#ingest?.drop();
    this.#reader?.close();
    this.#detection.close();
    this.#keeper.stop();
  }
}

/** Takes its time, fails now and then, and has what it has whoever dies. */
class OutsideSink implements Sink {
  readonly name = "outside";
  readonly minSeverity = "info";
  constructor(
    private readonly outside: Outside,
    private readonly owner: Process,
    private readonly time: VirtualTime,
    private readonly random: Random,
  ) {}

  async write(alerts: readonly Alert[]): Promise<void> {
    await this.time.sleep(this.random.below(20));
    if (this.owner.isDead) return await new Promise(() => {});
    if (this.random.chance(this.outside.fault)) throw new Error("The outside does not take alerts now");
    this.outside.ids.push(...alerts.map(({ alertId }) => alertId));
    await this.time.sleep(this.random.below(5));
    if (this.owner.isDead) return await new Promise(() => {});
  }

  written(alertIds: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set(this.outside.ids.filter((id) => alertIds.has(id))));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).size > 0;
  } catch {
    return false;
  }
}
