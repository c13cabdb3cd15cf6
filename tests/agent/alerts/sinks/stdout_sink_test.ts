import assert from "node:assert/strict";
import { humanLine } from "../../../../agent/alerts/formats/human.ts";
import { SinkError } from "../../../../agent/alerts/sink.ts";
import { stdoutSink } from "../../../../agent/alerts/sinks/stdout_sink.ts";
import { newAlert } from "../../support.ts";

Deno.test("humanLine() says severity, time, rule, pid, executable, command line and parent", () => {
  assert.equal(
    humanLine(newAlert("a"), false),
    "[high] 2023-11-14T22:13:20.000Z Odd thing 42 /usr/bin/prog prog --now (parent 7 /usr/bin/bash)",
  );
  assert.equal(
    humanLine(newAlert("a"), true),
    "\x1b[31m[high]\x1b[0m 2023-11-14T22:13:20.000Z Odd thing 42 /usr/bin/prog prog --now (parent 7 /usr/bin/bash)",
  );
});

Deno.test("humanLine() is one harmless line whatever processes and peers chose", () => {
  const line = humanLine(
    newAlert("a", {
      commandLine: "a\nb\x1b[2J\u202e\u2028" + "y".repeat(10_000),
      executablePath: "/tmp/\r\x07x",
      parentExecutablePath: null,
      parentName: "\x9b31m",
      title: "t\x1b]0;x\x07",
      time: 8.7e15,
    }),
    false,
  );
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u2028\u202e]/);
  assert.ok(line.length < 1_000);
  assert.match(line, /a\\nb\\x1b\[2J/);
});

Deno.test("stdoutSink() writes JSON lines whole though the pipe takes them in pieces", async () => {
  let written = "";
  const output = {
    write: (bytes: Uint8Array) => {
      written += new TextDecoder("latin1").decode(bytes.subarray(0, 7));
      return Promise.resolve(Math.min(7, bytes.length));
    },
  };
  await stdoutSink({ format: "json", colour: false, output }).write([newAlert("a"), newAlert("b")]);
  assert.deepEqual(written.trimEnd().split("\n").map((line) => JSON.parse(line)), [newAlert("a"), newAlert("b")]);
});

Deno.test("stdoutSink() says that it is closed when nobody reads any more", async () => {
  const output = { write: () => Promise.reject(new Deno.errors.BrokenPipe("Broken pipe")) };
  await assert.rejects(
    stdoutSink({ format: "human", colour: false, output }).write([newAlert("a")]),
    (error) => error instanceof SinkError && error.remedy.kind === "disabled",
  );
});

Deno.test("stdoutSink() writes the names of columns once", async () => {
  let written = "";
  const output = {
    write: (bytes: Uint8Array) => {
      written += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    },
  };
  const sink = stdoutSink({ format: "csv", colour: false, output });
  await sink.write([newAlert("a")]);
  await sink.write([newAlert("b", { commandLine: '=cmd|"x",1\n' })]);
  const lines = written.split("\n");
  assert.equal(lines.length, 4);
  assert.match(lines[0]!, /^time,severity,rule_id,/);
  assert.match(lines[2]!, /"'=cmd\|""x"",1\\n"/);
});
