/** A collector that is killed in a storm, again and again; `deno task test:crash --collectors N` does it more often. */
import assert from "node:assert/strict";
import { collectorCycles } from "../crash/collector_cycles.ts";
import { needs } from "../support/needs.ts";

Deno.test({
  name: "collectors that are killed one after the other leave nothing behind, nothing twice, and a gap each",
  ignore: needs({ root: true, bpf: true }).ignore,
  async fn() {
    const { killed, left, lost, doubled, holes, stored, gaps } = await collectorCycles(3, 1, () => {});
    console.log(
      `${killed} kills: ${left} events in the logs, ${lost} of them lost, ${doubled} doubled of ${stored} stored`,
    );
    assert.ok(left > 200, String(left));
    assert.deepEqual({ lost, doubled, holes }, { lost: 0, doubled: 0, holes: 0 });
    assert.ok(gaps >= killed, String(gaps));
  },
});
