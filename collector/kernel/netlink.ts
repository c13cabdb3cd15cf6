/**
 * The kernel's process connector: fork, exec and exit as netlink messages (`linux/cn_proc.h`, `linux/connector.h`).
 *
 * The messages tell who and when, not what: programs and arguments are for the reader to find out. What the kernel
 * cannot put into the socket's buffer is lost, and the socket says only that something was. Messages of any sender but
 * the kernel are passed over. Opening wants CAP_NET_ADMIN (kernels before 6.6; later ones let everybody listen) in the
 * first network namespace; the open socket needs nothing.
 *
 * @module
 */

import { sleptNs } from "./clock.ts";
import { opening } from "./inheritance.ts";
import {
  bootTimeNs,
  checked,
  copyFrom,
  copyTo,
  EAGAIN,
  EINTR,
  ENOBUFS,
  errno,
  libc,
  NativeArena,
  POLLIN,
  SystemCallError,
} from "./libc.ts";

const AF_NETLINK = 16, SOCK_DGRAM = 2, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000, NETLINK_CONNECTOR = 11;
const SOL_SOCKET = 1, SO_RCVBUF = 8, SO_RCVBUFFORCE = 33, MSG_DONTWAIT = 0x40, MSG_TRUNC = 0x20;
const CN_IDX_PROC = 1, CN_VAL_PROC = 1, PROC_CN_MCAST_LISTEN = 1;
const NLMSG_DONE = 3, NLMSG_HEADER = 16, CN_MSG = 20, SOCKADDR_NL = 12;
/** Where a `struct proc_event` and the parts of it stand in a message. */
const EVENT = NLMSG_HEADER + CN_MSG, TIMESTAMP = EVENT + 8, DATA = EVENT + 16;

const PROC_EVENT_NONE = 0, PROC_EVENT_FORK = 1, PROC_EVENT_EXEC = 2, PROC_EVENT_EXIT = 0x8000_0000;

/** Room for some 40,000 process lives (a message takes 768 bytes of it). */
export const RECEIVE_BUFFER_BYTES = 32 << 20;
/** Messages that one call takes, and the bytes for each; the longest of the kernel has 76. */
const BATCH = 64, SLOT_BYTES = 128;
const MMSGHDR_BYTES = 64, IOVEC_BYTES = 16;
/** How long the kernel may take to answer a subscription. */
const CONFIRM_MS = 100;
/** Messages of one reading: a storm must not keep its reader from everything else. */
const MAX_MESSAGES = 200_000;

/** What a message says. Times are nanoseconds since boot. Threads are told from processes by pid and tgid. */
export type ConnectorEvent =
  | { readonly kind: "fork"; readonly time: number; readonly pid: number; readonly tgid: number; readonly ppid: number }
  | { readonly kind: "exec"; readonly time: number; readonly pid: number; readonly tgid: number }
  | {
    readonly kind: "exit";
    readonly time: number;
    readonly pid: number;
    readonly tgid: number;
    /** The wait status. */
    readonly exitStatus: number;
  }
  /** The answer to a subscription: 0 or an error number. */
  | { readonly kind: "answer"; readonly error: number };

/**
 * The event in a message of `length` bytes at `at`, `null` when it is of another kind or none of the process
 * connector's. `slept` is what is to be added to its time.
 */
export function parseConnectorEvent(view: DataView, at: number, length: number, slept: number): ConnectorEvent | null {
  if (length < DATA + 8 || view.getUint32(at, true) > length) return null;
  if (view.getUint32(at + 16, true) !== CN_IDX_PROC || view.getUint32(at + 20, true) !== CN_VAL_PROC) return null;
  const time = view.getUint32(at + TIMESTAMP, true) + view.getUint32(at + TIMESTAMP + 4, true) * 0x1_0000_0000 + slept;
  const data = at + DATA;
  const pid = view.getUint32(data, true), tgid = view.getUint32(data + 4, true);
  switch (view.getUint32(at + EVENT, true)) {
    case PROC_EVENT_EXEC:
      return { kind: "exec", time, pid, tgid };
    case PROC_EVENT_FORK:
      if (length < DATA + 16) return null;
      return {
        kind: "fork",
        time,
        pid: view.getUint32(data + 8, true),
        tgid: view.getUint32(data + 12, true),
        ppid: tgid,
      };
    case PROC_EVENT_EXIT:
      if (length < DATA + 16) return null;
      return { kind: "exit", time, pid, tgid, exitStatus: view.getUint32(data + 8, true) };
    case PROC_EVENT_NONE:
      return { kind: "answer", error: pid };
    default:
      return null;
  }
}

