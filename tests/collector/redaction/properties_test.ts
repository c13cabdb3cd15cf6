import assert from "node:assert/strict";
import fc from "fast-check";
import { joinArgv } from "../../../proto/argv.ts";
import {
  redactArgv,
  redactThoroughly,
  redactVariable,
  redactVariableThoroughly,
} from "../../../collector/redaction.ts";
import { keyedDigest } from "../../../collector/redaction/marks.ts";
import { MASKED, R, UNTOUCHED } from "./pairs.ts";

const digest = keyedDigest(new Uint8Array(32).fill(9));

/** Ways to give a secret, as functions from the secret to arguments. */
const PLANTS: readonly ((secret: string) => string[])[] = [
  (s) => ["app", "--password", s],
  (s) => ["app", `--password=${s}`],
  (s) => ["app", "--token", s, "x"],
  (s) => ["app", `--api-key=${s}`],
  (s) => ["app", "--access-key", s],
  (s) => ["app", "--private-key", s],
  (s) => ["app", `--db-password=${s}`],
  (s) => ["env", `PGPASSWORD=${s}`, "psql"],
  (s) => ["env", `MY_SECRET=${s}`],
  (s) => ["mysql", "-u", "root", `-p${s}`],
  (s) => ["sshpass", "-p", s, "ssh", "h"],
  (s) => ["curl", "-u", `bob:${s}`, "http://h/"],
  (s) => ["curl", "-H", `Authorization: Bearer ${s}`],
  (s) => ["curl", "-H", `X-Api-Key: ${s}`],
  (s) => ["redis-cli", "-a", s],
  (s) => ["openssl", "rsa", "-passin", `pass:${s}`],
  (s) => ["sh", "-c", `mysql -u root -p${quoted(s)} db`],
  (s) => ["sh", "-c", `app --password ${quoted(s)}`],
  (s) => ["bash", "-c", `curl -u ${quoted(`bob:${s}`)} http://h/ && true`],
  (s) => ["sh", "-c", `ssh h ${quoted(`DB_PASSWORD=${quoted(s)} app`)}`],
];

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

Deno.test("redactArgv() lets no secret survive that stands where secrets stand", () => {
  const secrets = fc.string({ minLength: 6, maxLength: 40, unit: "binary-ascii" })
    .map((text) => `Zq7${text.replaceAll("\0", "")}`)
    .filter((text) => !/[\r\n]/.test(text));
  fc.assert(
    fc.property(fc.constantFrom(...PLANTS), secrets, (plant, secret) => {
      const argv = new TextDecoder().decode(redactArgv(joinArgv(plant(secret))).argv);
      assert.ok(!argv.includes(secret), `${JSON.stringify(argv)} holds ${JSON.stringify(secret)}`);
      assert.ok(!argv.includes("Zq7"), `${JSON.stringify(argv)} holds the begin of ${JSON.stringify(secret)}`);
    }),
    { numRuns: 5_000 },
  );
});

/** Pieces that hostile arguments are made of. */
const FRAGMENTS = [
  ..."'\"\\ \n\t;&|()<>`$=:/@-_.,?#{}[]",
  ...[
    "\0",
    "--password",
    "password",
    "token=",
    "mysql",
    "-p",
    "curl",
    "-u",
    "a:b",
    "://",
    "u:p@h",
    "Bearer",
    "eyJ",
    ".",
  ],
  ...[
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----",
    "-----END",
    "Authorization:",
    "sk-",
    "AKIA",
    "sh",
    "-c",
    "x1",
    "é",
    "\xff",
  ],
  ...[
    "openssl",
    "htpasswd",
    "-b",
    "docker",
    "login",
    "set",
    "zip",
    "-P",
    "cookie",
    "by",
    "identified ",
    "sig=",
    "sqlplus",
  ],
];
const hostile = fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 60 })
  .map((parts) => new TextEncoder().encode(parts.join("")));

