/**
 * The other way to give up privileges: what holds from the first instruction on, of every thread.
 *
 * Bounding set, ambient set and Landlock are a thread's own and cannot be changed for the others of a process. So the
 * collector, once it has opened its sources, gives everything up on its main thread and executes itself again: the
 * kernel ends the other threads, and whatever the new execution makes is born confined. It takes the descriptors over (see
 * `kernel/inheritance.ts`), proves what it is, and puts the filter of system calls on itself.
 *
 * The process stays the same one, with its id, its supervisor and its streams. Between the two executions the kernel writes
 * into the ring or the socket as ever.
 *
 * @module
 */
import { handOver, InheritanceError, linkOf, record, takeOver, told } from "./kernel/inheritance.ts";
import { type LandlockRule, makeRuleset, restrictSelf } from "./kernel/landlock.ts";
import {
  AT_FDCWD,
  checked,
  cString,
  EACCES,
  errno,
  libc,
  NativeArena,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  SystemCallError,
} from "./kernel/libc.ts";
import { readThreadCredentials, readWholeFile } from "./kernel/procfs.ts";
import { SYSCALL } from "./kernel/syscalls.ts";
import { dropPrivileges, effectiveUser, type Identity, PrivilegeError } from "./privilege.ts";

const INHERITED = /^--inherited=(\d{1,6})$/;
const MAX_ARGUMENT_BYTES = 1 << 20;
const PR_CAPBSET_READ = 23n, PR_CAPBSET_DROP = 24n, PR_SET_NO_NEW_PRIVS = 38n, PR_CAP_AMBIENT = 47n;
const PR_SET_KEEPCAPS = 8n;
const AMBIENT_RAISE = 2n, AMBIENT_CLEAR_ALL = 4n;
/** `_LINUX_CAPABILITY_VERSION_3`. */
const CAPABILITY_VERSION = 0x2008_0522;
const MAX_CAPABILITIES = 64;

/** How this execution came to be. */
export interface Origin {
  /** Whether the collector has executed itself again. */
  readonly isSecond: boolean;
  /** Whether it is, or was the first time, root. */
  readonly beganAsRoot: boolean;
}

const BEGAN_AS_ROOT = "whether the collector began as root";

/**
 * Arguments without the one that a collector gives itself. With it, what it names is taken over; without it, what is opened
 * and found from here on is recorded, for the case that it is to be handed over.
 *
 * @throws {InheritanceError}
 */
export function takeInheritance(args: readonly string[]): Origin & { readonly args: readonly string[] } {
  const pipe = INHERITED.exec(args.at(-1) ?? "")?.[1];
  if (pipe === undefined) {
    record();
    return { args, isSecond: false, beganAsRoot: told(BEGAN_AS_ROOT, () => effectiveUser() === 0) };
  }
  if (effectiveUser() === 0) throw new InheritanceError("--inherited is what a collector without root gives itself");
  takeOver(Number(pipe));
  return { args: args.slice(0, -1), isSecond: true, beganAsRoot: told(BEGAN_AS_ROOT, () => false) };
}

/** What the runtime and the readers of names need wherever the collector runs. */
const SYSTEM_RULES: readonly LandlockRule[] = [
  // Libraries that are loaded when they are wanted only.
  ...["/lib", "/lib64", "/usr/lib", "/usr/lib64"].map((path) => ({ path, access: "read" as const })),
  // Not the two files of names alone: a rule is of a file as it is, and each new account puts another in its place.
  { path: "/etc", access: "read" },
  { path: "/usr/share/zoneinfo", access: "read" },
  { path: "/proc", access: "read" },
  ...["/sys/kernel/btf", "/sys/devices/system/cpu", "/sys/fs/cgroup"].map((path) => ({
    path,
    access: "read" as const,
  })),
  { path: "/dev/null", access: "device" },
  { path: "/dev/urandom", access: "read" },
];

/** All that may be opened: the above, the program, what is mapped of files now, and what `own` says. */
export function landlockRules(denoDir: string | undefined, own: readonly LandlockRule[]): LandlockRule[] {
  const program = import.meta.url.startsWith("file:") ? decodeURIComponent(new URL(import.meta.url).pathname) : null;
  return [
    ...SYSTEM_RULES,
    // The executable, its libraries and what loads them, wherever this system has them; nothing else can be executed.
    ...mappedFiles().map((path) => ({ path, access: "execute" as const })),
    ...(program === null ? [] : [{ path: program, access: "read" as const }]),
    ...(denoDir === undefined ? [] : [{ path: denoDir, access: "read" as const }]),
    ...own,
  ];
}

/** Files with code of which this process has mapped some. */
function mappedFiles(): string[] {
  const bytes = readWholeFile("/proc/self/maps", MAX_ARGUMENT_BYTES);
  if (bytes === null) throw new PrivilegeError("/proc/self/maps cannot be read; mount /proc");
  const lines = new TextDecoder().decode(bytes).matchAll(/^\S+ ..x. \S+ \S+ \d+ +(\/.*)$/gm);
  return [...new Set(Array.from(lines, ([, path]) => path!))];
}

/**
 * Gives everything up and executes this program again, with the same arguments and environment. Does not return. Without
 * an identity to take it stays who it is, which is for an ordinary user, who has no bounding set to drop. Capabilities that
 * are kept come through by the ambient set, to every thread of the new execution, which is then under no Landlock unless
 * `fence` says so: it hides other users' processes also from who could look at them.
 *
 * @throws {PrivilegeError | SystemCallError | InheritanceError} and the collector must end then: it is half confined.
 */
