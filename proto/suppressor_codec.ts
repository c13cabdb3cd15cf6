/**
 * Exceptions and filters of the agent's status as messages of `ipc.proto`.
 *
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { fromU53, toU53 } from "./cold_codec.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import type { SuppressorStatusSchema } from "./gen/ipc_pb.ts";
import type { SuppressorStatus } from "./status.ts";

export function writeSuppressor(status: SuppressorStatus): MessageInitShape<typeof SuppressorStatusSchema> {
  const { kind, id, file, line, reason, author, expires, rules, suppressed, lastTime, byRule } = status;
  return {
    ...{ kind, id, file, line, reason, author, rules },
    expires: expires === null ? undefined : fromU53(expires, "expires"),
    suppressed: fromU53(suppressed, "suppressed"),
    lastTime: lastTime === null ? undefined : fromU53(lastTime, "lastTime"),
    byRule: byRule.map(({ ruleId, count }) => ({ ruleId, count: fromU53(count, "count") })),
  };
}

/** @throws WireError */
export function readSuppressor(message: ipc.SuppressorStatus): SuppressorStatus {
  const { id, file, line, reason, author, rules } = message;
  return {
    kind: message.kind === "filter" ? "filter" : "exception",
    ...{ id, file, line, reason, author, rules },
    expires: message.expires === undefined ? null : toU53(message.expires, "expires"),
    suppressed: toU53(message.suppressed, "suppressed"),
    lastTime: message.lastTime === undefined ? null : toU53(message.lastTime, "lastTime"),
    byRule: message.byRule.map(({ ruleId, count }) => ({ ruleId, count: toU53(count, "count") })),
  };
}
