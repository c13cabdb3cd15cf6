/**
 * What one execution of the collector hands to the next: descriptors of kernel objects, and facts that took privileges.
 *
 * While the collector is root every opening of a kernel object is recorded, in its order, with what came of it: a
 * descriptor or a refusal. After the collector has executed itself again the same code runs once more, without any right,
 * and each opening gives what was recorded. So a source is built twice by the same lines and knows nothing of it, its
 * fallbacks included. A descriptor is taken over only when the kernel says that it is what is asked for; anything else
 * throws {@linkcode InheritanceError}, and the collector does not run.
 *
 * Outside of these two times openings are passed through.
 *
 * @module
 */
import { deserialize, serialize } from "node:v8";
import { BpfError } from "./bpf_error.ts";
import { AT_FDCWD, checked, cString, libc, O_CLOEXEC, O_RDONLY, SystemCallError } from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

/** What is handed over is not what the collector asks for. */
export class InheritanceError extends Error {
  override name = "InheritanceError";
}

type Opening =
  | { readonly kind: "opened"; readonly what: string; readonly descriptor: number; readonly object: string }
  /** It was given up again before the collector executed itself. */
  | { readonly kind: "gone"; readonly what: string }
  | { readonly kind: "refused"; readonly what: string; readonly errno: number; readonly log: string }
  | { readonly kind: "failed"; readonly what: string; readonly errno: number; readonly call: string }
  | { readonly kind: "faulted"; readonly what: string; readonly message: string };

interface Inheritance {
  readonly openings: Opening[];
  /** By name; the text of an error where there was one. */
  readonly facts: Map<string, { readonly value: unknown } | { readonly error: string }>;
}

type Mode =
  | { readonly kind: "off" }
  | { readonly kind: "recording"; readonly inheritance: Inheritance }
  | { readonly kind: "replaying"; readonly inheritance: Inheritance; next: number };

let mode: Mode = { kind: "off" };

/** Longest text of the verifier that is handed on: its end says what was wrong. */
const MAX_LOG = 1_024;
const MAX_BYTES = 1 << 16; // the room of a pipe
const MAX_LINK = 4_096;

/** Openings and facts are recorded from here on. */
export function record(): void {
  mode = { kind: "recording", inheritance: { openings: [], facts: new Map() } };
}

/** Whether openings give what an earlier execution opened. */
export function isTakenOver(): boolean {
  return mode.kind === "replaying";
}

/** What was opened until now is not handed over: the source that did was not to be had. */
export function forgetOpenings(): void {
  if (mode.kind === "recording") mode.inheritance.openings.length = 0;
}

/**
 * The descriptor that `open` gives, or in its place the one that was recorded under the same name. `isRight` asks the
 * kernel whether that one is what `open` would have opened.
 *
 * @throws {InheritanceError} when another one was recorded, or it is not the right one
 * @throws {BpfError | SystemCallError} what `open` threw, or threw when it was recorded
 */
export function opening(what: string, open: () => number, isRight: (descriptor: number) => boolean): number {
  switch (mode.kind) {
    case "off":
      return open();
    case "recording": {
      const { openings } = mode.inheritance;
      try {
        const descriptor = open();
        openings.push({ kind: "opened", what, descriptor, object: objectOf(descriptor) });
        return descriptor;
      } catch (error) {
        if (error instanceof BpfError) {
          openings.push({ kind: "refused", what, errno: error.errno, log: error.verifierLog.slice(-MAX_LOG) });
        } else if (error instanceof SystemCallError) {
          openings.push({ kind: "failed", what, errno: error.errno, call: error.call });
        } else {
          openings.push({ kind: "faulted", what, message: error instanceof Error ? error.message : String(error) });
        }
        throw error;
      }
    }
    case "replaying":
      return takeNext(mode, what, isRight);
  }
}

function takeNext(
  replay: Extract<Mode, { kind: "replaying" }>,
  what: string,
  isRight: (descriptor: number) => boolean,
): number {
  const recorded = replay.inheritance.openings[replay.next++];
  if (recorded?.what !== what) {
    throw new InheritanceError(`Expected ${what} to be handed over, but it is ${recorded?.what ?? "nothing"}`);
  }
  switch (recorded.kind) {
    case "refused":
      throw new BpfError(what, recorded.errno, recorded.log);
    case "failed":
      throw new SystemCallError(recorded.call, recorded.errno);
    case "faulted":
      throw new Error(recorded.message);
    case "gone":
      // Whoever asks closes it, as before.
      return checked(libc.openat(AT_FDCWD, cString("/dev/null"), O_RDONLY | O_CLOEXEC, 0), "open /dev/null");
    case "opened":
      if (objectOf(recorded.descriptor) !== recorded.object || !isRight(recorded.descriptor)) {
        throw new InheritanceError(`Descriptor ${recorded.descriptor} is not ${what}`);
      }
      setCloseOnExec(recorded.descriptor, true);
      return recorded.descriptor;
  }
}

