/** Bundles made of states: the same bytes twice, the same answers as on the host, and what the ledger proves of them. */
import assert from "node:assert/strict";
import { parseManifest } from "../../../cli/bundle/manifest.ts";
import { formatVkey } from "../../../proto/ledger/note.ts";
import { AuditWorld, VKEY } from "../../support/audit_world.ts";
import { OTHER_SEED, SEED, signerNamed } from "../../support/bundle_forge.ts";
import { cli, type CliOptions, type CliResult } from "../../support/cli_run.ts";
import { WORLDS } from "../../support/cli_worlds.ts";
import { intrusionWorld } from "../../support/intrusion_world.ts";
import { NOW, type TestState, TestState as State } from "../../support/test_store.ts";

/** A bundle of a state, as a file beside it. */
async function make(state: TestState, args: readonly string[] = [], options: CliOptions = {}): Promise<Made> {
  const made = await cli(state, ["bundle", ...args], options), path = `${state.directory}/case.dbundle`;
  Deno.writeFileSync(path, made.bytes);
  return {
    ...made,
    path,
    run: (words, options) => cli(null, words.map((word) => word === "FILE" ? path : word), options),
  };
}
interface Made extends CliResult {
  readonly path: string;
  readonly run: (words: readonly string[], options?: CliOptions) => Promise<CliResult>;
}

function open(made: Made, words: readonly string[], options?: CliOptions): Promise<CliResult> {
  return made.run(["bundle", "open", "FILE", "--", ...words], options);
}

for (const [name, world] of Object.entries(WORLDS)) {
  if (name === "new") continue;
  Deno.test(`The bundle of the ${name} host has the same bytes twice, verifies, and answers as the host`, async () => {
    using state = world();
    const made = await make(state), again = await cli(state, ["bundle"], { now: NOW + 86_400_000 });
    assert.deepEqual(again.bytes, made.bytes);
    const { code, out } = await made.run(["bundle", "verify", "FILE", "-f", "json"]);
    assert.equal(code, 0, out);
    const verdict = JSON.parse(out);
    for (const table of ["events", "alerts", "gaps", "processes"]) {
      const here = await cli(state, ["export", table]), there = await open(made, ["export", table]);
      assert.equal(there.out, here.out);
      const rows = here.out.split("\n").length - 1;
      assert.equal(verdict.rows[table === "events" ? "process_events" : table] ?? 0, rows);
    }
    for (const words of [["sources"], ["collectors"], ["alerts", "stats"], ["sinks"], ["rules", "list"]]) {
      assert.equal((await open(made, words)).out, (await cli(state, words)).out, words.join(" "));
    }
  });
}

Deno.test("An empty state makes a bundle that verifies and has nothing", async () => {
  using state = new State();
  const made = await make(state, ["--since", "7d"]);
  assert.equal(made.code, 3);
  assert.match(made.err, /status of the agent is left out: absent/);
  assert.equal((await made.run(["bundle", "verify", "FILE"])).code, 0);
  const { out } = await open(made, ["query", "SELECT count(*) AS n FROM process_events", "-f", "csv"]);
  assert.equal(out, "n\r\n0\r\n");
  const diff = await made.run(["bundle", "diff", "FILE", "FILE", "-f", "jsonl"]);
  assert.equal(diff.out, "");
  assert.match(diff.err, /0 new, 0 gone, 0 changed/);
});

Deno.test("Values come out of a bundle as they went in: long numbers, infinities, escapes, odd characters", async () => {
  using state = new State();
  const odd = 'é\u202e\x9b\x07"\\\n\t\u2028😀', long = 9_007_199_254_740_993n;
  for (
    const [at, more] of [
      { name: odd, command_line: odd, executable_path: "" },
      { duration_ms: Infinity, cpu_time_ms: -Infinity },
      { duration_ms: 0.1 + 0.2, cpu_time_ms: 5e-324, memory_usage: long, inode: -9_223_372_036_854_775_808n },
      { duration_ms: 1 / 3, cpu_time_ms: 123_456.789_012_345_67 },
      { cgroup_path: '{"a":1}', environment: '{"K":"1234567890123456789"}', argv: '["\\udc80"]' },
    ].entries()
  ) state.event({ pid: at, ...more as Record<string, string> });
  state.live();
  const made = await make(state);
  for (const format of ["jsonl", "csv"]) {
    const here = await cli(state, ["export", "events", "-f", format]),
      there = await open(made, ["export", "events", "-f", format]);
    // A double may be written in two ways, by SQLite and by us; texts and long numbers may not
    const spelled = (text: string): string =>
      text.replace(/(?<=,)(-?)Inf(?=,)/g, "$1Infinity").replace(
        /(?<=,)-?\d+\.\d+(e[+-]\d+)?(?=,)/g,
        (number) => String(Number(number)),
      );
    const values = ({ out }: CliResult): unknown =>
      format === "csv" ? spelled(out) : out.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(values(there), values(here));
  }
  assert.match((await open(made, ["export", "events"])).out, /"inode":-9223372036854775808/);
});

