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
  cwd: string | null;
  userId: number | null;
  userName: string | null;
  effectiveUserId: number | null;
  groupId: number | null;
  loginUserId: number | null;
  sessionId: number | null;
  tty: string | null;
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
  containerId: string | null;
  cgroupPath: string | null;
  cgroupId: number | null;
  inode: number | null;
  /** Device number of the executable's file system, as `major << 20 | minor` (the kernel's `dev_t`). */
  device: number | null;
  stdinKind: string | null;
  stdoutKind: string | null;
  /** JSON object of the captured environment variables. */
  environment: string | null;
  modifiedFields: readonly string[];
  reason: string | null;
  severity: Severity | null;
  /** The rung of the source ladder that saw it: `ebpf`, `netlink`, `proc`. */
  source: string;
}

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
  startTime: number | null;
  cpuTimeMs: number | null;
  memoryUsage: number | null;
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
  /** `ebpf`, `netlink`, `proc`, `collector` (not running) or `transport`. */
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
    cwd: null,
    userId: null,
    userName: null,
    effectiveUserId: null,
    groupId: null,
    loginUserId: null,
    sessionId: null,
    tty: null,
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
    containerId: null,
    cgroupPath: null,
    cgroupId: null,
    inode: null,
    device: null,
    stdinKind: null,
    stdoutKind: null,
    environment: null,
    modifiedFields: NO_FIELDS,
    reason: null,
    severity: null,
    source: "",
  };
}
const NO_FIELDS: readonly string[] = [];
