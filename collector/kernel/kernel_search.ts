/**
 * Where a kernel without type information keeps the few things that no tracepoint tells.
 *
 * Found by looking for what is known: `/proc` says of this very thread where its arguments lie, when it began and how
 * many threads its process has; the member of a kernel structure that holds these numbers is the one that is searched
 * for. The places are the same for every process of one kernel. A finding counts only when it is the only one; what is
 * not found is `null`, never a guess. (That kernels with the members of structures in random order have nothing where
 * the others have it is why runs of members are looked for, and not single ones.)
 *
 * @module
 */
import { checked, copyFrom, libc, NativeArena } from "./libc.ts";
import { sleptNs } from "./clock.ts";
import { BLOCK_BYTES, currentThread, KernelMemory } from "./kernel_memory.ts";
import { readWholeFile } from "./procfs.ts";
import { SYSCALL } from "./syscalls.ts";
import { TICK_NS } from "../../proto/identity.ts";

/** Offsets in bytes. */
export interface SearchedLayout {
  readonly mm: {
    /** In `task_struct`. */
    readonly inTask: number;
    /** In `mm_struct`; followed by `arg_end`, `env_start` and `env_end`. */
    readonly argStart: number;
  };
  /** In `task_struct`. */
  readonly startBoottime: number | null;
  /** In `task_struct`. */
  readonly exitCode: number | null;
  /** In `task_struct`; `live`, the count of living threads, is its second number. */
  readonly signal: number | null;
  readonly cred: {
    /** In `task_struct`. */
    readonly inTask: number;
    /** In `cred`, see {@linkcode CREDENTIAL_IDS}. */
    readonly ids: number;
    /** In `cred`; followed by those permitted and effective, eight bytes each. */
    readonly inheritableCapabilities: number;
  } | null;
  readonly parent: {
    /** In `task_struct`: the pointer to the parent's. */
    readonly inTask: number;
    /** In `task_struct`. */
    readonly tgid: number;
  } | null;
}

/** Bytes of the eight ids that stand in a row in `cred`: real, saved, effective and of file systems, user and group each. */
export const CREDENTIAL_IDS = { uid: 0, gid: 4, suid: 8, sgid: 12, euid: 16, egid: 20, bytes: 32 };

/** Place of `live` in `signal_struct`: after a counter of references, since Linux 2.6. */
export const SIGNAL_LIVE = 4;

/**
 * How much of `task_struct` is searched. What we look for is in its first 3 KiB; its end, which differs much, is beyond
 * this, and behind the end there may be another thread of this process, in which everything would be found again.
 */
const TASK_BYTES = 4 * BLOCK_BYTES;
/** Above this are the kernel's addresses, on both processors. */
const KERNEL_ADDRESSES = 0xffff_0000_0000_0000n;
/** Threads come and go while they are counted. */
const COUNT_ATTEMPTS = 20;

/** The kernel's memory does not hold what it should. */
export class SearchError extends Error {
  override name = "SearchError";
}

/** @throws {BpfError | SearchError} */
export function searchKernel(): SearchedLayout {
  const memory = new KernelMemory();
  try {
    const task = readTask(memory);
    return {
      mm: findArguments(memory, task),
      startBoottime: findStart(task),
      exitCode: findExitCode(memory),
      signal: findSignal(memory),
      cred: findCredentials(memory, task),
      parent: findParent(memory, task),
    };
  } finally {
    memory.close();
  }
}

function readTask(memory: KernelMemory): DataView {
  const addresses: bigint[] = [];
  for (let at = 0; at < TASK_BYTES; at += BLOCK_BYTES) addresses.push(memory.task + BigInt(at));
  return new DataView(memory.read(addresses).buffer);
}

/** What the structures hold that `task_struct` points to: the offset of the pointer, and a block from `at` on. */
function readPointers(memory: KernelMemory, task: DataView, at = 0): { offset: number; block: DataView }[] {
  const pointers: { offset: number; address: bigint }[] = [];
  for (let offset = 0; offset < TASK_BYTES; offset += 8) {
    const address = task.getBigUint64(offset, true);
    if (address >= KERNEL_ADDRESSES && address % 8n === 0n) pointers.push({ offset, address });
  }
  const { buffer } = memory.read(pointers.map(({ address }) => address + BigInt(at)));
  return pointers.map(({ offset }, index) => ({
    offset,
    block: new DataView(buffer, index * BLOCK_BYTES, BLOCK_BYTES),
  }));
}

