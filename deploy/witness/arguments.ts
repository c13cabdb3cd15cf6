/**
 * The command line of a witness, read the same way by the program and by who computes its grants.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { resolve } from "node:path";

export const USAGE = `Usage: deno task witness init NAME --directory DIR
       deno task witness watch VKEY [--hash blake3|sha256] --directory DIR
       deno task witness status --directory DIR
       deno task witness serve --socket PATH --directory DIR
       deno task witness sign REQUEST|DIRECTORY|- --directory DIR`;

const COMMANDS = { init: "NAME", watch: "VKEY", sign: "REQUEST", serve: null, status: null } as const;
export type WitnessCommand = keyof typeof COMMANDS;

export interface WitnessArguments {
  readonly command: WitnessCommand;
  /** What the command is about; empty for those that take nothing. A path is absolute. */
  readonly operand: string;
  /** Absolute. */
  readonly directory: string;
  /** Absolute; `null` for commands without. */
  readonly socket: string | null;
  readonly hash: string;
}

/** The command line cannot be understood. */
export class WitnessUsageError extends Error {
  override name = "WitnessUsageError";
}

/** @throws WitnessUsageError */
export function parseWitnessArguments(args: readonly string[], from: string = ""): WitnessArguments {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: { directory: { type: "string" }, socket: { type: "string" }, hash: { type: "string" } },
      allowPositionals: true,
    });
  } catch (cause) {
    throw new WitnessUsageError(cause instanceof Error ? cause.message.split("\n")[0]! : String(cause), { cause });
  }
  const { positionals: [name, operand, ...more], values: { directory, socket, hash } } = parsed;
  if (name === undefined || !Object.hasOwn(COMMANDS, name)) throw new WitnessUsageError("Which command?");
  const command = name as WitnessCommand, takes = COMMANDS[command];
  if (takes !== null && operand === undefined) throw new WitnessUsageError(`${command} needs ${takes}`);
  if (more.length > 0 || (takes === null && operand !== undefined)) {
    throw new WitnessUsageError(`${command} takes ${takes ?? "nothing"} and no more`);
  }
  if (directory === undefined) throw new WitnessUsageError("--directory says where the witness keeps key and heads");
  if ((socket !== undefined) !== (command === "serve")) {
    throw new WitnessUsageError("serve has a --socket, and nothing else");
  }
  if (hash !== undefined && command !== "watch") throw new WitnessUsageError("Only watch has a --hash");
  const path = command === "sign" && operand !== "-";
  return {
    command,
    operand: path ? resolve(from, operand!) : operand ?? "",
    directory: resolve(from, directory),
    socket: socket === undefined ? null : resolve(from, socket),
    hash: hash ?? "blake3",
  };
}
