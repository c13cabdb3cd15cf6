/**
 * Settings that operators changed while the agent ran: a closed list, as a layer above all others.
 *
 * A change names settings and changes those alone. It is applied, then kept; when either fails, what was applied is
 * taken back, and nothing has changed. Each change is a version, and going back to one is a version too. A value that is
 * in no range any more, after an update of the program, does not count at the next start, and the agent says so.
 *
 * @module
 */
import type { AskedValue } from "../../proto/config.ts";
import { checkedValue, ConfigError, type SettingValue } from "../../proto/setting_values.ts";
import type { Journal } from "../journal.ts";
import { checkedMembers, readAsked, writeAsked } from "./asked_file.ts";
import { type Actor, actorWords, FailedError, RefusedError } from "./operation.ts";

/** What may change while the agent runs. Nothing of what decides who may do what, or what is recorded of them. */
export const RUNTIME_SETTINGS = [
  "agent.retention_hours",
  "agent.alert_retention_hours",
  "agent.store_max_bytes",
  "agent.max_connections",
  "agent.idle_timeout_ms",
] as const;
export type RuntimeSetting = typeof RUNTIME_SETTINGS[number];

/** How a value takes effect; each throws when it cannot, and then has changed nothing. */
export type Appliers = { readonly [S in RuntimeSetting]: (value: number) => void };

/** Versions that are remembered. */
const MAX_VERSIONS = 32;
const FORM = 1;

interface Kept {
  readonly value: number;
  readonly by: string;
  readonly time: number;
}
type Values = ReadonlyMap<RuntimeSetting, Kept>;

interface Version {
  readonly number: number;
  readonly by: string;
  readonly time: number;
  readonly values: Values;
}

/** A setting as it is now, and where its value comes from. */
export interface SettingNow {
  readonly key: string;
  readonly value: SettingValue;
  readonly origin: string;
  /** Whether a request may change it. */
  readonly runtime: boolean;
}

/** What lies below this layer. */
export interface LowerLayers {
  readonly values: ReadonlyMap<string, SettingValue>;
  readonly origins: ReadonlyMap<string, string>;
}

export class AskedSettings {
  readonly #path: string;
  /** Oldest first; the last one counts. */
  #versions: readonly Version[];

  /** Reads what was asked for before. */
  constructor(path: string, journal: Journal) {
    this.#path = path;
    this.#versions = readAsked(path, versionsOf, journal) ?? [];
    for (const [key, { value }] of this.#values) {
      try {
        checkedValue(key, value, path);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        journal.notice(`what operators asked for does not count any more: ${error.message}`);
        this.#versions = this.#versions.map((version) => ({ ...version, values: without(version.values, key) }));
      }
    }
  }

  /** The number of the last change; 0 before the first. */
  get version(): number {
    return this.#versions.at(-1)?.number ?? 0;
  }

