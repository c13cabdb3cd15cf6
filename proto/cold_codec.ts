/**
 * Between generated messages and plain values: what every codec of rare messages needs.
 *
 * @module
 */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { WireError } from "./wire_error.ts";
import { skipUnknown } from "./wire_fields.ts";

/** The generated message in `bytes`; fields that this version does not know are left out. */
export function parse<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  return fromBinary(schema, bytes, { readUnknownFields: false });
}

/** A 64-bit number of a generated message as a number. */
export function toU53(value: bigint, what: string): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new WireError(`${what} must lie in 0 to 2^53 - 1, got ${value}`);
  }
  return Number(value);
}

/** A number for a 64-bit field of a generated message. */
export function fromU53(value: number, what: string): bigint {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new WireError(`${what} must be a whole number from 0 to 2^53 - 1, got ${value}`);
  }
  return BigInt(value);
}

/** The member of a closed set that stands at `number`. */
export function member<T>(set: readonly T[], number: number, what: string): T {
  const value = set[number];
  if (value === undefined) throw new WireError(`There is no ${what} ${number}`);
  return value;
}

/** The body of a message field, without looking into it; `null` when it is absent. */
export function bodyOf(bytes: Uint8Array, field: number): Uint8Array | null {
  const reader = new BinaryReader(bytes);
  let body: Uint8Array | null = null;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag !== ((field << 3) | 2)) skipUnknown(reader, tag);
    else if (body === null) body = reader.bytes();
    else throw new WireError(`Field ${field} comes twice`);
  }
  return body;
}

/** Refuses a message of more fields than `limit`, before the generated code makes an object of each. */
export function boundFields(bytes: Uint8Array, limit: number): void {
  const reader = new BinaryReader(bytes);
  for (let count = 0; reader.pos < reader.len; count++) {
    if (count === limit) throw new WireError(`A message has more than ${limit} fields`);
    skipUnknown(reader, reader.uint32());
  }
}
