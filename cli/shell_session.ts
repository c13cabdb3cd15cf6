/**
 * What the shell does with a statement or a command of its own, whether a person types it or a file holds it.
 *
 * The store is opened for each statement and closed behind it: a shell that waits for its person holds nothing.
 *
 * @module
 */
import { CATALOG } from "../proto/catalog.ts";
import { parseSql } from "../proto/rules/sql_library.ts";
import type { ParameterValue } from "../proto/rules/sql_parameters.ts";
import { meant } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { storeTables } from "./collected.ts";
import { DOT_COMMANDS, type TableColumns } from "./completion.ts";
import { parseMoment } from "./moment.ts";
import { type Format, FORMATS } from "./output.ts";
import { MAX_PARAMETERS, parseParameter } from "./parameters.ts";
import { OSQUERY_VIEWS } from "./osquery_views.ts";
import { ask, writeOsquerySchema, writeSchema } from "./query.ts";
import { writeShellHelp } from "./shell_help.ts";
import { findPlaces } from "./settings.ts";
import { DEFAULT_DEADLINE_MS } from "./store_reader.ts";
import { count, localTime, parseSpan, span } from "./units.ts";
import { type StepWatch, Watchdog } from "./watchdog.ts";

/** Rows of an answer, unless `.limit` says otherwise: a person reads them. */
const DEFAULT_ROWS = 1_000;
const MAX_ROWS = 100_000_000;

/** What the command line says; `null` where it says nothing. */
export interface InitialSettings {
  readonly limit: number | null;
  readonly deadlineMs: number | null;
  readonly since: number | null;
  readonly parameters: ReadonlyMap<string, ParameterValue>;
  readonly isOsquery: boolean;
}

export class ShellSession {
  readonly #call: Call;
  #format: Format;
  #limit: number;
  #isLimitAsked: boolean;
  #deadlineMs: number;
  #since: number | null;
  #timed = false;
  #isOsquery: boolean;
  #isExplained = false;
  readonly #parameters: Map<string, ParameterValue>;

  constructor(call: Call, initial: InitialSettings) {
    this.#call = call;
    this.#format = call.format;
    this.#limit = initial.limit ?? DEFAULT_ROWS;
    this.#isLimitAsked = initial.limit !== null;
    this.#deadlineMs = initial.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#since = initial.since;
    this.#isOsquery = initial.isOsquery;
    this.#parameters = new Map(initial.parameters);
  }

