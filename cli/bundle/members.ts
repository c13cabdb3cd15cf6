/**
 * What may be in an evidence bundle, and under which names.
 *
 * A bundle is a POSIX tar (ustar) of regular files with these names only, in this order, each at most once: first the
 * tables, then those that collectors brought, then the daemons' last words, then the ledger, at the end `manifest.json`
 * and `bundle.note`. A name is taken apart here and nowhere else, and none becomes a path of a file system, so a name
 * that leads elsewhere has no meaning.
 *
 * @module
 */
import { CATALOG } from "../../proto/catalog.ts";
import type { Column } from "../../proto/tables/table.ts";
import { CHECKPOINT_NAME, HEADER_NAME, parseSegmentName, STATE_NAME } from "../../proto/ledger/layout.ts";

export const MANIFEST_NAME = "manifest.json", NOTE_NAME = "bundle.note";
/** Longest member as it is stored, and as it is read. */
export const MAX_STORED_BYTES = 67_108_864, MAX_CONTENT_BYTES = 67_108_864;
export const MAX_MEMBERS = 100_000, MAX_MANIFEST_BYTES = 33_554_432, MAX_NOTE_BYTES = 4_096;
/** Pieces of a file of the ledger: all but the last of one have this length. */
export const LEDGER_PIECE_BYTES = 4_194_304;

/** A table of a bundle: one of the store's, or one that is made of files. */
export interface BundledTable {
  readonly name: string;
  readonly columns: readonly Column[];
  /** By which its rows are in order; events are by time. */
  readonly key: readonly string[];
}

function own(name: string, key: readonly string[], columns: Readonly<Record<string, Column["type"]>>): BundledTable {
  return {
    name,
    key,
    columns: Object.entries(columns).map(([name, type]) => ({ name, type, description: "" })),
  };
}

/** Tables of the store that hunts do not see, and that commands read. */
export const STORE_TABLES: readonly BundledTable[] = [
  own("alert_deliveries", ["delivery_id"], {
    delivery_id: "INTEGER",
    alert_id: "TEXT",
    sink: "TEXT",
    state: "TEXT",
    severity: "INTEGER",
    bytes: "INTEGER",
    added_time: "INTEGER",
    attempts: "INTEGER",
    delivered_time: "INTEGER",
    reason: "TEXT",
  }),
  own("alert_windows", ["window_key"], {
    window_key: "TEXT",
    kind: "TEXT",
    rule_id: "TEXT",
    alert_id: "TEXT",
    count: "INTEGER",
    first_time: "INTEGER",
    last_time: "INTEGER",
    left_ms: "INTEGER",
    noted_time: "INTEGER",
    muted_by: "TEXT",
    sample: "TEXT",
  }),
];

/** Files of rules, exceptions and overrides, and the settings with the layer that each comes from. */
export const RULE_FILES: BundledTable = own("rule_files", ["path"], { path: "TEXT", sha256: "TEXT", text: "TEXT" });
export const CONFIGURATION: BundledTable = own("configuration", ["setting"], {
  setting: "TEXT",
  value: "TEXT",
  origin: "TEXT",
});

/** In the order in which they stand in a bundle. */
export const TABLES: ReadonlyMap<string, BundledTable> = new Map(
  [...CATALOG.values(), ...STORE_TABLES, RULE_FILES, CONFIGURATION].map((table) => [table.name, table]),
);
const TABLE_NAMES = [...TABLES.keys()];

/** What a member holds. */
export type MemberPlace =
  | { readonly kind: "table"; readonly table: BundledTable; readonly part: number }
  /** Rows of a table that a collector brought; what its columns are, `collected_tables` says. */
  | { readonly kind: "collected"; readonly table: string; readonly part: number }
  | { readonly kind: "status"; readonly tier: "agent" | "collector" }
  | { readonly kind: "ledger"; readonly file: string; readonly part: number };

/** Most parts of one table or file: six digits. */
const MAX_PARTS = 1_000_000;

export function tableMember(table: string, part: number): string {
  return `${table}/${digits(part)}.jsonl.gz`;
}

export function collectedMember(table: string, part: number): string {
  return `collected/${tableMember(table, part)}`;
}

export function statusMember(tier: "agent" | "collector"): string {
  return `status/${tier}.pb.gz`;
}

export function ledgerMember(file: string, part: number): string {
  return `ledger/${file}/${digits(part)}.gz`;
}

function digits(part: number): string {
  if (part >= MAX_PARTS) throw new RangeError(`A bundle has no room for part ${part}`);
  return String(part).padStart(6, "0");
}

/** What a name says; `null` for every other name. */
export function parseMember(name: string): MemberPlace | null {
  const [, table, tablePart] = /^([a-z_]{1,40})\/([0-9]{6})\.jsonl\.gz$/.exec(name) ?? [];
  const found = table === undefined ? undefined : TABLES.get(table);
  if (found !== undefined) return { kind: "table", table: found, part: Number(tablePart) };
  const [, collected, collectedPart] = /^collected\/([a-z][a-z0-9_]{2,47})\/([0-9]{6})\.jsonl\.gz$/.exec(name) ?? [];
  if (collected !== undefined) return { kind: "collected", table: collected, part: Number(collectedPart) };
  if (name === statusMember("agent")) return { kind: "status", tier: "agent" };
  if (name === statusMember("collector")) return { kind: "status", tier: "collector" };
  const [, file, filePart] = /^ledger\/([a-z0-9-]{1,40})\/([0-9]{6})\.gz$/.exec(name) ?? [];
  if (file === undefined || !isLedgerFile(file)) return null;
  return { kind: "ledger", file, part: Number(filePart) };
}

/** Whether a ledger has files of this name; what else lies beside them is not taken along. */
export function isLedgerFile(name: string): boolean {
  return name === HEADER_NAME || name === STATE_NAME || name === CHECKPOINT_NAME || parseSegmentName(name) !== null;
}

/** Whether `next` may stand behind `before`, the first behind `null`. Two that are the same may not. */
export function follows(before: MemberPlace | null, next: MemberPlace): boolean {
  const stream = (place: MemberPlace): readonly [number, string] => {
    switch (place.kind) {
      case "table":
        return [TABLE_NAMES.indexOf(place.table.name), ""];
      case "collected":
        return [TABLE_NAMES.length, place.table];
      case "status":
        return [TABLE_NAMES.length + 1, place.tier];
      case "ledger":
        return [TABLE_NAMES.length + 2, place.file];
    }
  };
  const part = next.kind === "status" ? 0 : next.part, [rank, name] = stream(next);
  if (before === null) return part === 0;
  const [rankBefore, nameBefore] = stream(before);
  if (rank === rankBefore && name === nameBefore) return before.kind !== "status" && part === before.part + 1;
  return part === 0 && (rank > rankBefore || (rank === rankBefore && name > nameBefore));
}
