import assert from "node:assert/strict";
import { TableCheck } from "../../collector/table_check.ts";
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
    startOf: (pid) => this.inProc.has(pid) ? this.start : null,
    covered: () => this.covered,
  });
  covered: number[] = [];

  look(meanwhile = (): void => {}): (string | number)[][] {
    const before = this.check.before();
    const table = [...this.inTable].map((pid) => entry(pid, this.start));
    meanwhile();
    return this.check.after(before, table).map(({ pid, seenBy, missedBy }) => [pid, seenBy, missedBy]);
  }
}

Deno.test("TableCheck finds who is hidden from either listing, once", () => {
  const world = new World();
  assert.deepEqual(world.look(), []);
  world.inProc.delete(51);
  world.inTable.delete(52);
  assert.deepEqual(world.look(), [[51, "the kernel's table", "/proc"], [52, "/proc", "the kernel's table"]]);
  assert.deepEqual(world.look(), []);
});

Deno.test("TableCheck finds whose directory of /proc is covered by a mount, once", () => {
  const world = new World();
  world.covered = [51, 99];
  assert.deepEqual(world.look(), [[51, "the kernel's table", "/proc, as something is mounted over it there"]]);
  assert.deepEqual(world.look(), []);
});

Deno.test("TableCheck accuses nobody who began or ended meanwhile", () => {
  const world = new World();
  assert.deepEqual(world.look(() => world.inProc.delete(50) && world.inTable.delete(50)), [], "it ended");
  assert.deepEqual(world.look(() => world.inProc.add(60) && world.inTable.add(60)), [], "it began");
  world.inTable.delete(60);
  assert.deepEqual(world.look(() => world.inTable.add(60)), [], "a second look has it");
  const check = new TableCheck({
    source: { look: (pid) => entry(pid, bootTimeNs()) },
    list: () => [1],
    startOf: () => null,
  });
  const before = check.before();
  assert.deepEqual(check.after(before, [entry(1, 0), entry(70, before.from)]), [], "it began with the listing");
});

Deno.test("TableCheck says nothing where /proc keeps processes from this user", () => {
  const world = new World();
  world.inProc = new Set([50]);
  assert.deepEqual(world.look(), []);
});

Deno.test({
  name: "TableCheck finds nobody hidden on this host, and finds who is hidden by a listing that leaves one out",
  ...needs({ bpf: true }),
  async fn() {
    const source = openEbpfSource({ ringBytes: 65_536, environment: [] });
    try {
      const honest = new TableCheck({ source });
      for (let round = 0; round < 5; round++) {
        const before = honest.before();
        const hidden = honest.after(before, await source.snapshot());
        // Some virtual machines keep their first process, which runs them, from being looked at.
        assert.deepEqual(hidden.filter(({ pid }) => pid !== 1), []);
      }
      const before = honest.before();
      const table = (await source.snapshot()).filter(({ pid }) => pid !== Deno.pid);
      const blind = new TableCheck({ source: { look: (pid) => pid === Deno.pid ? null : source.look(pid) } });
      assert.deepEqual(
        blind.after(before, table).filter(({ pid }) => pid !== 1).map(({ pid, missedBy }) => [pid, missedBy]),
        [
          [Deno.pid, "the kernel's table"],
        ],
      );
    } finally {
      source.close();
    }
  },
});