Deno.test("bundle takes the time that it is asked for, counted from the newest thing in the state", async () => {
  using state = new State();
  const hour = 3_600_000;
  for (let at = 0; at < 48; at++) state.event({ time: NOW - at * hour, pid: at });
  state.alert(2 ** 40 + 1, { time: NOW - 30 * hour });
  state.alert(2 ** 40 + 2, { time: NOW - hour });
  for (const alert of ["test-rule@procmond:e1:1", "test-rule@procmond:e1:2"]) {
    state.db.exec(
      `INSERT INTO alert_history (alert_id, time, action, actor, text) VALUES ('${alert}', 1, 'closed', 'a', '')`,
    );
  }
  const count = async (args: readonly string[], now?: number): Promise<readonly number[]> => {
    const made = await make(state, args, now === undefined ? {} : { now });
    const { rows, given, asked } = JSON.parse((await made.run(["bundle", "verify", "FILE", "-f", "json"])).out);
    assert.ok(asked.from === null || given.from >= asked.from);
    return [rows.process_events, rows.alerts ?? 0, rows.alert_history ?? 0];
  };
  assert.deepEqual(await count([]), [48, 2, 2]);
  assert.deepEqual(await count(["--since", "1d"]), [25, 1, 1]);
  assert.deepEqual(await count(["--since", "1d"], NOW + 40 * hour), [25, 1, 1]);
  assert.deepEqual(await count(["--since", "1d", "--time", new Date(NOW - 24 * hour).toISOString()]), [24, 1, 1]);
  assert.deepEqual(await count(["--until", new Date(NOW - 40 * hour).toISOString()]), [8, 0, 0]);
});

Deno.test("More rows than a part holds are in several parts, and none is twice", async () => {
  using state = new State();
  state.db.exec("BEGIN");
  for (let at = 0; at < 45_000; at++) state.event({ time: NOW - 200_000 + at, pid: at });
  state.db.exec("COMMIT");
  const made = await make(state);
  const { members } = parseManifest(memberText(made.bytes, "manifest.json"));
  const parts = members.filter(({ name }) => name.startsWith("process_events/"));
  assert.deepEqual(parts.map(({ rows }) => rows), [20_000, 20_000, 5_000]);
  const { out } = await open(made, ["query", "SELECT count(*), count(DISTINCT pid) FROM process_events", "-f", "csv"]);
  assert.match(out, /45000,45000/);
});

/** What tar(1) takes out of a bundle. */
function memberText(bundle: Uint8Array, name: string): string {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, bundle);
    const { success, stdout } = new Deno.Command("tar", { args: ["xOf", path, name] }).outputSync();
    assert.ok(success);
    return new TextDecoder().decode(stdout);
  } finally {
    Deno.removeSync(path);
  }
}

