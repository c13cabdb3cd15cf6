/** Collector and hasher over a real socket: the way to each other, and what ends it. */
import assert from "node:assert/strict";
import { HashClient, type HashClientOptions } from "../../collector/hash_client.ts";
import { failed } from "../../collector/hasher/file_hasher.ts";
import { Lanes, type Work } from "../../collector/hasher/lanes.ts";
import { encodeHashMessage, type HashAnswer, type HashRequest } from "../../collector/hasher/protocol.ts";
import { HashServer, listenForCollector } from "../../collector/hasher/server.ts";
import { connectedTo } from "../../collector/kernel/peer.ts";
import { encodeFrame } from "../../proto/frame.ts";
import { needs } from "../support/needs.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const GREETING = { sees: "what the test shows it", misses: "" };

class Link implements AsyncDisposable {
  readonly answers: HashAnswer[] = [];
  readonly dropped: number[] = [];
  readonly notices: string[] = [];
  readonly client: HashClient;
  #listener: Deno.UnixListener | null = null;
  readonly #running: Promise<void>;

  private constructor(readonly directory: string, options: Partial<HashClientOptions>) {
    this.client = new HashClient({
      socket: this.path,
      checkPeer: () => {},
      patienceMs: 60_000,
      answered: (answer) => this.answers.push(answer),
      dropped: (id) => this.dropped.push(id),
      notice: (text) => this.notices.push(text),
      ...options,
    });
    this.#running = this.client.run();
  }

  static async make(options: Partial<HashClientOptions> = {}): Promise<Link> {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-hash-" });
    await Deno.chmod(directory, 0o755);
    return new Link(directory, options);
  }

  get path(): string {
    return `${this.directory}/hasher.sock`;
  }

  listen(): Deno.UnixListener {
    return this.#listener = listenForCollector(this.path);
  }

  /** A hasher that answers by `work`. */
  serve(work: Work = ({ id }) => Promise.resolve(failed(request(id), "missing")), userId = Deno.uid()!): void {
    const notice = (text: string): void => void this.notices.push(text);
    const server = new HashServer({
      path: this.path,
      userId,
      greeting: GREETING,
      lanes: new Lanes(work, 60_000),
      notice,
    });
    server.serve(this.listen());
  }

  async until(holds: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!holds()) {
      assert.ok(performance.now() < end, `it did not come to be: ${JSON.stringify(this.notices)}`);
      this.client.look();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.stop();
    await this.#running;
    this.#listener?.close();
    await Deno.remove(this.directory, { recursive: true });
  }
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket === true;
  } catch {
    return false;
  }
}

function request(id: number): HashRequest {
  return { id, path: "/bin/sh", device: null, inode: null, changeTime: null, isForeign: false };
}