/** Whether a descriptor is a netlink socket of the connector's. */
function isConnector(fd: number): boolean {
  const option = (name: number): number => {
    const value = new Int32Array(1), length = Uint32Array.of(4);
    const bytes = new Uint8Array(value.buffer);
    return libc.getsockopt(fd, SOL_SOCKET, name, bytes, new Uint8Array(length.buffer)) < 0 ? -1 : value[0]!;
  };
  return option(SO_DOMAIN) === AF_NETLINK && option(SO_PROTOCOL) === NETLINK_CONNECTOR;
}
const SO_PROTOCOL = 38, SO_DOMAIN = 39;

/** Takes what messages say without an object for each. All of threads; see {@linkcode ConnectorEvent}. */
export interface ConnectorVisitor {
  /** `creator` is the process that is its parent. */
  fork(time: number, pid: number, tgid: number, creator: number): void;
  exec(time: number, tgid: number): void;
  exit(time: number, pid: number, tgid: number): void;
}

/** As {@linkcode parseConnectorEvent}, for a visitor. */
export function visitConnectorEvent(
  view: DataView,
  at: number,
  length: number,
  slept: number,
  visitor: ConnectorVisitor,
): void {
  if (length < DATA + 8 || view.getUint32(at, true) > length) return;
  if (view.getUint32(at + 16, true) !== CN_IDX_PROC || view.getUint32(at + 20, true) !== CN_VAL_PROC) return;
  const time = view.getUint32(at + TIMESTAMP, true) + view.getUint32(at + TIMESTAMP + 4, true) * 0x1_0000_0000 + slept;
  const data = at + DATA, pid = view.getUint32(data, true), tgid = view.getUint32(data + 4, true);
  const what = view.getUint32(at + EVENT, true);
  if (what === PROC_EVENT_EXEC) visitor.exec(time, tgid);
  else if (what === PROC_EVENT_EXIT) visitor.exit(time, pid, tgid);
  else if (what === PROC_EVENT_FORK && length >= DATA + 16) {
    visitor.fork(time, view.getUint32(data + 8, true), view.getUint32(data + 12, true), tgid);
  }
}

export interface Reading {
  readonly messages: number;
  /** Times that the kernel said that it had lost messages. */
  readonly overruns: number;
}

/** An open subscription. */
export class ProcessConnector {
  #fd = -1;
  // Addresses of this memory stand in the message headers, so it must not be V8's: see libc.ts.
  readonly #arena: NativeArena;
  readonly #headersAt: bigint;
  readonly #slotsAt: bigint;
  readonly #namesAt: bigint;
  readonly #headers = new Uint8Array(BATCH * MMSGHDR_BYTES);
  readonly #names = new Uint8Array(BATCH * 16);
  readonly #slots = new Uint8Array(BATCH * SLOT_BYTES);
  readonly #headerView = new DataView(this.#headers.buffer);
  readonly #nameView = new DataView(this.#names.buffer);
  readonly #slotView = new DataView(this.#slots.buffer);
  readonly #pollRequest = new Uint8Array(8);
  #closed = false;

