/**
 * A technique of attackers, done so that it does no harm: who starts what, in which order.
 *
 * Nearly all programs in it are stand-ins (`../c/stand_in.c`): they have the file name, the arguments, the parent, the user and
 * the standard input that the technique is known by, and do nothing. Steps that are `real` run the program itself, and write
 * nowhere but in the technique's own directories.
 *
 * @module
 */

/** One program that is started. */
export interface Step {
  /** Words between blanks; single quotes hold words together. `{dir}` and `{shm}` are the technique's own directories. */
  readonly run: string;
  /** File that runs, below `{dir}/bin` or absolute; otherwise what the first word names. */
  readonly file?: string;
  /** The program of that name itself runs and not a stand-in. */
  readonly real?: boolean;
  readonly times?: number;
  /** User that it runs as, by number; wants root. */
  readonly uid?: number;
  /** Its file has the setuid bit of root; wants root. */
  readonly setuid?: boolean;
  /** What its standard input is, when that matters. */
  readonly stdin?: "socket" | "pipe";
  /** Its file is removed before it begins, or was never on a disk. */
  readonly from?: "deleted" | "memory";
  readonly env?: Readonly<Record<string, string>>;
  /** Exit code, or less than 0 the signal that ends it. */
  readonly exit?: number;
  /** Depth of a tree of copies of itself. */
  readonly forks?: number;
  /** What it starts itself. */
  readonly steps?: readonly (Step | string)[];
}

export interface Technique {
  readonly name: string;
  /** ATT&CK's id. */
  readonly id: string;
  /** Name of the process that starts the steps, a shell when nothing is said. */
  readonly parent?: string;
  /** User that all of it runs as, by number; wants root. */
  readonly uid?: number;
  /** As root, all of it runs as a user that no other technique has: where rules put events of a user together. */
  readonly alone?: true;
  /** What needs root beside that: root's own user id in the events. */
  readonly root?: true;
  readonly steps: readonly (Step | string)[];
}

/** Debian's user of web servers. */
export const WWW_DATA = 33;
/** A person, who need not be in /etc/passwd. */
export const PERSON = 61_000;

/** A name for directories. */
export function slugOf({ name }: Technique): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
}

/** A step in full. */
export function stepOf(step: Step | string): Step {
  return typeof step === "string" ? { run: step } : step;
}

/** `count` steps, of which each has its number instead of `#`. */
export function each(count: number, ...runs: readonly string[]): Step[] {
  return Array.from({ length: count }, (_, i) => runs.map((run) => ({ run: run.replaceAll("#", String(i)) }))).flat();
}

/** Words as a shell would take them apart that knows blanks and single quotes. */
export function wordsOf(text: string): string[] {
  return [...text.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ""));
}

/** Whether it can only be done by root. */
export function wantsRoot(technique: Technique): boolean {
  const steps = (list: readonly (Step | string)[]): boolean =>
    list.map(stepOf).some((step) => step.uid !== undefined || step.setuid === true || steps(step.steps ?? []));
  return technique.root === true || technique.uid !== undefined || steps(technique.steps);
}

/** Whether a rule with these tags is about the technique: it names it, or the one that it is a part of or that is a part of it. */
export function isAbout(tags: readonly string[], id: string): boolean {
  const wanted = id.toLowerCase();
  return tags.some((tag) => {
    const named = tag.replace(/^attack\./, "");
    return named === wanted || wanted.startsWith(`${named}.`) || named.startsWith(`${wanted}.`);
  });
}
