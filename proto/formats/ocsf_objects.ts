/**
 * Objects of the Open Cybersecurity Schema Framework, version 1.5.0, that alerts and events share.
 *
 * @module
 */
import type { Severity } from "../process_event.ts";
import { VERSION } from "../version.ts";
import type { TreeField } from "./tree.ts";

export const OCSF_SEVERITY: Readonly<Record<Severity, readonly [id: number, caption: string]>> = {
  info: [1, "Informational"],
  low: [2, "Low"],
  medium: [3, "Medium"],
  high: [4, "High"],
  critical: [5, "Critical"],
};

export const OCSF_METADATA: readonly TreeField<unknown>[] = [
  ["metadata.version", () => "1.5.0"],
  ["metadata.product.name", () => "DaemonEye"],
  ["metadata.product.vendor_name", () => "DaemonEye"],
  ["metadata.product.version", () => VERSION],
];

export const OCSF_DEVICE: readonly TreeField<unknown>[] = [
  ["device.type_id", () => 0],
  ["device.hostname", (_, { host }) => host],
  ["device.os.type_id", () => 200],
  ["device.os.name", () => "Linux"],
];

/** What the schema wants of a process; an alert is one. */
export interface ProcessFacts extends ParentFacts {
  readonly pid: number;
  readonly execId: string;
  readonly name: string | null;
  readonly commandLine: string | null;
  readonly startTime?: number | null;
  readonly cwd?: string | null;
  readonly executablePath: string | null;
  readonly userId: number | null;
  readonly userName: string | null;
  readonly containerId?: string | null;
}

export interface ParentFacts {
  readonly ppid: number | null;
  readonly parentExecId?: string | null;
  readonly parentName: string | null;
  readonly parentCommandLine: string | null;
  readonly parentExecutablePath: string | null;
}

/** Attributes of a profile take its name: device and actor are of host, the container of a process of container. */
export function profilesOf({ containerId }: Pick<ProcessFacts, "containerId">): string[] {
  return containerId ? ["host", "container"] : ["host"];
}

/** The process; `more` are attributes that only some know. */
export function ocsfProcess(facts: ProcessFacts, sha256: string | null, more: Record<string, unknown> = {}): unknown {
  const { userId, userName } = facts;
  return {
    pid: facts.pid,
    uid: facts.execId,
    name: facts.name,
    cmd_line: facts.commandLine,
    created_time: facts.startTime,
    working_directory: facts.cwd,
    file: fileOf(facts.executablePath, sha256),
    user: userId === null && userName === null
      ? null
      : { uid: userId === null ? null : String(userId), name: userName },
    container: facts.containerId ? { uid: facts.containerId } : null,
    parent_process: ocsfParent(facts),
    ...more,
  };
}

/** The parent; `null` where it is not known. */
export function ocsfParent(facts: ParentFacts): unknown {
  if (facts.ppid === null) return null;
  return {
    pid: facts.ppid,
    uid: facts.parentExecId,
    name: facts.parentName,
    cmd_line: facts.parentCommandLine,
    file: fileOf(facts.parentExecutablePath, null),
  };
}

/** A regular file; name, path and type belong together. */
function fileOf(path: string | null, sha256: string | null): unknown {
  if (path === null) return null;
  const hashes = sha256 === null ? [] : [{ algorithm_id: 3, algorithm: "SHA-256", value: sha256 }];
  return { name: path.slice(path.lastIndexOf("/") + 1) || path, path, type_id: 1, type: "Regular File", hashes };
}
