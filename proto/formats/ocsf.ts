/**
 * Open Cybersecurity Schema Framework, version 1.5.0: Detection Finding (class 2004), or Process Activity (class 1007) for
 * receivers that want the process and no finding. Of alerts; `ocsf_event.ts` has those of events.
 *
 * What the classes have no attribute for is in `unmapped`.
 *
 * @module
 */
import { ATTACK_VERSION, techniqueName } from "../rules/attack.ts";
import { tacticsOf, techniquesOf } from "./attack_tags.ts";
import type { AlertFormat } from "./alert_format.ts";
import type { Alert } from "../alert.ts";
import { OCSF_DEVICE, OCSF_METADATA, OCSF_SEVERITY, ocsfParent, ocsfProcess, profilesOf } from "./ocsf_objects.ts";
import { jsonLine } from "./text.ts";
import { type TreeField, treeOf } from "./tree.ts";

/** The base of every event. */
const BASE: readonly TreeField<Alert>[] = [
  ["time", (a) => a.time],
  ["severity_id", (a) => OCSF_SEVERITY[a.severity][0]],
  ["severity", (a) => OCSF_SEVERITY[a.severity][1]],
  ["message", (a) => a.commandLine === null ? a.title : `${a.title}: ${a.commandLine}`],
  ...OCSF_METADATA,
  ["metadata.profiles", (a) => profilesOf(a)],
  ["metadata.uid", (a) => a.alertId],
  ["metadata.logged_time", (a) => a.detectedTime],
  ...OCSF_DEVICE,
  ["actor.process", (a) => ocsfParent(a)],
  ["unmapped.collector", (a) => a.collectorId],
  ["unmapped.complete", (a) => a.completeness.complete],
  ["unmapped.incomplete_reasons", (a) => a.completeness.reasons],
  ["unmapped.ledger", (a) => a.ledger],
  ["unmapped.repeats", (a) => a.repeats],
  ["unmapped.stdin", (a) => a.stdinKind],
  ["unmapped.stdout", (a) => a.stdoutKind],
  ["unmapped.ancestry", (a) => a.ancestry],
];

const FINDING: readonly TreeField<Alert>[] = [
  ["activity_id", () => 1],
  ["activity_name", () => "Create"],
  ["category_uid", () => 2],
  ["category_name", () => "Findings"],
  ["class_uid", () => 2004],
  ["class_name", () => "Detection Finding"],
  ["type_uid", () => 200401],
  ["type_name", () => "Detection Finding: Create"],
  ["status_id", () => 1],
  ["status", () => "New"],
  ["is_alert", () => true],
  ["count", (a) => a.repeats?.count],
  ["finding_info.uid", (a) => a.alertId],
  ["finding_info.title", (a) => a.title],
  ["finding_info.desc", (a) => a.description],
  ["finding_info.created_time", (a) => a.detectedTime],
  ["finding_info.first_seen_time", (a) => a.time],
  ["finding_info.analytic.type_id", () => 1],
  ["finding_info.analytic.type", () => "Rule"],
  ["finding_info.analytic.uid", (a) => a.ruleId],
  ["finding_info.analytic.name", (a) => a.title],
  ["finding_info.analytic.version", (a) => a.ruleHash],
  ["finding_info.attacks", (a) => attacksOf(a.tags)],
  ["evidences", (a) => [{ process: processOf(a), data: a.evidence }]],
  ...BASE,
];

const ACTIVITY: readonly TreeField<Alert>[] = [
  ["activity_id", () => 1],
  ["activity_name", () => "Launch"],
  ["category_uid", () => 1],
  ["category_name", () => "System Activity"],
  ["class_uid", () => 1007],
  ["class_name", () => "Process Activity"],
  ["type_uid", () => 100701],
  ["type_name", () => "Process Activity: Launch"],
  ["process", (a) => processOf(a)],
  ...BASE,
  // The class wants an actor, and not every parent is known.
  ["actor.app_name", (a) => a.ppid === null ? "unknown" : null],
  ["unmapped.rule", (a) => ({ id: a.ruleId, title: a.title, tags: a.tags, version: a.ruleHash })],
  ["unmapped.evidence", (a) => a.evidence],
];

function processOf(a: Alert): unknown {
  const sha256 = a.evidence["hash_algorithm"] === "sha256" ? a.evidence["executable_hash"] : null;
  return ocsfProcess(a, typeof sha256 === "string" ? sha256 : null);
}

/** One for each tactic and each technique: which technique served which tactic a rule does not say. */
function attacksOf(tags: readonly string[]): unknown[] {
  return [
    ...tacticsOf(tags).map(({ name, id }) => ({ tactic: { name, uid: id }, version: ATTACK_VERSION })),
    ...techniquesOf(tags).map(({ id, subId }) => ({
      technique: { uid: id, name: techniqueName(id) || null },
      sub_technique: subId === null ? null : { uid: subId },
      version: ATTACK_VERSION,
    })),
  ];
}

const idOf = (parsed: unknown): unknown => (parsed as { metadata?: { uid?: unknown } } | null)?.metadata?.uid;

export const DETECTION_FINDING: AlertFormat = {
  contentType: "application/json",
  header: null,
  line: (alert, options) => jsonLine(treeOf(FINDING, alert, options)),
  idOf,
};

export const PROCESS_ACTIVITY: AlertFormat = {
  contentType: "application/json",
  header: null,
  line: (alert, options) => jsonLine(treeOf(ACTIVITY, alert, options)),
  idOf,
};
