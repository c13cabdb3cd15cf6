/**
 * What a hunt is: a question that is worth asking again, with an explanation, and with parameters.
 *
 * Hunts are part of the program, so that they need no file to be read. A parameter stands as `:name` in the SQL and
 * becomes a literal there; what results passes the guard like any query.
 *
 * @module
 */

export interface HuntParameter {
  readonly kind: "text" | "number";
  /** What it is when it is not given; `null` when it must be. */
  readonly initial: string | null;
  readonly text: string;
}

export interface Hunt {
  readonly name: string;
  readonly title: string;
  /** What an answer means, and what it does not. */
  readonly about: string;
  readonly parameters?: Readonly<Record<string, HuntParameter>>;
  /** One SELECT; `:now` is the time of the question, in Unix milliseconds. */
  readonly sql: string;
}

/** Names of shells, as SQL. */
export const SHELLS = "('sh', 'bash', 'dash', 'zsh', 'ksh', 'ash', 'fish', 'csh', 'tcsh', 'busybox')";
/** Names of interpreters whose version may follow, as a condition on a column. */
export function isInterpreter(column: string): string {
  return `${column} REGEXP '^(python|perl|ruby|php|node|lua|tclsh)[0-9.]*$'`;
}

export function number(initial: number, text: string): HuntParameter {
  return { kind: "number", initial: String(initial), text };
}

export function word(initial: string | null, text: string): HuntParameter {
  return { kind: "text", initial, text };
}
