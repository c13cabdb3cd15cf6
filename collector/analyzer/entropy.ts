/**
 * Shannon entropy of bytes, in bits a byte: 0 for one value alone, 8 for what is compressed, encrypted or random.
 *
 * @module
 */
import { allSteps } from "../../proto/steps.ts";

/** Bytes of one step. */
const STEP_BYTES = 1 << 20;

/** @returns bits a byte, rounded to a hundredth; 0 for no bytes. */
export function entropyOf(bytes: Uint8Array): number {
  return allSteps(measuringEntropy(bytes));
}

/** The same in steps. */
export function* measuringEntropy(bytes: Uint8Array): Generator<void, number> {
  if (bytes.length === 0) return 0;
  const counts = new Uint32Array(256);
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    const end = Math.min(bytes.length, at + STEP_BYTES);
    for (let i = at; i < end; i++) counts[bytes[i]!]! += 1;
    if (end < bytes.length) yield;
  }
  let sum = 0;
  for (const count of counts) if (count > 0) sum += count * Math.log2(count);
  return Math.abs(Math.round((Math.log2(bytes.length) - sum / bytes.length) * 100) / 100);
}
