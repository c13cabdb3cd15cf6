/**
 * Programs at the kernel's tracepoints, by way of a perf event: the way that asks for no type information.
 *
 * @module
 */
import { BpfError } from "./bpf.ts";
import { objectOf, opening } from "./inheritance.ts";
import { errno, libc, NativeArena } from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

/** `enum perf_type_id`. */
const PERF_TYPE_TRACEPOINT = 2;
/** `PERF_ATTR_SIZE_VER5`: what every kernel with ring buffers knows. */
const ATTRIBUTE_BYTES = 112;
const PERF_FLAG_FD_CLOEXEC = 8n;
const PERF_EVENT_IOC_ENABLE = 0x2400n, PERF_EVENT_IOC_SET_BPF = 0x4004_2408n;
const ENODEV = 19;
/** Processors that are tried, for one that is there. */
const MAX_PROCESSORS = 64;
const NO_PROCESS = 0xffff_ffff_ffff_ffffn, NO_GROUP = NO_PROCESS;

/**
 * Attaches a program to a tracepoint, by its id. The descriptor is the caller's; closing it detaches.
 *
 * The event is of one processor, the program runs on all of them: the kernel runs the programs of a tracepoint before it
 * looks whom the event is for, and ours send it nobody.
 *
 * @throws {BpfError}
 */
export function attachTracepoint(id: number, program: number, what: string): number {
  const attach = (): number => newAttachment(id, program, what);
  return opening(`tracepoint ${what}`, attach, (event) => objectOf(event) === "anon_inode:[perf_event]");
}

function newAttachment(id: number, program: number, what: string): number {
  const event = openEvent(id, what);
  const call = (request: bigint, argument: bigint): number =>
    libc.syscall(BigInt(SYSCALL.ioctl), BigInt(event), request, argument, 0n, 0n, 0n);
  if (call(PERF_EVENT_IOC_SET_BPF, BigInt(program)) < 0 || call(PERF_EVENT_IOC_ENABLE, 0n) < 0) {
    const number = errno();
    libc.close(event);
    throw new BpfError(`program at tracepoint ${what}`, number);
  }
  return event;
}

function openEvent(id: number, what: string): number {
  const arena = new NativeArena(4096);
  try {
    const attributes = new Uint8Array(ATTRIBUTE_BYTES), view = new DataView(attributes.buffer);
    view.setUint32(0, PERF_TYPE_TRACEPOINT, true);
    view.setUint32(4, ATTRIBUTE_BYTES, true);
    view.setBigUint64(8, BigInt(id), true);
    view.setBigUint64(16, 1n, true); // sample_period
    const address = arena.place(attributes);
    for (let processor = 0n;; processor++) {
      const event = libc.syscall(
        BigInt(SYSCALL.perf_event_open),
        address,
        NO_PROCESS,
        processor,
        NO_GROUP,
        PERF_FLAG_FD_CLOEXEC,
        0n,
      );
      if (event >= 0) return event;
      const number = errno();
      // A processor that is switched off.
      if (number !== ENODEV || processor === BigInt(MAX_PROCESSORS)) throw new BpfError(`tracepoint ${what}`, number);
    }
  } finally {
    arena.release();
  }
}
