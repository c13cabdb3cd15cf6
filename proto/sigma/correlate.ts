/**
 * Sigma correlations as those of the engine (`rules/correlation.ts`).
 *
 * A correlation is live when all its rules are, and partial when one of them is; without one of them it would mean
 * something else, and is unsupported. A rule may be a correlation itself: a circle of them is told with its members.
 *
 * @module
 */
import {
  type Base,
  type Correlation,
  CorrelationError,
  type Occurrence,
  type ValueSource,
} from "../rules/correlation.ts";
import { correlationRule, ruleHash, type TestRow } from "../rules/rule.ts";
import { columnPlaces } from "../event_row.ts";
import type { JudgedRule } from "./collection.ts";
import { columnOfField } from "./columns.ts";
import type { Missing } from "./compile.ts";
import type { Condition } from "./condition.ts";
import type { CorrelationBody, Named } from "./correlation.ts";
import type { SigmaCorrelation, SigmaRule } from "./document.ts";
import type { HeadTest } from "./head.ts";
import { madeRule } from "./made_rule.ts";
import type { SigmaMapping } from "./mapping.ts";
import { find, type Index, type SigmaVerdict, verdictOf } from "./verdict.ts";

const EVENT_TYPE = columnPlaces("process_events").get("event_type")!;

export interface World {
  readonly index: Index;
  readonly judged: ReadonlyMap<SigmaRule, JudgedRule>;
  readonly mapping: SigmaMapping;
}

/** What becomes of a correlation. */
export function compileCorrelation(document: SigmaCorrelation, world: World): SigmaVerdict {
  const { head } = document;
  if (head.stage === null) {
    return verdictOf(
      document,
      "unsupported",
      [{ reason: "Its author marks it unsupported (status)", at: head.at }],
      [],
      null,
    );
  }
  try {
    const builder = new Builder(world, document), correlation = builder.build(document, [document]);
    const { missing } = builder, [events = null, another] = builder.events;
    const tests = ({ at, rows }: HeadTest): TestRow => ({
      position: document.place(at),
      values: rows[0]!,
      rows: rows.map((row) => row[EVENT_TYPE] === null && another === undefined ? row.with(EVENT_TYPE, events) : row),
    });
    const hash = builder.versions.size === 1 ? document.hash : ruleHash([...builder.versions].join("\n"));
    const rule = correlationRule(madeRule(document, hash, missing, tests), correlation);
    return verdictOf(document, missing.length === 0 ? "live" : "partial", missing, [], rule);
  } catch (error) {
    if (error instanceof CorrelationError) {
      return verdictOf(document, "unsupported", [{ reason: error.message, at: document.body.at }], [], null);
    }
    if (!(error instanceof Unbuildable)) throw error;
    return verdictOf(document, "unsupported", [{ reason: error.message, at: error.at }], [], null);
  }
}

class Unbuildable extends Error {
  constructor(reason: string, readonly at: number) {
    super(reason);
  }
}

class Builder {
  readonly missing: Missing[] = [];

  /** The kinds of events that its rules are for. */
  readonly events = new Set<string>();
  /** Hashes of everything that it is made of, its own file first. */
  readonly versions: Set<string>;

  constructor(readonly world: World, readonly outermost: SigmaCorrelation) {
    this.versions = new Set([outermost.hash]);
  }

  /** `path` leads from the outermost correlation to this one. */
  build(document: SigmaCorrelation, path: readonly SigmaCorrelation[]): Correlation {
    const { body } = document;
    this.#checkAliases(document);
    const bases = body.rules.map((named) => this.#base(named, body, path));
    const common = { bases, groupBy: body.groupBy.map(({ name }) => name), windowMs: body.timespanMs };
    switch (body.type) {
      case "event_count":
      case "value_count":
      case "value_sum":
      case "value_avg":
        return { kind: body.type, ...common, condition: body.criteria };
      case "value_percentile":
        return { kind: body.type, ...common, percentile: body.percentile!, condition: body.criteria };
      case "temporal":
        return { kind: body.type, ...common, condition: temporalCondition(body) };
      case "temporal_ordered":
        if (body.criteria.some(({ operator, number }) => operator !== "gte" || number !== body.rules.length)) {
          throw new Unbuildable(
            "Of a sequence all rules must meet: leave the condition out",
            this.#at(document, body.at),
          );
        }
        return { kind: body.type, ...common };
    }
  }

  /** A place in the outermost document; what is wrong in an inner one stands where that is named. */
  #at(document: SigmaCorrelation, at: number): number {
    return document === this.outermost ? at : this.outermost.body.at;
  }

