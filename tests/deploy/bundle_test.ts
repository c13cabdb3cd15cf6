/** What `deno bundle` makes of our sources: programs that do what the sources say. */
import assert from "node:assert/strict";
import { CHECKOUT, makeBundles, PROGRAMS } from "../../deploy/bundle.ts";

const IN_SOURCE = /^\s*(?:await )?using \w+ =/gm, IN_BUNDLE = /\b(?:await )?using [\w$]+=/g;

/** `using` in the modules that a program is made of. */
async function usesInSource(entry: string): Promise<string[]> {
  const args = ["info", "--json", "--quiet", entry];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: CHECKOUT }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: { specifier: string }[] };
  return modules.filter(({ specifier }) => specifier.startsWith("file:")).flatMap(({ specifier }) =>
    Array.from(
      Deno.readTextFileSync(new URL(specifier)).matchAll(IN_SOURCE),
      ([text]) => `${specifier}: ${text.trim()}`,
    )
  );
}

Deno.test("a bundle disposes of everything that its sources dispose of", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const programs = Object.entries(PROGRAMS).map(([name, entry]) => ({ entry, output: `${directory}/${name}.js` }));
    await makeBundles(programs, Deno.execPath());
    let seen = 0;
    for (const { entry, output } of programs) {
      const inSource = await usesInSource(entry), inBundle = Deno.readTextFileSync(output).match(IN_BUNDLE) ?? [];
      const what = `${entry}: the minifier lost a using; write try and finally there`;
      assert.equal(inBundle.length, inSource.length, `${what}\n${inSource.join("\n")}\n${inBundle.join("\n")}`);
      seen += inSource.length;
    }
    assert.ok(seen > 10, "they are not found any more");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
