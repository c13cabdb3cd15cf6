/**
 * Cells of processes and events for eyes, shared by the commands that show them.
 *
 * @module
 */
import { constants } from "node:os";
import { type Cell, type CellByName, plainCell } from "./output.ts";
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
  const line = of("command_line");
  if (line !== null && line !== "") return { text: String(line) };
  return { text: `[${of("name") ?? "?"}]`, style: of("kernel_thread") === 1 ? "faint" : undefined };
}

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
