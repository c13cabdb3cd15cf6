/**
 * How long one bar of a chart over time is.
 *
 * @module
 */

export const HOUR_MS = 3_600_000;
const MINUTE = 60_000, HOUR = HOUR_MS, DAY = 86_400_000;
const WIDTHS = [
  ...[MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE],
  ...[HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, DAY, 7 * DAY, 28 * DAY, 364 * DAY],
];
/** More would be thinner than a finger on a small screen. */
const MAX_BARS = 96;

/** A width in milliseconds that people count in, so that a chart has at most so many bars; longer times have wider ones. */
export function barWidth(lengthMs: number): number {
  return WIDTHS.find((width) => lengthMs / width <= MAX_BARS) ?? Math.ceil(lengthMs / MAX_BARS / DAY) * DAY;
}
