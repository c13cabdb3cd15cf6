/**
 * An event as Process Activity (class 1007) of the Open Cybersecurity Schema Framework, version 1.5.0.
 *
 * What the class has no attribute for is in `unmapped`, by the name of its column.
 *
 * @module
 */
import type { FormatOptions } from "./alert_format.ts";
import { type EventFacts, PLACED_COLUMNS } from "./event_facts.ts";
import { OCSF_DEVICE, OCSF_METADATA, OCSF_SEVERITY, ocsfParent, ocsfProcess, profilesOf } from "./ocsf_objects.ts";
import { jsonLine } from "./text.ts";
import { type TreeField, treeOf } from "./tree.ts";

/** What the schema calls an event; what it has no name for is 99, "Other", under ours. */
function activityOf(e: EventFacts): readonly [id: number, name: string] {
  const type = e.text("event_type") ?? "";
  if (type === "start") return [1, "Launch"];
  if (type === "stop") return [2, "Terminate"];
  const isUser = type === "modify" && (e.list("modified_fields") ?? []).includes("effective_user_id");
  return isUser ? [5, "Set User ID"] : [99, type];
}

/** A time and what is of a process that ended; one before 1970 is none that the schema has. */
const endOf = (e: EventFacts): number | null =>
  e.text("event_type") === "stop" ? e.integer("end_time") ?? e.time : null;

const FIELDS: readonly TreeField<EventFacts>[] = [
  ["activity_id", (e) => activityOf(e)[0]],
  ["activity_name", (e) => activityOf(e)[1]],
  ["category_uid", () => 1],
  ["category_name", () => "System Activity"],
  ["class_uid", () => 1007],
  ["class_name", () => "Process Activity"],
  ["type_uid", (e) => 100_700 + activityOf(e)[0]],
  ["type_name", (e) => `Process Activity: ${activityOf(e)[0] === 99 ? "Other" : activityOf(e)[1]}`],
  ["time", (e) => e.time],
  ["start_time", (e) => e.startTime],
  ["end_time", (e) => endOf(e)],
  ["duration", (e) => endOf(e) === null || e.real("duration_ms") === null ? null : Math.round(e.real("duration_ms")!)],
  ["severity_id", (e) => OCSF_SEVERITY[e.severity][0]],
  ["severity", (e) => OCSF_SEVERITY[e.severity][1]],
  ["message", (e) => e.commandLine ?? e.name],
  ...OCSF_METADATA,
  ["metadata.profiles", (e) => profilesOf(e)],
  ["metadata.uid", (e) => e.integer("event_id") === null ? null : String(e.integer("event_id"))],
  ...OCSF_DEVICE,
  ["process", (e) => ocsfProcess(e, e.sha256, { terminated_time: endOf(e) })],
  ["exit_code", (e) => e.integer("exit_code")],
  ["actor.process", (e) => ocsfParent(e)],
  // The class wants an actor, and not every parent is known.
  ["actor.app_name", (e) => e.ppid === null ? "unknown" : null],
  ["unmapped", (e) => e.rest(e.sha256 === null ? PLACED : PLACED_HASHED)],
];
const PLACED: ReadonlySet<string> = new Set(PLACED_COLUMNS);
const PLACED_HASHED: ReadonlySet<string> = new Set([...PLACED_COLUMNS, "executable_hash", "hash_algorithm"]);

/** One line, without its end. */
export function ocsfEventLine(event: EventFacts, options: FormatOptions): string {
  return jsonLine(treeOf(FIELDS, event, options));
}
