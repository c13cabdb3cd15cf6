/** The examples of docs/sinks.md are entries that the agent takes, and nothing that an entry may say is missing there. */
import assert from "node:assert/strict";
import { load as parseYaml } from "js-yaml";
import { parseSinks } from "../../../../proto/sink_entries.ts";
import { FORMAT_NAMES } from "../../../../proto/sink_settings.ts";
import { sinkOf } from "./settings.ts";

const TEXT = Deno.readTextFileSync(new URL("../../../../docs/sinks.md", import.meta.url));

function examples(): Record<string, unknown>[] {
  return [...TEXT.matchAll(/```yaml\n(.*?)```/gs)].flatMap(([, yaml]) => {
    const parsed = parseYaml(yaml!.replaceAll("5F:…:A1", "ab".repeat(32))) as { agent?: { sinks: [] } } | [];
    return Array.isArray(parsed) ? parsed : parsed.agent!.sinks;
  });
}

Deno.test("each example of docs/sinks.md is a sink, and there is one of each type", () => {
  const sinks = examples().map(sinkOf);
  assert.deepEqual(
    new Set(sinks.map(({ type }) => type)),
    new Set(["syslog", "file", "stdout", "webhook", "email", "bus"]),
  );
});

Deno.test("docs/sinks.md names every format and every field", () => {
  for (const format of FORMAT_NAMES) assert.ok(TEXT.includes(`\`${format}\``), format);
  for (const { type } of examples()) {
    let known: string[] = [];
    assert.throws(
      () => parseSinks([{ name: type, type, nothing: 1 }], (expected) => new Error(expected)),
      (error: Error) => {
        known = /has no "nothing"; a sink of type \w+ has (.*)$/.exec(error.message)![1]!.split(", ");
        return true;
      },
    );
    assert.ok(known.length > 1);
    for (const name of known) assert.ok(TEXT.includes(`${name}: `) || TEXT.includes(`\`${name}\``), `${type}: ${name}`);
  }
});
