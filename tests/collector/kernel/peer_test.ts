import assert from "node:assert/strict";
import { peersOf } from "../../../collector/kernel/peer.ts";

Deno.test("peersOf() finds the listener of the socket that was named, and no other socket", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/one.sock`;
  const listener = Deno.listen({ transport: "unix", path });
  const other = Deno.listen({ transport: "unix", path: `${directory}/other.sock` });
  const connection = await Deno.connect({ transport: "unix", path });
  const unnamed = await Deno.connect({ transport: "unix", path: `${directory}/other.sock` });
  const accepted = [await listener.accept(), await other.accept()];
  try {
    const peers = peersOf(path);
    assert.deepEqual(peers, [{ pid: Deno.pid, userId: Deno.uid(), groupId: Deno.gid() }]);
    assert.deepEqual(peersOf(`${directory}/none.sock`), []);
  } finally {
    for (const open of [connection, unnamed, ...accepted, listener, other]) open.close();
    await Deno.remove(directory, { recursive: true });
  }
});
