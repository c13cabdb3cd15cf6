/**
 * Who is at the other end of a Unix socket of this process.
 *
 * A `Deno.Conn` does not tell its file descriptor, so the descriptors are walked for the sockets whose peer, or which
 * themselves, have the path. The kernel fixed the credentials of a listener when it began to listen, and those of whoever
 * connects when it did (unix(7), SO_PEERCRED).
 *
 * @module
 */
import { libc } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const AF_UNIX = 1;
/** Descriptors above this are not looked at: the collector has some dozens. */
const MAX_FD = 1024;

export interface PeerCredentials {
  readonly pid: number;
  readonly userId: number;
  readonly groupId: number;
}

const call = {
  address: new Uint8Array(128),
  length: new Uint32Array(1),
  lengthBytes: new Uint8Array(0),
  credentials: new Int32Array(3),
  credentialBytes: new Uint8Array(0),
};
call.lengthBytes = new Uint8Array(call.length.buffer);
call.credentialBytes = new Uint8Array(call.credentials.buffer);

/** Credentials of the listener of every connection of this process to `path`; normally one. */
export function peersOf(path: string): PeerCredentials[] {
  return sockets((fd) => libc.getpeername(fd, call.address, call.lengthBytes) >= 0 && addressPath() === path);
}

/** Credentials of whoever is connected to the socket at `path` that this process listens on. */
export function connectedTo(path: string): PeerCredentials[] {
  return sockets((fd) => {
    if (libc.getsockname(fd, call.address, call.lengthBytes) < 0 || addressPath() !== path) return false;
    call.length[0] = call.address.length;
    return libc.getpeername(fd, call.address, call.lengthBytes) >= 0; // not the one that listens
  });
}

function sockets(isWanted: (fd: number) => boolean): PeerCredentials[] {
  const found: PeerCredentials[] = [];
  for (let fd = 3; fd < MAX_FD; fd++) {
    call.length[0] = call.address.length;
    if (!isWanted(fd)) continue;
    call.length[0] = call.credentialBytes.length;
    if (libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, call.credentialBytes, call.lengthBytes) < 0) continue;
    found.push({ pid: call.credentials[0]!, userId: call.credentials[1]!, groupId: call.credentials[2]! });
  }
  return found;
}

function addressPath(): string | null {
  // The kernel writes only as much as it says: behind that stand the bytes of the call before.
  const length = Math.min(call.length[0]!, call.address.length);
  const family = call.address[0]! | call.address[1]! << 8;
  if (family !== AF_UNIX || length <= 2) return null;
  const path = call.address.subarray(2, length);
  const end = path.indexOf(0);
  return new TextDecoder().decode(end < 0 ? path : path.subarray(0, end));
}
