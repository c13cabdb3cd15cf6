/**
 * Cells of processes and events for eyes, shared by the commands that show them.
 *
 * @module
 */
import { constants } from "node:os";
import { type Cell, type CellByName, plainCell, type ShownColumn } from "./output.ts";
import type { TableCell } from "./table.ts";
import { bytes, localTime, span } from "./units.ts";

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name.slice(3)]));

export function timeCell(cell: Cell, fraction: "ms" | "s" = "ms"): TableCell {
  return cell === null ? plainCell(cell) : { text: localTime(Number(cell), fraction) };
}

export function spanCell(cell: Cell): TableCell {
  return cell === null ? plainCell(cell) : { text: span(Number(cell)), number: true };
}

export function sizeCell(cell: Cell): TableCell {
  return cell === null ? plainCell(cell) : { text: bytes(Number(cell)), number: true };
}

/** Name of the user, its number where it has none; the effective user beside it where it differs. */
export function userOf(of: CellByName): TableCell {
  const real = of("user_id"), effective = of("effective_user_id"), name = of("user_name") ?? real;
  if (name === null) return plainCell(null);
  const raised = effective !== null && real !== null && effective !== real;
  return raised ? { text: `${name}>${effective}`, style: "warning" } : { text: String(name) };
}

/** The command line; the name in brackets where there is none, as for threads of the kernel. */
export function commandOf(of: CellByName): TableCell {
  const line = of("command_line"), mark = kindMark(of);
  const style = mark !== "" ? "warning" : undefined;
  if (line !== null && line !== "") return { text: `${mark}${line}`, style };
  return { text: `${mark}[${of("name") ?? "?"}]`, style: of("kernel_thread") === 1 ? "faint" : style };
}

/** Columns that `--wide` adds before the command. */
export const WIDE_COLUMNS: readonly ShownColumn[] = [
  { name: "group_name", title: "GROUP", show: (_, of) => groupOf(of) },
  { name: "login_user_id", title: "LOGIN" },
  { name: "tty", title: "TTY" },
  { name: "executable_kind", title: "KIND" },
  { name: "namespace_pid", title: "NSPID" },
  { name: "pod_id", title: "POD", unlessEmpty: true },
  { name: "cgroup_path", title: "CGROUP" },
  { name: "cwd", title: "CWD" },
  { name: "executable_path", title: "EXECUTABLE" },
  { name: "script_path", title: "SCRIPT", unlessEmpty: true },
];

/** The container where there is one: hosts without have no column of it. */
export function containerColumn(optional: number): ShownColumn {
  return {
    name: "container_id",
    title: "CONTAINER",
    least: 12,
    optional,
    unlessEmpty: true,
    show: (_, of) => containerOf(of),
  };
}

function groupOf(of: CellByName): TableCell {
  return plainCell(of("group_name") ?? of("group_id"));
}

/** What a person should know of the file that runs: nothing of one that its path names. */
function kindMark(of: CellByName): string {
  const kind = of("executable_kind");
  if (kind === null || kind === "file") return "";
  // Every program of a container is foreign to the host; without one it is worth a look
  return kind === "foreign" && of("container_id") !== null ? "" : `(${kind}) `;
}

/** Runtime and short id of the container, as its tools show it. */
export function containerOf(of: CellByName): TableCell {
  const id = of("container_id"), runtime = of("container_runtime");
  if (id === null) return plainCell(null);
  return { text: `${runtime === null ? "" : `${runtime}:`}${String(id).slice(0, SHORT_ID)}` };
}
/** Characters of a container's id that docker and podman print. */
const SHORT_ID = 12;

/** State of a process, or how it ended. */
export function processStatus(of: CellByName): TableCell {
  const status = of("status");
  if (of("end_time") === null) return status === null ? plainCell(null) : { text: String(status) };
  return { text: status === "lost" ? "lost" : howEnded(of) ?? "ended", style: "faint" };
}

/** `exit 1`, `signal 9 KILL`, or `null` when neither is known. */
export function howEnded(of: CellByName): string | null {
  const signal = of("exit_signal"), code = of("exit_code");
  if (signal !== null) return `signal ${signal} ${SIGNAL_NAMES.get(Number(signal)) ?? ""}`.trimEnd();
  return code === null ? null : `exit ${code}`;
}
