import assert from "node:assert/strict";
import { columnPlaces, eventRow } from "../../../proto/event_row.ts";
import { EventDigester } from "../../../proto/ledger/event_digest.ts";
import { encodeStatement } from "../../../proto/ledger/statement.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";
import { decodeMessage, encodeMessage } from "../../../proto/wire.ts";
import { BLAKE3 } from "../../collector/ledger/support.ts";
import { AuditWorld, VKEY } from "../../support/audit_world.ts";
import type { Row } from "../../support/test_store.ts";
import { FULL_EVENT, USUAL_EVENT } from "../../support/event_samples.ts";

const STREAM = 1, BASE = STREAM * 2 ** 40, COLUMNS = [...columnPlaces("process_events").keys()];

/** 30 events in the store, of which the first 20 are under two digests; the one at `changed` is another in the store. */
async function covered(changed: number | null = null, lost: number | null = null): Promise<AuditWorld> {
  const world = await AuditWorld.make(20);
  world.state.insert("collectors", {
    stream: STREAM,
    collector_id: "procmond",
    epoch: "e1",
    first_seen: 1,
    last_seen: 1,
    last_sequence: 30,
  });
  const digester = new EventDigester(BLAKE3);
  for (let sequence = 1; sequence <= 30; sequence++) {
    const event: ProcessEvent = { ...(sequence % 4 === 0 ? FULL_EVENT : USUAL_EVENT), pid: 1_000 + sequence };
    const payload = encodeMessage({ kind: "events", firstSequence: sequence, events: [event] });
    digester.add(sequence, 1, payload);
    if (sequence % 10 === 0 && sequence < 30) {
      const digest = encodeStatement("events", { ...digester.take()!, epoch: "e1" });
      world.ledger.append("events", "collector", digest);
    }
    const message = decodeMessage(payload);
    assert.ok(message.kind === "events");
    const kept = { ...message.events[0]!, ...(sequence === changed ? { pid: 7 } : {}) };
    const row = eventRow(kept, BASE + sequence, "procmond");
    if (sequence === lost) continue;
    world.state.insert("process_events", Object.fromEntries(COLUMNS.map((name, at) => [name, row[at]])) as Row);
  }
  world.ledger.checkpoint();
  world.write();
  return world;
}

Deno.test("audit event proves a stored event in one file, which audit check-proof checks without the product", async () => {
  using world = await covered();
  for (const sequence of [1, 10, 11, 20]) {
    const made = await world.audit(["event", String(BASE + sequence)]);
    assert.equal(made.code, 0, made.err);
    assert.match(
      made.err,
      /^Event \d+ is under entry 2\d, with 10 events from sequence 1?1 to [12]0; audit check-proof/,
    );
    const checked = await world.audit(["check-proof", "-", "--key", VKEY, "-f", "json"], { stdin: made.out });
    assert.equal(checked.code, 0, checked.err);
    const { event, action } = JSON.parse(checked.out);
    assert.deepEqual([action, event.sequence, event.pid], ["events", sequence, 1_000 + sequence]);
  }
  const { out } = await world.audit(["event", String(BASE + 4)]);
  const shown = await world.audit(["check-proof", "-", "--key", VKEY], { stdin: out });
  assert.match(shown.out, /^● proven: \w+ of .*\n {2}event +\w+ of pid 1004, /);
});

Deno.test("audit check-proof refuses the proof of an event that is cut anywhere, or changed anywhere", async () => {
  using world = await covered();
  const { out } = await world.audit(["event", String(BASE + 3)]), bytes = new TextEncoder().encode(out);
  for (let at = 0; at < bytes.length; at += 29) {
    for (const changed of [bytes.subarray(0, at), bytes.with(at, bytes[at]! ^ 1 << at % 8)]) {
      const { code } = await world.audit(["check-proof", "-", "--key", VKEY], { stdin: changed });
      assert.ok(code === 1 || code === 4, `byte ${at}: exit code ${code}`);
    }
  }
  for (
    const [from, to] of [["sequence 3", "sequence 4"], ["sequence 3", "sequence 13"], ["index 0", "index 1"]] as const
  ) {
    const { code, err } = await world.audit(["check-proof", "-", "--key", VKEY], { stdin: out.replace(from, to) });
    if (to === "sequence 4") assert.equal(code, 0, "a neighbour is proven by the same leaf");
    else assert.equal(code, 4, err);
  }
});

Deno.test("audit event says when the store was changed, has lost events, or is ahead of the ledger", async () => {
  const said = async (world: AuditWorld, sequence: number): Promise<[number, string, string]> => {
    using _ = world;
    const { code, out, err } = await world.audit(["event", String(BASE + sequence)]);
    return [code, out, err.trim()];
  };
  const changed = await said(await covered(5), 3);
  assert.deepEqual(changed.slice(0, 2), [4, ""]);
  assert.match(changed[2], /is not proven: One of the 10 events is not as it was taken: the store was changed since/);
  const lost = await said(await covered(null, 6), 3);
  assert.deepEqual(lost.slice(0, 2), [1, ""]);
  assert.match(lost[2], /cannot be proven: 1 of 10 events are missing from the store/);
  const early = await said(await covered(), 25);
  assert.deepEqual(early.slice(0, 2), [1, ""]);
  assert.match(early[2], /No entry covers event \d+ yet; there is one a second at most/);
  const none = await said(await covered(), 999);
  assert.match(none[2], /The store has no event \d+/);
  const usage = await said(await covered(), NaN);
  assert.equal(usage[0], 2);
});
