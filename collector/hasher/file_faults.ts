/**
 * Why a path cannot be named, and whether a file is the one that the kernel meant: found out by looking further.
 *
 * @module
 */
import { readWholeFile } from "../kernel/procfs.ts";
import type { FileCalls, FileFacts } from "./file_calls.ts";

const MAX_MOUNTS_BYTES = 4 << 20;

/** Whether a path that could not be named is not there, or lies where this user cannot look. */
export async function whyUnnamed(calls: FileCalls, path: string): Promise<"missing" | "unreadable"> {
  const steps = path.split("/").filter((step) => step !== "");
  for (let depth = 1; depth <= steps.length; depth++) {
    const here = `/${steps.slice(0, depth).join("/")}`, facts = await calls.factsOf(here);
    if (facts === null) {
      // The directory above can be searched, or the loop had ended: what refuses is a mount of another user's.
      return isMountPoint(here) ? "unreadable" : "missing";
    }
    if (depth < steps.length && facts.kind === "directory" && !await calls.maySearch(here)) return "unreadable";
  }
  return "missing"; // it was, and is there again
}

/**
 * Whether a file has the numbers that the kernel gave of the one it executed.
 *
 * On file systems that show several devices or layers (btrfs, overlayfs) `stat` tells another device than the kernel has
 * inside; there the device is that of the mount, which is the kernel's own.
 */
export function isSameFile(facts: FileFacts, device: number, inode: number): boolean {
  if (facts.device === device && facts.inode === inode) return true;
  if (facts.inode !== inode || facts.mountId === 0) return false;
  return deviceOfMount(readMounts(), facts.mountId) === device;
}

/** The device of a mount, `null` when the table does not have it. */
export function deviceOfMount(mounts: string, mountId: number): number | null {
  const found = new RegExp(`^${mountId} \\d+ (\\d+):(\\d+) `, "m").exec(mounts);
  return found === null ? null : (Number(found[1]) << 20 | Number(found[2])) >>> 0;
}

function isMountPoint(path: string): boolean {
  // Blanks and the like stand as octal numbers in the table.
  const shown = path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return readMounts().split("\n").some((line) => line.split(" ")[4] === shown);
}

/** Read on the program's own thread: the kernel makes it up from memory. */
function readMounts(): string {
  const bytes = readWholeFile("/proc/self/mountinfo", MAX_MOUNTS_BYTES);
  return bytes === null ? "" : new TextDecoder().decode(bytes);
}
