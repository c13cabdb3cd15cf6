/**
 * Connections of sinks: to a host, with or without TLS, or to a Unix socket.
 *
 * Whom a connection leads to is settled here and never given up for less: by the certificate's name and issuer, or by its
 * fingerprint where one is pinned. Every step has a deadline, so that a host that accepts and says nothing holds its own
 * sink alone.
 *
 * @module
 */
import net from "node:net";
import tls from "node:tls";
import type { TlsSettings } from "../../../proto/sink_settings.ts";
import { failed, textOf } from "../sink.ts";
import { readCertificate, readSecret } from "./secret_file.ts";

export type ChannelTarget =
  | { readonly path: string }
  | { readonly host: string; readonly port: number; readonly tls: TlsSettings | null };

export function targetText(target: ChannelTarget): string {
  return "path" in target ? target.path : `${target.host}:${target.port}`;
}

/** An open connection, its peer known. @throws {SinkError} */
export async function connectChannel(target: ChannelTarget, timeoutMs: number): Promise<net.Socket> {
  const socket = openSocket(target);
  try {
    const isTls = !("path" in target) && target.tls !== null;
    await within(timeoutMs, "no connection", happens(socket, isTls ? "secureConnect" : "connect"));
    if (isTls) requirePinned(socket as tls.TLSSocket, (target as { tls: TlsSettings }).tls.pins);
    return socket;
  } catch (error) {
    discard(socket);
    throw failed(`${targetText(target)}: ${textOf(error)}`, 0, error);
  }
}

function openSocket(target: ChannelTarget): net.Socket {
  if ("path" in target) return net.connect({ path: target.path });
  const { host, port } = target;
  return target.tls === null
    ? net.connect({ host, port })
    : tls.connect({ host, port, ...tlsOptions(target.tls, host) });
}

/** Options that make a TLS connection know its peer; the files are read now. @throws when one of them cannot be */
export function tlsOptions(settings: TlsSettings, host: string): tls.ConnectionOptions {
  const { caFile, certFile, keyFile, pins } = settings, name = settings.serverName ?? host;
  return {
    // An address is no server name (RFC 6066, section 3); the certificate is held against it all the same.
    ...(net.isIP(name) === 0 ? { servername: name } : {}),
    minVersion: "TLSv1.2",
    ...(caFile === null ? {} : { ca: readCertificate(caFile) }),
    ...(certFile === null ? {} : { cert: readCertificate(certFile), key: readSecret(keyFile!) }),
    // A pin is the whole of the check: requirePinned() makes it before a byte is sent.
    rejectUnauthorized: pins.length === 0,
  };
}

/** @throws when certificates are pinned and the peer has none of them */
function requirePinned(socket: tls.TLSSocket, pins: readonly string[]): void {
  if (pins.length === 0) return;
  const found = socket.getPeerCertificate().fingerprint256?.replaceAll(":", "").toLowerCase() ?? "none";
  if (!pins.includes(found)) throw new Error(`the certificate is not a pinned one: its SHA-256 is ${found}`);
}

/** Resolves with the event; rejects when the socket ends or fails before. */
function happens(socket: net.Socket, event: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const error = (fault: Error): void => reject(fault);
  const closed = (): void => reject(new Error("the connection was closed"));
  socket.once(event, resolve).once("error", error).once("close", closed).once("end", closed);
  return promise.finally(() => {
    socket.off(event, resolve).off("error", error).off("close", closed).off("end", closed);
    socket.on("error", () => {}); // what comes later is told by the end of the socket
  });
}

/** @throws when the promise takes longer; `what` names what there was none of */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {}); // it may fail after nobody waits for it any more
  }
}

/** Ends a socket at once, whatever it is doing. */
export function discard(socket: net.Socket): void {
  socket.on("error", () => {});
  socket.destroy();
}
