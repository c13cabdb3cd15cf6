/**
 * How a tier ended that nobody had asked to: in words for the supervisor's terminal, and as the variable that tells its
 * next run.
 *
 * Of a process that its filter of system calls ended, the kernel's log says by which call, unless an audit daemon takes
 * the records; then that one knows. What a log says is a number to us, matched against the process that ended.
 *
 * @module
 */

/** The variable that a tier reads: `SIGNAL`, `SIGSYS NUMBER`, or `code NUMBER`. */
export const LAST_END = "DAEMONEYE_LAST_END";

/** Where util-linux puts it. */
const DMESG_PATHS: readonly string[] = ["/usr/bin/dmesg", "/bin/dmesg"];
/** The record is written by a thread of the kernel's, a moment after the process is gone. */
const ATTEMPTS = 5, PAUSE_MS = 100;

export interface LastEnd {
  readonly words: string;
  readonly variable: string;
}

/** What is known of the end of process `pid`. `readLog` is the kernel's log, which a test gives. */
export async function describeEnd(
  { code, signal }: Pick<Deno.CommandStatus, "code" | "signal">,
  pid: number,
  readLog: () => Promise<string | null> = readKernelLog,
): Promise<LastEnd> {
  if (signal === null) return { words: `exit code ${code}`, variable: `code ${code}` };
  if (signal !== "SIGSYS") return { words: `signal ${signal}`, variable: signal };
  const call = await refusedCall(pid, readLog);
  return call === null
    ? {
      words: `signal SIGSYS: the kernel refused it a system call; the audit log may say which one: ` +
        `ausearch -m SECCOMP -p ${pid}`,
      variable: signal,
    }
    : { words: `signal SIGSYS: the kernel refused it system call ${call}`, variable: `${signal} ${call}` };
}

async function refusedCall(pid: number, readLog: () => Promise<string | null>): Promise<number | null> {
  // AUDIT_SECCOMP, of that process, that ended it (SIGSYS is 31 on all of our processors).
  const record = new RegExp(` type=1326 .* pid=${pid} .* sig=31 .* syscall=(\\d{1,10}) `, "g");
  for (let i = 0; i < ATTEMPTS; i++) {
    const log = await readLog();
    if (log === null) return null;
    const call = [...log.matchAll(record)].at(-1)?.[1];
    if (call !== undefined) return Number(call);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return null;
}

async function readKernelLog(): Promise<string | null> {
  for (const path of DMESG_PATHS) {
    try {
      const options = { cwd: "/", clearEnv: true, stdin: "null", stderr: "null" } as const;
      const { success, stdout } = await new Deno.Command(path, options).output();
      return success ? new TextDecoder().decode(stdout) : null;
    } catch {
      // The next one.
    }
  }
  return null;
}
