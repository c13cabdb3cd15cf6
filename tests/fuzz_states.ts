/**
 * `deno task fuzz:states`: damages copies of a state directory and asks each with commands of the CLI, under its grants.
 *
 * Whatever was done to the files, a command must end in its time and within bounded memory, with words and never with a
 * stack, write nothing, send a terminal no control characters, and not give fewer rows of a store or a log that was cut
 * without a word.
 * Prints the seed; a state is made again by `--seed N --from I --count 1`, and kept by `--keep DIR`.
 *
 * usage: fuzz_states.ts [--seed N] [--count N] [--from N] [--keep DIR]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { damage } from "./fuzz/states/damage.ts";
import { Random } from "./fuzz/random.ts";
import { WORLDS } from "./support/cli_worlds.ts";
import { Partitions } from "../agent/store/partitions.ts";
import { intrusionWorld } from "./support/intrusion_world.ts";
import { AGENT, NOW, type TestState } from "./support/test_store.ts";

const COMMANDS: readonly (readonly string[])[] = [
  ["health"],
  ["doctor"],
  ["events", "--since", "5d"],
  ["events", "--contains", "a", "-f", "jsonl"],
  ["processes", "--all", "--wide"],
  ["tree", "1"],
  ["timeline", "--user", "alice"],
  ["alerts"],
  ["alerts", "stats"],
  ["gaps"],
  ["stats", "--by", "program"],
  ["stats"],
  ["baseline", "-f", "jsonl"],
  ["diff", "--since", "12h"],
  ["hunt", "rare-parents"],
  ["query", "SELECT * FROM process_events ORDER BY time", "--timeout", "2s", "-f", "line"],
  ["query", "SELECT name, count(*) FROM process_events GROUP BY name", "--timeout", "2s"],
  ["query", "--osquery", "SELECT * FROM process_events JOIN users USING (uid)", "--timeout", "2s"],
  ["query", "--schema"],
  ["export", "events"],
  ["export", "events", "-f", "csv", "--salvage"],
  ["export", "events", "-f", "ocsf"],
  ["export", "alerts", "-f", "ecs"],
  ["export", "processes", "--salvage"],
  ["export", "gaps"],
  ["report", "--since", "7d"],
  ["sources"],
  ["collectors"],
  ["sinks"],
  ["audit", "verify"],
  ["rules", "cost"],
];
const ASKED = 8, MAX_SECONDS = 120, MAX_ANSWER_MS = 20_000, MAX_MIB = 700;
/** Of those whose answer has a line for each row. */
const COUNTED = new Set(COMMANDS.filter(([name, ...args]) => name === "export" || args.includes("jsonl")).map(String));
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

interface Told {
  readonly args: readonly string[];
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly ms: number;
  readonly mib: number;
}

const { values } = parseArgs({
  options: { seed: { type: "string" }, count: { type: "string" }, from: { type: "string" }, keep: { type: "string" } },
});
const seed = Number(values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!);
const count = Number(values.count ?? 100), from = Number(values.from ?? 0);
const root = Deno.makeTempDirSync({ prefix: "daemoneye-states-" });
Deno.chmodSync(root, 0o755);

/** Runs the commands on a state as a user who owns nothing, where that can be. */
async function ask(state: string, commands: readonly (readonly string[])[]): Promise<{ told: Told[]; end: string }> {
  const lines = JSON.stringify(commands.map((args) => ["--state", state, ...args]));
  const checkout = new URL("..", import.meta.url).pathname;
  const program = new URL("./fuzz/states/asker.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--no-check", "--cached-only", `--config=${checkout}deno.json`],
      ...[`--allow-read=${state},${checkout}rules`, program, lines],
    ],
    env: { TZ: "Europe/Berlin" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const alarm = setTimeout(() => child.kill("SIGKILL"), MAX_SECONDS * 1_000);
  const { code, signal, stdout, stderr } = await child.output();
  clearTimeout(alarm);
  const said = new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line) as Told & { begun?: unknown }
  );
  const told = said.filter(({ begun }) => begun === undefined), last = said.at(-1);
  const end = code === 0
    ? ""
    : `ended with ${signal ?? code} in ${JSON.stringify(last?.begun ?? null)}: ${new TextDecoder().decode(stderr)}`;
  return { told: told.map((each) => ({ ...each, args: each.args.slice(2) })), end };
}

function rowsOf(out: string): number {
  return out.split("\n").length;
}

