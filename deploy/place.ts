/**
 * Where the tiers find their programs, rules and state, so that the users they run as can read them.
 *
 * As root that is a directory of root's below `/var/lib/daemoneye-checkout`: no tier can write it, so none can change
 * what it is started from. When the tiers' users cannot pass the way to the state directory (a checkout below `/root`),
 * it gets a mount point in which a private mount namespace shows them the real one. As an ordinary user it is below that
 * user's cache directory, or the directory `program` of the state where there is no such.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename, isAbsolute } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { bundle, CHECKOUT, type Program } from "./bundle.ts";
import { NO_IMPORT } from "./privileges.ts";
import type { Principals } from "./principals.ts";
import { BUNDLE_FLAGS } from "./runtime_flags.ts";
import { StateError } from "./state_directory.ts";
import { asUser, inMountedView, type MountedView } from "./tier_command.ts";

/** What Deno finds out about programs, one database for each kind. */
const ANALYSIS = /^\w+_analysis_cache_v\d+$/;

/** Parent of the places of checkouts that root runs. */
export const PLACES = "/var/lib/daemoneye-checkout";

export interface Place {
  readonly directory: string;
  /** The Deno that the tiers run: the original, or a copy where they cannot execute it. */
  readonly deno: string;
  readonly programs: string;
  readonly shippedRules: string;
  /** `DENO_DIR` of the tiers. */
  readonly denoDir: string;
  /** The state directory as the tiers see it. */
  readonly state: string;
  /** How the tiers get to see it there; `null` when it is where it is. */
  readonly view: MountedView | null;
}

/**
 * Why this root cannot start a process as the tiers' users, in a person's words; `null` when it can. A container may lack
 * the capabilities, or a user namespace the numbers.
 */
export async function cannotBecome(who: Principals): Promise<string | null> {
  const { success, stderr } = await run(asUser(who.agent, who.busGroup, ["/bin/sh", "-c", "exit 0"]));
  if (success) return null;
  const why = new TextDecoder().decode(stderr).trim().split("\n")[0];
  return `Started as root, which may not become user ${who.agent} of group ${who.busGroup} here (${why}); in a container, ` +
    `allow it SETUID, SETGID and SETPCAP, and in a user namespace of its own map these numbers; or start as an ordinary ` +
    `user, outside of it`;
}

/**
 * Makes the place for tiers that root starts on `state`, whose directories exist.
 *
 * @throws {StateError} when the state cannot be shown to the tiers.
 */
export async function rootPlace(state: string, who: Principals, directory = placeOf(CHECKOUT)): Promise<Place> {
  for (const path of [PLACES, directory, `${directory}/program`]) {
    makeRootDirectory(path);
  }
  const original = Deno.realPathSync(Deno.execPath());
  const deno = await runsFor(original, who) ? original : copyDeno(original, `${PLACES}/deno-${Deno.version.deno}`);
  copyRules(`${CHECKOUT}/rules`, `${directory}/rules`);
  let view: MountedView | null = null;
  if (!await canPass(state, who)) {
    view = { real: state, seen: `${directory}/state` };
    makeRootDirectory(view.seen);
    const refusal = await mountRefusal(view, who);
    if (refusal !== null) {
      throw new StateError(
        `The users of the tiers cannot pass the way to ${state}, and this system does not let root show it to them ` +
          `elsewhere (${refusal}); keep the state where they can, such as --state /var/lib/daemoneye-state`,
      );
    }
  }
  return {
    directory,
    deno,
    programs: `${directory}/program`,
    shippedRules: `${directory}/rules`,
    denoDir: `${directory}/deno_dir`,
    state: view?.seen ?? state,
    view,
  };
}

/**
 * The place for tiers that run as the ordinary user who starts them: one for all states of a checkout, as programs take
 * seconds to make.
 */
export function ordinaryPlace(state: string): Place {
  const cached = ordinaryPlaceOf(CHECKOUT);
  const directory = cached !== null && isOwn(cached) ? cached : `${state}/program`;
  Deno.mkdirSync(directory, { recursive: true, mode: 0o755 });
  return {
    directory,
    deno: Deno.execPath(),
    programs: directory,
    shippedRules: `${CHECKOUT}/rules`,
    denoDir: `${directory}/deno_dir`,
    state,
    view: null,
  };
}

/** One place for each checkout, so that two do not exchange each other's programs. */
export function placeOf(checkout: string): string {
  return `${PLACES}/${createHash("sha256").update(checkout).digest("hex").slice(0, 16)}`;
}

/** The same of an ordinary user; `null` for one without a home. */
export function ordinaryPlaceOf(checkout: string): string | null {
  const home = Deno.env.get("HOME") ?? "";
  const caches = [Deno.env.get("XDG_CACHE_HOME") ?? "", `${home}/.cache`].find((path) => isAbsolute(path));
  return home === "" || caches === undefined ? null : `${caches}/${basename(PLACES)}/${basename(placeOf(checkout))}`;
}

