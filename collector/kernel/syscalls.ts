/**
 * System call numbers by processor architecture, for the calls that libc has no function for.
 *
 * From the kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` (aarch64).
 *
 * @module
 */

export interface SyscallNumbers {
  readonly bpf: number;
  readonly perf_event_open: number;
  readonly ioctl: number;
  readonly prctl: number;
  readonly gettid: number;
  readonly fsopen: number;
  readonly fsconfig: number;
  readonly fsmount: number;
}

export const SYSCALLS_BY_ARCHITECTURE: Readonly<Record<"x86_64" | "aarch64", SyscallNumbers>> = {
  x86_64: {
    bpf: 321,
    perf_event_open: 298,
    ioctl: 16,
    prctl: 157,
    gettid: 186,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
  },
  aarch64: {
    bpf: 280,
    perf_event_open: 241,
    ioctl: 29,
    prctl: 167,
    gettid: 178,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
  },
};

export const SYSCALL: SyscallNumbers = SYSCALLS_BY_ARCHITECTURE[Deno.build.arch === "aarch64" ? "aarch64" : "x86_64"];
