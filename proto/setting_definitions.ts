/**
 * Every setting there is: its type, range, unit, default and what it is for.
 *
 * @module
 */
import { SOURCE_NAMES } from "./process_event.ts";
import type { SinkEntry } from "./sink_settings.ts";
import { INSTALLED_STATE } from "./state_layout.ts";

type Definition =
  | { kind: "integer"; min: number; max: number; unit: string; default: number; text: string }
  | { kind: "choice"; values: readonly string[]; default: string; text: string }
  | { kind: "path"; default: string; text: string }
  | { kind: "paths"; default: readonly string[]; text: string }
  | { kind: "names"; default: readonly string[]; text: string }
  | { kind: "name"; default: string; text: string }
  | { kind: "sinks"; default: readonly SinkEntry[]; text: string };

/** Variables that say how a program was loaded, from where somebody came, and who they were before. */
export const CAPTURED_VARIABLES: readonly string[] = [
  "LD_*",
  "GCONV_PATH",
  "BASH_ENV",
  "ENV",
  "PROMPT_COMMAND",
  "HISTFILE",
  "HISTCONTROL",
  "PYTHONPATH",
  "PYTHONSTARTUP",
  "PERL5LIB",
  "PERL5OPT",
  "RUBYOPT",
  "NODE_OPTIONS",
  "JAVA_TOOL_OPTIONS",
  "SSH_CLIENT",
  "SSH_CONNECTION",
  "SSH_TTY",
  "SSH_ORIGINAL_COMMAND",
  "SUDO_USER",
  "SUDO_COMMAND",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "http_proxy",
  "https_proxy",
  "KUBERNETES_SERVICE_HOST",
  "container",
];

/**
 * Variables that rules may ask for: of what a program is made and how it behaves, and no place where secrets are handed
 * over. Whoever takes over the agent can ask for them too.
 */
