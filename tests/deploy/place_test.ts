/** What starts of the same checkout at the same time do to each other's files. */
import assert from "node:assert/strict";
import { copyRules } from "../../deploy/place.ts";
import { needs } from "../support/needs.ts";

Deno.test({
  name: "copyRules() makes an exact copy, touches nothing that is one, and spares what another start is writing",
  ...needs({ root: true }),
  fn: copies,
});

async function copies(): Promise<void> {
  const directory = await Deno.makeTempDir(), from = `${directory}/from`, to = `${directory}/to`;
  try {
    Deno.mkdirSync(`${from}/analysis`, { recursive: true });
    for (const name of ["a.yml", "b.yml", "analysis/c.yar"]) Deno.writeTextFileSync(`${from}/${name}`, name);
    copyRules(from, to);
    const inodes = (): (number | null)[] =>
      ["a.yml", "b.yml", "analysis/c.yar"].map((name) => Deno.lstatSync(`${to}/${name}`).ino);
    const first = inodes();
    copyRules(from, to);
    assert.deepEqual(inodes(), first);

    Deno.writeTextFileSync(`${to}/a.yml`, "A.yml");
    Deno.chmodSync(`${to}/b.yml`, 0o666);
    const underWay = `.a.yml.${Deno.ppid}.new`, gone = `.a.yml.${2 ** 22 + 1}.new`; // above any pid
    for (const name of [underWay, gone, "no longer shipped.yml"]) Deno.writeTextFileSync(`${to}/${name}`, "");
    copyRules(from, to);
    assert.deepEqual([...Deno.readDirSync(to)].map(({ name }) => name).sort(), [
      underWay,
      "a.yml",
      "analysis",
      "b.yml",
    ]);
    assert.equal(Deno.readTextFileSync(`${to}/a.yml`), "a.yml");
    assert.equal(Deno.lstatSync(`${to}/b.yml`).mode! & 0o7777, 0o644);
    assert.equal(inodes()[2], first[2]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
