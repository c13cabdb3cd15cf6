/**
 * What the agent's status says of states, collectors and supervised processes, between its plain form and the generated
 * messages of `ipc.proto`.
 *
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { fromU53, toU53 } from "./cold_codec.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import type { CollectorStandingSchema, LifecycleSchema, SupervisedProcessSchema } from "./gen/ipc_pb.ts";
import { readCapabilities, readTables, writeCapabilities, writeTables } from "./registration_codec.ts";
import type { CollectorStanding, LifecycleStatus, SupervisedProcess } from "./status.ts";

/** What an agent says of its state that does not speak of it. */
const UNSPOKEN: LifecycleStatus = { state: "", since: 0, reason: "", history: [] };

export function writeLifecycle({ state, since, reason, history }: LifecycleStatus): MessageInitShape<
  typeof LifecycleSchema
> {
  return {
    state,
    since: fromU53(since, "since"),
    reason,
    history: history.map(({ time, event, state }) => ({ time: fromU53(time, "a change's time"), event, state })),
  };
}

export function readLifecycle(message: ipc.Lifecycle | undefined): LifecycleStatus {
  if (message === undefined) return UNSPOKEN;
  const { state, since, reason, history } = message;
  return {
    state,
    since: toU53(since, "since"),
    reason,
    history: history.map(({ time, event, state }) => ({ time: toU53(time, "a change's time"), event, state })),
  };
}

export function writeStanding(standing: CollectorStanding): MessageInitShape<typeof CollectorStandingSchema> {
  const { collectorId, connected, epoch, softwareVersion, source, registration, missed, refusal } = standing;
  return {
    ...{ collectorId, connected, epoch, softwareVersion, source, missed, refusal },
    lifecycle: writeLifecycle(standing.lifecycle),
    lastHeard: fromU53(standing.lastHeard, "lastHeard"),
    registrations: fromU53(standing.registrations, "registrations"),
    refused: fromU53(standing.refused, "refused"),
    ...registration === null ? {} : {
      collectorType: registration.collectorType,
      capabilities: writeCapabilities(registration),
      // What their columns are, the store says
      tables: writeTables(registration.tables.map(({ name, version, columns }) => ({ name, version, columns }))),
      heartbeatMs: registration.heartbeatMs,
      keepsLedger: registration.keepsLedger,
    },
  };
}

export function readStanding(message: ipc.CollectorStanding): CollectorStanding {
  const { collectorId, connected, epoch, softwareVersion, source, missed, refusal } = message;
  const { collectorType, heartbeatMs, tables, capabilities } = message;
  return {
    ...{ collectorId, connected, epoch, softwareVersion, source, missed, refusal },
    lifecycle: readLifecycle(message.lifecycle),
    lastHeard: toU53(message.lastHeard, "lastHeard"),
    registrations: toU53(message.registrations, "registrations"),
    refused: toU53(message.refused, "refused"),
    registration: capabilities === undefined ? null : {
      collectorType,
      ...readCapabilities(capabilities),
      tables: readTables(tables),
      heartbeatMs,
      keepsLedger: message.keepsLedger,
    },
  };
}

export function writeSupervised(each: SupervisedProcess): MessageInitShape<typeof SupervisedProcessSchema> {
  const { name, state, pid, budget, lastEnd } = each;
  return {
    ...{ name, state, pid, budget, lastEnd },
    restarts: fromU53(each.restarts, "restarts"),
    nextStart: fromU53(each.nextStart, "nextStart"),
  };
}

export function readSupervised(message: ipc.SupervisedProcess): SupervisedProcess {
  const { name, state, pid, budget, lastEnd } = message;
  return {
    ...{ name, state, pid, budget, lastEnd },
    restarts: toU53(message.restarts, "restarts"),
    nextStart: toU53(message.nextStart, "nextStart"),
  };
}
