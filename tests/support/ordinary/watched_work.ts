/**
 * Ordinary work under the eyes of a whole DaemonEye, and what the sensor said of it.
 *
 * Others may use the host meanwhile: only what the scripts and their descendants did counts, and whatever says that one
 * source saw a process and another did not, as that is wrong of any.
 *
 * @module
 */
import { processOfExec } from "../../../proto/identity.ts";
import type { World } from "../world.ts";
import { type Work, WORKS } from "./works.ts";

/** No other run of this on the host has it. */
const PACKAGE = `daemoneye-ordinary-${Deno.pid}`;
const WORKER = new URL("../c/worker.c", import.meta.url).pathname;
/** How long one script may take: packages wait for the lock of others. */
const PATIENCE_MS = 600_000;
const decoder = new TextDecoder();

export interface Mark {
  readonly severity: string;
  readonly reason: string;
  readonly name: string;
  readonly commandLine: string;
  /** The work that it came of; empty for a difference that came of somebody else. */
  readonly work: string;
}

export interface WorkReport {
  readonly rounds: number;
  /** Works that were done, with how often; those that were left out, with why. */
  readonly done: ReadonlyMap<string, number>;
  readonly leftOut: ReadonlyMap<string, string>;
  /** What scripts said that failed: the test is of no worth with them. */
  readonly failures: readonly string[];
  readonly programs: number;
  readonly starts: number;
  readonly marks: readonly Mark[];
}

export interface WorkOptions {
  /** Begins no new work after this time; each is done once at least. */
  readonly milliseconds: number;
  readonly pauseMs: number;
  readonly works?: readonly Work[];
  readonly say?: (text: string) => void;
}

