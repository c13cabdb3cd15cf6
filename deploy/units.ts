/**
 * The files of `deploy/systemd/`: units of the three daemons and the directories that they need, made from the same tables
 * by which `deno task start` starts them, so that both give a tier the same user, groups, capabilities and modes.
 *
 * Pure: text out. What they need beside that stands in `docs/supervision.md`. Nobody restarts a collector for the agent
 * there: `Restart=` does.
 *
 * @module
 */
import { INSTALLED_STATE, stateLayout } from "../proto/state_layout.ts";
import type { Principals } from "./principals.ts";
import { KEY_MODE, ownership, TIER_UMASK, TOKEN_MODE } from "./ownership.ts";
import { RUNTIME_VARIABLES } from "./runtime_flags.ts";
import { COLLECTOR_CAPABILITIES, HASHER_CAPABILITY } from "./tier_command.ts";

/** Numbers that stand for names in the tables of owners. */
const WHO: Principals = {
  ...{ supervisor: 0, collector: 1, hasher: 2, agent: 3, responder: 4, analyzer: 5, viewer: 6 },
  ...{ busGroup: 7, hasherGroup: 8, readerGroup: 9, adminGroup: 10, responderGroup: 11 },
};
const USERS = ["root", "daemoneye-collector", "daemoneye-hasher", "daemoneye-agent", "daemoneye-responder"] as const;
const GROUPS: Readonly<Record<number, string>> = {
  0: "root",
  [WHO.busGroup]: "daemoneye-bus",
  [WHO.hasherGroup]: "daemoneye-hasher",
  [WHO.readerGroup]: "daemoneye",
  [WHO.adminGroup]: "daemoneye-admin",
  [WHO.responderGroup]: "daemoneye-responder",
};
const [, COLLECTOR, HASHER, AGENT] = USERS, BUS = GROUPS[WHO.busGroup]!;
const LAYOUT = stateLayout(INSTALLED_STATE);
/** What the runtime would keep there is trusted by it: no daemon writes it. */
const DENO_DIR = `${LAYOUT.state}/deno_dir`;

/** Of every daemon. No `MemoryDenyWriteExecute=`: the JavaScript engine makes code. */
const COMMON: readonly string[] = [
  "Type=exec",
  "NoNewPrivileges=yes",
  `UMask=${octal(TIER_UMASK)}`,
  "Environment=" + Object.entries(RUNTIME_VARIABLES).map(([name, value]) => `${name}=${value}`).join(" "),
  `Environment=DENO_DIR=${DENO_DIR}`,
  "StandardInput=null",
  "ProtectSystem=strict",
  "SystemCallArchitectures=native",
  "Restart=always",
  "RestartSec=1",
  "TimeoutStopSec=5",
];
/** Of those that begin without root's rights. */
const UNPRIVILEGED: readonly string[] = [
  "LockPersonality=yes",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
];

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function capabilities(names: readonly string[]): string {
  return names.map((name) => `CAP_${name.toUpperCase()}`).join(" ");
}

interface Unit {
  readonly description: string;
  /** Units that it needs, and those that it only comes after. */
  readonly requires: readonly string[];
  readonly wants?: readonly string[];
  readonly service: readonly string[];
}