Deno.test("tar, gunzip and sha256sum read a bundle, and agree with its manifest", async () => {
  using world = await intrusionWorld();
  const made = await make(world.state), directory = Deno.makeTempDirSync();
  try {
    const script = `set -e; cd ${directory}; tar xf ${made.path}
      sed -n 's/.*"name":"\\([^"]*\\)".*"sha256":"\\([^"]*\\)".*/\\2  \\1/p' manifest.json | sha256sum --check --quiet
      test "$(sed -n 's/^manifest.json [0-9]* //p' bundle.note)" = "$(sha256sum < manifest.json | cut -d' ' -f1)"
      zcat process_events/*.jsonl.gz | wc -l`;
    const { success, stdout, stderr } = new Deno.Command("sh", { args: ["-c", script] }).outputSync();
    assert.ok(success, new TextDecoder().decode(stderr));
    assert.equal(new TextDecoder().decode(stdout).trim(), "12");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("bundle leaves secrets of sinks out, and says where the settings come from", async () => {
  using state = new State();
  const sinks = [
    {
      name: "hook",
      type: "webhook",
      url: "https://hooks.example:8443/T0/SECRET",
      secret_files: ["/k"],
    },
    {
      name: "post",
      type: "email",
      address: "smtp://mail.example",
      user: "SECRET",
      password_file: "/p",
      from: "a@b.example",
      to: ["c@d.example"],
    },
    { name: "log", type: "syslog", address: "unixgram:///run/log.sock" },
  ];
  const config = `${state.directory}/config.json`;
  Deno.writeTextFileSync(config, JSON.stringify({ agent: { sinks, retention_hours: 100 } }));
  const made = await make(state, ["--config", config]);
  assert.ok([0, 3].includes(made.code), made.err);
  const { success, stdout } = new Deno.Command("sh", {
    args: ["-c", `tar xOf ${made.path} configuration/000000.jsonl.gz | zcat`],
  }).outputSync();
  assert.ok(success);
  const text = new TextDecoder().decode(stdout);
  assert.doesNotMatch(text, /SECRET/);
  assert.match(text, /https:\/\/hooks\.example:8443/);
  assert.match(text, /unixgram:\/\/\/run\/log.sock/);
  assert.match(text, /"setting":"agent.retention_hours","value":"100","origin":"[^"]*config.json"/);
});

Deno.test("bundle takes rules, exceptions and overrides along as they are, and says what it cannot read", async () => {
  using state = new State();
  const { rules } = state.layout;
  Deno.mkdirSync(`${rules}/more`);
  Deno.writeTextFileSync(`${rules}/a.yml`, "id: a\n");
  Deno.writeTextFileSync(`${rules}/more/exceptions.yml`, "exceptions: []\n");
  Deno.writeFileSync(`${rules}/bad.yml`, Uint8Array.of(0xff, 0xfe));
  const made = await make(state);
  assert.match(made.err, /The rule file .*bad.yml is left out/);
  const { stdout } = new Deno.Command("sh", {
    args: ["-c", `tar xOf ${made.path} rule_files/000000.jsonl.gz | zcat`],
  }).outputSync();
  const rows = new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(rows.map(({ path, text }) => [path.slice(rules.length), text]), [
    ["/a.yml", "id: a\n"],
    ["/more/exceptions.yml", "exceptions: []\n"],
  ]);
});

Deno.test("A signed bundle names its signer, and only the right key vouches for it", async () => {
  using world = await intrusionWorld();
  const key = formatVkey(signerNamed("case-1").key), other = formatVkey(signerNamed("case-1", OTHER_SEED).key);
  const made = await make(world.state, ["--sign", "case-1"], { stdin: `${SEED}\n` });
  assert.ok(made.err.includes(key));
  const unsigned = await make(world.state);
  assert.notDeepEqual(made.bytes, unsigned.bytes);
  Deno.writeFileSync(made.path, made.bytes);
  const verify = (...keys: string[]): Promise<CliResult> =>
    made.run(["bundle", "verify", "FILE", ...keys.flatMap((key) => ["--key", key])]);
  assert.match((await verify()).out, /whole, signed by case-1, whom nobody vouches for here/);
  assert.match((await verify(key)).out, /verified, signed by case-1, whose key was given/);
  assert.match((await verify(key, VKEY)).out, /verified, signed by case-1/);
  const refused = await verify(other);
  assert.equal(refused.code, 4);
  assert.match(
    refused.out,
    /REFUSED: bundle.note: case-1 \([0-9a-f]{8}\) has signed neither the bundle nor the ledger/,
  );
  for (const stdin of ["", "x", "0".repeat(63), "0".repeat(65)]) {
    const { code, err, bytes } = await cli(world.state, ["bundle", "--sign", "x"], { stdin });
    assert.deepEqual([code, bytes.length], [1, 0]);
    assert.match(err, /not 64 hexadecimal digits/);
  }
  assert.match((await cli(world.state, ["bundle", "--sign", "a b"], { stdin: SEED })).err, /a b is none for a key/);
});

Deno.test("The ledger in a bundle proves its events, and audit works on it", async () => {
  using world = await intrusionWorld();
  const made = await make(world.state), { out, code } = await made.run(["bundle", "verify", "FILE", "-f", "json"]);
  assert.equal(code, 0);
  const { events, ledger } = JSON.parse(out);
  assert.deepEqual({ ...events }, { proven: 12, partial: 0, uncovered: 0, altered: 0, entry: null, member: null });
  assert.deepEqual([ledger.verified, ledger.signed, ledger.key_known], [5, 5, false]);
  const event = String(2 ** 40 + 9);
  for (
    const words of [["audit", "event", event], ["audit", "prove", "4"], ["audit", "checkpoint"], ["audit", "show"]]
  ) {
    assert.equal((await open(made, words)).out, (await cli(world.state, words)).out);
  }
  const proof = (await open(made, ["audit", "event", event])).out;
  const checked = await cli(null, ["audit", "check-proof", "-", "--key", VKEY], { stdin: proof });
  assert.match(checked.out, /proven: start of \.k/);
  const part = await make(world.state, ["--since", "2026-08-05T00:10:02.900Z"]);
  const partial = JSON.parse((await part.run(["bundle", "verify", "FILE", "-f", "json"])).out);
  assert.deepEqual([partial.events.proven, partial.events.partial, partial.refused], [0, 5, null]);
});

Deno.test("An event that was changed in the store before the bundle was made is found, and its member named", async () => {
  using world = await intrusionWorld();
  world.state.db.exec("UPDATE stored_events_1_programs SET executable_path = '/usr/bin/true' WHERE name = '.k'");
  const made = await make(world.state), { code, out } = await made.run(["bundle", "verify", "FILE"]);
  assert.equal(code, 4);
  assert.match(
    out,
    /REFUSED: process_events\/000000.jsonl.gz: 12 events are not as they were logged; the first under entry 4/,
  );
});

Deno.test("A ledger that does not hold makes a bundle that does not verify, and says which entry", async () => {
  using world = await AuditWorld.make(300);
  const path = `${world.directory}/entries-000000`, bytes = Deno.readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  Deno.writeFileSync(path, bytes);
  world.state.live();
  const made = await make(world.state), { code, out } = await made.run(["bundle", "verify", "FILE"]);
  assert.equal(code, 4);
  assert.match(out, /REFUSED: ledger: Entry \d+: /);
});

Deno.test("A ledger of many pieces is put together again as it was", async () => {
  using world = await AuditWorld.make(40_000, { segmentEntries: 65_536 });
  world.state.live();
  const made = await make(world.state),
    { out } = await made.run(["bundle", "verify", "FILE", "-f", "json", "--key", VKEY]);
  const { ledger, refused } = JSON.parse(out);
  assert.deepEqual([refused, ledger.verified, ledger.key_known], [null, ledger.signed, true]);
  assert.ok(ledger.signed > 40_000);
  assert.match(memberText(made.bytes, "manifest.json"), /ledger\/entries-000000\/000001\.gz/);
  const head = Deno.readTextFileSync(`${world.directory}/checkpoint`);
  const against = await open(made, ["audit", "verify", "--against", "-"], { stdin: head });
  assert.match(against.out, /anchored to 40,[0-9]{3}/);
});

Deno.test("bundle diff tells two times of a host apart: binaries, parents, users, rules, alerts, settings", async () => {
  using state = new State();
  const rule = { rule_id: "r", title: "", state: "active" };
  state.event({ time: NOW - 7_200_000, executable_path: "/bin/a", executable_hash: "aa", name: "a", parent_name: "p" });
  state.event({ time: NOW - 7_200_000, executable_path: "/bin/gone", name: "gone", user_name: "bob" });
  state.insert("detection_rules", { ...rule, rule_hash: "11".repeat(32) });
  Deno.writeTextFileSync(`${state.layout.rules}/r.yml`, "id: r\n");
  const before = await cli(state, ["bundle"]);
  state.db.exec(`DELETE FROM stored_events_1; UPDATE detection_rules SET rule_hash = '${"22".repeat(32)}'`);
  state.event({ executable_path: "/bin/a", executable_hash: "bb", name: "a", parent_name: "q" });
  state.alert(2 ** 40 + 3, { rule_id: "r" });
  Deno.writeTextFileSync(`${state.layout.rules}/r.yml`, "id: r\ntitle: x\n");
  const after = await cli(state, ["bundle", "--set", "agent.retention_hours=9"]);
  const one = `${state.directory}/one`, two = `${state.directory}/two`;
  Deno.writeFileSync(one, before.bytes);
  Deno.writeFileSync(two, after.bytes);
  const { out, err } = await cli(null, [
    "bundle",
    "diff",
    one,
    two,
    "-f",
    "csv",
    "--columns",
    "change,kind,name,before,after",
  ]);
  const lines = out.trim().split("\r\n").slice(1).map((line) => line.replace(state.directory, "S"));
  assert.deepEqual(lines.map((line) => line.replace(/rules\/r\.yml,[0-9a-f]{12},[0-9a-f]{12}$/, "rules/r.yml,X,Y")), [
    "changed,program,/bin/a,aa,bb",
    "gone,program,/bin/gone,,",
    "new,hash,bb,,",
    "gone,hash,aa,,",
    "new,parent,q > a,,",
    "gone,parent,p > a,,",
    "gone,user,bob,,",
    "gone,use,bob > /bin/gone,,",
    "new,alert,r,,",
    `changed,rule,r,active ${"1".repeat(12)},active ${"2".repeat(12)}`,
    "changed,rule-file,S/rules/r.yml,X,Y",
    "changed,setting,agent.retention_hours,720,9",
  ]);
  assert.match(err, /3 new, 5 gone, 4 changed/);
  const mixed = await cli(null, ["bundle", "diff", "-", two, "--kind", "user"], { stdin: before.bytes });
  assert.match(mixed.out, /gone +user +.*bob/);
});

Deno.test("bundle verify and diff say which of two files is refused", async () => {
  using state = WORLDS["watched"]!();
  const made = await make(state), bad = `${state.directory}/bad`, bytes = made.bytes.slice();
  bytes[600]! ^= 4;
  Deno.writeFileSync(bad, bytes);
  const { code, err, out } = await cli(null, ["bundle", "diff", made.path, bad]);
  assert.deepEqual([code, out], [4, ""]);
  assert.match(err, /REFUSED: .*\/bad: process_events\/000000.jsonl.gz: its SHA-256 is not that of the manifest/);
});

Deno.test("bundle tells its progress on a terminal, and nothing elsewhere", async () => {
  using state = WORLDS["watched"]!();
  assert.match((await cli(state, ["bundle"], { stderrTerminal: true })).err, /process_events: \d+ rows, .* after/);
  assert.doesNotMatch((await cli(state, ["bundle"])).err, /process_events/);
});

Deno.test("A state without a store makes no bundle, and not a byte of one", async () => {
  using state = WORLDS["new"]!();
  const { code, bytes, err } = await cli(state, ["bundle"]);
  assert.deepEqual([code, bytes.length], [1, 0]);
  assert.match(err, /There is no store|is empty/);
});

Deno.test("One flipped bit in any member of a bundle with a ledger is refused, and the member named", async () => {
  using world = await intrusionWorld();
  const made = await make(world.state), { members } = parseManifest(memberText(made.bytes, "manifest.json"));
  assert.ok(members.length > 10);
  let position = 0;
  for (const { name, stored } of members) {
    const bytes = made.bytes.slice();
    bytes[position + 512 + (stored >> 1)]! ^= 0x10;
    position += 512 + Math.ceil(stored / 512) * 512;
    const { code, out } = await cli(null, ["bundle", "verify", "-", "-f", "json"], { stdin: bytes });
    assert.deepEqual([code, JSON.parse(out).refused.member], [4, name]);
  }
});

Deno.test("bundle open without a command is the shell, which does not read the bundle as its questions", async () => {
  using state = WORLDS["watched"]!();
  const made = await make(state),
    questions = "SELECT count(*) AS n FROM alerts;\n.mode csv\nSELECT count(*) AS m FROM gaps;\n";
  const { code, out } = await made.run(["bundle", "open", "FILE"], { stdin: questions });
  assert.equal(code, 0);
  assert.match(out, /n\n[^]*2\n[^]*m\r\n0\r\n/);
  for (const words of [[], ["--", "query", "-"]]) {
    const { code, err } = await cli(null, ["bundle", "open", "-", ...words], { stdin: made.bytes });
    assert.equal(code, 2);
    assert.match(err, /Standard input is the bundle/);
  }
});
