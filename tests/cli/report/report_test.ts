/** The report: what it counts, what it says of what it leaves out, and that it is one file which loads nothing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { encodeAncestry } from "../../../proto/ancestry.ts";
import type { ReportData } from "../../../cli/report/data.ts";
import { AWAY, gatherReport } from "../../../cli/report/gather.ts";
import { renderReport } from "../../../cli/report/page.ts";
import { redact } from "../../../cli/report/redact.ts";
import { Store } from "../../../cli/store_reader.ts";
import { barWidth } from "../../../cli/report/bar_width.ts";
import { cli } from "../../support/cli_run.ts";
import { WORLDS } from "../../support/cli_worlds.ts";
import { reportWorld, WEEK_MS } from "../../support/report_world.ts";
import { NOW, testProcess, TestState } from "../../support/test_store.ts";

const HOUR = 3_600_000, DAY = 24 * HOUR;
const PAGE = new URL("../../../cli/report/page/", import.meta.url).pathname;

function gather(state: TestState, more: { from?: number; until?: number; limit?: number } = {}): ReportData {
  const store = Store.open(state.layout.store);
  try {
    return gatherReport({
      reader: store,
      range: { from: more.from ?? NOW - WEEK_MS, until: more.until ?? NOW },
      limit: more.limit ?? 1_000,
      live: AWAY,
      ledger: { kind: "absent", why: "a test has none" },
      origin: "a test",
      madeAt: NOW,
      programVersion: "0",
      progress: () => {},
    });
  } finally {
    store.close();
  }
}

Deno.test("report counts what SQL counts, whatever it lists", async () => {
  using world = await reportWorld({ alerts: 120, events: 3_000 });
  const { state } = world, data = gather(state, { limit: 25 });
  const one = (sql: string): number => Number(Object.values(state.db.prepare(sql).get()!)[0]);
  const within = `time >= ${NOW - WEEK_MS} AND time <= ${NOW}`;
  assert.equal(data.alerts.total, one(`SELECT count(*) FROM alerts WHERE ${within}`));
  assert.equal(data.alerts.bySeverity[0], one(`SELECT count(*) FROM alerts WHERE severity = 'critical' AND ${within}`));
  const open = `coalesce(status, 'open') = 'open' AND muted_by IS NULL AND ${within}`;
  assert.deepEqual(
    data.alerts.openBySeverity,
    ["critical", "high", "medium", "low", "info"].map((severity) =>
      one(`SELECT count(*) FROM alerts WHERE severity = '${severity}' AND ${open}`)
    ),
  );
  const [pressing] = data.alerts.pressing;
  assert.equal(pressing!.severity, "critical");
  assert.equal(
    pressing!.open,
    one(`SELECT count(*) FROM alerts WHERE rule_id = '${pressing!.id}' AND severity = 'critical' AND ${open}`),
  );
  const sum = (numbers: Iterable<number>): number => [...numbers].reduce((a, b) => a + b, 0);
  assert.equal(sum(data.alerts.bars.bars.flat()), data.alerts.total);
  assert.equal(sum(data.alerts.rules.map(({ alerts }) => alerts)), data.alerts.total);
  const { activity } = data;
  assert.equal(activity.events, one(`SELECT count(*) FROM process_events WHERE ${within}`));
  assert.equal(activity.starts, one(`SELECT count(*) FROM process_events WHERE event_type = 'start' AND ${within}`));
  assert.equal(sum(activity.hours.values()), activity.events);
  assert.equal(sum(activity.users.top.map(({ events }) => events)), activity.events, "there are five users");
  assert.equal(data.attack.rules, 10);
  assert.equal(
    sum(data.attack.tactics.flatMap(({ techniques }) => techniques.map(({ alerts }) => alerts > 0 ? 1 : 0))) > 0,
    true,
  );
  // The most severe are listed, in the order of their times
  const ranks = ["critical", "high", "medium", "low", "info"];
  const worst = ranks.flatMap((severity, at) => new Array(data.alerts.bySeverity[at]).fill(severity)).slice(0, 25);
  assert.deepEqual(
    data.alerts.listed.map(({ severity }) => severity).sort((a, b) => ranks.indexOf(a) - ranks.indexOf(b)),
    worst,
  );
  assert.deepEqual(
    data.alerts.listed.map(({ time }) => time),
    data.alerts.listed.map(({ time }) => time).sort((a, b) => b - a),
  );
  assert.match(renderReport(data), /has the 25 most\s+severe and newest of 120 alerts/);
});

Deno.test("report lists programs that ran first in its time, and says where the store begins inside of it", () => {
  using state = new TestState();
  const start = (path: string, time: number, row = {}): number => state.event({ executable_path: path, time, ...row });
  start("/usr/bin/old", NOW - 20 * DAY);
  start("/usr/bin/old", NOW - HOUR);
  start("/opt/new", NOW - 2 * HOUR, { user_name: "bob", command_line: "/opt/new --first" });
  start("/opt/new", NOW - HOUR, { user_name: "alice", event_type: "modify", executable_hash: "cd".repeat(32) });
  start("/opt/new", NOW - 2 * HOUR + 500, { event_type: "modify", executable_hash: "ab".repeat(32) });
  start("/opt/ended", NOW - HOUR, { event_type: "stop" });
  const { programs } = gather(state);
  assert.deepEqual(programs.listed, [{
    path: "/opt/new",
    first: NOW - 2 * HOUR,
    starts: 1,
    user: "bob",
    parent: null,
    command: "/opt/new --first",
    hash: "ab".repeat(32),
  }]);
  assert.equal(programs.knownSince, NOW - 20 * DAY);
  const early = gather(state, { from: NOW - 30 * DAY });
  assert.equal(early.programs.count, 2);
  assert.match(renderReport(early), /so much looks new that may not be/);
});

Deno.test("report draws ancestors and descendants of an alert, and remembers those that the store has forgotten", () => {
  using state = new TestState();
  state.process(10, { ppid: 0, name: "init" });
  state.process(20, { parent_exec_id: testProcess(10), name: "shell" });
  state.process(30, {
    parent_exec_id: `${testProcess(20)}-99`,
    name: "tool",
    end_time: NOW,
    exit_code: 3,
    status: "ended",
  });
  for (let pid = 100; pid < 145; pid++) state.process(pid, { parent_exec_id: testProcess(30), name: `child${pid}` });
  state.process(200, { parent_exec_id: testProcess(100), name: "grandchild" });
  // A circle
  state.process(300, { parent_exec_id: testProcess(301), name: "a" });
  state.process(301, { parent_exec_id: testProcess(300), name: "b" });
  state.alert(1, { alert_id: "a1", exec_id: `${testProcess(30)}-77` });
  state.alert(2, { alert_id: "a2", exec_id: testProcess(300) });
  state.alert(3, {
    alert_id: "a3",
    exec_id: testProcess(900),
    parent_exec_id: testProcess(901),
    name: "gone",
    ancestry: encodeAncestry([
      { execId: testProcess(901), pid: 901, name: "its parent", executablePath: "/p", userName: "u" },
      { execId: testProcess(10), pid: 10, name: "init", executablePath: "/i", userName: "root" },
    ]),
  });
  state.alert(4, {
    alert_id: "a4",
    exec_id: testProcess(950),
    ancestry: "[[",
    evidence: "{",
    completeness: "nonsense",
    tags: "x",
  });
  const { alerts: { processes: { nodes, cut }, listed } } = gather(state);
  const tool = nodes.get(testProcess(30))!;
  assert.deepEqual([tool.parentId, tool.ended, tool.hiddenChildren, cut], [testProcess(20), "exit 3", 5, 5]);
  assert.equal(nodes.get(testProcess(200))!.parentId, testProcess(100));
  assert.equal(nodes.get(testProcess(301))!.parentId, testProcess(300));
  const gone = nodes.get(testProcess(900))!, parent = nodes.get(gone.parentId!)!;
  assert.deepEqual([gone.remembered, parent.name, parent.remembered, parent.parentId], [
    true,
    "its parent",
    true,
    testProcess(10),
  ]);
  const damaged = listed.find(({ id }) => id === "a4")!;
  assert.deepEqual([damaged.evidence, damaged.unseen, damaged.tags], [[["evidence", "{"]], ["it was not noted"], []]);
});

Deno.test("report of the same state is the same but for the time when it was made", async () => {
  using world = await reportWorld({ alerts: 40, events: 500 });
  const args = ["report", "--since", "2026-07-29T12:00Z", "--until", "2026-08-05T12:00Z"];
  const [one, other] = [await cli(world.state, args), await cli(world.state, args, { now: NOW + 1_000 })];
  assert.equal(one.code, 3, "there are gaps");
  const without = (page: string): string => page.replace(/<span id="made">.*?<\/span>/s, "");
  assert.notEqual(one.out, other.out);
  assert.equal(without(one.out), without(other.out));
});

Deno.test("report is one file: its policy has the hashes of its script and style, and nothing leads outside", async () => {
  using world = await reportWorld({ alerts: 5, events: 50 });
  const { out } = await cli(world.state, ["report"]);
  assert.ok(out.startsWith("<!doctype html>\n") && out.endsWith("</html>\n"));
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(out)![1]!;
  const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const style = /<style>(.*?)<\/style>/s.exec(out)![1]!, scripts = [...out.matchAll(/<script>(.*?)<\/script>/gs)];
  assert.equal(scripts.length, 1);
  for (const part of ["default-src 'none'", `script-src ${hash(scripts[0]![1]!)}`, `style-src ${hash(style)}`]) {
    assert.ok(policy.split("; ").includes(part), part);
  }
  assert.doesNotMatch(policy, /unsafe|\*/);
  assert.doesNotMatch(
    out.replaceAll(/<script.*?<\/script>/gs, ""),
    /\s(?:src|srcset|action|style|on[a-z]+)=|href="(?!#)|@import|url\(/,
  );
});

