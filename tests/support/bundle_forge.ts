/**
 * Bundles for tests: whole ones, and ones that no maker would make.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { formatManifest, type Manifest, type Member } from "../../cli/bundle/manifest.ts";
import { type BundleSigner, formatBundleNote, readSigner } from "../../cli/bundle/note.ts";
import { formatVkey } from "../../proto/ledger/note.ts";

/** The key "01" 32 times, and "02". */
export const SEED = "01".repeat(32), OTHER_SEED = "02".repeat(32);

export function signerNamed(name: string, seed = SEED): BundleSigner {
  return readSigner(name, new TextEncoder().encode(seed));
}

export interface ForgedMember {
  readonly name: string;
  readonly content: string | Uint8Array;
  /** What the manifest says of it, where that is not the truth. */
  readonly told?: Partial<Omit<Member, "place">>;
  /** Not in the manifest; or only there. */
  readonly only?: "file" | "manifest";
  /** Stored instead of the packed content. */
  readonly stored?: Uint8Array;
}

export interface Forgery {
  readonly members: readonly ForgedMember[];
  readonly head?: Partial<Omit<Manifest, "members" | "signer">>;
  readonly by?: BundleSigner | null;
  /** Changes the text of the manifest before it is hashed. */
  readonly manifest?: (text: string) => string;
  readonly note?: (text: string) => string;
  readonly behind?: Uint8Array;
}

const HEAD: Omit<Manifest, "members" | "signer"> = {
  product: "0.1.0",
  time: 1_785_931_200_000,
  host: "test",
  asked: { from: null, until: null },
  given: { from: null, until: null },
  lacks: [],
  ledger: null,
};

/** A bundle of these members, every hash right unless it is told otherwise. */
export function forge({ members, head, by = null, manifest, note, behind }: Forgery): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder(), parts: Uint8Array[] = [], listed: Omit<Member, "place">[] = [];
  for (const { name, content, told, only, stored } of members) {
    const bytes = typeof content === "string" ? encoder.encode(content) : content;
    const packed = stored ?? new Uint8Array(gzipSync(bytes, { level: 3 }));
    if (only !== "file") {
      const rows = name.includes(".jsonl.") ? bytes.filter((byte) => byte === 10).length : null;
      listed.push({ name, stored: packed.length, sha256: sha256(packed), bytes: bytes.length, rows, ...told });
    }
    if (only !== "manifest") parts.push(...file(name, packed));
  }
  const signer = by === null ? null : formatVkey(by.key);
  const usual = formatManifest({ ...HEAD, ...head, signer, members: listed });
  const text = encoder.encode(manifest?.(usual) ?? usual);
  parts.push(...file("manifest.json", text));
  const signed = formatBundleNote(text.length, sha256(text), by);
  parts.push(...file("bundle.note", encoder.encode(note?.(signed) ?? signed)), new Uint8Array(1_024));
  return joined([...parts, behind ?? new Uint8Array(0)]);
}

/** A header as POSIX has it (IEEE Std 1003.1, pax, ustar interchange format), the bytes and the zeros behind them. */
function file(name: string, bytes: Uint8Array): Uint8Array[] {
  const header = new Uint8Array(512),
    put = (at: number, text: string): void => {
      header.set(new TextEncoder().encode(text), at);
    };
  put(0, name);
  for (const [at, text] of [[100, "0000644"], [108, "0000000"], [116, "0000000"]] as const) put(at, text);
  put(124, bytes.length.toString(8).padStart(11, "0"));
  put(136, "00000000000");
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\x0000");
  put(265, "root");
  put(297, "root");
  put(329, "0000000");
  put(337, "0000000");
  put(148, `${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `);
  return [header, bytes, new Uint8Array((512 - bytes.length % 512) % 512)];
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Members that a bundle may have, small. */
export const SOUND: readonly ForgedMember[] = [
  {
    name: "process_events/000000.jsonl.gz",
    content: '{"event_id":1099511627777,"time":1785931140000,"event_type":"start","pid":7,"name":"sh"}\n',
  },
  { name: "process_events/000001.jsonl.gz", content: '{"event_id":1099511627778,"time":1785931140001,"pid":8}\n' },
  { name: "alerts/000000.jsonl.gz", content: '{"alert_id":"a@c:e:1","time":1785931140000,"rule_id":"a"}\n' },
  { name: "rule_files/000000.jsonl.gz", content: '{"path":"/rules/a.yml","sha256":"00","text":"id: a\\n"}\n' },
];

/** The same with a table that a collector brought. */
export const SOUND_COLLECTED: readonly ForgedMember[] = [
  ...SOUND.slice(0, 3),
  {
    name: "collected_tables/000000.jsonl.gz",
    content: `${
      JSON.stringify({
        table_name: "sshd_events",
        version: 1,
        description: "What sshd said",
        columns: JSON.stringify([
          { name: "address", type: "TEXT", description: "" },
          { name: "port", type: "INTEGER", description: "" },
        ]),
      })
    }\n`,
  },
  ...SOUND.slice(3),
  {
    name: "collected/sshd_events/000000.jsonl.gz",
    content: '{"row_id":1099511627777,"time":1785931140000,"collector_id":"logs","address":"192.0.2.1","port":22}\n',
  },
];
