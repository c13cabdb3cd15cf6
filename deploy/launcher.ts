/**
 * Launchers: a tier's bundle, its grants and its environment in one executable text file, for a machine with Deno.
 *
 * The file is a shell script and a JavaScript module at once. Its second line is, to the shell, a command that replaces
 * the shell by Deno with the same file as program; to JavaScript it is a string and a comment. Users' arguments come
 * after the program, so they reach the program and never Deno.
 *
 * @module
 */
import { settingsEnvironment } from "../proto/config.ts";
import { BUNDLE_FLAGS, grantFlags, RUNTIME_VARIABLES, type Tier, type TierGrants } from "./privileges.ts";

export interface LauncherOptions {
  readonly tier: Tier;
  readonly grants: TierGrants;
  /** Absolute path of the Deno that runs it. */
  readonly deno: string;
  readonly denoDir: string;
  /** Arguments before those of the command line. */
  readonly args: readonly string[];
}

const PREFIX = `":" //; exec `;

/** The whole launcher. */
export function launcherText(bundle: string, { tier, grants, deno, denoDir, args }: LauncherOptions): string {
  const words = [
    "/usr/bin/env",
    "-i",
    quote(`DENO_DIR=${denoDir}`),
    ...Object.entries(RUNTIME_VARIABLES).map(([name, value]) => `${name}=${value}`),
    ...passedVariables(tier).map((name) => `\${${name}+"${name}=$${name}"}`),
    quote(deno),
    "run",
    ...[...BUNDLE_FLAGS, "--ext=js", ...grantFlags(grants)].map(quote),
    `"$0"`,
    ...args.map(quote),
    `"$@"`,
  ];
  return `#!/bin/sh\n${PREFIX}${words.join(" ")}\n${bundle}`;
}

/** The Deno, its flags and the arguments in a launcher's text; `null` when it is none. */
export function launcherCommand(text: string): { deno: string; flags: string[]; args: string[] } | null {
  const [first, second = ""] = text.split("\n", 2);
  if (first !== "#!/bin/sh" || !second.startsWith(PREFIX)) return null;
  const words = [...second.slice(PREFIX.length).matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)]
    .map(([, quoted, plain]) => quoted?.replaceAll(`'\\''`, "'") ?? plain!);
  const run = words.indexOf("run"), program = words.indexOf(`"$0"`);
  if (run < 1 || program < run || words.at(-1) !== `"$@"`) return null;
  return { deno: words[run - 1]!, flags: words.slice(run + 1, program), args: words.slice(program + 1, -1) };
}

/** The variables that reach the tier, beside those that the launcher sets: its settings by name, and two of Deno's. */
export function passedVariables(tier: Tier): string[] {
  const names = ["NO_COLOR", "TZ"];
  if (tier === "cli") return names;
  settingsEnvironment((name) => {
    names.push(name);
    return undefined;
  });
  return names;
}

function quote(word: string): string {
  return /^[A-Za-z0-9_./=:-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
