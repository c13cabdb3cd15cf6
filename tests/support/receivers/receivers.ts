/**
 * Real log and mail servers on loopback, each a process of the test's own with a configuration of its own.
 *
 * The programs are the distribution's, unpacked by `deno task receivers`; `needs({ receivers: [...] })` says whether they
 * are there.
 *
 * @module
 */
import { TempDir } from "../../agent/support.ts";
import { RECEIVER_PROGRAMS, RECEIVER_ROOT } from "./places.ts";
import { PATIENCE_MS } from "../patience.ts";

const LIBRARIES = [
  ...["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/aarch64-linux-gnu"],
  ...["usr/lib/syslog-ng", "usr/lib/postfix"],
].map((path) => `${RECEIVER_ROOT}/${path}`).join(":");

/** A port of loopback that nobody listens on now. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** A server as a process, stopped with the test; what it says is in the error when it does not start. */
export class ServerProcess implements AsyncDisposable {
  stderr = "";
  stdout = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #ended = false;

  constructor(program: string, args: readonly string[], more: { cwd?: string; stdout?: "null" | "piped" } = {}) {
    this.#child = new Deno.Command(program, {
      args: [...args],
      env: { LD_LIBRARY_PATH: LIBRARIES },
      stdin: "piped", // openssl ends a connection with its standard input
      stdout: more.stdout ?? "null",
      stderr: "piped",
      ...(more.cwd === undefined ? {} : { cwd: more.cwd }),
    }).spawn();
    const gather = async (stream: ReadableStream<Uint8Array>, keep: (text: string) => void): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) keep(decoder.decode(chunk, { stream: true }));
    };
    this.#reading = Promise.all([
      gather(this.#child.stderr, (text) => this.stderr += text),
      more.stdout === "piped" ? gather(this.#child.stdout, (text) => this.stdout += text) : null,
      this.#child.status.then(() => this.#ended = true),
    ]);
  }

  async until(what: string, ready: () => boolean | Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!this.#ended && !(await ready())) {
      if (performance.now() > end) throw new Error(`It did not come about that ${what}: ${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (this.#ended) throw new Error(`The server ended: ${this.stderr}`);
  }

  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    if (!this.#ended) this.#child.kill(signal);
    await this.#reading;
    await this.#child.stdin.close().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}

export async function accepts(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}

function wholeLines(path: string): string[] {
  const text = Deno.readTextFileSync(path);
  return text.slice(0, text.lastIndexOf("\n") + 1).split("\n").slice(0, -1);
}

/** A log server that writes a JSON object for each message into a file. */
export class LogServer implements AsyncDisposable {
  readonly #dir = new TempDir();
  #process: ServerProcess | null = null;
  readonly port: number = freePort();
  readonly tlsPort: number = freePort();
  readonly #kind: "rsyslogd" | "syslog-ng";
  readonly #tls: { cert: string; key: string; ca: string } | null;

  private constructor(kind: "rsyslogd" | "syslog-ng", tls: LogServer["tls"]) {
    this.#kind = kind;
    this.#tls = tls;
    for (const path of [this.#output, this.#leefOutput]) Deno.writeTextFileSync(path, "");
  }

  static async start(kind: "rsyslogd" | "syslog-ng", tls: LogServer["tls"] = null): Promise<LogServer> {
    const server = new LogServer(kind, tls);
    await server.begin();
    return server;
  }

  get tls(): { cert: string; key: string; ca: string } | null {
    return this.#tls;
  }
  /** A Unix socket that takes datagrams (rsyslogd) or a stream (syslog-ng). */
  get socket(): string {
    return `${this.#dir.path}/log.sock`;
  }
  get #output(): string {
    return `${this.#dir.path}/out.jsonl`;
  }
  get #leefOutput(): string {
    return `${this.#dir.path}/leef.jsonl`;
  }

  async begin(): Promise<void> {
    const dir = this.#dir.path, configuration = `${dir}/server.conf`;
    const at = (path: string): string => `${RECEIVER_ROOT}/${path}`;
    const arch = Deno.build.arch === "x86_64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
    if (this.#kind === "rsyslogd") {
      Deno.writeTextFileSync(configuration, this.#rsyslog());
      const args = ["-n", "-M", at(`usr/lib/${arch}/rsyslog`), "-f", configuration, "-i", `${dir}/pid`];
      this.#process = new ServerProcess(at(RECEIVER_PROGRAMS.rsyslogd), args);
    } else {
      Deno.writeTextFileSync(configuration, this.#syslogNg());
      this.#process = new ServerProcess(at(RECEIVER_PROGRAMS["syslog-ng"]), [
        ...["-F", "-f", configuration, "-R", `${dir}/persist`, "-c", `${dir}/ctl`, "-p", `${dir}/pid`, "--no-caps"],
        `--module-path=${at("usr/lib/syslog-ng/3.38")}`,
      ]);
    }
    await this.#process.until("the log server listens", () => accepts(this.port));
  }

  async end(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    await this.#process?.stop(signal);
    this.#process = null;
  }

  /** What has arrived: whole lines alone. */
  lines(): string[] {
    return wholeLines(this.#output);
  }

  /** What syslog-ng's parser of columns made of messages in LEEF: `header`, and `leef` with the attributes `a0` and on. */
  leefLines(): string[] {
    return wholeLines(this.#leefOutput);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
    this.#dir[Symbol.dispose]();
  }

  #rsyslog(): string {
    const tls = this.#tls === null ? "" : `
global(DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="${this.#tls.ca}"
  DefaultNetstreamDriverCertFile="${this.#tls.cert}" DefaultNetstreamDriverKeyFile="${this.#tls.key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="${this.tlsPort}")`;
    return `
global(maxMessageSize="256k" workDirectory="${this.#dir.path}")
module(load="imudp") module(load="imptcp") module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="${this.socket}" UseSpecialParser="off" ParseHostname="on")
template(name="all" type="list") { property(name="jsonmesg") constant(value="\\n") }
input(type="imudp" address="127.0.0.1" port="${this.port}")
input(type="imptcp" address="127.0.0.1" port="${this.port}")${tls}
*.* action(type="omfile" file="${this.#output}" template="all")
`;
  }

  #syslogNg(): string {
    const tls = this.#tls === null ? "" : `
  syslog(transport("tls") ip("127.0.0.1") port(${this.tlsPort}) tls(key-file("${this.#tls.key}")
    cert-file("${this.#tls.cert}") ca-file("${this.#tls.ca}") peer-verify(required-trusted)));`;
    return `@version: 3.38
options { keep-hostname(yes); log-msg-size(262144); stats-freq(0); };
source s {
  syslog(transport("tcp") ip("127.0.0.1") port(${this.port}) max-connections(64) log-iw-size(6400));
  network(transport("udp") ip("127.0.0.1") port(${this.port}) flags(syslog-protocol));
  unix-stream("${this.socket}" flags(syslog-protocol));${tls}
};
destination d { file("${this.#output}" template("$(format-json --key .SDATA.daemoneye@32473.* --pair msg=$MSG)\\n")); };
log { source(s); destination(d); };
parser leef {
  csv-parser(prefix("header.") columns("format", "vendor", "product", "version", "event", "delimiter", "rest")
    delimiters("|") flags(greedy) quote-pairs('') dialect(escape-none) template("$MSG"));
  csv-parser(prefix("leef.") columns(${Array.from({ length: 30 }, (_, i) => `"a${i}"`).join(", ")})
    delimiters("\\t") quote-pairs('') dialect(escape-none) template("\${header.rest}"));
};
destination leef { file("${this.#leefOutput}" template("$(format-json --key header.* --key leef.*)\\n")); };
filter leef { message("^LEEF:"); };
log { source(s); filter(leef); parser(leef); destination(leef); };
`;
  }
}

/** What liblognorm's parser of CEF makes of each line; `null` for one that it takes for none. */
export async function lognormCef(lines: readonly string[]): Promise<(LognormCef | null)[]> {
  using dir = new TempDir();
  Deno.writeTextFileSync(`${dir.path}/cef.rulebase`, "version=2\nrule=:%f:cef%\n");
  const child = new Deno.Command(`${RECEIVER_ROOT}/${RECEIVER_PROGRAMS.lognormalizer}`, {
    args: ["-r", `${dir.path}/cef.rulebase`, "-e", "json"],
    env: { LD_LIBRARY_PATH: LIBRARIES },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const sending = async (): Promise<void> => {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
    await writer.close();
  };
  const [{ stdout }] = await Promise.all([child.output(), sending()]);
  return new TextDecoder().decode(stdout).trimEnd().split("\n").map((line) => JSON.parse(line).f ?? null);
}

export interface LognormCef {
  readonly DeviceVendor: string;
  readonly DeviceProduct: string;
  readonly DeviceVersion: string;
  readonly SignatureID: string;
  readonly Name: string;
  readonly Severity: string;
  readonly Extensions: Readonly<Record<string, string>>;
}

/** `openssl s_server` with a certificate: says what came. */
export class TlsServer implements AsyncDisposable {
  readonly port: number = freePort();
  readonly #process: ServerProcess;

  private constructor({ cert, key }: { readonly cert: string; readonly key: string }) {
    const args = [
      "s_server",
      "-accept",
      `127.0.0.1:${this.port}`,
      "-cert",
      cert,
      "-key",
      key,
      "-quiet",
      "-naccept",
      "3",
    ];
    this.#process = new ServerProcess("openssl", args, { stdout: "piped" });
  }

  static async start(certificate: { readonly cert: string; readonly key: string }): Promise<TlsServer> {
    const server = new TlsServer(certificate);
    await server.#process.until("the TLS server listens", () => accepts(server.port));
    return server;
  }

  get received(): string {
    return this.#process.stdout;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process[Symbol.asyncDispose]();
  }
}
