/**
 * How every benchmark prints: what, our figure, the peer's in the same run, their ratio, and the target. What several
 * programs do is shown side by side in a table.
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

/**
 * Prints rows of texts under a title, in columns as wide as they must be; the first to the left, the others to the right.
 * The last text of a row with fewer columns runs on.
 */
export function table(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const lines = [header, ...rows], whole = lines.filter((line) => line.length === header.length);
  const widths = header.map((_, column) => {
    return Math.max(...(column === 0 ? lines : whole).map((line) => line[column]!.length));
  });
  console.log(`\n${title}`);
  for (const line of lines) {
    const cells = line.map((cell, column) => {
      if (column === 0) return cell.padEnd(widths[0]!);
      return line.length < header.length && column === line.length - 1 ? cell : cell.padStart(widths[column]!);
    });
    console.log(`  ${cells.join("  ")}`);
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A number with as many digits as mean something. */
export function round(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