  get #values(): Values {
    return this.#versions.at(-1)?.values ?? new Map();
  }

  /** The layer, for `loadSettings()`. */
  layer(): AskedValue[] {
    return [...this.#values].map(([key, { value, ...who }]) => ({ key, value, origin: originOf(who) }));
  }

  /** Every setting of the agent as it is now. */
  now(lower: LowerLayers): SettingNow[] {
    const keys = [...lower.values.keys()].filter((key) => !key.startsWith("collector."));
    return keys.map((key): SettingNow => {
      const kept = isRuntime(key) ? this.#values.get(key) : undefined;
      const value = kept?.value ?? lower.values.get(key)!, origin = kept === undefined ? lower.origins.get(key)! : "";
      return { key, value, origin: kept === undefined ? origin : originOf(kept), runtime: isRuntime(key) };
    });
  }

  /** All values with this layer on top. */
  effective(lower: LowerLayers): ReadonlyMap<string, SettingValue> {
    return new Map([...lower.values, ...[...this.#values].map(([key, { value }]) => [key, value] as const)]);
  }

  /** Changes what the assignments (`KEY=VALUE`) name. @throws RefusedError, FailedError */
  set(assignments: readonly string[], actor: Actor, lower: LowerLayers, appliers: Appliers): string {
    const by = actorWords(actor), time = Date.now(), changes = new Map<RuntimeSetting, Kept>();
    for (const assignment of assignments) {
      const at = assignment.indexOf("="), key = assignment.slice(0, Math.max(0, at));
      if (!isRuntime(key)) {
        throw new RefusedError(
          `${JSON.stringify(assignment)} is not KEY=VALUE of what may change while the agent runs: ` +
            `${RUNTIME_SETTINGS.join(", ")}; write others in the configuration file`,
        );
      }
      if (changes.has(key)) throw new RefusedError(`${key} is set twice; say one value`);
      try {
        changes.set(key, { value: checkedValue(key, assignment.slice(at + 1), "the request") as number, by, time });
      } catch (cause) {
        throw new RefusedError(cause instanceof Error ? cause.message : String(cause), { cause });
      }
    }
    const number = this.#become(new Map([...this.#values, ...changes]), { by, time }, lower, appliers);
    return `Version ${number}: ${[...changes].map(([key, { value }]) => `${key} is ${value}`).join(", ")}`;
  }

  /** Goes back to a version; to the one before where none is named. @throws RefusedError, FailedError */
  revert(to: number | null, actor: Actor, lower: LowerLayers, appliers: Appliers): string {
    if (this.#versions.length === 0) throw new RefusedError("No request has changed a setting");
    const wanted = to ?? this.#versions.at(-2)?.number ?? 0;
    const found = this.#versions.find((version) => version.number === wanted);
    if (found === undefined && wanted !== 0) {
      const known = [0, ...this.#versions.map((version) => version.number)].join(", ");
      throw new RefusedError(`There is no version ${wanted}; there are ${known}`);
    }
    const who = { by: actorWords(actor), time: Date.now() };
    const number = this.#become(found?.values ?? new Map(), who, lower, appliers);
    const values = [...this.#values].map(([key, { value }]) => `${key} is ${value}`);
    const what = values.length === 0 ? "what files and flags say" : values.join(", ");
    return `Version ${number}, which is version ${wanted} again: ${what}`;
  }

  /** Applies and keeps `next`, or leaves everything as it was. */
  #become(
    next: Values,
    who: { readonly by: string; readonly time: number },
    lower: LowerLayers,
    appliers: Appliers,
  ): number {
    const valueIn = (values: Values, key: RuntimeSetting): number => {
      return values.get(key)?.value ?? lower.values.get(key) as number;
    };
    const before = this.#values, applied: RuntimeSetting[] = [];
    const versions = [...this.#versions, { number: this.version + 1, ...who, values: next }].slice(-MAX_VERSIONS);
    try {
      for (const key of RUNTIME_SETTINGS) {
        if (valueIn(before, key) === valueIn(next, key)) continue;
        appliers[key](valueIn(next, key));
        applied.push(key);
      }
      writeAsked(this.#path, { version: FORM, versions: versions.map(versionText) });
    } catch (cause) {
      for (const key of applied.reverse()) appliers[key](valueIn(before, key));
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new FailedError(`It could not be done, and all settings are as before: ${why}`, { cause });
    }
    this.#versions = versions;
    return this.version;
  }
}

function isRuntime(key: string): key is RuntimeSetting {
  return (RUNTIME_SETTINGS as readonly string[]).includes(key);
}

function originOf({ by, time }: { readonly by: string; readonly time: number }): string {
  return `request of ${by} at ${new Date(time).toISOString()}`;
}

function without(values: Values, key: RuntimeSetting): Values {
  return new Map([...values].filter(([each]) => each !== key));
}

function versionText({ values, ...rest }: Version): Record<string, unknown> {
  return { ...rest, values: Object.fromEntries(values) };
}

/** @throws TypeError */
function versionsOf(json: unknown): Version[] {
  const { version, versions } = checkedMembers<{ version: number; versions: object }>(
    json,
    { version: "number", versions: "object" },
    "it",
  );
  if (version !== FORM) throw new TypeError(`it is of form ${version}, and form ${FORM} is known here`);
  if (!Array.isArray(versions)) throw new TypeError("its versions are no list");
  return versions.map((each, at): Version => {
    const types = { number: "number", by: "string", time: "number", values: "object" };
    const { values, ...rest } = checkedMembers<Omit<Version, "values"> & { values: object }>(
      each,
      types,
      `number ${at}`,
    );
    const kept = Object.entries(values).map(([key, value]): [RuntimeSetting, Kept] => {
      if (!isRuntime(key)) throw new TypeError(`${key} is no setting that a request may change`);
      return [key, checkedMembers<Kept>(value, { value: "number", by: "string", time: "number" }, key)];
    });
    return { ...rest, values: new Map(kept) };
  });
}
