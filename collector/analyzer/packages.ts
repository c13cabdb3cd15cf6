/**
 * Looks a file up in dpkg's lists; says `unknown` where there are none.
 *
 * The lists are read through Deno, under a grant of that directory alone. Each is bounded, and so is how long it is looked.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { hashing, paced } from "./paced.ts";
import { listedNames, listHas, md5Of, packageOfList, type PackageState } from "./package_owner.ts";

/** Where dpkg keeps its lists. */
export const DPKG_INFO = "/var/lib/dpkg/info";
/** Largest list that is read, and how many. */
const MAX_LIST_BYTES = 16 << 20, MAX_LISTS = 20_000;

export interface PackageOwner {
  readonly name: string | null;
  readonly state: PackageState;
}

/** `bytes` is the file, to be held against its package's sum. */
export async function packageOf(
  path: string,
  bytes: Uint8Array,
  signal: AbortSignal,
  info: string = DPKG_INFO,
): Promise<PackageOwner> {
  const names = listedNames(path), owners: string[] = [];
  try {
    let seen = 0;
    for await (const { name } of Deno.readDir(info)) {
      const owner = packageOfList(name);
      if (owner === null) continue;
      if (signal.aborted || ++seen > MAX_LISTS) return { name: null, state: "unknown" };
      const list = await textOf(`${info}/${name}`);
      if (list !== null && listHas(list, names)) owners.push(owner);
    }
    if (seen === 0) return { name: null, state: "unknown" };
  } catch {
    // No dpkg here, or its directory is closed to this user.
    return { name: null, state: "unknown" };
  }
  // A diverted file is in the lists of two packages: whose sum it has, that one's it is.
  const sum = await paced(hashing(createHash("md5"), bytes), signal);
  let state: PackageState = "unowned", name: string | null = null;
  for (const owner of owners.sort()) {
    const sums = await textOf(`${info}/${owner}.md5sums`), wanted = sums === null ? null : md5Of(sums, names);
    if (wanted === sum) return { name: owner, state: "unmodified" };
    if (name === null || wanted !== null) name = owner;
    if (wanted !== null) state = "modified";
    else if (state === "unowned") state = "owned";
  }
  return { name, state };
}

async function textOf(path: string): Promise<string | null> {
  try {
    if ((await Deno.stat(path)).size > MAX_LIST_BYTES) return null;
    return await Deno.readTextFile(path);
  } catch {
    return null;
  }
}
