/**
 * What rules ask to be collected, held against what root's configuration allows: the one place where that is decided.
 *
 * The agent is not trusted with it: it may name variables and ask for hashes, and gets of that what `collector.hashing`
 * and `collector.environment_on_demand` allow, refusals in words. What it asks for replaces what it asked for before and
 * stays when it goes, so that an agent that starts anew misses nothing; a file keeps it for the next start of the
 * collector, which holds it against the limits of then. A file that cannot be read or written is noticed, and the agent
 * asks again when it connects.
 *
 * Each change is entered into the audit ledger, one entry every ten seconds at most, which counts those in between and
 * names what was given meanwhile: nobody asks for something for a moment and leaves no trace. What changes faster than
 * one entry can tell is not taken until it is entered.
 *
 * @module
 */
import {
  type AttributeStanding,
  checkDemand,
  type Demand,
  ENVIRONMENT,
  HASHES,
  isListed,
  MAX_DEMANDED_VARIABLES,
  nameList,
  NO_DEMAND,
  variableAttribute,
} from "../proto/demand.ts";
import type { Statements } from "../proto/ledger/statement.ts";

/** The least time between two entries: an agent that has nothing but bad in mind changes its demand all the time. */
const SAY_MS = 10_000;
const MAX_FILE_BYTES = 65_536;
/** Attributes that one entry names as given meanwhile: a whole demand, and no more than fits its payload. */
const MAX_PASSING = MAX_DEMANDED_VARIABLES + 1;

export interface DemandLimits {
  readonly hashing: "on" | "on-demand" | "off";
  /** Names of variables that are captured always, and of those that rules may ask for; each may end with a star. */
  readonly environment: readonly string[];
  readonly environmentOnDemand: readonly string[];
}

export interface DemandOptions {
  readonly limits: DemandLimits;
  /** Columns that the source can never fill. */
  readonly unknownColumns: () => readonly string[];
  /** From now on these variables are captured, beside those that are always. */
  readonly captureVariables: (names: readonly string[]) => void;
  /** From now on executables are hashed, or are not. */
  readonly hash: (isWanted: boolean) => void;
  readonly file: string;
  readonly changed: (statement: Statements["demandChanged"]) => void;
  readonly notice: (text: string) => void;
  /** Unix milliseconds, and a clock that does not jump. */
  readonly now?: () => number;
  readonly clock?: () => number;
}

export class DemandKeeper {
  readonly #options: DemandOptions;
  readonly #now: () => number;
  readonly #clock: () => number;
  #demand: Demand = NO_DEMAND;
  /** Of what is collected on demand, since when. */
  #since = new Map<string, number>();
  /** What was said last, and when, on the clock; how often it has changed since, and what was given in between. */
  #said = wordsOf([]);
  #saidAt = -Infinity;
  #changes = 0;
  readonly #passing = new Set<string>();
  /** Whether the file is behind. */
  #isNew = false;
  #fault = "";

  constructor(options: DemandOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#clock = options.clock ?? (() => performance.now());
    this.#apply();
  }

