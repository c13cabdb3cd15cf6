/**
 * Everything that a directory of analyses says, held together: triggers and the chains that they name, rules over results.
 *
 * What a trigger over results sets going can have results that set others going. Which chains can lead to which is plain from
 * the files, so a cycle is refused here, with its chains, and so is a cascade that is too deep; what is still left to
 * chance is counted at run time, by the lineage of each analysis.
 *
 * @module
 */
import { parseYaml, positionAt, YamlFaultError } from "../rules/located_yaml.ts";
import { type Rule, RuleError, ruleHash } from "../rules/rule.ts";
import { parseRule } from "../rules/rule_yaml.ts";
import { SqlRefusedError } from "../rules/sql_refused.ts";
import { type Chain, readChain } from "./chain.ts";
import { guardResultSql, type ResultQuery } from "./result_query.ts";
import { readTrigger, type Trigger } from "./trigger.ts";

/** Analyses that may lead to another one. */
export const MAX_DEPTH = 5;
const MAX_FILE_LENGTH = 262_144;

export interface ResultRule {
  readonly rule: Rule;
  readonly query: ResultQuery;
}

export interface Plan {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly triggers: readonly Trigger[];
  /** The queries of triggers over results. */
  readonly queries: ReadonlyMap<Trigger, ResultQuery>;
  readonly rules: readonly ResultRule[];
  /** Files that are not used, each with the reason and its place. */
  readonly rejected: readonly Rejected[];
}

export interface Rejected {
  readonly file: string;
  readonly reason: string;
}

export const NO_PLAN: Plan = { chains: new Map(), triggers: [], queries: new Map(), rules: [], rejected: [] };

/** Reads files, by path; a later one with the id of an earlier one is refused. Never throws for what a file holds. */
export function readPlan(files: Iterable<readonly [path: string, text: string]>): Plan {
  const chains = new Map<string, Chain>(), rules: ResultRule[] = [], rejected: Rejected[] = [];
  let triggers: Trigger[] = [];
  const queries = new Map<Trigger, ResultQuery>(), ids = new Set<string>();
  const taken = (kind: string, id: string): void => {
    if (ids.has(`${kind} ${id}`)) throw new RangeError(`The ${kind} ${id} is there already`);
    ids.add(`${kind} ${id}`);
  };
  for (const [file, text] of files) {
    try {
      if (text.length > MAX_FILE_LENGTH) throw new RangeError(`The file has ${text.length} characters`);
      const root = parseYaml(text), keys = root.kind === "mapping" ? root.entries : new Map();
      if (keys.has("chain") && keys.has("stages")) {
        const chain = readChain(root, file);
        taken("chain", chain.id);
        chains.set(chain.id, chain);
      } else if (keys.has("trigger")) {
        const trigger = readTrigger(root, text, file, ruleHash(text));
        taken("trigger", trigger.id);
        if (trigger.results !== null) queries.set(trigger, guardResultSql(trigger.results.sql));
        triggers.push(trigger);
      } else {
        const rule = parseRule(text, file);
        if (rule.windowMs !== null) throw new RangeError("A rule over results has sql and no window");
        taken("rule", rule.id);
        const query = resultQuery(rule);
        if (rule.enabled) rules.push({ rule, query });
      }
    } catch (error) {
      rejected.push({ file, reason: reasonOf(error, file, text) });
    }
  }
  const reject = (trigger: Trigger, reason: string): void => {
    rejected.push({ file: trigger.file, reason: `trigger ${trigger.id}: ${reason}` });
    triggers = triggers.filter((each) => each !== trigger);
    queries.delete(trigger);
  };
  for (const trigger of triggers) {
    const unknown = [trigger.chain, ...trigger.results?.after ?? []].find((id) => !chains.has(id));
    if (unknown !== undefined) reject(trigger, `there is no chain ${unknown}`);
  }
  // A trigger that closes a cycle goes, not the ones before it: the order of files decides, and says so.
  const edges = new Map<string, Set<string>>();
  for (const trigger of triggers.filter(({ results }) => results !== null)) {
    const { chain, results } = trigger;
    const cycle = results!.after.map((from) => pathBetween(edges, chain, from)).find((path) => path !== null);
    if (cycle !== undefined && cycle !== null) {
      reject(trigger, `chains would set each other going without end: ${[...cycle, chain].join(" -> ")}`);
      continue;
    }
    for (const from of results!.after) edges.set(from, new Set([...edges.get(from) ?? [], chain]));
    const deepest = Math.max(0, ...[...chains.keys()].map((id) => depthFrom(edges, id)));
    if (deepest <= MAX_DEPTH) continue;
    for (const from of results!.after) edges.get(from)!.delete(chain);
    reject(trigger, `${deepest} analyses would follow one; ${MAX_DEPTH} may`);
  }
  return { chains, triggers, queries, rules, rejected };
}

function resultQuery(rule: Rule): ResultQuery {
  try {
    return guardResultSql(rule.sql);
  } catch (error) {
    if (!(error instanceof SqlRefusedError)) throw error;
    throw new RuleError(rule.file, rule.sqlPosition(error.offset), error.reason, { cause: error });
  }
}

/** The chains from one to another along the edges, both included; `null` where there is no way. */
function pathBetween(edges: ReadonlyMap<string, ReadonlySet<string>>, from: string, to: string): string[] | null {
  if (from === to) return [from];
  const seen = new Set([from]), open: string[][] = [[from]];
  for (let path = open.shift(); path !== undefined; path = open.shift()) {
    for (const next of edges.get(path.at(-1)!) ?? []) {
      if (next === to) return [...path, next];
      if (seen.has(next)) continue;
      seen.add(next);
      open.push([...path, next]);
    }
  }
  return null;
}

/** How many chains can follow one; the edges have no cycle. */
function depthFrom(
  edges: ReadonlyMap<string, ReadonlySet<string>>,
  from: string,
  known: Map<string, number> = new Map(),
): number {
  let depth = known.get(from);
  if (depth === undefined) {
    depth = Math.max(0, ...[...edges.get(from) ?? []].map((next) => 1 + depthFrom(edges, next, known)));
    known.set(from, depth);
  }
  return depth;
}

function reasonOf(error: unknown, file: string, text: string): string {
  if (error instanceof YamlFaultError) {
    const { line, column } = positionAt(text, error.offset);
    return `${line}:${column}: ${error.reason}`;
  }
  if (error instanceof SqlRefusedError) return error.reason;
  const words = error instanceof Error ? error.message : String(error);
  return words.startsWith(`${file}:`) ? words.slice(file.length + 1) : words;
}
