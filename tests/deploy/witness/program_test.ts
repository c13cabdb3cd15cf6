/** The witness as a program: under its grants, over its socket and over files, killed at any moment. */
import assert from "node:assert/strict";
import { witnessGrants } from "../../../deploy/privileges.ts";
import { grantFlags } from "../../../deploy/runtime_flags.ts";
import { parseCheckpoint, verifyCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { formatVkey, type NoteKey, parseVkey } from "../../../proto/ledger/note.ts";
import { KEY, SIGNER } from "../../collector/ledger/support.ts";
import { Random } from "../../fuzz/random.ts";
import { AuditWorld, VKEY } from "../../support/audit_world.ts";
import { type Branch, ForkedLog } from "../../support/forked_log.ts";

const LAUNCHER = new URL("../../../deploy/witness.ts", import.meta.url).pathname;
const PROGRAM = new URL("../../../deploy/witness/main.ts", import.meta.url).pathname;
const LOG = new ForkedLog(KEY, SIGNER, 5, 400);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

class TestWitness implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "daemoneye-witness-" });
  readonly files = `${this.directory}/witness`;
  readonly socket = `${this.directory}/witness.sock`;

  async task(...args: string[]): Promise<Outcome> {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", LAUNCHER, ...args, "--directory", this.files],
      cwd: this.directory,
      env: { INIT_CWD: this.directory },
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    return { code, out: text(stdout), err: text(stderr) };
  }

  /** Makes the witness, which watches the ledger of the tests. */
  async make(): Promise<NoteKey> {
    const init = await this.task("init", "witness.example/w1");
    assert.equal(init.code, 0, init.err);
    const watch = await this.task("watch", formatVkey(KEY));
    assert.equal(watch.code, 0, watch.err);
    return parseVkey(init.out.trim());
  }

  /** The program itself, so that it can be killed, under the grants that the launcher gives it. */
  async serve(): Promise<Deno.ChildProcess> {
    const { directory, socket } = { directory: this.files, socket: this.socket };
    const grants = witnessGrants({ directory, socket, requestFile: null, requestDirectory: null });
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", ...grantFlags(grants), PROGRAM, "serve", "--directory", directory, "--socket", socket],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const reader = child.stderr.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
    let said = "";
    while (!said.includes("listens on")) {
      const { done, value } = await reader.read();
      if (done) assert.fail(`the witness ended: ${said}`);
      said += value;
    }
    (async () => {
      while (!(await reader.read()).done);
    })().catch(() => {});
    return child;
  }

  /** Posts a request; `null` when the connection ended before the answer. */
  async post(body: Uint8Array): Promise<{ status: number; body: string } | null> {
    try {
      using connection = await Deno.connect({ transport: "unix", path: this.socket });
      const head =
        `POST /add-checkpoint HTTP/1.1\r\nHost: witness\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
      const writer = connection.writable.getWriter();
      await writer.write(encode(head));
      await writer.write(body);
      writer.releaseLock();
      let text = "";
      const decoder = new TextDecoder();
      for (const buffer = new Uint8Array(65_536);;) {
        const count = await connection.read(buffer);
        if (count === null) break;
        text += decoder.decode(buffer.subarray(0, count), { stream: true });
      }
      const match = /^HTTP\/1\.1 (\d+) [^]*?\r\n\r\n([^]*)$/.exec(text);
      return match === null ? null : { status: Number(match[1]), body: match[2]! };
    } catch {
      return null;
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("deno task witness cosigns an operator's request, and audit verify counts what comes back", async () => {
  using witness = new TestWitness();
  using world = await AuditWorld.make(100);
  const key = await witness.make(), vkey = formatVkey(key);
  const request = async (from: number): Promise<string> =>
    (await world.audit(["checkpoint", "--proof-from", String(from)])).out;
  const path = `${witness.directory}/monday.request`;
  Deno.writeTextFileSync(path, await request(0));
  const first = await witness.task("sign", "monday.request");
  assert.equal(first.code, 0, first.err);
  world.world.fill(50);
  world.ledger.checkpoint();
  world.write();
  const stale = await witness.task("sign", "monday.request");
  assert.equal(stale.code, 4);
  assert.match(
    stale.err,
    /refused \(409\): The largest tree known here has 102 entries\naudit checkpoint --proof-from 102 makes/,
  );
  Deno.mkdirSync(`${witness.directory}/inbox`);
  Deno.writeTextFileSync(`${witness.directory}/inbox/a.request`, await request(102));
  Deno.writeTextFileSync(`${witness.directory}/inbox/b.request`, "nothing\n");
  const inbox = await witness.task("sign", "inbox");
  assert.equal(inbox.code, 4, inbox.err);
  assert.deepEqual(
    [...Deno.readDirSync(`${witness.directory}/inbox`)].map(({ name }) => name).sort(),
    ["a.cosigned", "a.request", "b.refused", "b.request"],
  );
  const status = await witness.task("status");
  assert.match(status.out, /^witness\.example\/w1\+.*\nhost\.example\/ledger 153 \S+ 20\d\d-.*Z\n$/);
  for (const cosigned of [first.out, Deno.readTextFileSync(`${witness.directory}/inbox/a.cosigned`)]) {
    const verified = await world.audit(["verify", "--key", VKEY, "--witness", vkey, "--against", "-", "-f", "json"], {
      stdin: cosigned,
    });
    assert.equal(verified.code, 0, verified.out);
    const { anchored, witnesses: [word] } = JSON.parse(verified.out);
    assert.equal(word.size, anchored);
    assert.ok(anchored >= 102);
  }
});

Deno.test("deno task witness may touch its own directory, its socket and what it was asked about, and nothing else", () => {
  const none = { env: [], sys: [], run: [], ffi: [], import: ["none.invalid:443"] };
  const blank = { socket: null, requestFile: null, requestDirectory: null };
  assert.deepEqual(witnessGrants({ directory: "/w", ...blank }), { read: ["/w"], write: ["/w"], net: [], ...none });
  assert.deepEqual(witnessGrants({ directory: "/w", ...blank, socket: "/s" }), {
    read: ["/w", "/s"],
    write: ["/w", "/s"],
    net: ["unix:/s"],
    ...none,
  });
  assert.deepEqual(witnessGrants({ directory: "/w", ...blank, requestFile: "/r" }), {
    read: ["/w", "/r"],
    write: ["/w"],
    net: [],
    ...none,
  });
  assert.deepEqual(witnessGrants({ directory: "/w", ...blank, requestDirectory: "/in" }), {
    read: ["/w", "/in"],
    write: ["/w", "/in"],
    net: [],
    ...none,
  });
  assert.throws(() => witnessGrants({ directory: "relative", ...blank }), RangeError);
});

Deno.test("deno task witness says what is wrong with its command line and its directory", async () => {
  using witness = new TestWitness();
  const usage = await witness.task("sgin");
  assert.equal(usage.code, 2);
  assert.match(usage.err, /Which command\?\nUsage: deno task witness init NAME/);
  const none = await witness.task("status");
  assert.equal(none.code, 1);
  assert.match(none.err, /There is no witness in the directory \(witness\.key is missing\); init makes one/);
  await witness.make();
  assert.equal(Deno.statSync(`${witness.files}/witness.key`).mode! & 0o777, 0o400);
  const again = await witness.task("init", "other");
  assert.match(again.err, /There is a witness in the directory already/);
});

Deno.test("A witness that is killed at any moment never cosigns two trees that contradict", async () => {
  using witness = new TestWitness();
  const key = await witness.make(), random = new Random(5), signed = new Map<number, string>();
  const kills = 20;
  let known = 0, branch: Branch = "a", answers = 0, cut = 0, refused = 0;
  const take = async (which: Branch, size: number, line: string): Promise<void> => {
    const note = parseCheckpoint(encode(new TextDecoder().decode(LOG.checkpoint(which, size)) + line));
    await verifyCheckpoint(note, [key]);
    const root = note.root.toHex();
    assert.equal(signed.get(size) ?? root, root, `two trees of ${size} entries are cosigned`);
    signed.set(size, root);
  };
  for (let kill = 0; kill < kills; kill++) {
    const child = await witness.serve();
    let alive = true;
    const last = 3 + random.below(8);
    for (let request = 0; alive; request++) {
      if (random.below(4) === 0) branch = random.below(2) === 0 ? "a" : "b";
      const size = Math.min(LOG.size, known + random.below(4)), asked = [branch, branch === "a" ? "b" : "a"] as const;
      const posts = asked.map((each) => witness.post(LOG.request(each, known, size)));
      if (request >= last) {
        // Anywhere from before the request is read to after it is answered.
        await new Promise((resolve) => setTimeout(resolve, random.below(12)));
        child.kill("SIGKILL");
        alive = false;
      }
      const got = await Promise.all(posts);
      for (const [at, answer] of got.entries()) {
        if (answer === null) cut += 1;
        else if (answer.status === 200) {
          await take(asked[at]!, size, answer.body);
          answers += 1;
          known = Math.max(known, size);
        } else {
          refused += 1;
          if (answer.status === 409) known = Number(answer.body);
        }
      }
    }
    await child.status;
  }
  const beyond = [...signed.keys()].filter((size) => size > LOG.shared);
  const of = (name: Branch): boolean => beyond.every((size) => signed.get(size) === LOG.root(name, size).toHex());
  assert.ok(of("a") || of("b"), "cosignatures of both branches");
  console.log(
    `${kills} kills: ${answers} cosigned, ${refused} refused, ${cut} without an answer`,
  );
  assert.ok(answers > kills && refused > 0 && beyond.length > 0);
});
