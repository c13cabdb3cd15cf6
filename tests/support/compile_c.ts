/**
 * Compiles a small C program for a test or a benchmark, into a directory of its own.
 *
 * @module
 */

/** A program that is there until this is disposed of. */
export interface CompiledProgram extends AsyncDisposable {
  readonly path: string;
}

/** @throws {Error} with the compiler's text */
export async function compileC(source: string, flags: readonly string[] = []): Promise<CompiledProgram> {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-c-" });
  await Deno.chmod(directory, 0o755);
  const path = `${directory}/program`;
  await Deno.writeTextFile(`${directory}/program.c`, source);
  const args = ["-O1", "-o", path, `${directory}/program.c`, ...flags];
  const { success, stderr } = await new Deno.Command("gcc", { args }).output();
  const remove = (): Promise<void> => Deno.remove(directory, { recursive: true });
  if (!success) {
    await remove();
    throw new Error(`gcc: ${new TextDecoder().decode(stderr)}`);
  }
  return { path, [Symbol.asyncDispose]: remove };
}
