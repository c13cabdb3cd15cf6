/**
 * A small file of two slots, written in turn, of which a crash leaves one whole.
 *
 * What {@linkcode SlotFile.save} returned from is on disk. A save that failed is repeated into the same slot, so that the
 * other one stays what it was. {@linkcode SlotFile.replace} writes both, so that nothing of the old content is left in the
 * file; what a copying file system or a flash disk keeps elsewhere is out of its reach.
 *
 * @module
 */
import { decodeSlot, encodeSlot, SLOT_BYTES, SLOTS } from "../../proto/ledger/layout.ts";
import { readFully, type Storage, StorageError, type StorageFile, writeAll } from "../wal/storage.ts";

export class SlotFile {
  private constructor(private readonly file: StorageFile, private generation: number) {}

  /** Makes the file, whole and durable before it has its name; what had that name is replaced. @throws StorageError */
  static create(storage: Storage, name: string, content: Uint8Array): SlotFile {
    const bytes = new Uint8Array(SLOT_BYTES * SLOTS);
    for (let slot = 0; slot < SLOTS; slot++) bytes.set(encodeSlot(slot, content), slot * SLOT_BYTES);
    const file = writeWhole(storage, name, bytes);
    return new SlotFile(file, SLOTS - 1);
  }

  /**
   * Opens the file; `null` content when no slot is whole.
   *
   * What is read may be in memory only, left by a sync that failed before: so it is written again.
   *
   * @throws StorageError
   */
  static open(storage: Storage, name: string): { readonly slots: SlotFile; readonly content: Uint8Array | null } {
    const file = storage.open(name);
    try {
      const bytes = new Uint8Array(SLOT_BYTES * SLOTS);
      readFully(file, 0, bytes);
      const found = [0, 1].map((at) => decodeSlot(bytes.subarray(at * SLOT_BYTES, (at + 1) * SLOT_BYTES)));
      const newest = found.reduce((a, b) => b !== null && b.generation >= (a?.generation ?? 0) ? b : a, null);
      if (newest === null) return { slots: new SlotFile(file, 0), content: null };
      const slots = new SlotFile(file, newest.generation - 1);
      slots.save(newest.content);
      if (found.includes(null)) slots.save(newest.content);
      return { slots, content: newest.content };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** @throws StorageError when the content is not known to be on disk. */
  save(content: Uint8Array): void {
    const generation = this.generation + 1;
    writeAll(this.file, (generation % SLOTS) * SLOT_BYTES, encodeSlot(generation, content));
    this.file.syncData();
    this.generation = generation;
  }

  /** Saves, and overwrites what was there before. @throws StorageError */
  replace(content: Uint8Array): void {
    for (let slot = 0; slot < SLOTS; slot++) this.save(content);
  }

  close(): void {
    this.file.close();
  }
}

/** Writes a file under another name, and gives it its own when it is on disk. The file stays open. @throws StorageError */
export function writeWhole(storage: Storage, name: string, bytes: Uint8Array): StorageFile {
  const fresh = `${name}.new`;
  try {
    storage.remove(fresh);
  } catch (error) {
    if (!(error instanceof StorageError) || error.fault !== "missing") throw error;
  }
  const file = storage.create(fresh);
  try {
    writeAll(file, 0, bytes);
    file.syncData();
    storage.rename(fresh, name);
    storage.syncDirectory();
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}
