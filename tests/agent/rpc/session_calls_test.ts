/** Calls that a collector of another maker answers, by the session that `mod.ts` gives it. */
import assert from "node:assert/strict";
import { AGENT, Answering, Channel, CollectorSession, type Handle, processTables, success } from "../../../mod.ts";
import type { RpcRequest } from "../../../proto/bus/rpc.ts";
import { TOKEN } from "../broker/test_collector.ts";
import { BusWorld } from "../bus/bus_world.ts";
import { BOOT_ID, until } from "../support.ts";

const HEALTH: RpcRequest = {
  ...{ operation: "health_check", target: "mine", timeoutMs: 10_000, correlation: null },
  payload: { kind: "reason", text: "a test" },
};

async function join(world: BusWorld, handle: Handle | null): Promise<{ session: CollectorSession; calls: Answering }> {
  const channel = new Channel(await Deno.connect({ transport: "unix", path: world.socket }));
  const calls = new Answering(handle ?? (() => Promise.reject(new Error("nobody asks"))), 4);
  const session = await CollectorSession.join(channel, {
    token: TOKEN,
    identity: { collectorId: "mine", epoch: "e1", bootId: BOOT_ID, softwareVersion: "1", source: "test" },
    registration: {
      ...{ collectorType: "test", domains: ["process"], kernelLevel: false, realtime: true, systemWide: false },
      ...{ tables: processTables([]), heartbeatMs: 5_000, keepsLedger: false },
    },
    ...handle === null ? {} : { calls },
  });
  session.run().catch(() => {});
  return { session, calls };
}

const known = (world: BusWorld, version: number): Promise<void> =>
  until("its version of calls is known", () => world.broker.target("mine")?.rpcVersion === version);

Deno.test("a session answers calls, several at once, and one that is cancelled ends", async () => {
  await using world = await BusWorld.begin();
  const ended: string[] = [];
  const { session } = await join(world, async ({ payload }, signal) => {
    const { text } = payload as { text: string };
    if (text === "wait") {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      ended.push(text);
    }
    return success({ kind: "done", text });
  });
  await known(world, 1);
  const abort = new AbortController();
  const waiting = world.calls.call("test", { ...HEALTH, payload: { kind: "reason", text: "wait" } }, abort.signal);
  const { status, outcome } = await world.calls.call("test", HEALTH);
  assert.deepEqual([status, outcome], ["success", { kind: "done", text: "a test" }]);
  abort.abort();
  assert.equal((await waiting).status, "cancelled");
  await until("its handler was told", () => ended.length === 1);
  session.close();
});

Deno.test("what a session that ends was asked is ended, and nobody is left to wait", async () => {
  await using world = await BusWorld.begin();
  let isEnded = false;
  const { session, calls } = await join(world, async (_, signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    isEnded = true;
    return success({ kind: "done", text: "" });
  });
  await known(world, 1);
  const pending = world.calls.call("test", HEALTH);
  await until("it runs", () => calls.counts.calls === 1);
  session.close();
  assert.equal((await pending).error!.code, "DISCONNECTED");
  await until("its handler was told", () => isEnded);
});

Deno.test("a session without calls says so, and is asked for none", async () => {
  await using world = await BusWorld.begin();
  const { session } = await join(world, null);
  await known(world, 0);
  assert.equal((await world.calls.call("test", HEALTH)).error!.code, "NO_CALLS");
  assert.equal((await world.calls.call("test", { ...HEALTH, target: AGENT })).status, "success");
  session.close();
});
