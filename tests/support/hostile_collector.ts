/**
 * A collector that knows the token and does what it should not, as a process of its own. Arguments: socket, token, name,
 * and one act of {@linkcode ACTS}; or the act alone, where a supervisor started it. It says `ready` when it is at it, and
 * goes on until it is killed.
 *
 * @module
 */
import { RemotePort } from "../../proto/bus/client.ts";
import { AGENT, type RpcRequest } from "../../proto/bus/rpc.ts";
import { Channel } from "../../proto/channel.ts";
import { joinAgent } from "../../proto/handshake.ts";
import { blankProcessEvent } from "../../proto/process_event.ts";
import type { Registration } from "../../proto/registration.ts";
import type { ReplyBody } from "../../proto/messages.ts";

const [path, token, collectorId, act] = (Deno.args.length > 1 ? Deno.args : [
  Deno.env.get("DAEMONEYE_BROKER_SOCKET"),
  (await new Response(Deno.stdin.readable).text()).trim(),
  Deno.env.get("DAEMONEYE_COLLECTOR_ID"),
  Deno.args[0],
]) as [string, string, string, string];
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const HEALTH: RpcRequest = {
  operation: "health_check",
  target: AGENT,
  timeoutMs: 10_000,
  correlation: null,
  payload: { kind: "reason", text: "" },
};

interface Joined {
  readonly channel: Channel;
  readonly port: RemotePort;
  readonly ended: Promise<void>;
}

const REGISTRATION: Registration = {
  ...{ collectorType: "hostile", domains: ["performance"], kernelLevel: false, realtime: false, systemWide: false },
  ...{ tables: [], heartbeatMs: 1_000, keepsLedger: false },
};

/** `answers`: whether it answers what it is asked. */
async function join(answers: boolean, registration?: Registration): Promise<Joined> {
  const channel = new Channel(await Deno.connect({ transport: "unix", path })), port = new RemotePort();
  const bootId = "0123abcd-0000-4000-8000-000000000000", source = "ebpf";
  const identity = { collectorId, epoch: "hostile", bootId, softwareVersion: "1", source };
  await joinAgent(channel, token, identity, registration === undefined ? {} : { registration });
  const ended = (async () => {
    for (let some = await channel.receive(); some !== null; some = await channel.receive()) {
      for (const message of some) {
        if (message.kind === "busDeliveries" || message.kind === "busTaken") port.receive(message);
        if (message.kind === "heartbeat") await channel.send({ kind: "heartbeat", time: 1 });
        if (message.kind !== "request" || !answers) continue;
        const body: ReplyBody = { kind: "error", reason: "no" };
        await channel.send({ kind: "reply", id: message.id, body });
      }
    }
  })().catch(() => {});
  await port.connected(channel);
  return { channel, port, ended };
}

const ACTS: Readonly<Record<string, () => Promise<void>>> = {
  /** Publishes as fast as it can, where it may. */
  flood: async () => {
    const { port } = await join(true), payload = new Uint8Array(400);
    console.log("ready");
    for (;;) await port.tell("events.performance.system", payload);
  },
  /** Publishes what is the agent's, what is another's, and what is no topic. */
  forge: async () => {
    const { port } = await join(true);
    console.log("ready");
    for (;;) {
      for (
        const topic of [
          "events.process.lifecycle",
          "alerts.critical",
          "control.shutdown",
          "control.collector.good",
          "A",
          "#",
        ]
      ) {
        await port.tell(topic, new Uint8Array(10));
      }
      await port.subscribe("#", () => {}).catch(() => {});
      await pause(20);
    }
  },
  /** Subscribes, and then reads nothing any more. */
  deaf: async () => {
    const connection = await Deno.connect({ transport: "unix", path });
    let isDeaf = false;
    const channel = new Channel({
      read: (into) => isDeaf ? new Promise<null>(() => {}) : connection.read(into),
      write: (bytes) => connection.write(bytes),
      close: () => connection.close(),
    });
    const identity = { collectorId, epoch: "hostile", bootId: "0123abcd-0000-4000-8000-000000000000" };
    await joinAgent(channel, token, { ...identity, softwareVersion: "1", source: "ebpf" });
    const receiving = (async () => {
      while (await channel.receive() !== null && !isDeaf);
    })();
    const wish = { pattern: "events.#", quality: "at-least-once", stream: 0, received: 0, window: 1_000 } as const;
    await channel.request({ kind: "subscribe", ...wish });
    isDeaf = true;
    console.log("ready");
    setInterval(() => void channel.send({ kind: "heartbeat", time: 1 }).catch(() => {}), 1_000);
    await receiving;
    await new Promise(() => {});
  },
  /** Is asked and never answers, and goes in the middle of calls of its own, again and again. */
  leave: async () => {
    for (let times = 0;; times++) {
      const { channel, ended } = await join(false);
      for (let i = 0; i < 12; i++) void channel.request({ kind: "rpc", call: HEALTH }).catch(() => {});
      await pause(5);
      channel.close();
      await ended;
      if (times === 3) console.log("ready");
      await pause(20);
    }
  },
  /** Calls the agent more often than may run at once, and for what it may not. */
  call: async () => {
    const { channel } = await join(true);
    console.log("ready");
    for (;;) {
      const calls = Array.from(
        { length: 12 },
        (_, i) => ({ ...HEALTH, operation: i % 2 === 0 ? HEALTH.operation : "stop" as const }),
      );
      await Promise.all(calls.map((call) => channel.request({ kind: "rpc", call })));
    }
  },
  /** All of it in turn, on one connection after another; and rows of a table that it did not register. */
  everything: async () => {
    console.log("ready");
    for (let sequence = 1;; sequence++) {
      const { channel, port, ended } = await join(sequence % 2 === 0, REGISTRATION);
      for (const began = performance.now(); performance.now() - began < 2_000 && !channel.closed; await pause(10)) {
        for (let i = 0; i < 100; i++) await port.tell("events.performance.system", new Uint8Array(400));
        for (const topic of ["events.process.lifecycle", "alerts.critical", "control.shutdown", "#"]) {
          await port.tell(topic, new Uint8Array(10));
        }
        for (let i = 0; i < 4; i++) void channel.request({ kind: "rpc", call: HEALTH }).catch(() => {});
      }
      const row = blankProcessEvent("start", Date.now(), "0123abcd-1-1", 1);
      await channel.send({ kind: "events", firstSequence: 1, events: [row] }).catch(() => {});
      await Promise.race([ended, pause(2_000)]);
      channel.close();
      await pause(100);
    }
  },
};

try {
  await ACTS[act]!();
} catch (error) {
  console.error(`${collectorId}: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
