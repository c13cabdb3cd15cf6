/**
 * How much room the disk of a file has left.
 *
 * @module
 */
import { statfsSync } from "node:fs";

/** Bytes that this user may still write there; `null` when that cannot be known. A quota is not seen. */
export function freeBytes(path: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(path);
    return Number(bavail) * Number(bsize);
  } catch {
    return null;
  }
}