Deno.test("questions wait for a hasher that is not there yet, and are answered all", async () => {
  await using link = await Link.make();
  for (let id = 1; id <= 100; id++) link.client.ask(request(id));
  assert.deepEqual([link.client.greeting, link.client.mayBeAway], [null, true]);
  link.serve();
  await link.until(() => link.answers.length === 100);
  assert.deepEqual(
    link.answers.map(({ id }) => id).sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  assert.deepEqual(link.client.greeting, GREETING);
  assert.deepEqual([link.client.connections, link.client.drops, link.notices], [1, 0, []]);
});

Deno.test("questions without room are dropped and counted", async () => {
  await using link = await Link.make();
  for (let id = 1; id <= 16_388; id++) link.client.ask(request(id));
  assert.deepEqual([link.dropped, link.client.drops], [[16_385, 16_386, 16_387, 16_388], 4]);
});

Deno.test("a question during which the hasher ended is asked once more and no third time; the others are answered", async () => {
  await using link = await Link.make();
  const listener = link.listen();
  // A hasher that ends as soon as it is asked.
  (async () => {
    for await (const connection of listener) {
      await connection.write(encodeFrame(encodeHashMessage({ kind: "greeting", greeting: GREETING })));
      await connection.read(new Uint8Array(65_536));
      connection.close();
    }
  })().catch(() => {});
  for (let id = 1; id <= 40; id++) link.client.ask(request(id)); // more than are sent at once
  await link.until(() => link.dropped.length === 40);
  assert.equal(new Set(link.dropped).size, 40);
  assert.ok(link.client.connections >= 4, `${link.client.connections} connections`);
  link.client.ask(request(41));
  listener.close();
  await link.until(() => !exists(link.path)); // its file goes a moment later
  link.serve();
  await link.until(() => link.answers.length === 1);
  assert.equal(link.answers[0]!.id, 41);
});

Deno.test("a hasher that answers nothing is left", async () => {
  await using link = await Link.make({ patienceMs: 50 });
  const ends: (() => void)[] = [];
  link.serve(() => new Promise((resolve) => ends.push(() => resolve(failed(request(1), "missing")))));
  link.client.ask(request(1));
  await link.until(() => link.dropped.length === 1);
  for (const end of ends) end();
  assert.ok(link.notices.some((text) => /it answered nothing for 0.05 s/.test(text)), link.notices.join());
});

Deno.test("a hasher that talks nonsense, answers what was not asked or runs as another user is left", async () => {
  const greeting = encodeFrame(encodeHashMessage({ kind: "greeting", greeting: GREETING }));
  const surplus = encodeFrame(encodeHashMessage({ kind: "answer", answer: failed(request(9), "missing") }));
  const cases: [Uint8Array<ArrayBuffer>[], RegExp][] = [
    [[new Uint8Array(64)], /A frame says that it holds 0 bytes/],
    [[greeting, surplus], /question 9, which was not asked/],
    [[greeting, greeting], /greeted twice/],
    [[encodeFrame(encodeHashMessage({ kind: "request", request: request(1) }))], /asked a question/],
  ];
  for (const [frames, fault] of cases) {
    await using link = await Link.make();
    const listener = link.listen();
    (async () => {
      for await (const connection of listener) {
        for (const frame of frames) await connection.write(frame);
        connection.closeWrite();
        await connection.read(new Uint8Array(1));
        connection.close();
      }
    })().catch(() => {});
    await link.until(() => fault.test(link.client.fault));
  }
  const checkPeer = (): void => {
    throw new Error("it is somebody else");
  };
  await using link = await Link.make({ checkPeer });
  link.serve();
  await link.until(() => link.client.fault === "it is somebody else");
  assert.equal(link.client.connections, 0);
});

Deno.test("connectedTo() finds who connected to a socket of this process, and not its listener", async () => {
  await using link = await Link.make();
  link.serve();
  await link.until(() => link.client.connections === 1);
  assert.deepEqual(connectedTo(link.path), [{ pid: Deno.pid, userId: Deno.uid(), groupId: Deno.gid() }]);
  assert.deepEqual(connectedTo(`${link.path}.other`), []);
});

Deno.test({
  name: "the hasher refuses every user but the collector's, and serves that one on",
  ...needs({ root: true, setpriv: true, programs: ["perl"] }),
  async fn() {
    await using link = await Link.make();
    link.serve();
    await link.until(() => link.client.connections === 1);
    // Connects, asks, and prints what comes.
    const attack =
      "socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die $!; $SIG{PIPE} = sub {};" +
      'syswrite(S, "x" x 100); print sysread(S, my $b, 100) || "cut off";';
    const output = await new Deno.Command("setpriv", {
      args: ["--reuid=12345", "--regid=12345", "--clear-groups", "--", "perl", "-MSocket", "-e", attack, link.path],
    }).output();
    assert.match(new TextDecoder().decode(output.stdout), /^cut off$/, new TextDecoder().decode(output.stderr));
    await link.until(() => link.notices.some((text) => /^user 12345 \(process \d+\) is not the collector/.test(text)));
    link.client.ask(request(1));
    await link.until(() => link.answers.length === 1);
    assert.equal(link.client.connections, 1, "its connection was not touched");
  },
});
