import assert from "node:assert/strict";
import { ACTS } from "../../deploy/demo.ts";
import { Start } from "../support/checkout.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("demo raises exactly the alerts that it announces, once each, and leaves nothing", async () => {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "daemoneye-demo-test-" }));
  await Deno.chmod(directory, 0o755);
  const before = leftovers();
  {
    await using start = new Start({ checkout: ROOT.slice(0, -1), state: `${directory}/state` });
    await start.connected();
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", `${ROOT}deploy/demo.ts`, "--state", `${directory}/state`],
      stdin: "null",
    }).output();
    assert.equal(code, 0);
    const text = new TextDecoder().decode(stdout);
    assert.doesNotMatch(text, /No agent runs/);
    for (const { rule } of ACTS) assert.match(text, new RegExp(`expect: ${rule}`));
    const raised = (): Record<string, unknown>[] => {
      const file = Deno.readTextFileSync(start.layout.alertFile);
      return file.split("\n").filter((line) => /daemoneye-demo[- ](?!test)/.test(line)).map((line) => JSON.parse(line));
    };
    await start.until("every act was found", () => raised().length >= ACTS.length);
    assert.deepEqual(raised().map(({ ruleId }) => ruleId).sort(), ACTS.map(({ rule }) => rule).sort());
    assert.equal(await start.end("SIGINT"), 0);
    for (const alert of raised()) assert.ok(start.stdout.includes(String(alert["title"])), "it is on stdout too");
  }
  assert.deepEqual(leftovers().filter((name) => !before.includes(name)), []);
  await Deno.remove(directory, { recursive: true });
});

function leftovers(): string[] {
  return [...Deno.readDirSync("/tmp")].map(({ name }) => name).filter((name) => /^daemoneye-demo-(?!test)/.test(name));
}
