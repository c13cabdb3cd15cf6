/**
 * What the collector reports of a process: the model that lifecycle, wire, store and rules share.
 *
 * Plain data, no behaviour. Absent knowledge is `null`, never a guess: a rung of the source ladder that cannot give a
 * field leaves it `null` and names it in its status. Secrets are masked before a value of these types exists.
 *
 * @module
 */

/** The kinds of process event, in the order of their wire numbers (0 is reserved for "unspecified"). */
export const PROCESS_EVENT_KINDS = ["start", "stop", "modify", "suspicious"] as const;
/** One of {@linkcode PROCESS_EVENT_KINDS}. */
export type ProcessEventKind = (typeof PROCESS_EVENT_KINDS)[number];

/** Severities of suspicious events, rules and alerts, from least to most. */
export const SEVERITIES = ["info", "low", "medium", "high", "critical"] as const;
/** One of {@linkcode SEVERITIES}. */
export type Severity = (typeof SEVERITIES)[number];

/** Longest argv, in bytes, that a collector keeps of one execution; the true length stands beside a cut one. */
export const MAX_ARGV_BYTES = 16_384;

/**
 * What is known of one execution of a process, in its events and in the process table. Times are Unix milliseconds, sizes
 * bytes.
 *
 * `argv` holds the arguments as the kernel has them, each ended by a NUL byte, so that invalid UTF-8 survives; it is cut
 * at {@linkcode MAX_ARGV_BYTES} while `argvLength` keeps the true length. Redaction may have changed it.
 */
export interface ProcessFacts {
  /** Names one execution: see `identity.ts`. */
  execId: string;
  /** The execution that the parent process was running. */
  parentExecId: string | null;
  /** Process id in the first namespace. */
  pid: number;
  /** Process id of the parent. */
  ppid: number | null;
  /** Command name, as the kernel has it. */
  name: string;
  /** Absolute path of the executable. */
  executablePath: string | null;
  /** Arguments, each ended by a NUL byte. */
  argv: Uint8Array | null;
  /** True length of the arguments in bytes, also of cut ones. */
  argvLength: number | null;
  /** Real user id. */
  userId: number | null;
  /** Name of that user. */
  userName: string | null;
  /** Effective user id. */
  effectiveUserId: number | null;
  /** Real group id. */
  groupId: number | null;
  /** The process id in the innermost namespace of the process; the same as `pid` outside of containers. */
  namespacePid: number | null;
  /** When the process began, in Unix milliseconds. */
  startTime: number | null;
  /** User and system time together, in milliseconds with fractions. */
  cpuTimeMs: number | null;
  /** Resident memory in bytes. */
  memoryUsage: number | null;
  /** What the executable is. */
  executableKind: ExecutableKind | null;
}

/** One event of a process' life. */
export interface ProcessEvent extends ProcessFacts {
  /** What happened. */
  kind: ProcessEventKind;
  /** When it happened. */
  time: number;
  /** When it ended; `null` while it lives. */
  endTime: number | null;
  /** Milliseconds that it lived, with fractions; `null` while it does. */
  durationMs: number | null;
  /** Exit code; `null` when a signal ended it, or while it lives. */
  exitCode: number | null;
  /** Number of the signal that ended it. */
  exitSignal: number | null;
  /** Hash of the executable, lower-case hexadecimal. */
  executableHash: string | null;
  /** Name of that hash. */
  hashAlgorithm: string | null;
  /** Fuzzy hash of the executable, as `ssdeep` has it. */
  fuzzyHash: string | null;
  /** Whether the executable's file is still there. */
  fileExists: boolean | null;
  /** Whether the file of its path is another one than the one that runs. */
  onDiskMismatch: boolean | null;
  /** Whether the process could be read. */
  accessible: boolean | null;
  /** Name of the parent. */
  parentName: string | null;
  /** Absolute path of the parent's executable. */
  parentExecutablePath: string | null;
  /** The parent's arguments joined by spaces, secrets masked. */
  parentCommandLine: string | null;
  /** Inode number of the executable. */
  inode: number | null;
  /** Device number of the executable's file system, as `major << 20 | minor` (the kernel's `dev_t`). */
  device: number | null;
  /** On `start`, `modify` and `suspicious`; a `stop` is of an execution whose start had it. Shared, never changed. */
  context: ProcessContext | null;
  /** Of a `modify`: which columns are others than before. */
  modifiedFields: readonly string[];
  /** Why the event was made, where that is not plain. */
  reason: string | null;
  /** Of a `suspicious` event how much it means. */
  severity: Severity | null;
  /** The rung of the source ladder that saw it: see {@linkcode SOURCE_NAMES}. */
  source: string;
}

/** The rungs of the source ladder, best first. */
export const SOURCE_NAMES = ["ebpf", "tracepoint", "netlink", "proc", "ps"] as const;
export type SourceName = (typeof SOURCE_NAMES)[number];

/**
 * What an executable is: a `file` of its path; `deleted`, a file that its path no longer names; `memfd`, memory that
 * never had a path; `foreign`, a file whose path holds in another mount namespace than the first.
 */
export const EXECUTABLE_KINDS = ["file", "deleted", "memfd", "foreign"] as const;
/** One of {@linkcode EXECUTABLE_KINDS}. */
export type ExecutableKind = (typeof EXECUTABLE_KINDS)[number];

