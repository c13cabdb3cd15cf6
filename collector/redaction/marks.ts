/**
 * What stands in the place of a secret: `[REDACTED]`, or `[REDACTED:1f3a9c20]` where the installation has a key.
 *
 * The digits are the begin of an HMAC-SHA-256 over the secret's bytes, so that the same secret in two command lines can
 * be seen to be the same. Without the key they say nothing: no table of passwords can be made for them, whatever their
 * number. Who has stolen the key can try guesses, and eight digits are chosen for that: they single out a password of a
 * short list, which no number of digits would prevent, but of a secret of 64 random bits leave four thousand million
 * candidates; and among 1,000 different secrets two share a mark by chance in one of 8,000 installations.
 *
 * @module
 */
import { createHmac } from "node:crypto";

/** A mark without digits: there is no key, or only a part of the secret is known. */
const REDACTED = "[REDACTED]";

const DIGITS = 8;
const BEGIN = "[REDACTED";
const MARK = /\[REDACTED(?::[0-9a-f]{8})?\]/g;

/** Digits that are made for one argument list or environment: a process of thousands of secrets must not cost more. */
const MAX_DIGESTS = 64;

/** The digits of a secret, given as text of one character per byte; `null` when there are to be none. */
export type SecretDigest = (secret: string) => string | null;

/** Digits under the key of an installation. */
export function keyedDigest(key: Uint8Array): SecretDigest {
  return (secret) => createHmac("sha256", key).update(secret, "latin1").digest("hex").slice(0, DIGITS);
}

/** A digest that gives digits so many times only; further marks are plain. */
export function limitedDigest(digest: SecretDigest): SecretDigest {
  let left = MAX_DIGESTS;
  return (secret) => left-- > 0 ? digest(secret) : null;
}

/** Cuts the spans (pairs of begin and end, in order, not touching each other) out of a text and puts marks there. */
export function withMarks(text: string, spans: readonly number[], isCut: boolean, digest: SecretDigest | null): string {
  let out = "", at = 0;
  for (let i = 0; i < spans.length; i += 2) {
    const from = spans[i]!, to = spans[i + 1]!;
    // Of a secret that was cut, or stands beside a mark, the digits would be those of a part.
    const isPart = (isCut && to === text.length) || text.charCodeAt(to) === 91 && text.startsWith(BEGIN, to) ||
      text.charCodeAt(from - 1) === 93 && isMarkEnd(text, from);
    const digits = digest === null || isPart ? null : digest(text.slice(from, to));
    out += text.slice(at, from) + (digits === null ? REDACTED : `[REDACTED:${digits}]`);
    at = to;
  }
  return out + text.slice(at);
}

/**
 * The spans without the marks in them: what was masked once stays as it is, whatever stands around it. A process may
 * have been given a mark by somebody who copied it out of the store.
 */
export function besideMarks(text: string, spans: readonly number[]): readonly number[] {
  if (spans.length === 0 || !text.includes(BEGIN)) return spans;
  const out: number[] = [];
  let next = 0;
  const marks = [...text.matchAll(MARK)];
  for (let i = 0; i < spans.length; i += 2) {
    let from = spans[i]!;
    const to = spans[i + 1]!;
    while (next < marks.length && marks[next]!.index + marks[next]![0].length <= from) next++;
    for (let m = next; m < marks.length && marks[m]!.index < to; m++) {
      const begin = marks[m]!.index;
      if (begin > from) out.push(from, begin);
      from = Math.max(from, begin + marks[m]![0].length);
    }
    if (from < to) out.push(from, to);
  }
  return out;
}

function isMarkEnd(text: string, end: number): boolean {
  return text.endsWith(REDACTED, end) || /\[REDACTED:[0-9a-f]{8}\]$/.test(text.slice(Math.max(0, end - 19), end));
}
