/**
 * What an analyser is when it works: a user of its own that may read every file and look at every process' memory map, and
 * changes nothing.
 *
 * The capabilities come with the process, from whoever starts it (`deploy/tier_command.ts`). They are no longer ambient when
 * this returns: the program that it runs, yara, has none of them.
 *
 * @module
 */
import { checked, libc } from "../kernel/libc.ts";
import { readThreadCredentials } from "../kernel/procfs.ts";
import { forbidDumps, installFilter } from "../kernel/seccomp.ts";
import { SYSCALL } from "../kernel/syscalls.ts";
import { READ_ALL } from "../hasher/confinement.ts";
import { effectiveUser, PrivilegeError, proveUnprivileged } from "../privilege.ts";
import { SYS_PTRACE } from "../retained.ts";

// linux/prctl.h
const PR_CAP_AMBIENT = 47, PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** All that it may hold. */
const MAY_HOLD = READ_ALL | SYS_PTRACE;

export interface AnalyzerConfinement {
  readonly userId: number;
  /** One sentence: what was proven of every thread. */
  readonly proof: string;
  /** What it cannot look at, in sentences. */
  readonly misses: readonly string[];
}

/**
 * Gives up what is not needed, and proves of every thread what is left.
 *
 * @throws {PrivilegeError} when started as root, or with a capability that it should not have.
 */
export function confineAnalyzer(syscallFilter: "errno" | "kill" | "off", runsYara: boolean): AnalyzerConfinement {
  const userId = effectiveUser();
  if (userId === 0) {
    throw new PrivilegeError("An analyser must not run as root; 'deno task start' starts it as a user of its own");
  }
  const held = readThreadCredentials()[0]?.permittedCapabilities ?? 0n, capabilities = held & MAY_HOLD;
  // Of this thread, which starts programs: what they inherit is its ambient set.
  const clear = [BigInt(PR_CAP_AMBIENT), BigInt(PR_CAP_AMBIENT_CLEAR_ALL), 0n, 0n, 0n, 0n] as const;
  checked(libc.syscall(BigInt(SYSCALL.prctl), ...clear), "prctl PR_CAP_AMBIENT");
  forbidDumps();
  if (syscallFilter !== "off") installFilter({ refused: syscallFilter, processes: runsYara });
  const names = [
    ...(capabilities & READ_ALL) !== 0n ? ["CAP_DAC_READ_SEARCH"] : [],
    ...(capabilities & SYS_PTRACE) !== 0n ? ["CAP_SYS_PTRACE"] : [],
  ];
  const words = names.length === 0 ? "without any capability" : `with ${names.join(" and ")} and no other capability`;
  const proof = proveUnprivileged(userId, null, syscallFilter !== "off", { kept: { capabilities, words } });
  const misses = [
    ...(capabilities & READ_ALL) === 0n ? [`files that user ${userId} may not read are not analysed`] : [],
    ...(capabilities & SYS_PTRACE) === 0n ? [`memory maps of others' processes are closed to user ${userId}`] : [],
  ];
  return { userId, proof, misses };
}