/** What a standard stream leads to. `none`: the descriptor is closed; `anonymous`: an inode without a file. */
export const STDIO_KINDS = [
  "none",
  "file",
  "directory",
  "pipe",
  "socket",
  "tty",
  "null",
  "device",
  "anonymous",
] as const;
/** One of {@linkcode STDIO_KINDS}. */
export type StdioKind = (typeof STDIO_KINDS)[number];

/** The circumstances that a process runs in: its credentials, its place and its connections. */
export interface ProcessContext {
  /** Working directory. */
  readonly cwd: string | null;
  /** Name of the effective user. */
  readonly effectiveUserName: string | null;
  /** Name of the real group. */
  readonly groupName: string | null;
  /** Saved user id. */
  readonly savedUserId: number | null;
  /** Effective group id. */
  readonly effectiveGroupId: number | null;
  /** Saved group id. */
  readonly savedGroupId: number | null;
  /** Who logged in, through every change of user since; `null` when nobody did. */
  readonly loginUserId: number | null;
  /** The kernel's audit session; `null` outside of any. */
  readonly sessionId: number | null;
  /** The controlling terminal without `/dev/`, such as `pts/0`. */
  readonly tty: string | null;
  /** Bit n is capability n of `linux/capability.h`. */
  readonly effectiveCapabilities: number | null;
  /** Inode numbers of the namespaces, as in `/proc/PID/ns`. */
  readonly userNamespace: number | null;
  /** Inode number of the namespace of process ids. */
  readonly pidNamespace: number | null;
  /** Inode number of the namespace of mounts. */
  readonly mountNamespace: number | null;
  /** Inode number of the namespace of networks. */
  readonly networkNamespace: number | null;
  /** Path of the control group (version 2), from its root. */
  readonly cgroupPath: string | null;
  /** Inode number of the control group's directory. */
  readonly cgroupId: number | null;
  /** Id of the container, from the path of the control group. */
  readonly containerId: string | null;
  /** `docker`, `containerd`, `podman`, `cri-o` and so on. */
  readonly containerRuntime: string | null;
  /** Uid of the Kubernetes pod. */
  readonly podId: string | null;
  /** The interpreter that a script's first line asks for, and the script, for `#!` executions. */
  readonly interpreterPath: string | null;
  /** The script, for `#!` executions. */
  readonly scriptPath: string | null;
  /** What standard input leads to. */
  readonly stdinKind: StdioKind | null;
  /** What standard output leads to. */
  readonly stdoutKind: StdioKind | null;
  /** JSON object of the captured environment variables, secrets masked. */
  readonly environment: string | null;
}

/** A context with nothing known; spread and override. */
export const BLANK_CONTEXT: ProcessContext = {
  cwd: null,
  effectiveUserName: null,
  groupName: null,
  savedUserId: null,
  effectiveGroupId: null,
  savedGroupId: null,
  loginUserId: null,
  sessionId: null,
  tty: null,
  effectiveCapabilities: null,
  userNamespace: null,
  pidNamespace: null,
  mountNamespace: null,
  networkNamespace: null,
  cgroupPath: null,
  cgroupId: null,
  containerId: null,
  containerRuntime: null,
  podId: null,
  interpreterPath: null,
  scriptPath: null,
  stdinKind: null,
  stdoutKind: null,
  environment: null,
};

/** One process as a snapshot of the process table shows it; carried to the store's `processes` table. */
export interface ProcessState extends ProcessFacts {
  /** Threads. */
  threads: number | null;
  /** Its circumstances. */
  context: ProcessContext | null;
  /** `running`, `sleeping`, `disk_sleep`, `stopped`, `traced`, `zombie`, `dead`, `idle` or `unknown`. */
  status: string;
  /** Whether it is a thread of the kernel's own. */
  kernelThread: boolean;
}

/**
 * What could not be seen or kept: a loss that is counted, or a time in which nobody looked.
 *
 * `count` is `null` when the number cannot be known.
 */
export interface Gap {
  /** A rung of the source ladder, `collector` (not running, out of room), `host` (asleep, clock set) or `transport`. */
  source: string;
  /** `exec`, `exit`, `fork` or `all`. */
  recordKind: string;
  /** The earliest time of what is missing, in Unix milliseconds. */
  from: number;
  /** The latest time of what is missing, in Unix milliseconds. */
  to: number;
  /** How many are missing. */
  count: number | null;
  /** Why, for people. */
  reason: string;
}

/** An event with nothing known but what must be known; spread and override. */
export function blankProcessEvent(kind: ProcessEventKind, time: number, execId: string, pid: number): ProcessEvent {
  return {
    kind,
    time,
    execId,
    parentExecId: null,
    pid,
    ppid: null,
    name: "",
    executablePath: null,
    argv: null,
    argvLength: null,
    userId: null,
    userName: null,
    effectiveUserId: null,
    groupId: null,
    namespacePid: null,
    startTime: null,
    endTime: null,
    durationMs: null,
    exitCode: null,
    exitSignal: null,
    cpuTimeMs: null,
    memoryUsage: null,
    executableHash: null,
    hashAlgorithm: null,
    fuzzyHash: null,
    fileExists: null,
    onDiskMismatch: null,
    accessible: null,
    parentName: null,
    parentExecutablePath: null,
    parentCommandLine: null,
    executableKind: null,
    inode: null,
    device: null,
    context: null,
    modifiedFields: NO_FIELDS,
    reason: null,
    severity: null,
    source: "",
  };
}
const NO_FIELDS: readonly string[] = [];
