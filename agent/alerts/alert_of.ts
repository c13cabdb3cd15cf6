/**
 * Makes the alert for a rule's hit on an event.
 *
 * It holds what the event and the rule tell; what the store knows beside, such as the ancestry, is added where it is
 * stored. The id is made of rule and event, or of rule, finding and time, so the same hit always gives the same alert, however
 * often the event comes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Alert, AlertHead } from "../../proto/alert.ts";
import { COMPLETE, type Completeness } from "../../proto/completeness.ts";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import type { Severity } from "../../proto/process_event.ts";
import { processOfExec } from "../../proto/identity.ts";
import type { AlertPolicy } from "../../proto/rules/alert_policy.ts";
import type { Stream } from "../store/streams.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";

/** Longest text of one column in the evidence; the event itself has the whole. A line of alert stays of bounded size. */
const MAX_EVIDENCE_TEXT = 8_192;

/** What an alert takes from its rule. */
export interface AlertRule {
  readonly id: string;
  readonly hash: string;
  readonly title: string;
  readonly description: string;
  readonly severity: Severity;
  readonly tags: readonly string[];
  readonly alert?: AlertPolicy;
}

const PLACE = columnPlaces("process_events");

/** Longest key of what is the same; a longer one is told by its digest. */
const MAX_KEY_LENGTH = 160;
/** Events that an alert names as its causes. */
const MAX_CAUSES = 64;

/** What every alert says of the file that ran, as far as the event has it, whatever the rule selected. */
const FILE_COLUMNS = ["executable_hash", "hash_algorithm"] as const;

/**
 * `row` is the event's row of `process_events`; `evidence` what the rule selected of it. `finding` names what a rule over
 * a window found, and `sameAs` the group that it found it for.
 */
export function alertOf(
  rule: AlertRule,
  row: readonly SqlValue[],
  evidence: Readonly<Record<string, SqlValue>>,
  stream: Pick<Stream, "number" | "collectorId" | "epoch">,
  now: number,
  ledger: AlertHead | null = null,
  completeness: Completeness = COMPLETE,
  finding: string | null = null,
  sameAs: string | null = null,
): Alert {
  const text = (name: string): string | null => row[PLACE.get(name)!] as string | null;
  const number = (name: string): number | null => row[PLACE.get(name)!] as number | null;
  const eventId = number("event_id")!;
  const sequence = eventId - stream.number * SEQUENCES_PER_STREAM;
  const alertId = `${rule.id}@${finding ?? `${stream.collectorId}:${stream.epoch}:${sequence}`}`;
  return {
    alertId,
    time: number("time")!,
    detectedTime: now,
    ruleId: rule.id,
    ruleHash: rule.hash,
    title: rule.title,
    description: rule.description,
    severity: rule.severity,
    tags: rule.tags,
    eventId,
    execId: text("exec_id")!,
    pid: number("pid")!,
    ppid: number("ppid"),
    name: text("name")!,
    executablePath: text("executable_path"),
    commandLine: text("command_line"),
    userId: number("user_id"),
    userName: text("user_name"),
    parentName: text("parent_name"),
    parentExecutablePath: text("parent_executable_path"),
    parentCommandLine: text("parent_command_line"),
    evidence: withFile(evidence, text),
    collectorId: stream.collectorId,
    completeness,
    kind: "alert",
    repeats: null,
    dedupKey: rule.alert?.key ? keyOf(rule.alert.key, row) : sameAs ?? processOfExec(text("exec_id") ?? ""),
    groupId: alertId,
    hitsBefore: 0,
    lastHitTime: null,
    causes: causesOf(eventId, evidence),
    parentExecId: text("parent_exec_id"),
    startTime: number("start_time"),
    effectiveUserId: number("effective_user_id"),
    loginUserId: number("login_user_id"),
    cwd: text("cwd"),
    containerId: text("container_id"),
    stdinKind: text("stdin_kind"),
    stdoutKind: text("stdout_kind"),
    ancestry: [],
    ledger,
  };
}

function keyOf(columns: readonly string[], row: readonly SqlValue[]): string {
  const key = JSON.stringify(columns.map((column) => row[PLACE.get(column)!] ?? null));
  if (key.length <= MAX_KEY_LENGTH) return key;
  return createHash("sha256").update(key).digest("hex");
}

/** The event, and others whose numbers the rule selected. */
function causesOf(eventId: number, evidence: Readonly<Record<string, SqlValue>>): number[] {
  const causes = new Set([eventId]);
  for (const [name, value] of Object.entries(evidence)) {
    if (!name.endsWith("event_id") || typeof value !== "number" || !Number.isSafeInteger(value)) continue;
    if (causes.size < MAX_CAUSES) causes.add(value);
  }
  return [...causes];
}

/** A column that the rule selected stays what it selected: it may have given another value that name. */
function withFile(
  evidence: Readonly<Record<string, SqlValue>>,
  text: (column: string) => string | null,
): Record<string, SqlValue> {
  const cutEvidence = Object.fromEntries(Object.entries(evidence).map(([name, value]) => [name, cut(value)]));
  if (text("executable_hash") === null) return cutEvidence;
  for (const column of FILE_COLUMNS) if (!Object.hasOwn(cutEvidence, column)) cutEvidence[column] = text(column);
  return cutEvidence;
}

function cut(value: SqlValue): SqlValue {
  if (typeof value !== "string" || value.length <= MAX_EVIDENCE_TEXT) return value;
  return value.slice(0, MAX_EVIDENCE_TEXT).toWellFormed() + "…";
}
