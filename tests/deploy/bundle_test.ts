/** What `deno bundle` makes of our sources: programs that do what the sources say. */
import assert from "node:assert/strict";
import { CHECKOUT, makeBundles, makeParts, PROGRAMS } from "../../deploy/bundle.ts";

const USING = /\b(?:await )?using [\w$]+ ?= ?.{0,80}/g;

/** The same program, not minified: what is not used of its modules is not in it either. */
async function plainBundle(entry: string, output: string): Promise<string> {
  const args = ["bundle", "--quiet", "--platform=deno", `--output=${output}`, entry];
  const { success } = await new Deno.Command(Deno.execPath(), { args, cwd: CHECKOUT }).output();
  assert.ok(success);
  return Deno.readTextFileSync(output);
}

Deno.test("a bundle disposes of everything that its sources dispose of", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const programs = Object.entries(PROGRAMS).map(([name, entry]) => ({ entry, output: `${directory}/${name}.js` }));
    await makeBundles(programs, Deno.execPath());
    await makeParts(`${directory}/parts`, Deno.execPath());
    const parts = [...Deno.readDirSync(`${directory}/parts`)].map(({ name }) =>
      Deno.readTextFileSync(`${directory}/parts/${name}`)
    ).join("\n");
    let seen = 0;
    for (const { entry, output } of programs) {
      const plain = (await plainBundle(entry, `${output}.plain`)).match(USING) ?? [];
      const minified = Deno.readTextFileSync(output).match(USING) ?? [];
      const what = `${entry}: the minifier lost a using; write try and finally there`;
      assert.equal(minified.length, plain.length, `${what}\n${plain.join("\n")}\n\n${minified.join("\n")}`);
      if (entry === PROGRAMS.cli) assert.equal((parts.match(USING) ?? []).length, plain.length, what);
      seen += plain.length;
    }
    assert.ok(seen > 10, "they are not found any more");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
