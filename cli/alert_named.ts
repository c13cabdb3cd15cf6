/**
 * The alert that a person names, by its id or by the number of its event.
 *
 * @module
 */
import { CommandError } from "./command.ts";
import type { Store } from "./store_reader.ts";

export interface NamedAlert {
  readonly id: string;
  readonly time: number;
  readonly ruleId: string;
  readonly execId: string;
}

/** @throws CommandError when the store knows none, or one that is of no single process */
export function alertNamed(store: Store, which: string): NamedAlert {
  const isEvent = /^\d{1,16}$/.test(which);
  const [row] = store.rows(
    `SELECT alert_id, time, rule_id, exec_id FROM alerts WHERE ${isEvent ? "event_id" : "alert_id"} = ?
     ORDER BY alert_id LIMIT 1`,
    isEvent ? Number(which) : which,
  );
  if (row === undefined) {
    throw new CommandError(`There is no alert ${which}; alerts lists them, with their event numbers in column EVENT`);
  }
  const [id, time, ruleId, execId] = row;
  if (execId === null) throw new CommandError(`The alert ${id} is of no single process; alerts ${id} says what it saw`);
  return { id: String(id), time: Number(time), ruleId: String(ruleId), execId: String(execId) };
}
