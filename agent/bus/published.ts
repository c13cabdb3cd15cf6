/**
 * A message that the broker took, with its bytes once they were needed: all who get it over a socket share them.
 *
 * @module
 */
import type { Correlation } from "../../proto/bus/correlation.ts";
import type { BusMessage, MessageType, Priority } from "../../proto/bus/message.ts";
import type { Receipt } from "./receipt.ts";

export class Published implements BusMessage {
  /** As `encodeBusMessage` makes it. */
  encoded: Uint8Array | null = null;

  constructor(
    readonly topic: string,
    readonly type: MessageType,
    readonly source: string,
    readonly sequence: number,
    readonly time: number,
    readonly priority: Priority,
    readonly ttlMs: number,
    readonly correlation: Correlation | null,
    readonly payload: Uint8Array,
    /** Who published it wants to know who has it; `null` for nobody does. */
    readonly receipt: Receipt | null = null,
  ) {}
}
