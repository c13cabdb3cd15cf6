/**
 * A process of a kill cycle: started, read line by line, killed, started again.
 *
 * @module
 */

export class TierProcess {
  /** Set when it has ended. */
  status: Deno.CommandStatus | null = null;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<unknown>;

  /** `heard` gets every line of its stdout and stderr. */
  constructor(command: Deno.Command, heard: (line: string) => void) {
    this.#child = command.spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#writer.closed.catch(() => {}); // it was killed
    this.#reading = Promise.all([
      readLines(this.#child.stdout, heard),
      readLines(this.#child.stderr, heard),
      this.#child.status.then((status) => this.status = status),
    ]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // it has ended
    }
  }

  /** Ends what it reads. */
  async closeInput(): Promise<void> {
    await this.#writer.close().catch(() => {});
  }

  /** When it has ended and every line of it was heard. */
  async ended(): Promise<Deno.CommandStatus> {
    await this.#reading;
    await this.closeInput();
    return this.status!;
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended();
  }
}

async function readLines(stream: ReadableStream<Uint8Array>, heard: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!; // a line that a kill cut says nothing
    lines.forEach(heard);
  }
}
