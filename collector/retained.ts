/**
 * The one right that a collector may keep, where root's configuration says so: to look at processes of other users.
 *
 * Without eBPF's task iterator executables and working directories of others are read from `/proc`, which asks for
 * CAP_SYS_PTRACE each time. `collector.keep_ptrace: "yes"` keeps that capability, and nothing else:
 * - Only a configuration file that root owns can say so, looked at with the kernel's own eyes, as whoever can set a flag
 *   must not thereby get a right.
 * - Only with `re-exec`: capabilities are a thread's own, and the second execution has them in every thread alike, by its
 *   ambient set, which can be proven. In place the threads of the pool would have what the thread had that made them.
 * - Only on the rungs that it helps, and without Landlock, which hides processes outside of its domain also from who
 *   has the capability (measured on Linux 6.18).
 * The filter of system calls still refuses `ptrace`, `process_vm_readv` and `pidfd_getfd`, and files of others stay
 * closed by their modes; what is gained is links below `/proc/PID`, and the mount namespaces that they lead to.
 *
 * @module
 */
import type { Settings } from "../proto/config.ts";
import type { SourceName } from "../proto/process_event.ts";
import { ConfigError } from "../proto/setting_values.ts";
import { told } from "./kernel/inheritance.ts";
import { readThreadCredentials } from "./kernel/procfs.ts";
import { type Kept, NOTHING } from "./privilege.ts";
import { rootFileOf } from "./root_file.ts";

/** `CAP_SYS_PTRACE` of `linux/capability.h`. */
export const SYS_PTRACE = 1n << 19n;

/** Rungs that read `/proc` for what the capability opens. */
const RUNGS: readonly SourceName[] = ["tracepoint", "netlink", "proc"];

export interface Retained {
  /** What every thread is to have; nothing by default. */
  readonly kept: Kept;
  /** What is to be said where it was asked for and is not kept; empty otherwise. */
  readonly notice: string;
}

/**
 * Whether it is asked for, and can be had at all.
 *
 * @throws {ConfigError} when it is asked for by a file that is not root's alone, or together with what it cannot go with.
 */
export function wantsPtrace(settings: Settings): boolean {
  const { collector } = settings;
  if (!collector.keepsPtrace) return false;
  const file = rootFileOf("collector.keep_ptrace", settings);
  if (collector.confinement !== "re-exec") {
    throw new ConfigError(
      `${file}: collector.keep_ptrace keeps a capability in every thread, which takes collector.confinement: re-exec; ` +
        "set that too, or leave it off",
    );
  }
  return told("whether CAP_SYS_PTRACE is there", holdsPtrace);
}

/** Decides it, once it is known which rung there is. */
export function retain(isAskedFor: boolean, wants: boolean, source: SourceName): Retained {
  if (!isAskedFor) return { kept: NOTHING, notice: "" };
  if (!wants) {
    return { kept: NOTHING, notice: "collector.keep_ptrace keeps nothing: the start was without CAP_SYS_PTRACE" };
  }
  if (!RUNGS.includes(source)) {
    return { kept: NOTHING, notice: `collector.keep_ptrace keeps nothing: source ${source} has no need of it` };
  }
  const words = "with CAP_SYS_PTRACE and no other capability (collector.keep_ptrace)";
  return { kept: { capabilities: SYS_PTRACE, words }, notice: "" };
}

function holdsPtrace(): boolean {
  return readThreadCredentials().some(({ tid, permittedCapabilities }) =>
    tid === Deno.pid && (permittedCapabilities & SYS_PTRACE) !== 0n
  );
}
