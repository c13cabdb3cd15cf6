import assert from "node:assert/strict";

/** Enough to fill every table; `deno task soak` runs twenty times as many. */
const EVENTS = 100_000, TRACKED = 1_000;

Deno.test("any number of process lives leaves the collector no larger", async () => {
  const program = new URL("../support/soak.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--v8-flags=--expose-gc", program, String(EVENTS), String(TRACKED)],
    stdin: "null",
  }).output();
  const said = new TextDecoder().decode(stdout), fault = new TextDecoder().decode(stderr);
  assert.ok(success, said + fault);
  const { events, forgotten, faults } = JSON.parse(said);
  assert.deepEqual(faults, []);
  assert.ok(events >= EVENTS && forgotten > 0);
});
