/**
 * The kernel's records of system calls that a filter refused, as it sends them to listeners of its audit log.
 *
 * Of the whole audit log, which holds what people type and run, this socket gives out nothing else: a socket filter lets
 * through records of the one kind, and is locked, so that no code in this process can take it off. To open it wants
 * CAP_AUDIT_READ and the first user namespace, and hears something in the first network namespace only; the open
 * socket needs nothing. Only the kernel, and whoever may administer the network, can send to it. A text in a record that
 * somebody chose (the name of a thread) was quoted by the kernel.
 *
 * When the socket's buffer overflows the kernel says so without a number.
 *
 * Source: `include/uapi/linux/audit.h`, `audit_seccomp()` and `audit_log_task()` of the kernel.
 *
 * @module
 */
import { opening } from "./inheritance.ts";
import { checked, EAGAIN, EINTR, ENOBUFS, errno, libc, NativeArena, SystemCallError } from "./libc.ts";

const AF_NETLINK = 16, SOCK_RAW = 3, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000, NETLINK_AUDIT = 9;
const SOL_SOCKET = 1, SO_RCVBUF = 8, SO_ATTACH_FILTER = 26, SO_RCVBUFFORCE = 33, SO_PROTOCOL = 38, SO_DOMAIN = 39;
const SO_LOCK_FILTER = 44;
/** `AUDIT_NLGRP_READLOG`, as a bit. */
const READ_LOG = 1;
const AUDIT_SECCOMP = 1326;
const NLMSG_HEADER = 16, SOCKADDR_NL = 12;
/** Room for some 5,000 records; they are read once a second. */
const BUFFER_BYTES = 4 << 20;
/** The kernel's records of this kind have some 250 bytes; its longest of any kind 8,970 (MAX_AUDIT_MESSAGE_LENGTH). */
const MAX_RECORD = 9_216;
/** Records of one reading: a flood must not keep its reader from everything else. */
const MAX_RECORDS = 8_192;

/** What the kernel wrote down of one refusal. */
export interface Refusal {
  /** The process, as the first pid namespace numbers it. */
  readonly pid: number;
  readonly userId: number;
  /** The name of the thread that made the call. */
  readonly thread: string;
  readonly call: number;
  /** The signal that ended it for that, 0 where it got an error. */
  readonly signal: number;
}

const RECORD =
  /^audit\(\d+\.\d+:\d+\): auid=\d+ uid=(\d+) gid=\d+ ses=\d+ (?:subj=.*? )?pid=(\d+) comm=("[^"]*"|[0-9A-F]+) exe=(?:"[^"]*"|[0-9A-F]+|\(null\)) sig=(\d+) arch=[0-9a-f]+ syscall=(\d+) /;

/** The text of a record of this kind; `null` where it is not as kernels write it. */
export function parseRefusal(text: string): Refusal | null {
  const found = RECORD.exec(text);
  if (found === null) return null;
  const [, userId, pid, thread, signal, call] = found;
  return {
    pid: Number(pid),
    userId: Number(userId),
    thread: unquoted(thread!),
    call: Number(call),
    signal: Number(signal),
  };
}

/** The kernel writes a text with a space, a quote or a control in hexadecimal. */
function unquoted(text: string): string {
  if (text.startsWith('"')) return text.slice(1, -1);
  const bytes = Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return new TextDecoder().decode(bytes);
}

export interface RefusalReading {
  /** Times that the kernel said that it had lost records. */
  readonly overruns: number;
  /** Records that could not be understood. */
  readonly damaged: number;
}

/** An open listener. */
export class RefusalSocket {
  readonly #fd: number;
  readonly #record = new Uint8Array(MAX_RECORD);
  #closed = false;

  /** @throws {SystemCallError} when the kernel has no audit log or lets this process not listen to it */
  constructor() {
    this.#fd = opening("audit log", openAuditLog, isAuditLog);
  }

  /** Hands the records that wait to `receive`, oldest first. */
  read(receive: (refusal: Refusal) => void): RefusalReading {
    let overruns = 0, damaged = 0;
    for (let i = 0; i < MAX_RECORDS && !this.#closed; i++) {
      const length = libc.read(this.#fd, this.#record, MAX_RECORD);
      if (length < 0) {
        const number = errno();
        if (number === EAGAIN) break;
        if (number === EINTR) continue;
        if (number !== ENOBUFS) throw new SystemCallError("read of the audit log", number);
        overruns++;
        continue;
      }
      const text = decoder.decode(this.#record.subarray(Math.min(NLMSG_HEADER, length), length));
      const refusal = parseRefusal(text);
      if (refusal === null) damaged++;
      else receive(refusal);
    }
    return { overruns, damaged };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}

const decoder = new TextDecoder();

function openAuditLog(): number {
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = checked(libc.socket(AF_NETLINK, type, NETLINK_AUDIT), "socket of the audit log");
  try {
    restrict(fd);
    const size = Uint8Array.from([0, 0, 0, 0]);
    new DataView(size.buffer).setUint32(0, BUFFER_BYTES, true);
    if (libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, 4) < 0) {
      libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, size, 4); // up to net.core.rmem_max; more losses, each seen
    }
    // Last: nothing but refusals is ever in its buffer.
    const address = new Uint8Array(SOCKADDR_NL), view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, READ_LOG, true);
    checked(libc.bind(fd, address, SOCKADDR_NL), "bind to the audit log");
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Classic BPF over the message: keep it if its type is right, for good. */
function restrict(fd: number): void {
  const LOAD_HALF = 0x28, JUMP_EQUAL = 0x15, RETURN = 0x06, TYPE_AT = 4;
  // The instruction loads in network order, netlink writes in the processor's, which is the other one on both of ours.
  const swapped = (AUDIT_SECCOMP & 0xff) << 8 | AUDIT_SECCOMP >> 8;
  const code = [[LOAD_HALF, 0, 0, TYPE_AT], [JUMP_EQUAL, 0, 1, swapped], [RETURN, 0, 0, 0xffff_ffff], [
    RETURN,
    0,
    0,
    0,
  ]];
  const program = new Uint8Array(code.length * 8), header = new Uint8Array(16);
  const words = new DataView(program.buffer), head = new DataView(header.buffer);
  code.forEach(([operation, yes, no, value], i) => {
    words.setUint16(i * 8, operation!, true);
    words.setUint8(i * 8 + 2, yes!);
    words.setUint8(i * 8 + 3, no!);
    words.setUint32(i * 8 + 4, value!, true);
  });
  const arena = new NativeArena(4_096);
  try {
    head.setUint16(0, code.length, true); // struct sock_fprog: a count, padding, an address
    head.setBigUint64(8, arena.place(program), true);
    checked(libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, header, header.length), "SO_ATTACH_FILTER");
    const on = Uint8Array.from([1, 0, 0, 0]);
    checked(libc.setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, on, 4), "SO_LOCK_FILTER");
  } finally {
    arena.release();
  }
}

/** Whether a descriptor is a socket of the audit log whose filter is locked. */
function isAuditLog(fd: number): boolean {
  const option = (name: number): number => {
    const value = new Int32Array(1), length = Uint32Array.of(4), bytes = new Uint8Array(value.buffer);
    return libc.getsockopt(fd, SOL_SOCKET, name, bytes, new Uint8Array(length.buffer)) < 0 ? -1 : value[0]!;
  };
  return option(SO_DOMAIN) === AF_NETLINK && option(SO_PROTOCOL) === NETLINK_AUDIT && option(SO_LOCK_FILTER) === 1;
}
