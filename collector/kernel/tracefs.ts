/**
 * The kernel's own description of its tracepoints: tracefs, and the `format` files in it.
 *
 * A format says where in a tracepoint's record each field stands; kernels differ, so nothing of it is known before. What
 * a file says is checked for sense and bounded: programs are built from it.
 *
 * Where no tracefs is mounted, one is opened that is mounted nowhere (`fsmount(2)`, Linux 5.2): nobody else sees it, and
 * it is gone when it is closed.
 *
 * @module
 */
import {
  checked,
  cString,
  describeErrno,
  ENOENT,
  errno,
  libc,
  NativeArena,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  SystemCallError,
} from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

/** Where a host has it; opening the first makes systemd mount it. */
const TRACEFS_PLACES: readonly string[] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/** Formats of the tracepoints that we use have some 1,000 bytes. */
const MAX_FORMAT_BYTES = 65_536;
/** A record's place for fields: the kernel keeps 2 KiB for it, 8 KiB since Linux 5.16 (`PERF_MAX_TRACE_SIZE`). */
const MAX_RECORD_BYTES = 8_192;
/** `enum fsconfig_command`. */
const FSCONFIG_CMD_CREATE = 6;

/** A field of a tracepoint's record. Offsets and sizes are bytes. */
export interface TracepointField {
  readonly offset: number;
  readonly bytes: number;
}

export interface TracepointFormat {
  readonly id: number;
  readonly fields: ReadonlyMap<string, TracepointField>;
}

/** The kernel's tracepoints cannot be had, or not as they must be. The text says what would mend it. */
export class TracefsError extends Error {
  override name = "TracefsError";
}

/**
 * A descriptor of tracefs' root, which the caller owns.
 *
 * @throws {TracefsError}
 */
export function openTracefs(places: readonly string[] = TRACEFS_PLACES): number {
  const faults: string[] = [];
  for (const place of places) {
    const root = libc.open(cString(place), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (root < 0) {
      faults.push(`${place}: ${describeErrno(errno())}`);
      continue;
    }
    // The directory is there also when nothing is mounted on it.
    const events = libc.openat(root, cString("events"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (events >= 0) {
      libc.close(events);
      return root;
    }
    const number = errno();
    faults.push(`${place}: ${number === ENOENT ? "nothing is mounted there" : describeErrno(number)}`);
    libc.close(root);
  }
  try {
    return openUnmounted();
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new TracefsError(
      `the kernel's tracepoints cannot be looked up (${faults.join("; ")}; without a mount: ${error.message}); ` +
        `mount -t tracefs tracefs ${TRACEFS_PLACES[0]}, and start as root`,
    );
  }
}

/** @throws {SystemCallError} */
function openUnmounted(): number {
  const arena = new NativeArena(4096);
  const context = Number(libc.syscall(BigInt(SYSCALL.fsopen), arena.place(cString("tracefs")), 1n, 0n, 0n, 0n, 0n));
  try {
    checked(context, "fsopen of tracefs");
    const call = (number: number, ...rest: bigint[]): number => {
      const [a = 0n, b = 0n, c = 0n, d = 0n] = rest;
      return libc.syscall(BigInt(number), BigInt(context), a, b, c, d, 0n);
    };
    checked(call(SYSCALL.fsconfig, BigInt(FSCONFIG_CMD_CREATE)), "fsconfig of tracefs");
    // FSMOUNT_CLOEXEC; of mount(2): MOUNT_ATTR_RDONLY, NOSUID, NODEV and NOEXEC.
    return checked(call(SYSCALL.fsmount, 1n, 0xfn), "fsmount of tracefs");
  } finally {
    if (context >= 0) libc.close(context);
    arena.release();
  }
}

/**
 * The format of a tracepoint, of the `group/name` that it has in tracefs.
 *
 * @throws {TracefsError}
 */
export function readTracepointFormat(root: number, tracepoint: string): TracepointFormat {
  const bytes = new Uint8Array(MAX_FORMAT_BYTES);
  const fd = libc.openat(root, cString(`events/${tracepoint}/format`), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) throw new TracefsError(`the kernel has no tracepoint ${tracepoint} (${describeErrno(errno())})`);
  let length = 0;
  for (let got = 1; got > 0 && length < bytes.length; length += Math.max(got, 0)) {
    got = libc.read(fd, bytes.subarray(length), bytes.length - length);
  }
  libc.close(fd);
  const format = parseTracepointFormat(new TextDecoder().decode(bytes.subarray(0, length)));
  if (format === null) throw new TracefsError(`the kernel's format of tracepoint ${tracepoint} cannot be understood`);
  return format;
}

/**
 * The text of a `format` file; `null` when it is none. Lines that are no fields are passed over; a field that reaches
 * out of a record, or that stands twice, makes the whole text none.
 */
export function parseTracepointFormat(text: string): TracepointFormat | null {
  if (text.length > MAX_FORMAT_BYTES) return null;
  const id = numberIn(/^ID: (\d{1,9})$/m.exec(text)?.[1]);
  if (id === null || id === 0) return null;
  const fields = new Map<string, TracepointField>();
  for (const line of text.split("\n")) {
    const found = /^\tfield:([^;]{1,256});\toffset:(\d{1,9});\tsize:(\d{1,9});/.exec(line);
    if (found === null) continue;
    // The last word of the declaration, without what an array has behind it.
    const name = /([A-Za-z_]\w*)(?:\[\w*\])?$/.exec(found[1]!)?.[1];
    const offset = Number(found[2]), bytes = Number(found[3]);
    if (name === undefined || fields.has(name) || offset + bytes > MAX_RECORD_BYTES) return null;
    fields.set(name, { offset, bytes });
  }
  return { id, fields };
}

function numberIn(digits: string | undefined): number | null {
  return digits === undefined ? null : Number(digits);
}

/**
 * A number in a record that our programs read.
 *
 * @throws {TracefsError} when the tracepoint has no such field, or one of another size or at an odd place
 */
export function numberField(format: TracepointFormat, name: string, bytes: number): number {
  const field = format.fields.get(name);
  if (field === undefined) throw new TracefsError(`the tracepoint with id ${format.id} has no field ${name}`);
  // The first eight bytes are the kernel's own to a program.
  if (field.bytes !== bytes || field.offset % bytes !== 0 || field.offset < 8) {
    throw new TracefsError(
      `field ${name} of the tracepoint with id ${format.id} has ${field.bytes} bytes at ${field.offset}`,
    );
  }
  return field.offset;
}
