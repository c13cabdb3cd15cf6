/**
 * The subscribers of `bench:bus`, in a process of their own: `SOCKET SUBSCRIBERS MESSAGES`.
 *
 * They take the messages of each run and then rounds at a steady rate, of the bus and of bare frames in turn. It says
 * "ready", "through" after each run, and after a round the time that 99 of 100 were below.
 *
 * @module
 */
import { RemotePort } from "../../proto/bus/client.ts";
import { Channel } from "../../proto/channel.ts";
import { FrameReader } from "../../proto/frame.ts";
import { joinAgent } from "../../proto/handshake.ts";
import { Delays, pacedPerSecond, RUNS, wallClock } from "./bus_load.ts";

/** What both ends know. */
export const TOKEN = "ab".repeat(32);

/** Counts what comes: so many runs, then rounds. */
class Counted {
  #came = 0;
  readonly #delays: Delays;

  constructor(private readonly perRun: number, private readonly runs: number, subscribers: number) {
    this.#delays = new Delays(pacedPerSecond(subscribers) * subscribers, (p99) => console.log(p99));
  }

  readonly came = (payload: Uint8Array): void => {
    if (this.#came === this.perRun * this.runs) return this.#delays.came(payload, wallClock());
    if (++this.#came % this.perRun === 0) console.log("through");
  };
}

async function subscribe(socket: string, id: string, came: (payload: Uint8Array) => void): Promise<void> {
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

async function readFrames(socket: string, came: (payload: Uint8Array) => void): Promise<void> {
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
  const [socket, count, perRun] = Deno.args as [string, string, string];
  const subscribers = Number(count), expected = Number(perRun) * subscribers;
  const ofBus = new Counted(expected, RUNS, subscribers), ofFrames = new Counted(expected, 1, subscribers);
  for (let i = 0; i < subscribers; i++) {
    await subscribe(socket, `bench${i}`, ofBus.came);
    await readFrames(`${socket}.bare`, ofFrames.came);
  }
  console.log("ready");
}