Deno.test("report counts each hour that has events, over a time that has none", () => {
  using state = new TestState();
  const hours = [NOW - 6 * 86_400_000, NOW - 6 * 86_400_000 + 3_600_000, NOW - 3_600_000, NOW];
  for (const [at, time] of hours.entries()) {
    for (let n = 0; n <= at; n++) state.event({ time, event_type: n === 0 ? "stop" : "start" });
  }
  const { activity } = gather(state);
  assert.deepEqual([...activity.hours], hours.map((time, at) => [time / 3_600_000, at + 1]));
  assert.deepEqual([activity.events, activity.starts, activity.stops], [10, 6, 4]);
});

Deno.test("report of a state without events says so, and one without a store is none", async () => {
  using empty = new TestState();
  const { out, code } = await cli(empty, ["report"]);
  assert.equal(code, 3);
  for (
    const words of [/No rule raised an alert/, /holds no event/, /There is no audit ledger/, /Nothing is known yet/]
  ) {
    assert.match(out, words);
  }
  assert.doesNotMatch(out, /id="data"/);
  using nothing = WORLDS["new"]!();
  assert.equal((await cli(nothing, ["report"])).code, 1);
});

Deno.test("report of a troubled host says what was not seen, and which rules could not judge", async () => {
  using state = WORLDS["troubled"]!();
  const { out, err, code } = await cli(state, ["report"]);
  assert.equal(code, 3);
  assert.match(err, /Not everything was seen: 2 gaps/);
  for (
    const words of [
      /collector not running/,
      /broken\.yml/,
      /MY_OWN/,
      /shorter than 1000 ms/,
      /1 loss that cannot be counted/,
    ]
  ) {
    assert.match(out, words);
  }
});

