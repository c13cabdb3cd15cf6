/**
 * Verdicts on Sigma documents, and how documents call each other.
 *
 * @module
 */
import { RuleError, type ValidatedRule } from "../rules/rule.ts";
import type { Missing } from "./compile.ts";
import type { SigmaCorrelation, SigmaDocument, SigmaRule } from "./document.ts";

export type VerdictWord = "live" | "partial" | "unsupported";

/** What became of one document. */
export interface SigmaVerdict {
  readonly kind: "rule" | "correlation" | "filter" | "fault";
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `null` of a document that could not be read. */
  readonly id: string | null;
  readonly title: string;
  readonly verdict: VerdictWord;
  /** The line on which the document begins. */
  readonly begin: number;
  /** Of a partial one what is missing, of an unsupported one why. */
  readonly reasons: readonly RuleError[];
  /** What is odd, and changes nothing. */
  readonly notes: readonly RuleError[];
  /** What the agent runs; of a filter nothing. */
  readonly rule: ValidatedRule | null;
}

/** Documents by id and by name. */
export interface Index {
  readonly byId: ReadonlyMap<string, SigmaRule | SigmaCorrelation>;
  /** `null` where several have the name. */
  readonly byName: ReadonlyMap<string, SigmaRule | SigmaCorrelation | null>;
}

/** The index of these documents. */
export function indexOf(documents: readonly (SigmaRule | SigmaCorrelation)[]): Index {
  const byId = new Map<string, SigmaRule | SigmaCorrelation>(),
    byName = new Map<string, SigmaRule | SigmaCorrelation | null>();
  for (const document of documents) {
    const { id, name } = document.head;
    if (!byId.has(id)) byId.set(id, document);
    if (name !== null) byName.set(name, byName.has(name) ? null : document);
  }
  return { byId, byName };
}

/** The document that an id or a name means, or why none. */
export function find(
  name: string,
  { byId, byName }: Index,
): SigmaRule | SigmaCorrelation | { readonly reason: string } {
  const named = byName.get(name);
  if (named === null) return { reason: `Two rules are named ${name}; call the one that is meant by its id` };
  return named ?? byId.get(name.toLowerCase()) ??
    { reason: `There is no Sigma rule ${JSON.stringify(name.slice(0, 64))} here` };
}

/** A verdict on a document; the first of its reasons gives its place. */
export function verdictOf(
  document: SigmaDocument,
  verdict: VerdictWord,
  reasons: readonly Missing[],
  notes: readonly Missing[],
  rule: ValidatedRule | null,
): SigmaVerdict {
  const { file, head, place, kind } = document;
  const placed = ({ reason, at }: Missing): RuleError => new RuleError(file, place(at), reason);
  return {
    kind,
    file,
    ...place(reasons[0]?.at ?? head.at),
    id: head.id,
    title: head.title,
    verdict,
    begin: place(0).line,
    reasons: reasons.map(placed),
    notes: notes.map(placed),
    rule,
  };
}

/** The verdict on a document that could not be read. */
export function faultVerdict(fault: RuleError): SigmaVerdict {
  const { file, line, column } = fault;
  const nothing = { id: null, title: "", notes: [], rule: null };
  return { kind: "fault", file, line, column, ...nothing, verdict: "unsupported", begin: 0, reasons: [fault] };
}

/** A verdict that another document took from a document: the agent would not know which of them is meant by their id. */
export function doubled(verdict: SigmaVerdict, first: SigmaVerdict): SigmaVerdict {
  const reason = `The id ${verdict.id} is also that of ${first.file}:${first.begin}; give each rule its own`;
  const reasons = [new RuleError(verdict.file, verdict, reason)];
  return { ...verdict, verdict: "unsupported", reasons, notes: [], rule: null };
}
