/**
 * SIGKILL at random moments on what delivers alerts, again and again; then everything is counted.
 *
 * @module
 */
import assert from "node:assert/strict";
import { rows, TempDir } from "../agent/support.ts";
import { TierProcess } from "../crash/tier_process.ts";
import { expectedAfter, FLAKY, SAME_KEYS, SAME_RULE } from "./plan.ts";

const LIFE = new URL("./life.ts", import.meta.url).pathname;
const PATIENCE_MS = 60_000;
/** A life delivers for at most so long before it is killed. */
const MAX_LIFE_MS = 250;

export interface Outcome {
  readonly cycles: number;
  readonly commits: number;
  readonly sent: number;
  /** Copies of alerts that the flaky sink has beyond the first, all with the id of the first. */
  readonly copies: number;
}

/** Throws what does not hold. */
export async function alertLives(cycles: number): Promise<Outcome> {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  let failures = 0, commits = 0;
  for (let cycle = 0; cycle < cycles; cycle++) {
    const life = new Life(dir.path, "run");
    await life.said(/^begun \d+$/);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_LIFE_MS));
    await life.process.kill();
    assert.deepEqual(life.faults, [], `life ${cycle}`);
    const [stream] = rows(path, "SELECT last_sequence FROM collectors");
    assert.ok(Number(stream?.["last_sequence"] ?? 0) >= commits, "commits do not go back");
    commits = Number(stream?.["last_sequence"] ?? 0);
    // The breaker of the sink that is down never forgets
    const [down] = rows(path, "SELECT state, failures FROM alert_sinks WHERE sink = 'down'");
    const now = Number(down?.["failures"] ?? 0);
    assert.ok(now >= failures, `the breaker knew of ${failures} failures and knows of ${now}`);
    assert.ok(now < 5 || down!["state"] === "open", `${down?.["state"]} after ${now} failures`);
    failures = now;
  }
  const last = new Life(dir.path, "drain");
  await last.said(/^drained$/);
  await last.process.ended();
  assert.deepEqual(last.faults, []);
  checkAlerts(path, commits);
  return { cycles, commits, ...checkSinks(dir.path, commits) };
}

/** Every alert is there once, muted or owed as it should be; repeats are counted to the last one. */
function checkAlerts(path: string, commits: number): void {
  assert.deepEqual(rows(path, "PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  const ids = (where: string): unknown[] =>
    rows(path, `SELECT alert_id FROM alerts WHERE ${where} ORDER BY alert_id`).map((row) => row["alert_id"]);
  const { sent, muted } = expectedAfter(commits);
  assert.deepEqual(ids("muted_by IS NULL"), sent);
  assert.deepEqual(ids("muted_by = (SELECT mute_id FROM alert_mutes WHERE ended_time IS NULL)"), muted);
  const counts = rows(path, "SELECT sum(count) AS n FROM alert_windows WHERE rule_id = ?", SAME_RULE)[0]!["n"];
  assert.equal(counts, Math.max(0, commits - SAME_KEYS), "repeats");
  assert.equal(rows(path, "SELECT muted FROM alert_mutes")[0]!["muted"], muted.length);
  const [rule] = rows(path, "SELECT hits FROM alert_rules WHERE rule_id = ?", SAME_RULE);
  assert.equal(rule!["hits"], commits);
}

/** Each sink that takes anything has every alert: the file once, the other at least once, and nobody one that is muted. */
function checkSinks(directory: string, commits: number): { sent: number; copies: number } {
  const { sent } = expectedAfter(commits);
  const lines = Deno.readTextFileSync(`${directory}/alerts.jsonl`).trimEnd().split("\n");
  assert.deepEqual(lines.map((line) => JSON.parse(line).alertId).sort(), sent, "the file");
  const got = Deno.readTextFileSync(`${directory}/${FLAKY}`).trimEnd().split("\n");
  assert.deepEqual([...new Set(got)].sort(), sent, "the flaky sink");
  return { sent: sent.length, copies: got.length - sent.length };
}

class Life {
  readonly process: TierProcess;
  readonly faults: string[] = [];
  readonly #lines: string[] = [];

  constructor(directory: string, mode: string) {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--quiet", LIFE, directory, mode],
      cwd: new URL("../../", import.meta.url).pathname,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    this.process = new TierProcess(command, (line) => {
      if (/^(begun|drained)/.test(line)) this.#lines.push(line);
      else this.faults.push(line);
    });
  }

  async said(what: RegExp): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!this.#lines.some((line) => what.test(line))) {
      if (this.process.status !== null || performance.now() > end) {
        throw new Error(`It did not say ${what}: ${this.faults.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