/** `arg_start`, `arg_end`, `env_start` and `env_end` in a row. `mm` and, behind it, `active_mm` point there. */
function findArguments(memory: KernelMemory, task: DataView): SearchedLayout["mm"] {
  const ends = ownStat().slice(48 - FIRST_FIELD, 52 - FIRST_FIELD).map(BigInt);
  if (ends.length !== 4 || ends.some((end) => end === 0n)) {
    throw new SearchError("/proc does not tell where the arguments of this process lie");
  }
  const found: SearchedLayout["mm"][] = [];
  for (const { offset, block } of readPointers(memory, task)) {
    for (let at = 0; at + 32 <= BLOCK_BYTES; at += 8) {
      if (ends.every((end, index) => block.getBigUint64(at + index * 8, true) === end)) {
        found.push({ inTask: offset, argStart: at });
      }
    }
  }
  // The pair, where there is one: another pointer may lead into the same structure, or to just before it.
  const pairs = found.filter(({ inTask }) => found.some((other) => other.inTask === inTask + 8));
  const [first, second] = pairs.length > 0 ? pairs : found;
  if (first === undefined || second !== undefined) {
    throw new SearchError(
      "the place of a process' arguments is not found, or not for certain, in this kernel's memory",
    );
  }
  return first;
}

/**
 * `start_boottime` behind `start_time`, which leaves out what the host slept. `/proc` has the former in ticks, of the
 * thread; that of a process is its first thread's.
 */
function findStart(task: DataView): number | null {
  const ticks = BigInt(ownStat()[22 - FIRST_FIELD]!), tick = BigInt(TICK_NS), slept = BigInt(sleptNs()) + MILLISECOND;
  const found: number[] = [];
  for (let at = 8; at < TASK_BYTES; at += 8) {
    const boot = task.getBigUint64(at, true), monotonic = task.getBigUint64(at - 8, true);
    if (boot / tick === ticks && monotonic <= boot && boot - monotonic <= slept) found.push(at);
  }
  return found.length === 1 ? found[0]! : null;
}
const MILLISECOND = 1_000_000n;

/**
 * `exit_state`, `exit_code`, `exit_signal` and `pdeath_signal` in a row. The last is set twice and seen to change, to
 * signals that do nothing should the parent end just then.
 */
function findExitCode(memory: KernelMemory): number | null {
  const PR_SET_PDEATHSIG = 1n, PR_GET_PDEATHSIG = 2n, SIGURG = 23, SIGWINCH = 28, SIGCHLD = 17;
  const call = (option: bigint, argument: bigint): number =>
    checked(libc.syscall(BigInt(SYSCALL.prctl), option, argument, 0n, 0n, 0n, 0n), "prctl");
  const arena = new NativeArena(4096);
  try {
    const address = arena.reserve(4), before = new Int32Array(1);
    call(PR_GET_PDEATHSIG, address);
    copyFrom(address, new Uint8Array(before.buffer));
    let views: DataView[];
    try {
      views = [SIGURG, SIGWINCH].map((signal) => {
        call(PR_SET_PDEATHSIG, BigInt(signal));
        return readTask(memory);
      });
    } finally {
      call(PR_SET_PDEATHSIG, BigInt(before[0]!));
    }
    const found: number[] = [];
    for (let at = 12; at < TASK_BYTES; at += 4) {
      const [first, second] = views.map((view) => view.getInt32(at, true));
      if (first !== SIGURG || second !== SIGWINCH) continue;
      const [exitState, exitCode, exitSignal] = [12, 8, 4].map((back) => views[0]!.getInt32(at - back, true));
      // A thread that is not the first of its process has -1.
      if (exitState === 0 && exitCode === 0 && (exitSignal === SIGCHLD || exitSignal === -1)) found.push(at - 8);
    }
    return found.length === 1 ? found[0]! : null;
  } finally {
    arena.release();
  }
}

/** `sigcnt`, `live` and `nr_threads` in a row: references, living threads, threads. */
function findSignal(memory: KernelMemory): number | null {
  for (let attempt = 0; attempt < COUNT_ATTEMPTS; attempt++) {
    const threads = threadCount();
    const found = readPointers(memory, readTask(memory)).filter(({ block }) =>
      block.getInt32(0, true) >= threads && block.getInt32(SIGNAL_LIVE, true) === threads &&
      block.getInt32(8, true) === threads
    );
    // One thread alone is no number to search for.
    if (found.length === 1 && threads > 1 && threadCount() === threads) return found[0]!.offset;
  }
  return null;
}

