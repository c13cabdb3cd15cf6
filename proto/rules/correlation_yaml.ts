/**
 * The key `correlation:` of a rule file: what several events mean together, written without SQL windows.
 *
 * Strict: a key that its type does not have, an event that nobody uses, a column that is not there or a condition that
 * cannot be judged row by row is a fault with its place. What it means is said in `correlation.ts`.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import {
  type Base,
  checkCorrelation,
  type Correlation,
  CorrelationError,
  isCorrelation,
  type Occurrence,
  type Threshold,
  type ValueSource,
} from "./correlation.ts";
import { parseDuration } from "./duration.ts";
import { isTraceable, offsetInText, YamlFaultError, type YamlNode } from "./located_yaml.ts";
import type { Form } from "./predicate.ts";
import { guardSql } from "./sql_guard.ts";
import { SqlRefusedError, suggestion } from "./sql_refused.ts";

const PLACES = columnPlaces("process_events");
const SELECT = "SELECT event_id FROM process_events WHERE ";
/** Values that `first_seen` remembers when nothing is said. */
const DEFAULT_REMEMBER = 10_000;
const MAX_LIST = 16;

/** The types as they are written, and what they are to the engine. */
export const TYPES = {
  count: "event_count",
  distinct: "value_count",
  sum: "value_sum",
  average: "value_avg",
  percentile: "value_percentile",
  together: "temporal",
  sequence: "temporal_ordered",
  absence: "absence",
  first_seen: "first_seen",
} as const satisfies Readonly<Record<string, Correlation["kind"]>>;
export type TypeName = keyof typeof TYPES;

/** Comparisons as they are written. */
const COMPARATORS = {
  at_least: "gte",
  more_than: "gt",
  at_most: "lte",
  less_than: "lt",
  exactly: "eq",
  other_than: "neq",
} as const satisfies Readonly<Record<string, Threshold["operator"]>>;

const COMMON = ["type", "events", "of", "by"] as const;
const COMPARING = Object.keys(COMPARATORS);
const KEYS: Readonly<Record<TypeName, readonly string[]>> = {
  count: ["within", ...COMPARING],
  distinct: ["within", "value", ...COMPARING],
  sum: ["within", "value", ...COMPARING],
  average: ["within", "value", ...COMPARING],
  percentile: ["within", "value", "percentile", ...COMPARING],
  together: ["within", "when", ...COMPARING],
  sequence: ["within"],
  absence: ["within", "not_followed_by"],
  first_seen: ["forget_after", "learn", "remember"],
};

/** Reads a correlation. `text` is that of the file. @throws YamlFaultError */
export function readCorrelation(node: YamlNode, text: string): Correlation {
  return new CorrelationReader(node, text).read();
}

/** An event that a correlation names. */
interface Named {
  readonly name: string;
  readonly of: Form | Correlation;
}

class CorrelationReader {
  readonly #entries: ReadonlyMap<string, { readonly keyOffset: number; readonly value: YamlNode }>;
  readonly #used = new Set<string>();

  constructor(readonly node: YamlNode, readonly text: string) {
    if (node.kind !== "mapping") fault("A correlation is a mapping: type, of, by, within", node);
    this.#entries = node.entries;
  }

