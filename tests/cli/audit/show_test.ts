import assert from "node:assert/strict";
import { encodePayload } from "../../../proto/ledger/payload.ts";
import { testSigner } from "../../collector/ledger/support.ts";
import { AuditWorld } from "../../support/audit_world.ts";
import type { CliResult } from "../../support/cli_run.ts";

interface Row {
  readonly sequence: number;
  readonly time: number;
  readonly action: string;
  readonly actor: string;
  readonly payload: string;
  readonly payload_state: string;
}

async function rows(world: AuditWorld, ...args: string[]): Promise<Row[]> {
  const { out, code } = await world.audit(["show", "-f", "json", ...args]);
  assert.equal(code, 0);
  return JSON.parse(out);
}

Deno.test("audit show prints the newest entries, newest last, and goes over as many files as it takes", async () => {
  using world = await AuditWorld.make(300);
  const { size } = world.ledger.status;
  assert.deepEqual(
    (await rows(world, "--limit", "150")).map(({ sequence }) => sequence),
    Array.from({ length: 150 }, (_, i) => size - 150 + i),
  );
  const all = await rows(world, "--limit", "10000");
  assert.deepEqual(all.map(({ sequence }) => sequence), Array.from({ length: size }, (_, i) => i));
  const cut = await world.audit(["show", "--limit", "2"]);
  assert.match(cut.out, /^ENTRY +TIME +ACTION +ACTOR +PAYLOAD\n/);
  assert.match(cut.err, /^The newest 2 entries; --limit or --since shows more\n$/);
});

Deno.test("audit show selects by action, actor and time, as reading everything would", async () => {
  using world = await AuditWorld.make(300);
  world.ledger.append("request", "operator", new TextEncoder().encode(`{"what":"backup"}`));
  world.ledger.checkpoint();
  world.write();
  const all = await rows(world, "--limit", "10000");
  const numbers = (list: Row[]): number[] => list.map(({ sequence }) => sequence);
  assert.deepEqual(
    numbers(await rows(world, "--action", "alert", "--limit", "10000")),
    numbers(all.filter(({ action }) => action === "alert")),
  );
  const [request] = await rows(world, "--actor", "operator");
  assert.deepEqual([request!.action, request!.payload], ["request", `{"what":"backup"}`]);
  for (const [since, until] of [[70, 0], [130, 90], [1, 0], [1_000, 250]] as const) {
    const from = world.world.now - since * 1_000, to = world.world.now - until * 1_000;
    assert.deepEqual(
      numbers(await rows(world, "--since", `${since}s`, "--until", new Date(to).toISOString(), "--limit", "10000")),
      numbers(all.filter(({ time }) => time >= from && time <= to)),
    );
  }
  const none = await world.audit(["show", "--actor", "nobody"]);
  assert.deepEqual([none.code, none.err], [0, "No entry matches\n"]);
});

Deno.test("audit show decodes what the ledger itself writes", async () => {
  using world = await AuditWorld.make(70);
  world.ledger.close();
  await world.world.open({ keys: { current: testSigner(1), next: testSigner(2) } });
  world.ledger.append("events", "collector", Uint8Array.of(0xff, 0xfe));
  world.ledger.checkpoint();
  world.write();
  const all = await rows(world), of = (action: string): Row => all.find((row) => row.action === action)!;
  assert.match(of("genesis").payload, /^\{"ledger":"[0-9a-f]{32}","host":"host-1","key":"56fcea9d"\}$/);
  assert.match(of("sealed").payload, /^\{"epoch":0,"size":\d+,"root":"[0-9a-f]{64}"\}$/);
  assert.match(of("keyRotated").payload, /^\{"from":"[0-9a-f]{64}","to":"[0-9a-f]{64}"\}$/);
  assert.equal(all.at(-1)!.payload, "hex fffe");
  const { out } = await world.audit(["show", "--action", "sealed"]);
  assert.match(out, / sealed +ledger +epoch 0, size \d+, root [0-9a-f]{64}\n/);
});

Deno.test("audit show says which payloads were erased and which are not what was logged", async () => {
  using world = await AuditWorld.make(100);
  const bytes = world.world.storage.bytes("payloads-000000"),
    at = new TextDecoder("latin1").decode(bytes).indexOf("payload 9");
  bytes[at]! ^= 1;
  world.write();
  const altered = await world.audit(["show", "--limit", "1000"]);
  assert.equal(altered.code, 4);
  assert.match(altered.out, / 9 .*NOT WHAT WAS LOGGED: qayload 9\n/);
  assert.match(altered.err, /1 payload is not what was logged; audit verify says more/);
  // A record of length 0 in its place
  let from = 0;
  for (let entry = 0; entry < 9; entry++) from += 2 + bytes[from]! * 256 + bytes[from + 1]!;
  const until = from + 2 + bytes[from]! * 256 + bytes[from + 1]!;
  const erased = Uint8Array.of(...bytes.subarray(0, from), ...encodePayload(null), ...bytes.subarray(until));
  Deno.writeFileSync(`${world.directory}/payloads-000000`, erased);
  assert.equal((await rows(world, "--limit", "1000"))[9]!.payload_state, "erased");
});

Deno.test("audit show says what of the files it cannot show", async () => {
  const broken = async (name: string, edit: (bytes: Uint8Array) => Uint8Array): Promise<CliResult> => {
    using world = await AuditWorld.make(300);
    Deno.writeFileSync(`${world.directory}/${name}`, edit(world.world.storage.bytes(name)));
    return await world.audit(["show", "--limit", "1000"]);
  };
  const refused = async (name: string, edit: (bytes: Uint8Array) => Uint8Array, words: RegExp): Promise<void> => {
    const { code, out, err } = await broken(name, edit);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, words);
  };
  await refused(
    "entries-000001",
    (bytes) => bytes.subarray(0, 1_000),
    /entries-000001 ends before entry 7\d; audit verify/,
  );
  await refused("entries-000004", (bytes) => bytes.subarray(0, 1_000), /entries-000004 ends before entry 26\d/);
  await refused("payloads-000002", (bytes) => bytes.subarray(0, 100), /payloads-000002 ends before entry 13\d/);
  await refused("entries-000000", (bytes) => bytes.with(2, 9), /An entry has version 9/);
});
