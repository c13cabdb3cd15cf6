/**
 * The operator's own mapping: what Sigma's fields, log sources and placeholders are on this host, beyond what is built in.
 *
 * A file of a rules directory named `sigma-mapping.yml` says it. It is checked as strictly as a rule file; a fault is a
 * {@linkcode RuleError} with its place, and nothing of the file counts. Several files are one: the first that says
 * something of a name counts, and the others are told.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import { parseYaml, positionAt, type YamlEntry, YamlFaultError, type YamlNode } from "../rules/located_yaml.ts";
import { MAX_RULE_LENGTH, type Position, RuleError } from "../rules/rule.ts";
import { suggestion } from "../rules/sql_refused.ts";
import { EVENT_TYPES, type KnownLogSource, LOG_SOURCES, type LogSource, sourceWords } from "./logsources.ts";

/** What a file of mappings is called, whatever directory it lies in. */
export const MAPPING_NAME = /(^|\/)sigma-mapping\.ya?ml$/;

export const MAX_MAPPED_FIELDS = 512;
export const MAX_MAPPED_SOURCES = 64;
export const MAX_PLACEHOLDERS = 256;
export const MAX_PLACEHOLDER_VALUES = 1_000;
const MAX_NAME = 128;
const PLACES = columnPlaces("process_events");

export interface SigmaMapping {
  /** Columns by the names of fields. */
  readonly fields: ReadonlyMap<string, string>;
  readonly sources: readonly KnownLogSource[];
  readonly placeholders: ReadonlyMap<string, readonly string[]>;
}

export const NO_MAPPING: SigmaMapping = { fields: new Map(), sources: [], placeholders: new Map() };

/** A file of mappings, with the places of what it says. */
export interface MappingFile extends SigmaMapping {
  readonly kind: "mapping";
  readonly file: string;
  readonly hash: string;
  /** By what {@linkcode joinMappings} calls a thing twice by. */
  readonly positions: ReadonlyMap<string, Position>;
}

/** Reads a file of mappings. @throws RuleError */
export function parseMapping(text: string, file: string, hash: string): MappingFile {
  const bare = text.startsWith("\ufeff") ? text.slice(1) : text;
  try {
    if (bare.length > MAX_RULE_LENGTH) throw new YamlFaultError(`More than ${MAX_RULE_LENGTH} characters`, 0);
    return new MappingReader(bare, file, hash).read();
  } catch (error) {
    if (!(error instanceof YamlFaultError)) throw error;
    throw new RuleError(file, positionAt(bare, error.offset), error.reason, { cause: error });
  }
}

/** Several files as one, and what the later ones say again. */
export function joinMappings(
  files: readonly MappingFile[],
): { readonly mapping: SigmaMapping; readonly faults: readonly RuleError[] } {
  const fields = new Map<string, string>(), placeholders = new Map<string, readonly string[]>();
  const sources = new Map<string, KnownLogSource>(), faults: RuleError[] = [];
  const from = new Map<string, string>();
  for (const each of files) {
    const add = <T>(into: Map<string, T>, what: string, name: string, value: T): void => {
      const key = `${what} ${name}`, before = from.get(key);
      if (before !== undefined) {
        const reason = `The ${key} is said in ${before} already; remove one of them`;
        faults.push(new RuleError(each.file, each.positions.get(key)!, reason));
        return;
      }
      from.set(key, each.file);
      into.set(name, value);
    };
    for (const [name, column] of each.fields) add(fields, "field", name, column);
    for (const source of each.sources) add(sources, "log source", sourceWords(source.source), source);
    for (const [name, values] of each.placeholders) add(placeholders, "placeholder", name, values);
  }
  return { mapping: { fields, sources: [...sources.values()], placeholders }, faults };
}

class MappingReader {
  readonly #positions = new Map<string, Position>();

  constructor(readonly text: string, readonly file: string, readonly hash: string) {}

  read(): MappingFile {
    const root = parseYaml(this.text);
    const keys = ["fields", "logsources", "placeholders"];
    if (root.kind !== "mapping") throw new YamlFaultError(`A mapping of Sigma has ${keys.join(", ")}`, root.offset);
    refuseOthers(root, keys);
    const at = (key: string): YamlEntry | undefined => root.entries.get(key);
    return {
      kind: "mapping",
      file: this.file,
      hash: this.hash,
      fields: this.#fields(at("fields")),
      sources: this.#sources(at("logsources")),
      placeholders: this.#placeholders(at("placeholders")),
      positions: this.#positions,
    };
  }

