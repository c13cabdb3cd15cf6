/**
 * By what the log knows the host that it belongs to.
 *
 * The machine's id is confidential (machine-id(5)), so what is written is derived from it and tells nothing of it. A
 * host without one, such as many containers, has a name that all such hosts share: a log that is moved between two of
 * them is told from their own only by the collector's id.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readWholeFile } from "./kernel/procfs.ts";

/** The name of every host that has no id. */
export const NAMELESS = "no-machine-id";

const PLACES = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/** Reads the machine's id; needs no privilege, but a file system that Deno refuses. */
export function readHostName(): string {
  for (const path of PLACES) {
    const bytes = readWholeFile(path, 64);
    if (bytes !== null) {
      const name = hostName(new TextDecoder().decode(bytes));
      if (name !== NAMELESS) return name;
    }
  }
  return NAMELESS;
}

/** The name of the host whose `/etc/machine-id` holds `text`. */
export function hostName(text: string): string {
  const id = text.trim();
  // Empty or "uninitialized" in images that are meant to be copied.
  if (!/^[0-9a-f]{32}$/.test(id) || /^0+$/.test(id)) return NAMELESS;
  return createHash("sha256").update(`daemoneye write-ahead log\0${id}`).digest("hex").slice(0, 32);
}
