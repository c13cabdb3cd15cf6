/**
 * Payloads of entries, as a person and a program read them.
 *
 * The ledger's own have fixed forms. All others are what their writers put there, JSON by custom: shown as it is when it
 * is text, and as hexadecimal digits when it is not. Nothing here says whether a payload is the one that was logged.
 *
 * @module
 */
import type { Action } from "../../proto/ledger/entry.ts";
import { decodeRotation } from "../../proto/ledger/rotation.ts";
import { decodeSeal } from "../../proto/ledger/seal.ts";
import { decodePruned } from "../../proto/ledger/verifier.ts";
import { WireError } from "../../proto/wire_error.ts";

/** The payload as text: JSON where it is one. */
export function payloadText(action: Action, bytes: Uint8Array): string {
  try {
    switch (action) {
      case "sealed": {
        const { epoch, size, root } = decodeSeal(bytes);
        return JSON.stringify({ epoch, size, root: root.toHex() });
      }
      case "keyRotated": {
        const { oldKey, newKey } = decodeRotation(bytes);
        return JSON.stringify({ from: oldKey.toHex(), to: newKey.toHex() });
      }
      case "pruned":
        return JSON.stringify({ before: decodePruned(bytes) });
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `hex ${bytes.toHex()}`;
  }
}

/** The text for eyes: members of a JSON object as `name value, name value`. */
export function payloadWords(text: string): string {
  if (!text.startsWith("{")) return text;
  try {
    const members = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return members.map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
      .join(", ");
  } catch {
    return text;
  }
}
