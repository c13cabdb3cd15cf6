/**
 * Demands and standings between their plain form and the generated messages of `ipc.proto`.
 *
 * @module
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { fromU53, toU53 } from "./cold_codec.ts";
import {
  type AttributeStanding,
  checkDemand,
  checkStandings,
  type Demand,
  DEMAND_VERSION,
  STANDING_STATES,
} from "./demand.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import { AttributeDemandSchema, type AttributeStandingSchema } from "./gen/ipc_pb.ts";
import { WireError } from "./wire_error.ts";

/** @throws WireError */
export function writeDemand(demand: Demand): ipc.AttributeDemand {
  checkDemand(demand);
  const { hashes, variables } = demand;
  return create(AttributeDemandSchema, { version: DEMAND_VERSION, hashes, variables: [...variables] });
}

/** The demand, or `null` when it is of another version. @throws WireError */
export function readDemand({ version, hashes, variables }: ipc.AttributeDemand): Demand | null {
  if (version !== DEMAND_VERSION) return null;
  const demand = { hashes, variables };
  checkDemand(demand);
  return demand;
}

/** @throws WireError */
export function writeStandings(
  standings: readonly AttributeStanding[],
): MessageInitShape<typeof AttributeStandingSchema>[] {
  checkStandings(standings);
  return standings.map(({ attribute, state, reason, since }) => ({
    attribute,
    state,
    reason,
    since: fromU53(since, "since"),
  }));
}

/** @throws WireError */
export function readStandings(standings: readonly ipc.AttributeStanding[]): AttributeStanding[] {
  const read = standings.map(({ attribute, state, reason, since }): AttributeStanding => {
    const known = STANDING_STATES.find((each) => each === state);
    if (known === undefined) throw new WireError("An attribute has a state that this version does not know");
    return { attribute, state: known, reason, since: toU53(since, "since") };
  });
  checkStandings(read);
  return read;
}
