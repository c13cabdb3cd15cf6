/**
 * System call numbers by processor architecture, for the calls that libc has no function for.
 *
 * From the kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` (aarch64).
 *
 * @module
 */

export interface SyscallNumbers {
  readonly bpf: number;
  readonly statx: number;
}

export const SYSCALLS_BY_ARCHITECTURE: Readonly<Record<"x86_64" | "aarch64", SyscallNumbers>> = {
  x86_64: {
    bpf: 321,
    statx: 332,
  },
  aarch64: {
    bpf: 280,
    statx: 291,
  },
};

export const SYSCALL: SyscallNumbers = SYSCALLS_BY_ARCHITECTURE[Deno.build.arch === "aarch64" ? "aarch64" : "x86_64"];
