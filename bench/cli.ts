/**
 * What an operator waits for: the command line on a large store, from its start to its end, beside sqlite3 on the same
 * file.
 *
 * The program is what `deno task build --launcher` makes: the launcher, the parts that it loads, and what Deno knows of
 * them, under the permissions that it has. The peer is asked the same of the same view, and prints the same columns as
 * CSV. Each round runs all questions once, ours and the peer's one after the other; the first fills the caches of both.
 *
 * Usage: `deno task bench:cli [--events 10000000] [--state DIR] [--rounds 5]`. The store is made first, at some 80,000
 * events a second, and takes 250 bytes an event; with `--state` it is kept there, and used again when it is there.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { stateLayout } from "../proto/state_layout.ts";
import { filledExecId, fillStore } from "./support/filled_store.ts";
import { installCli } from "./support/installed_cli.ts";
import { type Figure, median, report } from "./support/report.ts";

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "10000000" },
    state: { type: "string" },
    rounds: { type: "string", default: "5" },
  },
});
const EVENTS = Number(values.events), ROUNDS = Number(values.rounds), HOUR_MS = 3_600_000;
const COLUMNS = "time,event_type,pid,ppid,name,executable_path,command_line,user_name,exec_id";

const temporary = Deno.makeTempDirSync({ prefix: "daemoneye-bench-cli-" });
const layout = stateLayout(values.state === undefined ? `${temporary}/state` : resolve(values.state));
const timed = exists("/usr/bin/time");
let launcher = "";
try {
  Deno.mkdirSync(layout.agent, { recursive: true });
  if (!exists(layout.store)) {
    console.log(`a store of ${EVENTS} events is made`);
    fillStore(`${layout.store}.new`, EVENTS, (done) => console.log(`  ${done}`));
    for (const suffix of ["-wal", "-shm", ""]) Deno.renameSync(`${layout.store}.new${suffix}`, layout.store + suffix);
  }
  launcher = await installCli(temporary, layout);
  const [events, newest] = sqlite3("SELECT count(*), max(time) FROM process_events").trim().split(",").map(Number);
  const hunt = `SELECT ${COLUMNS} FROM process_events WHERE exec_id = '${filledExecId(Math.floor(events! / 2))}'`;
  const hour = (columns: string, by: string): string =>
    `SELECT ${columns} FROM process_events WHERE time >= ${newest! - HOUR_MS} GROUP BY ${by} ORDER BY n DESC`;
  const busiest = hour("name, count(*) AS n", "name");
  const paths = hour("executable_path, count(*) AS n, min(time), max(time)", "executable_path");
  const users = hour("user_name, count(*) AS n", "user_name"), minutes = hour("time / 60000, count(*) AS n", "1");
  const means = hour("name, avg(duration_ms) AS n", "name");
  report(`the command line on ${events} events, medians of ${ROUNDS}`, [
    ...waits([
      ["--help", ["--help"], null, 0.1],
      ["indexed hunt", ["query", hunt, "-f", "csv"], hunt, 0.2],
      ["last hour by name", ["query", busiest, "-f", "csv"], busiest, 1],
      ["by path, first and last", ["query", paths, "-f", "csv"], paths, null],
      ["by user", ["query", users, "-f", "csv"], users, null],
      ["by minute", ["query", minutes, "-f", "csv"], minutes, null],
      ["by name, a mean", ["query", means, "-f", "csv"], means, null],
      ["newest 100 events", ["events", "-f", "csv"], null, null],
    ]),
    ...exported(events!),
  ]);
} finally {
  Deno.removeSync(temporary, { recursive: true });
}

type Question = readonly [what: string, args: readonly string[], peer: string | null, most: number | null];

/** From the start of the process to its end, in seconds. */
function waits(questions: readonly Question[]): Figure[] {
  const took = questions.map(() => ({ ours: [] as number[], peer: [] as number[] }));
  for (let round = 0; round <= ROUNDS; round++) {
    questions.forEach(([, args, sql], i) => {
      const ours = seconds(() => cli(args)), peer = sql === null ? null : seconds(() => sqlite3(sql));
      if (round === 0) return;
      took[i]!.ours.push(ours);
      if (peer !== null) took[i]!.peer.push(peer);
    });
  }
  return questions.map(([what, , sql, most], i): Figure => ({
    what,
    ours: median(took[i]!.ours),
    unit: "s",
    peer: sql === null ? null : { name: "sqlite3", value: median(took[i]!.peer) },
    target: most === null ? null : { most },
  }));
}

/** Rows a second of all events, and the memory that it takes, which must not grow with them. */
function exported(events: number): Figure[] {
  const sql = `SELECT ${COLUMNS} FROM process_events ORDER BY time`;
  const peer = events / seconds(() => shell(`sqlite3 -readonly -csv ${layout.store} "${sql}" | wc -l`));
  const figures: Figure[] = [], tenth = Math.floor(events / 10);
  for (const format of ["csv", "jsonl"]) {
    const args = ["export", "events", "-f", format, "--columns", COLUMNS];
    const small = memoryOf([...args, "--limit", String(tenth)]);
    let large = 0;
    const took = seconds(() => large = memoryOf(args));
    figures.push({
      what: `export as ${format}`,
      ours: events / took,
      unit: "rows/s",
      peer: { name: "sqlite3 -csv", value: peer },
      target: { least: 100_000 },
    }, {
      what: `its memory, beside a tenth of the rows`,
      ours: large,
      unit: "MiB",
      peer: { name: `${tenth} rows`, value: small },
      target: null,
    });
  }
  return figures;
}

/** Most memory that a command takes whose output somebody reads. */
function memoryOf(args: readonly string[]): number {
  if (!timed) return NaN;
  const text = shell(`/usr/bin/time -f '%M KiB' ${command(args)} | wc -l`);
  return Number(/^(\d+) KiB$/m.exec(text)![1]) / 1_024;
}

function command(args: readonly string[]): string {
  return [launcher, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
}

function cli(args: readonly string[]): string {
  return shell(command(args));
}

function sqlite3(sql: string): string {
  return shell(`sqlite3 -readonly -csv ${layout.store} "${sql}"`);
}

/** What a command writes, its words on stderr included. Degraded answers are right here: no daemon runs. */
function shell(line: string): string {
  const { code, stdout } = new Deno.Command("sh", { args: ["-c", `{ ${line}; } 2>&1`] }).outputSync();
  const text = new TextDecoder().decode(stdout);
  if (code !== 0 && code !== 3) throw new Error(text);
  return text;
}

function seconds(run: () => void): number {
  const began = performance.now();
  run();
  return (performance.now() - began) / 1_000;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
