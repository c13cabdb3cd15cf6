/**
 * `collector hasher`: hashes the files that the collector names, as a process and a user of its own.
 *
 * Of the collector's rights it has one, to read every file, and of its calls those that reading takes. It knows the
 * collector and nobody else, keeps nothing on disk, and what it says is numbers about files.
 *
 * @module
 */
import type { Settings } from "../../proto/config.ts";
import type { StateLayout } from "../../proto/state_layout.ts";
import { giveBackHeap } from "../kernel/heap.ts";
import { stepBack } from "../kernel/priority.ts";
import { effectiveUser } from "../privilege.ts";
import { resolveUser } from "../users.ts";
import { confineHasher } from "./confinement.ts";
import { hashFile } from "./file_hasher.ts";
import { HashCache } from "./hash_cache.ts";
import { Lanes } from "./lanes.ts";
import { HashServer, listenForCollector } from "./server.ts";
import { printable } from "../../proto/printable.ts";

/** Of 19: a third of what a process beside it gets that wants the same processor, and all that nobody wants. */
const NICE = 5;

/** Serves until it is told to stop. */
export async function runHasher(settings: Settings, layout: StateLayout): Promise<never> {
  const { collector } = settings;
  const notice = (text: string): void => console.error(`hasher: ${printable(text)}`);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, () => Deno.exit(0));

  // 1. The socket, and by whom it may be used: the collector's user, which as an ordinary user is this one.
  const userId = collector.user === "" ? effectiveUser() : resolveUser(collector.user);
  const listener = listenForCollector(layout.hasherSocket);

  // 2. What it may do from here on, and when: its answers are wanted later than anything else that is done here.
  if (!stepBack(NICE)) notice("it cannot leave the processor to others first");
  const confinement = confineHasher(collector.syscallFilter);

  // 3. The work.
  const options = { cache: new HashCache(), maxBytes: collector.hashMaxBytes, maxFuzzyBytes: collector.fuzzyMaxBytes };
  const lanes = new Lanes(
    (request, calls, isGivenUp) => hashFile(request, calls, options, isGivenUp),
    collector.hashTimeoutMs,
  );
  const server = new HashServer({ path: layout.hasherSocket, userId, greeting: confinement.greeting, lanes, notice });
  notice(confinement.proof);
  if (confinement.greeting.misses !== "") notice(confinement.greeting.misses);
  giveBackHeap();
  await server.serve(listener);
  // A file may still hang on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}
