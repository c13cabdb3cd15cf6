/**
 * The command line that starts a tier: which user, which namespace, which environment, which grants.
 *
 * Every step replaces the one before (`exec`), so the process that the supervisor started is the tier itself.
 *
 * @module
 */
import type { TierGrants } from "./privileges.ts";
import { BUNDLE_FLAGS, grantFlags, RUNTIME_VARIABLES } from "./runtime_flags.ts";

/** A directory shown at another path, to one process and its children only. */
export interface MountedView {
  readonly real: string;
  readonly seen: string;
}

/**
 * Capabilities that the collector may use until it has opened its sources; why each is needed stands in
 * `docs/privileges.md`. `dac_override` is not among them: root without it writes only what root owns.
 */
export const COLLECTOR_CAPABILITIES: readonly string[] = [
  "bpf",
  "perfmon",
  "sys_admin",
  "sys_resource",
  "net_admin",
  "sys_ptrace",
  "dac_read_search",
  "audit_read",
  "setuid",
  "setgid",
];

/** All that the hasher may: read every file. */
export const HASHER_CAPABILITY = "dac_read_search";
/** Its number in `linux/capability.h`. */
export const HASHER_CAPABILITY_BIT = 2n;
/** Numbers of what the response helper may have, as far as its policy takes it (`proto/response/policy.ts`). */
export const RESPONDER_CAPABILITY_BITS = { kill: 5n, dac_read_search: 2n, sys_ptrace: 19n } as const;
/** All that the analyzer may: read every file, and be told of every process' memory map. */
export const ANALYZER_CAPABILITIES: readonly string[] = ["dac_read_search", "sys_ptrace"];
/** What a collector needs beside them that executes itself again: to empty its bounding set. */
export const REEXEC_CAPABILITIES: readonly string[] = [...COLLECTOR_CAPABILITIES, "setpcap"];

const SETPRIV = "/usr/bin/setpriv";

/** `command` as another user in one group, or some more, without capabilities and without a way to get any. */
export function asUser(
  user: number,
  group: number,
  command: readonly string[],
  moreGroups: readonly number[] = [],
): string[] {
  return [
    SETPRIV,
    `--reuid=${user}`,
    `--regid=${group}`,
    moreGroups.length === 0 ? "--clear-groups" : `--groups=${moreGroups.join(",")}`,
    "--no-new-privs",
    "--inh-caps=-all",
    "--bounding-set=-all",
    // After the change of user, which clears it: the tier ends with the supervisor's thread that started it.
    "--pdeathsig=TERM",
    "--",
    ...command,
  ];
}

/**
 * `command` as another user in one group, with these capabilities in every thread from its first instruction, and no
 * others to be had.
 */
export function asUserWith(
  capabilities: readonly string[],
  user: number,
  group: number,
  command: readonly string[],
): string[] {
  const sets = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  return [
    SETPRIV,
    `--reuid=${user}`,
    `--regid=${group}`,
    "--clear-groups",
    "--no-new-privs",
    `--inh-caps=${sets}`,
    // Ambient: a program that is not root's keeps no other capability over its start.
    `--ambient-caps=${sets}`,
    `--bounding-set=${sets}`,
    "--pdeathsig=TERM",
    "--",
    ...command,
  ];
}

/** `command` as root with no more than these capabilities to use or to gain. */
export function asLimitedRoot(capabilities: readonly string[], command: readonly string[]): string[] {
  return [
    SETPRIV,
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    `--bounding-set=-all,${capabilities.map((name) => `+${name}`).join(",")}`,
    "--pdeathsig=TERM",
    "--",
    ...command,
  ];
}

/** `command` by whoever starts it, without a way to gain rights. */
export function asSelf(command: readonly string[]): string[] {
  return [SETPRIV, "--no-new-privs", "--pdeathsig=TERM", "--", ...command];
}

/**
 * `command` in a mount namespace of its own, in which `view` is mounted. What the host mounts from then on is seen there
 * only with `propagation` `slave`.
 */
export function inMountedView(
  view: MountedView,
  command: readonly string[],
  propagation: "private" | "slave" = "private",
): string[] {
  const mount = 'mount --bind -o nosuid,nodev,noexec "$1" "$2" && shift 2 && exec "$@"';
  return [
    "/usr/bin/unshare",
    "--mount",
    `--propagation=${propagation}`,
    "--",
    "/bin/sh",
    "-c",
    mount,
    "sh",
    view.real,
    view.seen,
    ...command,
  ];
}

/**
 * `command`, which root starts, with the broker's directory read-only and an empty file in the place of the token: what
 * runs there can connect, and has no token but what it was given.
 */
export function withoutToken(run: string, token: string, command: readonly string[]): string[] {
  const mounts =
    'mount --bind -o ro,nosuid,nodev,noexec "$1" "$1" && mount --bind /dev/null "$2" && shift 2 && exec "$@"';
  const unshare = ["/usr/bin/unshare", "--mount", "--propagation=private", "--", "/bin/sh", "-c", mounts, "sh"];
  return [...unshare, run, token, ...command];
}

/** `deno run` of a bundle under its grants. */
export function runBundle(deno: string, program: string, grants: TierGrants, args: readonly string[]): string[] {
  return [deno, "run", ...BUNDLE_FLAGS, ...grantFlags(grants), program, ...args];
}

/**
 * The whole environment of a tier. `NODE_OPTIONS` runs code in it, `DENO_V8_FLAGS` changes its engine, `OTEL_*` sends
 * what it prints to a host: nothing passes that is not named here.
 */
export function tierEnvironment(env: Readonly<Record<string, string>>, denoDir: string): Record<string, string> {
  const passed = Object.entries(env).filter(([name]) =>
    name.startsWith("DAEMONEYE_") || name === "NO_COLOR" || name === "TZ"
  );
  return { ...Object.fromEntries(passed), ...RUNTIME_VARIABLES, DENO_DIR: denoDir };
}
