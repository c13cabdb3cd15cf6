/**
 * A row of `process_events` as formats for receivers take it: cells by name, which come from a store that may hold what
 * no agent wrote there.
 *
 * @module
 */
import { CATALOG } from "../catalog.ts";
import { SEVERITIES, type Severity } from "../process_event.ts";
import type { ProcessFacts } from "./ocsf_objects.ts";

/** What a cell holds. */
export type EventCell = string | number | bigint | Uint8Array | null;

/** Formats have numbers in JSON: one that is no exact double there is none. */
export class EventFacts implements ProcessFacts {
  readonly #cells: ReadonlyMap<string, EventCell>;

  constructor(cells: ReadonlyMap<string, EventCell>) {
    this.#cells = cells;
  }

  integer(name: string): number | null {
    const cell = this.#cells.get(name);
    return typeof cell === "number" && Number.isSafeInteger(cell) ? cell : null;
  }

  real(name: string): number | null {
    const cell = this.#cells.get(name);
    return typeof cell === "number" && Number.isFinite(cell) ? cell : null;
  }

  text(name: string): string | null {
    const cell = this.#cells.get(name);
    return typeof cell === "string" ? cell : null;
  }

  /** Texts of a JSON array; `null` where there is none. */
  list(name: string): string[] | null {
    try {
      const value: unknown = JSON.parse(this.text(name) ?? "null");
      return Array.isArray(value) ? value.map(String) : null;
    } catch {
      return null;
    }
  }

  /** What a format has no place of its own for, by column; integers that no double holds as text. */
  rest(placed: ReadonlySet<string>): Record<string, string | number> {
    const rest: Record<string, string | number> = {};
    for (const { name } of CATALOG.get("process_events")!.columns) {
      const cell = this.#cells.get(name);
      const isOdd = typeof cell === "bigint" || (typeof cell === "number" && !Number.isFinite(cell));
      if (cell === null || cell === undefined || (placed.has(name) && !isOdd)) continue;
      rest[name] = isOdd ? String(cell) : cell instanceof Uint8Array ? cell.toHex() : cell as string | number;
    }
    return rest;
  }

  /** Of what is suspicious; everything else only informs. */
  get severity(): Severity {
    return SEVERITIES.find((severity) => severity === this.text("severity")) ?? "info";
  }

  get sha256(): string | null {
    return this.text("hash_algorithm") === "sha256" ? this.text("executable_hash") : null;
  }

  get time(): number {
    return this.integer("time") ?? 0;
  }

  get pid(): number {
    return this.integer("pid") ?? 0;
  }

  get execId(): string {
    return this.text("exec_id") ?? "";
  }

  get name(): string | null {
    return this.text("name");
  }

  get commandLine(): string | null {
    return this.text("command_line");
  }

  get startTime(): number | null {
    return this.integer("start_time");
  }

  get cwd(): string | null {
    return this.text("cwd");
  }

  get executablePath(): string | null {
    return this.text("executable_path");
  }

  get userId(): number | null {
    return this.integer("user_id");
  }

  get userName(): string | null {
    return this.text("user_name");
  }

  get containerId(): string | null {
    return this.text("container_id");
  }

  get ppid(): number | null {
    return this.integer("ppid");
  }

  get parentExecId(): string | null {
    return this.text("parent_exec_id");
  }

  get parentName(): string | null {
    return this.text("parent_name");
  }

  get parentCommandLine(): string | null {
    return this.text("parent_command_line");
  }

  get parentExecutablePath(): string | null {
    return this.text("parent_executable_path");
  }
}

/** Columns that both formats have a place for. */
export const PLACED_COLUMNS: readonly string[] = [
  ...["event_id", "time", "event_type", "exec_id", "parent_exec_id", "pid", "ppid", "name", "executable_path"],
  ...["command_line", "user_id", "user_name", "start_time", "end_time", "duration_ms", "exit_code", "parent_name"],
  ...["parent_executable_path", "parent_command_line", "cwd", "container_id", "severity"],
];
