/**
 * A report with what names people and machines masked, to be shown to others.
 *
 * User names, the host's name, paths below home directories and command lines get numbers in the order in which the
 * report has them: the same one is the same number everywhere in it, so that relations stay, and nothing can be looked
 * up, as it could with hashes of names. What rules are called, paths of programs outside of home directories, numbers of
 * processes and times stay. In free texts (reasons, findings) the names that are known by then are replaced where they
 * stand as words.
 *
 * @module
 */
import type { AlertFacts, CoverageFacts, GraphNode, LedgerFacts, ListedAlert, ReportData, Talkers } from "./data.ts";

/** Directories whose next component names a person. */
const HOME = /^(\/(?:home|var\/home|export\/home|Users)\/)([^/]+)(\/.*)?$/s;
const ROOT_HOME = /^\/root\/(.+)$/s;
/** The same anywhere in a text. */
const HOME_IN_TEXT = /\/(?:(?:home|var\/home|export\/home|Users)\/[^/\s"']+(?:\/[^\s"']*)?|root\/[^\s"']+)/g;
/** Accounts of the system that are the same everywhere, and name nobody. */
const SYSTEM_USERS: ReadonlySet<string> = new Set(
  ("root,daemon,bin,sys,sync,games,man,lp,mail,news,uucp,proxy,www-data,backup,list,irc,nobody,sshd,messagebus,syslog," +
    "systemd-network,systemd-resolve,systemd-timesync,_apt,postgres,mysql,redis,nginx,apache,polkitd,chrony,dbus")
    .split(","),
);

/** The report without names; what it says of itself is in {@linkcode ReportData.redaction}. */
export function redact(data: ReportData): ReportData {
  const mask = new Mask(data.host.name);
  for (const name of userNames(data)) mask.user(name);
  const activity = {
    ...data.activity,
    programs: talkers(data.activity.programs, (name) => mask.path(name)),
    users: talkers(data.activity.users, (name) => mask.user(name)),
    parents: talkers(data.activity.parents, (name) => mask.path(name)),
  };
  const alerts = redactAlerts(data.alerts, mask);
  const programs = {
    ...data.programs,
    listed: data.programs.listed.map((each) => ({
      ...each,
      path: mask.path(each.path),
      user: maybe(each.user, (user) => mask.user(user)),
      parent: maybe(each.parent, (parent) => mask.path(parent)),
      command: maybe(each.command, (command) => mask.command(command)),
    })),
  };
  const coverage = redactCoverage(data.coverage, mask), ledger = redactLedger(data.ledger, mask);
  return {
    ...data,
    host: { ...data.host, name: data.host.name === null ? null : "host-1" },
    alerts,
    activity,
    programs,
    coverage,
    ledger,
    redaction: mask.facts,
  };
}

/** Every user that the report names: known first, so that texts before them lose them too. */
function* userNames({ alerts, activity, programs }: ReportData): Generator<string> {
  const texts = [
    ...activity.users.top.map(({ name }) => name),
    ...alerts.listed.flatMap(({ user, history }) => [user, ...history.map(({ actor }) => actor)]),
    ...[...alerts.processes.nodes.values()].map(({ user }) => user),
    ...programs.listed.map(({ user }) => user),
  ];
  for (const text of texts) if (text !== null) yield text;
  const paths = [
    ...alerts.listed.flatMap(({ executable, directory }) => [executable, directory]),
    ...[...alerts.processes.nodes.values()].map(({ executable }) => executable),
    ...programs.listed.map(({ path }) => path),
    ...activity.programs.top.map(({ name }) => name),
  ];
  for (const path of paths) {
    const owner = path === null ? null : HOME.exec(path);
    if (owner !== null) yield owner[2]!;
  }
}

function redactAlerts(alerts: AlertFacts, mask: Mask): AlertFacts {
  const nodes = new Map<string, GraphNode>();
  for (const [id, node] of alerts.processes.nodes) {
    nodes.set(id, {
      ...node,
      name: maskedName(node.name, node.executable, mask),
      executable: maybe(node.executable, (path) => mask.path(path)),
      command: maybe(node.command, (command) => mask.command(command)),
      user: maybe(node.user, (user) => mask.user(user)),
    });
  }
  return {
    ...alerts,
    pressing: alerts.pressing.map((rule) => ({ ...rule, title: mask.text(rule.title) })),
    rules: alerts.rules.map((rule) => ({ ...rule, title: mask.text(rule.title) })),
    listed: alerts.listed.map((alert) => redactAlert(alert, mask)),
    processes: { ...alerts.processes, nodes },
  };
}

function redactAlert(alert: ListedAlert, mask: Mask): ListedAlert {
  return {
    ...alert,
    id: mask.text(alert.id),
    title: mask.text(alert.title),
    description: mask.text(alert.description),
    name: maskedName(alert.name, alert.executable, mask),
    executable: maybe(alert.executable, (path) => mask.path(path)),
    command: maybe(alert.command, (command) => mask.command(command)),
    user: maybe(alert.user, (user) => mask.user(user)),
    directory: maybe(alert.directory, (path) => mask.path(path)),
    reason: maybe(alert.reason, (text) => mask.text(text)),
    mutedBy: maybe(alert.mutedBy, (text) => mask.text(text)),
    // A rule may select any column under any name: numbers say nothing of people, texts might
    evidence: alert.evidence.map((
      [name, value],
    ) => [name, /^(?:-?\d{1,16}(?:\.\d+)?|NULL)$/.test(value) ? value : "[masked]"]),
    unseen: alert.unseen.map((text) => mask.text(text)),
    history: alert.history.map((step) => ({
      ...step,
      actor: mask.user(step.actor),
      text: step.text === "" ? "" : "[masked]",
    })),
  };
}

