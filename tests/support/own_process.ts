/**
 * Code in a process of its own: for what cannot be undone, or ends the process.
 *
 * @module
 */
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

export interface Ended {
  readonly code: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a module's text with all permissions; imports need whole URLs. */
export async function inProcess(code: string): Promise<Ended> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, code);
    const { code: status, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "--no-check", "--config", CONFIG, file],
      env: { DENO_NO_UPDATE_CHECK: "1" }, // whose calls a test would see
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
    return { code: status, signal, stdout: text(stdout), stderr: text(stderr) };
  } finally {
    await Deno.remove(file);
  }
}
