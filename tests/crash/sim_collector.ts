/**
 * One life of a simulated collector: the real log keeper, ledger, outbox and publisher, on disks and a network that are
 * not.
 *
 * @module
 */
import { signerOf } from "../../collector/ledger/keys.ts";
import { LedgerKeeper } from "../../collector/ledger_keeper.ts";
import { LogKeeper } from "../../collector/log_keeper.ts";
import { Outbox, refusalRecord } from "../../collector/outbox.ts";
import { Publisher } from "../../collector/publisher.ts";
import { answerRequest } from "../../collector/requests.ts";
import type { LogHome } from "../../collector/wal/home.ts";
import { type Storage, StorageError, type StorageFile } from "../../collector/wal/storage.ts";
import type { Random } from "../fuzz/random.ts";
import { type SimStorage, SimulatedCrash } from "../support/sim_storage.ts";
import type { SimHome } from "../support/test_log.ts";
import { addKnown } from "./known_events.ts";
import type { MemoryNetwork, Process } from "./memory_network.ts";
import type { Told } from "./stored.ts";
import type { VirtualTime } from "./virtual_time.ts";

export const TOKEN = "c5".repeat(32);
const TEND_MS = 1_000;
const HOST = "c5".repeat(16);

/** The disks of the audit ledger and of its key. */
export interface LedgerDisks {
  readonly ledger: SimStorage;
  readonly secrets: SimStorage;
}

export interface CollectorWorld {
  readonly home: SimHome;
  readonly disks: LedgerDisks;
  readonly network: MemoryNetwork;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly limits: { totalBytes: number; segmentBytes: number; memoryBytes: number; keepMs: number };
  readonly notice: (text: string) => void;
}

export class CollectorLife implements Process {
  /** It has crashed, and nothing of it may touch the world any more. */
  isDead = false;
  /** Whether it adds something new. */
  isProductive = true;
  readonly told: Told = { durable: 0, refused: 0, about: 0, aboutRefused: 0 };
  readonly #world: CollectorWorld;
  readonly #keeper: LogKeeper;
  readonly outbox: Outbox;
  readonly #ledger: LedgerKeeper;
  readonly #publisher: Publisher;
  #number = 0;
  #tended: number;

