/**
 * Secrets in a variable of an environment: by its name, by the form of its value, and, where the value is a command
 * line, as in arguments.
 *
 * @module
 */
import { isNoSecret, secrecyOf } from "./names.ts";
import { mask, part, type Piece } from "./piece.ts";
import { hasShellSyntax, shellWords } from "./shell_words.ts";
import { isWorkingDirectory, scanText } from "./values.ts";
import { redactWords } from "./words.ts";

/** Variables that hold what a shell ran or will run: an assignment or a header in them ends with its word. */
const COMMANDS: ReadonlySet<string> = new Set([
  "SUDO_COMMAND",
  "SSH_ORIGINAL_COMMAND",
  "PROMPT_COMMAND",
  "GIT_SSH_COMMAND",
]);

/** Masks the secrets in a piece that holds `NAME=value`. */
export function redactVariablePiece(piece: Piece): void {
  const text = piece.text;
  const equals = text.indexOf("=");
  const name = text.slice(0, equals), from = equals + 1;
  if (secrecyOf(name) !== "none" && !isWorkingDirectory(name, text.charCodeAt(from))) {
    if (!isNoSecret(text.slice(from))) mask(piece, from, text.length);
    return;
  }
  const value = part(piece, from, text.length);
  if (!hasShellSyntax(value.text)) return redactWords([value]);
  scanText(value, COMMANDS.has(name));
  redactWords(shellWords(value), 1);
}
