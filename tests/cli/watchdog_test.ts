import assert from "node:assert/strict";
import { Watchdog } from "../../cli/watchdog.ts";
import { TestState } from "../support/test_store.ts";

Deno.test("query ends its process when SQLite does not come back, with reading as its only permission", async () => {
  using state = new TestState();
  state.event();
  const program = new URL("../support/stuck_query.ts", import.meta.url).pathname;
  const sql = "SELECT count(*) FROM process_events";
  const { stdout, stderr, code, signal } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--no-remote", `--allow-read=${state.directory}`, program],
      ...["--state", state.directory, "query", sql, "--timeout", "200ms"],
    ],
  }).output();
  assert.deepEqual([new TextDecoder().decode(stdout), code, signal], ["", 137, "SIGKILL"]);
  assert.match(
    new TextDecoder().decode(stderr),
    /^Killed: the query was to end after 200 ms, did not come back for 3\.?6? s, .*Narrow it \(--since/,
  );
});

Deno.test("Watchdog leaves alone what comes back, and what is not a step", async () => {
  using watchdog = new Watchdog(100, 100);
  let closed = false;
  function* rows(): Generator<number> {
    try {
      for (let i = 0; i < 10; i++) yield i;
    } finally {
      closed = true;
    }
  }
  for (const row of watchdog.each(rows())) {
    assert.equal(watchdog.watch(() => row + 1), row + 1);
    if (row === 3) break;
  }
  assert.ok(closed);
  // Time that passes between two steps: five times what one step may take, by the watchdog's own ticks
  let ticks = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (++ticks < 10) return;
      clearInterval(timer);
      resolve();
    }, 100);
  });
  assert.throws(() => watchdog.watch(() => JSON.parse("{")), SyntaxError);
});
