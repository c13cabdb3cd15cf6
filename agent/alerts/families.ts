/**
 * Groups alerts by families of processes: what one shell, script or service started belongs together.
 *
 * An alert joins the group of the nearest of its process and ancestors that has one. So that what a shell starts one
 * after the other is one group, the parent of a process that raised an alert has the group too, unless it is a service:
 * a child of the first process. Groups end when nothing came for an hour.
 *
 * @module
 */
import type { Alert, Ancestor } from "../../proto/alert.ts";
import { processOfExec } from "../../proto/identity.ts";

export const FAMILY_MS = 3_600_000;
/** Processes that are remembered. */
const MAX_MEMBERS = 10_000;

interface Membership {
  readonly groupId: string;
  readonly until: number;
}

export class Families {
  readonly #members = new Map<string, Membership>();

  clear(): void {
    this.#members.clear();
  }

  /** The group of an alert; its own id when it is the first. `ancestry` has the parent first. */
  groupOf(alert: Alert, ancestry: readonly Ancestor[], monotonic: number): string {
    for (const execId of [alert.execId, ...ancestry.filter(({ pid }) => pid > 2).map(({ execId }) => execId)]) {
      const known = this.#members.get(processOfExec(execId));
      if (known !== undefined && known.until > monotonic) return known.groupId;
    }
    return alert.alertId;
  }

  /** An alert of this process is of this group. */
  join(groupId: string, execId: string, ancestry: readonly Ancestor[], until: number): void {
    this.#put(processOfExec(execId), { groupId, until });
    const parent = ancestry[0], grandparent = ancestry[1];
    if (parent !== undefined && grandparent !== undefined && grandparent.pid > 2) {
      this.#put(processOfExec(parent.execId), { groupId, until });
    }
  }

  #put(process: string, membership: Membership): void {
    this.#members.delete(process);
    this.#members.set(process, membership);
    if (this.#members.size <= MAX_MEMBERS) return;
    for (const oldest of this.#members.keys()) {
      this.#members.delete(oldest);
      break;
    }
  }
}
