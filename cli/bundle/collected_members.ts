/**
 * The tables of a bundle that collectors brought: what columns they have, by what the bundle's `collected_tables` says.
 *
 * That is the word of who made the bundle. Each description is checked as if a collector had sent it, so that its names
 * can stand in SQL; one that a store would leave out is left out here, and a member of its rows is refused then.
 *
 * @module
 */
import { MAX_COLLECTED_TABLES, tableOf } from "../../proto/table_descriptor.ts";
import { DESCRIPTOR_COLUMNS, storedDescriptor } from "../stored_descriptor.ts";
import { type BundledTable, STORE_TABLES, TABLES } from "./members.ts";
import type { BundleReader } from "./reader.ts";
import { BundleRefusedError } from "./bundle_refused.ts";

export const COLLECTED_TABLES = "collected_tables";

/** @throws BundleRefusedError */
export function collectedTables(reader: BundleReader): ReadonlyMap<string, BundledTable> {
  const tables = new Map<string, BundledTable>();
  const places = DESCRIPTOR_COLUMNS.map((name) =>
    TABLES.get(COLLECTED_TABLES)!.columns.findIndex((column) => column.name === name)
  );
  for (const member of reader.manifest.members) {
    if (member.place.kind !== "table" || member.place.table.name !== COLLECTED_TABLES) continue;
    for (const row of reader.rows(member)) {
      const { name, descriptor, fault } = storedDescriptor(places.map((place) => row[place]!));
      if (fault !== null) continue;
      // The agent makes none of these, and beside ours there is no place for another
      if (tables.has(name) || STORE_TABLES.some((table) => table.name === name)) {
        throw new BundleRefusedError(member.name, `It describes a table ${name}, which is there already`);
      }
      if (tables.size === MAX_COLLECTED_TABLES) {
        throw new BundleRefusedError(member.name, `It describes more than ${MAX_COLLECTED_TABLES} tables`);
      }
      tables.set(name, tableOf(descriptor));
    }
  }
  return tables;
}
