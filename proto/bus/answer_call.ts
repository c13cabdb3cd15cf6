/**
 * Answers a call that came over a connection: carries it out, and sends what comes of it.
 *
 * @module
 */
import type { Channel } from "../channel.ts";
import { WireError } from "../wire_error.ts";
import { type Answering, responseTo } from "./answering.ts";
import { failure, type RpcRequest } from "./rpc.ts";

/** Nothing waits for it: the next message may be what cancels the call. An answer that cannot be sent is told as a failure. */
export function answerCall(channel: Channel, answering: Answering, id: number, call: RpcRequest): void {
  answering.answer(id, call).then(async (response) => {
    try {
      await channel.send({ kind: "reply", id, body: { kind: "rpc", response } });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const answer = failure("internal", "NOT_SENT", error.message);
      await channel.send({ kind: "reply", id, body: { kind: "rpc", response: responseTo(call, answer, 0) } });
    }
  }).catch(() => channel.failed()); // the connection's own end says why
}
