import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { joinArgv, splitArgv } from "../../../proto/argv.ts";
import { redactArgv, redactVariable } from "../../../collector/redaction.ts";
import { keyedDigest } from "../../../collector/redaction/marks.ts";

const KEY = new Uint8Array(32).map((_, at) => at);
const digest = keyedDigest(KEY);

function redacted(...args: string[]): string[] {
  return splitArgv(redactArgv(joinArgv(args), digest).argv);
}

function markOf(secret: string | Uint8Array): string {
  return `[REDACTED:${createHmac("sha256", KEY).update(secret).digest("hex").slice(0, 8)}]`;
}

Deno.test("a mark holds the begin of an HMAC-SHA-256 over the secret's bytes", () => {
  // `printf hunter2 | openssl dgst -sha256 -mac hmac -macopt hexkey:000102...1f`
  assert.equal(digest("hunter2"), "8629d712");
  const bytes = Uint8Array.of(0xff, 0xc3, 0x28);
  const { argv } = redactArgv(Uint8Array.of(...new TextEncoder().encode("--token="), ...bytes, 0), digest);
  assert.deepEqual(splitArgv(argv), [`--token=${markOf(bytes)}`]);
});

Deno.test("equal secrets have equal marks wherever they stand, others others, and other keys others", () => {
  const mark = markOf("hunter2");
  assert.deepEqual(redacted("app", "--password", "hunter2"), ["app", "--password", mark]);
  assert.deepEqual(redacted("mysql", "-phunter2"), ["mysql", `-p${mark}`]);
  assert.deepEqual(redacted("sh", "-c", "mysql -p'hunter2' x"), ["sh", "-c", `mysql -p'${mark}' x`]);
  assert.deepEqual(redacted("curl", "https://u:hunter2@h/"), ["curl", `https://u:${mark}@h/`]);
  assert.equal(redactVariable("DB_PASSWORD=hunter2", false, digest).text, `DB_PASSWORD=${mark}`);
  assert.notEqual(redacted("app", "--password", "hunter3")[2], mark);
  assert.notEqual(keyedDigest(new Uint8Array(32))("hunter2"), digest("hunter2"));
});

Deno.test("a secret that was cut has a mark without digits", () => {
  const cut = (text: string): string =>
    new TextDecoder().decode(redactArgv(new TextEncoder().encode(text), digest).argv);
  assert.equal(cut("app\0--password\0hun"), "app\0--password\0[REDACTED]");
  assert.equal(cut("app\0--password=hunter2\0--token=hun"), `app\0--password=${markOf("hunter2")}\0--token=[REDACTED]`);
  assert.equal(cut("app\0-H\0Cookie: hunter2\0x"), `app\0-H\0Cookie: ${markOf("hunter2")}\0x`);
  assert.equal(redactVariable("DB_PASSWORD=hun", true, digest).text, "DB_PASSWORD=[REDACTED]");
});

Deno.test("a list of very many secrets has digits in its first marks only", () => {
  const argv = redacted("mysql", ...Array.from({ length: 3_000 }, () => "-ps"));
  assert.equal(argv.filter((arg) => arg === `-p${markOf("s")}`).length, 64);
  assert.equal(argv.filter((arg) => arg === "-p[REDACTED]").length, 2_936);
});

Deno.test("marks among the arguments are left as they are", () => {
  for (
    const args of [
      ["echo", "[REDACTED:1f3a9c20]"],
      ["app", "--password", "[REDACTED:1f3a9c20]"],
      ["app", "--password=[REDACTED]"],
      ["mysql", "-p[REDACTED:1f3a9c20]"],
      ["git", "clone", "https://[REDACTED:1f3a9c20]@h/r"],
      ["git", "clone", "https://bob:[REDACTED:1f3a9c20]@h/r"],
      ["curl", "-H", "Authorization: Bearer [REDACTED:1f3a9c20]"],
      ["sh", "-c", "DB_PASSWORD=[REDACTED:1f3a9c20] app --token '[REDACTED:00000000]'"],
    ]
  ) {
    const bytes = joinArgv(args);
    assert.deepEqual(redactArgv(bytes, digest), { argv: bytes, masked: 0 }, args.join(" "));
  }
});

Deno.test("what only looks like a mark, and what stands beside one, is masked", () => {
  for (const fake of ["[REDACTED:hunter2]", "[REDACTED:1F3A9C20]", "[REDACTED:1f3a9c2]", "[redacted]", "[REDACTED"]) {
    assert.deepEqual(redacted("app", "--password", fake), ["app", "--password", markOf(fake)]);
  }
  const mark = "[REDACTED:1f3a9c20]";
  assert.deepEqual(redacted("app", "--password", `hun${mark}ter2`), [
    "app",
    "--password",
    `[REDACTED]${mark}[REDACTED]`,
  ]);
});
