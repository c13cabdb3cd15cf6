/** Processes of a supervisor that is gone, and the next one. */
import assert from "node:assert/strict";
import { leftOverFile, replaceLeftOver, writeDown } from "../../deploy/left_over.ts";
import type { Supervised } from "../../deploy/supervised.ts";

const sleeper = (): Deno.ChildProcess =>
  new Deno.Command("/bin/sleep", { args: ["60"], stdin: "null", stdout: "null", stderr: "null" }).spawn();
const supervised = (name: string, pid: number): Supervised => ({ name, pid }) as Supervised;

Deno.test("what an earlier supervisor left is named, waited for, and ended", async () => {
  const state = await Deno.makeTempDir(), file = leftOverFile(state, "agent"), said: string[] = [];
  const left = sleeper(), other = sleeper();
  try {
    writeDown(file, [supervised("agent", left.pid)]);
    assert.equal(Deno.statSync(file).mode! & 0o777, 0o600);
    await replaceLeftOver(file, (line) => said.push(line), 100);
    assert.equal((await left.status).signal, "SIGKILL");
    assert.match(said[0]!, /the agent of an earlier supervisor still runs \(process \d+\); .* is replaced/);
    assert.match(said[1]!, /did not end by itself; it was ended by SIGKILL/);

    // One that ends by itself is left to do so.
    said.length = 0;
    const ending = sleeper();
    writeDown(file, [supervised("agent", ending.pid)]);
    setTimeout(() => ending.kill("SIGTERM"), 50);
    await replaceLeftOver(file, (line) => said.push(line), 10_000);
    assert.equal((await ending.status).signal, "SIGTERM");
    assert.equal(said.length, 1);

    // A number that another process has now, or a file that says anything, ends nobody.
    writeDown(file, [supervised("agent", other.pid)]);
    const text = Deno.readTextFileSync(file);
    for (
      const changed of [
        text.replace(/"start":"\d+"/, '"start":"1"'),
        text.replace(/^./, "x"),
        text.replace(/"pid":\d+/, '"pid":-1'),
        text.replace(/"pid":\d+/, '"pid":1'),
        "",
        "[]",
        text.split("\n")[0] + "\n{}\n",
      ]
    ) {
      assert.notEqual(changed, text);
      Deno.writeTextFileSync(file, changed);
      await replaceLeftOver(file, (line) => assert.fail(line), 0);
    }
    await replaceLeftOver(`${file}.none`, (line) => assert.fail(line), 0);
    Deno.kill(other.pid, "SIGCONT"); // it is there still
  } finally {
    other.kill("SIGKILL");
    await other.status;
    await Deno.remove(state, { recursive: true });
  }
});
