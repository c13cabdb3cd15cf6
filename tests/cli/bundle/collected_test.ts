/** Tables that collectors brought, in bundles: rows and descriptions come out as they went in, and hostile ones do nothing. */
import assert from "node:assert/strict";
import { CollectedTables } from "../../../agent/store/collected_tables.ts";
import type { SqlValue } from "../../../proto/event_row.ts";
import type { TableDescriptor } from "../../../proto/table_descriptor.ts";
import { forge, type ForgedMember, SOUND } from "../../support/bundle_forge.ts";
import { cli } from "../../support/cli_run.ts";
import { NOW, TestState } from "../../support/test_store.ts";

const SSHD: TableDescriptor = {
  name: "sshd_events",
  version: 1,
  description: "What sshd said",
  columns: [
    { name: "user_name", type: "TEXT", description: "who" },
    { name: "address", type: "TEXT", description: "from where" },
    { name: "port", type: "INTEGER", description: "from which port" },
    { name: "seconds", type: "REAL", description: "how long it took" },
  ],
};
const ODD = 'é\u202e\x9b\x07"\\\n\t\u2028😀<script>';

/** Puts rows into a state as the agent does. */
function put(state: TestState, descriptor: TableDescriptor, rows: readonly (readonly [number, ...SqlValue[]])[]): void {
  const tables = new CollectedTables(state.db, 2 ** 30);
  state.db.exec("BEGIN");
  tables.define([descriptor], "logs", NOW);
  const { name, columns } = descriptor;
  tables.put({
    table: name,
    columns,
    rows: rows.map(([time, ...values], at) => ({ rowId: 2 ** 40 + at, time, values })),
  }, "logs");
  state.db.exec("COMMIT");
}

function describe(descriptor: Partial<TableDescriptor> & { readonly name: unknown }): string {
  const { name, version = 1, description = "", columns = SSHD.columns } = descriptor;
  return `${JSON.stringify({ table_name: name, version, description, columns: JSON.stringify(columns) })}\n`;
}

function described(...lines: readonly string[]): ForgedMember {
  return { name: "collected_tables/000000.jsonl.gz", content: lines.join("") };
}

function rowsOf(name: string, content: string): ForgedMember {
  return { name: `collected/${name}/000000.jsonl.gz`, content };
}

async function verify(members: readonly ForgedMember[]): Promise<{ code: number; out: string }> {
  return await cli(null, ["bundle", "verify", "-"], { stdin: forge({ members }) });
}

Deno.test("A table of a collector is in a bundle: verified, asked, joined and exported as on the host", async () => {
  using state = new TestState();
  state.live();
  put(state, SSHD, [
    [NOW - 7_200_000, "root", "192.0.2.1", 22, 0.1 + 0.2],
    [NOW - 60_000, ODD, null, Number.MAX_SAFE_INTEGER, 1e300],
    // Ahead of the host's clock: not lost for that
    [NOW + 3_600_000, "alice", "2001:db8::1", null, -0.5],
  ]);
  put(state, { ...SSHD, name: "aa_empty" }, []);
  const { bytes } = await cli(state, ["bundle"]), path = `${state.directory}/case.dbundle`;
  Deno.writeFileSync(path, bytes);
  assert.deepEqual((await cli(state, ["bundle"], { now: NOW + 86_400_000 })).bytes, bytes);
  const verdict = JSON.parse((await cli(null, ["bundle", "verify", path, "-f", "json"])).out);
  assert.deepEqual([verdict.status, verdict.rows.sshd_events, verdict.rows.collected_tables], ["verified", 3, 2]);
  for (
    const query of [
      "SELECT * FROM sshd_events ORDER BY row_id",
      "SELECT count(*) AS n FROM aa_empty",
      "SELECT e.address, c.version FROM sshd_events e JOIN collected_tables c ON c.table_name = 'sshd_events'",
    ]
  ) {
    const here = await cli(state, ["query", query, "-f", "jsonl"]);
    const there = await cli(null, ["bundle", "open", path, "--", "query", query, "-f", "jsonl"]);
    assert.deepEqual([there.code, there.out], [here.code, here.out]);
  }
  const schema = await cli(null, ["bundle", "open", path, "--", "query", "--schema", "sshd_events"]);
  assert.match(schema.out, /from where/);
  const part = await cli(state, ["bundle", "--since", "1h", "--until", new Date(NOW).toISOString()]);
  const count = await cli(null, [
    "bundle",
    "open",
    "-",
    "--",
    "query",
    "SELECT user_name FROM sshd_events",
    "-f",
    "json",
  ], {
    stdin: part.bytes,
  });
  assert.deepEqual(JSON.parse(count.out), [{ user_name: ODD }]);
});

