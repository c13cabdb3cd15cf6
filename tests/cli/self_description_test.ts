/** What the program says of itself: completions, manual page, permissions. */
import assert from "node:assert/strict";
import { COMMANDS } from "../../cli/commands.ts";
import { manualPage } from "../../cli/man.ts";
import { cli } from "../support/cli_run.ts";
import { needs } from "../support/needs.ts";
import { TestState } from "../support/test_store.ts";

async function complete(shell: string): Promise<string> {
  const { out, err, code } = await cli(null, ["completions", shell]);
  assert.deepEqual([err, code], ["", 0]);
  return out;
}

Deno.test("completions name every command and every option of it", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const script = await complete(shell);
    for (const { name, options } of COMMANDS) {
      assert.ok(script.includes(name), name);
      for (const option of Object.keys(options)) {
        assert.ok(script.includes(shell === "fish" ? `-l ${option}` : `--${option}`), `${name} ${option}`);
      }
    }
  }
});

Deno.test({
  name: "completions for bash complete commands, options, formats and hunts",
  ...needs({ programs: ["bash"] }),
  async fn() {
    const script = await complete("bash");
    const completed = async (...words: string[]): Promise<string[]> => {
      const quoted = ["daemoneye-cli", ...words].map((word) => `'${word}'`).join(" ");
      const line =
        `${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _daemoneye_cli; echo "\${COMPREPLY[@]}"`;
      const { success, stdout, stderr } = await new Deno.Command("bash", { args: ["--norc", "-c", line] }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      return new TextDecoder().decode(stdout).trim().split(" ");
    };
    assert.deepEqual(await completed("proc"), ["processes", "process"]);
    assert.deepEqual(await completed("--plain", "tree", "--al"), ["--all", "--alert"]);
    assert.deepEqual(await completed("events", "--format", "js"), ["json", "jsonl"]);
    assert.deepEqual(await completed("hunt", "many-n"), ["many-names"]);
    assert.deepEqual(await completed("export", "ga"), ["gaps"]);
    assert.deepEqual(await completed("audit", "ver"), ["verify"]);
  },
});

Deno.test("man has every command, and no line of a text becomes a request", () => {
  const page = manualPage();
  for (const { name } of COMMANDS) assert.ok(page.includes(`.SS "${name.replaceAll("-", "\\-")}"`), name);
  const requests = new Set(page.split("\n").filter((line) => /^[.']/.test(line)).map((line) => line.split(" ")[0]));
  assert.deepEqual([...requests].sort(), [".B", ".I", ".PP", ".SH", ".SS", ".TH", ".TP", ".fi", ".nf"]);
});

Deno.test({
  name: "man is set by groff without a warning",
  ...needs({ programs: ["groff"] }),
  async fn() {
    const child = new Deno.Command("groff", {
      args: ["-man", "-Tutf8", "-ww", "-rLL=200n"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(manualPage()));
    await writer.close();
    const { success, stdout, stderr } = await child.output(), decoder = new TextDecoder();
    assert.deepEqual([decoder.decode(stderr), success], ["", true]);
    assert.match(decoder.decode(stdout), /--since/);
  },
});

Deno.test("version --verbose says which permissions are held, and that reading is enough", async () => {
  using state = new TestState();
  const program = new URL("../../cli/main.ts", import.meta.url).pathname;
  const run = async (...flags: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "--quiet",
          "--no-prompt",
          "--no-remote",
          "--no-check",
          `--allow-read=${state.layout.agent}`,
          ...flags,
        ],
        ...[program, "--state", state.directory, "version", "-v", "-f", "json"],
      ],
    }).output();
    const rows = JSON.parse(new TextDecoder().decode(stdout)) as { name: string; value: string }[];
    const held = new Map(rows.map(({ name, value }) => [name.replace(state.directory, "STATE"), value]));
    return { code, held, err: new TextDecoder().decode(stderr) };
  };
  const { code, held } = await run();
  assert.equal(code, 0);
  for (const name of ["read", "write", "net", "env", "run", "ffi", "sys"]) {
    assert.equal(held.get(`may ${name}`), "not everything", name);
  }
  const paths = ["agent", "keys", "collector/wal"];
  assert.deepEqual(paths.map((path) => held.get(`may read STATE/${path}`)), ["yes", "no", "no"]);
  assert.deepEqual([...held].filter(([, value]) => value === "yes").map(([name]) => name), ["may read STATE/agent"]);
  const wide = await run("--allow-write=/tmp", "--allow-env");
  assert.equal(wide.code, 4);
  assert.deepEqual([wide.held.get("may write /tmp"), wide.held.get("may env")], ["yes", "everything"]);
  assert.match(wide.err, /may also env, .*write \/tmp.*: start it by its launcher/);
});
