/**
 * Keeps the file of remembered hashes up to date: some time after each change, so that its event is always on its way
 * first, and when the collector stops.
 *
 * @module
 */
import type { HashBook } from "./hash_book.ts";
import { HashMemoryFile, type HashRecord, readHashMemory } from "./hash_memory.ts";
import type { PackageManagers } from "./package_managers.ts";

export class HashKeeper {
  readonly #path: string;
  readonly #file: HashMemoryFile;
  readonly #book: Pick<HashBook, "restore" | "remembered" | "takeNews">;
  readonly #managers: PackageManagers;
  readonly #notice: (text: string) => void;
  #runsKept = 0;
  #fault = "";

  constructor(
    path: string,
    book: Pick<HashBook, "restore" | "remembered" | "takeNews">,
    managers: PackageManagers,
    notice: (text: string) => void,
  ) {
    this.#path = path;
    this.#file = new HashMemoryFile(path);
    this.#book = book;
    this.#managers = managers;
    this.#notice = notice;
  }

  /** Reads what an earlier run left. Nothing that is wrong with it keeps this run from working. */
  restore(): void {
    try {
      const records = readHashMemory(this.#path);
      this.#book.restore(records);
      this.#managers.restore(records.flatMap((record) => record.kind === "manager" ? [record.run] : []));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#fault = `what paths brought before this start cannot be used, changes since are not told: ${why}`;
    }
  }

  begin(): void {
    if (this.#fault !== "") this.#notice(this.#fault);
  }

  /** Writes what is new: about once a second. A file that cannot be written is noticed once; the next change tries again. */
  keep(): void {
    const news = this.#book.takeNews(), runs = this.#managers.endedCount - this.#runsKept;
    if (news.length === 0 && runs === 0) return;
    this.#runsKept += runs;
    const records = (last: number): HashRecord[] => {
      const known = this.#managers.runs();
      return known.slice(Math.max(0, known.length - last)).map((run) => ({ kind: "manager", run }));
    };
    try {
      if (this.#file.isDue) this.#file.replace([...records(Infinity), ...this.#book.remembered()]);
      else this.#file.append([...records(runs), ...news]);
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#fault) this.#notice(`hashes cannot be remembered beyond this run: ${fault}`);
      this.#fault = fault;
    }
  }

  end(): void {
    this.#managers.endAll(Date.now());
    this.keep();
    this.#file.close();
  }
}
