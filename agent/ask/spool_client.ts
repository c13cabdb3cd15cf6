/**
 * Puts a request into the agent's spool and waits for the reply.
 *
 * Request and reply are files of who asks: the reply can be written by the agent alone and read by who asks alone, as
 * both have no rights for the group of operators, and nobody else passes the spool's directory. Whatever happens, no file
 * stays behind; a request that is not taken is taken back, and nothing is done later that nobody waits for.
 *
 * @module
 */
import {
  decodeReply,
  draftName,
  encodeRequest,
  type Ending,
  fileName,
  MAX_REPLY_BYTES,
  type ReplyLine,
  type RequestArguments,
} from "../../proto/request.ts";

/** Owner and agent, which is neither owner nor in the group. */
const REPLY_MODE = 0o602, REQUEST_MODE = 0o604;
const LOOK_MS = 20;
/** An agent that runs takes a request at once; one that starts may be reading its rules. */
const TAKEN_MS = 5_000;

/** There is no reply. The text says why and what to do. */
export class UnansweredError extends Error {
  override name = "UnansweredError";
  /** @param isOpen whether it was taken: what became of it is not known */
  constructor(message: string, readonly isOpen: boolean, options?: ErrorOptions) {
    super(message, options);
  }
}

export interface AskOptions {
  /** Directory of requests. */
  readonly spool: string;
  readonly operation: string;
  readonly arguments: RequestArguments;
  readonly timeoutMs: number;
  /** How long until somebody takes it. */
  readonly takenMs?: number;
  readonly progress?: (text: string) => void;
  /** Who asks does not want to wait any more. */
  readonly signal?: AbortSignal;
}

/** Asks, and gives the last line of the reply. @throws UnansweredError, and RequestError for what no agent says */
export async function askAgent(options: AskOptions): Promise<Ending> {
  const { spool, operation, arguments: args } = options, { dev, ino, gid } = checkedSpool(spool);
  const id = crypto.getRandomValues(new Uint8Array(16)).toHex();
  const path = (name: string): string => `${spool}/${name}`;
  const request = path(fileName(id, "request")), reply = path(fileName(id, "reply")), draft = path(draftName(id));
  const bytes = encodeRequest({ operation, arguments: args, time: Date.now(), spool: `${dev}:${ino}` });
  let file: Deno.FsFile | null = null;
  try {
    file = make(reply, REPLY_MODE, gid);
    if (file.statSync().gid !== gid) {
      throw new UnansweredError(
        `Files in ${spool} do not get its group ${gid}, by which the agent knows operators; have the agent started ` +
          `again by 'deno task start', which mends it`,
        false,
      );
    }
    const whole = make(draft, REQUEST_MODE, gid);
    try {
      for (let at = 0; at < bytes.length;) at += whole.writeSync(bytes.subarray(at));
    } finally {
      whole.close();
    }
    Deno.renameSync(draft, request);
    return await waiting(file, request, options);
  } finally {
    file?.close();
    for (const each of [draft, request, reply]) removeIfThere(each);
  }
}

async function waiting(reply: Deno.FsFile, request: string, options: AskOptions): Promise<Ending> {
  const { timeoutMs, takenMs = TAKEN_MS, progress, signal } = options, began = performance.now();
  const bytes = new Uint8Array(MAX_REPLY_BYTES + 1);
  let length = 0, told = 0, isTaken = false, isGone = false;
  for (;;) {
    for (let n = reply.readSync(bytes.subarray(length)); n !== null && n > 0;) {
      length += n;
      n = length < bytes.length ? reply.readSync(bytes.subarray(length)) : 0;
    }
    const lines: ReplyLine[] = decodeReply(bytes.subarray(0, length));
    for (const line of lines.slice(told)) {
      if (line.kind === "ended") return line;
      isTaken = true;
      if (line.kind === "progress") progress?.(line.text);
    }
    told = lines.length;
    const waited = performance.now() - began;
    if (signal?.aborted || waited > timeoutMs) {
      if (removeIfThere(request)) throw new UnansweredError("It was not taken, and is taken back", false);
      const why = signal?.aborted
        ? "It was not waited for"
        : `It has not ended within ${Math.round(timeoutMs / 1_000)} s`;
      throw new UnansweredError(
        `${why}; the audit ledger shows what came of it (cli audit show --action request)`,
        true,
      );
    }
    if (!isTaken && waited > takenMs && !isGone) {
      if (removeIfThere(request)) {
        throw new UnansweredError(
          `Nobody took the request within ${
            takenMs / 1_000
          } s, and it is taken back: the agent of this state directory ` +
            `does not run, or is starting; see 'daemoneye-cli health', or name another directory with --state`,
          false,
        );
      }
      isGone = true; // taken in this moment, or refused as a file: then no reply comes
    }
    if (isGone && !isTaken && waited > 2 * takenMs) {
      throw new UnansweredError("The request was removed without a reply; the agent's notices say why", false);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** The directory, if it is one that only operators can write. @throws UnansweredError */
function checkedSpool(spool: string): { dev: number; ino: number; gid: number } {
  let found: Deno.FileInfo;
  try {
    found = Deno.lstatSync(spool);
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound
      ? `There is no request spool ${spool}: no agent was started there; name its state directory with --state`
      : cause instanceof Deno.errors.NotCapable
      ? `This program may not use ${spool}: it was built for another state directory`
      : `The request spool ${spool} cannot be looked at: ${cause instanceof Error ? cause.message : cause}`;
    throw new UnansweredError(why, false, { cause });
  }
  // In one that anybody may write, anybody may take the request, and put it into another spool
  if (!found.isDirectory || ((found.mode ?? 0) & 0o002) !== 0) {
    throw new UnansweredError(`${spool} is no request spool: a directory that only operators can write`, false);
  }
  return { dev: found.dev, ino: found.ino ?? -1, gid: found.gid ?? -1 };
}

/** A new file, open for both, with this mode whatever the umask. */
function make(path: string, mode: number, group: number): Deno.FsFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true, createNew: true, mode: 0o600 });
  } catch (cause) {
    const isDenied = cause instanceof Deno.errors.PermissionDenied;
    throw new UnansweredError(
      isDenied
        ? `You may not ask: only members of the group daemoneye-admin (number ${group}) may; have root add you ` +
          `(usermod -aG daemoneye-admin YOU) and log in anew`
        : `The request cannot be written: ${cause instanceof Error ? cause.message : cause}`,
      false,
      { cause },
    );
  }
  Deno.chmodSync(path, mode);
  return file;
}

/** Whether it was there. */
function removeIfThere(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch {
    return false;
  }
}
