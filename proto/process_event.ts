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
export type ProcessEventKind = (typeof PROCESS_EVENT_KINDS)[number];

/** Severities of suspicious events, rules and alerts, from least to most. */
export const SEVERITIES = ["info", "low", "medium", "high", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Longest argv, in bytes, that a collector keeps of one execution; the true length stands beside a cut one. */
export const MAX_ARGV_BYTES = 16_384;

/**
 * One event of a process' life. Times are Unix milliseconds, sizes bytes.
 *
 * `argv` holds the arguments as the kernel has them, each ended by a NUL byte, so that invalid UTF-8 survives; it is cut
 * at {@linkcode MAX_ARGV_BYTES} while `argvLength` keeps the true length. Redaction may have changed it.
 */
export interface ProcessEvent {
  kind: ProcessEventKind;
  time: number;
  /** Names one execution: see `identity.ts`. */
  execId: string;
  parentExecId: string | null;
  pid: number;
  ppid: number | null;
  name: string;
  executablePath: string | null;
  argv: Uint8Array | null;
  argvLength: number | null;
  userId: number | null;
  userName: string | null;
  effectiveUserId: number | null;
  groupId: number | null;
  /** The process id in the innermost namespace of the process; the same as `pid` outside of containers. */
  namespacePid: number | null;
  startTime: number | null;
  endTime: number | null;
  durationMs: number | null;
  exitCode: number | null;
  exitSignal: number | null;
  /** User and system time together, in milliseconds with fractions. */
  cpuTimeMs: number | null;
  memoryUsage: number | null;
  executableHash: string | null;
  hashAlgorithm: string | null;
  fuzzyHash: string | null;
  fileExists: boolean | null;
  onDiskMismatch: boolean | null;
  accessible: boolean | null;
  parentName: string | null;
  parentExecutablePath: string | null;
  parentCommandLine: string | null;
  executableKind: ExecutableKind | null;
  inode: number | null;
  /** Device number of the executable's file system, as `major << 20 | minor` (the kernel's `dev_t`). */
  device: number | null;
  /** On `start`, `modify` and `suspicious`; a `stop` is of an execution whose start had it. Shared, never changed. */
  context: ProcessContext | null;
  modifiedFields: readonly string[];
  reason: string | null;
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
export type StdioKind = (typeof STDIO_KINDS)[number];

/** The circumstances that a process runs in: its credentials, its place and its connections. */
export interface ProcessContext {
  readonly cwd: string | null;
  readonly effectiveUserName: string | null;
  readonly groupName: string | null;
  readonly savedUserId: number | null;
  readonly effectiveGroupId: number | null;
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
  readonly pidNamespace: number | null;
  readonly mountNamespace: number | null;
  readonly networkNamespace: number | null;
  readonly cgroupPath: string | null;
  /** Inode number of the control group's directory. */
  readonly cgroupId: number | null;
  readonly containerId: string | null;
  /** `docker`, `containerd`, `podman`, `cri-o` and so on. */
  readonly containerRuntime: string | null;
  /** Uid of the Kubernetes pod. */
  readonly podId: string | null;
  /** The interpreter that a script's first line asks for, and the script, for `#!` executions. */
  readonly interpreterPath: string | null;
  readonly scriptPath: string | null;
  readonly stdinKind: StdioKind | null;
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
export interface ProcessState {
  execId: string;
  parentExecId: string | null;
  pid: number;
  ppid: number | null;
  name: string;
  executablePath: string | null;
  argv: Uint8Array | null;
  argvLength: number | null;
  userId: number | null;
  userName: string | null;
  effectiveUserId: number | null;
  groupId: number | null;
  namespacePid: number | null;
  startTime: number | null;
  cpuTimeMs: number | null;
  memoryUsage: number | null;
  threads: number | null;
  executableKind: ExecutableKind | null;
  context: ProcessContext | null;
  /** `running`, `sleeping`, `disk_sleep`, `stopped`, `traced`, `zombie`, `dead`, `idle` or `unknown`. */
  status: string;
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
  from: number;
  to: number;
  count: number | null;
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
