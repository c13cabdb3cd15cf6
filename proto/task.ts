/**
 * What an agent may ask of a collector, and the answers: the document's tasks and capabilities as plain data.
 *
 * Field by field these are the messages of `common.proto` and `ipc.proto`. Tasks on networks, file systems and
 * performance have their numbers there; no collector of this version answers them, so they do not appear here.
 *
 * @module
 */

/** The document's task types, in the order of their wire numbers. */
export const TASK_TYPES = [
  "enumerate_processes",
  "check_process_hash",
  "monitor_process_tree",
  "verify_executable",
  "monitor_network_connections",
  "track_file_operations",
  "collect_performance_metrics",
] as const;
export type TaskType = (typeof TASK_TYPES)[number];

/** The document's monitoring domains, in the order of their wire numbers. */
export const MONITORING_DOMAINS = ["process", "network", "filesystem", "performance"] as const;
export type MonitoringDomain = (typeof MONITORING_DOMAINS)[number];

/** Most process records of one result. */
export const MAX_RESULT_PROCESSES = 10_000;

/** Empty lists filter nothing. */
export interface ProcessFilter {
  readonly processNames: readonly string[];
  readonly pids: readonly number[];
  /** Glob over the executable's path. */
  readonly executablePattern: string | null;
}

export interface HashCheck {
  /** Lower-case hexadecimal. */
  readonly expectedHash: string;
  readonly hashAlgorithm: string;
  readonly executablePath: string;
}

export interface HashResult {
  readonly hashValue: string;
  readonly algorithm: string;
  readonly filePath: string;
  readonly success: boolean;
  readonly errorMessage: string | null;
}

/** The document's process record: `startTime` in Unix **seconds**, `collectionTime` in milliseconds. */
export interface ProcessRecord {
  readonly pid: number;
  readonly ppid: number | null;
  readonly name: string;
  readonly executablePath: string | null;
  /** Arguments. */
  readonly commandLine: readonly string[];
  readonly startTime: number | null;
  /** Per cent. */
  readonly cpuUsage: number | null;
  /** Bytes. */
  readonly memoryUsage: number | null;
  readonly executableHash: string | null;
  readonly hashAlgorithm: string | null;
  readonly userId: string | null;
  readonly accessible: boolean;
  readonly fileExists: boolean;
  readonly collectionTime: number;
  readonly fuzzyHash: string | null;
  readonly onDiskMismatch: boolean;
  readonly fuzzyHashDegraded: boolean;
}

export interface DetectionTask {
  readonly taskId: string;
  readonly taskType: TaskType;
  readonly processFilter: ProcessFilter | null;
  readonly hashCheck: HashCheck | null;
  readonly metadata: string | null;
}

export interface DetectionResult {
  readonly taskId: string;
  readonly success: boolean;
  readonly errorMessage: string | null;
  /** At most {@linkcode MAX_RESULT_PROCESSES}. */
  readonly processes: readonly ProcessRecord[];
  readonly hashResult: HashResult | null;
}

export interface CapabilityRequest {
  readonly clientId: string;
  readonly domains: readonly MonitoringDomain[];
  readonly clientVersion: string | null;
}

export interface CapabilityResponse {
  readonly success: boolean;
  readonly domains: readonly MonitoringDomain[];
  readonly kernelLevel: boolean;
  readonly realtime: boolean;
  readonly systemWide: boolean;
  readonly errorMessage: string | null;
  readonly serverVersion: string | null;
  /** The version of demands (`demand.ts`) that it understands; 0 for none. */
  readonly demandVersion: number;
}
