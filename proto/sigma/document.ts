/**
 * Sigma files: documents of YAML, each a rule, a correlation or a filter.
 *
 * A file may hold several. They are told apart before any is parsed, since a line that begins with `---` or `...` ends a
 * document whatever stands before it; so one that is broken keeps none of the others from loading. A fault has its place
 * in the file. Keys that Sigma does not define are passed over, as its specification wants; `daemoneye` is ours.
 *
 * @module
 */
import { parseYaml, YamlFaultError, type YamlNode } from "../rules/located_yaml.ts";
import { MAX_RULE_LENGTH, type Position, RuleError, ruleHash } from "../rules/rule.ts";
import { allSteps } from "../steps.ts";
import { type CorrelationBody, parseCorrelation } from "./correlation.ts";
import { type Detection, parseDetection } from "./detection.ts";
import { type Head, readHead, textsOf } from "./head.ts";
import type { LogSource } from "./logsources.ts";
import { sourceOf } from "./mapping.ts";

/** Most documents of one file. */
export const MAX_DOCUMENTS = 1_000;

interface Document {
  readonly file: string;
  /** SHA-256 of its file. */
  readonly hash: string;
  readonly head: Head;
  /** The place in the file of an offset in the document. */
  readonly place: (offset: number) => Position;
}

export interface SigmaRule extends Document {
  readonly kind: "rule";
  readonly source: LogSource;
  readonly sourceAt: number;
  readonly detection: Detection;
  /** Fields that its author wants to be shown. */
  readonly fields: readonly string[];
}

export interface SigmaCorrelation extends Document {
  readonly kind: "correlation";
  readonly body: CorrelationBody;
}

export interface SigmaFilter extends Document {
  readonly kind: "filter";
  readonly source: LogSource;
  readonly detection: Detection;
  readonly at: number;
  /** Ids or names of the rules that it is for, with their places; `null` for all. */
  readonly rules: readonly { readonly name: string; readonly at: number }[] | null;
}

export type SigmaDocument = SigmaRule | SigmaCorrelation | SigmaFilter;

export interface SigmaFile {
  readonly kind: "sigma";
  readonly file: string;
  /** SHA-256 of the file. */
  readonly hash: string;
  readonly documents: readonly SigmaDocument[];
  readonly faults: readonly RuleError[];
}

/**
 * Whether a rule file is Sigma's and not of our own form, which has `severity` and `sql` where Sigma has `logsource`,
 * `detection`, `level`. Only top-level keys are looked at, so that a file with a fault is told by the right reader.
 */
export function isSigma(text: string): boolean {
  const own = /^(sql|severity|window)[ \t]*:/m.test(text);
  if (/^(logsource|detection|filter)[ \t]*:/m.test(text)) return !own || /^detection[ \t]*:/m.test(text);
  return !own && /^correlation[ \t]*:/m.test(text);
}

/** Reads a Sigma file. What is wrong with a document stands in `faults`; the others are there. */
export function parseSigma(text: string, file: string): SigmaFile {
  return allSteps(parsingSigma(text, file));
}

/** The same, in steps of one document. */
export function* parsingSigma(text: string, file: string): Generator<void, SigmaFile> {
  const hash = ruleHash(text), documents: SigmaDocument[] = [], faults: RuleError[] = [];
  const bare = text.startsWith("\ufeff") ? text.slice(1) : text;
  let count = 0;
  const pieces = splitDocuments(bare);
  yield;
  for (const piece of pieces) {
    const place = placer(piece);
    const fault = (reason: string, offset: number, cause?: unknown): void => {
      faults.push(new RuleError(file, place(offset), reason, { cause }));
    };
    if (++count > MAX_DOCUMENTS) {
      fault(`More than ${MAX_DOCUMENTS} documents in one file; split it`, 0);
      break;
    }
    if (piece.text.length > MAX_RULE_LENGTH) {
      fault(`The document has ${piece.text.length} characters; ${MAX_RULE_LENGTH} are allowed`, firstLine(piece.text));
      continue;
    }
    try {
      documents.push(readDocument(piece.text, { file, hash, place }));
    } catch (error) {
      if (!(error instanceof YamlFaultError)) throw error;
      fault(error.reason, error.offset, error);
    }
    yield;
  }
  if (count === 0) faults.push(new RuleError(file, { line: 1, column: 1 }, "The file is empty; remove it"));
  return { kind: "sigma", file, hash, documents, faults };
}

