/**
 * Every command of docs/evidence.md prints what stands below it there.
 *
 * What is typed at `$` runs on the host, at `colleague$` in a directory with nothing but the files that were handed over.
 * `deno test -A tests/cli/evidence_test.ts -- --update` writes what is printed into the page.
 */
import assert from "node:assert/strict";
import { formatVkey } from "../../proto/ledger/note.ts";
import { VKEY } from "../support/audit_world.ts";
import { SEED, signerNamed } from "../support/bundle_forge.ts";
import { cli } from "../support/cli_run.ts";
import { intrusionWorld } from "../support/intrusion_world.ts";
import { NOW } from "../support/test_store.ts";

const PAGE = new URL("../../docs/evidence.md", import.meta.url).pathname;
const COLUMNS = 110;
const KEYS = { $SIGNER: formatVkey(signerNamed("case-4711").key), $LEDGER: VKEY } as const;
/** Made wrong on purpose, so that it is refused. */
const REFUSED = 4;

Deno.test("docs/evidence.md goes from an alert to a colleague's verdict, and each command prints what it says", async () => {
  const zone = Deno.env.get("TZ"), directory = Deno.makeTempDirSync({ prefix: "daemoneye-evidence-" });
  Deno.env.set("TZ", "Europe/Berlin");
  try {
    const page = Deno.readTextFileSync(PAGE);
    using world = await intrusionWorld();
    Deno.writeTextFileSync(`${directory}/case.key`, SEED);
    let played = "", commands = 0, isBroken = false;
    for (const [at, part] of page.split(/^(```console\n[^]*?^```\n)/m).entries()) {
      if (at % 2 === 0) {
        played += part;
        continue;
      }
      let block = "```console\n";
      for (const line of part.split("\n")) {
        const found = /^(colleague)?\$ (.*)$/.exec(line);
        if (found === null) continue;
        commands += 1;
        const state = found[1] === undefined ? world.state : null, command = found[2]!;
        const { code, shown } = command.startsWith("daemoneye-cli ")
          ? await run(command, directory, (args, options) => cli(state, args, { ...options, now: NOW }))
          : shell(command, directory);
        isBroken ||= command.includes(" dd ");
        assert.equal(code, isBroken && command.includes("verify") ? REFUSED : 0, `${line}: ${shown}`);
        if (command.includes("dbundle") && isBroken && command.includes("verify")) isBroken = false;
        block += `${line}\n${shown.replaceAll(world.state.directory, "/var/lib/daemoneye").replaceAll("\r", "")}`;
      }
      played += `${block}\`\`\`\n`;
    }
    assert.ok(commands >= 12);
    if (Deno.args.includes("--update")) Deno.writeTextFileSync(PAGE, played);
    else assert.equal(played, page);
  } finally {
    Deno.removeSync(directory, { recursive: true });
    if (zone === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", zone);
  }
});

interface Shown {
  readonly code: number;
  readonly shown: string;
}

/** A command line with files that are read from and written to. */
async function run(
  line: string,
  directory: string,
  cli: (
    args: string[],
    options: { stdin?: Uint8Array; columns?: number },
  ) => ReturnType<typeof import("../support/cli_run.ts").cli>,
): Promise<Shown> {
  const [, command, from, to] = /^(.*?)(?: < (\w+\.\w+))?(?: > (\w+\.\w+))?$/.exec(line)!;
  const args = [...command!.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!).slice(1)
    .map((word) => Object.hasOwn(KEYS, word) ? KEYS[word as keyof typeof KEYS] : word)
    .map((word) => /^\w+\.(dbundle|txt)$/.test(word) ? `${directory}/${word}` : word);
  const { code, out, err, bytes } = await cli(args, {
    ...from === undefined ? {} : { stdin: Deno.readFileSync(`${directory}/${from}`) },
    ...to === undefined ? { columns: COLUMNS } : {},
  });
  if (to !== undefined) Deno.writeFileSync(`${directory}/${to}`, bytes);
  return { code, shown: ((to === undefined ? out : "") + err).replaceAll(`${directory}/`, "") };
}

function shell(line: string, directory: string): Shown {
  const { code, stdout, stderr } = new Deno.Command("sh", { args: ["-c", line], cwd: directory }).outputSync();
  return { code, shown: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}
