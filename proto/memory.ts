/**
 * Gives memory back that a burst of work has left: V8 keeps what it once got until it is told, and after types of the
 * kernel or thousands of rules were read that is more than a tier needs for the rest of its life.
 *
 * Tiers are started with `--expose-gc` for this alone. Where it is missing (`deno run` by hand), nothing happens but that
 * more memory stays in use.
 *
 * @module
 */

type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/** Takes tens of milliseconds: not for a moment in which events wait. */
export function giveBackMemory(): void {
  const { gc } = globalThis as { gc?: Collect };
  gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
}