  /** @throws {SystemCallError} when the kernel has no connector or lets this user not listen to it */
  constructor(bufferBytes: number = RECEIVE_BUFFER_BYTES) {
    this.#arena = new NativeArena(BATCH * (MMSGHDR_BYTES + 16 + SLOT_BYTES + IOVEC_BYTES) + 64);
    this.#headersAt = this.#arena.reserve(BATCH * MMSGHDR_BYTES);
    this.#namesAt = this.#arena.reserve(BATCH * 16);
    this.#slotsAt = this.#arena.reserve(BATCH * SLOT_BYTES);
    this.#layOut(this.#arena.reserve(BATCH * IOVEC_BYTES));
    try {
      this.#use(opening("process connector", () => this.#open(bufferBytes), isConnector));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #use(fd: number): void {
    this.#fd = fd;
    new DataView(this.#pollRequest.buffer).setInt32(0, fd, true);
    new DataView(this.#pollRequest.buffer).setInt16(4, POLLIN, true);
  }

  #open(bufferBytes: number): number {
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    this.#use(checked(libc.socket(AF_NETLINK, type, NETLINK_CONNECTOR), "socket of the process connector"));
    this.#subscribe(bufferBytes);
    return this.#fd;
  }

  /** Hands the events that wait to `receive`, oldest first, or so many of them that `limit` is reached. */
  read(receive: (event: ConnectorEvent) => void, limit: number = MAX_MESSAGES): Reading {
    const slept = sleptNs();
    return this.#take(limit, (at, length) => {
      const event = parseConnectorEvent(this.#slotView, at, length, slept);
      if (event !== null) receive(event);
    });
  }

  /** As {@linkcode read}, cheaper where there are many. */
  visit(visitor: ConnectorVisitor, limit: number = MAX_MESSAGES): Reading {
    const slept = sleptNs();
    return this.#take(limit, (at, length) => visitConnectorEvent(this.#slotView, at, length, slept, visitor));
  }

  /** Whether messages wait. */
  get pending(): boolean {
    return !this.#closed && libc.poll(this.#pollRequest, 1, 0) !== 0;
  }

  /** Resolves when messages wait, or `timeoutMs` has passed. */
  async wait(timeoutMs: number): Promise<void> {
    if (this.#closed || this.pending) return;
    await libc.pollAsync(this.#pollRequest, 1, timeoutMs);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
    this.#arena.release();
  }

  /** Hands the place and the length of each message of the kernel's to `each`. */
  #take(limit: number, each: (at: number, length: number) => void): Reading {
    let messages = 0, overruns = 0;
    while (!this.#closed && messages < limit) {
      const count = libc.recvmmsg(this.#fd, this.#headersAt, BATCH, MSG_DONTWAIT, 0n);
      if (count < 0) {
        const number = errno();
        if (number === EAGAIN) break;
        if (number === EINTR) continue;
        if (number !== ENOBUFS) throw new SystemCallError("recvmmsg of the process connector", number);
        overruns++;
        continue;
      }
      copyFrom(this.#headersAt, this.#headers);
      copyFrom(this.#namesAt, this.#names);
      copyFrom(this.#slotsAt, this.#slots);
      messages += count;
      for (let i = 0; i < count; i++) {
        const header = i * MMSGHDR_BYTES;
        const isWhole = (this.#headerView.getInt32(header + 48, true) & MSG_TRUNC) === 0;
        const sender = this.#nameView.getUint32(i * 16 + 4, true);
        if (!isWhole || sender !== 0) continue;
        each(i * SLOT_BYTES, Math.min(this.#headerView.getUint32(header + 56, true), SLOT_BYTES));
      }
      if (count < BATCH) break;
    }
    return { messages, overruns };
  }

  /** Writes the headers for `recvmmsg`: each names one slot and the place for one sender. */
  #layOut(iovecsAt: bigint): void {
    const iovecs = new Uint8Array(BATCH * IOVEC_BYTES), iovecView = new DataView(iovecs.buffer);
    for (let i = 0; i < BATCH; i++) {
      iovecView.setBigUint64(i * IOVEC_BYTES, this.#slotsAt + BigInt(i * SLOT_BYTES), true);
      iovecView.setBigUint64(i * IOVEC_BYTES + 8, BigInt(SLOT_BYTES), true);
      const header = i * MMSGHDR_BYTES;
      this.#headerView.setBigUint64(header, this.#namesAt + BigInt(i * 16), true);
      this.#headerView.setUint32(header + 8, SOCKADDR_NL, true);
      this.#headerView.setBigUint64(header + 16, iovecsAt + BigInt(i * IOVEC_BYTES), true);
      this.#headerView.setBigUint64(header + 24, 1n, true);
    }
    copyTo(iovecsAt, iovecs);
    copyTo(this.#headersAt, this.#headers);
  }

  #subscribe(bufferBytes: number): void {
    const address = new Uint8Array(SOCKADDR_NL), view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, CN_IDX_PROC, true);
    checked(libc.bind(this.#fd, address, SOCKADDR_NL), "bind to the process connector");
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, bufferBytes, true);
    if (libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, size, 4) < 0) {
      libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUF, size, 4); // up to net.core.rmem_max; more losses, each seen
    }
    this.#send([PROC_CN_MCAST_LISTEN]);
    const answer = this.#answer();
    if (answer === null) throw new Error("the process connector does not answer; is this the first network namespace?");
    if (answer !== 0) throw new SystemCallError("subscription to the process connector", answer);
    // Kernels from 6.6 on take a filter (and confirm nothing that it keeps out, so not even this); older ones pass a
    // message of this length over without a word.
    this.#send([PROC_CN_MCAST_LISTEN, (PROC_EVENT_FORK | PROC_EVENT_EXEC | PROC_EVENT_EXIT) >>> 0]);
  }

  #send(words: readonly number[]): void {
    const message = new Uint8Array(EVENT + words.length * 4), view = new DataView(message.buffer);
    view.setUint32(0, message.length, true);
    view.setUint16(4, NLMSG_DONE, true);
    view.setUint32(16, CN_IDX_PROC, true);
    view.setUint32(20, CN_VAL_PROC, true);
    view.setUint16(32, words.length * 4, true);
    words.forEach((word, index) => view.setUint32(EVENT + index * 4, word, true));
    checked(libc.send(this.#fd, message, message.length, 0), "send to the process connector");
  }

  /** The kernel's answer to a subscription; `null` when none comes in time. Events before it tell nothing new. */
  #answer(): number | null {
    const end = bootTimeNs() + CONFIRM_MS * 1e6;
    let answer: number | null = null;
    while (answer === null) {
      const left = Math.ceil((end - bootTimeNs()) / 1e6);
      if (left <= 0) return null;
      libc.poll(this.#pollRequest, 1, left);
      this.read((event) => {
        if (event.kind === "answer") answer ??= event.error;
      });
    }
    return answer;
  }
}
