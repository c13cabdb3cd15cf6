/**
 * Triggers: which events, or which results of analyses, set an analysis going.
 *
 * A YAML mapping with one condition. Every condition over events becomes a query of one row of `process_events`, through the
 * same gate and the same engine as rules, so that there is no second language whose answers could differ. A condition that
 * this host has no source for is refused when it is loaded, with the reason.
 *
 * @module
 */
import { positionAt, type YamlNode } from "../rules/located_yaml.ts";
import { type Rule, type ValidatedRule, validateRule } from "../rules/rule.ts";
import { durationOf, fault, lineOf, listOf, mappingOf, nameOf, numberOf, textOf } from "./yaml_fields.ts";

/** From what can wait to what cannot. */
export const PRIORITIES = ["low", "normal", "high", "critical"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** Bounds of how often: a minute, and how long the same is not asked for again. */
export const MAX_PER_MINUTE = 600, MIN_AGAIN_MS = 1_000, MAX_AGAIN_MS = 7 * 86_400_000;
const DEFAULT_PER_MINUTE = 30, DEFAULT_AGAIN_MS = 300_000;
const MAX_VALUES = 64, MAX_VALUE_LENGTH = 512, MAX_MEMORY_MB = 16_777_216, MAX_CPU_PERCENT = 100_000;
/** A process that is younger has no share of a processor that says anything. */
const MIN_LIFE_MS = 1_000;

export interface Trigger {
  readonly id: string;
  readonly title: string;
  readonly file: string;
  readonly chain: string;
  readonly priority: Priority;
  readonly perMinute: number;
  /** For so long the same file or process is not asked for again. */
  readonly againMs: number;
  /** Over events; `null` for a trigger over results. */
  readonly rule: ValidatedRule | null;
  /** Over results of these chains; `null` for a trigger over events. */
  readonly results: { readonly after: readonly string[]; readonly sql: string; readonly offset: number } | null;
}

const KEYS = ["trigger", "title", "chain", "priority", "per_minute", "again_after", "when", "after"];
const CONDITIONS = [
  ..."name,path,missing_executable,hash_mismatch,parent_child,resource_anomaly,sql,results".split(","),
];

/** @throws YamlFaultError, and RuleError for a query that the guard refuses */
export function readTrigger(root: YamlNode, text: string, file: string, hash: string): Trigger {
  const fields = mappingOf(root, "A trigger", KEYS), id = nameOf(fields, "trigger", root);
  const when = fields.get("when")?.value ?? fault("The key when is missing: what sets it going", root);
  const conditions = mappingOf(when, "when", CONDITIONS);
  if (conditions.size !== 1) fault(`when has one condition: one of ${CONDITIONS.join(", ")}`, when);
  const [kind, { value }] = [...conditions][0]!;
  const after = fields.has("after")
    ? listOf(fields.get("after")!.value, "after", 32).map((node) => textOf(node, "after", 64))
    : null;
  if ((kind === "results") !== (after !== null)) {
    fault("results goes with after, a list of the chains whose results are meant, and nothing else does", when);
  }
  const title = lineOf(fields, "title", root);
  const position = positionAt(text, value.offset);
  const results = kind === "results" ? { after: after!, sql: queryOf(value, kind), offset: value.offset } : null;
  return {
    id,
    title,
    file,
    chain: nameOf(fields, "chain", root),
    priority: priorityOf(fields.get("priority")?.value),
    perMinute: numberOf(fields, "per_minute", 1, MAX_PER_MINUTE) ?? DEFAULT_PER_MINUTE,
    againMs: durationOf(fields, "again_after", MIN_AGAIN_MS, MAX_AGAIN_MS) ?? DEFAULT_AGAIN_MS,
    results,
    rule: results !== null ? null : validateRule({
      ...RULE,
      file,
      hash,
      id,
      title,
      sql: conditionSql(kind, value),
      idPosition: position,
      sqlPosition: () => position,
    }),
  };
}

/** What a trigger's rule has of a rule beside its query. */
const RULE = {
  description: "sets an analysis going",
  severity: "info",
  tags: [],
  references: [],
  falsePositives: [],
  enabled: true,
  windowMs: null,
  status: "active",
  correlation: null,
  tests: { match: [], noMatch: [] },
  missing: [],
} as const satisfies Partial<Rule>;

const SELECT = "SELECT event_id FROM process_events WHERE ";
const BEGUN = "event_type = 'start' AND ";

function conditionSql(kind: string, node: YamlNode): string {
  switch (kind) {
    case "name":
      return SELECT + BEGUN + anyOf("name", node, kind);
    case "path":
      return SELECT + BEGUN + anyOf("executable_path", node, kind);
    case "missing_executable":
      yes(node, kind);
      return `${SELECT}${BEGUN}(file_exists = 0 OR executable_kind = 'deleted' OR executable_kind = 'memfd')`;
    case "hash_mismatch":
      yes(node, kind);
      return `${SELECT}(on_disk_mismatch = 1 OR (event_type = 'suspicious' AND reason LIKE 'its executable is not what %'))`;
    case "parent_child":
      return SELECT + BEGUN + `(${listOf(node, kind, MAX_VALUES).map(pairSql).join(" OR ")})`;
    case "resource_anomaly":
      return `${SELECT}event_type = 'modify' AND (${anomalySql(node, kind)})`;
    default:
      return queryOf(node, kind);
  }
}

/** One of two limits that is exceeded: of resident memory, and of the share of one processor over the life so far. */
function anomalySql(node: YamlNode, kind: string): string {
  const fields = mappingOf(node, kind, ["memory_mb", "cpu_percent"]);
  const memory = numberOf(fields, "memory_mb", 1, MAX_MEMORY_MB);
  const cpu = numberOf(fields, "cpu_percent", 1, MAX_CPU_PERCENT), age = "(time - start_time)";
  const limits = [
    ...memory === null ? [] : [`memory_usage > ${memory * 2 ** 20}`],
    ...cpu === null ? [] : [`(${age} >= ${MIN_LIFE_MS} AND cpu_time_ms * 100 > ${cpu} * ${age})`],
  ];
  return limits.join(" OR ") || fault("It names memory_mb, cpu_percent or both", node);
}

/** Text that a column contains, whatever its case: one of some. */
function anyOf(column: string, node: YamlNode, what: string): string {
  const likes = listOf(node, what, MAX_VALUES).map((each) => {
    const text = textOf(each, `Each of ${what}`, MAX_VALUE_LENGTH).replace(/[\\%_]/g, "\\$&");
    return `${column} LIKE ${quoted(`%${text}%`)} ESCAPE '\\'`;
  });
  return `(${likes.join(" OR ")})`;
}

/** Names of parents and of children, which both must be met. */
function pairSql(node: YamlNode): string {
  const fields = mappingOf(node, "A pair", ["parent", "child"]);
  const among = (key: string, column: string): string => {
    const list = listOf(fields.get(key)?.value ?? fault(`A pair has a ${key}`, node), key, MAX_VALUES);
    return `${column} IN (${list.map((each) => quoted(textOf(each, `Each of ${key}`, 64))).join(", ")})`;
  };
  return `(${among("parent", "parent_name")} AND ${among("child", "name")})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function queryOf(node: YamlNode, what: string): string {
  if (node.kind !== "scalar" || typeof node.value !== "string") return fault(`${what} is a query`, node);
  return node.value;
}

function yes(node: YamlNode, what: string): void {
  if (node.kind !== "scalar" || node.value !== true) fault(`${what} is true`, node);
}

function priorityOf(node: YamlNode | undefined): Priority {
  if (node === undefined) return "normal";
  const found = node.kind === "scalar" ? PRIORITIES.find((each) => each === node.value) : undefined;
  return found ?? fault(`priority is one of ${PRIORITIES.join(", ")}`, node);
}
