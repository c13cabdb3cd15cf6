/**
 * Tries mutations of attacks on the guard.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import { Random } from "../../fuzz/random.ts";
import { ATTACKS, mutated } from "./attacks.ts";

export interface Assault {
  /** Queries that the guard let through. */
  readonly through: readonly string[];
  /** What the guard threw that is no refusal. */
  readonly strange: readonly string[];
  /** How many of each class were tried. */
  readonly tried: ReadonlyMap<string, number>;
}

/** Classes take turns, so that a large one does not crowd out the others. */
export function assault(seed: number, mutations: number): Assault {
  const random = new Random(seed), through: string[] = [], strange: string[] = [], tried = new Map<string, number>();
  for (let i = 0; i < mutations; i++) {
    random.reseed(seed, i);
    const { name, queries } = ATTACKS[i % ATTACKS.length]!;
    tried.set(name, (tried.get(name) ?? 0) + 1);
    const query = mutated(random.pick(queries), random);
    try {
      guardSql(query, random.pick(["hunt", "window", "rule"]));
      through.push(query);
    } catch (error) {
      if (!(error instanceof SqlRefusedError)) strange.push(`${query}: ${error}`);
    }
  }
  return { through, strange, tried };
}

/** Whether SQLite prepares a query. */
export function stands(db: DatabaseSync, query: string): boolean {
  try {
    db.prepare(query);
    return true;
  } catch {
    return false;
  }
}
