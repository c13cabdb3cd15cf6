/**
 * A writer of a store that commits one event, says so, and waits to be killed.
 *
 * @module
 */
import { openDatabase } from "../../agent/store/database.ts";
import { Partitions } from "../../agent/store/partitions.ts";
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";

const db = openDatabase(Deno.args[0]!);
const event: Record<string, SqlValue> = { event_id: 1, time: 1, event_type: "start", pid: 4242, name: "killed" };
new Partitions(db).insert(tableNamed("process_events").columns.map(({ name }) => event[name] ?? null));
console.log("committed");
setInterval(() => db.isOpen, 1_000);
