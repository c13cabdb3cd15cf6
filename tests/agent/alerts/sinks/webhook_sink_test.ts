/** The webhook sink against HTTP servers of the test's own, in order and out of it. */
import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import { Delivery } from "../../../../agent/alerts/delivery.ts";
import { type Sink, SinkError } from "../../../../agent/alerts/sink.ts";
import { retryAfterMs } from "../../../../agent/alerts/sinks/retry_after.ts";
import { messageId, signerOf } from "../../../../agent/alerts/sinks/webhook_signature.ts";
import { webhookSink } from "../../../../agent/alerts/sinks/webhook_sink.ts";
import { Store } from "../../../../agent/store/store.ts";
import type { WebhookSinkSettings } from "../../../../proto/sink_settings.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { needs } from "../../../support/needs.ts";
import { Authority } from "../../../support/receivers/certificates.ts";
import { FaultyServer, hangs, resets } from "../../../support/receivers/faulty_server.ts";
import { freePort } from "../../../support/receivers/receivers.ts";
import { commitEvents, newAlert, openTestStream, start, TempDir, until } from "../../support.ts";
import { sinkOf } from "./settings.ts";

const SECRET = "whsec_" + new Uint8Array(32).fill(7).toBase64();

interface Delivered {
  readonly id: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** A receiver that verifies, and answers what the test says. */
class Receiver implements AsyncDisposable {
  readonly delivered: Delivered[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #webhook = new Webhook(SECRET);
  failures: unknown[] = [];

  constructor(
    answer: (n: number, request: Request) => Response | Promise<Response> = () => new Response(null, { status: 204 }),
    tls: { cert: string; key: string } | null = null,
  ) {
    let n = 0;
    const handler = async (request: Request): Promise<Response> => {
      const body = await request.text(), headers = Object.fromEntries(request.headers);
      try {
        const { data } = this.#webhook.verify(body, headers) as { data: { alertId: string } };
        this.delivered.push({ id: data.alertId, headers, body });
      } catch (error) {
        this.failures.push(error);
      }
      return await answer(n++, request);
    };
    const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
    this.#server = tls === null ? Deno.serve(options, handler) : Deno.serve({
      ...options,
      cert: Deno.readTextFileSync(tls.cert),
      key: Deno.readTextFileSync(tls.key),
    }, handler) as Deno.HttpServer<Deno.NetAddr>;
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

class Secrets implements Disposable {
  readonly #dir = new TempDir();
  readonly path: string = this.put("secret", SECRET + "\n");

  put(name: string, text: string, mode = 0o640): string {
    const path = `${this.#dir.path}/${name}`;
    Deno.writeTextFileSync(path, text);
    Deno.chmodSync(path, mode);
    return path;
  }

  [Symbol.dispose](): void {
    this.#dir[Symbol.dispose]();
  }
}

function open(url: string, secrets: Secrets, more: Record<string, unknown> = {}): Sink {
  const entry = { name: "hook", type: "webhook", url, secret_files: secrets.path, timeout_ms: 2_000, ...more };
  return webhookSink(sinkOf(entry) as WebhookSinkSettings, "host1");
}

function says(kind: string, taken: number, text: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SinkError, String(error));
    assert.deepEqual([error.remedy.kind, error.taken], [kind, taken], error.message);
    assert.match(error.message, text);
    return true;
  };
}

Deno.test("webhooks verify with the package standardwebhooks, whatever an alert holds", async () => {
  using secrets = new Secrets();
  await using receiver = new Receiver();
  const sink = open(`http://127.0.0.1:${receiver.port}/alerts`, secrets), alerts = [...hostileAlerts(600, 6)];
  await sink.write(alerts);
  await sink.close();
  assert.deepEqual(receiver.failures, []);
  assert.deepEqual(receiver.delivered.map(({ id }) => id), alerts.map(({ alertId }) => alertId));
  for (const { body, headers, id } of receiver.delivered) {
    assert.ok(new TextEncoder().encode(body).length <= 20_000);
    assert.equal(headers["webhook-id"], messageId(id));
    assert.doesNotMatch(headers["webhook-id"]!, /\./);
    assert.doesNotMatch(body, /\\ud[89a-f]..(?!\\ud[c-f])/); // a surrogate alone, which strict parsers refuse
    assert.equal(JSON.parse(body).type, "daemoneye.alert");
  }
});

Deno.test("webhooks carry each format as data", async () => {
  using secrets = new Secrets();
  await using receiver = new Receiver();
  for (const format of ["ocsf", "ecs", "cef"]) {
    const sink = open(`http://127.0.0.1:${receiver.port}`, secrets, { format });
    await sink.write([newAlert("a")]);
    await sink.close();
  }
  const [ocsf, ecs, cef] = receiver.delivered.map(({ body }) => JSON.parse(body).data);
  assert.deepEqual([ocsf.class_uid, ecs.event.kind, cef.text.slice(0, 6)], [2004, "alert", "CEF:0|"]);
});

