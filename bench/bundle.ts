/**
 * Evidence bundles of a large store: events a second that are bundled, verified, opened and compared, and the memory that
 * it takes, which must not grow with the events where nothing is held in memory.
 *
 * The program is the CLI's bundle under the permissions that it has. The peer is sqlite3 writing the same rows of the same
 * store as JSON into gzip of the same level. Usage: `deno task bench:bundle [--events 1000000] [--state DIR]`: the store is
 * made first, at some 80,000 events a second; with `--state` it is kept there, and used again when it is there.
 * `--fill` makes it and measures nothing.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { makeBundle } from "../deploy/bundle.ts";
import { BUNDLE_FLAGS } from "../deploy/runtime_flags.ts";
import { tableNamed } from "../proto/catalog.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { fillStore, INTERVAL_MS } from "./support/filled_store.ts";
import { type Figure, report } from "./support/report.ts";

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "1000000" },
    state: { type: "string" },
    fill: { type: "boolean", default: false },
  },
});
const EVENTS = Number(values.events);
/** Bundles of this part show whether memory grows. */
const PART = 4;
const MAX_GROWTH = 1.25;

const temporary = Deno.makeTempDirSync({ prefix: "daemoneye-bench-bundle-" });
const state = values.state === undefined ? temporary : resolve(values.state), layout = stateLayout(state);
const program = `${temporary}/cli.js`, file = `${temporary}/case.dbundle`;
try {
  for (const path of [layout.agent, layout.rules]) Deno.mkdirSync(path, { recursive: true });
  if (!exists(layout.store)) {
    fillStore(`${layout.store}.new`, EVENTS);
    for (const suffix of ["-wal", "-shm", ""]) Deno.renameSync(`${layout.store}.new${suffix}`, layout.store + suffix);
  }
  if (!values.fill) await measure();
} finally {
  Deno.removeSync(temporary, { recursive: true });
}

async function measure(): Promise<void> {
  await makeBundle("cli/main.ts", program, Deno.execPath());
  const newest = newestTime();
  const since = new Date(newest - Math.floor(EVENTS / PART) * INTERVAL_MS).toISOString();
  const part = timed(`bundle --since ${since} > ${file}`);
  const whole = timed(`bundle > ${file}`);
  const columns = tableNamed("process_events").columns.map(({ name }) => name).join(",");
  const sql = `SELECT ${columns} FROM process_events ORDER BY time`;
  const peer = measured(`sh -c 'sqlite3 -readonly -json ${layout.store} "${sql}" | gzip -3 >/dev/null'`);
  const verified = timed(`bundle verify ${file}`), compared = timed(`bundle diff ${file} ${file}`);
  const opened = timed(`bundle open ${file} -- query "SELECT count(*) FROM process_events"`);
  const rate = ({ seconds }: Run): number => EVENTS / seconds, spent = ({ cpu }: Run): number => EVENTS / cpu;
  const besides = (value: number) => ({ name: "sqlite3 -json | gzip -3", value });
  const figures: Figure[] = [
    { what: "bundle", ours: rate(whole), unit: "events/s", peer: besides(rate(peer)), target: { least: 50_000 } },
    // On a machine that does other things too, this is what says how fast it is
    {
      what: "bundle, of the time on a processor",
      ours: spent(whole),
      unit: "events/s",
      peer: besides(spent(peer)),
      target: null,
    },
    {
      what: `memory of ${EVENTS} events, against a ${PART}th of them`,
      ours: whole.mebibytes / part.mebibytes,
      unit: "times",
      peer: null,
      target: { most: MAX_GROWTH },
    },
    { what: "bundle verify", ours: rate(verified), unit: "events/s", peer: null, target: null },
    { what: "bundle open, and one query", ours: rate(opened), unit: "events/s", peer: null, target: null },
    { what: "bundle diff of two such", ours: 2 * rate(compared), unit: "events/s", peer: null, target: null },
  ];
  report(`a bundle of ${EVENTS} events, ${Math.round(Deno.statSync(file).size / 2 ** 20)} MiB`, figures);
  const most = Object.entries({ whole, verified, compared, opened }).map(([name, { mebibytes }]) =>
    `${name} ${mebibytes}`
  );
  console.log(`  resident at most, in MiB: ${most.join(", ")}`);
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Of a store that has as many events as are asked for. */
function newestTime(): number {
  const sql = "SELECT count(*) || ' ' || max(time) FROM process_events";
  const { stdout } = new Deno.Command("sqlite3", { args: ["-readonly", layout.store, sql] }).outputSync();
  const [events, newest] = new TextDecoder().decode(stdout).trim().split(" ").map(Number);
  if (events !== EVENTS) throw new Error(`${layout.store} has ${events} events, and not ${EVENTS}`);
  return newest!;
}

interface Run {
  readonly seconds: number;
  /** Of user and system. */
  readonly cpu: number;
  /** Resident at most. */
  readonly mebibytes: number;
}

/** A command line of the CLI. */
function timed(line: string): Run {
  const cli = [Deno.execPath(), "run", ...BUNDLE_FLAGS, `--allow-read=${state},${temporary}`, program, "--state", state]
    .join(" ");
  return measured(`${cli} ${line.includes(" > ") ? line : `${line} > /dev/null`}`);
}

/** What GNU time says of a program. Degraded answers are right here: no daemon runs. */
function measured(line: string): Run {
  const times = `${temporary}/times`, began = performance.now();
  const { code, stderr } = new Deno.Command("sh", {
    args: ["-c", `/usr/bin/env time -o ${times} -f '%U %S %M' ${line}`],
  }).outputSync();
  if (code !== 0 && code !== 3) throw new Error(`${line}: ${new TextDecoder().decode(stderr)}`);
  const seconds = (performance.now() - began) / 1_000;
  // A line before it says of an exit code that is not 0
  const [user, system, kibibytes] = Deno.readTextFileSync(times).trim().split("\n").at(-1)!.split(" ").map(Number);
  return { seconds, cpu: user! + system!, mebibytes: Math.round(kibibytes! / 1_024) };
}
