/**
 * Every command of docs/walkthrough.md prints what stands below it there.
 *
 * `deno test -A tests/cli/walkthrough_test.ts -- --update` writes what is printed into the page.
 */
import assert from "node:assert/strict";
import { VKEY } from "../support/audit_world.ts";
import { cli } from "../support/cli_run.ts";
import { intrusionWorld } from "../support/intrusion_world.ts";
import { NOW } from "../support/test_store.ts";

const PAGE = new URL("../../docs/walkthrough.md", import.meta.url).pathname;
const PROMPT = "$ daemoneye-cli ";
const COLUMNS = 110;

Deno.test("docs/walkthrough.md has twelve tasks, and each command prints what it says", async () => {
  const zone = Deno.env.get("TZ");
  Deno.env.set("TZ", "Europe/Berlin");
  try {
    const page = Deno.readTextFileSync(PAGE);
    assert.equal(page.match(/^## /gm)!.length, 12);
    using world = await intrusionWorld();
    let played = "", commands = 0;
    for (const [at, part] of page.split(/^(```console\n[^]*?^```\n)/m).entries()) {
      if (at % 2 === 0) {
        played += part;
        continue;
      }
      let block = "```console\n";
      for (const line of part.split("\n")) {
        if (!line.startsWith(PROMPT)) continue;
        commands += 1;
        block += `${line}\n`;
        let stdin = "", shown = "";
        for (const piece of line.slice(2).split(" | ")) {
          assert.ok(piece.startsWith("daemoneye-cli "), piece);
          const args = words(piece.replace("$KEY", VKEY)).slice(1);
          const { code, out, err } = await cli(world.state, args, { columns: COLUMNS, now: NOW, stdin });
          assert.equal(code, 0, `${line}: ${err}`);
          stdin = out;
          shown = out + err;
        }
        block += shown.replaceAll(world.state.directory, "/var/lib/daemoneye").replaceAll("\r", "");
      }
      played += `${block}\`\`\`\n`;
    }
    assert.ok(commands >= 12);
    if (Deno.args.includes("--update")) Deno.writeTextFileSync(PAGE, played);
    else assert.equal(played, page);
  } finally {
    if (zone === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", zone);
  }
});

/** Splits at spaces outside quotes. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]!);
}
