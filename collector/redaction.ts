/**
 * Masks secrets in the arguments and the environment of processes.
 *
 * Runs once on each argument list and each variable, before it is stored, compared or sent: nothing after this module
 * sees the secret. Both are hostile bytes. Every byte outside a masked span stays as it was, invalid UTF-8 included; the
 * time is linear in the bytes; no input makes it throw. What it knows is what `redaction/` lists: names of options and
 * variables, short options of programs, headers, URLs, key blocks, tokens of a known shape, also inside `sh -c`
 * strings. A secret in a form that is not listed there passes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { hasCue } from "./redaction/cues.ts";
import { besideMarks, limitedDigest, type SecretDigest, withMarks } from "./redaction/marks.ts";
import { type Piece, pieceOf } from "./redaction/piece.ts";
import { redactVariablePiece } from "./redaction/variables.ts";
import { redactWords } from "./redaction/words.ts";

export interface Redacted {
  /** The very same array when nothing was masked. */
  readonly argv: Uint8Array;
  /** How many spans were masked. */
  readonly masked: number;
}

export interface RedactedVariable {
  /** `NAME=value` again, one character per byte; the very same string when nothing was masked. */
  readonly text: string;
  readonly masked: number;
}

/**
 * Masks the secrets in NUL-ended arguments. A last argument without its NUL was cut, and may end inside a secret.
 * Without a digest all marks are alike.
 *
 * @example
 * ```ts
 * import { redactArgv } from "./redaction.ts";
 * import { joinArgv, splitArgv } from "../proto/argv.ts";
 * import assert from "node:assert/strict";
 * const { argv, masked } = redactArgv(joinArgv(["mysql", "-uroot", "-phunter2"]));
 * assert.deepEqual(splitArgv(argv), ["mysql", "-uroot", "-p[REDACTED]"]);
 * assert.equal(masked, 1);
 * ```
 */
export function redactArgv(argv: Uint8Array, digest: SecretDigest | null = null): Redacted {
  return hasCue(argv) ? redactThoroughly(argv, digest) : { argv, masked: 0 };
}

/** {@linkcode redactArgv} without the precheck: the reference that the precheck is tested against. */
export function redactThoroughly(argv: Uint8Array, digest: SecretDigest | null = null): Redacted {
  const text = Buffer.from(argv.buffer, argv.byteOffset, argv.byteLength).toString("latin1");
  const parts = text.split("\0");
  // What stands after the last NUL: nothing, or an argument that was cut.
  const isCut = parts[parts.length - 1] !== "";
  const pieces = parts.map((part, index) => pieceOf(part, isCut && index === parts.length - 1));
  if (!isCut) pieces.pop();
  redactWords(pieces);
  const limited = digest === null ? null : limitedDigest(digest);
  let masked = 0;
  for (let index = 0; index < pieces.length; index++) {
    const piece = pieces[index]!;
    const spans = spansOf(piece);
    if (spans.length === 0) continue;
    masked += spans.length / 2;
    parts[index] = withMarks(piece.text, spans, piece.cut, limited);
  }
  return masked === 0 ? { argv, masked: 0 } : { argv: bytesOf(parts.join("\0")), masked };
}

/**
 * Masks the secrets in a variable `NAME=value`, one character per byte. `isCut` says that there was more of it.
 *
 * @example
 * ```ts
 * import { redactVariable } from "./redaction.ts";
 * import assert from "node:assert/strict";
 * assert.equal(redactVariable("DB_PASSWORD=hunter2", false).text, "DB_PASSWORD=[REDACTED]");
 * assert.equal(redactVariable("SUDO_COMMAND=/bin/mysql -phunter2", false).text, "SUDO_COMMAND=/bin/mysql -p[REDACTED]");
 * ```
 */
export function redactVariable(
  variable: string,
  isCut: boolean,
  digest: SecretDigest | null = null,
): RedactedVariable {
  if (!hasCue(bytesOf(variable))) return { text: variable, masked: 0 };
  return redactVariableThoroughly(variable, isCut, digest);
}

/** {@linkcode redactVariable} without the precheck. */
export function redactVariableThoroughly(
  variable: string,
  isCut: boolean,
  digest: SecretDigest | null = null,
): RedactedVariable {
  const piece = pieceOf(variable, isCut);
  redactVariablePiece(piece);
  const spans = spansOf(piece);
  if (spans.length === 0) return { text: variable, masked: 0 };
  return { text: withMarks(variable, spans, isCut, digest), masked: spans.length / 2 };
}

/** The masks of an argument in order, those that touch each other made one. */
function spansOf(piece: Piece): readonly number[] {
  const masks = piece.masks;
  if (masks.length <= 2) return besideMarks(piece.text, masks);
  const order: [number, number][] = [];
  for (let i = 0; i < masks.length; i += 2) order.push([masks[i]!, masks[i + 1]!]);
  order.sort((a, b) => a[0] - b[0]);
  const spans: number[] = [];
  for (const [from, to] of order) {
    const end = spans.length - 1;
    if (end > 0 && from <= spans[end]!) spans[end] = Math.max(spans[end]!, to);
    else spans.push(from, to);
  }
  return besideMarks(piece.text, spans);
}

function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
