/**
 * Text scripts of command lines and what they print.
 *
 * The first line of a script names its world: `# world NAME` (tests/support/cli_worlds.ts). `$ ARGS` is a command line
 * whose output goes to no terminal, `$80 ARGS` one on a terminal of 80 columns, `$80c ARGS` one in colour. Its stdout
 * follows, then each line of stderr after `! `, then the exit code after `? ` unless it is 0. The directory of the state
 * stands as STATE, ESC as ␛, and a carriage return as ␍. `< NAME` and `> NAME` at the end of a command line are files of a
 * directory of the script's own, which stands as HERE.
 *
 * `deno test -A tests/cli/scripts_test.ts -- --update` writes what is printed into the scripts, to be read and committed.
 */
import assert from "node:assert/strict";
import { COMMANDS } from "../../cli/commands.ts";
import { cli } from "../support/cli_run.ts";
import { WORLDS } from "../support/cli_worlds.ts";

const DIRECTORY = new URL("./", import.meta.url).pathname;
const UPDATE = Deno.args.includes("--update");

for (const { name } of [...Deno.readDirSync(DIRECTORY)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".txt")) continue;
  Deno.test(`CLI prints what ${name} says`, async () => {
    const zone = Deno.env.get("TZ");
    Deno.env.set("TZ", "Europe/Berlin");
    try {
      const expected = Deno.readTextFileSync(DIRECTORY + name);
      const printed = await play(expected);
      if (UPDATE) Deno.writeTextFileSync(DIRECTORY + name, printed);
      else assert.equal(printed, expected);
    } finally {
      if (zone === undefined) Deno.env.delete("TZ");
      else Deno.env.set("TZ", zone);
    }
  });
}

Deno.test("every command has a script, or a terminal that it is driven in", () => {
  const scripts = [...Deno.readDirSync(DIRECTORY)].filter(({ name }) => name.endsWith(".txt"))
    .map(({ name }) => Deno.readTextFileSync(DIRECTORY + name)).join("\n");
  const played = new Set([...scripts.matchAll(/^\$\d*c? (\S+)/gm)].map((found) => found[1]!));
  const terminal = Deno.readTextFileSync(`${DIRECTORY}live_test.ts`);
  const without = COMMANDS.filter(({ name }) => !played.has(name) && !terminal.includes(`command(state, ["${name}"`));
  assert.deepEqual(without.map(({ name }) => name), []);
});

/** The script with what is really printed. */
async function play(script: string): Promise<string> {
  const world = /^# world ([a-z]+)$/m.exec(script)?.[1];
  const make = WORLDS[world ?? ""];
  assert.ok(make !== undefined, `there is no world ${world}`);
  using state = make();
  const here = `${state.directory}/here`;
  let played = "";
  for (const line of script.split("\n")) {
    if (line.startsWith("#")) played += `${line}\n`;
    const command = /^\$(\d*)(c?) (.*)$/.exec(line);
    if (command === null) continue;
    const columns = command[1] === "" ? {} : { columns: Number(command[1]) };
    const { args, from, to } = redirected(command[3]!);
    const stdin = from === null ? {} : { stdin: Deno.readFileSync(`${here}/${from}`) };
    const given = words(args.replaceAll(/\bHERE\b/g, here));
    const { code, out, err, bytes } = await cli(state, given, { ...columns, ...stdin, color: command[2] === "c" });
    if (to !== null) {
      Deno.mkdirSync(here, { recursive: true });
      Deno.writeFileSync(`${here}/${to}`, bytes);
    }
    const shown = (text: string): string =>
      text.replaceAll(here, "HERE").replaceAll(state.directory, "STATE").replaceAll("\x1b", "␛").replaceAll("\r", "␍");
    played += `${played === "" || played.endsWith("\n\n") ? "" : "\n"}${line}\n${to === null ? shown(out) : ""}`;
    if (to === null && out !== "" && !out.endsWith("\n")) played += "␀\n";
    played += shown(err).replace(/^(?=.)/gm, "! ");
    if (code !== 0) played += `? ${code}\n`;
  }
  return played;
}

/** A command line without the files that its input comes from and its output goes to. */
function redirected(line: string): { args: string; from: string | null; to: string | null } {
  const found = /^(.*?)(?: < (\w+\.[a-z]+))?(?: > (\w+\.[a-z]+))?$/.exec(line)!;
  return { args: found[1]!, from: found[2] ?? null, to: found[3] ?? null };
}

/** Splits at spaces outside quotes. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]!);
}
