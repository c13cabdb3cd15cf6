/**
 * What in a process is suspicious by itself, whatever rules say: a start that cannot be, a disguise.
 *
 * Nothing is dropped for it: the event of the process stands beside the one that marks it, and each is said once for a
 * process. What is read here was chosen by whoever started the process.
 *
 * @module
 */

import type { Severity } from "../proto/process_event.ts";
import { SAME_START_NS, type TrackedProcess } from "./tracked_process.ts";

/** What can be suspicious, each a bit of `TrackedProcess.suspected`. */
export const SUSPECTED = { startTime: 1, disguise: 2 } as const;

export interface Suspicion {
  readonly bit: number;
  readonly severity: Severity;
  readonly reason: string;
}

/** Threads that the kernel makes for itself have names that begin so (`ps -e -o comm --ppid 2`). */
const KERNEL_NAMES =
  /^\[(?:kworker|ksoftirqd|kthreadd|migration|rcu_|rcuo|watchdog|kswapd|kcompactd|kauditd|khugepaged|kblockd|kdevtmpfs|khungtaskd|cpuhp|idle_inject|irq|jbd2|ext4|xfs|scsi_|nvme|kintegrityd|oom_reaper|writeback|md|netns|kthrotld|ksmd|pool_workqueue)/;

/**
 * Whether the start of a process cannot be: after `now`, before boot, or before that of `parent`, which has the pid of
 * its parent and is not known to be it. All in nanoseconds since boot.
 */
export function impossibleStart(
  process: TrackedProcess,
  parent: TrackedProcess | undefined,
  now: number,
): Suspicion | null {
  const { startTime } = process;
  const bit = SUSPECTED.startTime;
  if (startTime > now + SAME_START_NS) {
    const seconds = ((startTime - now) / 1e9).toFixed(1);
    return { bit, severity: "high", reason: `its start time lies ${seconds} s in the future` };
  }
  if (startTime < 0) return { bit, severity: "high", reason: "its start time lies before the boot of the host" };
  if (parent === undefined || parent === process) return null;
  const isKnown = process.start === "exact" && parent.start === "exact";
  if (isKnown && parent.startTicks > process.startTicks) {
    return { bit, severity: "medium", reason: `its start time lies before that of its parent, process ${parent.pid}` };
  }
  return null;
}

/** Names that no program of a distribution has; malware does (`kdevtmpfsi`). */
const KERNEL_NAMES_ONLY =
  /^(?:kworker|ksoftirqd|kthreadd|migration\/|kswapd|kcompactd|kauditd|khugepaged|kblockd|kdevtmpfs|khungtaskd)/;

/**
 * Whether a process that runs a file shows arguments as `ps` shows the threads of the kernel, which run none, or has the
 * name of one.
 */
export function disguise(process: TrackedProcess): Suspicion | null {
  const { name, argv, executablePath } = process.image;
  if (executablePath === null || process.kernelThread) return null;
  if (KERNEL_NAMES_ONLY.test(name)) {
    const reason = `its name is that of a kernel thread (${name}), but it runs ${executablePath}`;
    return { bit: SUSPECTED.disguise, severity: "high", reason };
  }
  if (argv === null || argv[0] !== BRACKET) return null;
  const shown = bracketed(argv);
  if (shown === null) return null;
  return {
    bit: SUSPECTED.disguise,
    severity: KERNEL_NAMES.test(shown) ? "high" : "medium",
    reason: `its arguments are those of a kernel thread, but it runs ${executablePath}`,
  };
}

const BRACKET = "[".charCodeAt(0), CLOSING = "]".charCodeAt(0), SPACE = 0x20;

/** The first argument when it stands in brackets and nothing but blanks and empty arguments come after it. */
function bracketed(argv: Uint8Array): string | null {
  let end = argv.length;
  while (end > 0 && (argv[end - 1] === 0 || argv[end - 1] === SPACE)) end--;
  if (argv[end - 1] !== CLOSING) return null;
  const shown = argv.subarray(0, end);
  return shown.includes(0) ? null : new TextDecoder().decode(shown);
}
