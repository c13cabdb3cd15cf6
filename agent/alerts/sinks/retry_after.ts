/**
 * The header Retry-After: seconds, or a date (RFC 9110, section 10.2.3).
 *
 * @module
 */

/** A receiver that asks for longer is asked again after a day. */
const MAX_MS = 86_400_000;

/** IMF-fixdate, the one form that senders may use. */
const DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * How long to wait, from none to a day; `null` for what is no such value.
 *
 * @example
 * ```ts
 * import { retryAfterMs } from "./retry_after.ts";
 * import assert from "node:assert/strict";
 * assert.equal(retryAfterMs("120", 0), 120_000);
 * assert.equal(retryAfterMs("Thu, 01 Jan 1970 00:00:07 GMT", 2_000), 5_000);
 * assert.equal(retryAfterMs("soon", 0), null);
 * ```
 */
export function retryAfterMs(value: string, now: number): number | null {
  const text = value.trim();
  if (/^\d{1,10}$/.test(text)) return Math.min(Number(text) * 1_000, MAX_MS);
  if (!DATE.test(text)) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : Math.min(Math.max(time - now, 0), MAX_MS);
}
