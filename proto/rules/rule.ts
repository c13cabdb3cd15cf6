/**
 * Rules, as their files say them (`rule_yaml.ts`) and as they are once checked.
 *
 * A query that the guard refuses is a {@linkcode RuleError} with its place in the file, and the rule does not run.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { SqlValue } from "../event_row.ts";
import { allSteps } from "../steps.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import type { Severity } from "../process_event.ts";
import type { AlertPolicy } from "./alert_policy.ts";
import type { RuleResponse } from "./rule_responses.ts";
import { type CollectedQuery, collectedQuery } from "./collected_query.ts";
import { checkCorrelation, type Correlation, spanOf } from "./correlation.ts";
import { correlationWords, laneWords } from "./correlation_words.ts";
import { durationText } from "./duration.ts";
import { attributesOfCorrelation } from "./form_attributes.ts";
import type { Form } from "./predicate.ts";
import { type Attributes, NO_ATTRIBUTES } from "./sql_attributes.ts";
import { formQuery, type GuardedQuery, guardSql, type RowQuery } from "./sql_guard.ts";
import { SqlRefusedError } from "./sql_refused.ts";
import type { Suppressor } from "./suppressor.ts";
import { type WindowQuery, windowQuery } from "./window_query.ts";

/** Largest rule file, in UTF-16 code units. */
export const MAX_RULE_LENGTH = 262_144;
/** Shortest and longest time that a rule looks over. */
export const MIN_WINDOW_MS = 1_000, MAX_WINDOW_MS = 86_400_000;

/** A place in a file. */
export interface Position {
  /** One-based. */
  readonly line: number;
  /** One-based, in UTF-16 code units. */
  readonly column: number;
}

/** A row, or of a rule over a window the rows, that a rule must or must not match. */
export interface TestRow {
  /** Where it stands in the file. */
  readonly position: Position;
  /** In the order of the columns of `process_events`; what the file does not name is `null`. The first of `rows`. */
  readonly values: readonly SqlValue[];
  /** In the order in which they arrive. */
  readonly rows: readonly (readonly SqlValue[])[];
}

/** What the agent does with a rule whose file is right: a draft is judged and counted, and raises no alert. */
export const RULE_STATUSES = ["active", "draft"] as const;
/** One of {@linkcode RULE_STATUSES}. */
export type RuleStage = (typeof RULE_STATUSES)[number];

/** A rule as its file says it; the query is not checked yet. */
export interface Rule {
  /** Name of the file. */
  readonly file: string;
  /** SHA-256 of the file's bytes in lower-case hexadecimal: names the version of the rule. */
  readonly hash: string;
  /** 3 to 64 lower-case letters, digits and hyphens; unique. */
  readonly id: string;
  /** One line for people. */
  readonly title: string;
  /** What a match means, and what to do. */
  readonly description: string;
  /** How much a match means. */
  readonly severity: Severity;
  /** Such as `attack.t1059.004`. */
  readonly tags: readonly string[];
  /** Where to read more. */
  readonly references: readonly string[];
  /** What matches and is no attack. */
  readonly falsePositives: readonly string[];
  /** Whether its file says that it is judged. */
  readonly enabled: boolean;
  /** The table of a collector that it reads; `null` for `process_events`. */
  readonly table?: string | null;
  /** Milliseconds over whose rows the query runs; `null` for one that looks at one row at a time. */
  readonly windowMs: number | null;
  /** Whether its matches raise alerts. */
  readonly status: RuleStage;
  /** Of a correlation what it means in words. */
  readonly sql: string;
  /** What several events mean together; `null` for a rule that says so in SQL, or looks at one event. */
  readonly correlation: Correlation | null;
  /** Which hits are one alert; what it does not say is as with other rules. */
  readonly alert?: AlertPolicy;
  /** What is asked for, in this order, for the process of each of its alerts; nothing where it is left out. */
  readonly responses?: readonly RuleResponse[];
  /** Rows that it must and must not match. */
  readonly tests: { readonly match: readonly TestRow[]; readonly noMatch: readonly TestRow[] };
  /** Where the id stands in the file. */
  readonly idPosition: Position;
  /** What the rule asks for and this program cannot tell, each a sentence: what is left of it matches less. */
  readonly missing: readonly string[];
  /** The place in the file of an offset in `sql`. */
  readonly sqlPosition: (offset: number) => Position;
}

/** Tells a checked rule from any other, for the compiler: no rule has it as a value. */
export const validated: unique symbol = Symbol("validated");

/**
 * A rule whose query passed the guard; only {@linkcode validateRule} makes one. It does not keep its file: thousands of
 * them stay in memory as long as the agent runs.
 */
export type ValidatedRule = Omit<Rule, "sqlPosition"> & {
  /** `null` for a correlation. */
  readonly query: GuardedQuery | null;
  /** What it reads that collectors may collect on demand alone. */
  readonly attributes: Attributes;
  /** What the window lane needs of SQL; `null` for a rule without a window. */
  readonly window: WindowQuery | null;
  /** What the lane of collectors' tables needs; absent for a rule over `process_events`. */
  readonly collected?: CollectedQuery;
  /** Of a Sigma rule with filters: these, and its form without them, which their hits are counted by. */
  readonly filters: { readonly form: Form; readonly by: readonly Suppressor[] } | null;
  readonly [validated]: true;
};

