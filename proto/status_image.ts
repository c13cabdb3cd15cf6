/**
 * What a status file holds, and the least that brings it up to date.
 *
 * To replace a file once a second costs a quiet host more than to find out what it should say. Four numbers of a status
 * change by themselves: its time, the uptime, the memory and the CPU time. They stand in fields of fixed width, so while
 * nothing else has changed they alone are put into the file, in their places: what the file says holds at the time that
 * it bears, and a daemon that stopped looks as old as ever. A reader who comes in that moment may see some of the four as
 * they were a second ago, and what both daemons say beside them is as it was.
 *
 * Some more numbers move on a host where nothing happens (free room of the disk, when something was last heard). Those
 * may be as old as {@linkcode SLOW_MS}, and so may what a daemon finds only by looking, which it does not do each second
 * while it knows of nothing that happened; whatever else changes is told with the next status.
 *
 * @module
 */
import type { TierStatus } from "./status.ts";

/** How old may be what moves by itself. */
export const SLOW_MS = 5_000;

/** Tags of `TierStatus` and of the field that holds it: see `ipc.proto`. */
const TIER = 0x0a, TIME = 0x11, UPTIME = 0x19, MEMORY = 0x41, CPU = 0x49;
/** What changes by itself. */
export type SignsOfLife = Pick<TierStatus, "time" | "uptimeMs" | "memoryBytes" | "cpuMs">;

/** A tag and eight bytes. */
const FIELD_BYTES = 9;
const VARINT = 0, FIXED64 = 1, TEXT = 2;

/** Bytes to be put at a place of the file; at 0, they are the whole of it. */
export interface StatusChange {
  readonly at: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface StatusImageOptions<T extends TierStatus> {
  readonly encode: (status: T) => Uint8Array<ArrayBuffer>;
  /** A status with what moves by itself as it was in an earlier one. */
  readonly still: (status: T, earlier: T) => T;
}

export class StatusImage<T extends TierStatus> {
  readonly #options: StatusImageOptions<T>;
  /** What the file says, and where in it the signs of life stand. */
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array();
  #places: Places | null = null;
  /** What the whole file was written of, and when by its own clock. */
  #whole: T | null = null;

  constructor(options: StatusImageOptions<T>) {
    this.#options = options;
  }

  /** What to write for a status; it is taken as written. */
  next(status: T): StatusChange {
    const { encode, still } = this.#options, whole = this.#whole;
    if (whole !== null && this.#places !== null && status.uptimeMs - whole.uptimeMs < SLOW_MS) {
      const bytes = encode(still(status, whole));
      if (isSameBut(this.#places, bytes, this.#bytes)) return this.live(status)!;
    }
    const bytes = this.#bytes = encode(status);
    this.#places = placesIn(bytes);
    this.#whole = status;
    return { at: 0, bytes };
  }

  /** The same where nothing is known to have happened; `null` when it is time for a whole status. */
  live({ time, uptimeMs, memoryBytes, cpuMs }: SignsOfLife): StatusChange | null {
    const places = this.#places, whole = this.#whole;
    if (places === null || whole === null || !(uptimeMs - whole.uptimeMs < SLOW_MS)) return null;
    const { buffer, byteOffset } = this.#bytes, view = new DataView(buffer, byteOffset);
    view.setBigUint64(places.time + 1, BigInt(time), true);
    view.setFloat64(places.time + FIELD_BYTES + 1, uptimeMs, true);
    view.setBigUint64(places.memory + 1, BigInt(memoryBytes), true);
    view.setFloat64(places.memory + FIELD_BYTES + 1, cpuMs, true);
    return { at: places.time, bytes: this.#bytes.subarray(places.time, places.memory + 2 * FIELD_BYTES) };
  }

  /** The file is not as it was written: the next one is written whole. */
  forget(): void {
    this.#whole = null;
  }
}

/** Where the four stand; the first and the last two follow one another. */
interface Places {
  readonly time: number;
  readonly memory: number;
}

/** `null` where one of them is zero, and so is not there. */
function placesIn(bytes: Uint8Array): Places | null {
  if (bytes[0] !== TIER) return null;
  let at = 1, time = -1, memory = -1;
  while (bytes[at]! > 0x7f) at++;
  for (at++; at < bytes.length;) {
    const tag = bytes[at]!;
    if (tag === TIME && bytes[at + FIELD_BYTES] === UPTIME) time = at;
    else if (tag === MEMORY) memory = at;
    else if (tag === CPU) return time < 0 || memory !== at - FIELD_BYTES ? null : { time, memory };
    switch (tag & 7) {
      case FIXED64:
        at += FIELD_BYTES;
        break;
      case VARINT:
        while (bytes[++at]! > 0x7f);
        at++;
        break;
      case TEXT: {
        let length = 0, shift = 0, byte;
        do {
          byte = bytes[++at]!;
          length |= (byte & 0x7f) << shift;
          shift += 7;
        } while (byte > 0x7f);
        at += 1 + length;
        break;
      }
      default:
        return null;
    }
  }
  return null;
}

function isSameBut({ time, memory }: Places, bytes: Uint8Array, before: Uint8Array): boolean {
  return bytes.length === before.length && isSame(bytes, before, 0, time) &&
    isSame(bytes, before, time + 2 * FIELD_BYTES, memory) &&
    isSame(bytes, before, memory + 2 * FIELD_BYTES, bytes.length);
}

function isSame(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (a[at] !== b[at]) return false;
  return true;
}
