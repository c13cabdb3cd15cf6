/**
 * Runs `ps`: one at a time, with a deadline and a bound on what it prints.
 *
 * A `ps` that does not end is killed. One that even then does not end (it may hang in the kernel) blocks every later
 * run until it does, so that hanging ones never pile up.
 *
 * @module
 */

/** Where `ps` is. The right to run one of these is granted by `deploy/` (a test holds the two lists equal). */
export const PS_PATHS: readonly string[] = ["/usr/bin/ps", "/bin/ps"];

/** How long `ps` may take; measured: 0.5 s for 10,000 processes. */
const DEADLINE_MS = 5_000;
/** How long a killed one may take to end. */
const KILL_PATIENCE_MS = 1_000;
/** Most that is read of its output: a hundred thousand processes with 600 bytes of arguments each. */
const MAX_OUTPUT_BYTES = 64 << 20;
/** Most that is read of what it complains about. */
const MAX_COMPLAINT_BYTES = 512;

export interface PsCommandOptions {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  readonly maxOutputBytes?: number;
}

export interface PsOutput {
  /** Of the `ps` itself, which sees itself too. */
  readonly pid: number;
  readonly bytes: Uint8Array;
}

/** The `ps` that this process may run, `null` when it may run none. */
export function grantedPs(): string | null {
  const granted = PS_PATHS.filter((command) =>
    Deno.permissions.querySync({ name: "run", command }).state === "granted"
  );
  // A tier is granted one and may not look; who may run anything may look which is there.
  return granted.length > 1 ? granted.find(isThere) ?? null : granted[0] ?? null;
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

export class PsCommand {
  readonly #options: Required<PsCommandOptions>;
  #child: Deno.ChildProcess | null = null;

  constructor(options: PsCommandOptions) {
    this.#options = { deadlineMs: DEADLINE_MS, maxOutputBytes: MAX_OUTPUT_BYTES, ...options };
  }

  /** @throws {Error} with the reason in words, when there is no whole output. */
  async run(): Promise<PsOutput> {
    if (this.#child !== null) throw new Error(`an earlier ps, process ${this.#child.pid}, has not ended yet`);
    const { path, args, env, deadlineMs, maxOutputBytes } = this.#options;
    const child = new Deno.Command(path, {
      args: [...args],
      cwd: "/",
      clearEnv: true,
      env: { ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#child = child;
    const ended = child.status.finally(() => this.#child = null);
    const reading = Promise.all([
      readStream(child.stdout, maxOutputBytes, "stop"),
      readStream(child.stderr, MAX_COMPLAINT_BYTES, "pass over"),
    ]);
    reading.catch(() => {}); // nobody may be left to hear of it
    const read = await within(reading, deadlineMs);
    if (read === null || read[0].isCut) stop(child);
    // Its output has ended or it was killed, so it is about to end.
    const status = await within(ended, KILL_PATIENCE_MS);
    if (read === null) throw new Error(`ps did not end within ${deadlineMs} ms and was killed`);
    const [output, complaint] = read;
    if (output.isCut) throw new Error(`ps printed more than ${maxOutputBytes} bytes and was killed`);
    if (status === null) {
      stop(child);
      throw new Error("ps closed its output, did not end and was killed");
    }
    if (!status.success) {
      const words = new TextDecoder().decode(complaint.bytes).trim().split("\n")[0];
      throw new Error(`ps ended with ${status.signal ?? `code ${status.code}`}${words ? `: ${words}` : ""}`);
    }
    return { pid: child.pid, bytes: output.bytes };
  }

  /** Kills the one that runs, if any. */
  close(): void {
    if (this.#child !== null) stop(this.#child);
  }
}

function stop(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<null>((resolve) => timer = setTimeout(() => resolve(null), ms));
  try {
    return await Promise.race([promise, patience]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a stream, keeps what is within the bound, and either stops beyond it or passes over the rest. */
async function readStream(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  beyond: "stop" | "pass over",
): Promise<{ bytes: Uint8Array; isCut: boolean }> {
  const chunks: Uint8Array[] = [];
  let length = 0, isCut = false;
  for await (const chunk of stream) {
    const kept = chunk.subarray(0, limit - length);
    chunks.push(kept);
    length += kept.length;
    isCut ||= kept.length < chunk.length;
    if (isCut && beyond === "stop") break; // which cancels the stream
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { bytes, isCut };
}
