/**
 * Gives back the memory that a start has left: V8's, what the C library keeps between pieces that are in use, and pages
 * of the executable. Reading the program and the kernel's types leaves some 15 MB of the second, which nothing would ever
 * use again.
 *
 * Where the C library has no such call (musl), V8's part alone is given back.
 *
 * @module
 */
import { giveBackMemory } from "../../proto/memory.ts";
import { libc } from "./libc.ts";
import { releaseProgramPages } from "./program_pages.ts";

/** Takes tens of milliseconds, as {@linkcode giveBackMemory}. */
export function giveBackHeap(): void {
  giveBackMemory();
  libc.malloc_trim?.(0n);
  releaseProgramPages();
}
