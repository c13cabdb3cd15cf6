/** The email sink against postfix's smtp-sink, a TLS server of the test's own, and servers that fail. */
import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";
import { Delivery } from "../../../../agent/alerts/delivery.ts";
import { shown } from "../../../../proto/formats/text.ts";
import { type Sink, SinkError } from "../../../../agent/alerts/sink.ts";
import { emailSink } from "../../../../agent/alerts/sinks/email_sink.ts";
import { Store } from "../../../../agent/store/store.ts";
import type { EmailSinkSettings } from "../../../../proto/sink_settings.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { needs } from "../../../support/needs.ts";
import { Authority, type Certificate } from "../../../support/receivers/certificates.ts";
import { drips, FaultyServer, hangs, resets } from "../../../support/receivers/faulty_server.ts";
import { RECEIVER_PROGRAMS, RECEIVER_ROOT } from "../../../support/receivers/places.ts";
import { accepts, freePort, ServerProcess } from "../../../support/receivers/receivers.ts";
import { commitEvents, newAlert, openTestStream, start, TempDir, until } from "../../support.ts";
import { sinkOf } from "./settings.ts";

function open(address: string, more: Record<string, unknown> = {}): Sink {
  const entry = { name: "mail", type: "email", address, from: "daemoneye@host.example", to: ["soc@example.org"] };
  return emailSink(sinkOf({ ...entry, timeout_ms: 2_000, ...more }) as EmailSinkSettings, "host1");
}

function says(kind: string, taken: number, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SinkError, String(error));
    assert.deepEqual([error.remedy.kind, error.taken], [kind, taken], error.message);
    assert.match(error.message, text);
    return true;
  };
}

/** smtp-sink with options of its own, which keeps each mail as a file. */
class SmtpSink implements AsyncDisposable {
  readonly port = freePort();
  readonly #dir = new TempDir();
  readonly #process: ServerProcess;

  private constructor(options: readonly string[]) {
    this.#process = new ServerProcess(`${RECEIVER_ROOT}/${RECEIVER_PROGRAMS["smtp-sink"]}`, [
      ...options,
      // It gives up root where it has it.
      ...(Deno.uid() === 0 ? ["-u", "root"] : []),
      ...["-d", "%M.", `127.0.0.1:${this.port}`, "10"],
    ], { cwd: this.#dir.path });
  }

  static async start(...options: string[]): Promise<SmtpSink> {
    const server = new SmtpSink(options);
    await server.#process.until("the mail server listens", () => accepts(server.port));
    return server;
  }

