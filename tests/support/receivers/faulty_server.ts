/**
 * A TCP server that does to connections what a test says, in their order.
 *
 * @module
 */

export type Behaviour = (connection: Deno.TcpConn) => Promise<void> | void;

export class FaultyServer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #serving: Promise<void>;
  /** Connections so far. */
  connections = 0;

  /** The last behaviour is that of every further connection. */
  constructor(behaviours: readonly Behaviour[], port = 0) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#serving = this.#serve(behaviours);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(behaviours: readonly Behaviour[]): Promise<void> {
    const running: Promise<void>[] = [];
    for await (const connection of this.#listener) {
      this.#open.add(connection);
      const behaviour = behaviours[Math.min(this.connections++, behaviours.length - 1)]!;
      running.push(this.#run(behaviour, connection));
    }
    await Promise.all(running);
  }

  async #run(behaviour: Behaviour, connection: Deno.TcpConn): Promise<void> {
    try {
      await behaviour(connection);
    } catch {
      // The other side ended it.
    }
    if (!left.has(connection)) close(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) close(connection);
    await this.#serving.catch(() => {});
  }
}

/** Ends the connection with a reset once bytes came: what is unread when it is closed makes the kernel send one. */
export async function resets(connection: Deno.TcpConn): Promise<void> {
  await connection.read(new Uint8Array(1));
}

/** Accepts, and neither reads nor writes until the test is over. */
export function hangs(connection: Deno.TcpConn): void {
  left.add(connection);
}
const left = new WeakSet<Deno.TcpConn>();

/** Reads a byte now and then. */
export async function readsSlowly(connection: Deno.TcpConn): Promise<void> {
  const byte = new Uint8Array(1);
  while (await connection.read(byte) !== null) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Says a byte now and then, and never a whole answer. */
export async function drips(connection: Deno.TcpConn): Promise<void> {
  for (;;) {
    await connection.write(new TextEncoder().encode("2"));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Reads everything, and stays when the other side has ended. */
export async function readsAndStays(connection: Deno.TcpConn): Promise<void> {
  const bytes = new Uint8Array(65_536);
  while (await connection.read(bytes) !== null);
  left.add(connection);
}

/** Reads everything, and hands it over. */
export function reads(into: (text: string) => void): Behaviour {
  return async (connection) => {
    const decoder = new TextDecoder(), bytes = new Uint8Array(65_536);
    for (let n = await connection.read(bytes); n !== null; n = await connection.read(bytes)) {
      into(decoder.decode(bytes.subarray(0, n), { stream: true }));
    }
  };
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}
