/** Where programs and rules of a checkout lie, and what starts at the same time do to each other's files. */
import assert from "node:assert/strict";
import { CHECKOUT } from "../../deploy/bundle.ts";
import { copyRules, ordinaryPlace, ordinaryPlaceOf } from "../../deploy/place.ts";
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

Deno.test("ordinaryPlace() is one for all states of a checkout, unless others could write it", async () => {
  const directory = await Deno.makeTempDir(), variables = ["HOME", "XDG_CACHE_HOME"] as const;
  const before = variables.map((name) => [name, Deno.env.get(name)] as const);
  const programs = (): string[] => ["a", "b"].map((state) => ordinaryPlace(`${directory}/${state}`).programs);
  const inStates = [`${directory}/a/program`, `${directory}/b/program`];
  try {
    Deno.env.set("HOME", directory);
    Deno.env.delete("XDG_CACHE_HOME");
    const cached = ordinaryPlaceOf(CHECKOUT)!;
    assert.equal(cached.startsWith(`${directory}/.cache/`), true);
    assert.notEqual(ordinaryPlaceOf("/another"), cached);
    assert.deepEqual(programs(), [cached, cached]);
    Deno.env.set("XDG_CACHE_HOME", `${directory}/elsewhere`);
    assert.equal(ordinaryPlaceOf(CHECKOUT)!.startsWith(`${directory}/elsewhere/`), true);
    Deno.env.set("XDG_CACHE_HOME", "relative"); // to be ignored, as the XDG specification says
    assert.equal(ordinaryPlaceOf(CHECKOUT), cached);
    Deno.chmodSync(cached, 0o775);
    assert.deepEqual(programs(), inStates);
    Deno.removeSync(cached, { recursive: true });
    Deno.symlinkSync(directory, cached);
    assert.deepEqual(programs(), inStates);
    Deno.env.set("HOME", "/proc/no such");
    assert.deepEqual(programs(), inStates);
    Deno.env.delete("HOME");
    assert.deepEqual(programs(), inStates);
  } finally {
    for (const [name, value] of before) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
    await Deno.remove(directory, { recursive: true });
  }
});
