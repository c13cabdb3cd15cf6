/** What hostile code can do that has taken the collector over: see `tests/support/hostile.ts`. */
import assert from "node:assert/strict";
import { BundledProgram } from "../support/bundled_program.ts";
import { needs } from "../support/needs.ts";

const USER = 64171, GROUP = 64170;
const decoder = new TextDecoder();

/**
 * What it may: its own directory, and in place also what modes let everybody read and write, and what `/proc` shows a
 * user of processes of the same user. The collector's user has no others.
 */
const MEANT: Readonly<Record<string, readonly string[]>> = {
  "re-exec": ["write own directory"],
  "in-process": [
    "write own directory",
    "read what everybody may read",
    "write what everybody may write",
    "read the memory of another process",
    "read the environment of another process",
  ],
};

for (const [confinement, meant] of Object.entries(MEANT)) {
  Deno.test({
    name: `the kernel refuses hostile code in the collector all that is not declared, confined ${confinement}`,
    ...needs({ root: true, landlock: confinement === "re-exec", programs: ["setpriv", "sleep"] }),
    async fn() {
      const directory = await Deno.makeTempDir({ prefix: "daemoneye-hostile-" });
      await using program = await BundledProgram.make("tests/support/hostile.ts");
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const victim = new Deno.Command("setpriv", {
        args: [`--reuid=${USER}`, `--regid=${GROUP}`, "--clear-groups", "sleep", "600"],
        stdin: "null",
      }).spawn();
      try {
        const own = `${directory}/own`, open = `${directory}/open`;
        await Deno.chmod(directory, 0o755);
        await Deno.mkdir(own);
        await Deno.chown(own, USER, GROUP);
        await Deno.writeTextFile(open, "untouched");
        await Deno.chmod(open, 0o666);
        const args = [confinement, `${USER}`, `${GROUP}`, own, open, `${victim.pid}`, `${listener.addr.port}`];
        const child = program.command(args).spawn();
        await child.stdin.close();
        const { stdout, stderr } = await child.output();
        const said = decoder.decode(stdout).trim().split("\n");
        assert.ok(said.length >= 35, decoder.decode(stderr) + decoder.decode(stdout));
        const through = said.filter((line) => line.includes("WENT THROUGH"));
        assert.deepEqual(through, meant.map((what) => `${what}: WENT THROUGH, WENT THROUGH`));
        for (const line of said.filter((line) => !through.includes(line))) {
          // EPERM, EACCES; and of what the kernel does not have, ENOSYS.
          assert.match(line, /: (errno (1|13|38), refused|refused)$/);
        }
        assert.equal(await Deno.readTextFile(open), "untouched");
        assert.match(await Deno.readTextFile(`/proc/${victim.pid}/stat`), /^\d+ \(sleep\) S /, "it lives");
      } finally {
        victim.kill("SIGKILL");
        await victim.status;
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}
