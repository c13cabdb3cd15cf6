/**
 * What a process used, over all its threads: the scheduler's count of its CPU time, and how often it was woken.
 *
 * @module
 */

/** By thread: nanoseconds on a processor, and times that it waited and was woken. */
export type CpuCount = ReadonlyMap<string, { readonly ranNs: number; readonly wakings: number }>;

export interface Cost {
  /** Percent of a core. */
  readonly share: number;
  /** A second. */
  readonly wakings: number;
}

export function cpuOf(pid: number): CpuCount {
  const count = new Map<string, { ranNs: number; wakings: number }>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const task = `/proc/${pid}/task/${name}`;
    try {
      const wakings = /^voluntary_ctxt_switches:\t(\d+)$/m.exec(Deno.readTextFileSync(`${task}/status`))?.[1];
      const ranNs = Number(Deno.readTextFileSync(`${task}/schedstat`).split(" ")[0]);
      count.set(name, { ranNs, wakings: Number(wakings) });
    } catch {
      // It ended just now
    }
  }
  return count;
}

/** What was used between two counts. A thread that ended meanwhile is missed: runtimes keep theirs for seconds. */
export function costBetween(before: CpuCount, after: CpuCount, seconds: number): Cost {
  let ranNs = 0, wakings = 0;
  for (const [thread, now] of after) {
    const then = before.get(thread);
    ranNs += now.ranNs - (then?.ranNs ?? 0);
    wakings += now.wakings - (then?.wakings ?? 0);
  }
  return { share: ranNs / 1e7 / seconds, wakings: wakings / seconds };
}
