/**
 * How the runtime is started: the flags of `deno run` and `deno compile`, and the variables that go with them.
 *
 * @module
 */
import { sendsDatagrams } from "../proto/sink_needs.ts";
import { GRANT_KINDS, type TierGrants } from "./privileges.ts";

/**
 * Flags of `deno run` and `deno compile` for these grants. Flags, not `-P`: a set of `deno.json` prints a warning that
 * it is experimental, and one flag beside it replaces a list of it without a word.
 */
export function grantFlags(grants: TierGrants): string[] {
  const flags = ["--no-prompt", "--no-remote"];
  for (const kind of GRANT_KINDS) {
    if (grants[kind].length > 0) flags.push(`--allow-${kind}=${grants[kind].join(",")}`);
  }
  // No right: what the agent is granted to send to stays what it is.
  if (grants.net.some(sendsDatagrams)) flags.push("--unstable-net");
  return flags;
}

/**
 * Half the memory at the same throughput; smaller still costs throughput (agent, 25,000 events a second). So does a heap
 * that may grow by 60 percent of what is in use before it is collected, where V8 would let it be several times that: 150 MB
 * instead of 270 at that rate; with 20 percent each event costs two fifths more. `gc` lets a tier give back what its start
 * has left over: `proto/memory.ts`.
 *
 * Pretenuring: when all that some line makes outlives one small collection, as in any burst that waits, V8 makes what that
 * line makes among the old objects for ever after, and three whole collections a second have to clean up behind it. Without
 * it 99 of 100 deliveries to ten subscribers take a third of the time (`bench:bus`), an event at the agent no more.
 */
export const MEMORY_FLAG = `--v8-flags=${
  ["--max-semi-space-size=4", "--heap-growing-percent=60", "--no-allocation-site-pretenuring", "--expose-gc"].join()
}`;

/**
 * The same for a bundle, which is one function with all others in it: V8 would read all of it once more at its first
 * error, to learn which lines the stack names. Every start has errors (files that are not there), and that took 30 ms.
 */
export const V8_FLAG = `${MEMORY_FLAG},--no-enable-lazy-source-positions`;

/**
 * Flags of `deno run` for a bundle: nothing is looked for around it. The code cache would be executable content that a
 * tier could write or another could read; a bundle is loaded without one.
 */
export const BUNDLE_FLAGS: readonly string[] = [
  "--quiet",
  "--no-config",
  "--no-lock",
  "--no-npm",
  "--no-code-cache",
  V8_FLAG,
];

/** Variables that every tier gets from whoever starts it, beside `DENO_DIR`. */
export const RUNTIME_VARIABLES: Readonly<Record<string, string>> = {
  DENO_NO_UPDATE_CHECK: "1",
  // Memory that is freed goes back to the system: glibc keeps an arena for each thread otherwise, and pieces of less than
  // 128 KiB between those that are in use.
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "32768",
  MALLOC_TRIM_THRESHOLD_: "131072",
};
