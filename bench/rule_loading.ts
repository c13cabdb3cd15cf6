/**
 * What loading rules costs: how long the agent takes from its start until it judges by 10, 1,000 and 3,000 rules, how soon
 * it answers its socket meanwhile, and how long no event finds room while all rules are loaded again.
 *
 * Usage: `deno task bench:rule-loading [--rules 10,1000,3000] [--windows 20] [--in-process]`. With `--in-process` no agent
 * is started: rules are loaded here alone.
 *
 * Slices and stalls are medians over some reloads of the longest of each, by the clock: whatever else takes the core
 * lengthens them. What a step costs by itself is told beside them: the processor's time of the longest, each step taken
 * for the shortest of some reloads.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { newCounters } from "../agent/counters.ts";
import { Detection } from "../agent/detection.ts";
import { Journal } from "../agent/journal.ts";
import type { PreparedRules } from "../agent/prepared_rules.ts";
import { RuleRecord } from "../agent/rule_record.ts";
import { RuleReloader, SLICE_MS } from "../agent/rule_reloader.ts";
import { RulesLoader } from "../agent/rules_loader.ts";
import { NO_RULES } from "../agent/loaded_rules.ts";
import { Store } from "../agent/store/store.ts";
import { Turn } from "../agent/turn.ts";
import { giveBackMemory } from "../proto/memory.ts";
import { AgentProcess, AgentState } from "../tests/agent/agent_process.ts";
import { TestCollector } from "../tests/agent/broker/test_collector.ts";
import { ruleFile } from "./support/real_shaped_rules.ts";
import { type Figure, median, report, round, table } from "./support/report.ts";

/** Reloads of which the median counts. */
const RELOADS = 5;
/** Between two looks at the agent's socket while it starts. */
const LOOK_MS = 10;
const MOST_START_MS = 60_000;
const SLICE_TARGET_MS = 25;
const LARGEST = 3_000, LARGEST_TARGET_MS = 10_000;

/** The files of so many rules, some of them over windows. */
function ruleFiles(count: number, windows: number): Record<string, string> {
  const files: Record<string, string> = {};
  for (let i = 0; i < count; i++) {
    files[`shaped-${i}.yml`] = i < Math.min(windows, count / 10) ? windowRuleFile(i) : ruleFile(1, i, "linux");
  }
  return files;
}

function windowRuleFile(number: number): string {
  return `id: burst-${number}
title: A burst, number ${number}
description: Made up to measure with
severity: low
window: 5m
sql: |
  SELECT a.ppid, count(*) AS n FROM process_events AS a JOIN process_events AS b ON b.ppid = a.pid
  WHERE a.event_type = 'start' AND a.name = 'first${number}'
    AND b.event_type = 'start' AND b.executable_path LIKE '%/second${number}'
  GROUP BY a.ppid HAVING count(*) > 2
`;
}

/** The longest time that no other work of this process found room, until it is asked. */
function watchForStalls(): () => number {
  let longest = 0, last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** The processor's time of the longest step of a reload, and of all of them. */
function stepsOf(
  loader: RulesLoader,
  detection: Detection,
  store: Store,
  change: (round: number) => void,
): { longest: number; all: number } {
  const least: number[] = [];
  for (let i = 0; i < RELOADS; i++) {
    change(i);
    let at = 0;
    const take = <T>(steps: Generator<void, T>): T => {
      for (;;) {
        const began = processorMs(), { done, value } = steps.next();
        least[at] = Math.min(least[at] ?? Infinity, processorMs() - began);
        at++;
        if (done) return value;
      }
    };
    take(loader.fingerprinting());
    const prepared = take(detection.prepare(take(loader.load())));
    take(swapping(detection, prepared));
    take(store.replacingRules(detection.rows()));
  }
  return { longest: Math.max(...least), all: least.reduce((sum, ms) => sum + ms, 0) };
}

function* swapping(detection: Detection, prepared: PreparedRules): Generator<void> {
  detection.swap(prepared);
  yield;
}

interface Loading {
  readonly firstMs: number;
  readonly reloadMs: number;
  /** The processor's time of the longest step, and of all. */
  readonly stepMs: number;
  readonly allStepsMs: number;
  readonly sliceMs: number;
  readonly stallMs: number;
}

/** Loads rules in this process as the agent does, and again and again after all files have changed. */
async function loadHere(files: Readonly<Record<string, string>>): Promise<Loading> {
  const directory = Deno.makeTempDirSync({ prefix: "daemoneye-bench-" }), rules = `${directory}/rules`;
  Deno.mkdirSync(rules);
  const write = (more: string): void => {
    for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${rules}/${name}`, text + more);
  };
  write("");
  const journal = new Journal(() => {}), counters = newCounters(), turn = new Turn();
  const store = new Store(`${directory}/events.db`);
  const failed = (_: Store, error: unknown): void => {
    throw error;
  };
  const record = new RuleRecord({ detection: () => detection, store: () => store, failed });
  const detection: Detection = new Detection(NO_RULES, {
    deadlineMs: 100,
    journal,
    counters,
    changed: () => record.ask(),
  });
  const loader = new RulesLoader([rules]), quietMs = 0;
  const reloader = new RuleReloader({
    directories: [rules],
    loader,
    detection,
    turn,
    store: () => store,
    journal,
    quietMs,
  });
  try {
    const began = performance.now();
    await reloader.first();
    const firstMs = performance.now() - began, times: number[] = [], slices: number[] = [], stalls: number[] = [];
    if (detection.active !== Object.keys(files).length) throw new Error(`${detection.active} rules judge`);
    for (let i = 0; i < RELOADS; i++) {
      write(`# ${i}\n`);
      giveBackMemory();
      const stall = watchForStalls(), from = performance.now();
      await reloader.reload();
      await record.write(store);
      times.push(performance.now() - from);
      stalls.push(stall());
      slices.push(reloader.longestSliceMs);
    }
    const { longest, all } = stepsOf(loader, detection, store, (i) => write(`# ${i} by steps\n`));
    return {
      firstMs,
      reloadMs: median(times),
      stepMs: longest,
      allStepsMs: all,
      sliceMs: median(slices),
      stallMs: median(stalls),
    };
  } finally {
    await reloader.stop();
    detection.close();
    store.close();
    Deno.removeSync(directory, { recursive: true });
  }
}

