import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";

const START = new URL("../../deploy/start.ts", import.meta.url).pathname;

async function selftest(...settings: string[]): Promise<{ code: number; text: string; said: string }> {
  const state = await Deno.makeTempDir();
  try {
    const set = settings.flatMap((setting) => ["--set", setting]);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", START, "--only", "collector", "selftest", "--state", `${state}/s`, ...set],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout), said: decoder.decode(stderr) };
  } finally {
    await Deno.remove(state, { recursive: true });
  }
}

Deno.test({
  name: "selftest finds nothing that is not declared, in any thread, on the best source and on the polling one",
  ...needs({ programs: ["setpriv"] }),
  async fn() {
    for (const source of ["auto", "proc"]) {
      const { code, text, said } = await selftest(`collector.source=${source}`, "collector.confinement=in-process");
      assert.equal(code, 0, text + said);
      assert.match(text, /nothing but what is declared\nThe hasher:\n[^]*\nnothing but what is declared\n$/);
      assert.match(text, /^ {2}ok {3}create a file in \/tmp: refused$/m);
      assert.match(text, /^ {2}ok {3}make a Unix socket: refused$/m);
      if (Deno.uid() === 0) {
        assert.match(text, /^ {2}ok {3}read a file of root's, to hash it: possible$/m);
        assert.match(
          text,
          /^ {2}ok {3}thread \d+: user 64175, group 64175, capabilities 4, bounding set 4, no_new_privs on/m,
        );
      }
      assert.ok([...text.matchAll(/^ {2}ok {3}thread \d+: .*system calls filtered$/gm)].length > 2, text);
      assert.doesNotMatch(text, /FAIL/);
    }
  },
});

Deno.test({
  name: "selftest finds still less after another execution, from every source that can be had",
  ...needs({ root: true, landlock: true, programs: ["setpriv", "ps"] }),
  async fn() {
    for (const source of ["auto", "tracepoint", "netlink", "proc", "ps"]) {
      const { code, text, said } = await selftest("collector.confinement=re-exec", `collector.source=${source}`);
      // Every host has these three; the others may be refused, in words.
      if (!["auto", "proc", "ps"].includes(source) && /Source \w+ is unavailable: /.test(said)) continue;
      assert.equal(code, 0, text + said);
      assert.match(text, /^ {2}ok {3}thread \d+: .*capabilities 0, bounding set 0, .*system calls filtered$/m);
      assert.match(text, /^ {2}ok {3}read the program sh, as everybody may: refused$/m);
      assert.doesNotMatch(text, /FAIL/);
    }
  },
});

Deno.test({
  name: "selftest fails when more is possible than declared, and names it",
  ...needs({ programs: ["setpriv"] }),
  async fn() {
    const { code, text, said } = await selftest("collector.syscall_filter=off");
    assert.equal(code, 1, text + said);
    assert.match(text, /^ {2}FAIL thread \d+: .*NOT FILTERED$/m);
    assert.match(text, /^ {2}FAIL make a TCP socket: possible$/m);
    assert.match(text, /^ {2}FAIL execute a program: possible$/m);
    assert.match(text, /\d+ findings\n$/);
  },
});