Deno.test("report --redact holds no name, home, command or host, and the same one is the same number", async () => {
  using world = await reportWorld({ alerts: 30, events: 400 });
  const { state } = world;
  const secrets = ["zoe-secret", "mallory", "topsecret.txt", "hunter2", "web-03.example.org"];
  const event = state.event({
    time: NOW - HOUR,
    user_name: "zoe-secret",
    executable_path: "/home/mallory/bin/topsecret.txt",
    command_line: "topsecret.txt --password hunter2",
    parent_executable_path: "/root/topsecret.txt",
  });
  state.process(77, {
    user_name: "zoe-secret",
    executable_path: "/home/mallory/x",
    name: "topsecret.txt",
    command_line: "hunter2",
  });
  state.alert(event, {
    exec_id: testProcess(77),
    time: NOW - HOUR,
    title: "Seen on web-03.example.org by zoe-secret",
    description: "in /home/mallory/topsecret.txt, or '/root/topsecret.txt'",
    user_name: "zoe-secret",
    name: "topsecret.txt",
    executable_path: "/home/mallory/bin/topsecret.txt",
    command_line: "topsecret.txt --password hunter2",
    cwd: "/home/mallory",
    evidence: JSON.stringify({ who: "zoe-secret", text: "hunter2", n: 42 }),
    completeness: '{"complete":false,"reasons":["zoe-secret@web-03.example.org was away"]}',
  });
  state.gap(9, NOW - HOUR, NOW - HOUR + 1, 1, "the disk of web-03.example.org was full at /home/mallory/x");
  const plain = await cli(state, ["report"]), redacted = await cli(state, ["report", "--redact"]);
  for (const secret of secrets) {
    assert.ok(plain.out.includes(secret), `${secret} should be in the plain report`);
    assert.ok(!redacted.out.includes(secret), secret);
  }
  assert.ok(redacted.out.includes("[masked]") && redacted.out.includes("/home/user-"));
  const data = redact(gather(state));
  const alert = data.alerts.listed.find(({ processId }) => processId === testProcess(77))!;
  const node = data.alerts.processes.nodes.get(testProcess(77))!;
  assert.equal(alert.user, node.user);
  assert.match(alert.user!, /^user-\d+$/);
  assert.equal(alert.name, node.name);
  assert.deepEqual(alert.evidence.find(([name]) => name === "n"), ["n", "42"]);
  assert.equal(data.programs.listed.find(({ path }) => path.startsWith("/home/"))?.command, alert.command);
});

