/**
 * Settings that the agent may change while the collector runs: few, numbers all, within what is written here.
 *
 * The agent is not trusted: nothing that decides about privileges, redaction, the log or the ledger is here, and no value
 * makes the collector blind. An update changes what it names and nothing else; all of it is checked before any of it is
 * done, and when a part fails, what it had done is taken back. Each update has a version and is entered into the ledger.
 * The next start has the configured values again.
 *
 * @module
 */
import { type Answer, type ConfigUpdate, failure, success } from "../../proto/bus/rpc.ts";
import { DEFINITIONS } from "../../proto/setting_definitions.ts";

/** A setting that can be changed, with bounds narrower than its own where a hostile agent could do harm. */
export interface LiveSetting {
  readonly max?: number;
  readonly get: () => number;
  /** @throws and then nothing has changed */
  readonly set: (value: number) => void;
}

export interface LiveSettingsOptions {
  readonly settings: Readonly<Record<string, LiveSetting>>;
  /** Called with the values that are other than before, after they hold. */
  readonly changed: (changes: Readonly<Record<string, number>>) => void;
  /** A clock that does not jump, in milliseconds. */
  readonly clock?: () => number;
}

/** Between two updates: each is an entry of the ledger. */
const PAUSE_MS = 1_000;

export class LiveSettings {
  readonly #options: LiveSettingsOptions;
  readonly #clock: () => number;
  #version = 1;
  #changedAt = -Infinity;

  constructor(options: LiveSettingsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  get version(): number {
    return this.#version;
  }

  update({ expectedVersion, validateOnly, changes }: ConfigUpdate): Answer {
    if (expectedVersion !== 0 && expectedVersion !== this.#version) {
      const text = `The settings have version ${this.#version}, not ${expectedVersion}; look at them and ask again`;
      return failure("configuration", "OTHER_VERSION", text);
    }
    const wanted = new Map<string, number>();
    for (const [name, text] of Object.entries(changes)) {
      const value = this.#check(name, text);
      if (typeof value === "string") return failure("configuration", "NOT_A_SETTING", value);
      if (value !== this.#options.settings[name]!.get()) wanted.set(name, value);
    }
    if (validateOnly || wanted.size === 0) return this.#answer([...wanted.keys()]);
    const now = this.#clock();
    if (now - this.#changedAt < PAUSE_MS) {
      return failure("resource", "TOO_OFTEN", "Settings change at most once a second; ask again");
    }
    const fault = this.#apply(wanted);
    if (fault !== null) return failure("internal", "ROLLED_BACK", `Nothing was changed: ${fault}`);
    this.#version++;
    this.#changedAt = now;
    this.#options.changed(Object.fromEntries(wanted));
    return this.#answer([...wanted.keys()]);
  }

  /** All of it or nothing; returns why nothing. */
  #apply(wanted: ReadonlyMap<string, number>): string | null {
    const { settings } = this.#options, before: [LiveSetting, number][] = [];
    for (const [name, value] of wanted) {
      const setting = settings[name]!, old = setting.get();
      try {
        setting.set(value);
        before.push([setting, old]);
      } catch (error) {
        for (const [each, value] of before.reverse()) each.set(value);
        return `${name}: ${error instanceof Error ? error.message : error}`;
      }
    }
    return null;
  }

  /** The value, or why it is none. */
  #check(name: string, text: string): number | string {
    const { settings } = this.#options;
    if (!Object.hasOwn(settings, name)) {
      return `${printable(name)} cannot be changed while the collector runs; these can: ${
        Object.keys(settings).join(", ")
      }`;
    }
    const definition = DEFINITIONS[name]!, value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
    if (definition.kind !== "integer") return `${name} is no number`;
    const { min, unit } = definition, max = Math.min(definition.max, settings[name]!.max ?? Infinity);
    if (value >= min && value <= max) return value;
    return `${name} must be ${min} to ${max} ${unit}, got ${printable(text)}`;
  }

  #answer(changed: readonly string[]): Answer {
    const values = Object.entries(this.#options.settings).map(([name, setting]) => [name, String(setting.get())]);
    return success({ kind: "config", version: this.#version, values: Object.fromEntries(values), changed });
  }
}

/** What a peer wrote, short and without anything but letters. */
function printable(text: string): string {
  return text.slice(0, 64).replace(/[^!-~]/g, "?");
}
