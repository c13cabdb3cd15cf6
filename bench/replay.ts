/**
 * How long `rules replay` takes over a million stored events, beside sqlite3 with the same condition over the same rows.
 *
 * The program is the real one, with the permissions that it has, from its start to its end. Both must find the same.
 * Usage: `deno task bench:replay [EVENTS]`. The store is made first, which takes as long as it takes.
 *
 * @module
 */
import { closeDatabase, openDatabase } from "../agent/store/database.ts";
import { Partitions } from "../agent/store/partitions.ts";
import { rowQuery, validateRule } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { type Figure, median, report } from "./support/report.ts";
import { ruleFile, shapedRows } from "./support/real_shaped_rules.ts";

const EVENTS = Number(Deno.args[0] ?? 1_000_000), RUNS = 3, TARGET_S = 5;
const PARTITION = 250_000, BATCH = 5_000, DIFFERENT = 20_000;
const WINDOW_RULE = `id: window\ntitle: T\ndescription: D\nseverity: low\nwindow: 5m\nsql: |
  SELECT user_id, count(*) AS n FROM process_events WHERE event_type = 'start' AND name = 'sudo' GROUP BY user_id
  HAVING count(*) >= 300
`;
const ROOT = new URL("../", import.meta.url).pathname;

const state = Deno.makeTempDirSync({ prefix: "daemoneye-replay-" }), layout = stateLayout(state);
try {
  Deno.mkdirSync(layout.agent);
  fill();
  const figures: Figure[] = [];
  for (const number of [3, 5, 17]) {
    const file = `${state}/rule-${number}.yml`, text = ruleFile(1, number, "linux");
    Deno.writeTextFileSync(file, text);
    const { where, alias } = rowQuery(validateRule(parseRule(text, file)));
    const ours: number[] = [], peers: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      const began = performance.now(), found = replay(file);
      ours.push((performance.now() - began) / 1_000);
      const then = performance.now(),
        counted = sqlite3(`SELECT count(*) FROM process_events AS "${alias}" WHERE (${where})`);
      peers.push((performance.now() - then) / 1_000);
      if (found !== counted) throw new Error(`replay found ${found}, sqlite3 ${counted}`);
    }
    figures.push({
      what: `rule ${number}, ${EVENTS} events`,
      ours: median(ours),
      unit: "s",
      peer: { name: "sqlite3", value: median(peers) },
      target: { most: TARGET_S },
    });
  }
  const began = performance.now(), file = `${state}/window.yml`;
  Deno.writeTextFileSync(file, WINDOW_RULE);
  replay(file);
  figures.push({
    what: `rule over a window, ${EVENTS} events`,
    ours: (performance.now() - began) / 1_000,
    unit: "s",
    peer: null,
    target: null,
  });
  report("rules replay, from its start to its end", figures);
} finally {
  Deno.removeSync(state, { recursive: true });
}

function fill(): void {
  const db = openDatabase(layout.store), partitions = new Partitions(db), rows = shapedRows(1, DIFFERENT, "linux");
  for (let at = 0; at < EVENTS;) {
    db.exec("BEGIN");
    for (const end = Math.min(at + BATCH, EVENTS); at < end; at++) {
      const row = [...rows[at % DIFFERENT]!];
      [row[0], row[1]] = [2 ** 40 + at, 1_700_000_000_000 + at * 10];
      row[9] = `${row[9]} ${at}`;
      row[10] = JSON.stringify(row[9].split(" "));
      partitions.insert(row);
    }
    db.exec("COMMIT");
    partitions.committed();
    if (at % PARTITION === 0 && at < EVENTS) {
      db.exec("BEGIN");
      partitions.rotate(Date.now());
      db.exec("COMMIT");
    }
  }
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  closeDatabase(db);
}

function run(command: string, args: readonly string[]): string {
  const { stdout, stderr } = new Deno.Command(command, { args: [...args] }).outputSync();
  const text = new TextDecoder().decode(stdout);
  if (text === "") throw new Error(new TextDecoder().decode(stderr));
  return text;
}

function replay(file: string): number {
  const grants = ["run", "--quiet", "--no-prompt", `--allow-read=${state}`, `${ROOT}cli/main.ts`, "--state", state];
  const answer = JSON.parse(
    run(Deno.execPath(), [...grants, "rules", "replay", file, "--since", "2020-01-01", "-f", "json"]),
  );
  if (answer.events !== EVENTS) throw new Error(`${answer.events} events were looked at`);
  return answer.matches;
}

function sqlite3(sql: string): number {
  return Number(run("sqlite3", ["-readonly", layout.store, sql]));
}