/** Makes a directory. Whether it is this user's, who alone can write it: else others could change what is started. */
function isOwn(directory: string): boolean {
  try {
    Deno.mkdirSync(directory, { recursive: true, mode: 0o755 });
    const { isDirectory, uid, mode } = Deno.lstatSync(directory);
    if (!isDirectory || uid !== Deno.uid() || (mode! & 0o022) !== 0) return false;
    placeLock(directory).close();
    return true;
  } catch {
    return false;
  }
}

function placeLock(directory: string): Deno.FsFile {
  return Deno.openSync(`${directory}/lock`, { write: true, create: true, mode: 0o600 });
}

/**
 * Makes what tiers are started from where it is missing or old. Of starts at the same time one does it, and the others
 * wait.
 *
 * @returns the path of each program
 * @throws {BundleError}
 */
export async function fillPlace<P extends Program>(place: Place, programs: readonly P[]): Promise<Record<P, string>> {
  using lock = placeLock(place.directory);
  await lock.lock(true);
  const { paths } = await bundle(programs, place.programs, Deno.execPath());
  await fillDenoDir(place, Object.values(paths));
  return paths;
}

/**
 * Fills the tiers' `DENO_DIR` with what Deno finds out about our programs, and closes it: from here on it is only read.
 *
 * A tier that finds it empty starts 0.1 s later and keeps twice the memory for the analysis. It holds what the runtime
 * trusts about a program, so no tier may write it; that includes the collector while it is root, which therefore lacks
 * `dac_override`. Done with no permissions: a program that is not granted anything ends at once, but after its analysis.
 */
