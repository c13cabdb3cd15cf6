/**
 * The command line that starts a tier: which user, which namespace, which environment, which grants.
 *
 * Every step replaces the one before (`exec`), so the process that the supervisor started is the tier itself.
 *
 * @module
 */
import { BUNDLE_FLAGS, grantFlags, RUNTIME_VARIABLES, type TierGrants } from "./privileges.ts";

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
  "setuid",
  "setgid",
];

/** What a collector needs beside them that executes itself again: to empty its bounding set. */
export const REEXEC_CAPABILITIES: readonly string[] = [...COLLECTOR_CAPABILITIES, "setpcap"];

const SETPRIV = "/usr/bin/setpriv";

/** `command` as another user in one group, without capabilities and without a way to get any. */
export function asUser(user: number, group: number, command: readonly string[]): string[] {
  return [
    SETPRIV,
    `--reuid=${user}`,
    `--regid=${group}`,
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    "--bounding-set=-all",
    // After the change of user, which clears it: the tier ends with the supervisor's thread that started it.
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

/** `command` in a mount namespace of its own, in which `view` is mounted. */
export function inMountedView(view: MountedView, command: readonly string[]): string[] {
  const mount = 'mount --bind -o nosuid,nodev,noexec "$1" "$2" && shift 2 && exec "$@"';
  return [
    "/usr/bin/unshare",
    "--mount",
    "--propagation=private",
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
