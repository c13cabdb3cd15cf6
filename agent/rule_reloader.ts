/**
 * Loads the rules when the agent starts, and again when their files change or somebody asks by SIGHUP.
 *
 * Changes are told by the kernel (inotify); a look every half a minute finds what it did not tell, such as a directory
 * that came back. Nothing is loaded before the files have been quiet for a moment, so that half of what is being copied
 * is not taken for all of it. Loading takes turns with the events, and the new rules take the place of the old ones
 * between two batches. Whatever goes wrong, the rules that judge now go on. What takes long says how far it is.
 *
 * @module
 */
import { every, type Repeated } from "./beat.ts";
import type { Detection } from "./detection.ts";
import type { Journal } from "./journal.ts";
import type { PreparedRules } from "./prepared_rules.ts";
import { words } from "./rule_directories.ts";
import type { RulesLoader } from "./rules_loader.ts";
import type { LoadedRules } from "./loaded_rules.ts";
import type { Store } from "./store/store.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import { Turn } from "./turn.ts";

/** Work between two looks for events. */
export const SLICE_MS = 5;
/** The same while there is nothing to judge by, and so no event is taken. */
const FIRST_SLICE_MS = 15;
/** What takes longer says how far it is, again and again after so long. */
const TELL_MS = 1_000;
/** So long nothing may change before the files are read; what never rests is read after the longer time. */
const QUIET_MS = 250, PATIENCE_MS = 5_000;
const POLL_MS = 30_000;

export interface ReloaderOptions {
  readonly directories: readonly string[];
  readonly loader: RulesLoader;
  readonly detection: Detection;
  /** In which batches are judged and stored. */
  readonly turn: Turn;
  /** What windows are filled from; `null` while there is none. */
  readonly store: () => Store | null;
  /** Has stored what was judged and waits for it. @throws StoreError */
  readonly settle?: () => void;
  readonly journal: Journal;
  /** How far a load is that takes long, for people. */
  readonly progress?: (text: string) => void;
  /** Milliseconds after which that is told, again and again. */
  readonly tellMs?: number;
  readonly quietMs?: number;
  readonly pollMs?: number;
}

export class RuleReloader {
  readonly #options: ReloaderOptions;
  readonly #watchers = new Map<string, { readonly inode: number | null; readonly watcher: Deno.FsWatcher }>();
  #looks: Repeated | null = null;
  /** What the rules that judge now were made of; `null` while there are none. */
  #loaded: string | null;
  /** In which rules are loaded: who asks for them again while they are loaded for the first time waits. */
  readonly #loads = new Turn();
  #running: Promise<void> | null = null;
  #asked = false;
  #forced = false;
  #stopped = false;
  #refused = "";
  /** How often rules were loaded again. */
  reloads = 0;
  /** The longest time of one slice of work of the last reload, in milliseconds. */
  longestSliceMs = 0;

  /** When the load began that is under way, and when it is told of next, on the clock of `performance.now()`. */
  #began = 0;
  #tellAt = 0;