/** What the reason begins with that stands beside a rule which is judged in part: {@linkcode Rule.missing}. */
export const PARTIAL = "partial: ";

/** What a front end other than SQL knows of a rule. */
export type MadeRule = Omit<Rule, "sql" | "sqlPosition" | "windowMs" | "correlation">;

/** A rule over one event whose form another front end than SQL made: its query is written from the form. */
export function formRule(
  rule: MadeRule,
  form: Form,
  shown: readonly string[],
  filters: ValidatedRule["filters"] = null,
): ValidatedRule {
  const query = formQuery(form, shown), { sql, attributes } = query;
  const made = { sql, windowMs: null, correlation: null, query, attributes, window: null, filters };
  return { ...rule, ...made } as Omit<ValidatedRule, typeof validated> as ValidatedRule;
}

/** A correlation that a front end made, and that {@linkcode checkCorrelation} let through. */
export function correlationRule(rule: MadeRule, correlation: Correlation): ValidatedRule {
  checkCorrelation(correlation);
  const attributes = attributesOfCorrelation(correlation);
  const made = { ...correlationParts(correlation), query: null, attributes, window: null, filters: null };
  return { ...rule, ...made } as Omit<ValidatedRule, typeof validated> as ValidatedRule;
}

/** What a rule has of its correlation. */
export function correlationParts(correlation: Correlation): Pick<Rule, "windowMs" | "sql" | "correlation"> {
  const sql = correlationWords(correlation).join("\n");
  return { windowMs: Math.max(MIN_WINDOW_MS, spanOf(correlation)), sql, correlation };
}

/** What the engine needs of a rule. @throws TypeError for a query that does not judge each row alone */
export function rowQuery({ query }: ValidatedRule): RowQuery {
  if (query === null || query.row === null) throw new TypeError("The engine takes queries that judge each row alone");
  return query.row;
}

/** The form by which the stream lane finds a rule's hits, before its filters are asked; `null` where SQL judges. */
export function hitForm(rule: ValidatedRule): Form | null {
  return rule.filters?.form ?? rowQuery(rule).translation.form;
}

/** Where a rule is judged, for people: `stream`, `sql` with the reason why not there, or `window` with its time. */
export function laneOf(rule: ValidatedRule): string {
  if (rule.collected !== undefined) {
    const window = rule.windowMs === null ? "" : `, window: ${durationText(rule.windowMs)}`;
    return `table ${rule.collected.table.name}${window}`;
  }
  if (rule.correlation !== null) return `correlation: ${laneWords(rule.correlation)}`;
  if (rule.windowMs !== null) return `window: ${durationText(rule.windowMs)}`;
  const { translation } = rowQuery(rule);
  return translation.form === null ? `sql: ${translation.reason}` : "stream";
}

/** A rule file has a fault. */
export class RuleError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "RuleError";
  /** One-based. */
  readonly line: number;
  /** One-based, in UTF-16 code units. */
  readonly column: number;
  /** `reason`: the fault without its place. */
  constructor(readonly file: string, position: Position, readonly reason: string, options?: ErrorOptions) {
    super(`${file}:${position.line}:${position.column}: ${reason}`, options);
    this.line = position.line;
    this.column = position.column;
  }
}

/** SHA-256 of a rule file, in lower-case hexadecimal. */
export function ruleHash(text: string): string {
  return sha256(new TextEncoder().encode(text)).toHex();
}

/** Checks a rule's query with the guard. @throws RuleError at the place of the fault in the file */
export function validateRule(rule: Rule, tables: TableSet = NO_TABLES): ValidatedRule {
  return allSteps(validating(rule, tables));
}

/** The same in steps. @throws RuleError at the place of the fault in the file */
export function* validating(rule: Rule, tables: TableSet = NO_TABLES): Generator<void, ValidatedRule> {
  try {
    const { sqlPosition: _, ...kept } = rule;
    if (rule.correlation !== null) {
      const attributes = attributesOfCorrelation(rule.correlation);
      return { ...kept, query: null, attributes, window: null, filters: null } as Omit<
        ValidatedRule,
        typeof validated
      > as ValidatedRule;
    }
    const own = rule.table === undefined || rule.table === null ? undefined : tables.get(rule.table);
    if (own !== undefined) {
      const query = guardSql(rule.sql, "collected", new Map([[own.name, own]]));
      const made = { query, attributes: NO_ATTRIBUTES, window: null, filters: null };
      return { ...kept, ...made, collected: collectedQuery(query, own, rule.windowMs !== null) } as ValidatedRule;
    }
    const query = guardSql(rule.sql, rule.windowMs === null ? "rule" : "window");
    if (rule.windowMs === null) {
      return { ...kept, query, attributes: query.attributes, window: null, filters: null } as ValidatedRule;
    }
    yield;
    return {
      ...kept,
      query,
      attributes: query.attributes,
      window: windowQuery(query),
      filters: null,
    } as ValidatedRule;
  } catch (error) {
    if (!(error instanceof SqlRefusedError)) throw error;
    throw new RuleError(rule.file, rule.sqlPosition(error.offset), error.reason, { cause: error });
  }
}
