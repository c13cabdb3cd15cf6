/**
 * Where techniques are done: compiles the stand-in, gives each technique directories of its own, and starts it.
 *
 * Everything is below one directory in the directory of temporary files and one in shared memory, both removed at the end;
 * nothing is connected to but a listener on the loopback address, which answers `exit`.
 *
 * @module
 */
import { basename, dirname } from "node:path";
import { compileC, type CompiledProgram } from "../compile_c.ts";
import { slugOf, type Step, stepOf, type Technique, wordsOf } from "./technique.ts";

const SOURCE = new URL("../c/stand_in.c", import.meta.url);
/** How long one technique may take. */
const PATIENCE_MS = 120_000;
/** Stands in a plan for no change of the user. */
const SAME_USER = -1;
/** Users of techniques that have one of their own; nobody else should be one of them. */
const FIRST_USER = 61_100;

export interface StageOptions {
  /** Milliseconds that each stand-in lives at least: where processes are seen by looking for them. */
  readonly holdMs: number;
}

export class Stage implements AsyncDisposable {
  readonly #listener: Deno.Listener;
  #nextUser = FIRST_USER;

  private constructor(
    readonly directory: string,
    readonly sharedMemory: string,
    readonly program: CompiledProgram,
    readonly options: StageOptions,
  ) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#answer();
  }

  static async open(options: StageOptions): Promise<Stage> {
    const program = await compileC(await Deno.readTextFile(SOURCE), ["-static"]);
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-attacks-" });
    const sharedMemory = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "daemoneye-attacks-" });
    for (const path of [directory, sharedMemory]) await Deno.chmod(path, 0o755);
    return new Stage(directory, sharedMemory, program, options);
  }

  /** Does one technique, and says what went wrong with it, or `null`. */
  async run(technique: Technique): Promise<string | null> {
    const slug = slugOf(technique), dir = `${this.directory}/${slug}`, shm = `${this.sharedMemory}/${slug}`;
    for (const path of [dir, `${dir}/bin`, shm]) await Deno.mkdir(path, { mode: 0o755 });
    const parent = await this.#place(`${dir}/bin/${technique.parent ?? "bash"}`);
    const steps = technique.steps.map(stepOf);
    const uid = technique.uid ?? (technique.alone && Deno.uid() === 0 ? this.#nextUser++ : undefined);
    if (uid !== undefined) {
      for (const path of [dir, shm]) await Deno.chown(path, uid, uid);
    }
    const plan = (await Promise.all(steps.map((step) => this.#line(step, dir, shm)))).join("\n");
    const { success, code, signal, stderr } = await new Deno.Command(parent, {
      cwd: dir,
      ...uid === undefined ? {} : { uid, gid: uid },
      env: { STAND_IN_PLAN: plan, STAND_IN_HOLD: String(this.options.holdMs) },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(PATIENCE_MS),
    }).output();
    const text = new TextDecoder().decode(stderr).trim();
    return success && !/^(?:socketpair|pipe|fork|setuid|write): /m.test(text)
      ? null
      : `${code} ${signal ?? ""} ${text}`;
  }

  /** One line of a plan: see the stand-in. */
  async #line(step: Step, dir: string, shm: string): Promise<string> {
    const { port } = this.#listener.addr as Deno.NetAddr;
    const filled = (text: string): string =>
      text.replaceAll("{dir}", dir).replaceAll("{shm}", shm).replaceAll("{port}", String(port));
    const words = wordsOf(step.run).map(filled), name = filled(step.file ?? words[0]!);
    const path = name.startsWith("/") && (name.startsWith(dir) || name.startsWith(shm))
      ? name
      : step.file === undefined
      ? `${dir}/bin/${basename(name)}`
      : `${dir}/bin/${name}`;
    const file = step.real ? await realPath(words[0]!) : await this.#place(path, step);
    const variables = Object.entries(step.env ?? {}).map(([key, value]) => `${key}=${filled(value)}`);
    if (step.exit !== undefined) variables.push(`STAND_IN_EXIT=${step.exit}`);
    if (step.forks !== undefined) variables.push(`STAND_IN_FORKS=${step.forks}`);
    if (step.steps !== undefined) {
      const lines = await Promise.all(step.steps.map((inner) => this.#line(stepOf(inner), dir, shm)));
      variables.push(`STAND_IN_PLAN=${lines.join("\n")}`);
    }
    const flags = [
      step.stdin === "socket" ? "s" : step.stdin === "pipe" ? "p" : "",
      step.from === "deleted" ? "d" : step.from === "memory" ? "m" : "",
    ].join("");
    const fields = [file, flags, step.uid ?? SAME_USER, step.times ?? 1, variables.length, ...variables, ...words];
    return fields.map((field) => encodeURIComponent(field)).join("\t");
  }

  /** Puts the stand-in where it has the name that it needs. */
  async #place(path: string, step?: Step): Promise<string> {
    await Deno.mkdir(dirname(path), { recursive: true });
    const isLinkable = !step?.setuid && step?.from === undefined && !path.startsWith(this.sharedMemory);
    try {
      if (isLinkable) await Deno.link(this.program.path, path);
      else await Deno.copyFile(this.program.path, path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    if (!isLinkable) await Deno.chmod(path, step?.setuid ? 0o4755 : 0o755);
    return path;
  }

  async #answer(): Promise<void> {
    for await (const connection of this.#listener) {
      // What a shell reads as its first command ends it
      connection.write(new TextEncoder().encode("exit\n")).catch(() => {}).finally(() => connection.close());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.program[Symbol.asyncDispose]();
    for (const path of [this.directory, this.sharedMemory]) await Deno.remove(path, { recursive: true });
  }
}

/** The program itself, found as a shell finds it. */
async function realPath(name: string): Promise<string> {
  for (const directory of ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]) {
    const path = `${directory}/${name}`;
    if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
  }
  throw new Error(`${name} is not installed`);
}
