/**
 * The users and groups that the tiers run as, found in `/etc/passwd` and `/etc/group` or taken from fixed numbers.
 *
 * A checkout installs nothing, so the names need not exist: a process may run as a number that no file names. A fixed
 * number that belongs to somebody else is refused, since its owner could read what the tiers keep.
 *
 * @module
 */
/** Users and groups by number. The two daemons' group is the bus: it opens socket and token, nothing else. */
export interface Principals {
  readonly supervisor: number;
  readonly collector: number;
  readonly hasher: number;
  readonly responder: number;
  readonly analyzer: number;
  readonly agent: number;
  /** A user for readers that the supervisor starts; it owns nothing. */
  readonly viewer: number;
  readonly busGroup: number;
  /** The hasher's alone. */
  readonly hasherGroup: number;
  /** The response helper's alone. */
  readonly responderGroup: number;
  readonly readerGroup: number;
  readonly adminGroup: number;
}

/** Numbers for a machine that does not know the names. */
export const FIXED_IDS = {
  bus: 64170,
  collector: 64171,
  agent: 64172,
  reader: 64173,
  admin: 64174,
  hasher: 64175,
  responder: 64176,
  analyzer: 64177,
} as const;

/** A user or group cannot be had. The text says why and what to do. */
export class PrincipalError extends Error {
  override name = "PrincipalError";
}

/**
 * Users and groups for tiers started by root.
 *
 * @param passwd text of `/etc/passwd`
 * @param group text of `/etc/group`
 * @throws {PrincipalError} when a number that is needed belongs to somebody else.
 */
export function principalsOf(passwd: string, group: string): Principals {
  const users = new Table(passwd, "/etc/passwd"), groups = new Table(group, "/etc/group");
  const readerGroup = groups.idOf("daemoneye", FIXED_IDS.reader);
  return {
    supervisor: 0,
    collector: users.idOf("daemoneye-collector", FIXED_IDS.collector),
    hasher: users.idOf("daemoneye-hasher", FIXED_IDS.hasher),
    responder: users.idOf("daemoneye-responder", FIXED_IDS.responder),
    analyzer: users.idOf("daemoneye-analyzer", FIXED_IDS.analyzer),
    agent: users.idOf("daemoneye-agent", FIXED_IDS.agent),
    viewer: users.idOf("daemoneye-viewer", FIXED_IDS.reader),
    busGroup: groups.idOf("daemoneye-bus", FIXED_IDS.bus),
    hasherGroup: groups.idOf("daemoneye-hasher", FIXED_IDS.hasher),
    responderGroup: groups.idOf("daemoneye-responder", FIXED_IDS.responder),
    readerGroup,
    adminGroup: groups.idOf("daemoneye-admin", FIXED_IDS.admin),
  };
}

/** Everything as the one user who started it. */
export function ordinaryPrincipals(user: number, group: number): Principals {
  return {
    supervisor: user,
    collector: user,
    hasher: user,
    responder: user,
    analyzer: user,
    agent: user,
    viewer: user,
    busGroup: group,
    hasherGroup: group,
    responderGroup: group,
    readerGroup: group,
    adminGroup: group,
  };
}

/** Names and numbers of a file whose lines are `name:password:number:…`. */
class Table {
  readonly #byName = new Map<string, number>();
  readonly #byId = new Map<number, string>();

  constructor(text: string, readonly file: string) {
    for (const line of text.split("\n")) {
      const [name, , number] = line.split(":");
      if (name === undefined || number === undefined || !/^\d{1,10}$/.test(number)) continue;
      this.#byName.set(name, Number(number));
      if (!this.#byId.has(Number(number))) this.#byId.set(Number(number), name);
    }
  }

  idOf(name: string, fixed: number): number {
    const id = this.#byName.get(name) ?? fixed;
    if (id === 0) throw new PrincipalError(`${name} is number 0 in ${this.file}; give it a number of its own`);
    const owner = this.#byId.get(id);
    if (owner !== undefined && owner !== name) {
      throw new PrincipalError(
        `Number ${id} in ${this.file} belongs to ${owner}, but ${name} needs it; add ${name} with another number ` +
          `to ${this.file}, as in deploy/sysusers.conf`,
      );
    }
    return id;
  }
}
