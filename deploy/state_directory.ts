/**
 * A state directory made ready: its directories with owner, group and mode, token and key, and the locks of the tiers.
 *
 * Run by the supervisor before any tier. The state directory is trusted: who can write it can replace what the tiers
 * keep, so one that another user owns, that others can write or that is a symbolic link is refused with its mend. What
 * lies in `run/` may have been made by the agent and is looked at without following links.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { StateLayout } from "../proto/state_layout.ts";
import type { Tier } from "./privileges.ts";
import type { Principals } from "./principals.ts";
import { KEY_MODE, keyGroup, ownership, TOKEN_MODE } from "./ownership.ts";

/** The state directory cannot be used. The text says why and what to do. */
export class StateError extends Error {
  override name = "StateError";
}

/** Makes what is missing, mends modes and owners of what is there. @throws {StateError} */
export function prepareState(layout: StateLayout, who: Principals): void {
  checkState(layout.state, who.supervisor);
  for (const { path, owner, group, mode } of ownership(layout, who)) {
    makeDirectory(path);
    // In the run directory a tier may rename what it owns, and put a link in its place at any time: what is looked at is
    // what is given away.
    const directory = openDirectory(path);
    try {
      const found = fstatSync(directory);
      // A tier's own directory may still be the supervisor's after a crash between mkdir and chown. What belongs to
      // anybody else is not taken over: the files in it stay theirs.
      if (found.uid !== owner && found.uid !== who.supervisor) {
        throw new StateError(
          `${path} belongs to user ${found.uid}, but its tier runs as user ${owner}; ` +
            `'chown -R ${owner}:${group} ${path}' if you trust what is in it, else remove it`,
        );
      }
      if (found.uid !== owner || found.gid !== group) own(directory, path, owner, group);
      // After chown, which clears the setgid bit.
      fchmodSync(directory, mode);
    } finally {
      closeSync(directory);
    }
  }
  // The secret that the daemons prove to each other.
  ensureSecret(layout.token, { owner: who.supervisor, group: who.busGroup, mode: TOKEN_MODE });
  // The key of the marks that stand for masked secrets: a new one makes marks that match no earlier ones.
  ensureSecret(layout.redactionKey, { owner: who.supervisor, group: keyGroup(who), mode: KEY_MODE });
  // The key that signs the audit ledger. One that is not to be trusted any more is kept aside: the ledger that it signed
  // goes on with no other.
  ensureSecret(layout.ledgerKey, { owner: who.supervisor, group: keyGroup(who), mode: KEY_MODE, aside: true });
}

/** The lock of one tier on one state directory, held until {@linkcode TierLock.release} or the end of the process. */
export class TierLock {
  readonly #file: Deno.FsFile;

  /** @throws {StateError} when another process holds it. */
  constructor(layout: StateLayout, tier: Tier) {
    const path = `${layout.state}/${tier}.lock`;
    this.#file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
    if (!this.#file.tryLockSync(true)) {
      const holder = readStart(this.#file);
      this.#file.close();
      throw new StateError(
        `The ${tier} of ${layout.state} runs already${holder === "" ? "" : `, started by process ${holder}`}; ` +
          `stop that first, or use another state directory with --state`,
      );
    }
    this.#file.truncateSync(0);
    this.#file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  }

  release(): void {
    this.#file.close();
  }
}

function readStart(file: Deno.FsFile): string {
  const bytes = new Uint8Array(16);
  const count = file.readSync(bytes) ?? 0;
  return /^\d+/.exec(new TextDecoder().decode(bytes.subarray(0, count)))?.[0] ?? "";
}

function checkState(state: string, user: number): void {
  const found = lstat(state);
  if (found === null) {
    try {
      Deno.mkdirSync(state, { mode: 0o755 });
    } catch (error) {
      throw new StateError(whyNotMade(state, error), { cause: error });
    }
    return;
  }
  const elsewhere = "or name another directory with --state";
  if (found.isSymlink) {
    throw new StateError(`The state directory ${state} is a symbolic link; name its target with --state`);
  }
  if (!found.isDirectory) {
    throw new StateError(`The state directory ${state} is not a directory; move it away, ${elsewhere}`);
  }
  if (found.uid !== user) {
    const mend = user === 0
      ? `remove it, ${elsewhere}, or start as that user`
      : `have that user remove it ('sudo rm -r ${state}' where that is root), ${elsewhere}`;
    throw new StateError(
      `The state directory ${state} belongs to user ${found.uid}, but this is user ${user}, and what another user can ` +
        `change is not to be trusted; ${mend}`,
    );
  }
  if (((found.mode ?? 0) & 0o022) !== 0) {
    throw new StateError(
      `The state directory ${state} can be written by others (mode ${((found.mode ?? 0) & 0o7777).toString(8)}); ` +
        `look at what is in it, then 'chmod 755 ${state}', ${elsewhere}`,
    );
  }
}

function whyNotMade(state: string, error: unknown): string {
  const mend = "or name a directory that you can write with --state";
  const parent = dirname(state);
  if (error instanceof Deno.errors.NotFound) {
    return `The state directory ${state} cannot be made: ${parent} does not exist; make it, ${mend}`;
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return `The state directory ${state} cannot be made: user ${Deno.uid()} may not write ${parent}; ` +
      `start from a checkout of your own, ${mend}`;
  }
  return `The state directory ${state} cannot be made: ${
    error instanceof Error ? error.message : error
  }; mend that, ${mend}`;
}

function makeDirectory(path: string): void {
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    throw new StateError(`${path} cannot be made: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

/** The directory itself, links not followed; to be closed. */
function openDirectory(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (cause) {
    const { code } = cause as { code?: string };
    if (code === "ENOTDIR" || code === "ELOOP") {
      throw new StateError(`${path} is not a directory; remove it and start again`, { cause });
    }
    throw new StateError(
      `${path} cannot be opened: ${
        cause instanceof Error ? cause.message : cause
      }; in a container, allow it DAC_OVERRIDE`,
      { cause },
    );
  }
}

function own(directory: number, path: string, owner: number, group: number): void {
  try {
    fchownSync(directory, owner, group);
  } catch (error) {
    throw new StateError(
      `${path} cannot be given to user ${owner} and group ${group}: ${
        error instanceof Error ? error.message : error
      }; ` +
        `in a container, allow it CHOWN, FOWNER and DAC_OVERRIDE`,
      { cause: error },
    );
  }
}

/** A file of 32 random bytes in hexadecimal; one that anybody else could have read or written is made anew. */
function ensureSecret(
  path: string,
  wanted: { owner: number; group: number; mode: number; aside?: boolean },
): void {
  const found = lstat(path);
  const good = found !== null && found.isFile && found.uid === wanted.owner && found.gid === wanted.group &&
    ((found.mode ?? 0) & 0o7777) === wanted.mode && /^[0-9a-f]{64}\n$/.test(Deno.readTextFileSync(path));
  if (good) return;
  const fresh = `${dirname(path)}/.${basename(path)}.${randomBytes(8).toString("hex")}`;
  // Closed to all until owner and mode are right; renamed last, so that no daemon reads half a secret.
  Deno.writeTextFileSync(fresh, `${randomBytes(32).toString("hex")}\n`, { createNew: true, mode: 0o600 });
  Deno.chownSync(fresh, wanted.owner, wanted.group);
  Deno.chmodSync(fresh, wanted.mode);
  if (found !== null && wanted.aside === true) Deno.renameSync(path, `${path}.replaced`);
  Deno.renameSync(fresh, path);
}

function lstat(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new StateError(`${path} cannot be looked at: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
