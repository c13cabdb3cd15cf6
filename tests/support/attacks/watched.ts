/**
 * What a whole DaemonEye said of techniques that were done under it.
 *
 * An alert belongs to a technique when its process descends from one whose executable lies in the technique's directory.
 * Others may use the host meanwhile; what they do is not looked at.
 *
 * @module
 */
import { processOfExec } from "../../../proto/identity.ts";
import type { World } from "../world.ts";

export interface Alert {
  readonly rule: string;
  readonly severity: string;
  readonly tags: readonly string[];
  readonly commandLine: string;
}

/** The alerts of each name; `nameOf` says to which an event belongs by itself, or says nothing. */
export function alertsByOrigin(
  world: World,
  nameOf: (executable: string, commandLine: string) => string | null,
): ReadonlyMap<string, readonly Alert[]> {
  const parents = new Map<string, string>(), names = new Map<string, string>();
  for (
    const row of world.query(
      `SELECT exec_id, parent_exec_id, executable_path, command_line FROM process_events
       WHERE event_type = 'start' ORDER BY event_id`,
    )
  ) {
    const process = processOfExec(String(row["exec_id"])), parent = row["parent_exec_id"];
    if (typeof parent === "string" && !parents.has(process)) parents.set(process, processOfExec(parent));
    const name = nameOf(String(row["executable_path"]), String(row["command_line"]));
    if (name !== null && !names.has(process)) names.set(process, name);
  }
  const origin = (process: string): string | null => {
    const seen = new Set<string>();
    for (let at: string | undefined = process; at !== undefined && !seen.has(at); at = parents.get(at)) {
      const name = names.get(at);
      if (name !== undefined) return name;
      seen.add(at);
    }
    return null;
  };
  const found = new Map<string, Alert[]>();
  for (const row of world.query("SELECT rule_id, severity, tags, exec_id, command_line FROM alerts ORDER BY time")) {
    const name = row["exec_id"] === null ? null : origin(processOfExec(String(row["exec_id"])));
    const alert: Alert = {
      rule: String(row["rule_id"]),
      severity: String(row["severity"]),
      tags: JSON.parse(String(row["tags"])),
      commandLine: String(row["command_line"] ?? ""),
    };
    const key = name ?? "", list = found.get(key);
    if (list === undefined) found.set(key, [alert]);
    else list.push(alert);
  }
  return found;
}

/** Waits until what was started by now is stored and judged, which it is together: the end of a process that begins after it. */
export async function settled(world: World, tag: string): Promise<void> {
  const last = `${tag}/last`;
  await new Deno.Command("bash", { args: ["-c", "sleep 2; true", last], stdin: "null" }).output();
  const isStored = (type: string): boolean =>
    world.count(
      "SELECT count(*) FROM process_events WHERE event_type = ? AND command_line LIKE ?",
      type,
      `%${last}`,
    ) > 0;
  await world.until("the last of it is stored", () => isStored("start") && isStored("stop"), 120_000);
}