  mails(): string[] {
    return [...Deno.readDirSync(this.#dir.path)].map(({ name }) => Deno.readTextFileSync(`${this.#dir.path}/${name}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    this.#dir[Symbol.dispose]();
  }
}

/** Headers and decoded text of a mail of one part. */
function parsed(mail: string): { headers: Map<string, string>; text: string } {
  const end = /\r?\n\r?\n/.exec(mail)!;
  const unfolded = mail.slice(0, end.index).replace(/\r?\n[ \t]+/g, " ");
  const headers = new Map(
    unfolded.split(/\r?\n/).map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = mail.slice(end.index + end[0].length);
  assert.equal(headers.get("content-transfer-encoding"), "base64");
  return { headers, text: new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(body)) };
}

const server = needs({ receivers: ["smtp-sink"] });

Deno.test({
  name: "each alert is a mail at smtp-sink, whatever it holds, and none can add a header or a recipient",
  ignore: server.ignore,
  async fn() {
    await using smtp = await SmtpSink.start();
    const alerts = [...hostileAlerts(150, 7), newAlert("long", { commandLine: "x\u202e".repeat(1 << 19) })];
    const sink = open(`smtp://127.0.0.1:${smtp.port}`, { security: "none" });
    await sink.write(alerts.slice(0, 100));
    await sink.write(alerts.slice(100));
    await sink.close();
    await until("all have arrived", () => smtp.mails().length === alerts.length);
    const mails = new Map(
      smtp.mails().map((mail) => {
        const { headers, text } = parsed(mail);
        return [headers.get("x-daemoneye-alert-id")!, { headers, text, mail }];
      }),
    );
    const names = ["from", "to", "subject", "message-id", "date", "mime-version", "content-type", "auto-submitted"];
    for (const alert of alerts) {
      const { headers, text, mail } = mails.get(alert.alertId)!;
      for (const name of headers.keys()) {
        const known = [...names, "content-transfer-encoding", "x-daemoneye-alert-id"];
        assert.ok(known.includes(name) || /^(x-client|x-helo|x-mail|x-rcpt|received)/.test(name), `${name} in ${mail}`);
      }
      assert.match(headers.get("message-id")!, /^<msg_[\w-]{32}@host1>$/);
      assert.equal(headers.get("to"), "soc@example.org");
      assert.match(text, new RegExp(`^alert: ${alert.alertId}$`, "m"));
      if (alert.commandLine !== null) assert.ok(text.includes(`command line: ${shown(alert.commandLine, 4_096)}`));
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    }
  },
});

Deno.test({
  name: "what a mail server refuses for good is refused, and what it refuses for now is tried again",
  ignore: server.ignore,
  async fn() {
    for (
      const [option, command, kind] of [
        ["-r", "RCPT", "retry"],
        ["-r", "DATA", "retry"],
        ["-f", "RCPT", "refused"],
        ["-f", "DATA", "refused"],
        ["-f", ".", "refused"],
        ["-q", "MAIL", "retry"],
        ["-q", ".", "retry"],
      ] as const
    ) {
      await using smtp = await SmtpSink.start(option, command);
      const sink = open(`smtp://127.0.0.1:${smtp.port}`, { security: "none" });
      await assert.rejects(sink.write([newAlert("a")]), says(kind, 0, /127\.0\.0\.1/), `${option} ${command}`);
      await sink.close();
    }
  },
});

Deno.test("a mail server that resets, hangs, drips or is not there is tried again", async () => {
  for (const behaviour of [resets, hangs, drips]) {
    await using faulty = new FaultyServer([behaviour]);
    const sink = open(`smtp://127.0.0.1:${faulty.port}`, { security: "none", timeout_ms: 300 });
    await assert.rejects(sink.write([newAlert("a")]), says("retry", 0, /within|closed|Timeout|Greeting/i));
    await sink.close();
  }
  for (const address of [`smtp://127.0.0.1:${freePort()}`, "smtp://no-such-host.invalid"]) {
    const sink = open(address, { security: "none", timeout_ms: 5_000 });
    await assert.rejects(sink.write([newAlert("a")]), says("retry", 0, /./));
    await sink.close();
  }
});

/** Answers mails as a test says; what it says of the n-th is `answer(n)`, `null` for nothing in time. */
class MailReceiver implements AsyncDisposable {
  readonly mails: { readonly alertId: string; readonly messageId: string; readonly isTaken: boolean }[] = [];
  readonly #server: FaultyServer;

  constructor(answer: (n: number) => string | null) {
    this.#server = new FaultyServer([async (connection) => {
      const say = (text: string): Promise<number> => connection.write(new TextEncoder().encode(text + "\r\n"));
      await say("220 mail");
      let rest = "", mail: string[] | null = null;
      for await (const bytes of connection.readable) {
        rest += new TextDecoder().decode(bytes);
        for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
          const line = rest.slice(0, end);
          rest = rest.slice(end + 2);
          if (mail === null) {
            if (line === "DATA") mail = [];
            await say(line === "DATA" ? "354 go" : "250 ok");
          } else if (line !== ".") mail.push(line);
          else {
            const said = answer(this.mails.length), headers = parsed(mail.join("\r\n")).headers;
            this.mails.push({
              alertId: headers.get("x-daemoneye-alert-id")!,
              messageId: headers.get("message-id")!,
              isTaken: said?.startsWith("250") === true,
            });
            mail = null;
            if (said === null) await new Promise((resolve) => setTimeout(resolve, 2_000)); // the sender has gone
            await say(said ?? "250 taken, too late");
          }
        }
      }
    }]);
  }

  get port(): number {
    return this.#server.port;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server[Symbol.asyncDispose]();
  }
}

Deno.test("through Delivery every mail arrives, and twice only what was answered too late, under one Message-ID", async () => {
  using dir = new TempDir();
  await using receiver = new MailReceiver((n) => n % 9 === 4 ? "451 not now" : n === 6 ? null : "250 taken");
  const store = new Store(`${dir.path}/events.db`, ["mail"]), stream = openTestStream(store);
  const ids = Array.from({ length: 40 }, (_, i) => `a${i}`), base = stream.number * 2 ** 40 + 1;
  commitEvents(store, stream, ids.map((_, i) => start(i)), {
    alerts: ids.map((id, i) => newAlert(id, { eventId: base + i })),
  });
  const sink = open(`smtp://127.0.0.1:${receiver.port}`, { security: "none", timeout_ms: 1_500 });
  const delivery = new Delivery(sink, { fault: () => {}, storeFault: () => {} }, { firstRetryMs: 5 });
  delivery.attach(store);
  await until("nothing is owed", () => store.owedDeliveries === 0);
  await delivery.stop(1_000);
  const byId = Map.groupBy(receiver.mails, ({ alertId }) => alertId);
  assert.deepEqual([...byId.keys()].sort(), ids.toSorted());
  for (const [id, each] of byId) {
    assert.deepEqual(each.map(({ isTaken }) => isTaken), [...each.slice(1).map(() => false), true], id);
    assert.equal(new Set(each.map(({ messageId }) => messageId)).size, 1, id);
  }
  assert.ok(receiver.mails.length > ids.length);
  store.close();
});