/** What `find` gives, or gave when it was recorded. Its openings are its own business. @throws what `find` throws */
export function told<T>(name: string, find: () => T): T {
  if (mode.kind === "off") return find();
  if (mode.kind === "replaying") {
    const fact = mode.inheritance.facts.get(name);
    if (fact === undefined) throw new InheritanceError(`Expected ${name} to be handed over, but it is not`);
    if ("error" in fact) throw new Error(fact.error);
    return fact.value as T;
  }
  const recording = mode;
  mode = { kind: "off" };
  try {
    const value = find();
    recording.inheritance.facts.set(name, { value });
    return value;
  } catch (error) {
    recording.inheritance.facts.set(name, { error: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    mode = recording;
  }
}

/**
 * Ends the recording: makes all that is open survive an `execve`, and a pipe to read the rest from, whose descriptor this
 * returns. Nothing else survives.
 *
 * @throws {SystemCallError}
 */
export function handOver(): number {
  if (mode.kind !== "recording") throw new InheritanceError("Nothing was recorded");
  const { openings, facts } = mode.inheritance;
  mode = { kind: "off" };
  const last = new Map(openings.map((it, index) => [it.kind === "opened" ? it.descriptor : -1, index]));
  const handed = openings.map((it, index): Opening => {
    if (it.kind !== "opened") return it;
    const isOpen = last.get(it.descriptor) === index && objectOf(it.descriptor) === it.object;
    return isOpen ? it : { kind: "gone", what: it.what };
  });
  const bytes = new Uint8Array(serialize({ openings: handed, facts }));
  if (bytes.length > MAX_BYTES) throw new InheritanceError(`${bytes.length} bytes are too many to hand over`);
  const ends = new Int32Array(2);
  checked(libc.pipe2(new Uint8Array(ends.buffer), O_CLOEXEC), "pipe2");
  if (libc.write(ends[1]!, bytes, bytes.length) !== bytes.length) throw new InheritanceError("The pipe is too small");
  libc.close(ends[1]!);
  // What somebody left inheritable is not: refused by kernels before 5.11, where the runtime's own care has to do.
  libc.syscall(BigInt(SYSCALL.close_range), 3n, 0xffff_ffffn, CLOSE_RANGE_CLOEXEC, 0n, 0n, 0n);
  for (const it of handed) if (it.kind === "opened") setCloseOnExec(it.descriptor, false);
  setCloseOnExec(ends[0]!, false);
  return ends[0]!;
}
const CLOSE_RANGE_CLOEXEC = 4n;

/** Reads what {@linkcode handOver} left; from here on openings give what was recorded. @throws {InheritanceError} */
export function takeOver(pipe: number): void {
  if (!objectOf(pipe).startsWith("pipe:")) throw new InheritanceError(`Descriptor ${pipe} is not what was handed over`);
  const bytes = new Uint8Array(MAX_BYTES);
  let length = 0;
  for (let got = 1; got > 0 && length < MAX_BYTES; length += Math.max(0, got)) {
    got = libc.read(pipe, bytes.subarray(length), MAX_BYTES - length);
  }
  libc.close(pipe);
  let inheritance: Inheritance;
  try {
    inheritance = deserialize(bytes.slice(0, length)) as Inheritance;
  } catch (error) {
    throw new InheritanceError("What was handed over cannot be read", { cause: error });
  } finally {
    bytes.fill(0); // a key is among it
  }
  if (!Array.isArray(inheritance?.openings) || !(inheritance.facts instanceof Map)) {
    throw new InheritanceError("What was handed over is not of this program");
  }
  mode = { kind: "replaying", inheritance, next: 0 };
}

/**
 * Ends recording or taking over: openings are passed through from here on.
 *
 * @throws {InheritanceError} when something was handed over that nobody asked for
 */
export function endInheritance(): void {
  const left = mode.kind === "replaying" ? mode.inheritance.openings.slice(mode.next) : [];
  mode = { kind: "off" };
  if (left.length > 0) throw new InheritanceError(`Nobody asked for ${left.map(({ what }) => what).join(", ")}`);
}

/** What the kernel calls the object behind a descriptor, like `anon_inode:bpf-map`; empty when there is none. */
export function objectOf(descriptor: number): string {
  return linkOf(`/proc/self/fd/${descriptor}`);
}

/** Where a link leads to; empty when it cannot be read. */
export function linkOf(path: string): string {
  const name = new Uint8Array(MAX_LINK);
  const length = libc.readlinkat(AT_FDCWD, cString(path), name, MAX_LINK);
  return length < 0 ? "" : new TextDecoder().decode(name.subarray(0, length));
}

const F_SETFD = 2n;

function setCloseOnExec(descriptor: number, closes: boolean): void {
  const result = libc.syscall(BigInt(SYSCALL.fcntl), BigInt(descriptor), F_SETFD, closes ? 1n : 0n, 0n, 0n, 0n);
  checked(result, `fcntl of descriptor ${descriptor}`);
}
