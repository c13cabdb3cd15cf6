import assert from "node:assert/strict";
import { type Checked, TableCheck } from "../../collector/table_check.ts";
import { ArgumentReader } from "../../collector/kernel/argument_reader.ts";
import { bootTimeNs } from "../../collector/kernel/libc.ts";
import { openEbpfSource } from "../../collector/sources/ebpf.ts";
import { needs } from "../support/needs.ts";
import { entry, S } from "../support/lifecycle_world.ts";

/** A host with these processes, each an hour old; what each of the two listings shows of it is the test's to say. */
class World {
  readonly start = bootTimeNs() - 3_600 * S;
  inTable = new Set([1, 50, 51, 52]);
  inProc = new Set([1, 50, 51, 52]);
  readonly check = new TableCheck({
    source: { look: (pid) => this.inTable.has(pid) ? entry(pid, this.start) : null },
    list: () => [...this.inProc],
    read: (pid) => this.inProc.has(pid) ? { ...entry(pid, this.start), name: "shown" } : null,
    argumentsOf: { read: (pids) => Promise.resolve(new Map(pids.map((pid) => [pid, new Uint8Array([pid])]))) },
    covered: () => this.covered,
  });
  covered: number[] = [];

  /** Who is found hidden, and all whom the check makes of the table. */
  async compare(meanwhile = (): void => {}): Promise<Checked> {
    const before = this.check.before();
    const table = [...this.inTable].map((pid) => entry(pid, this.start));
    meanwhile();
    return await this.check.after(before, table);
  }

  async look(meanwhile = (): void => {}): Promise<(string | number)[][]> {
    return (await this.compare(meanwhile)).hidden.map(({ pid, seenBy, missedBy }) => [pid, seenBy, missedBy]);
  }
}

Deno.test("TableCheck finds who is hidden from either listing, once", async () => {
  const world = new World();
  assert.deepEqual(await world.look(), []);
  world.inProc.delete(51);
  world.inTable.delete(52);
  assert.deepEqual(await world.look(), [[51, "the kernel's table", "/proc"], [52, "/proc", "the kernel's table"]]);
  assert.deepEqual(await world.look(), []);
});

Deno.test("TableCheck shows whom the kernel's table hides as /proc shows them, in every look", async () => {
  const world = new World();
  world.inTable.delete(52);
  for (let round = 0; round < 2; round++) {
    const { entries } = await world.compare();
    assert.deepEqual(entries.map(({ pid }) => pid), [1, 50, 51, 52]);
    assert.equal(entries[3]!.name, "shown");
    assert.deepEqual(entries[3]!.argv, new Uint8Array([52]));
  }
});

Deno.test("TableCheck finds whose directory of /proc is covered by a mount, once", async () => {
  const world = new World();
  world.covered = [51, 99];
  assert.deepEqual(await world.look(), [[51, "the kernel's table", "/proc, as something is mounted over it there"]]);
  assert.deepEqual(await world.look(), []);
});

Deno.test("TableCheck accuses nobody who began or ended meanwhile", async () => {
  const world = new World();
  assert.deepEqual(await world.look(() => world.inProc.delete(50) && world.inTable.delete(50)), [], "it ended");
  assert.deepEqual(await world.look(() => world.inProc.add(60) && world.inTable.add(60)), [], "it began");
  world.inTable.delete(60);
  assert.deepEqual(await world.look(() => world.inTable.add(60)), [], "a second look has it");
  const check = new TableCheck({
    source: { look: (pid) => entry(pid, bootTimeNs()) },
    list: () => [1],
    read: () => null,
  });
  const before = check.before();
  const { hidden } = await check.after(before, [entry(1, 0), entry(70, before.from)]);
  assert.deepEqual(hidden, [], "it began with the listing");
});

Deno.test("TableCheck says nothing where /proc keeps processes from this user", async () => {
  const world = new World();
  world.inProc = new Set([50]);
  assert.deepEqual(await world.look(), []);
});

Deno.test({
  name: "TableCheck finds nobody hidden on this host, and finds who is hidden by a listing that leaves one out",
  ...needs({ bpf: true }),
  async fn() {
    const source = openEbpfSource({ ringBytes: 65_536, environment: [] }), reader = new ArgumentReader();
    try {
      const honest = new TableCheck({ source });
      for (let round = 0; round < 5; round++) {
        const before = honest.before();
        const { hidden } = await honest.after(before, await source.snapshot());
        // Some virtual machines keep their first process, which runs them, from being looked at.
        assert.deepEqual(hidden.filter(({ pid }) => pid !== 1), []);
      }
      const before = honest.before();
      const table = (await source.snapshot()).filter(({ pid }) => pid !== Deno.pid);
      const blind = new TableCheck({
        source: { look: (pid) => pid === Deno.pid ? null : source.look(pid) },
        argumentsOf: reader,
      });
      const { hidden, entries } = await blind.after(before, table);
      assert.deepEqual(
        hidden.filter(({ pid }) => pid !== 1).map(({ pid, missedBy }) => [pid, missedBy]),
        [[Deno.pid, "the kernel's table"]],
      );
      const found = entries.find(({ pid }) => pid === Deno.pid)!;
      assert.equal(found.ppid, Deno.ppid);
      assert.match(new TextDecoder().decode(found.argv!), /deno/);
    } finally {
      source.close();
      reader.close();
    }
  },
});
