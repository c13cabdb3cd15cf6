/**
 * A process whose memory cannot be read without waiting for ever: see `c/stuck_arguments.c`.
 *
 * @module
 */
import { compileC, type CompiledProgram } from "./compile_c.ts";

export class StuckProcess implements AsyncDisposable {
  private constructor(
    readonly pid: number,
    private readonly program: CompiledProgram,
    private readonly file: string,
    private readonly child: Deno.ChildProcess,
    private readonly output: ReadableStreamDefaultReader<string>,
  ) {}

  /** The executable of the process. */
  get path(): string {
    return Deno.realPathSync(this.program.path);
  }

  /** A file of 64 KiB that can be opened, and whose reads do not end, as it is reached from outside. */
  get hangingFile(): string {
    return `/proc/${this.pid}/root${this.file}`;
  }

  static async start(): Promise<StuckProcess> {
    const program = await compileC(await Deno.readTextFile(new URL("./c/stuck_arguments.c", import.meta.url)));
    const file = await Deno.makeTempFile();
    const child = new Deno.Command(program.path, { args: [file, "locked"], stdin: "piped", stdout: "piped" }).spawn();
    const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    return new StuckProcess(Number((await output.read()).value), program, file, child, output);
  }

  #released = false;

  /** Lets every reader go, and ends. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.child.stdin.close();
    await this.output.cancel();
    await this.child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
    await Deno.remove(this.file);
    await this.program[Symbol.asyncDispose]();
  }
}
