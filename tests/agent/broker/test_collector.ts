/**
 * A collector's end of the broker socket for tests, honest unless told otherwise.
 *
 * @module
 */
import { Channel } from "../../../proto/channel.ts";
import { joinAgent } from "../../../proto/handshake.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";
import type { Ack, ReplyBody, RequestBody, Welcome, WireMessage } from "../../../proto/messages.ts";
import { BOOT_ID } from "../support.ts";

export const TOKEN = "ab".repeat(32);

export interface CollectorOptions {
  readonly token?: string;
  readonly collectorId?: string;
  readonly epoch?: string;
  readonly bootId?: string;
  /** What is answered to questions; an error by default. */
  readonly answer?: (body: RequestBody) => ReplyBody;
}

export class TestCollector implements Disposable {
  readonly received: WireMessage[] = [];
  acknowledged = 0;
  answered = false;
  ended = false;
  fault: Error | null = null;

  private constructor(readonly channel: Channel, readonly welcome: Welcome, readonly options: CollectorOptions) {
    this.acknowledged = welcome.lastSequence;
    this.#receive().catch((error) => this.fault = error).finally(() => this.ended = true);
  }

  static async join(path: string, options: CollectorOptions = {}): Promise<TestCollector> {
    const { token = TOKEN, collectorId = "col", epoch = "epoch-1", bootId = BOOT_ID } = options;
    const channel = new Channel(await Deno.connect({ transport: "unix", path }));
    const identity = { collectorId, epoch, bootId, softwareVersion: "1", source: "ebpf" };
    return new TestCollector(channel, await joinAgent(channel, token, identity), options);
  }

  async send(firstSequence: number, events: readonly ProcessEvent[]): Promise<void> {
    await this.channel.send({ kind: "events", firstSequence, events });
  }

  async #receive(): Promise<void> {
    for (let messages = await this.channel.receive(); messages !== null; messages = await this.channel.receive()) {
      for (const message of messages) {
        this.received.push(message);
        if (message.kind === "ack") this.acknowledged = (message as Ack).sequence;
        if (message.kind === "request") {
          const body = this.options.answer?.(message.body) ?? { kind: "error", reason: "A test does not say" } as const;
          await this.channel.send({ kind: "reply", id: message.id, body });
          this.answered = true;
        }
      }
    }
  }

  [Symbol.dispose](): void {
    this.channel.close();
  }
}

/** Connects and sends bytes as they are; resolves with what the agent did: its bytes until it closed. */
export async function sendRaw(path: string, bytes: Uint8Array<ArrayBuffer>, hold = false): Promise<number> {
  const connection = await Deno.connect({ transport: "unix", path });
  let received = 0;
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await connection.write(rest));
    if (!hold) await connection.closeWrite();
    const into = new Uint8Array(4_096);
    for (let count = await connection.read(into); count !== null; count = await connection.read(into)) {
      received += count;
    }
  } catch {
    // reset: the agent closed with our bytes unread
  } finally {
    connection.close();
  }
  return received;
}
