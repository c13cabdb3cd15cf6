/**
 * What rules of the type `first_seen` remember, in the store: a number for each value, written with the events that were
 * judged, so that neither is there without the other.
 *
 * The table is `agent_state`. A value is `seen RULE FINGERPRINT KEY`, its number the time that it was seen for; a rule's
 * beginning and the time when it last forgot for want of room have the keys `began` and `forgot`, which no value has: those
 * begin with `[` or have 24 digits. How many values there are is bounded by the rule.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SeenChanges, SeenMemory } from "../../proto/rules/seen_table.ts";

const PREFIX = "seen ";
/** The first text that is not `seen …`: what follows a space is `!`. */
const END = "seen!";

/** What one rule remembers, values by the time for which they were seen, oldest first. */
export interface StoredMemory {
  readonly memory: SeenMemory;
  readonly values: readonly (readonly [string, number])[];
}

export class SeenValues {
  readonly #put: StatementSync;
  readonly #drop: StatementSync;
  readonly #clear: StatementSync;
  readonly #others: StatementSync;
  readonly #all: StatementSync;

  constructor(db: DatabaseSync) {
    this.#put = db.prepare("INSERT OR REPLACE INTO agent_state VALUES (?, ?)");
    this.#drop = db.prepare("DELETE FROM agent_state WHERE name = ?");
    this.#clear = db.prepare("DELETE FROM agent_state WHERE name >= ?1 AND name < ?2");
    this.#others = db.prepare(
      "DELETE FROM agent_state WHERE name >= ?1 AND name < ?2 AND substr(name, 1, length(?3)) <> ?3",
    );
    this.#all = db.prepare("SELECT name, value FROM agent_state WHERE name >= ? AND name < ? ORDER BY value, rowid");
  }

  /** To be called within the transaction of the batch. */
  apply({ ruleId, fingerprint, began, forgot, values }: SeenChanges): void {
    const rule = `${PREFIX}${ruleId} `, own = `${rule}${fingerprint} `;
    // What the rule looked for before it was changed
    this.#others.run(rule, `${PREFIX}${ruleId}!`, own);
    this.#put.run(`${own}began`, Math.round(began));
    if (forgot > 0) this.#put.run(`${own}forgot`, Math.round(forgot));
    for (const [key, time] of values) {
      if (time === null) this.#drop.run(own + key);
      else this.#put.run(own + key, Math.round(time));
    }
  }

  /** Everything that is remembered. */
  load(): StoredMemory[] {
    const found = new Map<string, { memory: SeenMemory; began: boolean; values: [string, number][] }>();
    for (const row of this.#all.iterate(PREFIX, END)) {
      const name = row["name"] as string, value = row["value"] as number;
      const parts = /^seen ([a-z0-9-]+) ([0-9a-f]+) (.*)$/s.exec(name);
      if (parts === null) continue;
      const [, ruleId, fingerprint, key] = parts as unknown as [string, string, string, string];
      const id = `${ruleId} ${fingerprint}`;
      let of = found.get(id);
      if (of === undefined) {
        found.set(id, of = { memory: { ruleId, fingerprint, began: 0, forgot: 0 }, began: false, values: [] });
      }
      if (key === "began") {
        of.memory = { ...of.memory, began: value };
        of.began = true;
      } else if (key === "forgot") of.memory = { ...of.memory, forgot: value };
      else of.values.push([key, value]);
    }
    return [...found.values()].filter(({ began }) => began).map(({ memory, values }) => ({ memory, values }));
  }

  /** Forgets a rule that is gone. To be called within a transaction. */
  forget(ruleId: string): void {
    this.#clear.run(`${PREFIX}${ruleId} `, `${PREFIX}${ruleId}!`);
  }
}
