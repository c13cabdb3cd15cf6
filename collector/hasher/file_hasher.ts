/**
 * One file: named, looked at, opened, read, looked at again.
 *
 * The path was the kernel's answer to "what runs there", so it held no link and named a regular file when it was asked.
 * What stands there now was put there by anybody. Nothing is opened before it is known to be a regular file, and what is
 * opened is what was looked at, by its handle, whatever happens to the path meanwhile: a device that does something when
 * it is opened, or a pipe that waits, is never touched.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { isSameFile, whyUnnamed } from "./file_faults.ts";
import type { FileCalls, FileFacts } from "./file_calls.ts";
import { FuzzyHasher } from "./fuzzy_hash.ts";
import { type FileHash, type HashCache, isSameVersion, isSettled, TICK_MS } from "./hash_cache.ts";
import type { HashAnswer, HashRequest, HashState } from "./protocol.ts";

export interface HashLimits {
  /** Largest file that is hashed. */
  readonly maxBytes: number;
  /** Largest file that gets a fuzzy hash, which takes many times the work; 0 for none. */
  readonly maxFuzzyBytes: number;
}

export interface FileHasherOptions extends HashLimits {
  readonly cache: HashCache;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

/** The outcome for one request; `isGivenUp` is asked between the pieces, and ends the work where it says so. */
export async function hashFile(
  request: HashRequest,
  calls: FileCalls,
  options: FileHasherOptions,
  isGivenUp: () => boolean,
): Promise<HashAnswer> {
  const { device, inode, isForeign } = request;
  if (isForeign && (device === null || inode === null)) return failed(request, "foreign");
  const handle = await calls.name(request.path);
  if (handle < 0) return failed(request, isForeign ? "foreign" : await whyUnnamed(calls, request.path));
  try {
    const facts = await calls.facts(handle);
    if (facts === null) return failed(request, "unreadable");
    if (device !== null && inode !== null && !isSameFile(facts, device, inode)) {
      return failed(request, isForeign ? "foreign" : "replaced");
    }
    // The kernel's path ends in no link.
    if (facts.kind === "link") return failed(request, "replaced");
    if (facts.kind !== "file") return failed(request, "not_regular");
    if (request.changeTime !== null && facts.changeTime !== request.changeTime) return failed(request, "changed");
    return await hashRegular(request, handle, facts, calls, options, isGivenUp);
  } finally {
    await calls.close(handle);
  }
}

async function hashRegular(
  request: HashRequest,
  handle: number,
  facts: FileFacts,
  calls: FileCalls,
  { cache, maxBytes, maxFuzzyBytes, now = Date.now }: FileHasherOptions,
  isGivenUp: () => boolean,
): Promise<HashAnswer> {
  // A program that was made this moment: a tick later what is read of it can be told from any later version.
  if (!isSettled(facts, now())) await new Promise((resolve) => setTimeout(resolve, TICK_MS + 5));
  const lookedAt = now();
  if (facts.size > maxBytes) return { ...failed(request, "too_large"), isSettled: isSettled(facts, lookedAt) };
  const known = cache.get(facts);
  if (known !== null) return hashed(request, known, facts, true);
  if (isGivenUp()) return failed(request, "timed_out");

  const file = await calls.open(handle);
  if (file < 0) return failed(request, "unreadable");
  try {
    const read = await readWhole(file, facts, calls, facts.size <= maxFuzzyBytes, isGivenUp);
    if (typeof read === "string") return failed(request, read);
    const after = await calls.facts(file);
    if (after === null || !isSameVersion(facts, after)) return failed(request, "changed");
    const settled = isSettled(facts, lookedAt);
    if (settled) cache.put(facts, read);
    return hashed(request, read, facts, settled);
  } finally {
    await calls.close(file);
  }
}

async function readWhole(
  file: number,
  { size }: FileFacts,
  calls: FileCalls,
  withFuzzyHash: boolean,
  isGivenUp: () => boolean,
): Promise<FileHash | HashState> {
  const hash = createHash("sha256"), fuzzy = withFuzzyHash ? new FuzzyHasher(size) : null;
  let total = 0;
  for (;;) {
    const count = await calls.read(file);
    if (isGivenUp()) return "timed_out";
    if (count < 0) return "unreadable";
    if (count === 0) break;
    total += count;
    if (total > size) return "changed"; // and it may grow for ever
    const piece = calls.chunk.subarray(0, count);
    hash.update(piece);
    fuzzy?.update(piece);
  }
  if (total !== size) return "changed";
  return { hash: hash.digest("hex"), fuzzyHash: fuzzy?.digest() ?? null };
}

function hashed({ id }: HashRequest, of: FileHash, { changeTime }: FileFacts, isSettled: boolean): HashAnswer {
  return { id, state: "hashed", hash: of.hash, fuzzyHash: of.fuzzyHash, changeTime, isSettled };
}

/** An answer without a hash. */
export function failed({ id }: HashRequest, state: HashState): HashAnswer {
  return { id, state, hash: null, fuzzyHash: null, changeTime: null, isSettled: false };
}
