/**
 * Lengths of time as people write them in rule files: `90s`, `5m`, `24h`, `30d`.
 *
 * @module
 */

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a whole number with a unit (ms, s, m, h, d); `null` for anything else. */
export function parseDuration(text: string): number | null {
  const parts = /^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$/.exec(text);
  return parts === null ? null : Number(parts[1]) * UNIT_MS[parts[2]!]!;
}

/** The same text again, with the largest unit that leaves a whole number. */
export function durationText(ms: number): string {
  const unit = ["h", "m", "s"].find((name) => ms >= UNIT_MS[name]! && ms % UNIT_MS[name]! === 0) ?? "ms";
  return `${ms / UNIT_MS[unit]!}${unit}`;
}
