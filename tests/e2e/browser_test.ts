/** The ledger's verification in a browser: Chromium loads it as one module and gets a ledger and a proof over HTTP. */
import assert from "node:assert/strict";
import { StorageSource } from "../../collector/ledger/storage_source.ts";
import { parseCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { proveEntry } from "../../proto/ledger/prove.ts";
import { BLAKE3, TestLedger } from "../collector/ledger/support.ts";
import { VKEY } from "../support/audit_world.ts";
import type { BrowserInput, BrowserOutcome } from "../support/browser_ledger.ts";
import { needs } from "../support/needs.ts";

const CHECKOUT = new URL("../../", import.meta.url).pathname;
const DEADLINE_MS = 180_000;

async function bundleForBrowser(output: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform=browser", `--output=${output}`, "tests/support/browser_ledger.ts"],
    cwd: CHECKOUT,
    stdin: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

async function makeInput(): Promise<BrowserInput> {
  const world = await TestLedger.make();
  world.fill(150);
  world.ledger.checkpoint();
  const { size, root } = parseCheckpoint(world.storage.bytes("checkpoint"));
  world.fill(150);
  world.ledger.close();
  using source = new StorageSource(world.storage);
  return {
    files: Object.fromEntries(world.storage.list().map(({ name }) => [name, world.storage.bytes(name).toBase64()])),
    proof: new TextEncoder().encode(proveEntry(source, BLAKE3, 137)).toBase64(),
    vkey: VKEY,
    anchor: { size, root: root.toHex() },
    now: world.now,
  };
}

Deno.test({
  name: "A browser verifies a ledger and a proof with nothing but the bundled library, and refuses mutated bytes",
  ...needs({ programs: ["chromium"] }),
  async fn() {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-browser-" });
    const input = await makeInput(), told = Promise.withResolvers<BrowserOutcome>();
    await bundleForBrowser(`${directory}/ledger.js`);
    const code = await Deno.readTextFile(`${directory}/ledger.js`);
    assert.doesNotMatch(code, /\bDeno\.|from ?["']node:/, "neither Deno's API nor Node's");
    const script = { headers: { "content-type": "text/javascript" } };
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      switch (new URL(request.url).pathname) {
        case "/":
          return new Response(`<!doctype html><script type="module" src="/ledger.js"></script>`, {
            headers: { "content-type": "text/html" },
          });
        case "/ledger.js":
          return new Response(code, script);
        case "/input":
          return Response.json(input);
        case "/outcome":
          told.resolve(await request.json());
          return new Response();
      }
      return new Response(null, { status: 404 });
    });
    const browser = new Deno.Command("chromium", {
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"],
        ...[`--user-data-dir=${directory}/profile`, `http://127.0.0.1:${server.addr.port}/`],
      ],
      env: { HOME: directory },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const late = setTimeout(() => told.reject(new Error("The browser has told nothing")), DEADLINE_MS);
    try {
      const ended = browser.status.then(({ code }) => Promise.reject(new Error(`The browser ended with ${code}`)));
      const outcome = await Promise.race([told.promise, ended]);
      const { runtime, mutated, ...found } = outcome;
      assert.match(runtime, /Chrome\//, JSON.stringify(outcome));
      const size = parseCheckpoint(Uint8Array.fromBase64(input.files["checkpoint"]!)).size;
      assert.deepEqual(found, {
        fault: null,
        verified: size,
        anchored: input.anchor.size,
        entry: 137,
        payload: "payload 137",
        accepted: [],
      });
      assert.equal(mutated, 8 * Object.keys(input.files).length + Uint8Array.fromBase64(input.proof).length);
      console.log(`${runtime}: ${mutated} mutations, all refused`);
    } finally {
      clearTimeout(late);
      if (browser.pid > 0) browser.kill("SIGKILL");
      await browser.status;
      await server.shutdown();
      await removeWhenEnded(directory);
    }
  },
});

/** Children of the browser end after it, and write to its profile until then. */
async function removeWhenEnded(directory: string): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      return await Deno.remove(directory, { recursive: true });
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