  /** @throws {SimulatedCrash} when it dies of it. */
  constructor(readonly life: number, world: CollectorWorld) {
    this.#world = world;
    const { time, random, network, notice } = world;
    this.#tended = time.now;
    const { ledger: ledgerDisk, secrets } = world.disks;
    this.#ledger = new LedgerKeeper({
      isOn: true,
      place: "/sim/ledger",
      storage: () => guardedLedger(ledgerDisk, this),
      secrets: () => guardedLedger(secrets, this),
      hash: "sha256",
      keys: { current: signerOf(new Uint8Array(32).fill(1)), next: null },
      checkpointMs: 10_000,
      host: HOST,
      bootId: new Uint8Array(16).fill(3),
      clock: { wallMs: () => time.wall(), monotonicNs: () => BigInt(Math.floor(time.now)) * 1_000_000n },
      log: () => this.#keeper.log,
      notice,
      show: () => {},
      published: (head) => this.#publisher.tell(head),
      entered: (id) => this.#publisher.tell({ kind: "ledgerTaken", id }),
      random: (length) => random.bytes(length),
    });
    this.#keeper = new LogKeeper({
      home: guardedHome(world.home, this, random),
      host: "crash-host",
      collectorId: "crash",
      ...world.limits,
      clock: () => time.now,
      now: () => time.wall(),
      gapRecord: refusalRecord,
      taken: this.#ledger.taken,
      notice,
      random: (length) => random.bytes(length),
    });
    this.outbox = new Outbox(this.#keeper);
    this.#publisher = new Publisher(this.outbox, {
      connect: () => network.connect(this),
      token: TOKEN,
      collectorId: "crash",
      bootId: "c0ffee00-0000-4000-8000-000000000000",
      source: "ebpf",
      checkPeer: () => {},
      answer: (body) => answerRequest(body, "ebpf", () => []),
      ledger: {
        head: () => this.#ledger.head,
        receive: (notes) => this.#ledger.receive(notes),
        disconnected: () => this.#ledger.disconnected(),
        setBack: (stored, acknowledged) => this.#ledger.agentSetBack(stored, acknowledged),
      },
      notice,
      now: () => time.wall(),
      random: () => random.below(1_000) / 1_000,
    });
  }

  /** As main.ts does it: the ledger settles while the agent is connected already. */
  async begin(): Promise<void> {
    await this.#ledger.open();
    if (this.isDead) return;
    void this.#ledger.settle();
    void this.#publisher.run();
  }

  /** Whether everything that the ledger took is on its disk. */
  get isEntered(): boolean {
    const { state, pendingBytes } = this.#ledger.status;
    return state === "on" && pendingBytes === 0;
  }

  get ledgerStanding(): string {
    return JSON.stringify(this.#ledger.status);
  }

  /** Whether everything has been delivered, refusals included, and nothing is left on a disk that was given up. */
  get isDelivered(): boolean {
    const { outbox } = this;
    return this.#keeper.isDurable && outbox.flush() && outbox.waiting === 0 &&
      this.#keeper.log.outstanding.length === 0;
  }

  /** What {@linkcode isDelivered} waits for, for people. */
  get standing(): string {
    const { outbox } = this, { log } = this.#keeper;
    return `${outbox.place}: ${outbox.acknowledged} of ${outbox.durable} of ${outbox.lastSequence} acknowledged, ` +
      `${
        log.outstanding.map(({ itemClass, count }) => `${count} of ${itemClass}`).join(", ") || "nothing"
      } not told, ` +
      `load ${log.load.toFixed(2)}, ${log.status.bytes} bytes in ${log.status.segments} segments, ` +
      `${this.#publisher.connected ? "" : "not "}connected; ${log.status.fault || "no fault"}`;
  }

  /** What a drain of the sources does: adds, flushes, offers, and now and then tends. Ends early when it dies. */
  drain(most: number): void {
    const { time, random } = this.#world, { told, outbox } = this;
    try {
      if (this.isProductive) {
        const last = this.#number + 1 + random.below(most);
        addKnown(outbox, this.life, this.#number + 1, last, time.wall());
        this.#number = last;
      }
      told.about = this.#number;
      told.aboutRefused = outbox.status.refused;
      if (random.chance(0.5)) void this.#flushBeside();
      else if (outbox.flush() && this.#keeper.isDurable) {
        told.durable = told.about;
        told.refused = told.aboutRefused;
      }
      this.#publisher.poke();
      if (time.now - this.#tended < TEND_MS) return;
      this.#tended = time.now;
      outbox.tend();
      this.#ledger.tick();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
    }
  }

  /** Ends some turns later; what is drained meanwhile may overtake it. */
  async #flushBeside(): Promise<void> {
    const { told, outbox } = this;
    try {
      const isFlushed = await outbox.flushBeside();
      if (this.isDead) return;
      if (isFlushed && this.#keeper.isDurable) {
        told.durable = told.about;
        told.refused = told.aboutRefused;
      }
      this.#publisher.poke();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      this.isDead = true;
    }
  }

  /** Ends as a collector that is told to. */
  async stop(): Promise<void> {
    await this.#publisher.stop(2_000, "the collector stops");
    try {
      const refused = this.outbox.status.refused;
      this.outbox.flush();
      this.#ledger.close("it was told to stop");
      if (this.outbox.close() && this.#keeper.isDurable) {
        this.told.durable = this.told.about = this.#number;
        this.told.refused = this.told.aboutRefused = refused;
      }
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
    }
    this.isDead = true;
  }
}

/** The disks as this life sees them: not at all once it is dead, and dead when the machine stopped within a call. */
function guardedHome(home: SimHome, owner: { isDead: boolean }, random: Random): LogHome {
  const call = <T>(act: () => T): T => {
    if (owner.isDead) throw new SimulatedCrash("The process is dead");
    try {
      return act();
    } catch (error) {
      if (error instanceof SimulatedCrash) owner.isDead = true;
      throw error;
    }
  };
  // Names of directories are on disk at once, so a crash comes before or after the call.
  const changing = <T>(act: () => T): T =>
    call(() => {
      const fate = random.below(40);
      if (fate === 0) throw new SimulatedCrash("before a change of directories");
      const result = act();
      if (fate === 1) throw new SimulatedCrash("after a change of directories");
      return result;
    });
  return {
    place: home.place,
    list: () => call(() => home.list()),
    storage: (name) => guardedStorage(call(() => home.storage(name)), call),
    rename: (from, to) => changing(() => home.rename(from, to)),
    remove: (name) => changing(() => home.remove(name)),
  };
}

/** A ledger's disk: whoever dies at it is dead, and finds it gone. */
function guardedLedger(storage: SimStorage, owner: { isDead: boolean }): Storage {
  return guardedStorage(storage, (act) => {
    if (owner.isDead) throw new StorageError("other", "The process is dead");
    try {
      return act();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      owner.isDead = true;
      throw new StorageError("other", "The machine stops");
    }
  });
}

type Call = <T>(act: () => T) => T;

function guardedStorage(storage: Storage, call: Call): Storage {
  return {
    list: () => call(() => storage.list()),
    create: (name) => guardedFile(call(() => storage.create(name)), call),
    open: (name) => guardedFile(call(() => storage.open(name)), call),
    remove: (name) => call(() => storage.remove(name)),
    rename: (from, to) => call(() => storage.rename(from, to)),
    syncDirectory: () => call(() => storage.syncDirectory()),
  };
}

function guardedFile(file: StorageFile, call: Call): StorageFile {
  return {
    size: () => call(() => file.size()),
    readAt: (position, into) => call(() => file.readAt(position, into)),
    writeAt: (position, bytes) => call(() => file.writeAt(position, bytes)),
    syncData: () => call(() => file.syncData()),
    syncDataBeside: () => call(() => file.syncDataBeside()),
    truncate: (size) => call(() => file.truncate(size)),
    // What a dead process had open is closed for it.
    close: () => file.close(),
  };
}
