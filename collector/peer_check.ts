/**
 * Whether the process that listens on the broker socket is the agent.
 *
 * @module
 */
import { peersOf } from "./kernel/peer.ts";
import { resolveUser } from "./users.ts";

/** A check that throws unless the connected listener of `socket` runs as `user`; with no user named, all pass. */
export function peerCheck(socket: string, user: string): () => void {
  if (user === "") return () => {};
  const expected = resolveUser(user);
  return () => {
    const peers = peersOf(socket);
    if (peers.length === 0) throw new Error(`The listener of ${socket} could not be identified`);
    for (const peer of peers) {
      if (peer.userId !== expected) {
        throw new Error(
          `${socket} is listened on by user ${peer.userId} (process ${peer.pid}), not by user ${expected}`,
        );
      }
    }
  };
}
