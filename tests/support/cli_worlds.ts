/**
 * The states of a host that the text scripts of the CLI look at.
 *
 * @module
 */
import { alerted } from "./cli_worlds/alerted.ts";
import { containers } from "./cli_worlds/containers.ts";
import { hostile } from "./cli_worlds/hostile.ts";
import { fill } from "./cli_worlds/ordinary.ts";
import { troubled } from "./cli_worlds/troubled.ts";
import { NOW, TestState } from "./test_store.ts";

/** By the name that a script gives in its first line. */
export const WORLDS: Readonly<Record<string, () => TestState>> = {
  watched,
  troubled,
  stopped,
  new: fresh,
  hostile,
  containers,
  alerted,
};

/** A quiet host on which all is well. */
function watched(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  return state;
}

/** Both daemons were stopped an hour ago. */
function stopped(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  const then = { state: "stopped", time: NOW - 3_600_000 };
  state.writeStatus({ ...then, collectors: [] }, { ...then, connected: false });
  state.stop();
  return state;
}

/** Nothing has ever run. */
function fresh(): TestState {
  const state = new TestState();
  state.stop();
  for (const suffix of ["", "-wal", "-shm"]) Deno.removeSync(state.layout.store + suffix);
  return state;
}
