/**
 * An agent for the conformance suite: in this process, over a pipe in memory, as honest or hostile as it is told.
 *
 * It needs no permission. What it is sent it keeps; nothing is judged or stored.
 *
 * @module
 */
import { Channel, type Connection } from "../../proto/channel.ts";
import { admitCollector } from "../../proto/handshake.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { Registration } from "../../proto/registration.ts";
import type { SourceStatus } from "../../proto/status.ts";
import type { TableRow } from "../../proto/table_descriptor.ts";
import type { Rows } from "../../proto/messages.ts";

/** What it does that an agent should not. */
export type Misdeed = "none" | "mute" | "garbage" | "forged-ack" | "wrong-kind" | "slam" | "other-token";

const TOKEN = "c0".repeat(32);

/** An agent in this process, to try collectors with. */
export class TestAgent {
  /** What a collector must know. */
  readonly token: string = TOKEN;
  /** Gaps that came, in their order. */
  readonly gaps: Gap[] = [];
  /** What the collector registered last. */
  registration: Registration | null = null;
  /** What it said of its sources last. */
  sources: readonly SourceStatus[] = [];
  /** What it does wrong from the next connection on. */
  misdeed: Misdeed = "none";
  /** Whether it acknowledges; what is not comes again to the next connection. */
  acknowledges = true;
  /** How often somebody connected. */
  connections = 0;
  /** By epoch, what was taken, by sequence. */
  readonly #rows = new Map<string, Map<number, { readonly table: string; readonly row: TableRow }>>();
  readonly #stored = new Map<string, number>();
  readonly #channels = new Set<Channel>();

  /** Every row that came, once. */
  get rows(): { readonly table: string; readonly row: TableRow }[] {
    return [...this.#rows.values()].flatMap((rows) => [...rows].sort(([a], [b]) => a - b).map(([, row]) => row));
  }

  /** A new connection to it. */
  readonly connect = (): Promise<Connection> => {
    const [ours, theirs] = pipe();
    this.connections += 1;
    void this.#serve(ours).catch(() => ours.close());
    return Promise.resolve(theirs);
  };

  /** Ends all connections, as an agent that is killed does. */
  drop(): void {
    for (const channel of this.#channels) channel.close();
  }

  async #serve(connection: Connection): Promise<void> {
    const channel = new Channel(connection), { misdeed } = this;
    this.#channels.add(channel);
    try {
      if (misdeed === "slam") return;
      if (misdeed === "garbage") return void await connection.write(new Uint8Array(4_096).fill(0xa5));
      const token = misdeed === "other-token" ? "0f".repeat(32) : TOKEN;
      const { epoch } = await admitCollector(channel, token, (hello) => ({
        lastSequence: this.#stored.get(hello.epoch) ?? 0,
        credit: 4_096,
      }));
      if (misdeed === "forged-ack") await channel.send({ kind: "ack", sequence: 2 ** 39, credit: 2 ** 40 });
      if (misdeed === "wrong-kind") await channel.send({ kind: "registered", heartbeatMs: 5_000 });
      if (misdeed === "wrong-kind") await channel.send({ kind: "events", firstSequence: 1, events: [] } as never);
      for (let some = await channel.receive(); some !== null; some = await channel.receive()) {
        let last = this.#stored.get(epoch) ?? 0;
        for (const message of some) {
          switch (message.kind) {
            case "registration":
              this.registration = message;
              await channel.send({ kind: "registered", heartbeatMs: message.heartbeatMs });
              break;
            case "rows":
              last = Math.max(last, this.#take(epoch, message));
              break;
            case "gap":
              if (message.sequence > last) this.gaps.push(message.gap);
              last = Math.max(last, message.sequence);
              break;
            case "sources":
              this.sources = message.sources;
              last = Math.max(last, message.sequence);
              break;
            case "goodbye":
              return;
            default:
          }
        }
        if (misdeed === "mute" || !this.acknowledges || last === (this.#stored.get(epoch) ?? 0)) continue;
        this.#stored.set(epoch, last);
        await channel.send({ kind: "ack", sequence: last, credit: 4_096 });
      }
    } finally {
      this.#channels.delete(channel);
      channel.close();
    }
  }

  #take(epoch: string, { firstSequence, table, rows }: Rows): number {
    const known = this.#rows.get(epoch) ?? new Map();
    this.#rows.set(epoch, known);
    rows.forEach((row, at) => known.set(firstSequence + at, { table, row }));
    return firstSequence + rows.length - 1;
  }
}

/** Two ends of a connection in memory. */
function pipe(): [Connection, Connection] {
  const there = new Way(), back = new Way();
  const end = (read: Way, write: Way): Connection => ({
    read: (into) => read.read(into),
    write: (bytes) => write.write(bytes),
    close: () => {
      read.close();
      write.close();
    },
  });
  return [end(there, back), end(back, there)];
}

/** Bytes in one direction. */
class Way {
  #chunks: Uint8Array[] = [];
  #isClosed = false;
  #wake: () => void = () => {};

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#chunks.length === 0) {
      if (this.#isClosed) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const chunk = this.#chunks[0]!, length = Math.min(chunk.length, into.length);
    into.set(chunk.subarray(0, length));
    if (length === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(length);
    return length;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#isClosed) return Promise.reject(new Deno.errors.BrokenPipe("The other side has closed the connection"));
    this.#chunks.push(bytes.slice());
    this.#wake();
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.#isClosed = true;
    this.#wake();
  }
}