/** What does not hold of an answer. */
function faults({ args, code, out, err, ms, mib }: Told, whole: Told | null): string[] {
  const isMachine = args.includes("export") || args.includes("jsonl") || args.includes("report");
  return [
    ...(/\n {4}at |NotCapable/.test(err) ? [`a stack: ${err}`] : []),
    ...(CONTROLS.test(err) || (!isMachine && CONTROLS.test(out))
      ? [`control characters: ${JSON.stringify(out + err)}`]
      : []),
    ...(code !== 0 && code !== 4 && err === "" && args[0] !== "health" ? [`ended with ${code} without a word`] : []),
    ...(ms > MAX_ANSWER_MS ? [`took ${ms.toFixed(0)} ms`] : []),
    ...(mib > MAX_MIB ? [`took ${mib.toFixed(0)} MiB`] : []),
    ...(whole !== null && COUNTED.has(String(args)) && code === 0 && rowsOf(out) < rowsOf(whole.out)
      ? [`${rowsOf(out)} lines in the place of ${rowsOf(whole.out)}, without a word`]
      : []),
  ];
}

function contents(directory: string): string {
  const found: string[] = [];
  for (const { name, isDirectory, isFile } of Deno.readDirSync(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory) found.push(contents(path));
    // SQLite marks its readers there where it may write
    else if (name.endsWith("-shm")) found.push(path);
    else found.push(`${path} ${isFile ? `${Deno.statSync(path).size} ${Deno.statSync(path).mtime?.getTime()}` : ""}`);
  }
  return found.sort().join("\n");
}

/** States as they are before anything happens to them. */
async function originals(): Promise<string[]> {
  const world = await intrusionWorld(), hostile = WORLDS["hostile"]!(), many = WORLDS["watched"]!();
  for (let part = 0; part < 6; part++) {
    many.db.exec("BEGIN");
    for (let i = 0; i < 60; i++) many.event({ pid: part * 60 + i, time: NOW - 4_000_000 + part * 500_000 + i });
    if (part < 5) new Partitions(many.db).rotate(NOW);
    many.db.exec("COMMIT");
    many.reopenPartitions();
  }
  const states: TestState[] = [world.state, hostile, many];
  const copies = states.map((state, i) => {
    // What is stored last is what the daemons say that it is
    state.db.exec("UPDATE collectors SET last_sequence = 501");
    const collectors = AGENT.collectors.map((each) => ({ ...each, lastSequence: 501 }));
    state.writeStatus({ collectors }, { acknowledgedSequence: 501, lastSequence: 501 });
    if (i % 2 === 0) state.db.exec("PRAGMA wal_checkpoint(TRUNCATE); UPDATE collectors SET last_sequence = 501");
    copy(state.directory, `${root}/original-${i}`);
    return `${root}/original-${i}`;
  });
  world[Symbol.dispose]();
  hostile[Symbol.dispose]();
  many[Symbol.dispose]();
  return copies;
}

function copy(from: string, to: string): void {
  const { success } = new Deno.Command("cp", { args: ["-a", from, to] }).outputSync();
  if (!success) throw new Error(`Could not copy ${from}`);
}

console.log(`seed ${seed}, ${count} states`);
const states = await originals();
const wholes = await Promise.all(states.map(async (state, i) => {
  copy(state, `${root}/whole-${i}`);
  return (await ask(`${root}/whole-${i}`, COMMANDS)).told;
}));
let findings = 0;
for (let index = from; index < from + count; index++) {
  const random = new Random(seed, index), original = random.below(states.length), state = `${root}/state`;
  copy(states[original]!, state);
  const done = damage(state, random), commands = Array.from({ length: ASKED }, () => random.pick(COMMANDS));
  if (values.keep !== undefined) copy(state, values.keep);
  const before = contents(state), { told, end } = await ask(state, commands), after = contents(state);
  // A page that is another one, or says something else, is a store in which something else stands: the ledger finds that
  const isShort = /^(cut|overwrote agent\/events\.db-wal)[^,]*$/.test(done);
  const found = told.flatMap((answer) => {
    const whole = isShort ? wholes[original]!.find(({ args }) => String(args) === String(answer.args)) ?? null : null;
    return faults(answer, whole).map((fault) => `${answer.args.join(" ")}: ${fault}`);
  });
  if (end !== "") found.push(end);
  if (before !== after) found.push(`written: ${after}`);
  if (found.length > 0) {
    findings += found.length;
    console.log(`\nFINDING in state ${index} (${done})\n${found.join("\n")}`);
    console.log(`again: deno task fuzz:states --seed ${seed} --from ${index} --count 1`);
  }
  if ((index - from) % 25 === 24) console.log(`${index - from + 1} states, ${findings} findings`);
  new Deno.Command("chmod", { args: ["-R", "u+rwx", state] }).outputSync();
  Deno.removeSync(state, { recursive: true });
}
Deno.removeSync(root, { recursive: true });
console.log(`${count} states with seed ${seed}: ${findings} findings`);
if (findings > 0) Deno.exitCode = 1;