Deno.test("webhooks are signed with each key, HMAC and Ed25519, and bear the header that is set", async () => {
  using secrets = new Secrets();
  await using receiver = new Receiver();
  const { privateKey, publicKey } = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const { d } = await crypto.subtle.exportKey("jwk", privateKey);
  const seed = Uint8Array.fromBase64(d!, { alphabet: "base64url" });
  const secret_files = [
    secrets.put("new", "whsec_" + new Uint8Array(24).toBase64()),
    secrets.path,
    secrets.put("ed25519", `whsk_${seed.toBase64()}\n`),
  ];
  const authorization_file = secrets.put("authorization", "Bearer abc\n");
  const sink = open(`http://127.0.0.1:${receiver.port}`, secrets, { secret_files, authorization_file });
  await sink.write([newAlert("a")]);
  await sink.close();
  const { headers, body } = receiver.delivered[0]!;
  const signatures = headers["webhook-signature"]!.split(" ");
  assert.deepEqual(signatures.map((text) => text.split(",")[0]), ["v1", "v1", "v1a"]);
  const content = new TextEncoder().encode(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  assert.ok(await crypto.subtle.verify("Ed25519", publicKey, Uint8Array.fromBase64(signatures[2]!.slice(4)), content));
  assert.equal(headers["authorization"], "Bearer abc");
  assert.match(headers["user-agent"]!, /^DaemonEye\//);
});

Deno.test("signerOf() refuses what is no secret, and never repeats it", () => {
  for (
    const text of [
      "abc",
      "whsec_",
      "whsec_!!",
      "whsec_" + new Uint8Array(8).toBase64(),
      "whsk_" + new Uint8Array(31).toBase64(),
    ]
  ) {
    assert.throws(
      () => signerOf(text, "/f"),
      (error: Error) => /^\/f must hold/.test(error.message) && !error.message.includes(text.slice(6) || "-"),
    );
  }
});

Deno.test("a secret that is missing, empty or open to all is a fault that names its file and not its text", async () => {
  using secrets = new Secrets();
  for (
    const [path, why] of [
      [secrets.put("open", SECRET, 0o644), /open to every user; chmod/],
      [secrets.put("empty", "\n"), /is empty/],
      ["/nowhere/secret", /cannot be read/],
    ] as const
  ) {
    const sink = open("http://127.0.0.1:1", secrets, { secret_files: path });
    await assert.rejects(sink.write([newAlert("a")]), (error: Error) => {
      assert.doesNotMatch(error.message, /whsec/);
      return says("retry", 0, why)(error);
    });
    await sink.close();
  }
});

Deno.test("each answer of a receiver has its consequence, and what it took before stays taken", async () => {
  using secrets = new Secrets();
  const date = new Date(Date.now() + 90_000).toUTCString();
  const cases: [number, Record<string, string>, string, (ms: number) => boolean][] = [
    [301, { location: "http://127.0.0.1:1/" }, "retry", () => true],
    [308, { location: "/other" }, "retry", () => true],
    [400, {}, "refused", () => true],
    [401, {}, "retry", () => true],
    [404, {}, "retry", () => true],
    [410, {}, "disabled", () => true],
    [413, {}, "refused", () => true],
    [429, { "retry-after": "7" }, "retryAfter", (ms) => ms === 7_000],
    [429, { "retry-after": date }, "retryAfter", (ms) => ms > 60_000 && ms <= 90_000],
    [429, { "retry-after": "soon" }, "retry", () => true],
    [500, {}, "retry", () => true],
    [503, { "retry-after": "99999999" }, "retryAfter", (ms) => ms === 86_400_000],
  ];
  for (const [status, headers, kind, isRight] of cases) {
    await using receiver = new Receiver((n) =>
      n === 0 ? new Response(null, { status: 200 }) : new Response("no\x1b[2J room", { status, headers })
    );
    const sink = open(`http://127.0.0.1:${receiver.port}`, secrets);
    await assert.rejects(sink.write([newAlert("a"), newAlert("b"), newAlert("c")]), (error) => {
      const { remedy } = error as SinkError;
      assert.ok(isRight(remedy.kind === "retryAfter" ? remedy.ms : 0), `${status} ${JSON.stringify(remedy)}`);
      return says(kind, 1, new RegExp(`answered ${status}: no\\\\x1b\\[2J room`))(error);
    });
    await sink.close();
    assert.deepEqual(receiver.delivered.map(({ id }) => id), ["a", "b"], `${status}: nothing is followed`);
  }
});

Deno.test("retryAfterMs() takes seconds and dates, and nothing else", () => {
  for (
    const text of [
      "",
      "-1",
      "1.5",
      "1e3",
      "Tomorrow",
      "Thu, 99 Jan 1970 00:00:07 GMT",
      "2026-01-01T00:00:00Z",
      "9".repeat(11),
    ]
  ) {
    assert.equal(retryAfterMs(text, 0), null, text);
  }
  assert.equal(retryAfterMs("Thu, 01 Jan 1970 00:00:07 GMT", 9_000), 0);
});

Deno.test("a receiver that resets, hangs, drips or refuses holds the sink for the time that is set", async () => {
  using secrets = new Secrets();
  const drip = (head: string) => async (connection: Deno.TcpConn): Promise<void> => {
    await connection.read(new Uint8Array(65_536));
    await connection.write(new TextEncoder().encode(head));
    for (;;) {
      await connection.write(new TextEncoder().encode("x"));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  for (
    const [name, behaviour, why] of [
      ["reset", resets, /./],
      ["hang", hangs, /no answer within 300 ms/],
      ["header by header", drip("HTTP/1.1 200 OK\r\nx: "), /no answer within 300 ms/],
      ["a body without end, of an error", drip("HTTP/1.1 500 No\r\ncontent-length: 999999\r\n\r\n"), /answered 500/],
    ] as const
  ) {
    await using server = new FaultyServer([behaviour]);
    const sink = open(`http://127.0.0.1:${server.port}`, secrets, { timeout_ms: 300 });
    await assert.rejects(sink.write([newAlert("a")]), says("retry", 0, why), name);
    await sink.close();
  }
  await using server = new FaultyServer([drip("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n")]);
  for (
    const [url, isGood] of [
      [`http://127.0.0.1:${server.port}`, true], // it has taken the alert, whatever else it says
      [`http://127.0.0.1:${freePort()}`, false],
      ["http://no-such-host.invalid", false],
    ] as const
  ) {
    const sink = open(url, secrets, { timeout_ms: 5_000 });
    if (isGood) await sink.write([newAlert("a")]);
    else await assert.rejects(sink.write([newAlert("a")]), says("retry", 0), url);
    await sink.close();
  }
});

const openssl = needs({ programs: ["openssl"] });

Deno.test({
  name: "a receiver whose certificate is not good gets nothing",
  ignore: openssl.ignore,
  async fn() {
    using secrets = new Secrets();
    using authority = new Authority();
    for (
      const [name, certificate, isGood] of [
        ["good", authority.sign("good"), true],
        ["expired", authority.sign("expired", undefined, -1), false],
        ["wrong name", authority.sign("wrong", "DNS:other.example"), false],
        ["self-signed", authority.selfSigned(), false],
      ] as const
    ) {
      await using receiver = new Receiver(undefined, certificate);
      const sink = open(`https://localhost:${receiver.port}`, secrets, { ca_file: authority.ca });
      if (isGood) await sink.write([newAlert("a")]);
      else {await assert.rejects(
          sink.write([newAlert("a")]),
          says("retry", 0, /certificate|Certificate|UnknownIssuer/),
          name,
        );}
      await sink.close();
      assert.equal(receiver.delivered.length, isGood ? 1 : 0, name);
    }
  },
});

Deno.test("through Delivery every alert arrives, and twice only what was answered too late, under one id", async () => {
  using secrets = new Secrets();
  using dir = new TempDir();
  const answered: { id: string; how: "taken" | "not taken" | "too late" }[] = [];
  let pending: Promise<unknown> = Promise.resolve();
  await using receiver = new Receiver(async (n) => {
    const id = receiver.delivered.at(-1)!.id;
    const answer = (how: typeof answered[number]["how"], status: number): Response => {
      answered.push({ id, how });
      return new Response(null, { status, headers: status === 429 ? { "retry-after": "0" } : {} });
    };
    if (n % 17 === 3) return answer("not taken", 503);
    if (n % 17 === 9) return answer("not taken", 429);
    if (n % 40 !== 20) return answer("taken", 202);
    const late = new Promise((resolve) => setTimeout(resolve, 400)); // the sender has gone
    pending = Promise.all([pending, late]);
    const response = answer("too late", 200);
    await late;
    return response;
  });
  const store = new Store(`${dir.path}/events.db`, ["hook"]), stream = openTestStream(store);
  const ids = Array.from({ length: 100 }, (_, i) => `a${i}`), base = stream.number * 2 ** 40 + 1;
  commitEvents(store, stream, ids.map((_, i) => start(i)), {
    alerts: ids.map((id, i) => newAlert(id, { eventId: base + i })),
  });
  const sink = open(`http://127.0.0.1:${receiver.port}`, secrets, { timeout_ms: 200 });
  const delivery = new Delivery(sink, { fault: () => {}, storeFault: () => {} }, { firstRetryMs: 10 });
  delivery.attach(store);
  await until("nothing is owed", () => store.owedDeliveries === 0);
  await delivery.stop(1_000);
  await pending;
  const byId = Map.groupBy(answered, ({ id }) => id);
  assert.deepEqual([...byId.keys()].sort(), ids.toSorted());
  assert.ok(answered.some(({ how }) => how === "too late"));
  for (const [id, each] of byId) {
    // It comes again until it is taken, and never after.
    assert.deepEqual(each.map(({ how }) => how === "taken"), [...each.slice(1).map(() => false), true], id);
    const same = receiver.delivered.filter((delivered) => delivered.id === id).map((it) => it.headers["webhook-id"]);
    assert.equal(new Set(same).size, 1);
  }
  store.close();
});
