/**
 * Sigma rules against rows, judged by the engine and by SQLite, which must agree.
 *
 * @module
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { tableNamed } from "../../../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { READ_LIMITS } from "../../../proto/rules/authorizer.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import { ruleHash, type ValidatedRule } from "../../../proto/rules/rule.ts";
import { defineFunctions } from "../../../proto/rules/user_functions.ts";
import { SigmaCompiler } from "../../../proto/sigma/collection.ts";
import { parseSigma } from "../../../proto/sigma/document.ts";
import { parseMapping } from "../../../proto/sigma/mapping.ts";
import type { SigmaVerdict } from "../../../proto/sigma/verdict.ts";
import { createTable } from "../rules/store_like.ts";

export type Row = Readonly<Record<string, SqlValue>>;

const TABLE = tableNamed("process_events"), PLACES = columnPlaces("process_events");

/** The verdicts on some files, by name; one that is named like a mapping is one. */
export function verdictsOf(files: Readonly<Record<string, string>>): readonly SigmaVerdict[] {
  const names = Object.keys(files), mappings = names.filter((name) => name.endsWith("sigma-mapping.yml"));
  const sigma = names.filter((name) => !mappings.includes(name)).map((name) => parseSigma(files[name]!, name));
  const parsed = mappings.map((name) => parseMapping(files[name]!, name, ruleHash(files[name]!)));
  return new SigmaCompiler().compile(sigma, parsed).verdicts;
}

/** A rule for the start of processes with this detection, indented by four. */
export function ruleText(detection: string, more = "", source = "category: process_creation"): string {
  const lines = detection.replace(/^\n|\s+$/g, "").split("\n");
  const indent = Math.min(...lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/)));
  const body = lines.map((line) => `    ${line.slice(indent)}`).join("\n");
  return `title: A test\nid: 00000000-0000-4000-8000-000000000001\nlogsource:\n    product: linux\n    ${source}\n` +
    `detection:\n${body}\n${more}`;
}

/** The verdict on one rule with this detection. */
export function verdictOn(detection: string, mapping?: string): SigmaVerdict {
  const files = { "rule.yml": ruleText(detection), ...mapping === undefined ? {} : { "sigma-mapping.yml": mapping } };
  const verdicts = verdictsOf(files);
  assert.equal(verdicts.length, 1);
  return verdicts[0]!;
}

export function rowOf(row: Row): SqlValue[] {
  const values: SqlValue[] = TABLE.columns.map(() => null);
  for (const [name, value] of Object.entries({ event_type: "start", ...row })) {
    const place = PLACES.get(name);
    assert(place !== undefined, `process_events has no column ${name}`);
    values[place] = value;
  }
  return values;
}

/** Whether a rule matches each of some rows, by the engine; SQLite must say the same of its query. */
export function matches(rule: ValidatedRule, rows: readonly Row[]): boolean[] {
  using engine = new RuleEngine([rule]);
  engine.check();
  const cells = rows.map(rowOf), { hits, faults } = engine.evaluate(cells);
  assert.deepEqual(faults, []);
  const found = cells.map((_, i) => hits.some(({ row }) => row === i));
  assert.deepEqual(bySqlite(rule, cells), found, `SQLite says otherwise of ${rule.sql}`);
  return found;
}

function bySqlite(rule: ValidatedRule, rows: readonly (readonly SqlValue[])[]): boolean[] {
  using db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  db.exec(createTable(TABLE));
  defineFunctions(db, () => 0);
  const insert = db.prepare(`INSERT INTO process_events VALUES (${TABLE.columns.map(() => "?").join(", ")})`);
  const place = PLACES.get("event_id")!;
  rows.forEach((row, i) => insert.run(...row.with(place, i)));
  const { alias, where } = rule.query!.row!;
  const statement = db.prepare(`SELECT event_id FROM process_events AS ${alias} WHERE ${where} ORDER BY event_id`);
  const ids = new Set([...statement.iterate()].map((row) => row["event_id"]));
  return rows.map((_, i) => ids.has(i));
}

/** A detection is live, matches each of the first rows and none of the others. */
export function holds(detection: string, yes: readonly Row[], no: readonly Row[], mapping?: string): void {
  const verdict = verdictOn(detection, mapping);
  assert.deepEqual(verdict.reasons.map(({ message }) => message), [], detection);
  assert.equal(verdict.verdict, "live");
  assert.deepEqual(
    matches(verdict.rule!, [...yes, ...no]),
    [...yes.map(() => true), ...no.map(() => false)],
    detection,
  );
}

/** A detection is not supported, for this reason, at this line of the detection (the first is 1) when one is given. */
export function refuses(detection: string, reason: RegExp, line?: number): void {
  const { verdict, reasons } = verdictOn(detection);
  assert.equal(verdict, "unsupported", detection);
  assert.match(reasons[0]!.reason, reason);
  if (line !== undefined) assert.equal(reasons[0]!.line, line + 6);
}
