/**
 * A test program as one file that every user may read and run, wherever the checkout and Deno are: for programs that give
 * root up and then load themselves again.
 *
 * @module
 */
import { makeBundle } from "../../deploy/bundle.ts";
import { denoForAll } from "./checkout.ts";

export class BundledProgram implements AsyncDisposable {
  private constructor(readonly directory: string, readonly deno: string, readonly path: string) {}

  /** `entry` is relative to the checkout. */
  static async make(entry: string): Promise<BundledProgram> {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-program-" });
    await Deno.chmod(directory, 0o755);
    const program = new BundledProgram(directory, await denoForAll(`${directory}/bin`), `${directory}/program.js`);
    try {
      await Deno.mkdir(`${directory}/deno_dir`);
      await Deno.chmod(`${directory}/deno_dir`, 0o755);
      await makeBundle(entry, program.path, Deno.execPath());
      await Deno.chmod(program.path, 0o644);
      return program;
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The program with every grant, behind `prefix`. */
  command(args: readonly string[], prefix: readonly string[] = []): Deno.Command {
    const flags = ["run", "-A", "-q", "--no-config", "--no-lock", "--no-npm", "--no-code-cache"];
    const [program, ...rest] = [...prefix, this.deno, ...flags, this.path, ...args];
    return new Deno.Command(program!, {
      args: rest,
      cwd: "/",
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", DENO_DIR: `${this.directory}/deno_dir`, DENO_NO_UPDATE_CHECK: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}
