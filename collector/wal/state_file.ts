/**
 * A small file beside the segments, written in place: what the log must remember even when the disk is full.
 *
 * Its blocks are allocated when it is made, so a tally of refused items finds room when nothing else does (on a file
 * system that copies on write this holds no longer; then the tally waits in memory, which the log's status says). Four
 * sectors, each with a checksum: two that are written in turn and synced, so that a crash leaves one of them whole, and
 * two hints that are written in turn and never synced. A hint says how far the log was known to be on disk: what it
 * claims is true whenever it was written, so a lost hint costs certainty about the log's end and nothing else.
 *
 * @module
 */
import { crc32c } from "../../proto/crc32c.ts";
import {
  getName,
  getU48,
  putName,
  putU48,
  SECRET_BYTES,
  TALLY_CLASSES,
  WAL_VERSION,
  type WalIdentity,
} from "./format.ts";
import { ITEM_CLASSES, type Tally } from "./shedding.ts";
import { readFully, type Storage, StorageError, type StorageFile, writeAll } from "./storage.ts";

export const STATE_NAME = "state";
/** The file while it is made; left over by a crash, it is worth nothing. */
export const FRESH_STATE_NAME = "state.new";

const SECTOR_BYTES = 512, SECTORS = 4;
/** The first is for what is synced, the third for hints; each has its twin behind it. */
const SYNCED = 0, HINTS = 2;
const MAGIC = 0x5357_4544;
/** Two a class: one on its way into the log, one that grows. */
const TALLY_BYTES = 22, GENERATION_AT = 236, TALLIES_AT = 240, MAX_TALLIES = 2 * TALLY_CLASSES;

export interface WalState extends WalIdentity {
  readonly secret: Uint8Array;
  /** Every number up to here is known to have been on disk. */
  readonly durable: number;
  /** Every number up to here was acknowledged. */
  readonly acknowledged: number;
  readonly tallies: readonly Tally[];
  /** The number of the newest tally, settled or not. */
  readonly tallyGeneration: number;
}

interface Sector {
  readonly generation: number;
  readonly state: WalState;
}

/** What a state file holds, as far as it is whole. */
export interface FoundState {
  readonly state: WalState | null;
  /** The version of another program that wrote it. */
  readonly version: number | null;
  /** Sectors that are not whole. */
  readonly damaged: number;
}

/** Reads a state file. @throws StorageError */
export function readState(file: StorageFile): FoundState & { readonly generations: readonly number[] } {
  const bytes = new Uint8Array(SECTOR_BYTES * SECTORS);
  const length = readFully(file, 0, bytes);
  const sectors: (Sector | null)[] = [];
  let damaged = length < bytes.length ? 1 : 0, version: number | null = null;
  for (let at = 0; at < SECTORS; at++) {
    const found = decodeSector(bytes.subarray(at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES));
    sectors.push(found !== null && "state" in found ? found : null);
    // The file is made with all sectors whole, so one of zeros is damaged as well.
    if (found === null) damaged += 1;
    else if (!("state" in found)) version = found.version;
  }
  const whole = sectors.filter((sector) => sector !== null);
  // Tallies are the newest synced ones; how far the log came is the furthest that anybody says.
  const synced = newest(sectors.slice(SYNCED, SYNCED + 2)) ?? newest(whole);
  const state = synced === null ? null : {
    ...synced.state,
    durable: Math.max(...whole.map((each) => each.state.durable)),
    acknowledged: Math.max(...whole.map((each) => each.state.acknowledged)),
    tallyGeneration: Math.max(...whole.map((each) => each.state.tallyGeneration)),
  };
  return { state, version, damaged, generations: sectors.map((sector) => sector?.generation ?? 0) };
}

/** The file open for writing. */
export class StateFile {
  #generation: number;
  #hint: number = 0;
  /** Whether a crash may bring back the file that was replaced last, so that the one with the name must not be used. */
  unsure = false;

  private constructor(private readonly storage: Storage, private file: StorageFile | null, generation: number) {
    this.#generation = generation;
  }

  /** Goes on with a file that was read. */
  static reuse(storage: Storage, file: StorageFile, generations: readonly number[]): StateFile {
    return new StateFile(storage, file, Math.max(...generations));
  }

  /** One that has no file yet: the first {@linkcode save} makes it. */
  static absent(storage: Storage): StateFile {
    return new StateFile(storage, null, 0);
  }

