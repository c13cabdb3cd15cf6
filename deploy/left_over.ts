/**
 * Processes of an earlier supervisor that still run when the next one starts: ended, so that they can be replaced.
 *
 * Pipes to a process end with the supervisor that made them, so its processes cannot be taken over; its guard ends them
 * some seconds after it (`guard.ts`). A supervisor that is started at once would find their locks and sockets held. So
 * each writes down which processes it has, by number and time of start, and the next one waits for those that are still
 * these to be gone, or ends them, and says which. It does so with the lock of the tier in its hand: they are nobody's.
 *
 * @module
 */
import type { Supervised } from "./supervised.ts";

/** How long the guard gets to end them: SIGTERM, and SIGKILL five seconds after it. */
const GUARD_MS = 7_000;
const LOOK_MS = 50;

interface Left {
  readonly name: string;
  readonly pid: number;
  /** Clock ticks since boot; with the number it names a process. */
  readonly start: string;
}

/** Where a supervisor writes down the processes of a tier; the state directory is its own, and nobody else may write it. */
export function leftOverFile(state: string, tier: "collector" | "agent"): string {
  return `${state}/${tier}.running`;
}

/** Writes down which of these run. A file that cannot be written costs the next start some waiting, and nothing else. */
export function writeDown(path: string, processes: readonly Supervised[]): void {
  const left = processes.flatMap(({ name, pid }): Left[] => {
    const start = pid === null ? null : startOf(pid);
    return pid === null || start === null ? [] : [{ name, pid, start }];
  });
  try {
    Deno.writeTextFileSync(`${path}.new`, `${bootId()}\n${JSON.stringify(left)}\n`, { mode: 0o600 });
    Deno.renameSync(`${path}.new`, path);
  } catch {
    // The locks of the tiers still keep two of them from running.
  }
}

/** Sees to it that nothing of an earlier supervisor runs any more. Says of each process what became of it. */
export async function replaceLeftOver(
  path: string,
  say: (line: string) => void,
  patienceMs: number = GUARD_MS,
): Promise<void> {
  let left = stillThere(read(path));
  if (left.length === 0) return;
  for (const { name, pid } of left) {
    say(`the ${name} of an earlier supervisor still runs (process ${pid}); it cannot be adopted and is replaced`);
  }
  // Their guard has asked them to end: asked twice, they would leave without their last words.
  const until = performance.now() + patienceMs;
  while (left.length > 0 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    left = stillThere(left);
  }
  for (const { name, pid } of left) {
    say(`the ${name} of an earlier supervisor (process ${pid}) did not end by itself; it was ended by SIGKILL`);
    kill(pid);
  }
}

function read(path: string): Left[] {
  try {
    const [boot, list] = Deno.readTextFileSync(path).split("\n");
    if (boot !== bootId()) return [];
    const found: unknown = JSON.parse(list ?? "");
    if (!Array.isArray(found)) return [];
    return found.filter((each): each is Left =>
      typeof each?.name === "string" && Number.isSafeInteger(each.pid) && each.pid > 1 && typeof each.start === "string"
    );
  } catch {
    return [];
  }
}

function stillThere(left: readonly Left[]): Left[] {
  return left.filter(({ pid, start }) => startOf(pid) === start);
}

/** When a process began; `null` for one that is not there, or is dead and not waited for. */
function startOf(pid: number): string | null {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : fields[19] ?? null;
  } catch {
    return null;
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It ended in this moment.
  }
}

function bootId(): string {
  return Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
}