Deno.test("report frames every hour that a gap touches, and puts what overlaps together", () => {
  using state = new TestState();
  for (let i = 0; i < 300; i++) state.gap(i + 1, NOW - 10 * HOUR + i, NOW - 9 * HOUR + 5, 1);
  state.gap(1_000, NOW - 30 * DAY, NOW - WEEK_MS + HOUR - 1, null);
  state.gap(1_001, NOW - 3 * HOUR, NOW - 3 * HOUR, 0);
  const { coverage } = gather(state);
  assert.equal(coverage.gaps, 302);
  assert.equal(coverage.listedGaps.length, 100);
  assert.deepEqual(coverage.gapSpans.map(([from, to]) => [(from - NOW) / HOUR, (to - NOW) / HOUR]), [[-168, -167], [
    -10,
    -8,
  ], [
    -3,
    -2,
  ]]);
  assert.equal(renderReport(gather(state)).match(/<td class="l0 gap"/g)?.length, 4);
});

Deno.test("barWidth() gives at most 96 bars of a width that people count in", () => {
  for (const length of [0, 1, HOUR, DAY, WEEK_MS, 30 * DAY, 400 * DAY, 40_000 * DAY]) {
    assert.ok(length / barWidth(length) <= 96, String(length));
  }
  assert.equal(barWidth(WEEK_MS), 2 * HOUR);
});

Deno.test("The script of the page is sound to the compiler with the types of a browser, and cannot end its element", async () => {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-report-" });
  try {
    const config = `${directory}/deno.json`;
    await Deno.writeTextFile(
      config,
      JSON.stringify({
        nodeModulesDir: "none",
        imports: {},
        compilerOptions: {
          checkJs: true,
          strict: true,
          noUncheckedIndexedAccess: true,
          lib: ["dom", "dom.iterable", "esnext"],
        },
      }),
    );
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", "--no-lock", `--config=${config}`, `${PAGE}page.js`],
      env: { NO_COLOR: "1" },
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  assert.doesNotMatch(await Deno.readTextFile(`${PAGE}page.js`), /<\/script|<!--/i);
  assert.doesNotMatch(await Deno.readTextFile(`${PAGE}page.css`), /<|url\(|@import/i);
});
