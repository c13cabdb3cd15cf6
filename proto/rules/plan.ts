/**
 * How SQLite goes about a query: the steps of EXPLAIN QUERY PLAN.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { CATALOG } from "../catalog.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { defineFunctions } from "./user_functions.ts";

export interface PlanStep {
  /** 0 for a step of the query itself, more for one of a part of it. */
  readonly depth: number;
  readonly detail: string;
}

/** The steps of a query that the database could run now. */
export function planSteps(db: DatabaseSync, sql: string): PlanStep[] {
  const depths = new Map<number, number>();
  return [...db.prepare(`EXPLAIN QUERY PLAN ${sql}`).iterate()].map((row) => {
    const depth = (depths.get(row["parent"] as number) ?? -1) + 1;
    depths.set(row["id"] as number, depth);
    return { depth, detail: String(row["detail"]) };
  });
}

/**
 * The steps of a guarded query over tables with the keys and indexes of the store. There each table is seen through
 * views over partitions, whose steps are the same once a partition and cannot be read for it.
 */
export function catalogPlan(sql: string, collected: TableSet = NO_TABLES): PlanStep[] {
  const db = new DatabaseSync(":memory:");
  try {
    defineFunctions(db, () => 0);
    for (const { name, columns, key, indexes } of [...CATALOG.values(), ...collected.values()]) {
      db.exec(`CREATE TABLE ${name} (${columns.map((column) => `${column.name} ${column.type}`).join(", ")},
        PRIMARY KEY (${key.join(", ")}))`);
      for (const index of indexes) db.exec(`CREATE INDEX ${name}_${index.join("_")} ON ${name} (${index.join(", ")})`);
    }
    return planSteps(db, sql);
  } finally {
    db.close();
  }
}

/** Whether rows are sorted all at once; what keeps rows apart or in order one by one is no such step. */
export function sortsRows(steps: readonly PlanStep[]): boolean {
  return steps.some(({ detail }) => /^USE TEMP B-TREE FOR .*(?:GROUP|ORDER) BY$/.test(detail));
}

/** The steps as lines, indented as they nest. */
export function planLines(steps: readonly PlanStep[]): string[] {
  return steps.map(({ depth, detail }) => "  ".repeat(depth) + detail);
}
