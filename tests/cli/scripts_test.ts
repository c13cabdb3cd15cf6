/**
 * Text scripts of command lines and what they print.
 *
 * The first line of a script names its world: `# world NAME` (tests/support/cli_worlds.ts). `$ ARGS` is a command line
 * whose output goes to no terminal, `$80 ARGS` one on a terminal of 80 columns, `$80c ARGS` one in colour. Its stdout
 * follows, then each line of stderr after `! `, then the exit code after `? ` unless it is 0. The directory of the state
 * stands as STATE, ESC as ␛, and a carriage return as ␍.
 *
 * `deno test -A tests/cli/scripts_test.ts -- --update` writes what is printed into the scripts, to be read and committed.
 */
import assert from "node:assert/strict";
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

/** The script with what is really printed. */
async function play(script: string): Promise<string> {
  const world = /^# world ([a-z]+)$/m.exec(script)?.[1];
  const make = WORLDS[world ?? ""];
  assert.ok(make !== undefined, `there is no world ${world}`);
  using state = make();
  let played = "";
  for (const line of script.split("\n")) {
    if (line.startsWith("#")) played += `${line}\n`;
    const command = /^\$(\d*)(c?) (.*)$/.exec(line);
    if (command === null) continue;
    const columns = command[1] === "" ? {} : { columns: Number(command[1]) };
    const { code, out, err } = await cli(state, words(command[3]!), { ...columns, color: command[2] === "c" });
    const shown = (text: string): string =>
      text.replaceAll(state.directory, "STATE").replaceAll("\x1b", "␛").replaceAll("\r", "␍");
    played += `${played === "" || played.endsWith("\n\n") ? "" : "\n"}${line}\n${shown(out)}`;
    if (out !== "" && !out.endsWith("\n")) played += "␀\n";
    played += shown(err).replace(/^(?=.)/gm, "! ");
    if (code !== 0) played += `? ${code}\n`;
  }
  return played;
}

/** Splits at spaces outside quotes. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]!);
}
