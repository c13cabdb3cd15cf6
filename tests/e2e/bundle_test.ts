/**
 * A bundle of the running product: what the kernel said is proven by the ledger, far from the host.
 */
import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { needs } from "../support/needs.ts";
import type { TestState } from "../support/test_store.ts";
import { newStateDirectory, World } from "../support/world.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const kernel = needs({ root: true, bpf: true });
const RUNS = 200;

interface Verdict {
  readonly refused: unknown;
  readonly rows: Readonly<Record<string, number>>;
  readonly events: { readonly proven: number; readonly altered: number };
}

/** Makes a bundle and verifies it. */
async function bundled(state: string, args: readonly string[]): Promise<{ bytes: Uint8Array; verdict: Verdict }> {
  const made = await cli({ directory: state } as TestState, ["bundle", ...args], { now: Date.now() });
  assert.ok([0, 3].includes(made.code), made.err);
  const { code, out, err } = await cli(null, ["bundle", "verify", "-", "-f", "json"], { stdin: made.bytes });
  assert.equal(code, 0, out + err);
  return { bytes: made.bytes, verdict: JSON.parse(out) };
}

Deno.test({
  name: "a bundle of a host at work verifies, its events are proven, and once it is stopped two are the same",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    try {
      await using world = await World.start({ state, patienceMs: PATIENCE_MS });
      const loop = `i=0; while [ $i -lt ${RUNS} ]; do /bin/true bundled $i; i=$((i+1)); done`;
      await new Deno.Command("/bin/sh", { args: ["-c", loop], stdin: "null" }).output();
      // A digest comes every two seconds, and counts when a checkpoint has signed it
      for (const end = Date.now() + PATIENCE_MS;;) {
        const { verdict } = await bundled(state, []);
        assert.deepEqual([verdict.refused, verdict.events.altered], [null, 0]);
        if (verdict.events.proven >= RUNS) break;
        assert.ok(Date.now() < end, `${verdict.events.proven} events are proven`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      assert.equal(await world.stop(), 0);

      const { bytes, verdict } = await bundled(state, []), again = await bundled(state, []);
      assert.deepEqual(again.bytes, bytes);
      assert.equal(verdict.events.proven, verdict.rows["process_events"]);
      const asked = ["bundle", "open", "-", "--", "query"];
      const sql =
        "SELECT count(*) AS n FROM process_events WHERE command_line LIKE '/bin/true bundled %' AND event_type = 'start'";
      const { out } = await cli(null, [...asked, sql, "-f", "csv"], { stdin: bytes });
      assert.equal(out, `n\r\n${RUNS}\r\n`);
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});
