/**
 * Launchers: a tier's bundle, its grants and its environment in one executable text file, for a machine with Deno.
 *
 * The file is a shell script and a JavaScript module at once. Its second line is, to the shell, a command that replaces
 * the shell by Deno with the same file as program; to JavaScript it is a string and a comment. That of the command line
 * has a line before it which lowers its priority. Users' arguments come
 * after the program, so they reach the program and never Deno. The launcher of a program in parts is the lines for
 * the shell alone, and names the program's file.
 *
 * @module
 */
import { settingsEnvironment } from "../proto/config.ts";
import type { Tier, TierGrants } from "./privileges.ts";
import { BUNDLE_FLAGS, grantFlags, RUNTIME_VARIABLES } from "./runtime_flags.ts";

export interface LauncherOptions {
  readonly tier: Tier;
  readonly grants: TierGrants;
  /** Absolute path of the Deno that runs it. */
  readonly deno: string;
  readonly denoDir: string;
  /** Absolute path of a program that is not in the launcher. */
  readonly program?: string;
  /** Arguments before those of the command line. */
  readonly args: readonly string[];
}

/**
 * What reads gives way to what stores: ten copies of the command line would take ten elevenths of the processors from the
 * agent otherwise. A question still gets its share on a host that is busy with something else; an export, which takes all
 * that there is for minutes, only what nobody wants. Its nice value does not say that: whoever runs keeps the processor
 * for some milliseconds, and what stores sleeps at each sync. Under `SCHED_IDLE` it is given up at once, and the disk too.
 * Where that is refused, the nice value has to do.
 */
export const PRIORITY: string =
  'n=10; for w do case "$w" in export) n=19; /usr/bin/chrt -i -p 0 $$ 2>/dev/null;; esac; done';

const PREFIX = `":" //; exec `;

/** The whole launcher. */
export function launcherText(bundle: string, options: LauncherOptions): string {
  const { tier, grants, deno, denoDir, program, args } = options;
  const words = [
    ...(tier === "cli" ? ["/usr/bin/nice", "-n", "$n"] : []),
    "/usr/bin/env",
    "-i",
    quote(`DENO_DIR=${denoDir}`),
    ...Object.entries(RUNTIME_VARIABLES).map(([name, value]) => `${name}=${value}`),
    ...passedVariables(tier).map((name) => `\${${name}+"${name}=$${name}"}`),
    quote(deno),
    "run",
    ...[...BUNDLE_FLAGS, "--ext=js", ...grantFlags(grants)].map(quote),
    program === undefined ? `"$0"` : quote(program),
    ...args.map(quote),
    `"$@"`,
  ];
  const priority = tier === "cli" ? `":" //; ${PRIORITY}\n` : "";
  return `#!/bin/sh\n${priority}${PREFIX}${words.join(" ")}\n${bundle}`;
}

export interface LauncherCommand {
  readonly deno: string;
  readonly flags: readonly string[];
  /** `null` when it is the launcher itself. */
  readonly program: string | null;
  readonly args: readonly string[];
}

/** The command in a launcher's text; `null` when it is none. */
export function launcherCommand(text: string): LauncherCommand | null {
  const [first, second = "", third = ""] = text.split("\n", 3);
  const line = second === `":" //; ${PRIORITY}` ? third : second;
  if (first !== "#!/bin/sh" || !line.startsWith(PREFIX)) return null;
  const words = [...line.slice(PREFIX.length).matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)]
    .map(([, quoted, plain]) => quoted?.replaceAll(`'\\''`, "'") ?? plain!);
  const run = words.indexOf("run"), place = words.findIndex((word, i) => i > run && !word.startsWith("-"));
  if (run < 1 || place < run || words.at(-1) !== `"$@"`) return null;
  const program = words[place] === `"$0"` ? null : words[place]!;
  return { deno: words[run - 1]!, flags: words.slice(run + 1, place), program, args: words.slice(place + 1, -1) };
}

/** The variables that reach the tier, beside those that the launcher sets: its settings by name, and two of Deno's. */
function passedVariables(tier: Tier): string[] {
  const names = ["NO_COLOR", "TZ"];
  if (tier === "cli" || tier === "ask") return names;
  settingsEnvironment((name) => {
    names.push(name);
    return undefined;
  });
  return names;
}

function quote(word: string): string {
  return /^[A-Za-z0-9_./=:-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
