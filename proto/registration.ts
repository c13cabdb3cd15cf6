/**
 * What a collector says of itself once it has proven who it is: what it can see, which tables it fills, how often it says
 * that it lives.
 *
 * A registration is the collector's word. Its shape is bounded here; what in it cannot be true is refused by
 * {@linkcode registrationFault}; and what the collector does later is held against it (`agent/collectors/registry.ts`).
 *
 * @module
 */
import { CATALOG, SCHEMA_VERSION } from "./catalog.ts";
import { descriptorFault, type TableDescriptor } from "./table_descriptor.ts";
import type { MonitoringDomain } from "./task.ts";
import { WireError } from "./wire_error.ts";

/** The version of registrations that this program understands. */
export const REGISTRATION_VERSION = 1;
/** Bounds of the interval between two heartbeats, and what is assumed where nobody says. */
export const MIN_HEARTBEAT_MS = 100, MAX_HEARTBEAT_MS = 60_000, DEFAULT_HEARTBEAT_MS = 5_000;
/** Most tables of one registration, and columns of one table. */
export const MAX_TABLES = 16, MAX_COLUMNS = 256;

/** The tables of the catalog that collectors fill, and the domain that each is of. */
export const TABLE_DOMAINS: Readonly<Record<string, MonitoringDomain>> = {
  process_events: "process",
  processes: "process",
  file_facts: "filesystem",
  file_strings: "filesystem",
  yara_matches: "filesystem",
  memory_facts: "process",
};

/** A table that a collector fills. */
export interface TableSchema {
  /** Its name, of the catalog or of a table that it brings. */
  readonly name: string;
  /** The {@linkcode SCHEMA_VERSION} that the collector was made for. */
  readonly version: number;
  /** Columns that it can fill; those that it leaves out are NULL in its rows. */
  readonly columns: readonly string[];
  /** What the columns hold, of a table that the collector brings; absent for those of the catalog. */
  readonly definition?: Omit<TableDescriptor, "name" | "version">;
}

/** What a collector sees, and in which tables it tells of it. */
export interface Registration {
  /** What kind of collector it is, such as `process-monitor`. */
  readonly collectorType: string;
  /** What it watches, in the document's words. */
  readonly domains: readonly MonitoringDomain[];
  /** Whether it sees what the kernel does, as it does it. */
  readonly kernelLevel: boolean;
  /** Whether it tells of what happens when it happens, not only now and then. */
  readonly realtime: boolean;
  /** Whether it sees all of the host. */
  readonly systemWide: boolean;
  /** The tables that it fills. */
  readonly tables: readonly TableSchema[];
  /** Time between two heartbeats of it. */
  readonly heartbeatMs: number;
  /** Whether it keeps an audit ledger; to one that does not the agent gives nothing to enter. */
  readonly keepsLedger: boolean;
}

const NAME = /^[A-Za-z0-9._+-]{1,64}$/, COLUMN = /^[a-z][a-z0-9_]{0,63}$/;

/** @throws WireError for what no registration may be, whoever sends it */
export function checkRegistration({ collectorType, tables, heartbeatMs }: Registration): void {
  if (!NAME.test(collectorType)) throw new WireError("A collector's type is 1 to 64 letters, digits or one of . _ + -");
  checkHeartbeat(heartbeatMs);
  if (tables.length > MAX_TABLES) throw new WireError(`A registration names ${tables.length} tables`);
  for (const { name, columns } of tables) {
    if (!COLUMN.test(name)) throw new WireError("A table's name is lower-case letters, digits and _");
    if (columns.length > MAX_COLUMNS) throw new WireError(`A table has ${columns.length} columns`);
    if (!columns.every((column) => COLUMN.test(column))) {
      throw new WireError("A column's name is lower-case letters, digits and _");
    }
  }
}

/** @throws WireError */
export function checkHeartbeat(ms: number): void {
  if (!Number.isInteger(ms) || ms < MIN_HEARTBEAT_MS || ms > MAX_HEARTBEAT_MS) {
    throw new WireError(`Heartbeats come every ${MIN_HEARTBEAT_MS} to ${MAX_HEARTBEAT_MS} ms, not ${ms}`);
  }
}

/**
 * Why a registration cannot be true, in words; `null` when it can be. Columns that only a later version of the schema can
 * have are let through: the agent does not read them.
 */
export function registrationFault({ domains, tables }: Registration): string | null {
  const seen = new Set<string>();
  for (const { name, version, columns, definition } of tables) {
    if (seen.has(name)) return `it names the table ${name} twice`;
    seen.add(name);
    const own = descriptorOf({ name, version, columns, ...definition === undefined ? {} : { definition } });
    if (own !== null) {
      const fault = descriptorFault(own);
      if (fault !== null) return fault;
      continue;
    }
    const domain = TABLE_DOMAINS[name], known = CATALOG.get(name);
    if (domain === undefined || known === undefined) return `there is no table ${name} that a collector fills`;
    if (!domains.includes(domain)) return `it fills ${name} and does not see the domain ${domain}`;
    if (version < 1) return `its schema of ${name} has no version`;
    if (version > SCHEMA_VERSION) continue;
    const unknown = columns.find((column) => !known.columns.some((each) => each.name === column));
    if (unknown !== undefined) return `${name} has no column ${unknown} in schema version ${version}`;
  }
  return null;
}

/** A table that the collector brings; `null` for one of the catalog. */
export function descriptorOf({ name, version, definition }: TableSchema): TableDescriptor | null {
  return definition === undefined ? null : { name, version, ...definition };
}

/** What a collector registers of a table that it brings. */
export function tableSchema({ name, version, description, columns }: TableDescriptor): TableSchema {
  return { name, version, columns: columns.map((column) => column.name), definition: { description, columns } };
}

/** What a collector says that fills `process_events`, but for some columns. */
export function processTables(unknownColumns: readonly string[]): TableSchema[] {
  return ["process_events", "processes"].map((name) => ({
    name,
    version: SCHEMA_VERSION,
    columns: CATALOG.get(name)!.columns.map((column) => column.name)
      .filter((column) => !unknownColumns.includes(column)),
  }));
}
