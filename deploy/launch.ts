/**
 * Everything that is settled before the first tier starts: state directory, users, programs, settings, grants.
 *
 * Used by `deno task start`, and by `collector` and `agent`, which start one tier by hand. Faults that a person can mend
 * throw one of the classes of {@linkcode isExplained}, with the mend in the text.
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";
import { type Settings } from "../proto/config.ts";
import { ownToken } from "../proto/handshake.ts";
import { ConfigError } from "../proto/setting_values.ts";
import {
  capabilitiesOf,
  MAX_POLICY_BYTES,
  parsePolicy,
  PolicyError,
  type ResponseCapability,
} from "../proto/response/policy.ts";
import { allNeeds } from "../proto/sink_needs.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { BundleError, CHECKOUT } from "./bundle.ts";
import { agentMayRead, cannotBecome, fillPlace, ordinaryPlace, type Place, rootPlace } from "./place.ts";
import { type OtherCollector, otherCollectorsFile, readOtherCollectors } from "./other_collectors.ts";
import { ordinaryPrincipals, PrincipalError, principalsOf } from "./principals.ts";
import { GrantError, LIBC_PATHS, PS_PATHS, type Tier, tierGrants, type TierPaths, YARA_PATH } from "./privileges.ts";
import type { Principals } from "./principals.ts";
import { TIER_UMASK } from "./ownership.ts";
import { fromCaller, placedSettings } from "./settings.ts";
import { prepareState, StateError, TierLock } from "./state_directory.ts";
import {
  ANALYZER_CAPABILITIES,
  asLimitedRoot,
  asSelf,
  asUser,
  asUserWith,
  COLLECTOR_CAPABILITIES,
  HASHER_CAPABILITY,
  HASHER_CAPABILITY_BIT,
  inMountedView,
  REEXEC_CAPABILITIES,
  RESPONDER_CAPABILITY_BITS,
  runBundle,
  tierEnvironment,
  withoutToken,
} from "./tier_command.ts";

/** The name of the analyzer among collectors, and its restarts within ten minutes. */
const ANALYZER = "analyzer", ANALYZER_RESTARTS = 20;
/** `CAP_SYS_PTRACE` of `linux/capability.h`. */
const PTRACE_BIT = 19n;

/** What a person may say on the command line of a task that starts tiers. */
export interface LaunchFlags {
  readonly state: string | undefined;
  readonly config: string | undefined;
  readonly set: readonly string[];
}

export interface Launch {
  /** The state directory as a person sees it. */
  readonly state: string;
  readonly asRoot: boolean;
  readonly place: Place;
  readonly principals: Principals;
  readonly settings: Settings;
  readonly locks: readonly TierLock[];
  /** The whole environment of every process that is started. */
  readonly env: Readonly<Record<string, string>>;
  /** The command that starts a tier, or the viewer with arguments of its own. */
  command(program: "collector" | "hasher" | "responder" | "agent"): string[];
  /** Whether root has written a policy for responses. */
  readonly responds: boolean;
  viewerCommand(args: readonly string[]): string[];
  /** Collectors that somebody else wrote, with the command that starts each. @throws {StateError} */
  others(): (OtherCollector & { readonly start: readonly string[] })[];
  /** The token that is to be known by a collector of this name alone. */
  tokenOf(collectorId: string): string;
}

/** Whether an error's message is all that a person needs. */
export function isExplained(error: unknown): error is Error {
  return error instanceof StateError || error instanceof PrincipalError || error instanceof ConfigError ||
    error instanceof BundleError || error instanceof GrantError;
}

