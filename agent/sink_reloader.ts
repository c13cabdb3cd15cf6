/**
 * Reads the configuration again for its sinks, when somebody asks by SIGHUP or by a request.
 *
 * Of the configuration nothing else is taken: what else differs takes effect at the next start, and is named. One that
 * cannot be read, is not right or names sinks that cannot be used changes nothing, and what is wrong is said. What a
 * change made of alerts that were owed is said, and told to the audit ledger.
 *
 * @module
 */
import type { Settings } from "../proto/config.ts";
import type { SettingValue } from "../proto/setting_values.ts";
import { type SinkChanges, type SinkSet, SinksRefusedError } from "./alerts/sink_set.ts";
import type { Journal } from "./journal.ts";
import type { LowerLayers } from "./requests/asked_settings.ts";
import { noteSettings, noteSuppressed } from "./self_notes.ts";
import type { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";

/** What the sinks are made of. */
const SINK_SETTINGS: readonly string[] = ["agent.sinks", "agent.alert_file", "agent.stdout"];

export interface SinkReloaderOptions {
  /** The configuration as it is now, but for what requests changed. @throws ConfigError */
  readonly read: () => Settings;
  /** The settings below those of requests that the agent runs by. Those of sinks follow what is loaded. */
  readonly lower: { -readonly [K in keyof LowerLayers]: LowerLayers[K] };
  readonly sinks: SinkSet;
  readonly store: () => Store | null;
  readonly journal: Journal;
  /** Settings with those of requests, for the ledger. */
  readonly effective: () => ReadonlyMap<string, SettingValue>;
  readonly failed: (store: Store, error: StoreError) => void;
}

/** What became of it, for people. `isTaken` is false when all sinks are as before. */
export interface SinkReload {
  readonly isTaken: boolean;
  readonly text: string;
}

export class SinkReloader {
  readonly #options: SinkReloaderOptions;

  constructor(options: SinkReloaderOptions) {
    this.#options = options;
  }

  async reload(): Promise<SinkReload> {
    const { read, lower, sinks, store, journal } = this.#options;
    try {
      const settings = read(), changes = await sinks.replace(settings.agent.sinks);
      const others = differing(lower.values, settings.values);
      lower.values = merged(lower.values, settings.values);
      lower.origins = merged(lower.origins, settings.origins);
      this.#note();
      tellOrphaned(store(), changes.orphaned, journal);
      const text = wordsOf(changes, others);
      journal.say(`sinks loaded again: ${text}`);
      return { isTaken: true, text };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const mend = error instanceof SinksRefusedError ? "" : "; mend it, and ask again";
      const text = `The sinks stay as they are: ${why}${mend}`;
      journal.notice(text);
      return { isTaken: false, text };
    }
  }

  /** What {@linkcode reload} would do, or why it would not; nothing is changed. */
  check(): SinkReload {
    const { read, lower, sinks } = this.#options;
    try {
      const settings = read(), changes = sinks.preview(settings.agent.sinks);
      const text = wordsOf({ ...changes, orphaned: [] }, differing(lower.values, settings.values));
      return { isTaken: true, text };
    } catch (error) {
      return { isTaken: false, text: error instanceof Error ? error.message : String(error) };
    }
  }

  /** What the ledger has of the settings is renewed. */
  #note(): void {
    const { store, effective, failed } = this.#options, open = store();
    if (open === null) return; // it is when the store is there again
    try {
      noteSettings(open, effective());
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      failed(open, error);
    }
  }
}

/** Says what was owed to sinks that are gone, to operators and to the ledger. */
export function tellOrphaned(store: Store | null, orphaned: SinkChanges["orphaned"], journal: Journal): void {
  const now = Date.now();
  for (const { sink, count } of orphaned) {
    journal.notice(`${count} alerts are owed to ${sink}, which is not configured: dead letters until it is again`);
    noteSuppressed(store, `alerts owed to the sink ${sink}, which is not configured: dead letters`, count, now, now);
  }
}

/** Settings of the agent that are others in the configuration, and not loaded by this. */
function differing(
  before: ReadonlyMap<string, SettingValue>,
  now: ReadonlyMap<string, SettingValue>,
): string[] {
  return [...now.keys()].filter((key) =>
    !SINK_SETTINGS.includes(key) && !key.startsWith("collector.") &&
    JSON.stringify(now.get(key)) !== JSON.stringify(before.get(key))
  );
}

function merged<T>(before: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return new Map([...before].map(([key, value]) => [key, SINK_SETTINGS.includes(key) ? now.get(key)! : value]));
}

function wordsOf({ added, changed, removed, orphaned }: SinkChanges, others: readonly string[]): string {
  const steps = [["added", added], ["changed", changed], ["removed", removed]] as const;
  const words = steps.filter(([, names]) => names.length > 0).map(([what, names]) => `${what} ${names.join(", ")}`);
  const dead = orphaned.map(({ sink, count }) => `${count} alerts owed to ${sink} are dead letters`);
  const later = others.length === 0 ? [] : [`${others.join(", ")} changed too, which takes a new start`];
  return [...words.length === 0 ? ["nothing has changed"] : words, ...dead, ...later].join("; ");
}
