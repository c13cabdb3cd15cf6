/**
 * A writer of a store that commits one event, says so, and waits to be killed.
 *
 * @module
 */
import { openDatabase } from "../../agent/store/database.ts";

const db = openDatabase(Deno.args[0]!);
db.exec("INSERT INTO process_events (event_id, time, event_type, pid, name) VALUES (1, 1, 'start', 4242, 'killed')");
console.log("committed");
setInterval(() => db.isOpen, 1_000);