/** The absolute state directory that the flags name; relative to where the person called the task. */
export function stateDirectory(named: string | undefined): string {
  const path = fromCaller(named ?? `${CHECKOUT}/.daemoneye`);
  // Grants are matched against real paths. The directory itself may be missing, or a link, which is refused later.
  try {
    return resolve(Deno.realPathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

/** Settles everything and takes the locks of `tiers`. @throws what {@linkcode isExplained} knows. */
export async function prepareLaunch(flags: LaunchFlags, tiers: readonly ("collector" | "agent")[]): Promise<Launch> {
  Deno.umask(TIER_UMASK);
  const asRoot = Deno.uid() === 0;
  const principals = asRoot
    ? principalsOf(Deno.readTextFileSync("/etc/passwd"), Deno.readTextFileSync("/etc/group"))
    : ordinaryPrincipals(Deno.uid()!, Deno.gid()!);
  requirePrograms(asRoot);
  const refusal = asRoot ? await cannotBecome(principals) : null;
  if (refusal !== null) throw new PrincipalError(refusal);
  const state = stateDirectory(flags.state);
  prepareState(stateLayout(state), principals);
  const locks = tiers.map((tier) => new TierLock(stateLayout(state), tier));

  const place = asRoot ? await rootPlace(state, principals) : ordinaryPlace(state);
  const placed = placedSettings(place.state, place.shippedRules, flags, (path) => seenFromHere(path, place));
  const { settings, config } = placed;
  if (asRoot) await requireReadable(placed.configFiles, place, principals);
  const programs = await fillPlace(place, ["collector", "agent", "viewer"]);
  const paths: TierPaths = {
    layout: stateLayout(place.state),
    brokerSocket: settings.brokerSocket,
    alertFile: settings.agent.alertFile,
    rulesDirs: placed.rulesDirs,
    configFiles: placed.configFiles,
    alertHosts: [],
    sinks: allNeeds(settings.agent.sinks, stateLayout(place.state).agent),
    libc: findLibc(),
    ps: settings.collector.source === "ps" ? findPs() : null,
    yaraRules: settings.yaraRules,
    yara: isProgram(YARA_PATH) ? YARA_PATH : null,
  };
  const tierFlags = ["--state", place.state, ...(config === null ? [] : ["--config", config])];
  const own = flags.set.flatMap((assignment) => ["--set", assignment]);
  const identity = asRoot
    ? ["--set", `collector.user=${principals.collector}`, "--set", `collector.group=${principals.busGroup}`]
    : [];
  const peers = ["agent", "hasher"] as const;
  const peerUsers = peers.flatMap((p) => ["--set", `collector.${p}_user=${principals[p]}`]);
  const policy = asRoot ? lookAtPolicy(stateLayout(state).responsePolicy) : null;
  const responder = policy === null ? [] : ["--set", `collector.responder_user=${principals.responder}`];
  const args = {
    collector: [...identity, ...peerUsers, ...responder, ...own],
    hasher: [...identity, ...own, "hasher"],
    responder: [...identity, ...peerUsers, ...own, "responder"],
    agent: [...placed.rulesSetting, ...own],
  };
  const run = (program: "collector" | "agent" | "viewer", tier: Tier, more: readonly string[]): string[] =>
    runBundle(place.deno, programs[program], tierGrants(tier, paths), more);
  const seen = (command: readonly string[]): string[] =>
    place.view === null ? [...command] : inMountedView(place.view, command);

  return {
    state,
    others() {
      const { run, token } = stateLayout(place.state);
      const taken = [settings.collector.id, "agent", "hasher", "responder", "viewer", ANALYZER];
      const analyzer = settings.analysis ? [analyzerCollector()] : [];
      return [
        ...analyzer,
        ...readOtherCollectors(otherCollectorsFile(state), principals, taken).map(startOfOther),
      ];

      function startOfOther(other: OtherCollector): OtherCollector & { readonly start: readonly string[] } {
        const { user, command } = other;
        const start = user === null
          ? asSelf(command)
          : seen(withoutToken(run, token, asUser(user, principals.busGroup, command)));
        return { ...other, start };
      }

      /** A collector like those of others to the supervisor and the agent, and the collector's program in another role. */
      function analyzerCollector(): OtherCollector & { readonly start: readonly string[] } {
        const agentUser = asRoot ? ["--set", `collector.agent_user=${principals.agent}`] : [];
        const command = runBundle(place.deno, programs.collector, tierGrants("analyzer", paths), [
          ...[...tierFlags, ...agentUser, ...own, ANALYZER],
        ]);
        const as = {
          id: ANALYZER,
          command,
          user: asRoot ? principals.analyzer : null,
          env: {},
          restarts: ANALYZER_RESTARTS,
        };
        if (!asRoot) return { ...as, start: asSelf(command) };
        const started = withoutToken(run, token, asAnalyzer(principals, command));
        // What is mounted later has executables too.
        return { ...as, start: place.view === null ? started : inMountedView(place.view, started, "slave") };
      }
    },
    tokenOf: (collectorId) => ownToken(Deno.readTextFileSync(stateLayout(state).token).trim(), collectorId),
    asRoot,
    responds: policy !== null,
    place,
    principals,
    settings,
    locks,
    env: tierEnvironment(Deno.env.toObject(), place.denoDir),
    command(program) {
      // Hasher and responder are the collector's program in other roles.
      const bundle = program === "hasher" || program === "responder" ? "collector" : program;
      const command = run(bundle, program, [...tierFlags, ...args[program]]);
      if (!asRoot) return asSelf(command);
      switch (program) {
        case "collector": {
          const again = settings.collector.confinement === "re-exec";
          return seen(asLimitedRoot(again ? REEXEC_CAPABILITIES : COLLECTOR_CAPABILITIES, command));
        }
        case "agent":
          return seen(asUser(principals.agent, principals.busGroup, command));
        case "hasher": {
          const hasher = asHasher(principals, command);
          // What is mounted later has executables too.
          return place.view === null ? hasher : inMountedView(place.view, hasher, "slave");
        }
        case "responder":
          return seen(asResponder(principals, policy ?? [], command));
      }
    },
    viewerCommand(more) {
      const command = run("viewer", "cli", ["--state", place.state, ...more]);
      return asRoot ? seen(asUser(principals.viewer, principals.readerGroup, command)) : asSelf(command);
    },
  };
}

/** With the capability where this root has it, which one of a container may lack: then as a user who may only look. */
function asHasher({ hasher, hasherGroup, busGroup }: Principals, command: readonly string[]): string[] {
  return holdsCapability(HASHER_CAPABILITY_BIT)
    ? asUserWith([HASHER_CAPABILITY], hasher, hasherGroup, command)
    : asUser(hasher, hasherGroup, command, [busGroup]); // the run directory is the bus's to pass
}

/** With what its policy takes, as far as this root has it; the helper says what is missing. */
function asResponder(
  { responder, responderGroup }: Principals,
  wanted: readonly ResponseCapability[],
  command: readonly string[],
): string[] {
  const had = wanted.filter((name) => holdsCapability(RESPONDER_CAPABILITY_BITS[name]));
  return asUserWith(had, responder, responderGroup, command);
}

/**
 * The capabilities that a policy takes; `null` without one. Of a policy that is not right none: the helper is started
 * all the same, refuses everything and says why.
 */
function lookAtPolicy(path: string): readonly ResponseCapability[] | null {
  let text: string;
  try {
    const { size, isFile, uid } = Deno.lstatSync(path);
    // The helper looks closer.
    if (!isFile || uid !== 0 || size > MAX_POLICY_BYTES) return [];
    text = Deno.readTextFileSync(path);
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? null : [];
  }
  try {
    return capabilitiesOf(parsePolicy(text));
  } catch (error) {
    if (error instanceof PolicyError) return [];
    throw error;
  }
}

/** With the capabilities where this root has them; otherwise as a user who sees what that user sees, which it says. */
function asAnalyzer({ analyzer, busGroup }: Principals, command: readonly string[]): string[] {
  return holdsCapability(HASHER_CAPABILITY_BIT) && holdsCapability(PTRACE_BIT)
    ? asUserWith(ANALYZER_CAPABILITIES, analyzer, busGroup, command)
    : asUser(analyzer, busGroup, command);
}

function holdsCapability(bit: bigint): boolean {
  const permitted = /^CapPrm:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
  return permitted !== undefined && (BigInt(`0x${permitted}`) >> bit & 1n) === 1n;
}

function requirePrograms(asRoot: boolean): void {
  for (const path of asRoot ? ["/usr/bin/setpriv", "/usr/bin/unshare", "/bin/sh"] : ["/usr/bin/setpriv", "/bin/sh"]) {
    try {
      Deno.statSync(path);
    } catch {
      throw new StateError(`${path} is missing, and no tier starts without it; install the package util-linux`);
    }
  }
}

/** A configuration file that root can read and the agent cannot would end the agent again and again. */
async function requireReadable(files: readonly string[], place: Place, who: Principals): Promise<void> {
  for (const path of files) {
    const here = seenFromHere(path, place);
    if (!isThere(here) || await agentMayRead(path, place, who)) continue;
    throw new ConfigError(
      `The configuration ${here} cannot be read by user ${who.agent}, as which the agent runs; ` +
        `make it readable (it holds no secrets), or move it to /etc/daemoneye or into the state directory`,
    );
  }
}

function isProgram(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The C library that the collector may open: the first that is there, by the name that it will use. */
export function findLibc(): string {
  const candidates = LIBC_PATHS[Deno.build.arch];
  for (const path of candidates) {
    try {
      if (Deno.statSync(path).isFile) return path;
    } catch {
      // The next one.
    }
  }
  throw new StateError(`No C library at ${candidates.join(", ")}; the collector needs one of them`);
}

/**
 * The `ps` that the collector may be granted. A link is followed, and one that leads to a program of another name is
 * refused: where `ps` is a part of BusyBox, the right to run it would be the right to run a shell.
 */
export function findPs(candidates: readonly string[] = PS_PATHS): string {
  for (const path of candidates) {
    try {
      const real = Deno.realPathSync(path);
      if (candidates.includes(real) && Deno.statSync(real).isFile) return real;
    } catch {
      // The next one.
    }
  }
  throw new StateError(
    `collector.source is ps, but none of ${candidates.join(", ")} is a program of its own; install procps (ps)`,
  );
}

/** A path as the tiers see it, as the supervisor sees it. */
function seenFromHere(path: string, { view }: Place): string {
  return view !== null && path.startsWith(`${view.seen}/`) ? view.real + path.slice(view.seen.length) : path;
}
