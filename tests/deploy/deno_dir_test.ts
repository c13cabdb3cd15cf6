import assert from "node:assert/strict";
import { fillDenoDir } from "../../deploy/place.ts";

Deno.test("fillDenoDir() removes what starts that were killed left behind, and nothing of one that runs", async () => {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-" }), denoDir = `${directory}/deno_dir`;
  try {
    const dead = new Deno.Command("true").spawn();
    await dead.status;
    for (const name of [`${dead.pid}.new`, `${dead.pid}.old`, `${Deno.ppid}.new`]) {
      Deno.mkdirSync(`${denoDir}.${name}/in`, { recursive: true });
    }
    await fillDenoDir({ deno: Deno.execPath(), denoDir }, []);
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["deno_dir", `deno_dir.${Deno.ppid}.new`]);
  } finally {
    await new Deno.Command("chmod", { args: ["-R", "u+w", directory] }).output();
    await Deno.remove(directory, { recursive: true });
  }
});
