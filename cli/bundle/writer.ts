/**
 * Writes an evidence bundle to a stream: member after member, the manifest and its note at the end.
 *
 * A member is packed in memory, since its header tells its length; nothing else is kept but what the manifest says of it.
 * The same members give the same bytes: headers have no time, and neither has gzip's.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { BLOCK, tarHeader, tarRoom } from "../tar.ts";
import { formatManifest, type Manifest, type Member } from "./manifest.ts";
import { MANIFEST_NAME, NOTE_NAME } from "./members.ts";
import { type BundleSigner, formatBundleNote } from "./note.ts";
import { formatVkey } from "../../proto/ledger/note.ts";

/** Of zlib: level 6 takes twice as long for a tenth less. */
const LEVEL = 3;

export class BundleWriter {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #members: Omit<Member, "place">[] = [];
  /** Bytes that were written. */
  length = 0;

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /** Adds a member; `rows` of a table. The caller keeps to the order of the members. */
  add(name: string, content: Uint8Array, rows: number | null): void {
    const stored = new Uint8Array(gzipSync(content, { level: LEVEL }));
    this.#members.push({
      name,
      stored: stored.length,
      sha256: createHash("sha256").update(stored).digest("hex"),
      bytes: content.length,
      rows,
    });
    this.#file(name, stored);
  }

  /** Ends the bundle. */
  end(head: Omit<Manifest, "members" | "signer">, by: BundleSigner | null): void {
    const encoder = new TextEncoder(), signer = by === null ? null : formatVkey(by.key);
    const manifest = encoder.encode(formatManifest({ ...head, signer, members: this.#members }));
    const sha256 = createHash("sha256").update(manifest).digest("hex");
    this.#file(MANIFEST_NAME, manifest);
    this.#file(NOTE_NAME, encoder.encode(formatBundleNote(manifest.length, sha256, by)));
    this.#put(new Uint8Array(2 * BLOCK));
  }

  #file(name: string, bytes: Uint8Array): void {
    this.#put(tarHeader(name, bytes.length));
    this.#put(bytes);
    const rest = tarRoom(bytes.length) - bytes.length;
    if (rest > 0) this.#put(new Uint8Array(rest));
  }

  #put(bytes: Uint8Array): void {
    this.length += bytes.length;
    this.#write(bytes);
  }
}