/**
 * The ids, `securebits` and five sets of capabilities in a row. `real_cred` and, behind it, `cred` point there, as long
 * as nothing is done in another's name.
 */
function findCredentials(memory: KernelMemory, task: DataView): SearchedLayout["cred"] {
  const { userIds, groupIds, capabilities } = ownCredentials();
  const [uid, euid, suid, fsuid] = userIds, [gid, egid, sgid, fsgid] = groupIds;
  const ids = [uid, gid, suid, sgid, euid, egid, fsuid, fsgid];
  const found: { inTask: number; ids: number; inheritableCapabilities: number }[] = [];
  // Nothing to tell it by for who has no capability.
  if (capabilities.every((set) => set === 0n)) return null;
  for (const { offset, block } of readPointers(memory, task)) {
    for (let at = 40; at <= MAX_CREDENTIAL_HEAD + 40; at += 8) {
      if (!capabilities.every((set, index) => block.getBigUint64(at + index * 8, true) === set)) continue;
      // With padding behind `securebits`, since Linux 6.7, or without. For root the first could be taken for the second,
      // never the other way round: what is before the ids counts references, and is not zero.
      const start = [at - 40, at - 36].find((from) =>
        ids.every((id, index) => block.getUint32(from + index * 4, true) === id)
      );
      if (start !== undefined) found.push({ inTask: offset, ids: start, inheritableCapabilities: at });
    }
  }
  const pairs = found.filter(({ inTask }) => found.some((other) => other.inTask === inTask - 8));
  return pairs.length === 1 ? pairs[0]! : null;
}
/** Bytes before the ids: a counter of references, and what a kernel for debugging has there. */
const MAX_CREDENTIAL_HEAD = 24;

/** `real_parent`, of the process that `/proc` names. `parent` behind it differs under a debugger only. */
function findParent(memory: KernelMemory, task: DataView): SearchedLayout["parent"] {
  const pid = libc.getpid(), thread = currentThread(), ppid = Number(ownStat()[4 - FIRST_FIELD]);
  const ids: number[] = [];
  for (let at = 4; at < TASK_BYTES; at += 4) {
    if (task.getInt32(at - 4, true) === thread && task.getInt32(at, true) === pid) ids.push(at);
  }
  const [tgid] = ids;
  if (ids.length !== 1 || tgid === undefined || ppid === 0) return null;
  const block = Math.floor(tgid / BLOCK_BYTES) * BLOCK_BYTES;
  const found = readPointers(memory, task, block).filter(({ block: view }) =>
    view.getInt32(tgid - block, true) === ppid
  )
    .map(({ offset }) => offset);
  const [first, second] = found;
  if (first === undefined || found.length > 2 || second !== undefined && second !== first + 8) return null;
  return { inTask: first, tgid };
}

interface Credentials {
  /** Real, effective, saved, of file systems. */
  readonly userIds: readonly number[];
  readonly groupIds: readonly number[];
  /** Inheritable, permitted, effective, bounding, ambient. */
  readonly capabilities: readonly bigint[];
}

function ownCredentials(): Credentials {
  const bytes = readWholeFile(`/proc/self/task/${currentThread()}/status`, 65_536);
  const text = bytes === null ? "" : new TextDecoder().decode(bytes);
  const words = (name: string): string[] => {
    const found = new RegExp(`^${name}:\\s+(.*)$`, "m").exec(text)?.[1];
    if (found === undefined) throw new SearchError("/proc does not tell the credentials of this process");
    return found.trim().split(/\s+/);
  };
  return {
    userIds: words("Uid").map(Number),
    groupIds: words("Gid").map(Number),
    capabilities: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((name) => BigInt(`0x${words(name)[0]}`)),
  };
}

function threadCount(): number {
  return Number(ownStat()[20 - FIRST_FIELD]);
}

/** The first field after the name of the program, which may hold anything. */
const FIRST_FIELD = 3;

/** Fields of proc(5)'s `stat` from number {@linkcode FIRST_FIELD} on, of this thread. */
function ownStat(): string[] {
  const bytes = readWholeFile(`/proc/self/task/${currentThread()}/stat`, 4096);
  if (bytes === null) throw new SearchError("/proc does not tell of this process; mount it");
  const text = new TextDecoder().decode(bytes);
  return text.slice(text.lastIndexOf(")") + 2).trimEnd().split(" ");
}
