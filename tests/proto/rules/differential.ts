/**
 * Holds the forms of a rule against each other: its predicate, its terms with its predicate, the SQL that is made from
 * its form, and SQLite's answer to the rule as it was written, on the same rows in a STRICT table.
 *
 * Rules and rows come from a seed; each rule belongs to a chunk with its own rows, so that one pair is made again without
 * the others.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { tableNamed } from "../../../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { READ_LIMITS } from "../../../proto/rules/authorizer.ts";
import { columnAt, columnsOf, type Form, partsOf } from "../../../proto/rules/predicate.ts";
import { compilePredicate } from "../../../proto/rules/predicate_js.ts";
import { RowView } from "../../../proto/rules/row_view.ts";
import { formSql } from "../../../proto/rules/predicate_sql.ts";
import { furtherTerms, requiredTerms } from "../../../proto/rules/required_terms.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import { StreamIndex } from "../../../proto/rules/stream_index.ts";
import { UNDECIDED } from "../../../proto/rules/undecided.ts";
import { defineFunctions } from "../../../proto/rules/user_functions.ts";
import { Random } from "../../fuzz/random.ts";
import { createTable } from "./store_like.ts";
import { randomRow, RandomWhere } from "./random_where.ts";
import { SigmaCompiler } from "../../../proto/sigma/collection.ts";
import { parseSigma } from "../../../proto/sigma/document.ts";
import { parseMapping } from "../../../proto/sigma/mapping.ts";
import { naively } from "../sigma/naive_sigma.ts";
import { PLACEHOLDERS, RandomDetection } from "../sigma/random_sigma.ts";

const EVENT_TYPE = columnPlaces("process_events").get("event_type")!;

export const RULES_OF_CHUNK = 40;
export const ROWS_OF_CHUNK = 200;

/** Answers to one pair; `null` where SQLite fails on the row, or where the predicate leaves it to SQLite. */
export interface Answers {
  readonly sql: boolean | null;
  readonly formSql: boolean | null;
  readonly predicate: boolean | null;
  /** Whether the rule's terms say that the row may match. */
  readonly candidate: boolean;
  /** Of a rule of Sigma, what it means by the specification, computed naively. */
  readonly oracle: boolean | null;
}

export interface Difference {
  readonly rule: number;
  readonly row: number;
  readonly sql: string;
  readonly answers: Answers;
}

export interface Totals {
  /** Pairs of rules and rows that were judged in all ways. */
  pairs: number;
  matches: number;
  /** Pairs that the predicate left to SQLite. */
  undecided: number;
  /** Pairs on which SQLite itself fails. */
  failing: number;
  /** Pairs that the terms ruled out. */
  ruledOut: number;
  rules: number;
  /** Pairs that the oracle of Sigma judged. */
  byOracle: number;
  /** Rules of Sigma by verdict. */
  readonly verdicts: Map<string, number>;
  /** Rules that have no form, by reason. */
  readonly sqlOnly: Map<string, number>;
  refused: number;
  /** Kinds of nodes, operators and functions that were seen. */
  readonly seen: Set<string>;
  readonly differences: Difference[];
}

export function noTotals(): Totals {
  return {
    pairs: 0,
    matches: 0,
    undecided: 0,
    failing: 0,
    ruledOut: 0,
    byOracle: 0,
    verdicts: new Map(),
    rules: 0,
    sqlOnly: new Map(),
    refused: 0,
    seen: new Set(),
    differences: [],
  };
}

interface Subject {
  readonly number: number;
  readonly sql: string;
  readonly alias: string;
  readonly where: string;
  readonly form: Form;
  /** What somebody else says of a row; `null` where it does not. */
  readonly oracle?: (row: readonly SqlValue[]) => boolean | null;
}

/** The rows of a chunk. */
export function rowsOf(seed: number, chunk: number): SqlValue[][] {
  const random = new Random(seed ^ 0x5eed, chunk);
  return Array.from({ length: ROWS_OF_CHUNK }, (_, i) => randomRow(random, i));
}

/** The query of a rule. */
export function ruleOf(seed: number, rule: number): string {
  return new RandomWhere(new Random(seed, rule)).sql();
}

/** Judges one chunk; `only` one of its rules and all its rows. */
export function judgeChunk(seed: number, chunk: number, totals: Totals, only: number | null = null): void {
  const rows = rowsOf(seed, chunk), subjects: Subject[] = [];
  for (let i = 0; i < RULES_OF_CHUNK; i++) {
    const number = chunk * RULES_OF_CHUNK + i;
    if (only !== null && number !== only) continue;
    const sql = ruleOf(seed, number);
    totals.rules++;
    try {
      const { alias, where, translation } = guardSql(sql, "rule").row!;
      if (translation.form !== null) subjects.push({ number, sql, alias, where, form: translation.form });
      else totals.sqlOnly.set(translation.reason, (totals.sqlOnly.get(translation.reason) ?? 0) + 1);
    } catch (error) {
      if (!(error instanceof SqlRefusedError)) throw new Error(`${sql}: ${error}`, { cause: error });
      totals.refused++;
    }
  }
  judge(subjects, rows, totals);
}

/** What the placeholders of these rules are. */
const MAPPING = parseMapping(JSON.stringify({ placeholders: PLACEHOLDERS }), "sigma-mapping.yml", "0");

/** The conditions of a rule that {@linkcode sigmaOf} has made, as they are written. */
function conditionsOf(text: string): string[] {
  const [, written] = /^ {4}condition: (.*)$/m.exec(text)!;
  return written!.startsWith("[") ? written!.slice(1, -1).split(", ") : [written!];
}

