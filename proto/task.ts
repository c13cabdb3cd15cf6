/**
 * What an agent may ask of a collector, and the answers: the document's tasks and capabilities as plain data.
 *
 * Field by field these are the messages of `common.proto` and `ipc.proto`. Tasks on networks, file systems and
 * performance have their numbers there; no collector of this version answers them, so they do not appear here.
 *
 * @module
 */

/** The document's task types, and `analyze` of ours (`analysis/stage.ts`), in the order of their wire numbers. */
export const TASK_TYPES = [
  "enumerate_processes",
  "check_process_hash",
  "monitor_process_tree",
  "verify_executable",
  "monitor_network_connections",
  "track_file_operations",
  "collect_performance_metrics",
  "analyze",
] as const;
/** One of {@linkcode TASK_TYPES}. */
export type TaskType = (typeof TASK_TYPES)[number];

/** The document's monitoring domains, in the order of their wire numbers. */
export const MONITORING_DOMAINS = ["process", "network", "filesystem", "performance"] as const;
/** One of {@linkcode MONITORING_DOMAINS}. */
export type MonitoringDomain = (typeof MONITORING_DOMAINS)[number];

/** Most process records of one result. */
export const MAX_RESULT_PROCESSES = 10_000;

/** Empty lists filter nothing. */
export interface ProcessFilter {
  /** Command names that are asked for. */
  readonly processNames: readonly string[];
  /** Process ids that are asked for. */
  readonly pids: readonly number[];
  /** Glob over the executable's path. */
  readonly executablePattern: string | null;
}

/** An executable that is to be hashed. */
export interface HashCheck {
  /** Lower-case hexadecimal. */
  readonly expectedHash: string;
  /** Name of the hash. */
  readonly hashAlgorithm: string;
  /** Absolute path. */
  readonly executablePath: string;
}

/** What came of hashing an executable. */
export interface HashResult {
  /** The hash in lower-case hexadecimal; empty where there is none. */
  readonly hashValue: string;
  /** Name of the hash. */
  readonly algorithm: string;
  /** Absolute path. */
  readonly filePath: string;
  /** Whether there is a hash, and it is the one that was expected. */
  readonly success: boolean;
  /** Why not, for people. */
  readonly errorMessage: string | null;
}

/** The document's process record: `startTime` in Unix **seconds**, `collectionTime` in milliseconds. */
export interface ProcessRecord {
  /** Process id. */
  readonly pid: number;
  /** Process id of the parent. */
  readonly ppid: number | null;
  /** Name of the process. */
  readonly name: string;
  /** Absolute path of the executable. */
  readonly executablePath: string | null;
  /** Arguments. */
  readonly commandLine: readonly string[];
  /** Start of the process, in Unix seconds. */
  readonly startTime: number | null;
  /** Per cent. */
  readonly cpuUsage: number | null;
  /** Bytes. */
  readonly memoryUsage: number | null;
  /** Hash of the executable, lower-case hexadecimal. */
  readonly executableHash: string | null;
  /** Name of that hash. */
  readonly hashAlgorithm: string | null;
  /** Real user id, in decimal. */
  readonly userId: string | null;
  /** Whether the process could be read. */
  readonly accessible: boolean;
  /** Whether the executable's file is there. */
  readonly fileExists: boolean;
  /** When it was looked at, in Unix milliseconds. */
  readonly collectionTime: number;
  /** Fuzzy hash of the executable, as `ssdeep` has it. */
  readonly fuzzyHash: string | null;
  /** Whether the file of its path is another one than the one that runs. */
  readonly onDiskMismatch: boolean;
  /** Whether the fuzzy hash could not be made. */
  readonly fuzzyHashDegraded: boolean;
}

/** What a collector is to do. */
export interface DetectionTask {
  /** Names the task; the result has the same. */
  readonly taskId: string;
  /** What it is. */
  readonly taskType: TaskType;
  /** Of which processes; `null` for all. */
  readonly processFilter: ProcessFilter | null;
  /** Of `check_process_hash` and `verify_executable`: what is to be hashed. */
  readonly hashCheck: HashCheck | null;
  /** Of `analyze`: the stage and what it is of; otherwise not looked at. */
  readonly metadata: string | null;
}

/** What came of a task. */
export interface DetectionResult {
  /** That of the task. */
  readonly taskId: string;
  /** Whether it was done. */
  readonly success: boolean;
  /** Why not, for people. */
  readonly errorMessage: string | null;
  /** At most {@linkcode MAX_RESULT_PROCESSES}. */
  readonly processes: readonly ProcessRecord[];
  /** Of a task that hashes. */
  readonly hashResult: HashResult | null;
  /** What a stage of an analysis found, `null` for other tasks. */
  readonly analysis?: string | null;
}

/** Asks what a collector can do. */
export interface CapabilityRequest {
  /** Who asks. */
  readonly clientId: string;
  /** Which domains are wanted; empty for whichever. */
  readonly domains: readonly MonitoringDomain[];
  /** Version of who asks. */
  readonly clientVersion: string | null;
}

/** What a collector can do. */
export interface CapabilityResponse {
  /** Whether it has all domains that were asked for. */
  readonly success: boolean;
  /** The domains that it has. */
  readonly domains: readonly MonitoringDomain[];
  /** Whether it sees what the kernel does, as it does it. */
  readonly kernelLevel: boolean;
  /** Whether it tells of what happens when it happens. */
  readonly realtime: boolean;
  /** Whether it sees all of the host. */
  readonly systemWide: boolean;
  /** What is missing, for people. */
  readonly errorMessage: string | null;
  /** Version of its program. */
  readonly serverVersion: string | null;
  /** The version of demands (`demand.ts`) that it understands; 0 for none. */
  readonly demandVersion: number;
  /** The version of calls (`bus/rpc.ts`) that it understands; 0 for none. */
  readonly rpcVersion: number;
}
