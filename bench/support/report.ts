/**
 * How every benchmark prints: what, our figure, the peer's in the same run, their ratio, and the target.
 *
 * @module
 */

export interface Figure {
  readonly what: string;
  readonly ours: number;
  readonly unit: string;
  /** The peer or baseline measured in the same run; `null` with a reason when it could not be. */
  readonly peer: { readonly name: string; readonly value: number } | { readonly missing: string } | null;
  /** Met when ours is at most (or at least) this; `null` when nothing is asked. */
  readonly target: { readonly most: number } | { readonly least: number } | null;
}

/** Prints one line a figure and returns whether every target was met. */
export function report(title: string, figures: readonly Figure[]): boolean {
  console.log(`\n${title}`);
  let met = true;
  for (const { what, ours, unit, peer, target } of figures) {
    const besides = peer === null
      ? ""
      : "missing" in peer
      ? `; peer not measured: ${peer.missing}`
      : `; ${peer.name} ${round(peer.value)} ${unit}, ratio ${round(ours / peer.value)}`;
    let verdict = "";
    if (target !== null) {
      const holds = "most" in target ? ours <= target.most : ours >= target.least;
      met &&= holds;
      const bound = "most" in target ? `at most ${target.most}` : `at least ${target.least}`;
      verdict = `; target ${bound}: ${holds ? "met" : "MISSED"}`;
    }
    console.log(`  ${what}: ${round(ours)} ${unit}${besides}${verdict}`);
  }
  return met;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function round(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
