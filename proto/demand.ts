/**
 * Attributes that cost something to collect: what the agent's rules need of them, and what a collector makes of that.
 *
 * A demand is a closed list: hashes of executables, and environment variables by their names. It replaces the one before
 * and cannot ask for more than the collector's own configuration allows. A part of a demand that this version does not
 * know makes it another version, which a collector refuses as a whole.
 *
 * @module
 */
import { WireError } from "./wire_error.ts";

/** The one version of a demand that this program makes and understands. */
export const DEMAND_VERSION = 1;
/** Most variables of one demand: an entry of the audit ledger has room for them, and for as many that were before. */
export const MAX_DEMANDED_VARIABLES = 48;
/** Longest reason of a standing, in UTF-16 code units. */
const MAX_STANDING_REASON = 512;

/** What rules ask a collector to collect beyond what it always does. */
export interface Demand {
  /** Whether executables are to be hashed. */
  readonly hashes: boolean;
  /** Names, sorted, each once, at most {@linkcode MAX_DEMANDED_VARIABLES}. */
  readonly variables: readonly string[];
}

export const NO_DEMAND: Demand = { hashes: false, variables: [] };

/** The hash of an executable, and what comes with it. */
export const HASHES = "executable_hash";
/** All variables that are captured without being asked for. */
export const ENVIRONMENT = "environment";

/**
 * - `configured`: collected always, whoever asks;
 * - `demanded`: collected because rules ask;
 * - `on-demand`: not collected, as no rule asks;
 * - `refused`: rules ask, and the collector's configuration does not allow it;
 * - `unavailable`: allowed, and the collector cannot give it;
 * - `off`: turned off, and no rule asks.
 */
export const STANDING_STATES = ["configured", "demanded", "on-demand", "refused", "unavailable", "off"] as const;
/** One of {@linkcode STANDING_STATES}. */
export type StandingState = (typeof STANDING_STATES)[number];

/** What becomes of one attribute. */
export interface AttributeStanding {
  /** {@linkcode HASHES}, {@linkcode ENVIRONMENT}, or the attribute of a variable. */
  readonly attribute: string;
  /** What becomes of it. */
  readonly state: StandingState;
  /** For people; of what is refused, with the mend. Of {@linkcode ENVIRONMENT}, `configured`: its {@linkcode nameList}. */
  readonly reason: string;
  /** Unix milliseconds since when it is collected; 0 for longer than anybody asks, and for what is not collected. */
  readonly since: number;
}

/** Most standings of one answer or status: one for each variable, for the environment and for hashes. */
export const MAX_STANDINGS: number = MAX_DEMANDED_VARIABLES + 2;

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const PREFIX = `${ENVIRONMENT}.`;

/** Whether a text is the name of a variable that can be demanded. */
export function isVariable(name: string): boolean {
  return VARIABLE.test(name);
}

/** The attribute of a variable. */
export function variableAttribute(name: string): string {
  return PREFIX + name;
}

/** Whether a name is one of a list in which each may end with a star. */
export function isListed(name: string, list: readonly string[]): boolean {
  return list.some((each) => each.endsWith("*") ? name.startsWith(each.slice(0, -1)) : name === each);
}

/** Names as a reason lists them; as many as find room. */
export function nameList(names: readonly string[]): string {
  let text = "";
  for (const name of names) {
    const longer = text === "" ? name : `${text}, ${name}`;
    if (longer.length > MAX_STANDING_REASON - 3) return `${text}, …`;
    text = longer;
  }
  return text;
}

/** Whether a variable is one of those that these standings say are captured always; `null` when they do not say. */
export function isCapturedAlways(name: string, standings: readonly AttributeStanding[]): boolean | null {
  const always = standings.find(({ attribute }) => attribute === ENVIRONMENT);
  if (always === undefined) return null;
  if (always.state !== "configured") return false;
  const names = always.reason.split(", ");
  return isListed(name, names) || (names.at(-1) === "…" ? null : false);
}

/** @throws WireError for what is no demand */
export function checkDemand({ variables }: Demand): void {
  if (variables.length > MAX_DEMANDED_VARIABLES) {
    throw new WireError(`A demand names ${variables.length} variables; at most ${MAX_DEMANDED_VARIABLES} are allowed`);
  }
  variables.forEach((name, i) => {
    if (!isVariable(name)) throw new WireError("A demand names a variable that none can be called");
    if (i > 0 && variables[i - 1]! >= name) throw new WireError("A demand names variables out of order, or twice");
  });
}

/** @throws WireError for what is no list of standings */
export function checkStandings(standings: readonly AttributeStanding[]): void {
  if (standings.length > MAX_STANDINGS) {
    throw new WireError(`${standings.length} attributes are told of; at most ${MAX_STANDINGS} are allowed`);
  }
  for (const { attribute, reason } of standings) {
    const isKnown = attribute === HASHES || attribute === ENVIRONMENT ||
      attribute.startsWith(PREFIX) && isVariable(attribute.slice(PREFIX.length));
    if (!isKnown) throw new WireError("An attribute is told of that this version does not know");
    if (reason.length > MAX_STANDING_REASON) throw new WireError(`The reason of ${attribute} is too long`);
  }
}
