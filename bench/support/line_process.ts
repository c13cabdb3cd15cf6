/**
 * A program of a benchmark in a process of its own, that is asked by lines and answers by lines of JSON.
 *
 * @module
 */
import { MEMORY_FLAG } from "../../deploy/runtime_flags.ts";

/** With the memory that the product's own have. */
export class LineProcess {
  readonly #child: Deno.ChildProcess;
  readonly #asks: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;

  constructor(module: URL, args: readonly string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        "--no-check",
        MEMORY_FLAG,
        ...(Deno.env.get("LP_FLAGS")?.split(" ") ?? []),
        module.pathname,
        ...args,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#asks = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
  }

  async ask(question: string): Promise<void> {
    await this.#asks.write(new TextEncoder().encode(`${question}\n`));
  }

  async answer<T>(): Promise<T> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("A process of the benchmark ended early");
      if (!value.startsWith("[")) return JSON.parse(value);
      console.error(value); // what V8 says by --trace-gc
    }
  }

  async end(): Promise<void> {
    await this.#asks.close();
    await this.#child.status;
  }
}

export async function* linesOf(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
