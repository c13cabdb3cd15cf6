/**
 * What `/proc` says of a process, for comparison with what a source says of it. Wants all permissions.
 *
 * @module
 */
import { exists } from "./needs.ts";
import { EnvironmentFilter } from "../../collector/kernel/environment.ts";
import type { TableEntry } from "../../collector/sources/source.ts";
import { TICK_NS } from "../../proto/identity.ts";
import { MAX_ARGV_BYTES, type StdioKind } from "../../proto/process_event.ts";

const latin1 = (bytes: Uint8Array): string => new TextDecoder("latin1").decode(bytes);

/** What is known of a process in one way. What one way cannot tell is `undefined` there. */
export type Facts = Record<string, unknown>;

/** A process that does not change meanwhile; null when it is gone or hidden from root. */
export function procFacts(pid: number, environment: readonly string[]): Facts | null {
  try {
    return read(pid, environment);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return null;
    // A process can go between the open and the read.
    if (error instanceof Error && error.message.includes("os error 3")) return null;
    throw error;
  }
}

function read(pid: number, names: readonly string[]): Facts {
  const file = (name: string): string => Deno.readTextFileSync(`/proc/${pid}/${name}`);
  const stat = file("stat"), fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = file("status");
  const line = (key: string): string => new RegExp(`^${key}:\\t(.*)$`, "m").exec(status)?.[1] ?? "";
  const ids = (key: string): number[] => line(key).split("\t").map(Number);
  const kernelThread = (Number(fields[6]) & 0x20_0000) !== 0, zombie = fields[0] === "Z";
  const unset = (text: string): number | null => Number(text) === 0xffff_ffff ? null : Number(text);
  const namespace = (name: string): number | null | undefined =>
    zombie ? undefined : Number(/\d+/.exec(Deno.readLinkSync(`/proc/${pid}/ns/${name}`)));
  const environ = kernelThread || zombie ? null : Deno.readFileSync(`/proc/${pid}/environ`);
  return {
    ppid: Number(fields[1]),
    startTicks: Number(fields[19]),
    // Workers of the kernel show what they work on here.
    name: kernelThread ? undefined : line("Name"),
    // A host can run a process with more arguments than are kept; as text, because their difference is shown fast.
    argv: latin1(Deno.readFileSync(`/proc/${pid}/cmdline`).subarray(0, MAX_ARGV_BYTES)),
    executablePath: kernelThread || zombie ? null : Deno.readLinkSync(`/proc/${pid}/exe`),
    userId: ids("Uid")[0],
    effectiveUserId: ids("Uid")[1],
    groupId: ids("Gid")[0],
    threads: Number(fields[17]),
    kernelThread,
    namespacePid: ids("NSpid").at(-1),
    savedUserId: ids("Uid")[2],
    effectiveGroupId: ids("Gid")[1],
    savedGroupId: ids("Gid")[2],
    loginUserId: unset(file("loginuid")),
    sessionId: unset(file("sessionid")),
    tty: terminal(Number(fields[4])),
    effectiveCapabilities: Number.parseInt(line("CapEff"), 16),
    userNamespace: namespace("user"),
    pidNamespace: namespace("pid"),
    mountNamespace: namespace("mnt"),
    networkNamespace: namespace("net"),
    cwd: zombie ? null : Deno.readLinkSync(`/proc/${pid}/cwd`),
    // Of a process that ends the kernel says "/" in hierarchies of version 1.
    cgroupPath: zombie ? undefined : groupPath(file("cgroup")),
    stdinKind: zombie ? null : streamKind(pid, 0),
    stdoutKind: zombie ? null : streamKind(pid, 1),
    environment: environ === null ? null : [...new EnvironmentFilter(names).select(environ, 0, environ.length)],
  };
}

/** The same of an entry of a table; what `/proc` could not tell is left out. */
export function tableFacts(entry: TableEntry, expected: Facts, withEnvironment: boolean): Facts {
  const { argv, context, startTime } = entry;
  const facts: Facts = {
    ...entry,
    ...context,
    startTicks: Math.floor(startTime / TICK_NS),
    argv: argv && latin1(argv),
    environment: context!.environmentCut ? expected.environment : context!.environment,
  };
  if (!withEnvironment) facts.environment = expected.environment;
  return Object.fromEntries(
    Object.keys(expected).map((key) => [key, expected[key] === undefined ? undefined : facts[key]]),
  );
}

/** `tty_nr` of `/proc/PID/stat`, as the kernel's new_encode_dev() packs it. */
function terminal(number: number): string | null | undefined {
  if (number === 0) return null;
  const major = number >>> 8 & 0xfff, minor = number & 0xff | number >>> 12 & 0xfff00;
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  return major === 4 ? minor < 64 ? `tty${minor}` : `ttyS${minor - 64}` : undefined;
}

/** The group of version 2; where that is the root, the first that is not of the hierarchies of pids and memory. */
export function groupPath(file: string): string {
  const of = (controller: string): string | undefined =>
    new RegExp(`^\\d+:${controller}:(.*?)(?: \\(deleted\\))?$`, "m").exec(file)?.[1];
  const paths = [of(""), of("(?:[^:]*,)?pids(?:,[^:]*)?"), of("(?:[^:]*,)?memory(?:,[^:]*)?")];
  return paths.find((path) => path !== undefined && path !== "/") ?? "/";
}

function streamKind(pid: number, descriptor: number): StdioKind {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(`/proc/${pid}/fd/${descriptor}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && exists(`/proc/${pid}/fd`)) return "none";
    throw error;
  }
  if (info.isFile) return "file";
  if (info.isDirectory) return "directory";
  if (info.isFifo) return "pipe";
  if (info.isSocket) return "socket";
  if (info.isBlockDevice) return "device";
  if (!info.isCharDevice) return "anonymous";
  const major = info.rdev! >>> 8 & 0xfff;
  if (info.rdev === 0x103) return "null";
  return major === 4 || major === 5 || major >= 136 && major <= 143 ? "tty" : "device";
}
