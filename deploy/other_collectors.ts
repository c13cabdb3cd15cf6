/**
 * Collectors beside the sensor, which somebody else wrote: `collectors.json` of the state directory says which programs
 * to start.
 *
 * Who can write that file decides what the supervisor runs, as root where it is root. So it is taken only where the
 * supervisor's user alone can write it, is checked whole before anything is started, and nothing else says what is run: the
 * agent can ask for a collector by its name. As root each runs as a user of its own that is no tier's, sees the broker's
 * directory read-only and in it no token: on its standard input it finds one of its own, by which it can take no other
 * name. A file that is there and not right ends the start, with the reason.
 *
 * @module
 */
import type { Principals } from "./principals.ts";
import { StateError } from "./state_directory.ts";

const MAX_BYTES = 65_536, MAX_COLLECTORS = 32, MAX_WORDS = 64, MAX_VARIABLES = 32;
const DEFAULT_RESTARTS = 5;
const ID = /^[A-Za-z0-9._+-]{1,64}$/;

export interface OtherCollector {
  readonly id: string;
  /** An absolute path and its arguments. */
  readonly command: readonly string[];
  /** As root, the number of the user that it runs as; `null` for the supervisor's own otherwise. */
  readonly user: number | null;
  readonly env: Readonly<Record<string, string>>;
  /** Restarts within ten minutes. */
  readonly restarts: number;
}

/** The file of a state directory. */
export function otherCollectorsFile(state: string): string {
  return `${state}/collectors.json`;
}

/**
 * The collectors to be started; none when there is no file.
 *
 * @param taken names that others have
 * @throws {StateError}
 */
export function readOtherCollectors(path: string, who: Principals, taken: readonly string[]): OtherCollector[] {
  const wrong = (reason: string): never => {
    throw new StateError(`${path}: ${reason}; see docs/supervision.md`);
  };
  let found: Deno.FileInfo;
  try {
    found = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  if (!found.isFile || found.uid !== who.supervisor || ((found.mode ?? 0) & 0o022) !== 0) {
    wrong(`it must be a file of user ${who.supervisor} that nobody else can write`);
  }
  if (found.size > MAX_BYTES) wrong(`it has ${found.size} bytes, and may have ${MAX_BYTES}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    wrong(`it is no JSON: ${error instanceof Error ? error.message : error}`);
  }
  const list = isRecord(parsed) && hasOnly(parsed, ["collectors"]) ? parsed["collectors"] : null;
  if (!Array.isArray(list) || list.length > MAX_COLLECTORS) {
    return wrong(`it must be {"collectors": […]} with at most ${MAX_COLLECTORS} of them`);
  }
  const ids = new Set(taken);
  return list.flatMap((each: unknown, at): OtherCollector[] => {
    const fault = (reason: string): never => wrong(`collector ${at + 1}: ${reason}`);
    if (!isRecord(each)) return fault("it must be an object");
    if (!hasOnly(each, ["id", "command", "user", "env", "restarts", "enabled"])) {
      return fault("it has a key that is none of id, command, user, env, restarts, enabled");
    }
    const { id, command, user = null, env = {}, restarts = DEFAULT_RESTARTS, enabled = true } = each;
    if (typeof id !== "string" || !ID.test(id)) {
      return fault("its id must be 1 to 64 letters, digits or one of . _ + -");
    }
    if (ids.has(id)) return fault(`the name ${id} is taken`);
    ids.add(id);
    if (!isTexts(command) || command.length === 0 || command.length > MAX_WORDS || !command[0]!.startsWith("/")) {
      return fault(`its command must be a list of 1 to ${MAX_WORDS} words that begins with an absolute path`);
    }
    if (!isRecord(env) || !isTexts(Object.values(env)) || Object.keys(env).length > MAX_VARIABLES) {
      return fault(`its env must be at most ${MAX_VARIABLES} variables with text`);
    }
    if (typeof restarts !== "number" || !Number.isInteger(restarts) || restarts < 0 || restarts > 100) {
      return fault("its restarts must be a whole number from 0 to 100");
    }
    if (typeof enabled !== "boolean") return fault("enabled must be true or false");
    checkUser(user, who, fault);
    return enabled ? [{ id, command, user: user as number | null, env: env as Record<string, string>, restarts }] : [];
  });
}

function checkUser(user: unknown, who: Principals, fault: (reason: string) => never): void {
  if (who.supervisor !== 0) {
    if (user !== null) fault("a user can be named only where root starts it");
    return;
  }
  const tiers = [0, who.collector, who.hasher, who.responder, who.analyzer, who.agent, who.viewer];
  if (typeof user !== "number" || !Number.isInteger(user) || user < 1 || user > 0x7fffffff || tiers.includes(user)) {
    fault("its user must be the number of a user that is neither root nor a tier's");
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasOnly(value: Record<string, unknown>, keys: readonly string[]): boolean {
  return Object.keys(value).every((key) => keys.includes(key));
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string" && !each.includes("\0"));
}
