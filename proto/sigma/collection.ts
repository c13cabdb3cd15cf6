/**
 * Sigma files together: what becomes of each document, and why.
 *
 * A rule is *live* when all of it is judged, *partial* when an alternative of it is left out that this host cannot tell
 * (it then matches less, and says what), and *unsupported* when nothing may be left out, with the reason and its place.
 * Filters change the rules that they name; correlations are made of rules; a mapping says what fields are. A document that
 * did not change, and whose filters and mapping did not, keeps the form that it had, so that a reload costs what changed.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import { columnAt, columnsOf, type Form, formSize, MAX_FORM_NODES } from "../rules/predicate.ts";
import { formRule, RuleError, ruleHash, type TestRow } from "../rules/rule.ts";
import { allSteps } from "../steps.ts";
import { columnOfField } from "./columns.ts";
import { compileDetection, type Missing } from "./compile.ts";
import { compileCorrelation } from "./correlate.ts";
import type { SigmaCorrelation, SigmaDocument, SigmaFile, SigmaFilter, SigmaRule } from "./document.ts";
import { type CompiledFilter, compileFilter } from "./filter.ts";
import { columnForm, compare, connect, isNotTrue, literal } from "./forms.ts";
import type { HeadTest } from "./head.ts";
import { eventsOf, type EventType } from "./logsources.ts";
import { joinMappings, type MappingFile, NO_MAPPING, type SigmaMapping } from "./mapping.ts";
import { doubled, faultVerdict, find, type Index, indexOf, type SigmaVerdict, verdictOf } from "./verdict.ts";
import { madeRule } from "./made_rule.ts";

/** Longest query that a rule may become, in bytes: a little less than SQLite takes of it (`READ_LIMITS`). */
const MAX_QUERY_BYTES = 120_000;
const MAX_SHOWN = 24;
/** Documents that are only put together between two steps: a millisecond or two. */
const RULES_A_STEP = 256;
const EVENT_TYPE = columnPlaces("process_events").get("event_type")!;

/** A rule as correlations need it. */
export interface JudgedRule {
  readonly document: SigmaRule;
  /** With its event type and its filters; `null` when it is unsupported. */
  readonly form: Form | null;
  readonly events: EventType | null;
  readonly verdict: SigmaVerdict;
}

export interface SigmaOutcome {
  /** In the order of the files and of the documents in them. */
  readonly verdicts: readonly SigmaVerdict[];
  /** What mapping files say twice. */
  readonly mappingFaults: readonly RuleError[];
}

/** Compiles Sigma files, again and again. */
export class SigmaCompiler {
  #mappings: readonly MappingFile[] = [];
  #mapping: SigmaMapping = NO_MAPPING;
  #mappingFaults: readonly RuleError[] = [];
  readonly #known = new WeakMap<
    SigmaRule,
    { mapping: SigmaMapping; filters: readonly SigmaFilter[]; judged: JudgedRule }
  >();

  compile(files: readonly SigmaFile[], mappings: readonly MappingFile[] = []): SigmaOutcome {
    return allSteps(this.steps(files, mappings));
  }

