/**
 * One process, held so that no other one can take its place: a pidfd, and its directory of `/proc`.
 *
 * Both name the process itself and not its number. Once it has ended and was waited for, a signal and each reading fail,
 * also when another process has the number by then. So what {@linkcode Target.facts} tells and what is done are of one
 * process, whenever it ends.
 *
 * @module
 */
import { processId, TICK_NS } from "../../proto/identity.ts";
import { parseIds, parseStat, stateName } from "../kernel/procfs_parse.ts";
import { listNumbers } from "../kernel/proc_files.ts";
import { decodeName } from "../kernel/text_cache.ts";
import {
  cString,
  EPERM,
  errno,
  ESRCH,
  libc,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  POLLIN,
  SystemCallError,
} from "../kernel/libc.ts";
import { SYSCALL } from "../kernel/syscalls.ts";

/** `PF_KTHREAD` of linux/sched.h. */
const KERNEL_THREAD_FLAG = 0x0020_0000;
const READ_BYTES = 8_192, MAX_LINK_BYTES = 4_096;
const buffer = new Uint8Array(READ_BYTES), link = new Uint8Array(MAX_LINK_BYTES), ids = new Float64Array(4);

/** What is known of a process without any right over it, but for its executable. */
export interface TargetFacts {
  readonly pid: number;
  readonly startTicks: number;
  /** As it calls itself. */
  readonly name: string;
  readonly ppid: number;
  /** The word of its state. */
  readonly state: string;
  readonly threads: number;
  readonly cpuMs: number;
  readonly residentPages: number;
  /** Real and effective. */
  readonly userIds: readonly [number, number];
  readonly kernelThread: boolean;
  /** `null` where it has none or it may not be looked at. */
  readonly path: string | null;
}

export class Target {
  private constructor(readonly pid: number, readonly directory: number, readonly pidfd: number) {}

  /** The process that has this number now; `null` when none has, or it is a thread of one. */
  static open(pid: number): Target | null {
    const directory = libc.open(cString(`/proc/${pid}`), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory < 0) return null;
    // After the directory: while that can be read, the number has not been given to another one.
    const pidfd = libc.syscall(BigInt(SYSCALL.pidfd_open), BigInt(pid), 0n, 0n, 0n, 0n, 0n);
    if (pidfd < 0) {
      libc.close(directory);
      return null;
    }
    return new Target(pid, directory, pidfd);
  }

  close(): void {
    libc.close(this.pidfd);
    libc.close(this.directory);
  }

  /** `null` once it is gone. */
  facts(): TargetFacts | null {
    const count = this.#read("stat"), stat = count <= 0 ? null : parseStat(buffer, count);
    if (stat === null) return null;
    const name = decodeName(buffer.subarray(stat.nameFrom, stat.nameTo));
    const length = this.#read("status");
    if (length <= 0 || !parseIds(buffer, length, ids)) return null;
    return {
      pid: this.pid,
      startTicks: stat.startTicks,
      name,
      ppid: stat.ppid,
      state: stateName(stat.state),
      threads: stat.threads,
      cpuMs: (stat.userTicks + stat.systemTicks) * (TICK_NS / 1e6),
      residentPages: stat.residentPages,
      userIds: [ids[0]!, ids[1]!],
      kernelThread: (stat.flags & KERNEL_THREAD_FLAG) !== 0,
      path: this.link("exe"),
    };
  }

  /** Where a link below its directory leads; `null` when it cannot be read. */
  link(name: string): string | null {
    const count = libc.readlinkat(this.directory, cString(name), link, link.length);
    return count <= 0 ? null : decodeName(link.subarray(0, count));
  }

  /** Numbers of its open files, `null` when they cannot be listed. */
  openFiles(): number[] | null {
    return this.#list("fd");
  }

  /** Whether it is there, ended or not. */
  isThere(): boolean {
    try {
      this.signal(0);
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      return error.errno === EPERM;
    }
    return true;
  }

  /** Whether all of its threads have ended. */
  hasEnded(): boolean {
    const ask = new Uint8Array(8), view = new DataView(ask.buffer);
    view.setInt32(0, this.pidfd, true);
    view.setInt16(4, POLLIN, true);
    return libc.poll(ask, 1, 0) > 0 && (view.getInt16(6, true) & POLLIN) !== 0;
  }

  /** @throws {SystemCallError} when it may not be signalled, or is gone. */
  signal(number: number): void {
    const nr = BigInt(SYSCALL.pidfd_send_signal);
    if (libc.syscall(nr, BigInt(this.pidfd), BigInt(number), 0n, 0n, 0n, 0n) < 0) {
      throw new SystemCallError("pidfd_send_signal", errno());
    }
  }

  #read(name: string): number {
    const fd = libc.openat(this.directory, cString(name), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    const count = libc.read(fd, buffer, buffer.length);
    libc.close(fd);
    return count;
  }

  #list(name: string): number[] | null {
    const fd = libc.openat(this.directory, cString(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) return null;
    try {
      return listNumbers(fd);
    } catch (error) {
      if (error instanceof SystemCallError) return null; // it ended meanwhile
      throw error;
    } finally {
      libc.close(fd);
    }
  }
}

/** Whether a signal failed as the process is gone. */
export function isGone(error: unknown): boolean {
  return error instanceof SystemCallError && error.errno === ESRCH;
}

/** The name of a process as events have it. */
export function nameOf(boot: string, { pid, startTicks }: Pick<TargetFacts, "pid" | "startTicks">): string {
  return processId(boot, pid, startTicks);
}
