/**
 * A socket in memory that delays, cuts and damages what goes through it, by seed and on virtual time.
 *
 * Either side may die: what it had written still arrives, as from a real socket, and then the other side sees the end;
 * the dead one never hears of anything again.
 *
 * @module
 */
import type { Connection } from "../../proto/channel.ts";
import type { Random } from "../fuzz/random.ts";
import type { VirtualTime } from "./virtual_time.ts";

export interface NetworkFaults {
  /** Longest delay of a piece, in milliseconds. */
  delayMs: number;
  /** Probability that the connection breaks in the middle of a piece. */
  cut: number;
  /** Probability that a bit of a piece is flipped. */
  flip: number;
  /** Probability that from a piece on nothing arrives any more, though nobody says so. */
  stall: number;
}

export const SOUND: NetworkFaults = { delayMs: 2, cut: 0, flip: 0, stall: 0 };

/** Bytes that are on their way in one direction before a writer waits. */
const ROOM_BYTES = 65_536;

/** A process at one end: once it is dead nothing that it waits for comes. */
export interface Process {
  readonly isDead: boolean;
}

export class MemoryNetwork {
  faults: NetworkFaults = { ...SOUND };
  #listener: MemoryListener | null = null;
  #ends: End[] = [];
  readonly counts = { connections: 0, cuts: 0, flips: 0, stalls: 0 };

  constructor(readonly time: VirtualTime, readonly random: Random) {}

  /** Stands for the socket's listener, of which the broker uses these two. */
  listen(process: Process): Deno.UnixListener {
    return (this.#listener = new MemoryListener(process)) as unknown as Deno.UnixListener;
  }

  connect(process: Process): Promise<Connection> {
    if (process.isDead) return never();
    const listener = this.#listener;
    if (listener === null || listener.isClosed || listener.process.isDead) {
      return Promise.reject(new Deno.errors.ConnectionRefused("Nobody listens"));
    }
    const near = new End(this, process), far = new End(this, listener.process);
    near.peer = far;
    far.peer = near;
    this.#ends.push(near, far);
    this.counts.connections += 1;
    listener.offer(far);
    return Promise.resolve(near);
  }

  /** To be called when a process has died: its peers see the end of their connections. */
  bury(process: Process): void {
    for (const end of this.#ends) if (end.process === process) end.peer.endsSoon();
    this.#ends = this.#ends.filter((end) => !end.process.isDead && !end.isClosed);
  }
}

/** What never comes. Each its own: one that all wait for would keep every life in memory. */
function never(): Promise<never> {
  return new Promise(() => {});
}

class MemoryListener {
  isClosed = false;
  #waiting: ((end: End) => void) | null = null;
  #refuse: (error: Error) => void = () => {};
  readonly #offered: End[] = [];

  constructor(readonly process: Process) {}

  offer(end: End): void {
    if (this.#waiting === null) return void this.#offered.push(end);
    this.#waiting(end);
    this.#waiting = null;
  }

  accept(): Promise<End> {
    if (this.process.isDead) return never();
    const end = this.#offered.shift();
    if (end !== undefined) return Promise.resolve(end);
    return new Promise((resolve, reject) => {
      this.#waiting = resolve;
      this.#refuse = reject;
    });
  }

  close(): void {
    this.isClosed = true;
    for (const end of this.#offered) end.close();
    this.#refuse(new Deno.errors.BadResource("The listener is closed"));
  }
}

type Arrival = Uint8Array<ArrayBuffer> | "end" | "broken";

class End implements Connection {
  peer!: End;
  isClosed = false;
  #isBroken = false;
  #isStalled = false;
  /** What has arrived and is not read. */
  readonly #inbox: Arrival[] = [];
  /** Bytes that were written here and not read there. */
  #under = 0;
  #arrivesAt = 0;
  #reader: (() => void) | null = null;
  #writer: (() => void) | null = null;

  constructor(readonly network: MemoryNetwork, readonly process: Process) {}

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (this.#inbox.length === 0 && !this.isClosed && !this.process.isDead) {
      await new Promise<void>((resolve) => this.#reader = resolve);
    }
    if (this.process.isDead) return await never();
    if (this.isClosed) throw new Deno.errors.BadResource("The connection is closed");
    const next = this.#inbox[0]!;
    if (next === "end") return null;
    if (next === "broken") throw new Deno.errors.ConnectionReset("Connection reset by peer");
    const count = Math.min(into.length, next.length);
    into.set(next.subarray(0, count));
    if (count === next.length) this.#inbox.shift();
    else this.#inbox[0] = next.subarray(count);
    this.peer.#taken(count);
    return count;
  }

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    while (this.#under >= ROOM_BYTES && !this.isClosed && !this.#isBroken && !this.process.isDead) {
      await new Promise<void>((resolve) => this.#writer = resolve);
    }
    if (this.process.isDead) return await never();
    if (this.isClosed) throw new Deno.errors.BadResource("The connection is closed");
    if (this.#isBroken || this.peer.isClosed || this.peer.process.isDead) {
      throw new Deno.errors.BrokenPipe("Broken pipe");
    }
    const { random, faults, counts } = this.network;
    const count = random.chance(0.2) ? 1 + random.below(bytes.length) : bytes.length;
    const piece = bytes.slice(0, count);
    this.#under += count;
    if (random.chance(faults.stall)) {
      counts.stalls += 1;
      this.#isStalled = true;
    }
    if (this.#isStalled) return count;
    if (random.chance(faults.flip)) {
      counts.flips += 1;
      piece[random.below(count)]! ^= 1 << random.below(8);
    }
    if (random.chance(faults.cut)) {
      counts.cuts += 1;
      this.#send(piece.subarray(0, random.below(count + 1)));
      this.#send("broken");
      this.#isBroken = true;
    } else this.#send(piece);
    return count;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#wake();
    this.peer.endsSoon();
  }

  /** The other side is gone: after what it wrote comes the end. */
  endsSoon(): void {
    this.peer.#send("end");
    // A writer learns of it at once; a reader first gets what is under way.
    this.#writer?.();
  }

  #send(arrival: Arrival): void {
    const { time, random, faults } = this.network;
    this.#arrivesAt = Math.max(this.#arrivesAt, time.now + random.below(faults.delayMs + 1));
    time.at(this.#arrivesAt - time.now, () => this.peer.#arrive(arrival));
  }

  #arrive(arrival: Arrival): void {
    if (typeof arrival !== "string" && arrival.length === 0) return;
    this.#inbox.push(arrival);
    if (arrival === "broken") this.#isBroken = true;
    this.#wake();
  }

  #taken(count: number): void {
    this.#under -= count;
    this.#writer?.();
  }

  #wake(): void {
    this.#reader?.();
    this.#writer?.();
  }
}
