import assert from "node:assert/strict";
import { readOnlySegments, releaseProgramPages, type Segment } from "../../../collector/kernel/program_pages.ts";

const LOAD = 1, DYNAMIC = 2, SELF = 6, READ = 4, WRITE = 2, RUN = 1;

function headers(...all: [type: number, flags: number, address: number, bytes: number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(all.length * 56));
  all.forEach(([type, flags, address, bytes], i) => {
    view.setUint32(i * 56, type, true);
    view.setUint32(i * 56 + 4, flags, true);
    view.setBigUint64(i * 56 + 16, BigInt(address), true);
    view.setBigUint64(i * 56 + 40, BigInt(bytes), true);
  });
  return new Uint8Array(view.buffer);
}

const segments = (bytes: Uint8Array, at = 0x5000_0040n): Segment[] => readOnlySegments(bytes, at, 4_096n);

Deno.test("readOnlySegments() gives whole pages of what nobody can write, where the program was put", () => {
  const found = segments(headers(
    [SELF, READ, 0x40, 5 * 56],
    [LOAD, READ, 0, 0x2800],
    [LOAD, READ | RUN, 0x3800, 0x2800],
    [LOAD, READ | WRITE, 0x7000, 0x5000],
    [DYNAMIC, READ, 0x9000, 0x2000],
  ));
  assert.deepEqual(found, [
    { address: 0x5000_0000n, bytes: 0x2000n },
    { address: 0x5000_4000n, bytes: 0x2000n },
  ]);
});

Deno.test("readOnlySegments() gives nothing where it is not said how far the program was moved, and no part of a page", () => {
  assert.deepEqual(segments(headers([LOAD, READ, 0, 0x8000])), []);
  assert.deepEqual(segments(headers([SELF, READ, 0x40, 56], [LOAD, READ, 0x1200, 0xe00])), []);
  assert.deepEqual(segments(new Uint8Array(55)), []);
  assert.deepEqual(segments(new Uint8Array(0)), []);
});

Deno.test("releaseProgramPages() leaves fewer pages of files in memory, and the program goes on", () => {
  const resident = (): number => Number(/^RssFile:\s*(\d+)/m.exec(Deno.readTextFileSync("/proc/self/status"))![1]);
  const before = resident();
  releaseProgramPages();
  assert(resident() < before, `${before} kB before`);
  assert.equal(new TextEncoder().encode(JSON.stringify({ still: "here" })).length, 16);
});