  /** Puts the state on disk. @throws StorageError when it is not known to be there. */
  save(state: WalState): void {
    const file = this.file;
    if (file === null) return this.#replace(state);
    // The twin of the sector that was written last stays whole whatever happens to this one.
    const generation = this.#generation + 1;
    let synced = false;
    try {
      writeAll(file, (SYNCED + generation % 2) * SECTOR_BYTES, encodeSector(generation, state));
      synced = true;
      file.syncData();
      this.#generation = generation;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      // Copying on write can need room also here; a second file would need more.
      if (error.fault === "no-space" && !synced) throw error;
      // After a sync that failed the next one may succeed without having written: such a file is never used again.
      this.file = null;
      file.close();
      this.#replace(state);
    }
  }

  /** Writes how far the log has come, not synced. A failure costs nothing but the hint. */
  hint(state: WalState): void {
    if (this.file === null) return;
    try {
      this.#hint += 1;
      const sector = encodeSector(this.#generation, { ...state, tallies: [] });
      writeAll(this.file, (HINTS + this.#hint % 2) * SECTOR_BYTES, sector);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
    }
  }

  close(): void {
    this.file?.close();
    this.file = null;
  }

  /** Makes the file anew beside the old one, whole and synced before it takes its place. */
  #replace(state: WalState): void {
    try {
      this.storage.remove(FRESH_STATE_NAME);
    } catch (error) {
      if (!(error instanceof StorageError) || error.fault !== "missing") throw error;
    }
    const file = this.storage.create(FRESH_STATE_NAME), generation = this.#generation + 1;
    try {
      const bytes = new Uint8Array(SECTOR_BYTES * SECTORS);
      for (let at = 0; at < SECTORS; at++) {
        const tallies = at < HINTS ? state.tallies : [];
        bytes.set(encodeSector(generation, { ...state, tallies }), at * SECTOR_BYTES);
      }
      writeAll(file, 0, bytes);
      file.syncData();
      this.unsure = true;
      this.storage.rename(FRESH_STATE_NAME, STATE_NAME);
      this.storage.syncDirectory();
      this.unsure = false;
    } catch (error) {
      file.close();
      throw error;
    }
    this.file = file;
    this.#generation = generation;
  }
}

function newest(sectors: readonly (Sector | null)[]): Sector | null {
  return sectors.reduce(
    (best, each) => each !== null && each.generation >= (best?.generation ?? 0) ? each : best,
    null,
  );
}

function encodeSector(generation: number, state: WalState): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES), view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, WAL_VERSION, true);
  bytes[6] = Math.min(state.tallies.length, MAX_TALLIES);
  putU48(view, 8, generation);
  putU48(view, 16, state.durable);
  putU48(view, 24, state.acknowledged);
  bytes.set(state.secret, 32);
  let at = 32 + SECRET_BYTES;
  for (const text of [state.host, state.collectorId, state.epoch]) at = putName(bytes, at, text);
  view.setUint32(GENERATION_AT, state.tallyGeneration, true);
  state.tallies.slice(0, MAX_TALLIES).forEach((tally, i) => {
    const place = TALLIES_AT + i * TALLY_BYTES;
    view.setUint32(place, tally.generation * 8 + ITEM_CLASSES.indexOf(tally.itemClass), true);
    putU48(view, place + 4, tally.count);
    putU48(view, place + 10, tally.from);
    putU48(view, place + 16, tally.to);
  });
  view.setUint32(SECTOR_BYTES - 4, crc32c(bytes.subarray(0, SECTOR_BYTES - 4)), true);
  return bytes;
}

function decodeSector(bytes: Uint8Array): Sector | { readonly version: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, SECTOR_BYTES);
  if (view.getUint32(0, true) !== MAGIC) return null;
  if (crc32c(bytes.subarray(0, SECTOR_BYTES - 4)) !== view.getUint32(SECTOR_BYTES - 4, true)) return null;
  const version = view.getUint16(4, true);
  if (version !== WAL_VERSION) return { version };
  const names: string[] = [];
  for (let at = 32 + SECRET_BYTES; names.length < 3; at += 1 + bytes[at]!) names.push(getName(bytes, at));
  const [host, collectorId, epoch] = names as [string, string, string];
  const tallies: Tally[] = [];
  for (let i = 0; i < Math.min(bytes[6]!, MAX_TALLIES); i++) {
    const place = TALLIES_AT + i * TALLY_BYTES,
      which = view.getUint32(place, true),
      itemClass = ITEM_CLASSES[which % 8];
    if (itemClass === undefined) return null;
    tallies.push({
      itemClass,
      generation: which >>> 3,
      count: getU48(view, place + 4),
      from: getU48(view, place + 10),
      to: getU48(view, place + 16),
    });
  }
  const state: WalState = {
    host,
    collectorId,
    epoch,
    secret: bytes.slice(32, 32 + SECRET_BYTES),
    durable: getU48(view, 16),
    acknowledged: getU48(view, 24),
    tallies,
    tallyGeneration: view.getUint32(GENERATION_AT, true),
  };
  return { generation: getU48(view, 8), state };
}
