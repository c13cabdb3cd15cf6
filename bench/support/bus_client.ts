/**
 * The subscribers of `bench:bus`, in a process of their own: `KIND SOCKET SUBSCRIBERS`, where the kind is `bus` or `bare`.
 *
 * Asked `paced` or a number of deliveries, it says "ready", and when all have come how long each took.
 *
 * @module
 */
import { RemotePort } from "../../proto/bus/client.ts";
import { Channel } from "../../proto/channel.ts";
import { FrameReader } from "../../proto/frame.ts";
import { joinAgent } from "../../proto/handshake.ts";
import { cpuTime, Delays, pacedPerSecond, wallClock } from "./bus_load.ts";
import { linesOf } from "./line_process.ts";

/** What both ends know. */
export const TOKEN = "ab".repeat(32);

type Came = (payload: Uint8Array) => void;

async function subscribe(socket: string, id: string, came: Came): Promise<void> {
  const channel = new Channel(await Deno.connect({ transport: "unix", path: socket })), port = new RemotePort();
  const bootId = "0123abcd-0000-4000-8000-000000000000", source = "ebpf";
  await joinAgent(channel, TOKEN, { collectorId: id, epoch: "e", bootId, softwareVersion: "1", source });
  void (async () => {
    for (let some = await channel.receive(); some !== null; some = await channel.receive()) {
      for (const message of some) {
        if (message.kind === "busDeliveries" || message.kind === "busTaken") port.receive(message);
        else if (message.kind === "request") {
          await channel.send({ kind: "reply", id: message.id, body: { kind: "error", reason: "a benchmark" } });
        }
      }
    }
  })();
  await port.connected(channel);
  await port.subscribe("events.#", ({ message }) => came(message.payload));
}

async function readFrames(socket: string, came: Came): Promise<void> {
  const connection = await Deno.connect({ transport: "unix", path: socket }), reader = new FrameReader();
  void (async () => {
    for (let count = await connection.read(reader.space()); count !== null;) {
      reader.filled(count);
      for (let payload = reader.next(); payload !== null; payload = reader.next()) came(payload);
      count = await connection.read(reader.space());
    }
  })();
}

if (import.meta.main) {
  const [kind, socket, count] = Deno.args as [string, string, string], subscribers = Number(count);
  const say = (answer: unknown): void => console.log(JSON.stringify(answer));
  let take: Came = () => {};
  const came = (payload: Uint8Array): void => take(payload);
  for (let i = 0; i < subscribers; i++) {
    if (kind === "bus") await subscribe(socket, `bench${i}`, came);
    else await readFrames(socket, came);
  }
  say("ready");
  for await (const question of linesOf(Deno.stdin.readable)) {
    if (question === "paced") {
      const deliveries = pacedPerSecond(subscribers) * subscribers, before = cpuTime();
      const delays = new Delays(deliveries, (times) => say({ ...times, cpu: cpuTime() - before }));
      take = (payload) => delays.came(payload, wallClock());
    } else {
      let left = Number(question);
      take = () => void (--left === 0 && say("through"));
    }
    say("ready");
  }
  Deno.exit(0);
}