  #base({ name, at }: Named, body: CorrelationBody, path: readonly SigmaCorrelation[]): Base {
    const here = this.#at(path.at(-1)!, at), found = find(name, this.world.index);
    if ("reason" in found) throw new Unbuildable(`${found.reason} to correlate`, here);
    const field = (named: Named): string => this.#fieldFor(named.name, name, found, body);
    if (found.kind === "correlation") {
      const seen = path.indexOf(found);
      if (seen >= 0) {
        const circle = [...path.slice(seen), found].map(({ head }) => head.name ?? head.id).join(" → ");
        throw new Unbuildable(`Correlations are made of each other in a circle: ${circle}`, here);
      }
      this.versions.add(found.hash);
      const of = this.build(found, [...path, found]);
      const sourceOf = (named: Named): ValueSource => {
        const index = of.groupBy.indexOf(field(named));
        return index >= 0 ? { kind: "group", index } : this.#column(field(named), this.#at(path.at(-1)!, named.at));
      };
      return { name, of, by: body.groupBy.map(sourceOf), value: body.field === null ? null : sourceOf(body.field) };
    }
    const judged = this.world.judged.get(found)!;
    if (judged.form === null) {
      const why = judged.verdict.reasons[0]?.reason ?? "";
      throw new Unbuildable(`The rule ${name} is unsupported: ${why}`, here);
    }
    this.versions.add(judged.verdict.rule!.hash);
    this.events.add(judged.events!);
    if (judged.verdict.verdict === "partial") {
      const what = judged.verdict.reasons.map(({ reason }) => reason).join("; ");
      this.missing.push({ reason: `The rule ${name} is partial: ${what}`, at: here });
    }
    const sourceOf = (named: Named): ValueSource => this.#column(field(named), this.#at(path.at(-1)!, named.at));
    return {
      name,
      of: judged.form,
      by: body.groupBy.map(sourceOf),
      value: body.field === null ? null : sourceOf(body.field),
    };
  }

  /** A name of a group as the field of a rule: an alias may say another for each. */
  #fieldFor(name: string, rule: string, found: SigmaRule | SigmaCorrelation, { aliases }: CorrelationBody): string {
    const alias = aliases.get(name);
    if (alias === undefined) return name;
    const { head } = found;
    const field = alias.get(rule) ?? (head.name === null ? undefined : alias.get(head.name)) ?? alias.get(head.id);
    if (field === undefined) {
      throw new Unbuildable(`The alias ${name} does not say what it is in ${rule}`, this.outermost.body.at);
    }
    return field.name;
  }

  #column(field: string, at: number): ValueSource {
    const found = columnOfField(field, this.world.mapping);
    if ("reason" in found) throw new Unbuildable(found.reason, at);
    return { kind: "column", place: found.place };
  }

  #checkAliases(document: SigmaCorrelation): void {
    const { aliases, rules } = document.body;
    for (const [alias, fields] of aliases) {
      for (const [rule, { at }] of fields) {
        const target = find(rule, this.world.index);
        const isNamed = rules.some(({ name }) => name === rule || find(name, this.world.index) === target);
        if (!isNamed) {
          throw new Unbuildable(
            `The alias ${alias} names ${rule}, which is none of the correlation's rules`,
            this.#at(document, at),
          );
        }
      }
    }
  }
}

function temporalCondition(
  { expression, criteria, rules }: CorrelationBody,
): (Correlation & { kind: "temporal" })["condition"] {
  if (expression !== null) return occurrenceOf(expression, rules.map(({ name }) => name));
  return criteria.length === 0 ? null : criteria;
}

function occurrenceOf(condition: Condition, names: readonly string[]): Occurrence {
  switch (condition.kind) {
    case "and":
    case "or":
      return { kind: condition.kind, items: condition.items.map((item) => occurrenceOf(item, names)) };
    case "not":
      return { kind: "not", item: occurrenceOf(condition.item, names) };
    case "name":
      return { kind: "base", base: names.indexOf(condition.name) };
    case "of": {
      const items = condition.names.map((name): Occurrence => ({ kind: "base", base: names.indexOf(name) }));
      if (condition.least === 1) return { kind: "or", items };
      if (condition.least === items.length) return { kind: "and", items };
      // Every choice of so many; a correlation has few rules, and the engine bounds the size
      return { kind: "or", items: choices(items, condition.least).map((chosen) => ({ kind: "and", items: chosen })) };
    }
  }
}

/** All ways to take so many of some. Where they are cut, they are more than a condition may have, which is refused. */
function choices(items: readonly Occurrence[], count: number): Occurrence[][] {
  if (count === 0) return [[]];
  const found: Occurrence[][] = [];
  for (let at = 0; at + count <= items.length && found.length < 64; at++) {
    for (const rest of choices(items.slice(at + 1), count - 1)) found.push([items[at]!, ...rest]);
  }
  return found;
}