/** A mail server with STARTTLS, or TLS from the start, and a login. */
class TlsMailServer implements AsyncDisposable {
  readonly log: string[] = [];
  readonly port = freePort();
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  constructor(
    readonly certificate: Certificate,
    readonly fromStart: boolean,
    readonly password: string,
    offers = true,
  ) {
    const secure = { cert: Deno.readTextFileSync(certificate.cert), key: Deno.readTextFileSync(certificate.key) };
    const serve = (socket: net.Socket, encrypted: boolean): void => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      const say = (line: string): void => void socket.write(line + "\r\n");
      let rest = "", inData = false;
      const took = (data: Uint8Array): void => {
        rest += new TextDecoder().decode(data);
        for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
          const line = rest.slice(0, end);
          rest = rest.slice(end + 2);
          if (inData) {
            if (line !== ".") continue;
            inData = false;
            say("250 taken");
            continue;
          }
          this.log.push(`${encrypted ? "tls" : "clear"} ${line}`);
          const word = line.split(" ")[0]!.toUpperCase();
          if (word === "EHLO") {
            say(`250-mail\r\n${encrypted ? "250 AUTH PLAIN" : offers ? "250 STARTTLS" : "250 SIZE"}`);
          } else if (word === "STARTTLS" && !offers) say("502 no");
          else if (word === "STARTTLS") {
            socket.off("data", took);
            say("220 go");
            serve(new tls.TLSSocket(socket, { isServer: true, ...secure }), true);
          } else if (word === "AUTH") say(line.endsWith(btoa(`\0daemoneye\0${this.password}`)) ? "235 ok" : "535 no");
          else if (word === "DATA") {
            inData = true;
            say("354 go");
          } else say("250 ok");
        }
      };
      socket.on("data", took);
      if (encrypted === this.fromStart) say("220 mail ESMTP");
    };
    this.#server = fromStart
      ? tls.createServer(secure, (socket) => serve(socket, true))
      : net.createServer((socket) => serve(socket, false));
    this.#server.listen(this.port, "127.0.0.1");
  }

  async listening(): Promise<void> {
    if (!this.#server.listening) await new Promise<void>((resolve) => this.#server.once("listening", () => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const openssl = needs({ programs: ["openssl"] });

Deno.test({
  name: "a password goes to a mail server over TLS alone, whose certificate is good",
  ignore: openssl.ignore,
  async fn() {
    using authority = new Authority();
    using dir = new TempDir();
    const password_file = `${dir.path}/password`;
    Deno.writeTextFileSync(password_file, "hunter2\n");
    Deno.chmodSync(password_file, 0o600);
    const good = authority.sign("mail");
    for (
      const [name, certificate, fromStart, offers, password, fault] of [
        ["STARTTLS", good, false, true, "hunter2", null],
        ["TLS", good, true, true, "hunter2", null],
        ["no STARTTLS", good, false, false, "hunter2", /STARTTLS|TLS/],
        ["expired", authority.sign("old", undefined, -1), false, true, "hunter2", /certificate|Expired/i],
        ["self-signed", authority.selfSigned(), true, true, "hunter2", /certificate|issuer/i],
        ["wrong name", authority.sign("wrong", "DNS:other.example"), false, true, "hunter2", /certificate|name/i],
        ["another password", good, false, true, "other", /login|535/i],
      ] as const
    ) {
      await using mail = new TlsMailServer(certificate, fromStart, password, offers);
      await mail.listening();
      const sink = open(`${fromStart ? "smtps" : "smtp"}://localhost:${mail.port}`, {
        user: "daemoneye",
        password_file,
        ca_file: authority.ca,
      });
      if (fault === null) {
        await sink.write([newAlert("a"), newAlert("b")]);
        assert.equal(mail.log.filter((line) => /^tls MAIL FROM/.test(line)).length, 2, name);
      } else {
        await assert.rejects(sink.write([newAlert("a")]), (error: Error) => {
          assert.doesNotMatch(error.message, /hunter2/);
          return says("retry", 0, fault)(error);
        }, name);
        assert.ok(!mail.log.some((line) => /MAIL FROM/.test(line)), name);
      }
      assert.ok(!mail.log.some((line) => /^clear (AUTH|MAIL)/.test(line)), name);
      await sink.close();
    }
  },
});
