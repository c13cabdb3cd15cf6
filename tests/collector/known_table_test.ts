import assert from "node:assert/strict";
import fc from "fast-check";
import { blankProcessState } from "../../proto/snapshot_codec.ts";
import type { ProcessState } from "../../proto/process_event.ts";
import { ENDED, KnownFile, KnownTableError, readKnownTable } from "../../collector/known_table.ts";

function state(pid: number, more: Partial<ProcessState> = {}): ProcessState {
  return {
    ...blankProcessState(),
    execId: `0badcafe-${pid}-${pid * 10}`,
    parentExecId: "0badcafe-1-0",
    pid,
    ppid: 1,
    name: `p${pid}`,
    executablePath: `/usr/bin/p${pid}`,
    userId: 1000,
    startTime: 1_700_000_000_000 + pid,
    ...more,
  };
}

async function withFile(run: (path: string) => void): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    run(`${directory}/known.pb`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function written(path: string): Uint8Array<ArrayBuffer> {
  const file = new KnownFile(path);
  file.replace([state(2), state(3)], 1_000);
  file.append([state(2, { status: ENDED }), state(4)], 2_000);
  file.close();
  return Deno.readFileSync(path);
}

Deno.test("KnownFile writes a table and its changes, which readKnownTable() puts together", async () => {
  await withFile((path) => {
    assert.equal(readKnownTable(path), null);
    const file = new KnownFile(path);
    assert.equal(file.isDue, true);
    file.append([state(9)], 500);
    assert.equal(readKnownTable(path), null, "there is nothing to append to yet");
    const many = Array.from({ length: 2_500 }, (_, i) => state(i + 1));
    file.replace(many, 1_000);
    assert.equal(file.isDue, false);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    file.append([], 1_500);
    file.append([state(1, { status: ENDED }), state(2, { execId: "0badcafe-2-20-77", name: "other" })], 2_000);
    const table = readKnownTable(path)!;
    assert.deepEqual([table.bootTag, table.time, table.processes.size], ["0badcafe", 2_000, 2_499]);
    assert.equal(table.processes.get(1), undefined);
    assert.deepEqual(table.processes.get(2), state(2, { execId: "0badcafe-2-20-77", name: "other" }));
    assert.deepEqual(table.processes.get(2_500), many[2_499]);
    file.replace([state(7)], 3_000);
    file.append([state(8)], 3_001);
    assert.deepEqual([...readKnownTable(path)!.processes.keys()], [7, 8]);
    file.close();
    assert.deepEqual([...Deno.readDirSync(path.slice(0, -9))].map(({ name }) => name), ["known.pb"]);
  });
});

Deno.test("the end of a process does not take another of its pid from the table", async () => {
  await withFile((path) => {
    const file = new KnownFile(path);
    file.replace([state(2), state(3)], 1_000);
    file.append([state(2, { execId: "0badcafe-2-900" }), state(2, { status: ENDED })], 2_000);
    file.append([state(3, { execId: "0badcafe-3-30-44", status: ENDED }), state(9, { status: ENDED })], 3_000);
    file.close();
    assert.deepEqual([...readKnownTable(path)!.processes.values()].map(({ execId }) => execId), ["0badcafe-2-900"]);
  });
});

Deno.test("KnownFile asks to be written anew when its changes outgrow the table", async () => {
  await withFile((path) => {
    const file = new KnownFile(path);
    file.replace([state(1)], 1);
    let appended = 0;
    for (; !file.isDue; appended++) file.append([state(2), state(2, { status: ENDED })], 2);
    assert.ok(appended > 1_000);
    file.replace([state(1)], 3);
    assert.equal(file.isDue, false);
    assert.ok(Deno.statSync(path).size < 1_000);
    file.close();
  });
});

Deno.test("KnownFile leaves no table rather than a wrong one when it cannot be written", async () => {
  await withFile((path) => {
    const file = new KnownFile(path);
    file.replace([state(1)], 1);
    // A process that the wire cannot carry stands for every failure on the way.
    assert.throws(() => file.append([state(2, { startTime: -1 })], 2));
    assert.equal(readKnownTable(path), null);
    assert.equal(file.isDue, true);
    file.append([state(3)], 3);
    file.replace([state(4)], 4);
    assert.deepEqual([...readKnownTable(path)!.processes.keys()], [4]);
    file.close();
    const elsewhere = new KnownFile(`${path}/none/known.pb`);
    assert.throws(() => elsewhere.replace([], 1));
  });
});

Deno.test("readKnownTable() gives what was whole when the end was torn off, at every byte", async () => {
  await withFile((path) => {
    const bytes = written(path), sizes = new Set<number | null>();
    for (let length = 0; length <= bytes.length; length++) {
      Deno.writeFileSync(path, bytes.subarray(0, length));
      const table = readKnownTable(path);
      sizes.add(table?.processes.size ?? null);
      if (table !== null) assert.equal(table.processes.has(4), length === bytes.length);
    }
    assert.deepEqual([...sizes], [null, 2]);
  });
});

Deno.test("readKnownTable() throws at every flipped bit", async () => {
  await withFile((path) => {
    const bytes = written(path);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      Deno.writeFileSync(path, damaged);
      // A length that became larger looks like a torn end: what was before it holds.
      try {
        const table = readKnownTable(path);
        assert.ok(table === null || !table.processes.has(4), `bit ${bit}`);
      } catch (error) {
        assert.ok(error instanceof KnownTableError);
      }
    }
  });
});

Deno.test("readKnownTable() throws nothing but its own error at any bytes", async () => {
  await withFile((path) => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      Deno.writeFileSync(path, bytes);
      try {
        assert.equal(readKnownTable(path), null);
      } catch (error) {
        assert.ok(error instanceof KnownTableError);
      }
    }));
  });
});

Deno.test("readKnownTable() refuses what no run of the collector writes", async () => {
  await withFile((path) => {
    const refuses = (states: ProcessState[], why: RegExp): void => {
      const file = new KnownFile(path);
      file.replace(states, 1);
      file.close();
      assert.throws(() => readKnownTable(path), (error) => error instanceof KnownTableError && why.test(error.message));
    };
    refuses([state(2, { execId: "0badcafe-3-7" })], /as none is named/);
    refuses([state(2, { execId: "0badcafe-2--7" })], /as none is named/);
    refuses([state(2, { execId: `0badcafe-2-${"9".repeat(40)}` })], /as none is named/);
    refuses([state(2), state(3, { execId: "feedf00d-3-7" })], /two boots/);
    const bytes = written(path);
    Deno.writeFileSync(path, new Uint8Array([...bytes, ...bytes]));
    assert.throws(() => readKnownTable(path), /a part of it is missing/);
    Deno.truncateSync(path, 134_217_729);
    assert.throws(() => readKnownTable(path), /larger than/);
  });
});
