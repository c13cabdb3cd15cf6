/**
 * Circumstances of processes in the model's form, out of what sources find: names looked up, the container named, the
 * environment redacted.
 *
 * One object for each change: events and snapshots of a process share it until something in it is another.
 *
 * @module
 */
import type { ProcessContext } from "../proto/process_event.ts";
import { type Container, containerOf } from "./containers.ts";
import type { Ids, Redactor } from "./images.ts";
import type { RawContext } from "./sources/source.ts";

/** Control groups whose container is remembered. */
const MAX_KNOWN_GROUPS = 4_096;

export interface Names {
  userName(userId: number): string | null;
  groupName(groupId: number): string | null;
}

/** The fields that a context takes over as they are. */
const PLAIN = [
  "cwd",
  "savedUserId",
  "effectiveGroupId",
  "savedGroupId",
  "loginUserId",
  "sessionId",
  "tty",
  "effectiveCapabilities",
  "userNamespace",
  "pidNamespace",
  "mountNamespace",
  "networkNamespace",
  "cgroupPath",
  "cgroupId",
  "interpreterPath",
  "scriptPath",
  "stdinKind",
  "stdoutKind",
] as const satisfies readonly (keyof RawContext & keyof ProcessContext)[];

export class Contexts {
  readonly #names: Names;
  readonly #redactor: Pick<Redactor, "environment" | "keptEnvironment">;
  /** Of contexts with variables that are captured for rules alone, the same without them. */
  readonly #kept = new WeakMap<ProcessContext, ProcessContext>();
  readonly #containers = new Map<string, Container | null>();

  constructor(names: Names, redactor: Pick<Redactor, "environment" | "keptEnvironment">) {
    this.#names = names;
    this.#redactor = redactor;
  }

  /** The circumstances of a new execution. */
  of(raw: RawContext | null, ids: Ids): ProcessContext | null {
    if (raw === null) return null;
    const container = raw.cgroupPath === null ? null : this.#container(raw.cgroupPath);
    const context: ProcessContext = {
      cwd: raw.cwd,
      effectiveUserName: this.#user(ids.effectiveUserId),
      groupName: this.#group(ids.groupId),
      savedUserId: raw.savedUserId,
      effectiveGroupId: raw.effectiveGroupId,
      savedGroupId: raw.savedGroupId,
      loginUserId: raw.loginUserId,
      sessionId: raw.sessionId,
      tty: raw.tty,
      effectiveCapabilities: raw.effectiveCapabilities,
      userNamespace: raw.userNamespace,
      pidNamespace: raw.pidNamespace,
      mountNamespace: raw.mountNamespace,
      networkNamespace: raw.networkNamespace,
      cgroupPath: raw.cgroupPath,
      cgroupId: raw.cgroupId,
      containerId: container?.id ?? null,
      containerRuntime: container?.runtime ?? null,
      podId: container?.podId ?? null,
      interpreterPath: raw.interpreterPath,
      scriptPath: raw.scriptPath,
      stdinKind: raw.stdinKind,
      stdoutKind: raw.stdoutKind,
      environment: this.#redactor.environment(raw.environment, raw.environmentCut),
    };
    const environment = this.#redactor.keptEnvironment(raw.environment, raw.environmentCut);
    if (environment !== context.environment) this.#kept.set(context, { ...context, environment });
    return context;
  }

  /**
   * What may be remembered of the circumstances once the start was told: without variables that rules alone ask for. So
   * nothing of them outlasts the demand in what is told of children, in later events or in process tables.
   */
  keptOf(context: ProcessContext | null): ProcessContext | null {
    return context === null ? null : this.#kept.get(context) ?? context;
  }

  /**
   * The circumstances as a table shows them now; the very same object when nothing differs. What the table does not
   * say stays as it was: scripts and environments are facts of an `execve`, which no table shows.
   */
  update(before: ProcessContext | null, raw: RawContext | null, idsBefore: Ids, ids: Ids): ProcessContext | null {
    if (raw === null) return before;
    if (before === null) return this.keptOf(this.of(raw, ids));
    const isSame = PLAIN.every((field) => raw[field] === null || raw[field] === before[field]) &&
      (ids.effectiveUserId ?? idsBefore.effectiveUserId) === idsBefore.effectiveUserId &&
      (ids.groupId ?? idsBefore.groupId) === idsBefore.groupId;
    if (isSame) return before;
    const merged = { ...raw };
    for (const field of PLAIN) if (merged[field] === null) Object.assign(merged, { [field]: before[field] });
    return { ...this.of(merged, ids)!, environment: before.environment };
  }

  /** The circumstances of a child that its parent's differ from only in the pid namespace. */
  ofChild(parent: ProcessContext | null, pidNamespace: number | null): ProcessContext | null {
    if (parent === null || pidNamespace === null || parent.pidNamespace === pidNamespace) return parent;
    return { ...parent, pidNamespace };
  }

  #container(path: string): Container | null {
    let container = this.#containers.get(path);
    if (container === undefined) {
      if (this.#containers.size >= MAX_KNOWN_GROUPS) this.#containers.clear();
      container = containerOf(path);
      this.#containers.set(path, container);
    }
    return container;
  }

  #user(id: number | null): string | null {
    return id === null ? null : this.#names.userName(id);
  }

  #group(id: number | null): string | null {
    return id === null ? null : this.#names.groupName(id);
  }
}

/** Columns of the context whose change is worth an event. A shell changes its directory all day. */
const TELLING: readonly [string, keyof ProcessContext][] = [
  ["saved_user_id", "savedUserId"],
  ["effective_group_id", "effectiveGroupId"],
  ["saved_group_id", "savedGroupId"],
  ["login_user_id", "loginUserId"],
  ["effective_capabilities", "effectiveCapabilities"],
  ["user_namespace", "userNamespace"],
  ["mount_namespace", "mountNamespace"],
  ["network_namespace", "networkNamespace"],
  ["cgroup_path", "cgroupPath"],
  ["stdin_kind", "stdinKind"],
  ["stdout_kind", "stdoutKind"],
];

/** The columns in which a context changed. What was not known before, or is not known now, is no change. */
export function contextChanges(before: ProcessContext | null, after: ProcessContext | null): string[] {
  if (before === null || after === null || before === after) return [];
  return TELLING.filter(([, field]) =>
    before[field] !== null && after[field] !== null && before[field] !== after[field]
  )
    .map(([column]) => column);
}
