/**
 * Who is there: each side of the broker socket proves to the other that it knows the token, and never sends it.
 *
 * The agent challenges, the collector answers with its name and a proof over both nonces, the agent answers with a proof
 * of its own. The two proofs have different prefixes, so that neither can be sent back as the other; the nonces are
 * fresh, so that an old one proves nothing. Until then only small frames are taken and the whole exchange has one time
 * limit. A side that does not get its proof throws {@linkcode HandshakeError} and has closed the channel.
 *
 * Who knows the token may take any name. A collector that is to have no name but its own is given {@linkcode ownToken} in
 * its place, by which the agent knows it as well, and of which no other name's can be made.
 *
 * After the handshake the bytes are not authenticated: the socket's directory decides who can come between.
 *
 * @module
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Channel } from "./channel.ts";
import { MAX_FRAME_BYTES } from "./frame.ts";
import { PROOF_BYTES } from "./message_codecs.ts";
import { printable } from "./printable.ts";
import { type Registration, REGISTRATION_VERSION } from "./registration.ts";
import { type Challenge, type Hello, PROTOCOL_VERSION, type Welcome, type WireMessage } from "./messages.ts";

/** Longest payload before the peer has proven itself. */
const MAX_HANDSHAKE_BYTES = 4_096;
/** Time for the whole exchange. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Shortest token: a guess at fewer bytes than this is not hopeless enough. */
const MIN_TOKEN_BYTES = 16;
/** Longest part of a peer's reason that is repeated. */
const MAX_REASON_LENGTH = 200;

/** No peer that knows the token came to be known. */
export class HandshakeError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "HandshakeError";
  /** `reason`: what did not hold, for programs. */
  constructor(
    readonly reason: "closed" | "timeout" | "unexpected" | "version" | "reflected" | "proof" | "refused",
    message: string,
    /** The name that a collector without its token claimed; empty otherwise. */
    readonly claimed: string = "",
  ) {
    super(message);
  }
}

/** What the agent knows of the collector's stream, or why it does not want it. */
export type Admission = { readonly lastSequence: number; readonly credit: number } | { readonly refuse: string };

/** What a collector says of itself. */
export type CollectorIdentity = Pick<Hello, "collectorId" | "epoch" | "bootId" | "softwareVersion" | "source">;

