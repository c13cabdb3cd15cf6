/**
 * The table of rules, as readers see it.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { RuleStatus } from "../../proto/status.ts";
import { insertInto } from "./insert_into.ts";

/** Rules that are written in one transaction. */
const RULES_A_TRANSACTION = 256;
/** A rule as the table shows it. */
export interface RuleRow extends RuleStatus {
  readonly description: string | null;
  readonly tags: readonly string[];
  readonly sql: string | null;
}

export class RuleTable {
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #ids: StatementSync;
  /** What the table holds, by id; `null` before it was written, and after a failure. */
  #written: ReadonlyMap<string, string> | null = null;

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare(insertInto("detection_rules").replace("INSERT", "INSERT OR REPLACE"));
    this.#delete = db.prepare("DELETE FROM detection_rules WHERE rule_id = ?");
    this.#ids = db.prepare("SELECT rule_id FROM detection_rules");
  }

  /**
   * Makes the table these rules; of two with one id the first counts, and only what differs is written. In steps of a
   * transaction each, with room for other work between them but not for other rules: who reads meanwhile sees some rules
   * as they were.
   */
  *replacing(rules: readonly RuleRow[], transaction: (body: () => void) => void): Generator<void> {
    const written = this.#written ?? new Map([...this.#ids.iterate()].map((row) => [row["rule_id"] as string, ""]));
    const next = new Map<string, string>();
    // What a failure leaves half done is written anew
    this.#written = null;
    for (let at = 0; at < rules.length; at += RULES_A_TRANSACTION) {
      transaction(() => {
        for (const rule of rules.slice(at, at + RULES_A_TRANSACTION)) this.#put(rule, written, next);
      });
      yield;
    }
    const gone = [...written.keys()].filter((id) => !next.has(id));
    if (gone.length > 0) transaction(() => gone.forEach((id) => this.#delete.run(id)));
    this.#written = next;
  }

  #put(r: RuleRow, written: ReadonlyMap<string, string>, next: Map<string, string>): void {
    if (next.has(r.id)) return;
    const tags = JSON.stringify(r.tags), fault = [r.state, r.line, r.column, r.reason];
    const cells = [r.id, r.title, r.description, r.severity, tags, r.sql, r.file, ...fault, r.hash];
    // The hash stands for what the file says; the rest can change without it
    const said = JSON.stringify(r.hash === null ? cells : [r.hash, r.severity, r.file, ...fault]);
    next.set(r.id, said);
    if (written.get(r.id) !== said) this.#insert.run(...cells);
  }
}
