/**
 * The hand on a puppet collector, which is a process of its own.
 *
 * @module
 */
import { ownToken } from "../../../proto/handshake.ts";
import { TOKEN } from "../../agent/broker/test_collector.ts";

const PROGRAM = new URL("./puppet_collector.ts", import.meta.url).pathname;

export interface PuppetOptions {
  readonly heartbeatMs?: number;
  /** Whose token it has; its own name's by default. */
  readonly tokenOf?: string;
}

export class Puppet implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: string, readonly name: string, { heartbeatMs = 700, tokenOf = name }: PuppetOptions = {}) {
    const args = ["run", "-A", "--quiet", "--no-check", PROGRAM, socket, ownToken(TOKEN, tokenOf), name];
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [...args, String(heartbeatMs)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
  }

  /** Has it do something. @throws what went wrong there */
  async do(...acts: string[]): Promise<void> {
    for (const act of acts) {
      const said = await this.try(act);
      if (said !== "ok") throw new Error(`${this.name}: ${act}: ${said}`);
    }
  }

  /** Has it do something, and gives what it says of that. */
  async try(act: string): Promise<string> {
    await this.#input.write(new TextEncoder().encode(`${act}\n`));
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} has ended at ${act}`);
    return value;
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.#input.close().catch(() => {});
    while (!(await this.#lines.next()).done);
    await this.#child.status;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