  #fields(entry: YamlEntry | undefined): Map<string, string> {
    const fields = new Map<string, string>();
    for (const [name, { keyOffset, value }] of entriesOf(entry, "fields", MAX_MAPPED_FIELDS)) {
      if (name.includes("|") || name === "") throw new YamlFaultError("A name of a field holds no |", keyOffset);
      const column = textOf(value, `The column of ${name}`);
      if (!PLACES.has(column)) {
        const near = suggestion(column, PLACES.keys());
        throw new YamlFaultError(
          `process_events has no column ${JSON.stringify(column.slice(0, 64))}${near}`,
          value.offset,
        );
      }
      fields.set(name, column);
      this.#note("field", name, keyOffset);
    }
    return fields;
  }

  #sources(entry: YamlEntry | undefined): KnownLogSource[] {
    if (entry === undefined) return [];
    const { value: list } = entry;
    if (list.kind !== "sequence" || list.items.length > MAX_MAPPED_SOURCES) {
      throw new YamlFaultError(`logsources is a list of at most ${MAX_MAPPED_SOURCES}`, list.offset);
    }
    return list.items.map((item) => {
      if (item.kind !== "mapping") throw new YamlFaultError("A log source is a mapping", item.offset);
      refuseOthers(item, ["category", "product", "service", "events"]);
      const source = sourceOf(item);
      const words = sourceWords(source);
      if (words === "nothing") {
        throw new YamlFaultError("A log source has a category, a product or a service", item.offset);
      }
      const events = item.entries.get("events")?.value;
      const found = EVENT_TYPES.find((type) => events?.kind === "scalar" && events.value === type);
      if (found === undefined) {
        throw new YamlFaultError(
          `A log source says which events answer it: ${EVENT_TYPES.join(", ")}`,
          (events ?? item).offset,
        );
      }
      if (LOG_SOURCES.some((known) => known.events !== null && sourceWords(known.source) === words)) {
        throw new YamlFaultError(`The log source (${words}) is built in`, item.offset);
      }
      this.#note("log source", words, item.offset);
      return { source, events: found, note: `by ${this.file}`, fields: [] };
    });
  }

  #placeholders(entry: YamlEntry | undefined): Map<string, readonly string[]> {
    const placeholders = new Map<string, readonly string[]>();
    for (const [name, { keyOffset, value }] of entriesOf(entry, "placeholders", MAX_PLACEHOLDERS)) {
      if (!/^[A-Za-z0-9_.-]+$/.test(name)) {
        throw new YamlFaultError("A placeholder has letters, digits, dots, _ and hyphens, without its %", keyOffset);
      }
      const nodes = value.kind === "sequence" ? value.items : [value];
      if (nodes.length === 0 || nodes.length > MAX_PLACEHOLDER_VALUES) {
        throw new YamlFaultError(`A placeholder has 1 to ${MAX_PLACEHOLDER_VALUES} values`, value.offset);
      }
      placeholders.set(name, nodes.map((node) => textOf(node, `A value of ${name}`)));
      this.#note("placeholder", name, keyOffset);
    }
    return placeholders;
  }

  #note(what: string, name: string, offset: number): void {
    const key = `${what} ${name}`;
    if (this.#positions.has(key)) throw new YamlFaultError(`The ${key} is said twice`, offset);
    this.#positions.set(key, positionAt(this.text, offset));
  }
}

/** What a mapping says of a log source, in lower case. @throws YamlFaultError */
export function sourceOf(node: YamlNode & { kind: "mapping" }): LogSource {
  const part = (key: string): string | null => {
    const value = node.entries.get(key)?.value;
    if (value === undefined || (value.kind === "scalar" && value.value === null)) return null;
    return textOf(value, key).toLowerCase();
  };
  return { category: part("category"), product: part("product"), service: part("service") };
}

function entriesOf(entry: YamlEntry | undefined, what: string, most: number): Iterable<[string, YamlEntry]> {
  if (entry === undefined) return [];
  const { value } = entry;
  if (value.kind !== "mapping" || value.entries.size > most) {
    throw new YamlFaultError(`${what} is a mapping of at most ${most}`, value.offset);
  }
  return value.entries;
}

function refuseOthers(node: YamlNode & { kind: "mapping" }, keys: readonly string[]): void {
  for (const [key, { keyOffset }] of node.entries) {
    if (keys.includes(key)) continue;
    throw new YamlFaultError(`Unknown key ${JSON.stringify(key.slice(0, 64))}${suggestion(key, keys)}`, keyOffset);
  }
}

function textOf(node: YamlNode, what: string): string {
  if (node.kind !== "scalar" || typeof node.value !== "string" || node.value === "" || node.value.includes("\0")) {
    throw new YamlFaultError(`${what} is a text; put a number into quotes`, node.offset);
  }
  if (node.value.length > MAX_NAME * 4) {
    throw new YamlFaultError(`${what} has more than ${MAX_NAME * 4} characters`, node.offset);
  }
  return node.value;
}