  read(): Correlation {
    const type = this.#type(), keys = [...COMMON, ...KEYS[type]];
    for (const [key, { keyOffset }] of this.#entries) {
      if (!keys.includes(key)) {
        const known = suggestion(key, keys) || `; it has ${keys.join(", ")}`;
        throw new YamlFaultError(`A ${type} has no key ${JSON.stringify(key.slice(0, 64))}${known}`, keyOffset);
      }
    }
    const defined = this.#defined(), named = this.#bases(type, defined);
    for (const [name, { offset }] of defined) {
      if (!this.#used.has(name)) throw new YamlFaultError(`The event ${name} is not used`, offset);
    }
    const by = this.#by(named), value = this.#value(named);
    const bases = named.map(({ name, of }, i): Base => ({
      name,
      of,
      by: by.map(({ sources }) => sources[i]!),
      value: value === null ? null : value[i]!,
    }));
    const groupBy = by.map(({ name }) => name);
    const correlation = this.#of(type, { bases, groupBy, windowMs: this.#windowMs(type) });
    try {
      checkCorrelation(correlation);
    } catch (error) {
      if (!(error instanceof CorrelationError)) throw error;
      throw new YamlFaultError(error.message, this.node.offset, { cause: error });
    }
    return correlation;
  }

  #of(type: TypeName, common: Pick<Correlation, "bases" | "groupBy" | "windowMs">): Correlation {
    switch (type) {
      case "count":
      case "distinct":
      case "sum":
      case "average":
        return { kind: TYPES[type], ...common, condition: this.#thresholds(type) };
      case "percentile":
        return {
          kind: TYPES[type],
          ...common,
          percentile: this.#number("percentile", 0, 100),
          condition: this.#thresholds(type),
        };
      case "together":
        return { kind: TYPES[type], ...common, condition: this.#together(common.bases) };
      case "sequence":
      case "absence":
        return { kind: TYPES[type], ...common };
      case "first_seen": {
        const remember = this.#entries.has("remember") ? this.#number("remember", 1, 100_000) : DEFAULT_REMEMBER;
        return { kind: TYPES[type], ...common, learnMs: this.#duration("learn"), remember };
      }
    }
  }

  #node(key: string): YamlNode {
    const entry = this.#entries.get(key);
    if (entry === undefined) throw new YamlFaultError(`The key ${key} is missing`, this.node.offset);
    return entry.value;
  }

  #type(): TypeName {
    const node = this.#node("type"), names = Object.keys(TYPES);
    const found = names.find((name) => node.kind === "scalar" && node.value === name);
    if (found !== undefined) return found as TypeName;
    const known = node.kind === "scalar" ? suggestion(String(node.value), names) : "";
    return fault(`type is one of ${names.join(", ")}${known}`, node);
  }

  /** What stands under `events`. */
  #defined(): Map<string, { offset: number; of: Form | Correlation }> {
    const defined = new Map<string, { offset: number; of: Form | Correlation }>();
    if (!this.#entries.has("events")) return defined;
    const node = this.#node("events");
    if (node.kind !== "mapping" || node.entries.size === 0 || node.entries.size > MAX_LIST) {
      return fault(`events is a mapping of 1 to ${MAX_LIST} names to conditions`, node);
    }
    for (const [name, { keyOffset, value }] of node.entries) {
      if (!isName(name)) {
        const reason =
          "The name of an event has lower-case letters, digits and _, begins with a letter, and is not and, or, not";
        throw new YamlFaultError(reason, keyOffset);
      }
      const of = value.kind === "mapping" ? readCorrelation(value, this.text) : this.#condition(value);
      defined.set(name, { offset: keyOffset, of });
    }
    return defined;
  }

  #bases(type: TypeName, defined: ReadonlyMap<string, { of: Form | Correlation }>): Named[] {
    const known = (node: YamlNode): Named => {
      const name = textOf(node, "The name of an event"), found = defined.get(name);
      if (found === undefined) fault(`events has no ${name}${suggestion(name, defined.keys())}`, node);
      this.#used.add(name);
      return { name, of: found!.of };
    };
    const list = (node: YamlNode): Named[] => {
      if (node.kind !== "sequence") return [known(node)];
      if (node.items.length === 0) fault("Name an event", node);
      return node.items.map(known);
    };
    const bases: Named[] = [];
    if (!this.#entries.has("of") && defined.size > 0 && type !== "absence") {
      // All of them, in the order in which they are written
      for (const [name, { of }] of defined) {
        this.#used.add(name);
        bases.push({ name, of });
      }
    } else {
      const node = this.#node("of");
      const isCondition = node.kind === "scalar" && !(typeof node.value === "string" && defined.has(node.value));
      bases.push(...isCondition ? [{ name: "event", of: this.#condition(node) }] : list(node));
    }
    if (type === "absence") {
      if (bases.length !== 1) fault("An absence is of one event; not_followed_by names the others", this.#node("of"));
      bases.push(...list(this.#node("not_followed_by")));
    }
    return bases;
  }

  /** A condition over one event, as in WHERE. */
  #condition(node: YamlNode): Form {
    const sql = textOf(node, "A condition", 65_536);
    if (node.kind !== "scalar" || !isTraceable(node.event, this.text)) {
      return fault("Write a condition of several lines as a literal block: |", node);
    }
    const at = (offset: number): number =>
      offsetInText(node.event, this.text, sql, Math.max(0, Math.min(offset - SELECT.length, sql.length)));
    try {
      const { translation } = guardSql(SELECT + sql, "rule").row!;
      if (translation.form !== null) return translation.form;
      throw new YamlFaultError(`A correlation cannot judge this condition: ${translation.reason}`, at(SELECT.length));
    } catch (error) {
      if (!(error instanceof SqlRefusedError)) throw error;
      throw new YamlFaultError(error.reason, at(error.offset), { cause: error });
    }
  }

  /** What the events have in common: names of columns, or a name for columns that are others in each event. */
  #by(named: readonly Named[]): { name: string; sources: ValueSource[] }[] {
    if (!this.#entries.has("by")) return [];
    const node = this.#node("by"), items = node.kind === "sequence" ? node.items : [node];
    const found = items.map((item) => {
      if (item.kind !== "mapping") {
        const name = textOf(item, "Each of by");
        if (FILES.test(name)) fault("Names of files have a name of their own: file: { event: file of COLUMN }", item);
        return { name, sources: named.map((base) => sourceOf(name, base, item)) };
      }
      const [first, ...more] = item.entries;
      if (first === undefined || more.length > 0) fault("Name one value: process: { parent: exec_id }", item);
      const [name, { keyOffset, value }] = first!;
      if (!isName(name)) throw new YamlFaultError("A value has a name of lower-case letters, digits and _", keyOffset);
      if (value.kind !== "mapping") return fault(`${name} is a mapping of each event to its column`, value);
      for (const [event, entry] of value.entries) {
        if (!named.some((base) => base.name === event)) {
          const known = suggestion(event, named.map((base) => base.name));
          throw new YamlFaultError(`There is no event ${event}${known}`, entry.keyOffset);
        }
      }
      return {
        name,
        sources: named.map((base) => {
          const entry = value.entries.get(base.name);
          if (entry === undefined) return fault(`${name} must say which column it is of ${base.name}`, value);
          return sourceOf(textOf(entry.value, "A column"), base, entry.value);
        }),
      };
    });
    const twice = found.find(({ name }, i) => found.findIndex((each) => each.name === name) < i);
    if (twice !== undefined) fault(`by names ${twice.name} twice`, node);
    return found;
  }

  #value(named: readonly Named[]): ValueSource[] | null {
    if (!this.#entries.has("value")) return null;
    const node = this.#node("value"), name = textOf(node, "value");
    return named.map((base) => sourceOf(name, base, node));
  }

  #windowMs(type: TypeName): number {
    return this.#duration(type === "first_seen" ? "forget_after" : "within");
  }

  #duration(key: string): number {
    const node = this.#node(key), ms = parseDuration(textOf(node, key));
    return ms ?? fault(`${key} is a time, such as 30s, 5m, 2h or 30d`, node);
  }

  #number(key: string, least: number, most: number): number {
    const node = this.#node(key);
    if (node.kind === "scalar" && typeof node.value === "number" && node.value >= least && node.value <= most) {
      return node.value;
    }
    return fault(`${key} is a number from ${least} to ${most}`, node);
  }

  #thresholds(type: string): Threshold[] {
    const found = Object.entries(COMPARATORS).filter(([key]) => this.#entries.has(key)).map(([key, operator]) => {
      const node = this.#node(key);
      if (node.kind !== "scalar" || typeof node.value !== "number" || !Number.isFinite(node.value)) {
        return fault(`${key} is a number`, node);
      }
      return { operator, number: node.value };
    });
    if (found.length === 0) {
      throw new YamlFaultError(`A ${type} says how much: ${COMPARING.join(", ")}`, this.node.offset);
    }
    return found;
  }

