/**
 * A collector as the supervisor starts it: name, socket and state directory from the environment, the token from
 * standard input, until a signal.
 *
 * @module
 */
import { parseToken } from "../../proto/token.ts";
import { Collector, type CollectorOptions } from "./collector.ts";

/** Longest first line of standard input. */
const MAX_TOKEN_LENGTH = 256;

/** What the author says of a collector; the rest comes from the environment. */
export type RunOptions = Omit<CollectorOptions, "id" | "stateDirectory" | "connect" | "token">;

/**
 * Runs a collector until SIGTERM, SIGINT or SIGHUP, and ends the process.
 *
 * Reads `DAEMONEYE_COLLECTOR_ID`, `DAEMONEYE_BROKER_SOCKET` and `DAEMONEYE_COLLECTOR_STATE` (the state directory), and the
 * token from the first line of standard input. Needs `env` for those three, `read` and `write` of the state
 * directory and the socket, `net` of the socket, and what the sources need.
 *
 * @throws Error with the mend when something of that is missing
 */
export async function runCollector(options: RunOptions): Promise<never> {
  const id = required("DAEMONEYE_COLLECTOR_ID"), path = required("DAEMONEYE_BROKER_SOCKET");
  const stateDirectory = required("DAEMONEYE_COLLECTOR_STATE"), token = await readToken();
  const connect = (): Promise<Deno.UnixConn> => Deno.connect({ transport: "unix", path });
  const collector = new Collector({ ...options, id, stateDirectory, connect, token });
  let isTold = false;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      if (isTold) Deno.exit(1); // told twice: leave at once
      isTold = true;
      void collector.stop(`told by ${signal}`);
    });
  }
  console.error(`${id}: ${grantsInWords()}`);
  await collector.start();
  await collector.ended;
  Deno.exit(0);
}

/**
 * What this process may do, in words: nothing below Deno confines it unless whoever starts it does, and a grant to run
 * programs or native code voids the others.
 */
export function grantsInWords(): string {
  const granted = (name: "run" | "ffi" | "read" | "write" | "net"): boolean =>
    Deno.permissions.querySync({ name }).state === "granted";
  const open = (["run", "ffi"] as const).filter(granted), wide = (["read", "write", "net"] as const).filter(granted);
  if (open.length > 0) return `it is not confined: it was granted all of ${[...open, ...wide].join(", ")}`;
  const more = wide.length === 0 ? "" : `, which are wide: all of ${wide.join(", ")}`;
  return `confined by the grants of Deno alone${more}`;
}

function required(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined || value === "") {
    throw new Error(
      `${name} is not set; the supervisor sets it for collectors of collectors.json (docs/collectors.md)`,
    );
  }
  return value;
}

async function readToken(): Promise<string> {
  const bytes = new Uint8Array(MAX_TOKEN_LENGTH);
  let length = 0;
  while (length < bytes.length && !bytes.subarray(0, length).includes(0x0a)) {
    const read = await Deno.stdin.read(bytes.subarray(length));
    if (read === null) break;
    length += read;
  }
  return parseToken(new TextDecoder().decode(bytes.subarray(0, length)).split("\n")[0]!, "standard input");
}
