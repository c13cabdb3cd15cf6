/**
 * Arguments of many processes from `/proc/PID/cmdline`, read beside this thread and within a time.
 *
 * Whoever reads another process' memory can be made to wait: for a page that a hostile file system backs, or behind a
 * thread of that process that changes its address space. So every read runs on a thread of the pool, and what is not
 * there in time is left out. A read that hangs costs one such thread until the process lets go; only few may hang.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { AT_FDCWD, copyFrom, cString, libc, NativeArena, O_CLOEXEC, O_RDONLY } from "./libc.ts";

/** Reads under way at once, and so the most threads that one call can leave hanging. */
const LANES = 8;
/** With so many reads hanging from earlier calls no new ones are begun. */
const MAX_HANGING = 16;

export class ArgumentReader {
  #underWay = 0;

  /**
   * The arguments of each process, at most {@linkcode MAX_ARGV_BYTES}. A process is missing that is gone, that has none,
   * that may not be read, or that did not answer within `deadlineMs` in all.
   */
  async read(pids: readonly number[], deadlineMs: number): Promise<Map<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    if (this.#underWay >= MAX_HANGING) return found;
    const queue = pids.values();
    let late = false;
    const lane = async (): Promise<void> => {
      const arena = new NativeArena(MAX_ARGV_BYTES);
      this.#underWay++;
      try {
        for (const pid of queue) {
          const argv = await readOne(pid, arena);
          if (late) return;
          if (argv !== null) found.set(pid, argv);
        }
      } finally {
        this.#underWay--;
        arena.release();
      }
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([Promise.all(Array.from({ length: LANES }, lane)), deadline]);
    clearTimeout(timer);
    late = true;
    return found;
  }
}

async function readOne(pid: number, arena: NativeArena): Promise<Uint8Array | null> {
  // Opening looks at nothing that could make it wait.
  const fd = libc.openat(AT_FDCWD, cString(`/proc/${pid}/cmdline`), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return null;
  try {
    const got = await libc.readAsync(fd, arena.address, BigInt(arena.bytes));
    if (got <= 0) return null;
    const argv = new Uint8Array(got);
    copyFrom(arena.address, argv);
    return argv;
  } finally {
    libc.close(fd);
  }
}