  /** What the loader loaded last is what judges now. */
  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#loaded = options.loader.seen;
  }

  /**
   * Loads the rules for the first time. Resolves when they judge. @throws whatever keeps them from being loaded, also that
   * it was told to stop
   */
  async first(): Promise<LoadedRules> {
    return await this.#loads.run(async () => {
      const loaded = await this.#load(FIRST_SLICE_MS);
      this.#loaded = this.#options.loader.seen;
      return loaded;
    });
  }

  /** From now on looks for changes. */
  begin(): void {
    this.#watch();
    this.#looks = every(this.#options.pollMs ?? POLL_MS, () => {
      this.#watch();
      this.#ask();
    });
  }

  /** Loads all rules again, whether they changed or not. Resolves when the new ones judge. */
  reload(): Promise<void> {
    this.#forced = true;
    return this.#ask();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#looks?.stop();
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.#running;
  }

  #ask(): Promise<void> {
    this.#asked = true;
    return this.#running ??= this.#run().finally(() => this.#running = null);
  }

  async #run(): Promise<void> {
    while (this.#asked && !this.#stopped) {
      this.#asked = false;
      const forced = this.#forced;
      this.#forced = false;
      try {
        const fingerprint = await this.#quiet();
        if (this.#stopped || (fingerprint === this.#loaded && !forced)) continue;
        await this.#loads.run(() => this.#again(fingerprint));
      } catch (error) {
        if (this.#stopped) return;
        this.#options.journal.notice(`the rules are not loaded again, and stay as they are: ${words(error)}`);
      }
    }
  }

  async #again(fingerprint: string): Promise<void> {
    const { active } = this.#options.detection.loaded, before = new Map(active.map((rule) => [rule.id, rule]));
    const loaded = await this.#load(SLICE_MS);
    this.#loaded = fingerprint;
    this.#tell(before, loaded);
  }

  /** What the files are once they rest. */
  async #quiet(): Promise<string> {
    const { loader, quietMs = QUIET_MS } = this.#options, end = performance.now() + PATIENCE_MS;
    let before = await this.#sliced(loader.fingerprinting());
    for (;;) {
      await pause(quietMs);
      const now = await this.#sliced(loader.fingerprinting());
      if (now === before || this.#stopped || performance.now() > end) return now;
      before = now;
    }
  }

  async #load(sliceMs: number): Promise<LoadedRules> {
    const { loader, detection, turn } = this.#options;
    this.longestSliceMs = 0;
    this.#began = performance.now();
    this.#tellAt = this.#began + (this.#options.tellMs ?? TELL_MS);
    const loaded = await this.#sliced(loader.load(), sliceMs, () => {
      const { done, of } = loader.progress;
      return `${done} of ${of} rule files are read`;
    });
    const prepared = await this.#sliced(
      detection.prepare(loaded),
      sliceMs,
      () => `${loaded.active.length} rules are read and made ready`,
    );
    await turn.run(() => this.#take(prepared));
    return loaded;
  }

  #tell(before: ReadonlyMap<string, ValidatedRule>, loaded: LoadedRules): void {
    const { journal } = this.#options;
    this.reloads += 1;
    journal.say(`rules loaded again: ${changeWords(before, loaded)}`);
    for (const notice of loaded.notices) journal.notice(notice);
    this.#tellFaults(loaded);
  }

  /** In a turn of its own: no batch sees half of it, and none is judged and not stored. */
  async #take(prepared: PreparedRules): Promise<void> {
    const { detection, store, settle } = this.#options;
    try {
      settle?.();
      await this.#sliced(detection.refill(prepared, store(), Date.now()));
    } catch (error) {
      prepared.close();
      throw error;
    }
    const began = performance.now();
    detection.swap(prepared);
    this.longestSliceMs = Math.max(this.longestSliceMs, performance.now() - began);
  }

  /** The faults, unless they are those that were told last. */
  #tellFaults({ others, remarks }: LoadedRules): void {
    const faults = [
      ...others.filter((rule) => rule.state === "rejected").map((r) => `${placed(r.file, r)}: ${r.reason}`),
      ...[...remarks].map(([id, remark]) => `${placed(id, remark)}: ${remark.reason}`),
    ];
    const text = faults.join("\n");
    if (text !== this.#refused) { for (const fault of faults) this.#options.journal.notice(`rule ${fault}`); }
    this.#refused = text;
  }

  /** Does all steps, with room for other work after each slice of them. */
  async #sliced<T>(
    steps: Generator<void, T>,
    sliceMs = SLICE_MS,
    progress: (() => string) | null = null,
  ): Promise<T> {
    for (;;) {
      const began = performance.now();
      let elapsed = 0;
      do {
        if (this.#stopped) {
          steps.return(undefined as T);
          throw new DOMException("Rules are not loaded any more: the agent stops", "AbortError");
        }
        const { done, value } = steps.next();
        elapsed = performance.now() - began;
        if (elapsed > this.longestSliceMs) this.longestSliceMs = elapsed;
        if (done) return value;
      } while (elapsed < sliceMs);
      if (progress !== null && began + elapsed > this.#tellAt) this.#tellOf(progress());
      await pause(0);
    }
  }

  #tellOf(text: string): void {
    const now = performance.now(), { journal, progress, tellMs = TELL_MS } = this.#options;
    this.#tellAt = now + tellMs;
    journal.say(`loading rules: ${text}, after ${Math.round((now - this.#began) / 1_000)} s`);
    progress?.(text);
  }

  /** Watches every directory that is there, and one anew that is another than before. */
  #watch(): void {
    for (const directory of this.#options.directories) {
      const inode = inodeOf(directory), watched = this.#watchers.get(directory);
      if (inode === watched?.inode) continue;
      watched?.watcher.close();
      this.#watchers.delete(directory);
      if (inode === null) continue;
      try {
        const watcher = Deno.watchFs(directory, { recursive: true });
        this.#watchers.set(directory, { inode, watcher });
        void this.#follow(watcher);
      } catch (error) {
        // No inotify to be had: what changes is found by the next look
        this.#options.journal.notice(`changes in ${directory} are found late: ${words(error)}`);
        this.#watchers.set(directory, { inode, watcher: { close: () => {} } as Deno.FsWatcher });
      }
    }
  }

  async #follow(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const event of watcher) if (event.kind !== "access") void this.#ask();
    } catch (error) {
      if (!this.#stopped) this.#options.journal.notice(`rule files are no longer watched: ${words(error)}`);
    }
  }
}

function inodeOf(directory: string): number | null {
  try {
    return Deno.statSync(directory).ino;
  } catch {
    return null;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function placed(what: string, { line, column }: { line: number | null; column: number | null }): string {
  return line === null ? what : `${what}:${line}:${column}`;
}

function changeWords(old: ReadonlyMap<string, ValidatedRule>, after: LoadedRules): string {
  const added = after.active.filter(({ id }) => !old.has(id)).length;
  const changed = after.active.filter((rule) => old.has(rule.id) && old.get(rule.id) !== rule).length;
  const removed = old.size + added - after.active.length;
  const rejected = after.others.filter((rule) => rule.state === "rejected").length;
  return `${after.active.length} judge, ${added} added, ${changed} changed, ${removed} removed, ${rejected} rejected`;
}
