import assert from "node:assert/strict";
import { newBusCounters } from "../../../agent/bus/counters.ts";
import { CLIENT_LIMITS } from "../../../agent/bus/remote_clients.ts";
import { rightsOf } from "../../../agent/bus/rights.ts";
import { MAX_PATTERNS, MAX_WINDOW } from "../../../agent/bus/subscriber.ts";
import { newRpcCounters } from "../../../agent/rpc/counters.ts";
import { TASKS } from "../../../collector/calls/tasks.ts";
import { CATALOGUE } from "../../../proto/bus/catalogue.ts";
import { CORRELATION_LIMITS } from "../../../proto/bus/correlation.ts";
import { MAX_PAYLOAD_BYTES, PRIORITIES, QUALITIES } from "../../../proto/bus/message.ts";
import { ERROR_CATEGORIES, OPERATIONS, RPC_STATUSES } from "../../../proto/bus/rpc.ts";

const PAGE = Deno.readTextFileSync(new URL("../../../docs/bus.md", import.meta.url));

Deno.test("docs/bus.md names every topic, right, operation, task, status and count, and the limits that hold", () => {
  const names = [
    ...Object.keys(CATALOGUE),
    ...Object.values(rightsOf("procmond")).flat().map((right) => right.replace("procmond", "ID")),
    ...["netmond", "fsmond", "perfmond"].flatMap((id) => [id, rightsOf(id).publish.at(-1)!]),
    ...Object.keys({ ...newBusCounters(), ...newRpcCounters() }),
    ...[...OPERATIONS, ...TASKS, ...QUALITIES, ...PRIORITIES, ...RPC_STATUSES, ...ERROR_CATEGORIES],
  ];
  for (const name of names) assert.ok(PAGE.includes(`\`${name}\``), `${name} is not in docs/bus.md`);
  const { queue, rate, topicRate } = CLIENT_LIMITS, words = (n: number): string => n.toLocaleString("en-US");
  const { id, stage, tags, tagKey, tagValue } = CORRELATION_LIMITS;
  for (
    const limit of [
      `${words(queue.messages)} messages and ${queue.bytes / (1 << 20)} MiB`,
      `${words(MAX_WINDOW)} messages, or what it grants`,
      `| ${MAX_PATTERNS} `,
      `${words(MAX_PAYLOAD_BYTES)} bytes`,
      `${words(rate.perSecond)} and ${topicRate.perSecond} a second`,
      `${id} bytes, ${stage} bytes, ${tags}, ${tagKey} bytes, ${words(tagValue)} bytes`,
    ]
  ) assert.ok(PAGE.includes(limit), `${limit} is not in docs/bus.md`);
  const published = Object.entries(CATALOGUE).filter(([, { by }]) => by === "nobody").map(([topic]) => topic);
  const nobody = PAGE.split("\n").filter((line) => line.includes("nobody yet")).join("\n");
  for (const topic of Object.keys(CATALOGUE)) {
    assert.equal(nobody.includes(`\`${topic}\``), published.includes(topic), `${topic}: who publishes it`);
  }
});
