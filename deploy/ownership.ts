/**
 * Whose the directories of a state are, and who else may pass, read or write there. `docs/privileges.md` explains it.
 *
 * @module
 */
import type { StateLayout } from "../proto/state_layout.ts";
import type { Principals } from "./principals.ts";

export interface OwnedDirectory {
  readonly path: string;
  readonly owner: number;
  readonly group: number;
  readonly mode: number;
}

/** Mode of the token, owned by the supervisor's user and the bus. */
export const TOKEN_MODE = 0o640;
/** Mode of the keys, owned by the supervisor's user: as root the collector reads them before it is somebody else. */
export const KEY_MODE = 0o400;
/** What the daemons create is readable for their group and closed to others. */
export const TIER_UMASK = 0o027;

/** The directories of a state, in the order in which they are made, with owner, group and mode. */
export function ownership(layout: StateLayout, who: Principals): OwnedDirectory[] {
  return [
    { path: layout.state, owner: who.supervisor, group: who.readerGroup, mode: 0o755 },
    // Sticky: the agent may make its socket here, but not replace the token. Others pass, to the requests alone: nothing
    // else in it is open to them.
    { path: layout.run, owner: who.supervisor, group: who.busGroup, mode: 0o1771 },
    // The agent lists and empties it; operators put files into it and see none but their own. Setgid: the group of a file
    // there shows that a member of it made the file.
    { path: layout.requests, owner: who.agent, group: who.adminGroup, mode: 0o3730 },
    // The collector passes as its owner, the hasher as its group, and makes its socket there; nobody else.
    { path: layout.hasher, owner: who.collector, group: who.hasherGroup, mode: 0o730 },
    // The same for the response helper.
    { path: layout.responder, owner: who.collector, group: who.responderGroup, mode: 0o730 },
    // Setgid: what the helper puts there is read by those who may ask for it, and by no tier.
    { path: layout.responses, owner: who.responder, group: who.adminGroup, mode: 0o2750 },
    // Setgid: what a daemon creates belongs to the readers, not to the bus.
    { path: layout.collector, owner: who.collector, group: who.readerGroup, mode: 0o2750 },
    { path: layout.agent, owner: who.agent, group: who.readerGroup, mode: 0o2750 },
    { path: layout.rules, owner: who.supervisor, group: who.readerGroup, mode: 0o755 },
    // Not in the collector's own directory, where it could put another key in the place of ours.
    { path: layout.keys, owner: who.supervisor, group: keyGroup(who), mode: 0o700 },
  ];
}

/** The group of the keys: root's own, or an ordinary user's. It may do nothing with them. */
export function keyGroup(who: Principals): number {
  return who.supervisor === 0 ? 0 : who.busGroup;
}
