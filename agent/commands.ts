/**
 * What the agent's program does beside being the agent: `backup` and `check`, on the store of an agent that runs or not;
 * and `ask`, which is a program of its own too (`ask/main.ts`).
 *
 * `backup` and `check` need no more than the agent's own grants, and write only into its directory. Words go to stderr,
 * the answer to stdout. Exit codes: 0 done, 1 failed, 4 the store is damaged.
 *
 * @module
 */
import { SYSTEM_FILES } from "../proto/root_settings.ts";
import type { StateLayout } from "../proto/state_layout.ts";
import { backUp, backupDirectory, backupName } from "./store/backup.ts";
import { checkStore } from "./store/check.ts";
import { moveAway, StoreError } from "./store/store_error.ts";

export const COMMANDS = ["backup", "check"] as const;
export type Command = typeof COMMANDS[number];

const EXIT_DAMAGED = 4;
/** Between two lines of progress. */
const PROGRESS_MS = 1_000;

/** `--to NAME` or `--to=NAME`, and the arguments without it. */
export function splitTarget(args: readonly string[]): { to: string | undefined; rest: string[] } {
  const rest = [...args], at = rest.findIndex((arg) => arg === "--to" || arg.startsWith("--to="));
  if (at === -1) return { to: undefined, rest };
  const [word] = rest.splice(at, 1);
  return { to: word === "--to" ? rest.splice(at, 1)[0] ?? "" : word!.slice("--to=".length), rest };
}

/** What `ask` is to do, where the command line says so: its own words, and where the state is. */
export function splitAsk(args: readonly string[]): string[] | null {
  let state: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const [, name, attached] = /^--(state|config|set)(?:=(.*))?$/s.exec(args[at]!) ?? [];
    if (name === undefined) return args[at] === "ask" ? [...state, ...args.slice(at + 1)] : null;
    const value = attached ?? args[++at] ?? "";
    if (name === "state") state = ["--state", value];
  }
  return null;
}

/** Gives up what the agent may and who asks needs not: all but the request spool, and rules elsewhere. */
export function shedGrants({ agent, token, brokerSocket, rules }: StateLayout): void {
  for (const name of ["net", "env", "sys", "run", "ffi"] as const) Deno.permissions.revokeSync({ name });
  for (const path of [agent, token, brokerSocket, rules, ...SYSTEM_FILES]) {
    for (const name of ["read", "write"] as const) Deno.permissions.revokeSync({ name, path });
  }
}

/** Does it, and gives the exit code. @throws StoreError */
export async function runCommand(command: Command, store: string, to: string | undefined): Promise<number> {
  requireStore(store);
  switch (command) {
    case "backup": {
      const say = paced((done: number, total: number) => `${done} of ${total} pages`);
      const copy = await backUp(store, backupDirectory(store), to ?? backupName(new Date()), say);
      for (const mark of copy.watermarks) console.error(`agent: holds ${mark.replace(/ (\S+)$/, " up to $1")}`);
      console.error(`agent: ${copy.bytes} bytes, checked; to restore it, see docs/restore.md`);
      console.log(copy.path);
      return 0;
    }
    case "check": {
      const faults = checkStore(store, (table, at, of) => console.error(`agent: checking ${table} (${at} of ${of})`));
      if (faults.length === 0) {
        console.log("ok");
        return 0;
      }
      for (const fault of faults) console.log(fault);
      console.error(
        `agent: the store is damaged; back up what can be read of it, then stop the agent and ${moveAway(store)}`,
      );
      return EXIT_DAMAGED;
    }
  }
}

function requireStore(store: string): void {
  try {
    if (Deno.lstatSync(store).isFile) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  throw new StoreError(`There is no store ${store}; name the agent's state directory by --state`);
}

/** Says it at most once a second. */
function paced(words: (done: number, total: number) => string): (done: number, total: number) => void {
  let last = performance.now();
  return (done, total) => {
    const now = performance.now();
    if (now - last < PROGRESS_MS) return;
    last = now;
    console.error(`agent: ${words(done, total)}`);
  };
}
