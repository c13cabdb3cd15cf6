/**
 * An event in the Elastic Common Schema, version 8.17: of category process.
 *
 * What the schema has no field for is below `daemoneye`, by the name of its column.
 *
 * @module
 */
import type { FormatOptions } from "./alert_format.ts";
import { ECS_ORIGIN, ECS_SEVERITY, ecsText } from "./ecs.ts";
import { type EventFacts, PLACED_COLUMNS } from "./event_facts.ts";
import { isoTime, jsonLine } from "./text.ts";
import { type TreeField, treeOf } from "./tree.ts";

const TYPES: Readonly<Record<string, string>> = { start: "start", stop: "end", modify: "change" };

const time = (value: number | null): string | null => value === null ? null : isoTime(value) ?? null;

const FIELDS: readonly TreeField<EventFacts>[] = [
  // The field is required, and a peer may have sent a time that no date can hold
  ["@timestamp", (e) => isoTime(e.time) ?? isoTime(0)],
  ["message", (e) => e.commandLine ?? e.name],
  ["event.kind", () => "event"],
  ["event.category", () => ["process"]],
  ["event.type", (e) => [TYPES[e.text("event_type") ?? ""] ?? "info"]],
  ["event.action", (e) => e.text("event_type")],
  ["event.module", () => "daemoneye"],
  ["event.dataset", () => "daemoneye.process"],
  ["event.provider", (e) => e.text("collector_id")],
  ["event.id", (e) => ecsText(e.integer("event_id"))],
  ["event.severity", (e) => e.text("severity") === null ? null : ECS_SEVERITY[e.severity]],
  ["event.reason", (e) => e.text("reason")],
  ["event.duration", (e) => e.real("duration_ms") === null ? null : Math.round(e.real("duration_ms")! * 1e6)],
  ...ECS_ORIGIN,
  ["container.id", (e) => e.containerId],
  ["container.runtime", (e) => e.text("container_runtime")],
  ["process.entity_id", (e) => e.execId],
  ["process.pid", (e) => e.pid],
  ["process.name", (e) => e.name],
  ["process.executable", (e) => e.executablePath],
  ["process.command_line", (e) => e.commandLine],
  ["process.args", (e) => e.list("argv")],
  ["process.args_count", (e) => e.list("argv")?.length],
  ["process.working_directory", (e) => e.cwd],
  ["process.start", (e) => time(e.startTime)],
  ["process.end", (e) => time(e.integer("end_time"))],
  ["process.exit_code", (e) => e.integer("exit_code")],
  ["process.hash.sha256", (e) => e.sha256],
  ["process.user.id", (e) => ecsText(e.integer("effective_user_id"))],
  ["process.real_user.id", (e) => ecsText(e.userId)],
  ["process.parent.entity_id", (e) => e.parentExecId],
  ["process.parent.pid", (e) => e.ppid],
  ["process.parent.name", (e) => e.parentName],
  ["process.parent.executable", (e) => e.parentExecutablePath],
  ["process.parent.command_line", (e) => e.parentCommandLine],
  ["user.id", (e) => ecsText(e.userId)],
  ["user.name", (e) => e.userName],
  ["related.user", (e) => e.userName === null ? null : [e.userName]],
  ["daemoneye", (e) => e.rest(PLACED)],
];
const PLACED: ReadonlySet<string> = new Set([
  ...PLACED_COLUMNS.filter((name) => name !== "severity"),
  ...["argv", "container_runtime", "effective_user_id", "reason", "collector_id"],
]);

/** One line, without its end. */
export function ecsEventLine(event: EventFacts, options: FormatOptions): string {
  return jsonLine(treeOf(FIELDS, event, options));
}