interface Start {
  /** Until the socket answered, until a collector was taken, and the longest answer between the two. */
  readonly answersMs: number;
  readonly readyMs: number;
  readonly longestAnswerMs: number;
  readonly residentMb: number;
}

/** Starts an agent, and asks its socket all the time until it takes a collector. */
async function start(files: Readonly<Record<string, string>>): Promise<Start> {
  using state = new AgentState(files);
  const began = performance.now();
  await using agent = await AgentProcess.start(state, { atOnce: true });
  let answersMs = NaN, longestAnswerMs = 0;
  for (;;) {
    const asked = performance.now();
    let isTaken = false, isAnswered = true;
    try {
      (await TestCollector.join(agent.layout.brokerSocket))[Symbol.dispose]();
      isTaken = true;
    } catch (error) {
      // No socket yet; or it answers that the agent is starting
      isAnswered = !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused);
    }
    const now = performance.now();
    if (isAnswered) {
      if (Number.isNaN(answersMs)) answersMs = now - began;
      longestAnswerMs = Math.max(longestAnswerMs, now - asked);
    }
    if (isTaken) break;
    if (agent.ended !== null || now - began > MOST_START_MS) {
      throw new Error(`The agent does not start: ${agent.stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  const readyMs = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 2_500)); // a status or two
  return { answersMs, readyMs, longestAnswerMs, residentMb: agent.status().memoryBytes / 1e6 };
}

const { values } = parseArgs({
  args: Deno.args,
  options: {
    rules: { type: "string", default: "10,1000,3000" },
    windows: { type: "string", default: "20" },
    "in-process": { type: "boolean", default: false },
  },
});
const lines: string[][] = [], figures: Figure[] = [];
for (const count of values.rules.split(",").map(Number)) {
  const files = ruleFiles(count, Number(values.windows));
  const here = await loadHere(files), started = values["in-process"] ? null : await start(files);
  lines.push([
    `${count} rules`,
    round(here.firstMs),
    round(here.reloadMs),
    round(here.sliceMs),
    round(here.stallMs),
    round(here.stepMs),
    round(here.allStepsMs),
    started === null ? "-" : round(started.answersMs),
    started === null ? "-" : round(started.longestAnswerMs),
    started === null ? "-" : round(started.readyMs),
    started === null ? "-" : round(started.residentMb),
  ]);
  if (count === 1_000) {
    const what = "longest slice of a reload of 1,000 rules", target = { most: SLICE_TARGET_MS };
    figures.push({ what: `${what}, by the clock`, ours: here.sliceMs, unit: "ms", peer: null, target });
    figures.push({ what: `${what}, by itself`, ours: SLICE_MS + here.stepMs, unit: "ms", peer: null, target });
  }
  if (count === LARGEST) {
    const ours = started?.readyMs ?? here.firstMs, target = { most: LARGEST_TARGET_MS };
    figures.push({ what: "start with 3,000 rules", ours, unit: "ms", peer: null, target });
  }
}
table(
  "Loading rules, in ms: first load, reload, its longest slice and stall, and by the processor's time its longest step " +
    "and all of them; then of an agent's start: until it answers, longest answer, until it judges; MB resident at rest",
  ["", "first", "reload", "slice", "stall", "step", "steps", "answers", "answer", "judges", "MB"],
  lines,
);
Deno.exit(report("Targets", figures) ? 0 : 1);
