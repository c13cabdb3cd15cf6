/**
 * System calls that fail, one kind after the other, under a real writer of the log that feeds a real agent: nothing that
 * was promised is lost, what is refused is told with its count, and the writer lives and goes on by itself.
 */
import assert from "node:assert/strict";
import { CrashRun, type Injections } from "../crash/cycles.ts";
import { needs } from "../support/needs.ts";

interface Case {
  readonly injections: Injections;
  /** Calls that fail. */
  readonly count: number;
  /** What the log says of it, where it must say something. */
  readonly words: RegExp | null;
  /** Deno writes to files of its own, and panics when it cannot. */
  readonly within: "anywhere" | "log";
}

/** Some fail, so that the log goes on in between: one that can do nothing waits longer and longer before it tries again. */
function anywhere(words: RegExp | null, ...injections: string[]): Case {
  const count = injections.every((each) => each.includes("when=")) ? 12 : 5;
  return { injections, count, words, within: "anywhere" };
}

/** On the segment that is written then: once it has failed, it is left. */
function onSegment(words: RegExp | null, count: number, ...injections: string[]): Case {
  return { injections, count, words, within: "log" };
}

const CASES: readonly Case[] = [
  anywhere(/what may be lost is written into a new segment/, "fdatasync:error=EIO:when=2+5"),
  anywhere(/the disk is full: .*No space left/, "fdatasync:error=ENOSPC:when=2+2"),
  // All of them: what is known to be on disk does not grow, and memory holds what comes.
  anywhere(/the disk fails: /, "fdatasync:error=EIO"),
  ...Array.from({ length: 4 }, () => onSegment(/Input\/output error/, 1, "write:error=EIO")),
  ...Array.from({ length: 4 }, () => onSegment(/the disk is full/, 2, "write:error=ENOSPC")),
  anywhere(null, "openat:error=EIO:when=1+2"),
  anywhere(/the disk is full/, "openat:error=ENOSPC"),
  anywhere(/the disk fails/, "fsync:error=EIO"),
  anywhere(null, "unlink,unlinkat:error=EIO"),
  // The state file is made anew after a sync that failed, and that fails as well.
  anywhere(null, "fdatasync:error=EIO:when=1+2", "rename,renameat,renameat2:error=EIO"),
  anywhere(null, "fdatasync:error=EIO:when=1+3", "rename,renameat,renameat2:error=ENOSPC", "openat:error=EIO:when=4+5"),
  onSegment(null, 2, "write:error=ENOSPC", "ftruncate:error=EIO"),
];

Deno.test({
  name: "system calls that fail under a writer of the log cost nothing that was promised, and the rest is told",
  ignore: needs({ root: true, trace: true }).ignore,
  async fn() {
    const said: string[] = [], run = new CrashRun(1, (text) => said.push(text), true);
    let verdict;
    try {
      await run.begin();
      for (const { injections, count, words, within } of CASES) {
        await run.inject(injections, count, words, within);
      }
      await run.end();
    } catch (error) {
      run.faults.push(error instanceof Error ? error.message : String(error));
    } finally {
      verdict = await run.judge();
    }
    assert.deepEqual(verdict.faults, [], `${verdict.state}\n${said.slice(-40).join("\n")}`);
    assert.ok(verdict.arrived > 1_000 && verdict.doubled + verdict.lost === 0, JSON.stringify(verdict));
    console.log(
      `${
        CASES.reduce((sum, { count }) => sum + count, 0)
      } system calls failed; on disk ${verdict.durable}, arrived ${verdict.arrived}, ` +
        `refused ${verdict.told}, all told`,
    );
  },
});
