/**
 * The manifest of an evidence bundle: what is in it, of which host and time, and the SHA-256 of each member.
 *
 * It is read from a stranger's file: {@linkcode parseManifest} checks every field and bound before anything else of the
 * bundle is looked at, so what stands in a {@linkcode Manifest} can be relied on as far as its hash can.
 *
 * @module
 */
import { SCHEMA_VERSION } from "../../proto/catalog.ts";
import { type NoteKey, parseVkey } from "../../proto/ledger/note.ts";
import { WireError } from "../../proto/wire_error.ts";
import {
  follows,
  LEDGER_PIECE_BYTES,
  MAX_CONTENT_BYTES,
  MAX_MEMBERS,
  MAX_STORED_BYTES,
  type MemberPlace,
  parseMember,
  TABLES,
} from "./members.ts";

/** Of the container and of what is in it; the schema of the tables has a number of its own. */
export const FORMAT_VERSION = 1;
export const FORMAT_NAME: string = `daemoneye-bundle/${FORMAT_VERSION}`;

/** Of another version of ours. */
export class NewerBundleError extends Error {
  override name = "NewerBundleError";
}

/** A time from the first to the last moment, in Unix milliseconds; `null` is open. */
export interface Span {
  readonly from: number | null;
  readonly until: number | null;
}

export interface Member {
  readonly name: string;
  /** Length and SHA-256 of the member as it is stored. */
  readonly stored: number;
  readonly sha256: string;
  /** Length of what it holds, when it is unpacked. */
  readonly bytes: number;
  /** Of a table. */
  readonly rows: number | null;
  readonly place: MemberPlace;
}

export interface Manifest {
  readonly product: string;
  /** Of the newest thing in the state, or as it was given: what "now" is in this bundle. */
  readonly time: number;
  readonly host: string | null;
  readonly asked: Span;
  /** Of the first and the last event. */
  readonly given: Span;
  /** What the bundle cannot tell, in sentences. */
  readonly lacks: readonly string[];
  /** Newest checkpoint of the ledger, if there is one. */
  readonly ledger: { readonly origin: string; readonly size: number; readonly root: string } | null;
  readonly signer: NoteKey | null;
  readonly members: readonly Member[];
}

const MAX_LACKS = 100, MAX_TEXT = 4_096;

/** One text for each manifest. `signer` is a verifier key. */
export function formatManifest(
  manifest: Omit<Manifest, "members" | "signer"> & {
    readonly signer: string | null;
    readonly members: readonly Omit<Member, "place">[];
  },
): string {
  const { product, time, host, asked, given, lacks, ledger, signer, members } = manifest;
  const head = JSON.stringify(
    { format: FORMAT_NAME, product, schema: SCHEMA_VERSION, time, host, asked, given, lacks, ledger, signer },
    null,
    1,
  );
  // A line for each member, so that two manifests can be compared by eye
  const lines = members.map(({ name, stored, sha256, bytes, rows }) =>
    `  ${JSON.stringify({ name, stored, sha256, bytes, rows })}`
  );
  return `${head.slice(0, -2)},\n "members": [\n${lines.join(",\n")}\n ]\n}\n`;
}

/** @throws NewerBundleError @throws WireError */
export function parseManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WireError("It is not JSON", { cause });
  }
  const fields = object(value, "It");
  if (fields["format"] !== FORMAT_NAME) throw new WireError(`It is not of the format ${FORMAT_NAME}`);
  const schema = whole(fields["schema"], "schema");
  if (schema !== SCHEMA_VERSION) {
    throw new NewerBundleError(
      `its tables are of schema version ${schema}, and this program knows ${SCHEMA_VERSION}: use the CLI of the version ` +
        `that made it (${JSON.stringify(fields["product"])?.slice(0, 40)})`,
    );
  }
  const members = membersOf(fields["members"]), ledger = fields["ledger"];
  if ((ledger !== null) !== members.some(({ place }) => place.kind === "ledger")) {
    throw new WireError("It names a ledger and has none, or has one and does not name it");
  }
  return {
    product: string(fields["product"], "product"),
    time: whole(fields["time"], "time"),
    host: fields["host"] === null ? null : string(fields["host"], "host"),
    asked: spanOf(fields["asked"], "asked"),
    given: spanOf(fields["given"], "given"),
    lacks: list(fields["lacks"], "lacks", MAX_LACKS).map((each) => string(each, "lacks")),
    ledger: ledger === null ? null : ledgerOf(object(ledger, "ledger")),
    signer: fields["signer"] === null ? null : parseVkey(string(fields["signer"], "signer")),
    members,
  };
}

