/**
 * What happens with the privileges that the collector is started with, and what happens without them.
 *
 * {@linkcode openPrivileged} opens everything that takes them, and {@linkcode giveUp} ends them. With
 * `collector.confinement: re-exec` both are gone through twice: `giveUp` of the first execution does not return, and in
 * the second, which is born without anything, `openPrivileged` gets what the first one opened.
 *
 * @module
 */
import { confine, type Confinement } from "../confinement.ts";
import { WantedVariables } from "../kernel/environment.ts";
import { endInheritance, told } from "../kernel/inheritance.ts";
import { bootTimeNs } from "../kernel/libc.ts";
import { type OpenedRefusals, openRefusals, Refusals } from "../refusals.ts";
import { retain, type Retained } from "../retained.ts";
import { selftest } from "../selftest.ts";
import { openBestSource, type OpenedSource, sourceStatuses } from "../sources/ladder.ts";
import { PS_PATHS } from "../sources/ps_command.ts";
import { type OpenedWitness, openWitness } from "../witness.ts";
import type { CollectorInputs } from "./inputs.ts";

/** What was opened while there was the privilege for it. */
export interface Opened {
  /** The environment variables that the source captures. */
  readonly variables: WantedVariables;
  /** The first source, and why none above it could be opened. */
  readonly ladder: OpenedSource;
  readonly witness: OpenedWitness;
  readonly refusals: OpenedRefusals;
  /** Nanoseconds since boot: when the program began, and from when on it watches. */
  readonly begun: number;
  readonly watchingSince: number;
}

/** What is left of the privileges, and its proof. */
export interface Confined extends Confinement, Retained {
  /** Whether the source lives from starting processes. */
  readonly startsProcesses: boolean;
}

/** @throws SourceUnavailableError */
export function openPrivileged({ settings: { collector }, origin, keepsPtrace }: CollectorInputs): Opened {
  const variables = new WantedVariables(collector.environment, collector.environmentOnDemand.length > 0);
  const ladder = openBestSource({
    choice: collector.source,
    ringBytes: collector.ringBytes,
    pollIntervalMs: collector.pollIntervalMs,
    environment: variables,
    readsOthers: keepsPtrace,
  });
  const witness = openWitness(ladder.source);
  const refusals = openRefusals(collector.syscallFilter);
  const begun = told("the start of the program", () => bootTimeNs() - performance.now() * 1e6);
  const watchingSince = told("the start of watching", bootTimeNs);
  if (origin.isSecond || collector.confinement === "in-process") endInheritance();
  return { variables, ladder, witness, refusals, begun, watchingSince };
}

/** @throws PrivilegeError when something is left that is not to be kept */
export function giveUp(inputs: CollectorInputs, { ladder: { source }, refusals }: Opened): Confined {
  const { settings: { collector }, layout, origin, keepsPtrace } = inputs;
  const startsProcesses = source.description.name === "ps";
  const runnable = (startsProcesses ? PS_PATHS : []).map((path) => ({ path, access: "execute" as const }));
  const mayOpen = [{ path: layout.collector, access: "own" as const }, ...runnable];
  const retained = retain(collector.keepsPtrace, keepsPtrace, source.description.name);
  const confinement = confine({
    kept: retained.kept,
    ...collector,
    ...origin,
    startsProcesses,
    mayOpen,
    canary: refusals.canary,
  });
  return { ...confinement, ...retained, startsProcesses };
}

/** Tries what this process can do now. Returns the exit code: 1 where that is not what was meant. */
export async function tryOut({ origin }: CollectorInputs, opened: Opened, confined: Confined): Promise<number> {
  const { kept, userId, startsProcesses } = confined;
  const refusals = new Refusals({ opened: opened.refusals, hasherPid: () => null, hasherUser: userId });
  const sources = sourceStatuses(opened.ladder);
  const options = { ...origin, kept, userId, startsProcesses, sources, refusals };
  return await selftest(opened.ladder.source, options, console.log) === 0 ? 0 : 1;
}
