/**
 * The body of a Sigma correlation: kind, rules, group, time and condition, with their places.
 *
 * Here the form is checked; what its rules and fields are is `correlate.ts`'s to say.
 *
 * @module
 */
import { type YamlEntry, YamlFaultError, type YamlNode } from "../rules/located_yaml.ts";
import { suggestion } from "../rules/sql_refused.ts";
import { type Condition, ConditionError, parseCondition } from "./condition.ts";

const CORRELATION_TYPES = [
  "event_count",
  "value_count",
  "value_sum",
  "value_avg",
  "value_percentile",
  "temporal",
  "temporal_ordered",
] as const;
export type CorrelationType = (typeof CORRELATION_TYPES)[number];

const KEYS = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];
const CRITERIA = ["gt", "gte", "lt", "lte", "eq", "neq"] as const;
const MAX_RULES = 64, MAX_GROUP = 16, MAX_ALIASES = 32;

export interface Named {
  readonly name: string;
  readonly at: number;
}

export interface Criterion {
  readonly operator: (typeof CRITERIA)[number];
  readonly number: number;
}

export interface CorrelationBody {
  readonly type: CorrelationType;
  /** Ids or names. */
  readonly rules: readonly Named[];
  readonly groupBy: readonly Named[];
  readonly timespanMs: number;
  readonly criteria: readonly Criterion[];
  /** Of `value_*`. */
  readonly field: Named | null;
  /** Of `value_percentile`. */
  readonly percentile: number | null;
  /** Of `temporal`: which rules must have met, by their names. */
  readonly expression: Condition | null;
  /** Fields by alias, then by the name of a rule. */
  readonly aliases: ReadonlyMap<string, ReadonlyMap<string, Named>>;
  /** Whether its rules alert for themselves too. */
  readonly generate: boolean;
  readonly at: number;
}

/** @throws YamlFaultError */
export function parseCorrelation(node: YamlNode): CorrelationBody {
  if (node.kind !== "mapping") {
    throw new YamlFaultError("correlation is a mapping of type, rules and so on", node.offset);
  }
  for (const [key, { keyOffset }] of node.entries) {
    if (!KEYS.includes(key)) {
      throw new YamlFaultError(`Unknown key ${JSON.stringify(key.slice(0, 64))}${suggestion(key, KEYS)}`, keyOffset);
    }
  }
  const get = (key: string): YamlEntry => {
    const entry = node.entries.get(key);
    if (entry === undefined) throw new YamlFaultError(`A correlation needs ${key}`, node.offset);
    return entry;
  };
  const { value: typeNode } = get("type");
  const type = CORRELATION_TYPES.find((each) => typeNode.kind === "scalar" && typeNode.value === each);
  if (type === undefined) throw new YamlFaultError(`type is one of ${CORRELATION_TYPES.join(", ")}`, typeNode.offset);
  const rules = namesOf(get("rules").value, "rules", MAX_RULES);
  if (rules.length === 0) throw new YamlFaultError("A correlation names one rule at least", get("rules").value.offset);
  const seen = new Set<string>();
  for (const { name, at } of rules) {
    if (seen.has(name)) throw new YamlFaultError(`The rule ${name} is named twice`, at);
    seen.add(name);
  }
  const group = node.entries.get("group-by"), generate = node.entries.get("generate")?.value;
  if (generate !== undefined && (generate.kind !== "scalar" || typeof generate.value !== "boolean")) {
    throw new YamlFaultError("generate is true or false", generate.offset);
  }
  const condition = node.entries.get("condition");
  if (condition === undefined && !type.startsWith("temporal")) {
    throw new YamlFaultError(`${type} needs a condition`, node.offset);
  }
  return {
    type,
    rules,
    groupBy: group === undefined ? [] : namesOf(group.value, "group-by", MAX_GROUP),
    timespanMs: timespanOf(get("timespan").value),
    ...conditionOf(condition, type, rules.map(({ name }) => name)),
    aliases: aliasesOf(node.entries.get("aliases")),
    generate: generate?.kind === "scalar" && generate.value === true,
    at: node.offset,
  };
}

function namesOf(node: YamlNode, what: string, most: number): Named[] {
  const nodes = node.kind === "sequence" ? node.items : [node];
  if (node.kind === "mapping" || nodes.length > most) {
    throw new YamlFaultError(`${what} is a list of at most ${most}`, node.offset);
  }
  return nodes.map((each) => named(each, `Each of ${what}`));
}

