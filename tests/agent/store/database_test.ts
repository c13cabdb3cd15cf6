import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { SCHEMA_VERSION } from "../../../proto/catalog.ts";
import { StoreError } from "../../../agent/store/database.ts";
import { Store } from "../../../agent/store/store.ts";
import { needs } from "../../support/needs.ts";
import { commitEvents, openTestStream, start, TempDir } from "../support.ts";

/** Opening fails with words that match, the file stays as it was, and another attempt fails alike. */
function refuses(path: string, words: RegExp): void {
  const before = Deno.readFileSync(path);
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.throws(() => new Store(path), (error) => {
      assert.ok(error instanceof StoreError, String(error));
      assert.match(error.message, words);
      return true;
    });
    assert.deepEqual(Deno.readFileSync(path), before);
  }
}

function filled(path: string, events: number): void {
  const store = new Store(path), stream = openTestStream(store);
  for (let at = 0; at < events; at += 500) {
    commitEvents(store, stream, Array.from({ length: 500 }, (_, i) => start(1_000 + at + i)));
  }
  store.close();
}

Deno.test("a store that is not a database is refused with its mend", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  Deno.writeTextFileSync(path, "this is not a database, and longer than a header of one hundred bytes: ".repeat(20));
  refuses(path, /not a database; stop the agent and move .*events\.db, .*-wal and .*-shm away/);
});

Deno.test("a database of another program is refused and not touched", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  {
    using db = new DatabaseSync(path);
    db.exec("CREATE TABLE mine (a); PRAGMA application_id = 17");
  }
  refuses(path, /database of another program \(application id 17\); move it away/);
});

Deno.test("a store of another schema version is refused and not touched", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  new Store(path).close();
  {
    using db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}; PRAGMA wal_checkpoint(TRUNCATE)`);
  }
  refuses(path, new RegExp(`schema version ${SCHEMA_VERSION + 1}, and this agent knows ${SCHEMA_VERSION}; run the`));
});

Deno.test("a store without one of its tables, or with one more, is refused", () => {
  for (const change of ["DROP TABLE gaps", "CREATE TABLE extra (a)", "DROP INDEX process_events_time"]) {
    using dir = new TempDir();
    const path = `${dir.path}/events.db`;
    new Store(path).close();
    {
      using db = new DatabaseSync(path);
      db.exec(change);
    }
    refuses(path, /does not have the tables of its version/);
  }
});

Deno.test("a damaged page is found at open, a truncated file too", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  filled(path, 5_000);
  const whole = Deno.readFileSync(path);
  const damaged = whole.slice();
  damaged.fill(0xa5, 4_096 * 40, 4_096 * 42);
  Deno.writeFileSync(path, damaged);
  refuses(path, /damaged|malformed/);
  Deno.writeFileSync(path, whole.subarray(0, 4_096 * 50));
  refuses(path, /damaged|malformed/);
  Deno.writeFileSync(path, whole);
  new Store(path).close();
});

Deno.test("a store in a directory that is not there names the directory", () => {
  using dir = new TempDir();
  assert.throws(() => new Store(`${dir.path}/no/events.db`), /make .*\/no and let the agent's user write it/);
});

Deno.test("a store that another agent uses is refused, and free when that ends", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const store = new Store(path);
  assert.throws(() => new Store(path), /Another agent uses the store .*; stop it/);
  store.close();
  new Store(path).close();
});

Deno.test("something else in the place of the store is refused", () => {
  using dir = new TempDir();
  Deno.mkdirSync(`${dir.path}/events.db`);
  assert.throws(() => new Store(`${dir.path}/events.db`), /is not a regular file; move it away/);
});

const CHILD = `
import { Store } from ${JSON.stringify(new URL("../../../agent/store/store.ts", import.meta.url).href)};
import { commitEvents, openTestStream, start } from ${JSON.stringify(new URL("../support.ts", import.meta.url).href)};
const [path, how] = Deno.args;
const store = new Store(path), stream = openTestStream(store);
commitEvents(store, stream, [start(1), start(2), start(3)]);
if (how === "stopped") { store.close(); Deno.exit(0); }
console.log("ready");
await new Promise((resolve) => setTimeout(resolve, 60_000));
`;

const other = needs({ root: true, setpriv: true });

Deno.test({
  name: "a reader of another user, of the store's group, reads a live, a stopped and a killed store",
  ignore: other.ignore,
  async fn() {
    for (const how of ["live", "killed", "stopped"]) {
      using dir = new TempDir();
      const agent = `${dir.path}/agent`, path = `${agent}/events.db`;
      const READERS = 64_999;
      Deno.chmodSync(dir.path, 0o755);
      Deno.mkdirSync(agent);
      Deno.chownSync(agent, 0, READERS);
      Deno.chmodSync(agent, 0o2750);
      Deno.writeTextFileSync(`${dir.path}/child.ts`, CHILD);
      // A umask that closes everything: what readers get must not depend on it.
      const child = new Deno.Command("/bin/sh", {
        args: [
          "-c",
          `umask 077; exec "$@"`,
          "sh",
          Deno.execPath(),
          "run",
          "-A",
          "--no-check",
          "--no-lock",
          `${dir.path}/child.ts`,
          path,
          how,
        ],
        stdout: "piped",
        stderr: "inherit",
        cwd: new URL("../../../", import.meta.url).pathname,
      }).spawn();
      const output = child.stdout.getReader();
      await output.read();
      if (how === "killed") child.kill("SIGKILL");
      if (how !== "live") await child.status;

      Deno.writeTextFileSync(
        `${dir.path}/reader.ts`,
        `import { DatabaseSync } from "node:sqlite";
        const db = new DatabaseSync(Deno.args[0]!, { readOnly: true });
        console.log(db.prepare("SELECT count(*) AS n FROM process_events").get()!.n);`,
      );
      const asReader = (groups: string) =>
        new Deno.Command("setpriv", {
          args: [
            "--reuid",
            "64998",
            "--regid",
            "64998",
            groups,
            Deno.execPath(),
            "run",
            "--no-check",
            "--no-lock",
            "--no-prompt",
            `--allow-read=${agent}`,
            `${dir.path}/reader.ts`,
            path,
          ],
          env: { DENO_DIR: `${dir.path}/none`, HOME: "/nonexistent" },
        }).output();
      const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
      const member = await asReader(`--groups=${READERS}`);
      assert.equal(text(member.stdout).trim(), "3", `${how}: ${text(member.stderr)}`);
      const stranger = await asReader("--clear-groups");
      assert.notEqual(stranger.code, 0, `${how}: who is not of the group must not read`);
      if (how === "live") {
        child.kill("SIGKILL");
        await child.status;
      }
      await output.cancel();
    }
  },
});