export async function fillDenoDir(
  { deno, denoDir }: Pick<Place, "deno" | "denoDir">,
  programs: readonly string[],
  flags: readonly string[] = [],
): Promise<void> {
  const stamp = `${denoDir}/filled`;
  const wanted = programs.map((path) => `${path} ${Deno.statSync(path).mtime?.getTime()}\n`).join("");
  try {
    if (Deno.readTextFileSync(stamp) === wanted) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const fresh = `${denoDir}.${Deno.pid}.new`, old = `${denoDir}.${Deno.pid}.old`;
  removeLeftovers(denoDir);
  Deno.mkdirSync(fresh, { mode: 0o755 });
  await Promise.all(programs.map((path) =>
    new Deno.Command(deno, {
      args: [
        "run",
        "--no-prompt",
        "--no-remote",
        `--allow-import=${NO_IMPORT}`,
        ...BUNDLE_FLAGS,
        ...flags,
        path,
        "--version",
      ],
      cwd: "/",
      clearEnv: true,
      env: { DENO_DIR: fresh, DENO_NO_UPDATE_CHECK: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output()
  ));
  for (const { name } of [...Deno.readDirSync(fresh)]) if (ANALYSIS.test(name)) keepReadable(`${fresh}/${name}`);
  Deno.writeTextFileSync(`${fresh}/filled`, wanted);
  // An ordinary user's tiers are that user, who could open it again, and who wants to remove it with the state.
  if (Deno.uid() === 0) closeForWriting(fresh);
  try {
    Deno.renameSync(denoDir, old);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  try {
    Deno.renameSync(fresh, denoDir);
  } catch {
    // Another start was here in between, with the same; or Deno for a tier that is started again right now: it makes what
    // is missing.
    if (exists(stamp)) removeIfThere(fresh);
    else {
      removeIfThere(denoDir);
      Deno.renameSync(fresh, denoDir);
    }
  }
  removeIfThere(old);
}

/**
 * Has a database of Deno's be one that a user can open who may not write it, which Deno does by writing nothing where
 * nothing is to be written: its statistics are up to date, and log and index lie beside it, as the last to close it for
 * writing would not leave them. Deno says nothing of one that it cannot open, and begins an empty one in memory.
 */
function keepReadable(path: string): void {
  const writer = new DatabaseSync(path);
  writer.exec("ANALYZE; PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
  const reader = new DatabaseSync(path, { readOnly: true });
  reader.prepare("SELECT count(*) FROM sqlite_schema").get();
  writer.close();
  reader.close();
}

/** What starts that were killed in the middle have left beside a directory. */
function removeLeftovers(path: string): void {
  const directory = path.slice(0, path.lastIndexOf("/")), name = path.slice(directory.length + 1);
  for (const entry of Deno.readDirSync(directory)) {
    const pid = new RegExp(`^${name}\\.(\\d+)\\.(?:new|old)$`).exec(entry.name)?.[1];
    if (pid !== undefined && (pid === String(Deno.pid) || !exists(`/proc/${pid}`))) {
      removeIfThere(`${directory}/${entry.name}`);
    }
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function closeForWriting(directory: string): void {
  for (const entry of Deno.readDirSync(directory)) {
    Deno.chmodSync(`${directory}/${entry.name}`, entry.isDirectory ? 0o555 : 0o444);
  }
  Deno.chmodSync(directory, 0o555);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function makeRootDirectory(path: string): void {
  Deno.mkdirSync(path, { recursive: true, mode: 0o755 });
  const found = Deno.lstatSync(path);
  if (!found.isDirectory || found.uid !== 0 || ((found.mode ?? 0) & 0o022) !== 0) {
    throw new StateError(
      `${path} must be a directory that root owns and nobody else can write; remove it and start again`,
    );
  }
  // The umask of whoever starts us may have closed it.
  if (((found.mode ?? 0) & 0o555) !== 0o555) Deno.chmodSync(path, 0o755);
}

async function runsFor(deno: string, who: Principals): Promise<boolean> {
  // By way of a shell: setpriv itself may still execute what the user cannot reach.
  const version = ["/bin/sh", "-c", '"$1" --version', "sh", deno];
  const runs = await Promise.all(
    [who.collector, who.agent].map((user) => succeeds(asUser(user, who.busGroup, version))),
  );
  return runs.every(Boolean);
}

async function canPass(directory: string, who: Principals): Promise<boolean> {
  const passes = await Promise.all(
    [who.collector, who.agent].map((user) => succeeds(asUser(user, who.busGroup, ["test", "-x", directory]))),
  );
  return passes.every(Boolean);
}

/** Whether the agent, once it is its own user, may read a file. The path is as the tiers see it. */
export function agentMayRead(path: string, place: Place, who: Principals): Promise<boolean> {
  const command = asUser(who.agent, who.busGroup, ["test", "-r", path]);
  return succeeds(place.view === null ? command : inMountedView(place.view, command));
}

async function mountRefusal(view: MountedView, who: Principals): Promise<string | null> {
  const command = inMountedView(view, asUser(who.agent, who.busGroup, ["test", "-x", view.seen]));
  const { success, stderr } = await run(command);
  return success ? null : new TextDecoder().decode(stderr).trim().split("\n")[0] || "mount failed";
}

async function succeeds(command: readonly string[]): Promise<boolean> {
  return (await run(command)).success;
}

function run(command: readonly string[]): Promise<Deno.CommandOutput> {
  const [program, ...args] = command;
  return new Deno.Command(program!, { args, cwd: "/", stdin: "null", stdout: "null", stderr: "piped" }).output();
}

/** A second name of the same file where that is possible, else a copy, made anew when the original changed. */
function copyDeno(original: string, path: string): string {
  const from = Deno.statSync(original);
  const fresh = `${path}.${Deno.pid}.new`;
  try {
    const there = Deno.lstatSync(path);
    if (there.isFile && there.size === from.size && there.mtime?.getTime() === from.mtime?.getTime()) return path;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (from.uid === 0 && ((from.mode ?? 0) & 0o777) === 0o755) {
    try {
      Deno.linkSync(original, fresh);
      Deno.renameSync(fresh, path);
      return path;
    } catch {
      // Another file system, or one without links.
    }
  }
  Deno.copyFileSync(original, fresh);
  Deno.chmodSync(fresh, 0o755);
  if (from.mtime !== null) Deno.utimeSync(fresh, from.mtime, from.mtime);
  Deno.renameSync(fresh, path);
  return path;
}

/**
 * The shipped rules, exactly as in the checkout: a rule that is gone there goes here too. Others may start from the same
 * checkout at the same time, and agents look for changes here: what is as it must be is not touched.
 */
export function copyRules(from: string, to: string): void {
  makeRootDirectory(to);
  const shipped = new Set<string>();
  for (const { name, isFile, isDirectory } of Deno.readDirSync(from)) {
    if (!isFile && !(isDirectory && name === "analysis")) continue;
    shipped.add(name);
    if (isDirectory) {
      copyRules(`${from}/${name}`, `${to}/${name}`);
      continue;
    }
    if (isCopy(`${from}/${name}`, `${to}/${name}`)) continue;
    const fresh = `${to}/.${name}.${Deno.pid}.new`;
    Deno.copyFileSync(`${from}/${name}`, fresh);
    Deno.chmodSync(fresh, 0o644);
    // Another start of the same checkout may be reading it.
    Deno.renameSync(fresh, `${to}/${name}`);
  }
  for (const { name } of Deno.readDirSync(to)) {
    const pid = /\.(\d+)\.new$/.exec(name)?.[1], isUnderWay = pid !== undefined && exists(`/proc/${pid}`);
    if (!shipped.has(name) && !isUnderWay) removeIfThere(`${to}/${name}`);
  }
}

function isCopy(original: string, path: string): boolean {
  try {
    const { isFile, mode, uid } = Deno.lstatSync(path);
    if (!isFile || uid !== Deno.uid() || ((mode ?? 0) & 0o7777) !== 0o644) return false;
    const from = Deno.readFileSync(original), there = Deno.readFileSync(path);
    return from.length === there.length && from.every((byte, at) => byte === there[at]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
