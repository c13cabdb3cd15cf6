/**
 * System call numbers by processor architecture, for the calls that libc has no function for.
 *
 * From the kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` (aarch64).
 *
 * @module
 */

export interface SyscallNumbers {
  readonly bpf: number;
  readonly capget: number;
  readonly capset: number;
  readonly seccomp: number;
  readonly perf_event_open: number;
  readonly gettid: number;
  readonly pidfd_open: number;
  readonly close_range: number;
  readonly landlock_create_ruleset: number;
  readonly landlock_add_rule: number;
  readonly landlock_restrict_self: number;
}

const SAME_EVERYWHERE = {
  pidfd_open: 434,
  close_range: 436,
  landlock_create_ruleset: 444,
  landlock_add_rule: 445,
  landlock_restrict_self: 446,
};

export const SYSCALLS_BY_ARCHITECTURE: Readonly<Record<"x86_64" | "aarch64", SyscallNumbers>> = {
  x86_64: {
    ...SAME_EVERYWHERE,
    bpf: 321,
    capget: 125,
    capset: 126,
    seccomp: 317,
    perf_event_open: 298,
    gettid: 186,
  },
  aarch64: {
    ...SAME_EVERYWHERE,
    bpf: 280,
    capget: 90,
    capset: 91,
    seccomp: 277,
    perf_event_open: 241,
    gettid: 178,
  },
};

export const SYSCALL: SyscallNumbers = SYSCALLS_BY_ARCHITECTURE[Deno.build.arch === "aarch64" ? "aarch64" : "x86_64"];