/** Does the works, one after the other, round by round, and waits until all of it is stored. */
export async function watchOrdinaryWork(world: World, options: WorkOptions): Promise<WorkReport> {
  const { milliseconds, pauseMs, works = WORKS, say = () => {} } = options;
  const tag = `ordinary-${Deno.pid}-${Date.now().toString(36)}`;
  // Not below a directory where everybody may write: what is built there is suspicious, and should be.
  const directory = await Deno.makeTempDir({ dir: "/var/lib", prefix: "daemoneye-ordinary-" });
  const done = new Map<string, number>(), leftOut = new Map<string, string>(), failures: string[] = [];
  const chosen: Work[] = [];
  for (const work of works) {
    const missing = work.programs.filter((program) => !isInPath(program));
    if (missing.length === 0) chosen.push(work);
    else leftOut.set(work.name, `not installed: ${missing.join(", ")}`);
  }
  const end = performance.now() + milliseconds;
  let round = 0;
  try {
    await Deno.chmod(directory, 0o755);
    for (; round === 0 || performance.now() < end; round++) {
      for (const work of chosen) {
        if (round > 0 && performance.now() >= end) break;
        const fault = await run(work, `${directory}/${work.name}`, round, `${tag}/${work.name}`);
        if (fault !== null) failures.push(`${work.name}, round ${round}: ${fault}`);
        done.set(work.name, (done.get(work.name) ?? 0) + 1);
        say(`round ${round}, ${work.name}${fault === null ? "" : ` failed: ${fault}`}`);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
    await settle(world, tag);
  } finally {
    await Deno.remove(directory, { recursive: true });
    if (chosen.some(({ name }) => name === "packages")) await purge();
  }
  return { rounds: round, done, leftOut, failures, ...told(world, tag) };
}

/** Waits until whatever is to be said of it was said: a difference between the sources takes two rounds of comparison. */
async function settle(world: World, tag: string): Promise<void> {
  const counter = (name: string): number => world.collectorStatus()?.counters[name] ?? 0;
  for (let round = 0; round < 3; round++) {
    const last = `${tag}/last${round}`, matched = counter("records_matched");
    await new Deno.Command("bash", { args: ["-c", "true", last], stdin: "null" }).output();
    await world.until("a round of comparison ends", () => counter("records_matched") > matched, 60_000);
    await world.until("the last of it is stored", () =>
      world.count(
        "SELECT count(*) FROM process_events WHERE event_type = 'stop' AND command_line LIKE ?",
        `%${last}`,
      ) > 0, 60_000);
  }
  await world.until("no hash is waited for", () => counter("hash_waiting") === 0, 60_000);
}

async function run(work: Work, directory: string, round: number, tag: string): Promise<string | null> {
  // A program that the last round left in the background may have made it again, as npm does for its logs.
  await Deno.mkdir(directory, { recursive: true, mode: 0o755 });
  const stop = new AbortController(), timer = setTimeout(() => stop.abort(), PATIENCE_MS);
  try {
    const { success, code, stderr } = await new Deno.Command("bash", {
      args: ["-euc", work.script, tag],
      cwd: directory,
      env: { ROUND: String(round), WORKER, PACKAGE, HOME: directory },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: stop.signal,
    }).output();
    if (success) return null;
    const log = await Deno.readTextFile(`${directory}/apt.log`).catch(() => "");
    return `exit ${code}: ${(decoder.decode(stderr) + log).trim().slice(-500)}`;
  } finally {
    clearTimeout(timer);
    await Deno.remove(directory, { recursive: true });
  }
}

/** What a script that failed may have left installed. */
async function purge(): Promise<void> {
  const query = new Deno.Command("dpkg", { args: ["-s", PACKAGE], stdin: "null", stdout: "null", stderr: "null" });
  if (!(await query.output()).success) return;
  await new Deno.Command("dpkg", { args: ["--purge", "--force-all", PACKAGE], stdin: "null" }).output();
}

function told(world: World, tag: string): Pick<WorkReport, "programs" | "starts" | "marks"> {
  const parents = new Map<string, string | null>(), works = new Map<string, string>();
  const suspicious: (Mark & { readonly process: string })[] = [], starts: (readonly [string, string])[] = [];
  const rows = world.query(
    `SELECT event_type, exec_id, parent_exec_id, name, command_line, executable_path, severity, reason
     FROM process_events WHERE event_type IN ('start', 'suspicious') ORDER BY event_id`,
  );
  for (const row of rows) {
    const process = processOfExec(String(row["exec_id"])), parent = row["parent_exec_id"];
    const commandLine = String(row["command_line"] ?? "");
    if (typeof parent === "string" && !parents.has(process)) parents.set(process, processOfExec(parent));
    const at = commandLine.lastIndexOf(`${tag}/`);
    if (at >= 0 && !works.has(process)) works.set(process, commandLine.slice(at + tag.length + 1));
    if (row["event_type"] === "start") starts.push([process, String(row["executable_path"])]);
    else {
      const severity = String(row["severity"]), reason = String(row["reason"]), name = String(row["name"]);
      suspicious.push({ severity, reason, name, commandLine, process, work: "" });
    }
  }
  const workOf = (process: string): string => {
    const seen = new Set<string>();
    for (let at: string | null | undefined = process; at && !seen.has(at); at = parents.get(at)) {
      const work = works.get(at);
      if (work !== undefined) return work;
      seen.add(at);
    }
    return "";
  };
  const ours = starts.filter(([process]) => workOf(process) !== "");
  return {
    starts: ours.length,
    programs: new Set(ours.map(([, path]) => path)).size,
    marks: suspicious.map(({ process, ...mark }) => ({ ...mark, work: workOf(process) }))
      .filter(({ work, reason }) => work !== "" || IS_DIFFERENCE.test(reason)),
  };
}

const IS_DIFFERENCE = / seen by .*, not by /;

/** Whether a mark is worse than what ordinary work may earn. */
export function isAboveLow({ severity }: Mark): boolean {
  return severity !== "info" && severity !== "low";
}

/** A line for each kind of mark, with how often it was. */
export function describeMarks(marks: readonly Mark[]): string[] {
  const counts = new Map<string, { count: number; mark: Mark }>();
  for (const mark of marks) {
    const { severity, work, name } = mark;
    const key = `${severity} ${work} ${name} ${mark.reason.replaceAll(/[0-9a-f]{64}|\d+/g, "#")}`,
      known = counts.get(key);
    if (known === undefined) counts.set(key, { count: 1, mark });
    else known.count++;
  }
  return [...counts.values()].map(({ count, mark: { severity, work, name, reason, commandLine } }) =>
    `${severity}: ${work || "elsewhere"}: ${name}: ${reason}${count > 1 ? ` (${count} times)` : ""} [${
      commandLine.slice(0, 100)
    }]`
  );
}

function isInPath(program: string): boolean {
  for (const directory of (Deno.env.get("PATH") ?? "").split(":")) {
    try {
      if (Deno.statSync(`${directory}/${program}`).isFile) return true;
    } catch {
      // not there
    }
  }
  return false;
}
