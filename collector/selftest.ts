/**
 * `selftest`: what this process can do and what not once it is confined, thread by thread and by trying.
 *
 * What was meant to be refused and was not makes the test fail; so does what was meant to work and does not.
 *
 * @module
 */
import { NativeArena, O_DIRECTORY } from "./kernel/libc.ts";
import type { SourceStatus } from "../proto/status.ts";
import type { Refusals } from "./refusals.ts";
import type { Kept } from "./privilege.ts";
import type { Origin } from "./reexec.ts";
import type { ProcessSource, TableEntry } from "./sources/source.ts";
import {
  type Act,
  actsOn,
  AF_INET,
  AF_NETLINK,
  AF_UNIX,
  ARENA_BYTES,
  AT_FDCWD,
  BPF_PROG_LOAD,
  CLONE_NEWUSER,
  NETLINK_CONNECTOR,
  O_RDONLY,
  O_WRONLY_CREATE,
  PTRACE_SEIZE,
  SOCK_RAW,
  SOCK_STREAM,
  Trial,
  UNCHANGED,
} from "./trial.ts";

const LINK_BYTES = 1_024;
const O_DIRECTORY_RDONLY = BigInt(O_DIRECTORY);

export interface SelftestOptions extends Origin {
  readonly userId: number;
  readonly startsProcesses: boolean;
  /** What every thread keeps by configuration. */
  readonly kept: Kept;
  /** What was opened and what not: all that `health` says of what is missed. */
  readonly sources: readonly SourceStatus[];
  /** Hears of what this process is refused. */
  readonly refusals: Refusals;
}

/** How long records of refusals may take: they come from a thread of the kernel's. */
const HEARING_MS = 2_000, HEARING_STEP_MS = 20;

/** Runs it, hands every line to `print`, and returns how many findings there were. */
export async function selftest(
  source: ProcessSource,
  options: SelftestOptions,
  print: (line: string) => void,
): Promise<number> {
  const trial = new Trial(print);
  const { userId, isSecond, beganAsRoot, refusals } = options;
  refusals.begin(performance.now());
  const { capabilities } = options.kept;
  if (capabilities !== 0n) print(`Declared to be kept: ${options.kept.words}`);
  trial.threads(userId, { capabilities, gainable: !isSecond ? "any" : beganAsRoot ? "none" : "bounding" });
  const arena = new NativeArena(ARENA_BYTES);
  await trial.attempt(acts(arena, options));
  arena.release();

  print("What still works:");
  const { name, sees } = source.description;
  const table = await source.snapshot();
  trial.verdict(table.some(({ pid }) => pid === Deno.pid), `the process table: ${summary(table)}`);
  print(`  the source is ${name}: ${sees}`);
  const refused = await countRefused(refusals), { isProven } = refusals;
  // Where no record comes at all, as in another network namespace, the status says so; what can be done is the same.
  const said = isProven ? `${refused} of these refusals were counted` : refusals.silence();
  trial.verdict(!isProven || refused > 0, said);

  print("What is missed:");
  for (const { name, state, detail, misses } of options.sources) {
    if (state !== "active") print(`  no ${name}: ${detail}`);
    for (const missed of misses) print(`  ${missed}`);
  }
  return trial.conclude();
}

/** Waits for the first records, as long as they may take: what was tried above was refused already. */
async function countRefused(refusals: Refusals): Promise<number> {
  const end = performance.now() + HEARING_MS;
  for (;;) {
    refusals.look(performance.now());
    const count = refusals.counters()["refused_system_calls"] ?? 0;
    const isOver = count > 0 || !refusals.isListening || performance.now() > end;
    if (isOver) return count;
    await new Promise((resolve) => setTimeout(resolve, HEARING_STEP_MS));
  }
}

function summary(table: readonly TableEntry[]): string {
  const programs = table.filter(({ kernelThread }) => !kernelThread);
  const withArguments = programs.filter(({ argv }) => argv !== null && argv.length > 0).length;
  const withFile = programs.filter(({ executablePath }) => executablePath !== null).length;
  return `${programs.length} programs, ${withArguments} with arguments, ${withFile} with their executable`;
}

/** Where a link's text goes. */
function link(arena: NativeArena): [bigint, bigint] {
  return [arena.reserve(LINK_BYTES), BigInt(LINK_BYTES)];
}

/** What is tried. Where it goes through nothing is written, stopped or signalled, but a file in /etc is left. */
function acts(arena: NativeArena, { startsProcesses, isSecond, beganAsRoot, kept }: SelftestOptions): Act[] {
  const { act, probe, path } = actsOn(arena);
  const keepsPtrace = kept.capabilities !== 0n, hasLandlock = isSecond && !keepsPtrace;
  // The supervisor is root's; there is none to look at in a pid namespace that begins with this process.
  const others = !beganAsRoot || Deno.ppid === 0 ? [] : [{
    ...act("see which program root runs", "readlinkat", AT_FDCWD, path(`/proc/${Deno.ppid}/exe`), ...link(arena)),
    isMeant: keepsPtrace,
  }];
  return [
    act("read /etc/shadow", "openat", AT_FDCWD, path("/etc/shadow"), O_RDONLY),
    act("create a file in /etc", "openat", AT_FDCWD, path("/etc/daemoneye-selftest"), O_WRONLY_CREATE, 0o600n),
    act("read the memory of process 1", "openat", AT_FDCWD, path("/proc/1/mem"), O_RDONLY),
    act("trace process 1", "ptrace", PTRACE_SEIZE, 1n),
    act("signal process 1", "kill", 1n),
    act("become root", "setresuid", 0n, UNCHANGED, UNCHANGED),
    act("make a TCP socket", "socket", AF_INET, SOCK_STREAM),
    act("make a netlink socket", "socket", AF_NETLINK, SOCK_RAW, NETLINK_CONNECTOR),
    ...others,
    probe("load an eBPF program", "bpf", BPF_PROG_LOAD),
    probe("mount a file system", "mount"),
    probe("load a kernel module", "finit_module"),
    probe("make a namespace", "unshare", CLONE_NEWUSER),
    probe("use the kernel's keys", "keyctl"),
    probe("use io_uring", "io_uring_setup"),
    { ...probe("execute a program", "execve", path("/nonexistent")), isMeant: startsProcesses },
    // What any user of the host may do, unless Landlock is asked whether this one may.
    {
      ...act("read the program sh, as everybody may", "openat", AT_FDCWD, path("/bin/sh"), O_RDONLY),
      isMeant: !hasLandlock,
    },
    {
      ...act("list the root directory, as everybody may", "openat", AT_FDCWD, path("/"), O_DIRECTORY_RDONLY),
      isMeant: !hasLandlock,
    },
    { ...act("make a Unix socket, to reach the agent", "socket", AF_UNIX, SOCK_STREAM), isMeant: true },
    { ...act("read /etc/passwd, for names", "openat", AT_FDCWD, path("/etc/passwd"), O_RDONLY), isMeant: true },
  ];
}