Deno.test("bundle diff tells what is new and gone in tables of collectors, and which columns are prose", async () => {
  using state = new TestState();
  state.live();
  const names = (from: number, to: number): [number, ...SqlValue[]][] =>
    Array.from({ length: to - from }, (_, at) => [NOW + from + at, `u${from + at}`, "192.0.2.1", 22, null]);
  put(state, SSHD, [[NOW - 5, "root", "192.0.2.1", 1, null], [NOW - 4, ODD, "192.0.2.2", 1, null]]);
  const one = `${state.directory}/one`, two = `${state.directory}/two`;
  Deno.writeFileSync(one, (await cli(state, ["bundle"])).bytes);
  state.db.exec("DELETE FROM sshd_events");
  put(state, SSHD, [[NOW - 3, "root", "192.0.2.2", 1, null], [NOW - 2, "mallory", "192.0.2.9", 1, null]]);
  put(state, { ...SSHD, name: "more_events" }, names(0, 5_001));
  Deno.writeFileSync(two, (await cli(state, ["bundle"])).bytes);
  const diff = (...more: string[]) =>
    cli(null, ["bundle", "diff", one, two, "-f", "jsonl", "--columns", "change,kind,name,count_after", ...more]);
  const { out, err } = await diff("--kind", "value");
  assert.deepEqual(out.trim().split("\n").map((line) => Object.values(JSON.parse(line)).join(" ")).sort(), [
    "gone value sshd_events.address = 192.0.2.1 0",
    `gone value sshd_events.user_name = ${ODD} 0`,
    "new value more_events.address = 192.0.2.1 5001",
    "new value sshd_events.address = 192.0.2.9 1",
    "new value sshd_events.user_name = mallory 1",
  ]);
  assert.match(err, /Not compared, for too many or too long texts: more_events\.user_name/);
  const tables = await diff("--kind", "table");
  assert.match(tables.out, /"new","kind":"table","name":"more_events","count_after":5001/);
  assert.doesNotMatch(tables.err, /Not compared/);
});

Deno.test("Descriptions and rows of a table that no collector could have brought are refused, and the member named", async () => {
  const row = '{"row_id":1,"time":1,"collector_id":"c","port":22}\n';
  const sound = [described(describe(SSHD)), rowsOf("sshd_events", row)];
  assert.equal((await verify(sound)).code, 0);
  const refused: readonly [readonly ForgedMember[], RegExp][] = [
    [[rowsOf("sshd_events", row)], /collected\/sshd_events\/000000.jsonl.gz: collected_tables does not say/],
    [[described(describe({ ...SSHD, name: "other" })), rowsOf("sshd_events", row)], /does not say/],
    [[described(describe({ ...SSHD, version: 0 })), rowsOf("sshd_events", row)], /does not say/],
    [[described(describe({ ...SSHD, columns: [] })), rowsOf("sshd_events", row)], /does not say/],
    [
      [described(describe({ name: "sshd_events", columns: [null] as never })), rowsOf("sshd_events", row)],
      /does not say/,
    ],
    [[described(describe({ name: "process_events" })), rowsOf("process_events", row)], /does not say/],
    [[described(describe({ name: "sqlite_schema" })), rowsOf("sqlite_schema", row)], /does not say/],
    [
      [described(describe(SSHD), describe(SSHD))],
      /collected_tables\/000000.jsonl.gz: It describes a table sshd_events, which/,
    ],
    [[described(describe({ name: "alert_deliveries" }))], /alert_deliveries, which is there already/],
    [
      [described(...Array.from({ length: 65 }, (_, at) => describe({ name: `table_${at}` })))],
      /describes more than 64 tables/,
    ],
    [
      [described(describe(SSHD)), rowsOf("sshd_events", '{"evil":1}\n')],
      /Line 1 has a column that sshd_events does not/,
    ],
    [[rowsOf("../../etc", row)], /manifest.json: A bundle has no member named/],
    [[rowsOf("SSHD", row)], /no member named/],
    [[rowsOf("sshd_events", row), described(describe(SSHD))], /stands where it may not/],
    [[...sound, rowsOf("aa_before", row)], /stands where it may not/],
    [[...sound, { ...SOUND[0]! }], /stands where it may not/],
  ];
  for (const [members, words] of refused) {
    const { code, out } = await verify(members.map((member) => member));
    assert.deepEqual([code, words.test(out)], [4, true], out);
  }
});

Deno.test("Names that only just are tables' and rows of the wrong type end in words when a bundle is opened", async () => {
  const open = (members: readonly ForgedMember[], words: readonly string[]) =>
    cli(null, ["bundle", "open", "-", "--", ...words], { stdin: forge({ members }), columns: 100 });
  // Names of indexes, and of what a bundle makes of files
  for (const name of ["alerts_time", "sshd_events_time", "rule_files", "configuration"]) {
    const columns = [{ name: "select_", type: "TEXT", description: "" }, {
      name: "kind",
      type: "TEXT",
      description: "",
    }];
    const members = [
      described(describe(SSHD), describe({ name, columns: columns as never })),
      rowsOf(name, '{"row_id":1,"time":1,"kind":"x"}\n'),
    ];
    const { code, out, err } = await open(members, ["query", `SELECT kind FROM ${name}`, "-f", "csv"]);
    if (name.endsWith("_time")) assert.match(err, /REFUSED: collected_tables: The table \w+_time cannot be made/);
    else assert.deepEqual([code, out], [0, "kind\r\nx\r\n"], err);
  }
  const wrong = [described(describe(SSHD)), rowsOf("sshd_events", '{"row_id":1,"time":1,"port":"x"}\n')];
  const { code, err } = await open(wrong, ["query", "SELECT 1"]);
  assert.equal(code, 4);
  assert.match(err, /collected\/sshd_events\/000000.jsonl.gz: Line 1 is no row of sshd_events/);
});
