/**
 * What `collected_tables` says of a table that a collector brought, in a store or in a bundle.
 *
 * What is written there is the agent's word, or that of who made the bundle: it is checked as if a collector sent it,
 * before a name of it stands in any SQL.
 *
 * @module
 */
import { descriptorFault, type TableDescriptor } from "../proto/table_descriptor.ts";
import type { Cell } from "./output.ts";

/** Columns of `collected_tables` that {@linkcode storedDescriptor} takes, in this order. */
export const DESCRIPTOR_COLUMNS = ["table_name", "version", "description", "columns"] as const;

/** A descriptor as it is stored; `fault` says why it is none. */
export interface StoredDescriptor {
  readonly name: string;
  readonly descriptor: TableDescriptor;
  readonly fault: string | null;
}

export function storedDescriptor(row: readonly Cell[]): StoredDescriptor {
  const [name, version, description, json] = row.map(String) as [string, string, string, string];
  const columns = parsed(json),
    descriptor = { name, version: Number(version), description, columns } as TableDescriptor;
  const isList = Array.isArray(columns) && columns.every(isColumn);
  return { name, descriptor, fault: isList ? descriptorFault(descriptor) : "its columns cannot be read" };
}

function isColumn(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { name, type, description } = value as Record<string, unknown>;
  return typeof name === "string" && typeof type === "string" && typeof description === "string";
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