const DEMANDABLE_VARIABLES: readonly string[] = [
  ...["PATH", "IFS", "SHELL", "SHELLOPTS", "BASHOPTS", "INPUTRC", "PS4", "HOME", "USER", "LOGNAME", "PWD", "OLDPWD"],
  ...["TERM", "LANG", "TZ", "TMPDIR", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_*"],
  ...["EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE"],
  ...[
    "GLIBC_TUNABLES",
    "MALLOC_*",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "SSLKEYLOGFILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
  ],
  ...["PYTHON*", "PERL5DB", "PERLLIB", "RUBYLIB", "NODE_PATH", "PHPRC", "PHP_INI_SCAN_DIR", "LUA_INIT", "LUA_PATH"],
  ...["CLASSPATH", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "DOTNET_STARTUP_HOOKS", "CORECLR_*", "COR_*"],
  ...["GIT_SSH", "GIT_SSH_COMMAND", "GIT_PAGER", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS"],
  ...["SUDO_ASKPASS", "SUDO_UID", "SUDO_GID", "PKEXEC_UID", "KUBECONFIG", "DOCKER_HOST", "NO_PROXY", "no_proxy"],
];

/** Every setting there is. `""` as default of a path or name means: derived, or not used. */
export const DEFINITIONS: Readonly<Record<string, Definition>> = {
  "state_dir": { kind: "path", default: INSTALLED_STATE, text: "directory of everything that the daemons keep" },
  "analysis": {
    kind: "choice",
    values: ["on", "off"],
    default: "off",
    text: "analyses of files and processes: by triggers, and by those who ask",
  },
  "yara_rules": {
    kind: "path",
    default: "",
    text: "directory of YARA rules for analyses; yara in the state's rules by default",
  },
  "broker_socket": {
    kind: "path",
    default: "",
    text: "socket of the agent's broker; broker.sock in the run directory",
  },
  "rules_dirs": {
    kind: "paths",
    default: [],
    text: "directories of rule files; the state directory's rules by default",
  },
  "collector.id": { kind: "name", default: "procmond", text: "name of the collector" },
  "collector.source": {
    kind: "choice",
    values: ["auto", ...SOURCE_NAMES],
    default: "auto",
    text: "event source: the best there is, or exactly this one",
  },
  "collector.ring_bytes": {
    kind: "integer",
    min: 4_096,
    max: 1_073_741_824,
    unit: "bytes, a power of two",
    default: 8_388_608,
    text: "ring buffer between kernel and collector",
  },
  "collector.poll_interval_ms": {
    kind: "integer",
    min: 100,
    max: 3_600_000,
    unit: "ms",
    default: 1_000,
    text: "interval of the polling source",
  },
  "collector.snapshot_interval_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 30_000,
    text: "interval at which the process table is read whole",
  },
  "collector.reconcile_interval_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 10_000,
    text: "interval within which what one source misses of what a second one sees is told",
  },
  "collector.wal_max_bytes": {
    kind: "integer",
    min: 1_048_576,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 268_435_456,
    text: "room on disk for events that the agent has not taken; what finds none is given up by its value, as a gap",
  },
  "collector.wal_segment_bytes": {
    kind: "integer",
    min: 65_536,
    max: 134_217_728,
    unit: "bytes",
    default: 8_388_608,
    text: "one file of the write-ahead log, at most an eighth of all",
  },
  "collector.wal_keep_ms": {
    kind: "integer",
    min: 0,
    max: 604_800_000,
    unit: "ms",
    default: 3_600_000,
    text: "time that files of the write-ahead log stay after the agent has acknowledged them, unless room is needed",
  },
  "collector.wal_memory_bytes": {
    kind: "integer",
    min: 1_048_576,
    max: 1_073_741_824,
    unit: "bytes",
    default: 33_554_432,
    text: "events that wait in memory while the disk takes nothing",
  },
  "collector.max_tracked_processes": {
    kind: "integer",
    min: 1_000,
    max: 4_194_304,
    unit: "processes",
    default: 65_536,
    text: "living processes that are remembered; past them the oldest are forgotten, which is a gap",
  },
  "collector.skip_kernel_threads": {
    kind: "choice",
    values: ["yes", "no"],
    default: "no",
    text: "leave threads of the kernel out of snapshots and events",
  },
  "collector.memory_change_percent": {
    kind: "integer",
    min: 0,
    max: 1_000_000,
    unit: "percent, 0 for never",
    default: 0,
    text: "change of a process' memory that is more than this is an event",
  },
  "collector.cpu_change_percent": {
    kind: "integer",
    min: 0,
    max: 1_000_000,
    unit: "percent, 0 for never",
    default: 0,
    text: "growth of a process' CPU time that is more than this is an event",
  },
  "collector.environment": {
    kind: "names",
    default: CAPTURED_VARIABLES,
    text: "environment variables that are captured; a name may end with a star",
  },
  "collector.environment_on_demand": {
    kind: "names",
    default: DEMANDABLE_VARIABLES,
    text: "environment variables that are captured too while a rule names them; none when empty, all with a star alone",
  },
  "collector.redaction": {
    kind: "choice",
    values: ["on", "off"],
    default: "on",
    text: "masking of secrets; off only in a file that root alone can write",
  },
  "collector.hashing": {
    kind: "choice",
    values: ["on", "on-demand", "off"],
    default: "on",
    text: "hashes of executables, by a process of its own: always, while a rule reads them, or never",
  },
  "collector.hash_max_bytes": {
    kind: "integer",
    min: 4_096,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 536_870_912,
    text: "largest executable that is hashed",
  },
  "collector.fuzzy_max_bytes": {
    kind: "integer",
    min: 0,
    max: 1_073_741_824,
    unit: "bytes, 0 for none",
    default: 33_554_432,
    text: "largest executable that gets a fuzzy hash too",
  },
  "collector.hash_timeout_ms": {
    kind: "integer",
    min: 100,
    max: 600_000,
    unit: "ms",
    default: 10_000,
    text: "time that the hash of one executable may take",
  },
  "collector.hasher_user": {
    kind: "name",
    default: "",
    text: "user that the hasher must run as; unchecked when empty",
  },
  "collector.responder_user": {
    kind: "name",
    default: "",
    text: "user that the response helper runs as; without one there are no responses (docs/response.md)",
  },
  "collector.user": { kind: "name", default: "", text: "user (name or number) that the collector becomes" },
  "collector.group": { kind: "name", default: "", text: "group (name or number) that the collector becomes" },
  "collector.confinement": {
    kind: "choice",
    values: ["in-process", "re-exec"],
    default: "in-process",
    text: "how the collector gives its privileges up: as it runs, or by executing itself again, with Landlock",
  },
  "collector.syscall_filter": {
    kind: "choice",
    values: ["errno", "kill", "off"],
    default: "errno",
    text: "what befalls a system call that the collector has no need of: an error, its end, or nothing",
  },
  "collector.keep_ptrace": {
    kind: "choice",
    values: ["yes", "no"],
    default: "no",
    text:
      "keep the right to look at other users' processes, where eBPF cannot; yes only in a file that root alone can " +
      "write, with re-exec",
  },
  "collector.ledger": {
    kind: "choice",
    values: ["on", "off"],
    default: "on",
    text: "the audit ledger; off only in a file that root alone can write",
  },
  "collector.ledger_hash": {
    kind: "choice",
    values: ["blake3", "sha256"],
    default: "blake3",
    text: "what hashes a new ledger: sha256 where other people's tools are to check proofs",
  },
  "collector.ledger_checkpoint_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 10_000,
    text: "time between two signed checkpoints of the audit ledger, when entries were added",
  },
  "collector.obeys_shutdown": {
    kind: "choice",
    values: ["yes", "no"],
    default: "no",
    text: "let the agent end the collector by a call; its supervisor starts it again, or does not",
  },
  "collector.agent_user": { kind: "name", default: "", text: "user that the agent must run as; unchecked when empty" },
  "agent.alert_file": {
    kind: "path",
    default: "",
    text: "file of alerts, a JSON object a line; alerts.jsonl by default",
  },
  "agent.stdout": { kind: "choice", values: ["human", "json", "none"], default: "human", text: "alerts on stdout" },
  "agent.sinks": {
    kind: "sinks",
    default: [],
    text: "further places that alerts go to, a list: docs/sinks.md; as a flag or variable a list in JSON",
  },
  "agent.rule_deadline_ms": {
    kind: "integer",
    min: 10,
    max: 10_000,
    unit: "ms",
    default: 100,
    text: "time that a rule may take for one batch",
  },
  "agent.window_minutes": {
    kind: "integer",
    min: 1,
    max: 1_440,
    unit: "minutes",
    default: 15,
    text: "longest window that a rule may have: memory holds the events of so long that rules over windows can use",
  },
  "agent.window_rows": {
    kind: "integer",
    min: 1_000,
    max: 5_000_000,
    unit: "rows",
    default: 200_000,
    text: "rows of all windows together, some 250 bytes each; past them the oldest are left out, which alerts say",
  },
  "agent.retention_hours": {
    kind: "integer",
    min: 1,
    max: 876_000,
    unit: "hours",
    default: 720,
    text: "time that events are kept, and processes that ended",
  },
  "agent.alert_retention_hours": {
    kind: "integer",
    min: 1,
    max: 876_000,
    unit: "hours",
    default: 9_600,
    text: "time that alerts and gaps are kept",
  },
  "agent.store_max_bytes": {
    kind: "integer",
    min: 67_108_864,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 4_294_967_296,
    text: "size of the store, its log included, from which on the oldest events are removed",
  },
  "agent.alert_window_seconds": {
    kind: "integer",
    min: 1,
    max: 86_400,
    unit: "seconds",
    default: 300,
    text: "time in which the same hit of a rule, by default one on the same process, is counted and no further alert",
  },
  "agent.alert_rule_per_minute": {
    kind: "integer",
    min: 1,
    max: 1_000_000,
    unit: "alerts a minute",
    default: 60,
    text: "alerts of one rule; further hits are counted and summed up, critical ones are alerts all the same",
  },
  "agent.alert_per_minute": {
    kind: "integer",
    min: 1,
    max: 1_000_000,
    unit: "alerts a minute",
    default: 600,
    text: "the same of all rules together",
  },
  "agent.backlog_alerts": {
    kind: "integer",
    min: 100,
    max: 10_000_000,
    unit: "alerts",
    default: 200_000,
    text: "alerts that may be owed to one sink; past them the least severe and oldest are given up, and counted",
  },
  "agent.backlog_bytes": {
    kind: "integer",
    min: 1_048_576,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 536_870_912,
    text: "the same in bytes",
  },
  "agent.startup_timeout_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 60_000,
    text: "time for every expected collector to register; after it the start has failed, and the others are served",
  },
  "agent.max_connections": {
    kind: "integer",
    min: 1,
    max: 1_000,
    unit: "connections",
    default: 16,
    text: "collectors connected at once",
  },
  "agent.idle_timeout_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 30_000,
    text: "silence after which a collector's connection ends",
  },
};

/** `name: value (unit), from layer: text` for each setting, for people. */
export function describeSettings(): string {
  return Object.entries(DEFINITIONS).map(([key, d]) => {
    const range = d.kind === "integer"
      ? ` (${d.min} to ${d.max} ${d.unit})`
      : d.kind === "choice"
      ? ` (${d.values.join(", ")})`
      : "";
    const initial = Array.isArray(d.default) ? "" : String(d.default);
    return `  ${key.padEnd(32)} ${d.text}${range}${initial === "" ? "" : `, default ${initial}`}`;
  }).join("\n");
}