/** How the sentence begins that says that there is no ledger: answers from the tables lack nothing by that. */
export const NO_LEDGER = "The ledger is left out: ";

/** Of what a bundle lacks, what touches answers from its tables. */
export function lacksInTables({ lacks }: Manifest): readonly string[] {
  return lacks.filter((lack) => !lack.startsWith(NO_LEDGER));
}

/** Rows of each table that has any, in the order of the bundle. */
export function rowCounts(members: readonly Pick<Member, "place" | "rows">[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { place, rows } of members) {
    const name = rowsName(place);
    if (name !== null) counts.set(name, (counts.get(name) ?? 0) + (rows ?? 0));
  }
  return counts;
}

/** A collector may call its table as a bundle calls what it makes of files. */
function rowsName(place: MemberPlace): string | null {
  if (place.kind === "table") return place.table.name;
  if (place.kind !== "collected") return null;
  return TABLES.has(place.table) ? `collected/${place.table}` : place.table;
}

function membersOf(value: unknown): Member[] {
  const members: Member[] = [];
  let before: Member | null = null;
  for (const each of list(value, "members", MAX_MEMBERS)) {
    const fields = object(each, "A member"), name = string(fields["name"], "name of a member");
    const place = parseMember(name), shown = JSON.stringify(name.slice(0, 100));
    if (place === null) throw new WireError(`A bundle has no member named ${shown}`);
    if (!follows(before?.place ?? null, place)) {
      throw new WireError(
        `The member ${shown} stands where it may not: twice, without the one before, or out of order`,
      );
    }
    const sha256 = string(fields["sha256"], `sha256 of ${shown}`);
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new WireError(`The sha256 of ${shown} is none`);
    const stored = whole(fields["stored"], `stored of ${shown}`), bytes = whole(fields["bytes"], `bytes of ${shown}`);
    if (stored > MAX_STORED_BYTES || bytes > MAX_CONTENT_BYTES) {
      throw new WireError(`The member ${shown} has ${stored} bytes, ${bytes} unpacked: more than a member may have`);
    }
    const rows = fields["rows"] === null ? null : whole(fields["rows"], `rows of ${shown}`);
    if ((rows === null) === (place.kind === "table" || place.kind === "collected")) {
      throw new WireError(`The rows of ${shown} are not as they must be`);
    }
    if (continues(before, place) && before!.bytes !== LEDGER_PIECE_BYTES) {
      throw new WireError(`The member ${JSON.stringify(before!.name)} is not the last of its file, and too short`);
    }
    before = { name, stored, sha256, bytes, rows, place };
    members.push(before);
  }
  return members;
}

function continues(before: Member | null, place: MemberPlace): boolean {
  return before !== null && before.place.kind === "ledger" && place.kind === "ledger" &&
    before.place.file === place.file;
}

function ledgerOf(fields: Readonly<Record<string, unknown>>): NonNullable<Manifest["ledger"]> {
  return {
    origin: string(fields["origin"], "origin of the ledger"),
    size: whole(fields["size"], "size of the ledger"),
    root: string(fields["root"], "root of the ledger"),
  };
}

function spanOf(value: unknown, name: string): Span {
  const fields = object(value, name);
  const end = (end: "from" | "until"): number | null => fields[end] === null ? null : signed(fields[end], name);
  return { from: end("from"), until: end("until") };
}

function object(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new WireError(`${name} is no object`);
  return value as Record<string, unknown>;
}

function list(value: unknown, name: string, most: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most) throw new WireError(`${name} is no list of at most ${most}`);
  return value;
}

function string(value: unknown, name: string): string {
  if (typeof value !== "string" || value.length > MAX_TEXT) throw new WireError(`The ${name} is no text`);
  return value;
}

function whole(value: unknown, name: string): number {
  const number = signed(value, name);
  if (number < 0) throw new WireError(`The ${name} is below 0`);
  return number;
}

function signed(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value)) throw new WireError(`The ${name} is no whole number`);
  return value as number;
}
