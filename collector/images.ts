/**
 * Programs out of records and table entries: redacted, bounded, compared.
 *
 * This is the one place where arguments and environments are redacted. What comes out of here may be kept and sent.
 *
 * @module
 */

import { MAX_ARGV_BYTES } from "../proto/process_event.ts";
import { Environments } from "./environments.ts";
import { redactArgv, redactVariable } from "./redaction.ts";
import { limitedDigest, type SecretDigest } from "./redaction/marks.ts";
import type { RedactionMode } from "./redaction_mode.ts";
import type { ExecRecord, TableEntry } from "./sources/source.ts";
import { Image, LEAN_ARGV_BYTES } from "./tracked_process.ts";

/** What the kernel appends to the path of an executable that no directory names any more (`d_path()`). */
const DELETED = " (deleted)";

/** The ids that a process runs under; `null` where they are not known. */
export interface Ids {
  readonly userId: number | null;
  readonly effectiveUserId: number | null;
  readonly groupId: number | null;
}

export class Redactor {
  readonly #isOff: boolean;
  readonly #digest: SecretDigest | null;
  readonly #environments: Environments;
  #masked = 0;

  /** `isKept` says which variables are captured always, not for rules alone. */
  constructor(mode: RedactionMode, isKept?: (name: string) => boolean) {
    const isOff = mode.kind === "off", digest = mode.kind === "keyed" ? mode.digest : null;
    this.#isOff = isOff;
    this.#digest = digest;
    this.#environments = new Environments(() => {
      if (isOff) return (variable) => ({ text: variable, masked: 0 });
      const limited = digest === null ? null : limitedDigest(digest);
      return (variable, isCut) => redactVariable(variable, isCut, limited);
    }, isKept);
  }

  /** Secrets masked so far. */
  get masked(): number {
    return this.#masked;
  }

  imageOfExec(record: ExecRecord): Image {
    const { path, mismatch } = splitPath(record.executablePath);
    const argv = this.#redact(record.argv);
    const { name, argvLength, inode, device, changeTime = null } = record;
    return new Image(name, path, mismatch, argv, argvLength, inode, device, changeTime);
  }

  imageOfEntry(entry: TableEntry): Image {
    const { path, mismatch } = splitPath(entry.executablePath);
    return new Image(entry.name, path, mismatch, this.#redact(entry.argv), entry.argvLength, null, null);
  }

  /** The image as a table entry of the same process shows it now; the very same one when nothing differs. */
  update(before: Image, entry: TableEntry): Image {
    if (entry.status === "zombie" || entry.status === "dead") return before; // its memory is gone already
    const { path, mismatch } = splitPath(entry.executablePath);
    const masked = this.#masked;
    const argv = this.#redact(entry.argv);
    const after = before.with({
      name: entry.name,
      executablePath: path ?? before.executablePath,
      onDiskMismatch: mismatch ?? before.onDiskMismatch,
    });
    if (argv !== null && !isSameArgv(before, argv, entry.argvLength)) {
      return after.with({ argv, argvLength: entry.argvLength });
    }
    this.#masked = masked; // the same secrets as before
    const isSame = after.name === before.name && after.executablePath === before.executablePath &&
      after.onDiskMismatch === before.onDiskMismatch;
    return isSame ? before : after;
  }

  /** The captured variables of an execution as JSON; `null` when they are not known. */
  environment(variables: readonly string[] | null, isCut: boolean): string | null {
    if (variables === null) return null;
    const { text, masked } = this.#environments.textOf(variables, isCut);
    this.#masked += masked;
    return text;
  }

  /** Of the same, what may be remembered when its event is made. */
  keptEnvironment(variables: readonly string[] | null, isCut: boolean): string | null {
    return variables === null ? null : this.#environments.textOf(variables, isCut).kept;
  }

  #redact(argv: Uint8Array | null): Uint8Array | null {
    if (argv === null) return null;
    const bounded = argv.length > MAX_ARGV_BYTES ? argv.slice(0, MAX_ARGV_BYTES) : argv;
    if (this.#isOff) return bounded;
    const redacted = redactArgv(bounded, this.#digest);
    if (redacted.masked === 0) return bounded;
    this.#masked += redacted.masked;
    // A mask may be longer than what it hides.
    return redacted.argv.length > MAX_ARGV_BYTES ? redacted.argv.slice(0, MAX_ARGV_BYTES) : redacted.argv;
  }
}

/** The columns in which a process changed. What was not known before, or is not known now, is no change. */
export function changesOf(idsBefore: Ids, before: Image, after: Image, ids: Ids): string[] {
  const changed: string[] = [];
  if (after !== before) {
    if (before.name !== "" && after.name !== "" && before.name !== after.name) changed.push("name");
    if (differs(before.executablePath, after.executablePath)) changed.push("executable_path");
    if (differs(before.onDiskMismatch, after.onDiskMismatch)) changed.push("on_disk_mismatch");
    if (before.argv !== null && after.argv !== null && !isSameArgv(before, after.argv, after.argvLength)) {
      changed.push("command_line");
    }
  }
  if (differs(idsBefore.userId, ids.userId)) changed.push("user_id");
  if (differs(idsBefore.effectiveUserId, ids.effectiveUserId)) changed.push("effective_user_id");
  if (differs(idsBefore.groupId, ids.groupId)) changed.push("group_id");
  return changed;
}

function differs<T>(before: T | null, after: T | null): boolean {
  return before !== null && after !== null && before !== after;
}

/** Whether redacted arguments are those of the image, of which one or both may have been cut. */
function isSameArgv(image: Image, argv: Uint8Array, argvLength: number | null): boolean {
  if (image.argv === null) return false;
  if (differs(image.argvLength, argvLength)) return false;
  let length = Math.min(image.argv.length, argv.length);
  if (isCut(image.argv, image.argvLength) || isCut(argv, argvLength)) {
    // Up to the last whole argument that both have.
    while (length > 0 && (image.argv[length - 1] !== 0 || argv[length - 1] !== 0)) length--;
  } else if (image.argv.length !== argv.length) return false;
  for (let i = 0; i < length; i++) if (image.argv[i] !== argv[i]) return false;
  return true;
}

/** At the limit, by a lean image, or where a source could read no further; whole arguments end with a NUL. */
function isCut(argv: Uint8Array, argvLength: number | null): boolean {
  if (argvLength === null) return false;
  if (argvLength > argv.length && argv[argv.length - 1] !== 0) return true;
  return argvLength > MAX_ARGV_BYTES || (argv.length <= LEAN_ARGV_BYTES && argvLength > LEAN_ARGV_BYTES);
}

function splitPath(path: string | null): { path: string | null; mismatch: boolean | null } {
  if (path === null) return { path: null, mismatch: null };
  if (!path.endsWith(DELETED)) return { path, mismatch: false };
  return { path: path.slice(0, -DELETED.length), mismatch: true };
}
