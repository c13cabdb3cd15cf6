/**
 * A state that is held in memory and stands in for a state directory: a bundle that is open.
 *
 * Commands find their store, statuses and ledger by paths below the state directory. While a state is held, the paths
 * below its name lead here, and nothing below it is looked for on the disk; so each command works on a bundle as it
 * does on a host. One state at a time, for as long as the command runs that opened it.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { LedgerSource } from "../proto/ledger/segment_stream.ts";
import { type StateLayout, stateLayout } from "../proto/state_layout.ts";

/** A ledger that a command reads, and is done with. */
export type ReadLedger = LedgerSource & Disposable;

export interface HeldState {
  /** With the tables of a store; its temporary views belong to who reads it just now. */
  readonly database: DatabaseSync;
  /** Bytes of the status files, `null` where there is none. */
  readonly statuses: { readonly agent: Uint8Array | null; readonly collector: Uint8Array | null };
  readonly ledger: ReadLedger | null;
}

let held: { readonly state: HeldState; readonly layout: StateLayout } | null = null;

/** Holds a state under the name of a directory, which must not be one, until it is disposed of. */
export function holdState(directory: string, state: HeldState): Disposable {
  if (held !== null) throw new RangeError(`The state ${held.layout.state} is held already`);
  held = { state, layout: stateLayout(directory) };
  return { [Symbol.dispose]: () => void (held = null) };
}

/** The state that is held under the name of a directory. */
export function heldState(directory: string): HeldState | null {
  return held?.layout.state === directory ? held.state : null;
}

/** The database that is held in the place of a store. */
export function heldStore(path: string): DatabaseSync | null {
  return held?.layout.store === path ? held.state.database : null;
}

/** What is held in the place of a ledger's directory; `undefined` where nothing is, `null` for a state without one. */
export function heldLedger(path: string): ReadLedger | null | undefined {
  return held?.layout.ledger === path ? held.state.ledger : undefined;
}