Deno.test("redactArgv() never throws and changes only what it masks, whatever the bytes", () => {
  const bytes = fc.oneof(hostile, fc.uint8Array({ maxLength: 300 }));
  fc.assert(
    fc.property(bytes, (argv) => {
      const before = argv.slice();
      const result = redactArgv(argv);
      assert.deepEqual(argv, before);
      const text = latin1(result.argv), original = latin1(argv);
      // What is left between the masks stands in the original, in the same order.
      let at = 0;
      for (const kept of text.split(R)) {
        const found = original.indexOf(kept, at);
        assert.ok(found >= 0, `${JSON.stringify(text)} of ${JSON.stringify(original)}`);
        at = found + kept.length;
      }
      assert.equal(result.masked === 0, result.argv === argv);
      assert.equal(original.split("\0").length, text.split("\0").length);
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("redactArgv() leaves what was masked before as it is, and masks the known forms once for all", () => {
  for (const [given] of MASKED) {
    for (const maker of [null, digest]) {
      const once = redactArgv(joinArgv(given), maker).argv;
      assert.deepEqual(redactArgv(once, maker), { argv: once, masked: 0 }, latin1(once));
    }
  }
  // Hostile quotes may join anew around a mark, so that more is masked; what was a mark stays one, digits and all.
  const marks = (argv: Uint8Array): string[] => latin1(argv).match(/\[REDACTED(?::[0-9a-f]{8})?\]/g) ?? [];
  fc.assert(
    fc.property(hostile, (argv) => {
      const once = redactArgv(argv, digest).argv;
      const left = marks(redactArgv(once, digest).argv);
      let at = 0;
      for (const mark of marks(once)) {
        at = left.indexOf(mark, at) + 1;
        assert.ok(at > 0, `${mark} of ${latin1(once)} is gone`);
      }
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("redactVariable() never throws, changes only what it masks, and overlooks nothing by its precheck", () => {
  const names = fc.constantFrom("HOME", "SUDO_COMMAND", "DB_PASSWORD", "HTTP_PROXY", "PROMPT_COMMAND", "X", "\xff");
  fc.assert(
    fc.property(names, hostile, fc.boolean(), (name, bytes, isCut) => {
      const variable = `${name}=${latin1(bytes).replaceAll("\0", "")}`;
      const { text, masked } = redactVariable(variable, isCut);
      assert.deepEqual({ text, masked }, redactVariableThoroughly(variable, isCut));
      let at = 0;
      for (const kept of text.split(R)) {
        const found = variable.indexOf(kept, at);
        assert.ok(found >= 0, `${JSON.stringify(text)} of ${JSON.stringify(variable)}`);
        at = found + kept.length;
      }
      assert.equal(masked === 0, text === variable);
      assert.ok(text.startsWith(`${name}=`));
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("the precheck of redactArgv() overlooks nothing that the thorough way masks", () => {
  fc.assert(
    fc.property(hostile, (argv) => {
      assert.deepEqual(redactArgv(argv), redactThoroughly(argv));
    }),
    { numRuns: 10_000 },
  );
  for (const given of [...MASKED.map(([given]) => given), ...UNTOUCHED]) {
    assert.deepEqual(redactArgv(joinArgv(given)), redactThoroughly(joinArgv(given)));
  }
});

Deno.test("redactArgv() and redactVariable() take time in proportion to their input", () => {
  const unit = [
    "a=",
    "password=",
    "password='",
    "token: ",
    "'",
    '"',
    "\\",
    "://",
    "://a:b/",
    "u:p@",
    "-----BEGIN ",
    "eyJ-",
    "eyJ.",
    "sk-",
    "Bearer ",
    "--password ",
    "mysql -p",
    "sh -c '",
    "a\\ ",
    "Authorization: ",
    "\n",
    "x",
    "-",
    "password \t",
    "-----BEGIN PRIVATE KEY-----",
    "$(",
    "\0",
    "--token\0",
    "mysql\0",
    "by '",
    "AKIA-",
    "curl -u ",
    "@",
    "a:b@h.x ",
    "a:b@",
    "password:password:",
    "[REDACTED",
    "[REDACTED]",
    "token=[REDACTED:0123abcd]x ",
  ];
  for (const text of unit) {
    // Compared by the work of a doubled input, with room for noise: quadratic work would be sixteen times as much.
    const small = "password " + text.repeat(Math.ceil(16_384 / text.length));
    const large = "password " + text.repeat(Math.ceil(65_536 / text.length));
    const cost = (input: string): number => {
      const bytes = new TextEncoder().encode(input), variable = `SUDO_COMMAND=${input.replaceAll("\0", " ")}`;
      let best = Infinity;
      for (let i = 0; i < 4; i++) {
        const start = performance.now();
        redactArgv(bytes, digest);
        redactVariable(variable, false, digest);
        best = Math.min(best, performance.now() - start);
      }
      return best;
    };
    // A busy machine may take the time of any one round; quadratic work is quadratic in all of them.
    let base = 0, grown = Infinity;
    for (let round = 0; round < 5 && grown >= base * 12 + 20; round++) {
      base = Math.max(base, cost(small));
      grown = Math.min(grown, cost(large));
    }
    assert.ok(grown < base * 12 + 20, `${JSON.stringify(text)}: ${base} ms, four times as much ${grown} ms`);
  }
});

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