interface Piece {
  readonly text: string;
  /** Lines of the file before it. */
  readonly line: number;
}

/** The documents of a text; those without anything in them are left out. */
export function splitDocuments(text: string): Piece[] {
  const pieces: Piece[] = [];
  let start = 0, line = 0;
  const cut = (end: number): void => {
    const piece = text.slice(start, end);
    // Marks, comments and empty lines alone are no document
    if (/^(?!(---|\.\.\.)?[ \t]*(#.*)?\r?$)./m.test(piece)) pieces.push({ text: piece, line });
    for (let at = start; at < end; at++) if (text.charCodeAt(at) === 10) line++;
    start = end;
  };
  for (const { index, 0: mark } of text.matchAll(/^(?:---|\.\.\.)(?=[ \t\r\n]|$)/gm)) {
    if (mark === "---") cut(index);
    else cut(Math.min(text.length, (text.indexOf("\n", index) + 1) || text.length));
  }
  cut(text.length);
  return pieces;
}

function firstLine(text: string): number {
  return Math.max(0, text.search(/^(?!---)[^\s#]/m));
}

/** It keeps where lines begin, and not the text. */
function placer({ text, line }: Piece): (offset: number) => Position {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  const table = Uint32Array.from(starts);
  return (offset) => {
    let low = 0, high = table.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (table[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: line + low + 1, column: offset - table[low]! + 1 };
  };
}

function readDocument(text: string, from: Omit<Document, "head">): SigmaDocument {
  const root = parseYaml(text);
  if (root.kind !== "mapping") {
    throw new YamlFaultError("A Sigma document is a mapping of title, logsource, detection and so on", root.offset);
  }
  const entry = (key: string) => root.entries.get(key);
  const action = entry("action");
  if (action !== undefined) {
    throw new YamlFaultError(
      "action is Sigma's old form of several rules in one file; write each out",
      action.keyOffset,
    );
  }
  const kinds = (["detection", "correlation", "filter"] as const).filter((key) => entry(key) !== undefined);
  if (kinds.length !== 1) {
    const reason = kinds.length === 0
      ? "A Sigma document has one of detection, correlation and filter"
      : `A Sigma document has one of ${kinds.join(" and ")}, not both`;
    throw new YamlFaultError(reason, kinds.length === 0 ? root.offset : entry(kinds[1]!)!.keyOffset);
  }
  const kind = kinds[0]!, { value: body, keyOffset: at } = entry(kind)!;
  const head = readHead(root, text, kind);
  if (kind === "correlation") {
    return { kind, ...from, head, body: parseCorrelation(body) };
  }
  const source = entry("logsource");
  if (source === undefined) throw new YamlFaultError("The key logsource is missing", root.offset);
  if (source.value.kind !== "mapping") {
    throw new YamlFaultError("logsource is a mapping of category, product, service", source.value.offset);
  }
  const asked = sourceOf(source.value);
  if (kind === "detection") {
    const fields = textsOf(entry("fields"), "fields", text);
    const detection = parseDetection(body, text);
    return { kind: "rule", ...from, head, source: asked, sourceAt: source.keyOffset, detection, fields };
  }
  return {
    kind,
    ...from,
    head,
    source: asked,
    at,
    rules: filterRules(body),
    detection: parseDetection(body, text, ["rules"]),
  };
}

function filterRules(body: YamlNode): SigmaFilter["rules"] {
  const entry = body.kind === "mapping" ? body.entries.get("rules") : undefined;
  if (entry === undefined) throw new YamlFaultError("A filter names the rules that it is for: rules", body.offset);
  const { value } = entry;
  if (value.kind === "scalar" && String(value.value).toLowerCase() === "any") return null;
  const nodes = value.kind === "sequence" ? value.items : [value];
  if (nodes.length === 0 || nodes.length > 1_000) {
    throw new YamlFaultError("rules is a list of 1 to 1000 ids or names, or any", value.offset);
  }
  return nodes.map((node) => {
    if (node.kind !== "scalar" || typeof node.value !== "string" || node.value.trim() === "") {
      throw new YamlFaultError("A rule is named by its id or its name", node.offset);
    }
    return { name: node.value.trim(), at: node.offset };
  });
}