/** Of either side of a handshake. */
export interface HandshakeOptions {
  /** Milliseconds for the whole exchange; {@linkcode HANDSHAKE_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
}

/** Of the collector's side. */
export interface JoinOptions extends HandshakeOptions {
  /** Sent after the welcome, to an agent that takes registrations. */
  readonly registration?: Registration;
}

/** The token of one collector, in hexadecimal: under it the agent lets nobody have another name. */
export function ownToken(token: string | Uint8Array, collectorId: string): string {
  return createHmac("sha256", token).update(`daemoneye collector token\0${collectorId}`).digest("hex");
}

/**
 * The agent's side. `lookup` is asked only about a collector that has proven itself.
 *
 * @throws HandshakeError, RangeError for a short token, and what {@linkcode Channel} throws for bytes that are no message
 */
export function admitCollector(
  channel: Channel,
  token: string | Uint8Array,
  lookup: (hello: Hello) => Admission,
  options: HandshakeOptions = {},
): Promise<Hello> {
  return inTime(channel, token, options, async () => {
    const challenge: Challenge = {
      kind: "challenge",
      nonce: new Uint8Array(randomBytes(PROOF_BYTES)),
      versionMin: PROTOCOL_VERSION,
      versionMax: PROTOCOL_VERSION,
      registrationVersion: REGISTRATION_VERSION,
    };
    await channel.send(challenge);
    const hello = await expect(channel, "hello");
    if (hello.version !== PROTOCOL_VERSION) {
      return await refuse(channel, "version", `The collector chose protocol version ${hello.version}`);
    }
    if (timingSafeEqual(hello.nonce, challenge.nonce)) {
      return await refuse(channel, "reflected", "The collector sent the agent's own nonce back");
    }
    const known = [token, ownToken(token, hello.collectorId)]
      .find((each) => timingSafeEqual(hello.proof, collectorProof(each, challenge.nonce, hello)));
    if (known === undefined) {
      // Unproven, but bounded and harmless in a log: the codec lets only names through.
      return await refuse(
        channel,
        "proof",
        `The collector that calls itself ${hello.collectorId} does not know the token`,
        hello.collectorId,
      );
    }
    const admission = lookup(hello);
    if ("refuse" in admission) return await refuse(channel, "refused", admission.refuse);
    const proof = agentProof(known, hello.nonce, challenge.nonce);
    await channel.send({ kind: "welcome", proof, lastSequence: admission.lastSequence, credit: admission.credit });
    return hello;
  });
}

/**
 * The collector's side.
 *
 * @throws HandshakeError, RangeError for a short token, and what {@linkcode Channel} throws for bytes that are no message
 */
export function joinAgent(
  channel: Channel,
  token: string | Uint8Array,
  identity: CollectorIdentity,
  options: JoinOptions = {},
): Promise<Welcome> {
  return inTime(channel, token, options, async () => {
    const challenge = await expect(channel, "challenge");
    if (challenge.versionMin > PROTOCOL_VERSION || challenge.versionMax < PROTOCOL_VERSION) {
      const { versionMin, versionMax } = challenge;
      throw new HandshakeError(
        "version",
        `The agent speaks protocol versions ${versionMin} to ${versionMax}, this collector ${PROTOCOL_VERSION}`,
      );
    }
    const nonce = new Uint8Array(randomBytes(PROOF_BYTES));
    const named = { ...identity, nonce };
    const proof = collectorProof(token, challenge.nonce, named);
    await channel.send({ kind: "hello", version: PROTOCOL_VERSION, ...named, proof });
    const welcome = await expect(channel, "welcome");
    if (!timingSafeEqual(welcome.proof, agentProof(token, nonce, challenge.nonce))) {
      throw new HandshakeError("proof", "The agent does not know the token");
    }
    if (options.registration !== undefined && (challenge.registrationVersion ?? 0) >= REGISTRATION_VERSION) {
      await channel.send({ kind: "registration", ...options.registration });
    }
    return welcome;
  });
}

/** HMAC-SHA256(token, "daemoneye collector" NUL agent's nonce, collector's nonce, collector id, NUL, epoch). */
function collectorProof(
  token: string | Uint8Array,
  agentNonce: Uint8Array,
  { nonce, collectorId, epoch }: Pick<Hello, "nonce" | "collectorId" | "epoch">,
): Uint8Array {
  const hmac = createHmac("sha256", token).update("daemoneye collector\0");
  return new Uint8Array(hmac.update(agentNonce).update(nonce).update(`${collectorId}\0${epoch}`).digest());
}

/** HMAC-SHA256(token, "daemoneye agent" NUL collector's nonce, agent's nonce). */
function agentProof(token: string | Uint8Array, collectorNonce: Uint8Array, agentNonce: Uint8Array): Uint8Array {
  const hmac = createHmac("sha256", token).update("daemoneye agent\0");
  return new Uint8Array(hmac.update(collectorNonce).update(agentNonce).digest());
}

/** The next message, which must be of this kind. */
async function expect<K extends WireMessage["kind"]>(
  channel: Channel,
  kind: K,
): Promise<Extract<WireMessage, { kind: K }>> {
  const message = await channel.receiveOne();
  if (message === null) throw new HandshakeError("closed", `The peer closed the connection instead of sending ${kind}`);
  if (message.kind === "refused") {
    throw new HandshakeError("refused", `The peer refused: ${printable(message.reason.slice(0, MAX_REASON_LENGTH))}`);
  }
  if (message.kind !== kind) throw new HandshakeError("unexpected", `The peer sent ${message.kind} instead of ${kind}`);
  return message as Extract<WireMessage, { kind: K }>;
}

/** Tells the peer why, then throws. */
async function refuse(
  channel: Channel,
  reason: HandshakeError["reason"],
  text: string,
  claimed: string = "",
): Promise<never> {
  try {
    await channel.send({ kind: "refused", reason: text });
  } catch {
    // the peer has gone; the reason is thrown all the same
  }
  throw new HandshakeError(reason, text, claimed);
}

/** Runs one side with small frames and one time limit, and closes the channel when that fails. */
async function inTime<T>(
  channel: Channel,
  token: string | Uint8Array,
  { timeoutMs }: HandshakeOptions,
  side: () => Promise<T>,
): Promise<T> {
  if (token.length < MIN_TOKEN_BYTES) {
    channel.close();
    throw new RangeError(`A token has at least ${MIN_TOKEN_BYTES} bytes, this one has ${token.length}`);
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    channel.close();
  }, timeoutMs ?? HANDSHAKE_TIMEOUT_MS);
  channel.maxReceivedBytes = MAX_HANDSHAKE_BYTES;
  try {
    const result = await side();
    channel.maxReceivedBytes = MAX_FRAME_BYTES;
    return result;
  } catch (error) {
    channel.close();
    throw late ? new HandshakeError("timeout", "The peer did not finish the handshake in time") : error;
  } finally {
    clearTimeout(timer);
  }
}
