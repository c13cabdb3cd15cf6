/**
 * Small tables about hosts and their collectors: gaps, sources, facts about the host, and numbers that outlive the agent.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Gap } from "../../proto/process_event.ts";
import type { SourceStatus } from "../../proto/status.ts";
import { insertInto } from "./insert_into.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";

/** All of it within transactions of the store. */
export class HostTables {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(db: DatabaseSync) {
    this.#statements = prepare(db);
  }

  putGap(gapId: number, { source, recordKind, from, to, count, reason }: Gap, collectorId: string): void {
    const times = [Math.round(from), Math.round(to)];
    this.#statements.insertGap.run(gapId, source, recordKind, ...times, count, reason, collectorId);
  }

  /** A gap that no collector reported, or when `id` is given, in its place; returns its id. */
  putOwnGap(gap: Gap, collectorId: string, id: number | null): number {
    const gapId = id ?? this.#statements.freeGap.get()!["id"] as number;
    if (id !== null) this.#statements.deleteGap.run(id);
    this.putGap(gapId, gap, collectorId);
    return gapId;
  }

  replaceSources(collectorId: string, sources: readonly SourceStatus[], now: number): void {
    const s = this.#statements;
    s.deleteSources.run(collectorId);
    for (const { name, state, detail, misses, unknownColumns } of sources) {
      s.putSource.run(collectorId, name, state, detail, JSON.stringify(misses), JSON.stringify(unknownColumns), now);
    }
  }

  putFacts(facts: Readonly<Record<string, string>>, now: number): void {
    for (const [name, value] of Object.entries(facts)) this.#statements.putFact.run(name, value, now);
  }

  /** `null` when none was set. */
  number(name: string): number | null {
    return this.#statements.number.get(name)?.["value"] as number | undefined ?? null;
  }

  setNumber(name: string, value: number): void {
    this.#statements.setNumber.run(name, value);
  }
}

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  return {
    insertGap: db.prepare(insertInto("gaps")),
    deleteGap: db.prepare("DELETE FROM gaps WHERE gap_id = ?"),
    // Below the ids of the first stream: gaps that no collector reported
    freeGap: db.prepare(
      `SELECT coalesce(max(gap_id), 0) + 1 AS id FROM gaps WHERE gap_id < ${SEQUENCES_PER_STREAM}`,
    ),
    deleteSources: db.prepare("DELETE FROM sources WHERE collector_id = ?"),
    putSource: db.prepare(insertInto("sources") + " ON CONFLICT DO NOTHING"),
    putFact: db.prepare("INSERT OR REPLACE INTO system_info (name, value, time) VALUES (?, ?, ?)"),
    number: db.prepare("SELECT value FROM agent_state WHERE name = ?"),
    setNumber: db.prepare("INSERT OR REPLACE INTO agent_state VALUES (?, ?)"),
  } satisfies Record<string, StatementSync>;
}
