/**
 * Writes a log and reads it again, as a program of its own with the permissions that a test gives it.
 *
 * @module
 */
import { DiskStorage } from "../../../collector/wal/disk_storage.ts";
import { open, outline, readAll, write } from "./support.ts";

const log = open(new DiskStorage(Deno.args[0]!));
write(log, 3);
console.log(outline(readAll(log)));
log.close();