/** A rule of Sigma. */
export function sigmaOf(seed: number, rule: number): string {
  const lines = new RandomDetection(new Random(seed ^ 0x51, rule)).lines().map((line) => `    ${line}`).join("\n");
  return `title: Rule ${rule}\nlogsource:\n    category: process_creation\ndetection:\n${lines}\n`;
}

/** The same for rules of Sigma. What is not live counts as refused, or, in part, without an oracle. */
export function judgeSigmaChunk(seed: number, chunk: number, totals: Totals, only: number | null = null): void {
  const rows = rowsOf(seed, chunk).map((row) => row.with(EVENT_TYPE, "start")), subjects: Subject[] = [];
  for (let i = 0; i < RULES_OF_CHUNK; i++) {
    const number = chunk * RULES_OF_CHUNK + i;
    if (only !== null && number !== only) continue;
    const text = sigmaOf(seed, number), parsed = parseSigma(text, "f.yml");
    totals.rules++;
    const { rule, verdict, reasons } = new SigmaCompiler().compile([parsed], [MAPPING]).verdicts[0]!;
    totals.verdicts.set(verdict, (totals.verdicts.get(verdict) ?? 0) + 1);
    if (rule === null) {
      if (parsed.faults.length > 0) throw new Error(`${text}: ${reasons[0]!.message}`);
      totals.refused++;
      continue;
    }
    const { alias, where, translation } = rule.query!.row!, [document] = parsed.documents;
    const detection = document!.kind === "rule" ? document!.detection : null;
    const conditions = conditionsOf(text);
    const oracle = verdict === "live"
      ? { oracle: (row: readonly SqlValue[]) => naively(detection!, conditions, row) }
      : {};
    subjects.push({ number, sql: text, alias, where, form: translation.form!, ...oracle });
  }
  judge(subjects, rows, totals);
}

function judge(subjects: readonly Subject[], rows: readonly SqlValue[][], totals: Totals): void {
  const table = tableNamed("process_events");
  using db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  db.exec(createTable(table));
  defineFunctions(db, () => 0);
  const insert = db.prepare(`INSERT INTO process_events VALUES (${table.columns.map(() => "?").join(", ")})`);
  for (const row of rows) insert.run(...row);

  const index = new StreamIndex(
    subjects.map(({ form }) => requiredTerms(form)),
    subjects.map(({ form }) => furtherTerms(form)),
  );
  const places = new Set<number>();
  for (const { form } of subjects) {
    columnsOf(form, places);
    see(form, totals.seen);
  }
  const view = new RowView([...places].filter((place) => columnAt(place).type === "TEXT"));
  const predicates = subjects.map(({ form }) => compilePredicate(form));
  const given: (boolean | null)[][] = subjects.map(() => []), candidates: boolean[][] = subjects.map(() => []);
  rows.forEach((row, at) => {
    view.load(row);
    const { ids, count } = index.find(view.cells);
    const found = new Set([...ids.subarray(0, count), ...index.always]);
    predicates.forEach((predicate, i) => {
      candidates[i]![at] = found.has(i);
      try {
        given[i]![at] = predicate(view);
      } catch (error) {
        if (error !== UNDECIDED) throw new Error(`${subjects[i]!.sql}: ${error}`, { cause: error });
        given[i]![at] = null;
      }
    });
  });
  subjects.forEach(({ number, sql, alias, where, form, oracle }, i) => {
    const written = answersOf(db, alias, where, rows.length);
    const made = answersOf(db, alias, formSql(form, alias), rows.length);
    rows.forEach((cells, row) => {
      const answers: Answers = {
        sql: written[row]!,
        formSql: made[row]!,
        predicate: given[i]![row]!,
        candidate: candidates[i]![row]!,
        oracle: oracle?.(cells) ?? null,
      };
      totals.pairs++;
      if (answers.sql) totals.matches++;
      if (answers.sql === null) totals.failing++;
      if (answers.oracle !== null) totals.byOracle++;
      if (answers.predicate === null) totals.undecided++;
      if (!answers.candidate) totals.ruledOut++;
      if (differ(answers)) totals.differences.push({ rule: number, row, sql, answers });
    });
  });
}

function differ({ sql, formSql, predicate, candidate, oracle }: Answers): boolean {
  // Where SQLite fails there is no answer to hold a predicate to, which may not need to look at what fails.
  if (sql === null) return false;
  if (formSql !== sql) return true;
  if (sql === true && !candidate) return true;
  if (oracle !== null && oracle !== sql) return true;
  return predicate !== null && predicate !== sql;
}

function answersOf(db: DatabaseSync, alias: string, where: string, rows: number): (boolean | null)[] {
  const sql = `SELECT event_id FROM process_events AS "${alias}" WHERE (${where}\n) AND event_id BETWEEN ? AND ?`;
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  const answers: (boolean | null)[] = new Array(rows).fill(false);
  try {
    for (const [row] of statement.iterate(0, rows) as unknown as Iterable<[number]>) answers[row] = true;
    // iterate() hides an error of SQLite and ends; a count does not
    db.prepare(`SELECT count(*) FROM process_events AS "${alias}" WHERE (${where}\n)`).get();
    return answers;
  } catch {
    for (let row = 0; row < rows; row++) {
      try {
        answers[row] = statement.get(row, row) !== undefined;
      } catch {
        answers[row] = null;
      }
    }
    return answers;
  }
}

function see(form: Form, seen: Set<string>): void {
  seen.add(form.kind);
  if (form.kind === "compare" || form.kind === "arithmetic" || form.kind === "unary") {
    seen.add(`${form.kind} ${form.operator}`);
  }
  if (form.kind === "call") seen.add(`${form.name}()`);
  if (form.kind === "cast") seen.add(`cast ${form.to}`);
  for (const part of partsOf(form)) see(part, seen);
}