  /** The same, with room for other work after each document that is compiled, and {@linkcode RULES_A_STEP} that are known. */
  *steps(files: readonly SigmaFile[], mappings: readonly MappingFile[]): Generator<void, SigmaOutcome> {
    this.#join(mappings);
    const documents = files.flatMap((file) => file.documents);
    const rules = documents.filter((each) => each.kind === "rule");
    const correlations = documents.filter((each) => each.kind === "correlation");
    const filters = documents.filter((each) => each.kind === "filter");
    const index = indexOf([...rules, ...correlations]);

    yield;
    const compiled: CompiledFilter[] = [], filtersOf = new Map<SigmaRule, CompiledFilter[]>();
    for (const each of filters) {
      const filter = compileFilter(each, rules, index, this.#mapping);
      compiled.push(filter);
      for (const rule of filter.rules) {
        const others = filtersOf.get(rule);
        if (others === undefined) filtersOf.set(rule, [filter]);
        else others.push(filter);
      }
      yield;
    }
    const silent = silentRules(correlations, index), verdicts = new Map<SigmaDocument, SigmaVerdict>();
    const judged = new Map<SigmaRule, JudgedRule>();
    let done = 0;
    for (const rule of rules) {
      const before = this.#known.get(rule)?.judged, found = this.#judged(rule, filtersOf.get(rule) ?? []);
      if (found !== before || ++done % RULES_A_STEP === 0) yield;
      judged.set(rule, found);
      verdicts.set(rule, found.verdict);
    }
    for (const { filter, verdict } of compiled) verdicts.set(filter, verdict);
    for (const correlation of correlations) {
      verdicts.set(correlation, compileCorrelation(correlation, { index, judged, mapping: this.#mapping }));
      yield;
    }
    for (const [document, by] of silent) verdicts.set(document, silenced(verdicts.get(document)!, by));
    const ids = new Map<string, SigmaVerdict>();
    for (const document of [...rules, ...correlations]) {
      const verdict = verdicts.get(document)!, first = ids.get(verdict.id!);
      if (first === undefined) ids.set(verdict.id!, verdict);
      else verdicts.set(document, doubled(verdict, first));
      if (++done % RULES_A_STEP === 0) yield;
    }
    return {
      verdicts: files.flatMap((file) =>
        [
          ...file.faults.map((fault) => faultVerdict(fault)),
          ...file.documents.map((document) => verdicts.get(document)!),
        ].sort((a, b) => a.line - b.line)
      ),
      mappingFaults: this.#mappingFaults,
    };
  }

  #join(mappings: readonly MappingFile[]): void {
    if (mappings.length === this.#mappings.length && mappings.every((each, i) => each === this.#mappings[i])) return;
    const { mapping, faults } = joinMappings(mappings);
    [this.#mappings, this.#mapping, this.#mappingFaults] = [mappings, mapping, faults];
  }

  #judged(rule: SigmaRule, filters: readonly CompiledFilter[]): JudgedRule {
    const applied = filters.map(({ filter }) => filter), known = this.#known.get(rule);
    if (
      known?.mapping === this.#mapping && known.filters.length === applied.length &&
      known.filters.every((each, i) => each === applied[i])
    ) return known.judged;
    const judged = judge(rule, filters, this.#mapping, this.#mappings);
    this.#known.set(rule, { mapping: this.#mapping, filters: applied, judged });
    return judged;
  }
}

/** Rules that are bases of correlations, none of which wants them to alert for themselves. */
function silentRules(correlations: readonly SigmaCorrelation[], index: Index): Map<SigmaDocument, SigmaCorrelation> {
  const silent = new Map<SigmaDocument, SigmaCorrelation>(), loud = new Set<SigmaDocument>();
  for (const correlation of correlations) {
    for (const { name } of correlation.body.rules) {
      const found = find(name, index);
      if ("reason" in found) continue;
      if (correlation.body.generate) loud.add(found);
      else silent.set(found, correlation);
    }
  }
  for (const document of loud) silent.delete(document);
  return silent;
}

/** Judged and counted, without alerts of its own. */
function silenced(verdict: SigmaVerdict, { head, file }: SigmaCorrelation): SigmaVerdict {
  if (verdict.rule === null) return verdict;
  const note = new RuleError(
    verdict.file,
    verdict,
    `It raises no alert of its own: it is part of ${head.id} (${file}), which does not say generate: true`,
  );
  return { ...verdict, notes: [...verdict.notes, note], rule: { ...verdict.rule, status: "draft" } };
}

function judge(
  rule: SigmaRule,
  filters: readonly CompiledFilter[],
  mapping: SigmaMapping,
  mappings: readonly MappingFile[],
): JudgedRule {
  const { head } = rule;
  const unsupported = (reasons: readonly Missing[]): JudgedRule => ({
    document: rule,
    form: null,
    events: null,
    verdict: verdictOf(rule, "unsupported", reasons, [], null),
  });
  if (head.stage === null) return unsupported([{ reason: "Its author marks it unsupported (status)", at: head.at }]);
  const source = eventsOf(rule.source, mapping.sources);
  if ("reason" in source) return unsupported([{ reason: source.reason, at: rule.sourceAt }]);
  const { form: asked, missing, notes, mapped } = compileDetection(rule.detection, mapping);
  if (asked === null) return unsupported(missing);
  const isOfSource = compare(columnForm(EVENT_TYPE), "=", literal(source.events));
  const form = connect("and", [isOfSource, asked, ...filters.map(({ by }) => isNotTrue(by!.form))]);
  const size = formSize(form);
  if (size > MAX_FORM_NODES) {
    return unsupported([{ reason: `Its detection has the size ${size}; ${MAX_FORM_NODES} is the most`, at: head.at }]);
  }
  const usesMapping = mapped || source.custom || filters.some((filter) => filter.mapped);
  const parts = [
    rule.hash,
    ...filters.map(({ filter }) => filter.hash),
    ...usesMapping ? mappings.map(({ hash }) => hash) : [],
  ];
  const hash = parts.length === 1 ? rule.hash : ruleHash(parts.join("\n"));
  const made = formRule(
    madeRule(rule, hash, missing, (test) => testOf(test, rule, source.events)),
    form,
    shownOf(rule, form, mapping),
    filters.length === 0 ? null : { form: connect("and", [isOfSource, asked]), by: filters.map(({ by }) => by!) },
  );
  const bytes = new TextEncoder().encode(made.sql).length;
  if (bytes > MAX_QUERY_BYTES) {
    const reason =
      `As a query it has ${bytes} bytes; ${MAX_QUERY_BYTES} are the most. Split its lists over several rules`;
    return unsupported([{ reason, at: head.at }]);
  }
  const verdict = verdictOf(rule, missing.length === 0 ? "live" : "partial", missing, notes, made);
  return { document: rule, form, events: source.events, verdict };
}

/** A row of a test is an event of the rule's kind unless it says another. */
function testOf({ at, rows }: HeadTest, { place }: SigmaRule, events: EventType): TestRow {
  const filled = rows.map((row) => row[EVENT_TYPE] === null ? row.with(EVENT_TYPE, events) : row);
  return { position: place(at), values: filled[0]!, rows: filled };
}

/** The evidence of an alert: what the rule looks at, and what its author wants to be shown. */
function shownOf({ fields }: SigmaRule, form: Form, mapping: SigmaMapping): string[] {
  const shown = new Set<string>(["pid"]);
  for (const place of columnsOf(form)) shown.add(columnAt(place).name);
  for (const name of fields) {
    const found = columnOfField(name, mapping);
    if (!("reason" in found)) shown.add(columnAt(found.place).name);
  }
  shown.delete("event_type");
  return [...shown].slice(0, MAX_SHOWN);
}
