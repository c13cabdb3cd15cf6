/**
 * Elastic Common Schema, version 8.17: an alert of category process. `ecs_event.ts` has events.
 *
 * What the schema has no field for is below `daemoneye`.
 *
 * @module
 */
import type { Severity } from "../process_event.ts";
import { VERSION } from "../version.ts";
import { tacticsOf, techniquesOf } from "./attack_tags.ts";
import type { AlertFormat } from "./alert_format.ts";
import type { Alert } from "../alert.ts";
import { isoTime, jsonLine } from "./text.ts";
import { type TreeField, treeOf } from "./tree.ts";

/** What an alert and an event are from. */
export const ECS_ORIGIN: readonly TreeField<unknown>[] = [
  ["ecs.version", () => "8.17.0"],
  ["agent.type", () => "daemoneye"],
  ["agent.version", () => VERSION],
  ["host.hostname", (_, { host }) => host],
  ["host.name", (_, { host }) => host],
  ["host.os.type", () => "linux"],
];

/** As the risk scores of Elastic's own rules, less what says how sure they are. */
export const ECS_SEVERITY: Readonly<Record<Severity, number>> = {
  info: 1,
  low: 21,
  medium: 47,
  high: 73,
  critical: 99,
};

/** Of a user id: the schema has texts there. */
export const ecsText = (value: number | null | undefined): string | null =>
  value === null || value === undefined ? null : `${value}`;

const FIELDS: readonly TreeField<Alert>[] = [
  // The time came from a peer, and the field is required.
  ["@timestamp", (a) => isoTime(a.time) ?? isoTime(a.detectedTime)],
  ["message", (a) => a.commandLine === null ? a.title : `${a.title}: ${a.commandLine}`],
  ["tags", (a) => a.tags],
  ["event.kind", () => "alert"],
  ["event.category", () => ["process"]],
  ["event.type", () => ["info"]],
  ["event.module", () => "daemoneye"],
  ["event.dataset", () => "daemoneye.alert"],
  ["event.provider", (a) => a.collectorId],
  ["event.id", (a) => a.alertId],
  ["event.created", (a) => isoTime(a.detectedTime)],
  ["event.severity", (a) => ECS_SEVERITY[a.severity]],
  ["event.reason", (a) => a.description],
  ...ECS_ORIGIN,
  ["container.id", (a) => a.containerId],
  ["rule.id", (a) => a.ruleId],
  ["rule.name", (a) => a.title],
  ["rule.description", (a) => a.description],
  ["rule.version", (a) => a.ruleHash],
  ["threat.framework", (a) => techniquesOf(a.tags).length + tacticsOf(a.tags).length === 0 ? null : "MITRE ATT&CK"],
  ["threat.tactic.id", (a) => tacticsOf(a.tags).map(({ id }) => id)],
  ["threat.tactic.name", (a) => tacticsOf(a.tags).map(({ name }) => name)],
  ["threat.technique.id", (a) => [...new Set(techniquesOf(a.tags).map(({ id }) => id))]],
  ["threat.technique.subtechnique.id", (a) => techniquesOf(a.tags).map(({ subId }) => subId)],
  ["process.entity_id", (a) => a.execId],
  ["process.pid", (a) => a.pid],
  ["process.name", (a) => a.name],
  ["process.executable", (a) => a.executablePath],
  ["process.command_line", (a) => a.commandLine],
  ["process.working_directory", (a) => a.cwd],
  ["process.start", (a) => typeof a.startTime === "number" ? isoTime(a.startTime) : null],
  ["process.hash.sha256", (a) => a.evidence["hash_algorithm"] === "sha256" ? a.evidence["executable_hash"] : null],
  ["process.user.id", (a) => ecsText(a.effectiveUserId)],
  ["process.real_user.id", (a) => ecsText(a.userId)],
  ["process.parent.entity_id", (a) => a.parentExecId],
  ["process.parent.pid", (a) => a.ppid],
  ["process.parent.name", (a) => a.parentName],
  ["process.parent.executable", (a) => a.parentExecutablePath],
  ["process.parent.command_line", (a) => a.parentCommandLine],
  ["user.id", (a) => ecsText(a.userId)],
  ["user.name", (a) => a.userName],
  ["related.user", (a) => a.userName === null ? null : [a.userName]],
  ["daemoneye.severity", (a) => a.severity],
  ["daemoneye.evidence", (a) => a.evidence],
  ["daemoneye.ancestry", (a) => a.ancestry],
  ["daemoneye.stdin", (a) => a.stdinKind],
  ["daemoneye.stdout", (a) => a.stdoutKind],
  ["daemoneye.repeats", (a) => a.repeats],
  ["daemoneye.complete", (a) => a.completeness.complete],
  ["daemoneye.incomplete_reasons", (a) => a.completeness.reasons],
  ["daemoneye.ledger", (a) => a.ledger],
];

export const ECS: AlertFormat = {
  contentType: "application/json",
  header: null,
  line: (alert, options) => jsonLine(treeOf(FIELDS, alert, options)),
  idOf: (parsed) => (parsed as { event?: { id?: unknown } } | null)?.event?.id,
};