  #together(bases: readonly Base[]): Occurrence | Threshold[] | null {
    const compares = COMPARING.some((key) => this.#entries.has(key));
    if (!this.#entries.has("when")) return compares ? this.#thresholds("together") : null;
    const node = this.#node("when");
    if (compares) fault("Write when or a number, not both", node);
    return readOccurrence(textOf(node, "when"), bases.map(({ name }) => name), node);
  }
}

function isName(text: string): boolean {
  return /^[a-z][a-z0-9_]{0,63}$/.test(text) && !["and", "or", "not"].includes(text);
}

/** `file of path_column`, `files of text_column`; of several columns the first that has a value. */
const FILES = /^(files?) of ([a-z_]+(?: or [a-z_]+){0,3})$/;

/** A value of the group of a nested correlation, or a column of the event, or the names of files in columns. */
function sourceOf(name: string, { name: event, of }: Named, node: YamlNode): ValueSource {
  if (isCorrelation(of)) {
    const index = of.groupBy.indexOf(name);
    if (index >= 0) return { kind: "group", index };
  }
  const place = PLACES.get(name), files = FILES.exec(name);
  if (place !== undefined) return { kind: "column", place };
  if (files !== null) {
    const places = files[2]!.split(" or ").map((column) =>
      PLACES.get(column) ?? fault(`${event} has no column ${column}${suggestion(column, PLACES.keys())}`, node)
    );
    return { kind: "file", places, words: files[1] === "files" };
  }
  return fault(`${event} has no column ${JSON.stringify(name.slice(0, 64))}${suggestion(name, PLACES.keys())}`, node);
}

/** `a and (b or not c)` over the names of events. */
function readOccurrence(text: string, names: readonly string[], node: YamlNode): Occurrence {
  const tokens = text.match(/[a-z0-9_]+|[()]|[^\s()a-z0-9_]+/g) ?? [];
  let at = 0, depth = 0;
  const wrong = (): never =>
    fault(`when joins names of events by and, or, not and parentheses: ${names.join(" and ")}`, node);
  const one = (): Occurrence => {
    if (++depth > 32) wrong();
    const token = tokens[at++];
    let found: Occurrence;
    if (token === "not") found = { kind: "not", item: one() };
    else if (token === "(") {
      found = any();
      if (tokens[at++] !== ")") wrong();
    } else {
      const base = names.indexOf(token ?? "");
      if (base < 0) wrong();
      found = { kind: "base", base };
    }
    depth -= 1;
    return found;
  };
  const several = (kind: "and" | "or", next: () => Occurrence): Occurrence => {
    const items = [next()];
    while (tokens[at] === kind) {
      at++;
      items.push(next());
    }
    return items.length === 1 ? items[0]! : { kind, items };
  };
  const all = (): Occurrence => several("and", one);
  const any = (): Occurrence => several("or", all);
  const found = any();
  return at === tokens.length ? found : wrong();
}

function textOf(node: YamlNode, what: string, most = 256): string {
  if (node.kind !== "scalar" || typeof node.value !== "string") return fault(`${what} is a text`, node);
  if (node.value.trim() === "") fault(`${what} is empty`, node);
  if (node.value.length > most) fault(`${what} has ${node.value.length} characters; ${most} are allowed`, node);
  return node.value;
}

function fault(reason: string, node: YamlNode): never {
  throw new YamlFaultError(reason, node.offset);
}