function unit({ description, requires, wants = [], service }: Unit): string {
  const after = [...requires, ...wants];
  return [
    "# Made by 'deno task gen' from deploy/units.ts; change it by a drop-in.",
    "[Unit]",
    `Description=${description}`,
    "StartLimitIntervalSec=600",
    "StartLimitBurst=20",
    `Requires=${requires.join(" ")}`,
    ...wants.length > 0 ? [`Wants=${wants.join(" ")}`] : [],
    `After=${after.join(" ")}`,
    "",
    "[Service]",
    ...service,
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}

/** All files by name. */
export function systemdFiles(): Record<string, string> {
  const secrets = "daemoneye-secrets.service", agent = "daemoneye-agent.service", hasher = "daemoneye-hasher.service";
  const identity = `--set collector.user=${COLLECTOR} --set collector.group=${BUS}`;
  return {
    "daemoneye-tmpfiles.conf": tmpfiles(),
    "daemoneye-secrets": secretsScript(),
    [secrets]: [
      "# Made by 'deno task gen' from deploy/units.ts; change it by a drop-in.",
      "[Unit]",
      "Description=Secrets of DaemonEye",
      "After=local-fs.target systemd-tmpfiles-setup.service",
      "",
      "[Service]",
      "Type=oneshot",
      "RemainAfterExit=yes",
      "ExecStart=/usr/lib/daemoneye/daemoneye-secrets",
      "",
    ].join("\n"),
    [agent]: unit({
      description: "DaemonEye agent: stores what collectors see, judges it by rules, delivers alerts",
      requires: [secrets],
      service: [
        ...COMMON,
        "ExecStart=/usr/bin/daemoneye-agent",
        "ExecReload=/bin/kill -HUP $MAINPID",
        `User=${AGENT}`,
        `Group=${BUS}`,
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        ...UNPRIVILEGED,
        `ReadWritePaths=${LAYOUT.run} ${LAYOUT.agent}`,
        `InaccessiblePaths=${LAYOUT.keys} ${LAYOUT.collector}`,
        "PrivateDevices=yes",
        "PrivateTmp=yes",
        "ProtectHome=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
      ],
    }),
    [hasher]: unit({
      description: "DaemonEye hasher: hashes what is executed",
      requires: [secrets],
      // It must read what is executed, wherever that lies: no private /tmp, /home or /dev.
      service: [
        ...COMMON,
        `ExecStart=/usr/bin/daemoneye-hasher ${identity}`,
        `User=${HASHER}`,
        `Group=${GROUPS[WHO.hasherGroup]}`,
        `CapabilityBoundingSet=${capabilities([HASHER_CAPABILITY])}`,
        `AmbientCapabilities=${capabilities([HASHER_CAPABILITY])}`,
        ...UNPRIVILEGED,
        `ReadWritePaths=${LAYOUT.hasher}`,
        "RestrictAddressFamilies=AF_UNIX",
      ],
    }),
    "daemoneye-collector.service": unit({
      description: "DaemonEye collector: sees every process that runs",
      requires: [secrets],
      wants: [agent, hasher],
      // It opens its sources as root and then gives up everything itself, in all threads: docs/privileges.md.
      service: [
        ...COMMON,
        `ExecStart=/usr/bin/daemoneye-collector ${identity} --set collector.agent_user=${AGENT} ` +
        `--set collector.hasher_user=${HASHER}`,
        `CapabilityBoundingSet=${capabilities(COLLECTOR_CAPABILITIES)}`,
        `ReadWritePaths=${LAYOUT.collector}`,
      ],
    }),
  };
}

function tmpfiles(): string {
  const lines = ownership(LAYOUT, WHO).map(({ path, owner, group, mode }) =>
    `d ${path} ${octal(mode)} ${USERS[owner]} ${GROUPS[group]} -`
  );
  return `# Made by 'deno task gen' from deploy/units.ts. Directories of DaemonEye, for systemd-tmpfiles.\n${
    [...lines, `d ${DENO_DIR} 0555 root root -`].join("\n")
  }\n`;
}

/** Makes the secrets that are missing. Each has its owner and mode before it has its name. */
function secretsScript(): string {
  const secret = (path: string, group: string, mode: number) => `secret ${path} ${group} ${octal(mode)}`;
  return `#!/bin/sh
# Made by 'deno task gen' from deploy/units.ts. Makes the secrets of DaemonEye that are missing, below the directory given.
set -eu
umask 077
root=\${1:-}

secret() {
  [ ! -s "$root$1" ] || return 0
  new=$(mktemp "$root$1.XXXXXXXXXX")
  { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \\n'; echo; } >"$new"
  chown "0:$2" "$new"
  chmod "$3" "$new"
  mv -T "$new" "$root$1"
}

group() {
  entry=$(grep "^$1:" "$root/etc/group") || { echo "there is no group $1: run systemd-sysusers" >&2; exit 1; }
  echo "$entry" | cut -d: -f3
}

bus=$(group ${BUS})
${secret(LAYOUT.token, '"$bus"', TOKEN_MODE)}
${secret(LAYOUT.redactionKey, "0", KEY_MODE)}
${secret(LAYOUT.ledgerKey, "0", KEY_MODE)}
`;
}
