import assert from "node:assert/strict";
import { fillDenoDir } from "../../deploy/place.ts";
import { BUNDLE_FLAGS } from "../../deploy/runtime_flags.ts";
import { asUser } from "../../deploy/tier_command.ts";
import { needs } from "../support/needs.ts";

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

const here = needs({ root: true, setpriv: true });
Deno.test({
  name: "what Deno found out about programs is used by a user who may not write it, again and again",
  ignore: here.ignore,
  async fn() {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-" }), denoDir = `${directory}/deno_dir`;
    try {
      Deno.chmodSync(directory, 0o755);
      const deno = Deno.execPath(), programs = ["a", "b", "c"].map((name) => `${directory}/${name}.js`);
      for (const program of programs) {
        Deno.writeTextFileSync(program, `import { inspect } from "node:util"; console.log(inspect("${program}"));`);
      }
      await fillDenoDir({ deno, denoDir }, programs);
      const flags = ["-L", "debug", ...BUNDLE_FLAGS.filter((flag) => flag !== "--quiet")];
      for (const program of [...programs, ...programs]) {
        const command = asUser(64_172, 64_170, [deno, "run", ...flags, program]);
        const { stdout, stderr } = await new Deno.Command(command[0]!, {
          args: command.slice(1),
          cwd: "/",
          clearEnv: true,
          env: { DENO_DIR: denoDir, PATH: "/usr/bin:/bin", DENO_NO_UPDATE_CHECK: "1" },
        }).output();
        assert.match(new TextDecoder().decode(stdout), /\.js/);
        const said = new TextDecoder().decode(stderr).split("\n").filter((line) => line.includes("cache_db"));
        assert(
          said.some((line) => line.includes("Opening cache")),
          "what Deno says of its caches is called otherwise now",
        );
        assert.deepEqual(said.filter((line) => !line.includes("Opening cache")), []);
      }
    } finally {
      await new Deno.Command("chmod", { args: ["-R", "u+w", directory] }).output();
      await Deno.remove(directory, { recursive: true });
    }
  },
});
