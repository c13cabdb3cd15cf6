/**
 * A collector's log and outbox on simulated disks, for tests: whole directories of logs that a test can fail, crash and
 * look into.
 *
 * @module
 */
import { LogKeeper, type LogKeeperOptions } from "../../collector/log_keeper.ts";
import { type NextFrame, Outbox, refusalRecord } from "../../collector/outbox.ts";
import type { LogHome } from "../../collector/wal/home.ts";
import { type Storage, StorageError } from "../../collector/wal/storage.ts";
import { FrameReader } from "../../proto/frame.ts";
import type { WireMessage } from "../../proto/messages.ts";
import { decodeMessage } from "../../proto/wire.ts";
import { Random } from "../fuzz/random.ts";
import { SimStorage } from "./sim_storage.ts";

/** A home whose logs lie on simulated disks. Names of directories are on disk at once. */
export class SimHome implements LogHome {
  readonly place = "/sim/wal";
  /** By name of directory. */
  readonly logs = new Map<string, SimStorage>();
  /** Set by a test: every call of the home fails with this. */
  fault: string | null = null;
  #seed: number;
  #capacity = Infinity;

  constructor(seed: number = 1) {
    this.#seed = seed;
  }

  /** Bytes that each log's disk holds from here on. */
  set capacity(bytes: number) {
    this.#capacity = bytes;
    for (const storage of this.logs.values()) storage.faults.capacity = bytes;
  }

  list(): string[] {
    this.#check();
    return [...this.logs.keys()];
  }

  storage(name: string): Storage {
    this.#check();
    let storage = this.logs.get(name);
    if (storage === undefined) this.logs.set(name, storage = new SimStorage(new Random(this.#seed++)));
    storage.faults.capacity = this.#capacity;
    return storage;
  }

  rename(from: string, to: string): void {
    this.#check();
    const storage = this.logs.get(from);
    if (storage === undefined) throw new StorageError("missing", `${from} is not there`);
    if (this.logs.has(to)) throw new StorageError("exists", `${to} is there already`);
    this.logs.delete(from);
    this.logs.set(to, storage);
  }

  remove(name: string): void {
    this.#check();
    this.logs.delete(name);
  }

  /** The process ends without a word: handles are gone, what was written stays. */
  kill(): void {
    for (const storage of this.logs.values()) storage.kill();
  }

  /** The power fails. */
  crash(): void {
    for (const storage of this.logs.values()) storage.crash();
  }

  #check(): void {
    if (this.fault !== null) throw new StorageError("other", this.fault);
  }
}

export class TestLog {
  readonly home: SimHome;
  readonly notices: string[] = [];
  /** Milliseconds; the log's clock and everybody's. */
  now = 1_000_000;
  keeper: LogKeeper;
  outbox: Outbox;
  readonly #options: Partial<LogKeeperOptions>;
  #seed = 7;

  constructor(options: Partial<LogKeeperOptions> = {}, home: SimHome = new SimHome()) {
    this.home = home;
    this.#options = options;
    this.keeper = this.#keep();
    this.outbox = new Outbox(this.keeper);
  }

  /** Opens the log again, as the next start of the collector does. */
  restart(options: Partial<LogKeeperOptions> = {}): void {
    Object.assign(this.#options, options);
    this.keeper = this.#keep();
    this.outbox = new Outbox(this.keeper);
  }

  #keep(): LogKeeper {
    const random = new Random(this.#seed++);
    return new LogKeeper({
      home: this.home,
      host: "host-1",
      collectorId: "test",
      totalBytes: 4_194_304,
      segmentBytes: 65_536,
      keepMs: 60_000,
      memoryBytes: 1_048_576,
      clock: () => this.now,
      now: () => this.now,
      gapRecord: refusalRecord,
      notice: (text) => this.notices.push(text),
      random: (length) => random.bytes(length),
      ...this.#options,
    });
  }
}

/** Everything that can be sent after `sequence`, in order. */
export function frames(outbox: Outbox, sequence: number = outbox.acknowledged): NextFrame[] {
  const all: NextFrame[] = [];
  for (let frame = outbox.frameAfter(sequence); frame !== null; frame = outbox.frameAfter(frame.last)) all.push(frame);
  return all;
}

/** The same as messages, without what is lost. */
export function messages(outbox: Outbox, sequence: number = outbox.acknowledged): WireMessage[] {
  return frames(outbox, sequence).filter(({ bytes }) => bytes !== null).map(({ bytes }) => messageOf(bytes!));
}

/** The message of one frame. */
export function messageOf(frame: Uint8Array): WireMessage {
  const reader = new FrameReader();
  for (let at = 0; at < frame.length;) {
    const space = reader.space(), piece = frame.subarray(at, at + space.length);
    space.set(piece);
    reader.filled(piece.length);
    at += piece.length;
  }
  return decodeMessage(reader.next()!);
}