export function executeAgain(
  identity: Identity | null,
  own: readonly LandlockRule[],
  kept = 0n,
  fence: Fence = kept === 0n ? "all" : "none",
): never {
  // 1. All that must be read as root: who we are, the rules' paths, what is handed over.
  const executable = linkOf("/proc/self/exe");
  if (!executable.startsWith("/") || executable.endsWith(" (deleted)")) {
    throw new PrivilegeError(`The executable ${executable} is not there any more; start it anew`);
  }
  const environment = vectorOf("/proc/self/environ");
  const denoDir = environment.find((entry) => entry.startsWith("DENO_DIR="))?.slice("DENO_DIR=".length);
  const ruleset = fence === "none" ? null : makeRuleset(landlockRules(denoDir, own), fence === "all but signals");
  const args = [...vectorOf("/proc/self/cmdline"), `--inherited=${handOver()}`];
  // 2. The bounding set, while there is the capability that it takes: none can come back by an execve.
  //    What is kept must be inheritable before: nothing can be added to that set that the bounding set lacks.
  if (kept !== 0n) makeInheritable(kept);
  if (identity !== null) dropBoundingSet();
  // 3. The identity, and with root's id every capability. Then those of this thread that a change of id leaves: the
  //    inheritable and the ambient ones.
  if (kept !== 0n) checked(prctl(PR_SET_KEEPCAPS, 1n), "prctl PR_SET_KEEPCAPS"); // ends with the execve
  if (identity !== null) dropPrivileges(identity);
  limitCapabilities(kept);
  // 4. Nothing may be gained from here on. Landlock wants that first, and is last, as the steps before open files.
  checked(prctl(PR_SET_NO_NEW_PRIVS, 1n), "prctl PR_SET_NO_NEW_PRIVS");
  if (ruleset !== null) restrictSelf(ruleset);
  // 5. The new execution: of this thread alone, which is all that has been confined.
  const bytes = [...args, ...environment].reduce((sum, text) => sum + 3 * text.length + 32, 4096);
  const arena = new NativeArena(bytes);
  const vector = (texts: readonly string[]): bigint => {
    const addresses = texts.map((text) => arena.place(cString(text)));
    return arena.place(new Uint8Array(new BigUint64Array([...addresses, 0n]).buffer));
  };
  libc.execve(cString(executable), vector(args), vector(environment));
  throw new SystemCallError(`execve of ${executable}`, errno());
}

/** How far Landlock goes. */
export type Fence = "all" | "all but signals" | "none";

/** Whether opening something that nothing allows is refused: of Landlock the kernel tells in no file. */
export function refusesStrangers(): boolean {
  const fd = libc.openat(AT_FDCWD, cString("/"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd >= 0) libc.close(fd);
  return fd < 0 && errno() === EACCES;
}

/** A vector of strings as the kernel shows it; what is not UTF-8 would not come through as it is, and is refused. */
function vectorOf(path: string): string[] {
  const bytes = readWholeFile(path, MAX_ARGUMENT_BYTES);
  if (bytes === null) throw new PrivilegeError(`${path} cannot be read; mount /proc`);
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  return text === "" ? [] : text.replace(/\0$/, "").split("\0");
}

function dropBoundingSet(): void {
  for (let capability = 0n; capability < MAX_CAPABILITIES; capability++) {
    const isThere = prctl(PR_CAPBSET_READ, capability);
    if (isThere < 0) return; // the kernel knows no more
    if (isThere === 1 && prctl(PR_CAPBSET_DROP, capability) < 0) {
      throw new PrivilegeError(
        "The bounding set cannot be dropped without CAP_SETPCAP; start the collector with it, or set " +
          "collector.confinement to in-process",
      );
    }
  }
}

/** Lets this thread hand `kept` on, beside all that it holds. */
function makeInheritable(kept: bigint): void {
  // The runtime's first thread, as which the process is numbered.
  const self = readThreadCredentials().find(({ tid }) => tid === Deno.pid);
  if (self === undefined) throw new PrivilegeError("The capabilities of this thread cannot be read from /proc");
  setCapabilities(self.effectiveCapabilities, self.permittedCapabilities, self.inheritableCapabilities | kept);
}

/** Leaves this thread `kept` and nothing else, in every set but the bounding one. */
function limitCapabilities(kept: bigint): void {
  // Before Linux 4.3 there are no ambient ones, and this is refused.
  prctl(PR_CAP_AMBIENT, AMBIENT_CLEAR_ALL);
  setCapabilities(kept, kept, kept);
  for (let capability = 0n; capability < MAX_CAPABILITIES; capability++) {
    if ((kept >> capability & 1n) === 0n) continue;
    checked(prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, capability), "prctl PR_CAP_AMBIENT_RAISE");
  }
}

/** `capset`, of this thread. */
function setCapabilities(effective: bigint, permitted: bigint, inheritable: bigint): void {
  const arena = new NativeArena(4096);
  const header = new Uint8Array(8), data = new Uint8Array(24), view = new DataView(data.buffer);
  new DataView(header.buffer).setUint32(0, CAPABILITY_VERSION, true);
  // Two structures of three words: of the low capabilities, then of the high ones.
  [effective, permitted, inheritable].forEach((set, i) => {
    view.setUint32(i * 4, Number(set & 0xffff_ffffn), true);
    view.setUint32(12 + i * 4, Number(set >> 32n & 0xffff_ffffn), true);
  });
  const [at, sets] = [arena.place(header), arena.place(data)];
  checked(libc.syscall(BigInt(SYSCALL.capset), at, sets, 0n, 0n, 0n, 0n), "capset");
  arena.release();
}

function prctl(operation: bigint, value: bigint, more = 0n): number {
  return libc.syscall(BigInt(SYSCALL.prctl), operation, value, more, 0n, 0n, 0n);
}