  /** Takes over what the last run was asked for, as far as the limits of now allow it. */
  restore(): void {
    const { file, notice } = this.#options;
    try {
      const kept = readKept(file);
      if (kept === null) return;
      this.#demand = kept.demand;
      this.#since = kept.since;
      this.#apply();
      if (wordsOf(this.#demanded()) !== this.#said) this.#changes = 1;
    } catch (error) {
      notice(
        `what rules asked for in the last run cannot be read (${words(error)}); the agent says it when it connects`,
      );
    }
  }

  /** Takes what the rules of the agent need now. Returns what becomes of each part of it, `null` when it comes too fast. */
  receive(demand: Demand): AttributeStanding[] | null {
    if (!isSame(demand, this.#demand)) {
      const names = new Set(demand.variables.map(variableAttribute));
      if (demand.hashes) names.add(HASHES);
      const gone = [...this.#since.keys()].filter((attribute) => !names.has(attribute));
      if (new Set([...this.#passing, ...gone]).size > MAX_PASSING) return null;
      this.#demand = demand;
      this.#apply();
      this.#changes++;
      this.#isNew = true;
    }
    return this.#demanded();
  }

  /** What is collected of all that costs something, and why, for the status. */
  standings(): AttributeStanding[] {
    const { environment } = this.#options.limits;
    const always = environment.length === 0
      ? standing(ENVIRONMENT, "off", "collector.environment names no variable")
      : this.#unreadable(ENVIRONMENT) ?? standing(ENVIRONMENT, "configured", nameList(environment));
    return [this.#ofHashes(), always, ...this.#demand.variables.map((name) => this.#ofVariable(name))];
  }

  /** What time asks for, once a second. */
  tick(): void {
    if (this.#isNew) this.#keep();
    const now = this.#clock();
    if (this.#changes === 0 || now - this.#saidAt < SAY_MS) return;
    const standings = this.#demanded(), said = wordsOf(standings);
    const [given, refused] = [true, false].map((wanted) =>
      standings.filter(({ state }) => (state === "configured" || state === "demanded") === wanted)
        .map(({ attribute }) => attribute)
    ) as [string[], string[]];
    const passing = [...this.#passing].filter((attribute) => !this.#since.has(attribute));
    this.#options.changed({
      given,
      refused,
      passing,
      changes: this.#changes,
      time: Math.max(0, Math.floor(this.#now())),
    });
    if (said !== this.#said) this.#options.notice(said);
    this.#said = said;
    this.#saidAt = now;
    this.#changes = 0;
    this.#passing.clear();
  }

  /** Writes what is not written yet. */
  close(): void {
    if (this.#isNew) this.#keep();
  }

  /** What becomes of each attribute that is demanded. */
  #demanded(): AttributeStanding[] {
    const { hashes, variables } = this.#demand;
    return [...hashes ? [this.#ofHashes()] : [], ...variables.map((name) => this.#ofVariable(name))];
  }

  #ofHashes(): AttributeStanding {
    const isDemanded = this.#demand.hashes;
    switch (this.#options.limits.hashing) {
      case "on":
        return standing(HASHES, "configured", "collector.hashing is on");
      case "on-demand":
        return isDemanded
          ? standing(HASHES, "demanded", "rules read it", this.#since.get(HASHES))
          : standing(HASHES, "on-demand", "no rule reads it");
      case "off":
        return isDemanded
          ? standing(HASHES, "refused", "collector.hashing is off; set it to on or on-demand")
          : standing(HASHES, "off", "collector.hashing is off");
    }
  }

  #ofVariable(name: string): AttributeStanding {
    const attribute = variableAttribute(name), { environment, environmentOnDemand } = this.#options.limits;
    const unreadable = this.#unreadable(attribute);
    if (unreadable !== null) return unreadable;
    if (isListed(name, environment)) return standing(attribute, "configured", "collector.environment names it");
    if (isListed(name, environmentOnDemand)) {
      return standing(attribute, "demanded", "rules read it", this.#since.get(attribute));
    }
    const reason = "collector.environment_on_demand does not name it; add it there, or to collector.environment";
    return standing(attribute, "refused", reason);
  }

  #unreadable(attribute: string): AttributeStanding | null {
    if (!this.#options.unknownColumns().includes("environment")) return null;
    return standing(attribute, "unavailable", "the event source cannot read environments");
  }

  /** Has collected what is given of the demand, and notes since when. */
  #apply(): void {
    const { limits, captureVariables, hash } = this.#options;
    const given = this.#demanded().filter(({ state }) => state === "demanded").map(({ attribute }) => attribute);
    const now = Math.max(0, Math.floor(this.#now()));
    for (const attribute of this.#since.keys()) {
      if (!given.includes(attribute)) this.#passing.add(attribute);
    }
    this.#since = new Map(given.map((attribute) => [attribute, Math.min(this.#since.get(attribute) ?? now, now)]));
    captureVariables(this.#demand.variables.filter((name) => this.#since.has(variableAttribute(name))));
    hash(limits.hashing === "on" || this.#since.has(HASHES));
  }

  #keep(): void {
    this.#isNew = false;
    const { file, notice } = this.#options;
    try {
      const text = JSON.stringify({ ...this.#demand, since: Object.fromEntries(this.#since) });
      Deno.writeTextFileSync(`${file}.new`, text, { mode: 0o600 });
      Deno.renameSync(`${file}.new`, file);
      this.#fault = "";
    } catch (error) {
      const fault = words(error);
      if (fault !== this.#fault) notice(`what rules ask for cannot be kept for the next start: ${fault}`);
      this.#fault = fault;
    }
  }
}

function standing(attribute: string, state: AttributeStanding["state"], reason: string, since = 0): AttributeStanding {
  return { attribute, state, reason, since };
}

/** What is said to people of the demand. */
function wordsOf(standings: readonly AttributeStanding[]): string {
  if (standings.length === 0) return "rules ask for nothing beyond what every event has";
  return `rules ask for ${standings.map(({ attribute, state }) => `${attribute} (${state})`).join(", ")}`;
}

function isSame(a: Demand, b: Demand): boolean {
  return a.hashes === b.hashes && a.variables.length === b.variables.length &&
    a.variables.every((name, i) => name === b.variables[i]);
}

/** What the file holds, `null` when there is none. Throws for anything else than a demand. */
function readKept(file: string): { readonly demand: Demand; readonly since: Map<string, number> } | null {
  let text: string;
  try {
    if (Deno.lstatSync(file).size > MAX_FILE_BYTES) throw new RangeError(`${file} is too long`);
    text = Deno.readTextFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  const { hashes, variables, since } = JSON.parse(text) as Record<string, unknown>;
  if (typeof hashes !== "boolean" || !isTexts(variables) || !isTimes(since)) throw new TypeError(`${file} is none`);
  const demand = { hashes, variables };
  checkDemand(demand);
  return { demand, since: new Map(Object.entries(since)) };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isTimes(value: unknown): value is Record<string, number> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((each) => Number.isSafeInteger(each) && (each as number) >= 0);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
