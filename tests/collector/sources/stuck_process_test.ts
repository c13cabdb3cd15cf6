import assert from "node:assert/strict";
import { openNetlinkSource } from "../../../collector/sources/netlink.ts";
import { openProcSource } from "../../../collector/sources/proc.ts";
import type { ProcessSource, SourceRecord } from "../../../collector/sources/source.ts";
import { needs } from "../../support/needs.ts";
import { argumentsOf, gather, recordOf } from "../../support/processes.ts";
import { StuckProcess } from "../../support/stuck_process.ts";

const RUNGS: Readonly<Record<string, () => ProcessSource>> = {
  netlink: () => openNetlinkSource({ environment: ["PROOF"] }),
  proc: () => openProcSource({ intervalMs: 20, environment: ["PROOF"] }),
};

for (const [rung, open] of Object.entries(RUNGS)) {
  Deno.test({
    name: `a process whose memory cannot be read holds nobody up: ${rung}`,
    sanitizeOps: false, // other processes of this host may be asked when the source is closed
    ...needs({ mount: true, netlink: rung === "netlink", programs: ["gcc", "sleep"] }),
    async fn() {
      const source = open();
      try {
        await using stuck = await StuckProcess.start();
        // It is in the table with all but what its memory holds.
        const entry = (await source.snapshot()).find(({ pid }) => pid === stuck.pid)!;
        assert.equal(entry.executablePath, stuck.path);
        assert.deepEqual([entry.argv, entry.context!.environment], [null, null]);
        assert.equal(entry.context!.cwd, Deno.cwd());
        assert.equal(source.look(stuck.pid)!.executablePath, stuck.path);
        const isSaid = (): boolean => source.description.misses.some((miss) => miss.includes(`process ${stuck.pid} `));
        assert.ok(isSaid(), source.description.misses.join("; "));

        // Others come and go as ever, and so they do after a second reading.
        for (let round = 0; round < 2; round++) {
          const child = new Deno.Command("sleep", { args: ["60", `0.${round}`], env: { PROOF: "1" } }).spawn();
          try {
            const isWhole = (record: SourceRecord): boolean =>
              record.kind === "exec" && record.pid === child.pid && argumentsOf(record)?.[2] === `0.${round}` &&
              record.context?.environment?.[0] === "PROOF=1";
            await gather(source, (records) => records.some(isWhole));
            const table = await source.snapshot();
            assert.ok(table.find(({ pid }) => pid === child.pid)!.argv!.length > 0);
          } finally {
            child.kill("SIGKILL");
            await child.status;
          }
          await gather(source, (records) => recordOf(records, "exit", child.pid) !== undefined);
        }
        assert.ok(isSaid());

        await stuck.release();
        await gather(source, () => !isSaid());
      } finally {
        source.close();
      }
    },
  });
}
