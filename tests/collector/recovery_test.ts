import assert from "node:assert/strict";
import { blankProcessState } from "../../proto/snapshot_codec.ts";
import type { CollectorStatus } from "../../proto/status.ts";
import { KnownFile } from "../../collector/known_table.ts";
import { type Present, recover } from "../../collector/recovery.ts";
import { StatusFile } from "../../collector/status_file.ts";
import { COLLECTOR_STATUS } from "../support/log_status.ts";

function writeStatus(path: string, status: CollectorStatus): void {
  const file = new StatusFile(path);
  file.write(status);
  file.close();
}

const STATUS: CollectorStatus = {
  ...COLLECTOR_STATUS,
  bootId: "0badcafe-1",
  sources: [
    { name: "ebpf", state: "unavailable", detail: "", misses: [], unknownColumns: [] },
    { name: "proc", state: "active", detail: "", misses: [], unknownColumns: [] },
  ],
};
const PRESENT: Present = {
  time: 12_000,
  bootId: "0badcafe-1",
  forksSinceBoot: 130,
  source: "proc",
  epoch: "epoch-1",
  lastRecordTime: 0,
};

async function withFiles(run: (status: string, known: string) => void): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    run(`${directory}/status.pb`, `${directory}/known.pb`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function writeKnown(path: string, bootTag: string, count: number): void {
  const file = new KnownFile(path);
  file.replace(
    Array.from({ length: count }, (_, i) => ({ ...blankProcessState(), execId: `${bootTag}-${i + 1}-7`, pid: i + 1 })),
    1,
  );
  file.close();
}

Deno.test("recover() of a first run has nothing to say", async () => {
  await withFiles((status, known) => {
    assert.deepEqual(recover(status, known, PRESENT), { gaps: [], known: null, notices: [] });
  });
});

Deno.test("recover() gives the last table of the same boot", async () => {
  await withFiles((status, known) => {
    writeStatus(status, STATUS);
    writeKnown(known, "0badcafe", 3);
    const recovered = recover(status, known, PRESENT);
    assert.equal(recovered.known!.processes.size, 3);
    assert.equal(recovered.gaps.length, 1);
    assert.deepEqual(recovered.notices, []);
  });
});

Deno.test("recover() says how many processes a boot of the host ended, and gives no table of it", async () => {
  await withFiles((status, known) => {
    writeStatus(status, STATUS);
    writeKnown(known, "0badcafe", 3);
    const { gaps, known: table } = recover(status, known, { ...PRESENT, bootId: "feedf00d-1" });
    assert.equal(table, null);
    assert.match(gaps[0]!.reason, /; the host was booted meanwhile, which ended 3 known processes$/);
    // A table that is older than the status tells nothing of the boot between.
    writeStatus(status, { ...STATUS, bootId: "99999999-1" });
    const later = recover(status, known, { ...PRESENT, bootId: "feedf00d-1" });
    assert.match(later.gaps[0]!.reason, /; the host was booted meanwhile$/);
  });
});

Deno.test("recover() notices a damaged table and goes on without", async () => {
  await withFiles((status, known) => {
    writeStatus(status, STATUS);
    Deno.writeTextFileSync(known, "no table at all, whatever it may be");
    const { gaps, known: table, notices } = recover(status, known, PRESENT);
    assert.equal(table, null);
    assert.equal(gaps.length, 1);
    assert.match(notices.join(), /^the last known process table cannot be used, what happened unwatched is not told: /);
  });
});

Deno.test("recover() makes a change of the source a gap of its own", async () => {
  await withFiles((status, known) => {
    writeStatus(status, STATUS);
    const { gaps } = recover(status, known, { ...PRESENT, source: "ebpf" });
    assert.deepEqual(gaps.slice(1), [{
      source: "ebpf",
      recordKind: "all",
      from: 10_000,
      to: 12_000,
      count: 0,
      reason: "the source changed from proc to ebpf",
    }]);
  });
});

Deno.test("recover() knows by the log alone that there was a run", async () => {
  await withFiles((status, known) => {
    const { gaps } = recover(status, known, { ...PRESENT, lastRecordTime: 7_000 });
    assert.deepEqual(gaps.map(({ from, to, count }) => [from, to, count]), [[7_000, 12_000, null]]);
    assert.match(gaps[0]!.reason, /its status is gone/);
  });
});
