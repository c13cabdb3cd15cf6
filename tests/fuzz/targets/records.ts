/**
 * Records of our eBPF programs: as they write them, and with anything in the place of any number.
 *
 * @module
 */
import { CONTEXT } from "../../../collector/kernel/context_records.ts";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import { EXEC, EXIT, FORK, RECORD_KINDS, RecordDecoder } from "../../../collector/kernel/process_records.ts";
import type { SourceRecord } from "../../../collector/sources/source.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

/** Where the numbers of a record stand: the ones that anything may stand in, and those that say how long its texts are. */
export interface RecordLayout {
  readonly kind: number;
  readonly bytes: number;
  readonly numbers: readonly number[];
  readonly lengths: readonly number[];
  /** Where texts end, counted from the first: in their order. */
  readonly ends: readonly number[];
}

/** By the names of its members; `inner` is a structure within it, whose texts come first. */
export function layoutOf(
  kind: number,
  members: Readonly<Record<string, number>>,
  inner: { readonly at: number; readonly members: Readonly<Record<string, number>> } = { at: 0, members: {} },
): RecordLayout {
  const all = [
    ...Object.entries(inner.members).map(([name, at]): [string, number] => [name, inner.at + at]),
    ...Object.entries(members),
  ].filter(([name]) => name !== "bytes" && name !== "kind");
  const named = (end: string): number[] => all.filter(([name]) => name.endsWith(end)).map(([, at]) => at);
  return {
    kind,
    bytes: members["bytes"]!,
    numbers: all.map(([, at]) => at),
    lengths: named("Bytes"),
    ends: named("End"),
  };
}

const TEXTS = [
  "",
  "/",
  "bin\0usr\0",
  "sh\0-c\0id; \u202e\0",
  "memfd:x\0",
  "PATH=/bin\0TOKEN=hunter2\0",
  "\xff\0",
  "\0\0\0",
]
  .map((text) => new TextEncoder().encode(text));

/** A record whose lengths fit its texts. */
export function soundRecord(random: Random, layout: RecordLayout): Uint8Array<ArrayBuffer> {
  const parts = layout.lengths.length + layout.ends.length;
  const texts = Array.from(
    { length: parts },
    () => random.oneIn(3) ? random.bytes(random.length(300)) : random.pick(TEXTS),
  );
  const bytes = new Uint8Array(layout.bytes + texts.reduce((sum, text) => sum + text.length, 0));
  bytes.set(random.bytes(layout.bytes));
  const view = new DataView(bytes.buffer);
  for (const at of layout.numbers) if (random.oneIn(2)) view.setUint32(at, random.edge(), true);
  view.setUint32(0, layout.kind, true);
  let end = 0;
  texts.forEach((text, index) => {
    bytes.set(text, layout.bytes + end);
    end += text.length;
    const isLength = index < layout.lengths.length;
    const at = isLength ? layout.lengths[index]! : layout.ends[index - layout.lengths.length]!;
    view.setUint32(at, isLength ? text.length : end, true);
  });
  return bytes;
}

/** What reads records of bytes: ours, or another rung's. */
export interface Decoder {
  readonly received: Readonly<Record<"exec" | "fork" | "exit", number>>;
  readonly damaged: number;
  decode(bytes: Uint8Array, view: DataView, at: number, length: number): object | null;
}

/** The target of a decoder: each input is a record, sound or changed, among bytes that are not its own. */
export function recordTarget(
  name: string,
  share: number,
  layouts: readonly RecordLayout[],
  newDecoder: () => Decoder,
): FuzzTarget {
  return {
    name,
    share,
    open: () => {
      const decoder = newDecoder();
      return (random) => {
        const layout = random.pick(layouts), sound = soundRecord(random, layout);
        const isSound = random.oneIn(4), record = isSound ? sound : mutate(random, sound);
        const around = new Uint8Array(record.length + 64).fill(0x41), at = 8 * random.below(5);
        around.set(record, at);
        const view = new DataView(around.buffer);
        return {
          show: () => hex(record),
          run: () => {
            const before = { ...decoder.received, damaged: decoder.damaged };
            const decoded = decoder.decode(around, view, at, record.length) as SourceRecord | null;
            const after = decoder.received;
            const gained = after.exec + after.fork + after.exit - before.exec - before.fork - before.exit;
            must(gained === (decoded === null ? 0 : 1), "what is given is counted, and nothing else");
            must(decoded !== null || decoder.damaged === before.damaged + 1, "what is refused is counted as damaged");
            must(!isSound || decoded !== null, "a sound record is given");
            if (decoded !== null) checkValues(decoded, record.length);
          },
        };
      };
    },
  };
}

/** Every text is well-formed, every number finite and not negative, and nothing longer than the record it came from. */
export function checkValues(value: unknown, bytes: number): void {
  if (typeof value === "string") {
    must(value.isWellFormed(), `${JSON.stringify(value)} is well-formed`);
    // One byte that is not UTF-8 becomes one character; a script's path may have the working directory before it.
    must(value.length <= 2 * bytes + 32, `a text of ${value.length} characters comes of ${bytes} bytes`);
  } else if (typeof value === "number") {
    must(Number.isFinite(value) && value >= 0, `${value} is a number of the kernel's`);
  } else if (value instanceof Uint8Array) {
    must(value.length <= bytes, `${value.length} bytes come of ${bytes}`);
    must(value.buffer.byteLength === value.length, "bytes are a copy of their own");
  } else if (value !== null && typeof value === "object") {
    for (const member of Object.values(value)) checkValues(member, bytes);
  }
}

export const processRecords: FuzzTarget = recordTarget(
  "ring: process records",
  180_000,
  [
    layoutOf(RECORD_KINDS.indexOf("exec"), EXEC, { at: EXEC.context, members: CONTEXT }),
    layoutOf(RECORD_KINDS.indexOf("fork"), FORK),
    layoutOf(RECORD_KINDS.indexOf("exit"), EXIT),
  ],
  () => new RecordDecoder(new EnvironmentFilter(["LD_*", "PATH", "TOKEN"])),
);