  get tables(): TableColumns {
    if (this.#isOsquery) {
      return new Map([...OSQUERY_VIEWS].map(([name, { columns }]) => [name, Object.keys(columns)]));
    }
    const collected = storeTables(findPlaces(this.#call).layout.store);
    return new Map(
      [...CATALOG, ...collected].map(([name, table]) => [name, table.columns.map((column) => column.name)]),
    );
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /**
   * Runs one statement; what goes wrong is said, and no exception. `steps` watches over it, a watchdog of its own by
   * default.
   */
  run(sql: string, screen: Call["screen"], steps: StepWatch | null, isStopped?: () => boolean): Exit {
    const call: Call = { ...this.#call, format: this.#format, screen }, began = performance.now();
    const watch = (steps: StepWatch): Exit => {
      const { out } = call, asking = { since: this.#since, limit: this.#limit, isLimitAsked: this.#isLimitAsked };
      const deadlineMs = this.#deadlineMs, isOsquery = this.#isOsquery;
      try {
        return ask(call, sql, {
          ...asking,
          deadlineMs,
          isOsquery,
          isExplained: this.#isExplained,
          parameters: this.#parameters,
          parse: parseSql,
          steps,
          ...(isStopped === undefined ? {} : { isStopped }),
        });
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        out.discard();
        call.note(error.message);
        return EXIT.failed;
      }
    };
    const exit = steps === null ? watched(this.#deadlineMs, watch) : watch(steps);
    if (this.#timed) call.note(`Time: ${span(performance.now() - began)}`);
    return exit;
  }

  /** A line that begins with a dot. Returns `"quit"` when it asks for that. */
  command(line: string, screen: Call["screen"]): "quit" | Exit {
    const [name, argument, ...more] = line.trim().split(/\s+/) as [string, ...string[]];
    // The value of a parameter may have spaces
    const rest = line.trim().slice(name.length).trim();
    const call: Call = { ...this.#call, format: this.#format, screen };
    try {
      if (name === ".param") return this.#parameter(call, rest);
      if (more.length > 0) throw new UsageError(`${name} takes at most one word`);
      return this.#command(call, name, argument);
    } catch (error) {
      if (!(error instanceof UsageError) && !(error instanceof CommandError)) throw error;
      call.out.discard();
      call.note(error.message);
      return error instanceof UsageError ? EXIT.usage : EXIT.failed;
    }
  }

  /** Sets a parameter, forgets one or all, or lists them. */
  #parameter(call: Call, text: string): Exit {
    if (text === "") {
      for (const [name, value] of this.#parameters) {
        call.note(`:${name} ${typeof value === "string" ? `text ${value}` : `number ${value}`}`);
      }
      if (this.#parameters.size === 0) call.note("There is no parameter; .param pid=42 makes one");
    } else if (text === "clear") this.#parameters.clear();
    else if (text.includes("=")) {
      const [name, value] = parseParameter(text, call.now());
      if (!this.#parameters.has(name) && this.#parameters.size >= MAX_PARAMETERS) {
        throw new UsageError(`There may be ${MAX_PARAMETERS} parameters at most; .param clear forgets them`);
      }
      this.#parameters.set(name, value);
    } else if (!this.#parameters.delete(text)) {
      throw new UsageError(`There is no parameter ${text}${meant(text, [...this.#parameters.keys()])}`);
    }
    return EXIT.complete;
  }

  #command(call: Call, name: string, argument: string | undefined): "quit" | Exit {
    switch (name) {
      case ".quit":
      case ".exit":
        return "quit";
      case ".help": {
        writeShellHelp(call);
        return EXIT.complete;
      }
      case ".tables": {
        const names = [...this.tables.keys()].filter((name) => isLike(name, argument ?? ""));
        for (const name of names) call.out.write(`${name}\n`);
        if (names.length === 0) {
          call.note(`No table ${/[%*]/.test(argument!) ? "is like" : "begins with"} ${argument}; .tables lists all`);
        }
        return EXIT.complete;
      }
      case ".schema":
        return this.#isOsquery ? writeOsquerySchema(call, argument) : writeSchema(call, argument);
      case ".osquery":
        if (argument !== undefined && argument !== "on" && argument !== "off") {
          throw new UsageError(`.osquery is on or off, and not ${argument}`);
        }
        if (argument !== undefined) this.#isOsquery = argument === "on";
        else call.note(`osquery ${this.#isOsquery ? "on" : "off"}`);
        return EXIT.complete;
      case ".explain":
        if (argument !== undefined && argument !== "on" && argument !== "off") {
          throw new UsageError(`.explain is on or off, and not ${argument}`);
        }
        if (argument !== undefined) this.#isExplained = argument === "on";
        else call.note(`explain ${this.#isExplained ? "on" : "off"}`);
        return EXIT.complete;
      case ".mode": {
        const format = FORMATS.find((format) => format === argument);
        if (argument !== undefined && format === undefined) {
          throw new UsageError(
            `There is no mode ${argument}${meant(argument, FORMATS)}; there are ${FORMATS.join(", ")}`,
          );
        }
        if (format !== undefined) this.#format = format;
        else call.note(`mode ${this.#format}`);
        return EXIT.complete;
      }
      case ".timer":
        if (argument !== undefined && argument !== "on" && argument !== "off") {
          throw new UsageError(`.timer is on or off, and not ${argument}`);
        }
        this.#timed = argument === undefined ? !this.#timed : argument === "on";
        if (argument === undefined) call.note(`timer ${this.#timed ? "on" : "off"}`);
        return EXIT.complete;
      case ".limit":
        if (argument !== undefined) {
          const limit = /^\d{1,15}$/.test(argument) ? Number(argument) : NaN;
          if (!(limit >= 1 && limit <= MAX_ROWS)) {
            throw new UsageError(`.limit takes a whole number from 1 to ${MAX_ROWS}, and not ${argument}`);
          }
          this.#limit = limit;
          this.#isLimitAsked = true;
        } else call.note(`limit ${count(this.#limit)} rows`);
        return EXIT.complete;
      case ".timeout":
        if (argument !== undefined) {
          const deadlineMs = parseSpan(argument);
          if (deadlineMs === null || deadlineMs === 0) {
            throw new UsageError(`.timeout takes a span such as 30s or 5m, and not ${argument}`);
          }
          this.#deadlineMs = deadlineMs;
        } else call.note(`timeout ${span(this.#deadlineMs)}`);
        return EXIT.complete;
      case ".since":
        if (argument !== undefined) {
          const since = argument === "all" ? null : parseMoment(argument, call.now());
          if (since === null && argument !== "all") {
            throw new UsageError(
              `.since takes a span such as 10m, a time such as 2026-08-05T12:00, 22:00 or yesterday, or all`,
            );
          }
          this.#since = since;
        } else call.note(this.#since === null ? "since all" : `since ${localTime(this.#since)}`);
        return EXIT.complete;
    }
    const names = DOT_COMMANDS.map(([name]) => name);
    throw new UsageError(`There is no command ${name}${meant(name, names) || "; .help lists them"}`);
  }
}

function watched(deadlineMs: number, run: (steps: StepWatch) => Exit): Exit {
  const watchdog = new Watchdog(deadlineMs);
  try {
    return run(watchdog);
  } finally {
    watchdog[Symbol.dispose]();
  }
}

/** Whether a name begins so, or is like a pattern of `%`, as SQL and sqlite3 have it, or `*`. */
function isLike(name: string, pattern: string): boolean {
  if (!/[%*]/.test(pattern)) return name.startsWith(pattern);
  const parts = pattern.split(/[%*]+/).map((part) => RegExp.escape(part));
  return new RegExp(`^${parts.join(".*")}$`, "i").test(name);
}
