/**
 * The rows of a statement, and whether they are all.
 *
 * @module
 */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { DeadlineViews } from "../proto/rules/deadline_views.ts";
import type { Cell } from "./output.ts";
import { StoreError } from "./store_error.ts";

/** Rows of an answer between two looks at the clock. */
const ROWS_PER_LOOK = 32;

/**
 * In Deno 2.9.6 `iterate()` takes an error of SQLite (a damaged page, no memory) for the end of the rows, and `all()` does
 * not end when a function called from SQL throws. So a mark is set after the last row, and where it is missing the row
 * at fault is asked for alone, by `get()`, which throws.
 */
export function* runMarked(
  db: DatabaseSync,
  views: DeadlineViews,
  sql: string,
  parameters: readonly SQLInputValue[],
): Generator<Cell[]> {
  const nothing = db.prepare(sql).columns().map(() => "NULL").join(", ");
  const marking = db.prepare(`SELECT * FROM (${sql}) UNION ALL SELECT ${nothing} WHERE ${views.mark}()`);
  let count = 0;
  for (const each of marking.iterate(...parameters)) {
    // Rows that come out of a sort pass no view any more
    if (count % ROWS_PER_LOOK === 0) views.look();
    count += 1;
    // The array is nobody else's
    const row = cells(each);
    for (let i = 0; i < row.length; i++) if (typeof row[i] === "bigint") row[i] = narrow(row[i]!);
    yield row;
  }
  if (views.marked) return;
  db.prepare(`SELECT * FROM (${sql}) LIMIT 1 OFFSET ${count}`).get(...parameters);
  throw new StoreError("The store stopped before the last row of the answer, and SQLite does not say why; try again");
}

/** A row as the connection gives it: an array, against what the declarations say. */
export function cells(row: unknown): Cell[] {
  return row as Cell[];
}

/** An integer that is exact as a double becomes one. */
export function narrow(cell: Cell): Cell {
  if (typeof cell !== "bigint") return cell;
  return cell >= Number.MIN_SAFE_INTEGER && cell <= Number.MAX_SAFE_INTEGER ? Number(cell) : cell;
}
