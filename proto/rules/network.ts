/**
 * Addresses and networks of IPv4 and IPv6, as numbers that are compared.
 *
 * Strict: an address that could be read in two ways (leading zeros, hexadecimal or missing parts of IPv4, a zone) is none.
 * An IPv4 address in its IPv6 form, `::ffff:10.0.0.1`, is the IPv4 address.
 *
 * @module
 */

/** Bits of an address, and how many there are. */
export interface Address {
  readonly bits: bigint;
  readonly width: 32 | 128;
}

/** A network: addresses that begin with the same bits. */
export interface Network {
  readonly prefix: bigint;
  readonly width: 32 | 128;
  /** Bits of an address that do not count. */
  readonly free: bigint;
}

const LONGEST = 45;

/** Reads an address; `null` for anything else. */
export function parseAddress(text: string): Address | null {
  if (text.length > LONGEST) return null;
  if (!text.includes(":")) {
    const bits = ipv4(text);
    return bits === null ? null : { bits, width: 32 };
  }
  const bits = ipv6(text);
  if (bits === null) return null;
  return bits >> 32n === 0xffffn ? { bits: bits & 0xffff_ffffn, width: 32 } : { bits, width: 128 };
}

/** Reads a network, such as `10.0.0.0/8`; an address alone is one of its own. `null` for anything else. */
export function parseNetwork(text: string): Network | null {
  const [, address, length] = /^([0-9a-fA-F:.]+)(?:\/(0|[1-9][0-9]{0,2}))?$/.exec(text) ?? [];
  const found = parseAddress(address ?? "");
  if (found === null) return null;
  const { bits, width } = found;
  // The length of an IPv4 network in its IPv6 form counts from the front of the latter
  const mapped = width === 32 && address!.includes(":") ? 96 : 0;
  const count = length === undefined ? width : Number(length) - mapped;
  if (count < 0 || count > width) return null;
  const free = BigInt(width - count);
  return { prefix: bits >> free, width, free };
}

/** Whether an address is in a network. A text that is no address is in none. */
export function inNetwork(text: string, network: Network): boolean {
  const address = parseAddress(text);
  return address !== null && address.width === network.width && address.bits >> network.free === network.prefix;
}

function ipv4(text: string): bigint | null {
  const parts = /^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$/.exec(text);
  if (parts === null) return null;
  const bytes = parts.slice(1).map(Number);
  if (bytes.some((byte) => byte > 255)) return null;
  return BigInt(bytes.reduce((number, byte) => number * 256 + byte, 0));
}

function ipv6(text: string): bigint | null {
  let rest = text;
  // The last two groups may be an IPv4 address
  const dotted = /^(.*:)([0-9.]*\.[0-9.]*)$/.exec(text);
  if (dotted !== null) {
    const low = ipv4(dotted[2]!);
    if (low === null) return null;
    rest = `${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  }
  const halves = rest.split("::");
  if (halves.length > 2) return null;
  const groups = halves.map((half) => half === "" ? [] : half.split(":"));
  const count = groups.reduce((sum, half) => sum + half.length, 0);
  if (groups.flat().some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  if (halves.length === 1 ? count !== 8 : count > 7) return null;
  const [before, after = []] = groups as [string[], string[]?];
  const all = [...before, ...Array<string>(8 - count).fill("0"), ...after];
  return all.reduce((bits, group) => bits << 16n | BigInt(`0x${group}`), 0n);
}
