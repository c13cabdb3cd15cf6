/**
 * The kernel's clocks, and how times of one become times of another.
 *
 * Records count from boot, sleep included; people count from 1970. The difference moves when the host's clock is set,
 * so it is read anew all the time and never kept.
 *
 * @module
 */

import { bootTimeNs, checked, CLOCK_BOOTTIME, libc } from "./libc.ts";

const CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1;

/** What `Lifecycle` needs to know of time. */
export interface Clock {
  /** Nanoseconds since boot, sleep included. */
  bootTimeNs(): number;
  /** Unix milliseconds of the moment of boot, with fractions: what is to be added to a time since boot. */
  bootOffsetMs(): number;
  /** Nanoseconds since boot in which the host slept. Read late it is too small, never too large. */
  sleptNs(): number;
}

export const kernelClock: Clock = {
  bootTimeNs,
  bootOffsetMs: () => Number(read(CLOCK_REALTIME) - read(CLOCK_BOOTTIME)) / 1e6,
  sleptNs,
};

/** Nanoseconds to add to a `CLOCK_MONOTONIC` time to have it since boot: the time that the host slept. */
export function sleptNs(): number {
  const slept = Number(read(CLOCK_BOOTTIME) - read(CLOCK_MONOTONIC));
  // The two are read one after the other; a host that never slept has no difference.
  return slept < 1_000_000 ? 0 : slept;
}

// Fields of one object that lives as long as the module: see libc.ts on buffers.
const scratch = { time: new BigInt64Array(2), bytes: new Uint8Array(0) };
scratch.bytes = new Uint8Array(scratch.time.buffer);

function read(clock: number): bigint {
  checked(libc.clock_gettime(clock, scratch.bytes), "clock_gettime");
  return scratch.time[0]! * 1_000_000_000n + scratch.time[1]!;
}