/** The kernel's name of a process is taken from its file: that of a masked file is masked. */
function maskedName(name: string | null, executable: string | null, mask: Mask): string | null {
  if (name === null) return null;
  return executable !== null && mask.path(executable) !== executable ? mask.program(name) : mask.text(name);
}

function redactCoverage(coverage: CoverageFacts, mask: Mask): CoverageFacts {
  const { health } = coverage;
  return {
    ...coverage,
    health: health === null ? null : {
      ...health,
      findings: health.findings.map((each) => ({ ...each, text: mask.text(each.text) })),
    },
    gapReasons: coverage.gapReasons.map((each) => ({ ...each, reason: mask.text(each.reason) })),
    listedGaps: coverage.listedGaps.map((each) => ({ ...each, reason: mask.text(each.reason) })),
    sources: coverage.sources.map((each) => ({
      ...each,
      collector: mask.text(each.collector),
      detail: mask.text(each.detail),
      misses: each.misses.map((text) => mask.text(text)),
    })),
    rules: {
      ...coverage.rules,
      unhealthy: coverage.rules.unhealthy.map((each) => ({
        ...each,
        id: mask.text(each.id),
        why: mask.text(each.why),
      })),
    },
  };
}

function redactLedger(ledger: LedgerFacts, mask: Mask): LedgerFacts {
  if ("why" in ledger) return { ...ledger, why: mask.text(ledger.why) };
  if (ledger.host !== null) mask.host(ledger.host);
  return {
    ...ledger,
    host: ledger.host === null ? null : "host-1",
    key: null,
    verdict: mask.text(ledger.verdict),
    remarks: ledger.remarks.map((text) => mask.text(text)),
    head: ledger.head === null ? null : { ...ledger.head, origin: mask.text(ledger.head.origin), note: null },
  };
}

function talkers(list: Talkers, masked: (name: string) => string): Talkers {
  return { ...list, top: list.top.map((each) => ({ ...each, name: masked(each.name) })) };
}

function maybe(text: string | null, masked: (text: string) => string): string | null {
  return text === null ? null : masked(text);
}

/** Numbers for names, in the order in which they come. */
class Mask {
  readonly #users = new Map<string, string>();
  readonly #paths = new Map<string, string>();
  readonly #commands = new Map<string, string>();
  readonly #programs = new Map<string, string>();
  readonly #hosts: string[] = [];
  /** Matches any name as a word; made anew when there is another. */
  #words: RegExp | null = null;

  constructor(host: string | null) {
    if (host !== null) this.host(host);
  }

  get facts(): { users: number; paths: number; commands: number } {
    return { users: this.#users.size, paths: this.#paths.size, commands: this.#commands.size };
  }

  host(name: string): void {
    if (name === "" || this.#hosts.includes(name)) return;
    this.#hosts.push(name);
    this.#words = null;
  }

  user(name: string): string {
    if (name === "" || /^\d+$/.test(name) || SYSTEM_USERS.has(name)) return name;
    if (!this.#users.has(name)) this.#words = null;
    return numbered(this.#users, name, "user-");
  }

  program(name: string): string {
    return numbered(this.#programs, name, "program-");
  }

  command(text: string): string {
    return text === "" ? "" : `[${numbered(this.#commands, text, "command-")}]`;
  }

  path(path: string): string {
    const home = HOME.exec(path), own = ROOT_HOME.exec(path);
    if (home !== null) {
      const below = home[3] === undefined || home[3] === "/" ? "" : `/[${numbered(this.#paths, path, "path-")}]`;
      return `${home[1]}${this.user(home[2]!)}${below}`;
    }
    if (own !== null) return `/root/[${numbered(this.#paths, path, "path-")}]`;
    return this.text(path);
  }

  /** A text of any kind: paths of homes, then names that stand as words. */
  text(text: string): string {
    const shown = text.replace(HOME_IN_TEXT, (path) => this.path(path));
    this.#words ??= wordsOf([...this.#users.keys(), ...this.#hosts]);
    return this.#words === null
      ? shown
      : shown.replace(this.#words, (name) => this.#hosts.includes(name) ? "host-1" : this.#users.get(name) ?? name);
  }
}

function numbered(known: Map<string, string>, name: string, prefix: string): string {
  let masked = known.get(name);
  if (masked === undefined) known.set(name, masked = `${prefix}${known.size + 1}`);
  return masked;
}

/** Most names that are looked for in texts: a pattern of more would be slow, and no host has them. */
const MAX_WORDS = 2_000;

function wordsOf(names: readonly string[]): RegExp | null {
  // The longest first: alternatives are tried in their order
  const sorted = names.slice(0, MAX_WORDS).sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
  if (sorted.length === 0) return null;
  const escaped = sorted.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(`(?<![\\p{L}\\p{N}_])(?:${escaped.join("|")})(?![\\p{L}\\p{N}_])`, "gu");
}
