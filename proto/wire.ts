/**
 * The bytes of what collector and agent say to each other.
 *
 * The bytes are the `Envelope` of `ipc.proto`. Nothing in them is trusted: {@linkcode decodeMessage} bounds counts and
 * lengths, closes enumerations, refuses text that is not UTF-8, skips fields it does not know, and throws
 * {@linkcode WireError} for anything else. What it returns holds no part of the bytes it was given.
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { FieldWriter } from "./field_writer.ts";
import { type Codec, CODECS } from "./message_codecs.ts";
import type { WireMessage } from "./messages.ts";
import { WireError } from "./wire_error.ts";
import { skipUnknown } from "./wire_fields.ts";

/**
 * The payload that holds `message`.
 *
 * @throws WireError when it holds a value that the protocol cannot carry, or is longer than its kind may be.
 */
export function encodeMessage(message: WireMessage): Uint8Array<ArrayBuffer> {
  const codec = CODECS[message.kind] as Codec<WireMessage>;
  try {
    writer.uint32(tagOf(codec)).fork();
    codec.write(writer, message);
    writer.join();
  } catch (error) {
    writer.finish();
    throw asWireError(`Cannot encode ${message.kind}`, error);
  }
  const payload = writer.finish();
  if (payload.length > codec.limit) {
    throw new WireError(`${message.kind} takes ${payload.length} bytes; at most ${codec.limit} are allowed`);
  }
  return payload;
}

/**
 * The message that `payload` holds.
 *
 * @throws WireError
 */
export function decodeMessage(payload: Uint8Array): WireMessage {
  let kind = "a message";
  try {
    const codec = onlyCodec(payload);
    const opened = codec === null ? openEnvelope(payload) : { codec, body: payload.subarray(bodyAt) };
    kind = opened.codec.kind;
    if (opened.body.length > opened.codec.limit) {
      throw new WireError(`It takes ${opened.body.length} bytes; at most ${opened.codec.limit} are allowed`);
    }
    return opened.codec.read(opened.body);
  } catch (error) {
    throw asWireError(`Cannot decode ${kind}`, error);
  }
}

const BY_FIELD: readonly (Codec<WireMessage> | undefined)[] = Object.values(CODECS).reduce(
  (table: Codec<WireMessage>[], codec) => {
    table[codec.field] = codec as Codec<WireMessage>;
    return table;
  },
  [],
);

/** One for all: it keeps its memory from message to message, and every use begins and ends with it empty. */
const writer = new FieldWriter();

function tagOf(codec: { readonly field: number }): number {
  return (codec.field << 3) | 2;
}

/** Where the body begins that {@linkcode onlyCodec} has found. */
let bodyAt = 0;

/**
 * The kind of the one message that an envelope as {@linkcode encodeMessage} writes it holds and nothing else; `null` where
 * it has to be looked at closely.
 */
function onlyCodec(payload: Uint8Array): Codec<WireMessage> | null {
  let at = 0, tag = 0, length = 0;
  for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
    if (shift > 21 || at === payload.length) return null;
    byte = payload[at++]!;
    tag |= (byte & 0x7f) << shift;
  }
  for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
    if (shift > 21 || at === payload.length) return null;
    byte = payload[at++]!;
    length |= (byte & 0x7f) << shift;
  }
  if (at + length !== payload.length) return null;
  const codec = BY_FIELD[tag >>> 3];
  if (codec === undefined || tag !== tagOf(codec)) return null;
  bodyAt = at;
  return codec;
}

/** The one message in an envelope. */
function openEnvelope(payload: Uint8Array): { codec: Codec<WireMessage>; body: Uint8Array } {
  const reader = new BinaryReader(payload);
  let found: { codec: Codec<WireMessage>; body: Uint8Array } | undefined;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const codec = BY_FIELD[tag >>> 3];
    if (codec === undefined || tag !== tagOf(codec)) skipUnknown(reader, tag);
    else if (found === undefined) found = { codec, body: reader.bytes() };
    else throw new WireError(`A frame holds a second message, ${codec.kind}`);
  }
  if (found === undefined) throw new WireError("A frame holds no message that this version knows");
  return found;
}

function asWireError(what: string, error: unknown): WireError {
  const reason = error instanceof Error ? error.message : String(error);
  return new WireError(`${what}: ${reason}`, { cause: error });
}
