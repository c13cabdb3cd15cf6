/**
 * What the task iterators write, in pieces as `read` gives them.
 *
 * @module
 */
import { CONTEXT } from "../../../collector/kernel/context_records.ts";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import {
  KIND_PROCESS,
  KIND_THREAD,
  PROCESS,
  TableParser,
  TableTexts,
  THREAD,
} from "../../../collector/kernel/task_records.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import { checkValues, layoutOf, soundRecord } from "./records.ts";

const LAYOUTS = [
  layoutOf(KIND_PROCESS, PROCESS, { at: PROCESS.context, members: CONTEXT }),
  layoutOf(KIND_THREAD, THREAD),
];

export const taskRecords: FuzzTarget = {
  name: "ring: table of the iterator",
  share: 100_000,
  open: () => {
    const texts = new TableTexts(new EnvironmentFilter(["LD_*", "PATH", "TOKEN"]));
    return (random) => {
      const kinds = Array.from({ length: random.below(6) }, () => random.pick(LAYOUTS));
      const sound = concat(kinds.map((layout) => soundRecord(random, layout)));
      const isSound = random.oneIn(4), bytes = isSound ? sound : mutate(random, sound);
      const piece = 1 + random.length(bytes.length);
      return {
        show: () => `${hex(bytes)} in pieces of ${piece}`,
        run: () => {
          const parser = new TableParser(texts), buffer = new Uint8Array(bytes.length);
          const view = new DataView(buffer.buffer);
          let filled = 0, taken = 0;
          for (let at = 0; at < bytes.length; at += piece) {
            const next = bytes.subarray(at, at + piece);
            buffer.set(next, filled);
            filled += next.length;
            let used: number;
            try {
              used = parser.take(buffer, view, filled);
            } catch (error) {
              must(!isSound && error instanceof RangeError && /none of ours/.test(error.message), String(error));
              return;
            }
            must(used >= 0 && used <= filled, `${used} of ${filled} bytes are taken`);
            buffer.copyWithin(0, used, filled);
            filled -= used;
            taken += used;
          }
          const processes = parser.finish();
          must(processes.length <= taken / PROCESS.bytes, "each process was a record");
          for (const process of processes) checkValues(process, bytes.length);
          if (!isSound) return;
          must(filled === 0, "sound records are taken whole");
          must(processes.length === kinds.filter((layout) => layout.kind === KIND_PROCESS).length, "all are given");
        },
      };
    };
  },
};

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + aligned(part.length), 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += aligned(part.length);
  }
  return bytes;
}

/** Each record begins at eight bytes. */
function aligned(length: number): number {
  return length + 7 & ~7;
}
