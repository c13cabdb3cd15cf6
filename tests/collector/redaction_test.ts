import assert from "node:assert/strict";
import { joinArgv, splitArgv } from "../../proto/argv.ts";
import { redactArgv } from "../../collector/redaction.ts";
import { MASKED, R, UNTOUCHED } from "./redaction/pairs.ts";

Deno.test("redactArgv() masks secrets and nothing else", () => {
  for (const [given, wanted] of MASKED) {
    const { argv, masked } = redactArgv(joinArgv(given));
    assert.deepEqual(splitArgv(argv), wanted, `of ${JSON.stringify(given)}`);
    const count = wanted.join("\0").split(R).length - 1;
    assert.equal(masked, count, `count of ${JSON.stringify(given)}`);
  }
});

Deno.test("redactArgv() gives the same array back when nothing is secret", () => {
  for (const given of UNTOUCHED) {
    const bytes = joinArgv(given);
    const { argv, masked } = redactArgv(bytes);
    assert.deepEqual(splitArgv(argv), given);
    assert.equal(argv, bytes);
    assert.equal(masked, 0);
  }
});

Deno.test("redactArgv() masks secrets that a cut argument ends within", () => {
  const cut = (text: string): Uint8Array => joinArgv(text.split("\0")).subarray(0, -1);
  const cases = [
    ["app\0--password\0hun", `app\0--password\0${R}`],
    ["app\0--password=hun", `app\0--password=${R}`],
    ["mysql\0-phun", `mysql\0-p${R}`],
    ["curl\0-u\0bob:hun", `curl\0-u\0bob:${R}`],
    ["psql\0postgres://bob:hun", `psql\0postgres://bob:${R}`],
    ["psql\0postgres://bob:12", `psql\0postgres://bob:${R}`],
    ["app\0AKIAIOS", `app\0${R}`],
    ["app\0ghp_abc", `app\0${R}`],
    ["app\0eyJhbGci", `app\0${R}`],
    ["app\0-----BEGIN PRIVATE KEY-----\nMII", `app\0-----BEGIN PRIVATE KEY-----${R}`],
    [`sh\0-c\0mysql -p'hun`, `sh\0-c\0mysql -p'${R}`],
    [`curl\0-d\0{"password":"hun`, `curl\0-d\0{"password":"${R}`],
  ] as const;
  for (const [given, wanted] of cases) {
    const { argv } = redactArgv(cut(given));
    assert.equal(new TextDecoder().decode(argv), wanted);
  }
});

Deno.test("redactArgv() keeps every byte outside of what it masks", () => {
  const given = [0xff, 0xfe, 0x80, 0, ...new TextEncoder().encode("--token="), 0xc3, 0x28, 0, 0xed, 0xa0, 0x80, 0];
  const wanted = [0xff, 0xfe, 0x80, 0, ...new TextEncoder().encode(`--token=${R}`), 0, 0xed, 0xa0, 0x80, 0];
  assert.deepEqual([...redactArgv(Uint8Array.from(given)).argv], wanted);
});