function named(node: YamlNode, what: string): Named {
  if (node.kind !== "scalar" || typeof node.value !== "string" || node.value.trim() === "" || node.value.length > 256) {
    throw new YamlFaultError(`${what} is a text of at most 256 characters`, node.offset);
  }
  return { name: node.value.trim(), at: node.offset };
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

function timespanOf(node: YamlNode): number {
  const text = node.kind === "scalar" ? String(node.value) : "";
  const [, number, unit] = /^([1-9][0-9]{0,6})([smhdw])$/.exec(text) ?? [];
  if (number === undefined) throw new YamlFaultError("timespan is a number and s, m, h or d, such as 90m", node.offset);
  return Number(number) * UNITS[unit!]!;
}

type ConditionParts = Pick<CorrelationBody, "criteria" | "field" | "percentile" | "expression">;

function conditionOf(entry: YamlEntry | undefined, type: CorrelationType, rules: readonly string[]): ConditionParts {
  const none: ConditionParts = { criteria: [], field: null, percentile: null, expression: null };
  if (entry === undefined) return none;
  const { value: node } = entry;
  if (node.kind === "scalar" && typeof node.value === "string") {
    if (type !== "temporal") throw new YamlFaultError(`A condition of ${type} compares a number: gte: 10`, node.offset);
    try {
      return { ...none, expression: parseCondition(node.value, rules) };
    } catch (error) {
      if (!(error instanceof ConditionError)) throw error;
      throw new YamlFaultError(error.reason.replace("The detection", "The correlation"), node.offset + error.offset, {
        cause: error,
      });
    }
  }
  if (node.kind !== "mapping") throw new YamlFaultError("condition is a mapping such as gte: 10", node.offset);
  let field: Named | null = null, percentile: number | null = null;
  const criteria: Criterion[] = [];
  for (const [key, { keyOffset, value }] of node.entries) {
    const operator = CRITERIA.find((each) => each === key);
    if (operator !== undefined) criteria.push({ operator, number: numberOf(value, key) });
    else if (key === "field" && type.startsWith("value_")) {
      if (value.kind === "sequence") {
        throw new YamlFaultError("Several fields as one value are not counted; name one", value.offset);
      }
      field = named(value, "field");
    } else if (key === "percentile" && type === "value_percentile") percentile = numberOf(value, key);
    else {
      const known = [
        ...CRITERIA,
        ...type.startsWith("value_") ? ["field"] : [],
        ...type === "value_percentile" ? ["percentile"] : [],
      ];
      const near = suggestion(key, known);
      throw new YamlFaultError(
        `A condition of ${type} has ${known.join(", ")}, not ${JSON.stringify(key.slice(0, 32))}${near}`,
        keyOffset,
      );
    }
  }
  if (criteria.length === 0) {
    throw new YamlFaultError(`A condition says what to compare with: ${CRITERIA.join(", ")}`, node.offset);
  }
  if (type.startsWith("value_") && field === null) {
    throw new YamlFaultError(`${type} needs field in its condition`, node.offset);
  }
  if (type === "value_percentile" && percentile === null) {
    throw new YamlFaultError("value_percentile needs percentile in its condition, such as percentile: 95", node.offset);
  }
  return { criteria, field, percentile, expression: null };
}

function numberOf(node: YamlNode, what: string): number {
  if (node.kind !== "scalar" || typeof node.value !== "number" || !Number.isFinite(node.value)) {
    throw new YamlFaultError(`${what} is a number`, node.offset);
  }
  return node.value;
}

function aliasesOf(entry: YamlEntry | undefined): CorrelationBody["aliases"] {
  const aliases = new Map<string, ReadonlyMap<string, Named>>();
  if (entry === undefined) return aliases;
  const { value: node } = entry;
  if (node.kind !== "mapping" || node.entries.size > MAX_ALIASES) {
    throw new YamlFaultError(`aliases is a mapping of at most ${MAX_ALIASES}`, node.offset);
  }
  for (const [alias, { value }] of node.entries) {
    if (value.kind !== "mapping") throw new YamlFaultError("An alias is a mapping of rules to fields", value.offset);
    aliases.set(alias, new Map([...value.entries].map(([rule, { value }]) => [rule, named(value, "A field")])));
  }
  return aliases;
}
