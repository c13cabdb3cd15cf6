/** Bundles that are cut, flipped, forged or no bundles: each is refused, and the member named. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { NewerBundleError } from "../../../cli/bundle/manifest.ts";
import { BundleReader } from "../../../cli/bundle/reader.ts";
import { BundleRefusedError } from "../../../cli/bundle/bundle_refused.ts";
import { memorySource } from "../../../cli/bundle/source.ts";
import {
  forge,
  type ForgedMember,
  type Forgery,
  joined,
  OTHER_SEED,
  signerNamed,
  SOUND,
} from "../../support/bundle_forge.ts";
import { cli } from "../../support/cli_run.ts";

const [EVENTS, MORE_EVENTS, ALERTS, RULES] = SOUND as readonly [ForgedMember, ForgedMember, ForgedMember, ForgedMember];
const BY = signerNamed("case-1");

/** Reads everything; what refuses it, `null` when it holds. */
async function refusal(bytes: Uint8Array): Promise<BundleRefusedError | NewerBundleError | null> {
  try {
    const reader = await BundleReader.open(memorySource("test", bytes));
    for (const member of reader.manifest.members) {
      if (reader.tableOf(member) === null) reader.content(member);
      else for (const _ of reader.rows(member));
    }
    return null;
  } catch (error) {
    if (error instanceof BundleRefusedError || error instanceof NewerBundleError) return error;
    throw error;
  }
}

async function refuses(forgery: Forgery | Uint8Array, member: string | RegExp, reason: RegExp): Promise<void> {
  const error = await refusal(forgery instanceof Uint8Array ? forgery : forge(forgery));
  assert.ok(error instanceof BundleRefusedError, `not refused: ${reason}`);
  if (typeof member === "string") assert.equal(error.member, member);
  else assert.match(error.member, member);
  assert.match(error.reason, reason);
}

Deno.test("A bundle that was forged rightly holds, signed and not", async () => {
  assert.equal(await refusal(forge({ members: SOUND })), null);
  assert.equal(await refusal(forge({ members: SOUND, by: BY })), null);
  assert.equal(await refusal(forge({ members: [] })), null);
});

/** Where each member with its header and the zeros behind it begins and ends. */
function places(bytes: Uint8Array): { name: string; from: number; to: number }[] {
  const found = [];
  for (let at = 0; at < bytes.length - 1_024;) {
    const name = new TextDecoder().decode(bytes.subarray(at, at + 100)).replace(/\0.*$/, "");
    const size = parseInt(new TextDecoder().decode(bytes.subarray(at + 124, at + 135)), 8);
    const to = at + 512 + Math.ceil(size / 512) * 512;
    found.push({ name, from: at, to });
    at = to;
  }
  return found;
}

Deno.test("A flipped bit anywhere is refused, and the member that it is in is named", async () => {
  const bytes = forge({ members: SOUND, by: BY }), spans = places(bytes);
  for (let at = 0; at < bytes.length; at++) {
    const bit = 1 << (at * 5 + (at >> 3)) % 8;
    bytes[at]! ^= bit;
    const error = await refusal(bytes);
    bytes[at]! ^= bit;
    assert.ok(error !== null, `the bit ${bit} of byte ${at} is not seen`);
    const name = spans.find(({ to }) => at < to)?.name ?? "bundle.note";
    // The one word that says a newer version: then that is the answer
    if (error instanceof NewerBundleError) assert.match(name, /manifest|note/);
    else assert.ok(error.member === name || error.reason.includes(name), `byte ${at}: ${error.message}`);
  }
  assert.equal(await refusal(bytes), null);
});

Deno.test("A bundle that is cut anywhere is refused, and where it was cut is said", async () => {
  const bytes = forge({ members: SOUND, by: BY }), spans = places(bytes);
  for (let length = 0; length < bytes.length; length += length % 512 === 511 || length % 512 === 0 ? 1 : 73) {
    const error = await refusal(bytes.subarray(0, length));
    assert.ok(error instanceof BundleRefusedError, `a cut at ${length} is not seen`);
    const at = spans.findIndex(({ to }) => length < to), here = spans[at]?.name ?? "bundle.note";
    const before = at <= 0 ? "the file" : spans[at - 1]!.name;
    assert.ok([here, `behind ${before}`, before].includes(error.member), `${length}: ${error.message}`);
  }
});

Deno.test("A note that says another length of the manifest is what is named", async () => {
  for (const size of ["1", "99999", "33554432"]) {
    const note = (text: string): string => text.replace(/(manifest\.json) \d+/, `$1 ${size}`);
    await refuses({ members: SOUND, note }, "bundle.note", /it declares a manifest of \d+ bytes, and there is one of/);
  }
});

Deno.test("What stands behind the end of a bundle is refused, zeros too", async () => {
  for (const behind of [1, 511, 512, 1_024, 9_216]) {
    await refuses({ members: SOUND, behind: new Uint8Array(behind) }, /./, /./);
    await refuses(
      { members: SOUND, behind: new Uint8Array(behind).fill(1) },
      "bundle.note",
      /cut off behind it, or goes on/,
    );
  }
  const bytes = forge({ members: SOUND });
  await refuses(joined([bytes, bytes]), /./, /./);
});

Deno.test("Names that a bundle does not have are refused, those that lead elsewhere among them", async () => {
  const names = ["../../etc/passwd", "/etc/passwd", "process_events/../x.jsonl.gz", "process_events/0.jsonl.gz", "x"];
  const more = [
    "ledger/../state/000000.gz",
    "ledger/secrets/000000.gz",
    "PROCESS_EVENTS/000000.jsonl.gz",
    "status/x.pb.gz",
  ];
  for (const name of [...names, ...more, "sqlite_schema/000000.jsonl.gz", "process_events/000000.jsonl"]) {
    await refuses({ members: [{ ...EVENTS, name }] }, "manifest.json", /A bundle has no member named/);
  }
});

Deno.test("Members that are twice, out of order or without the one before are refused", async () => {
  const twice = /stands where it may not/;
  await refuses({ members: [EVENTS, EVENTS] }, "manifest.json", twice);
  await refuses({ members: [ALERTS, EVENTS] }, "manifest.json", twice);
  await refuses({ members: [MORE_EVENTS] }, "manifest.json", twice);
  await refuses(
    { members: [EVENTS, { ...MORE_EVENTS, name: "process_events/000002.jsonl.gz" }] },
    "manifest.json",
    twice,
  );
});

Deno.test("Members that only the file has, or only the manifest, are refused", async () => {
  const file = { only: "file" } as const, manifest = { only: "manifest" } as const;
  await refuses(
    { members: [EVENTS, { ...MORE_EVENTS, ...manifest }, ALERTS] },
    MORE_EVENTS.name,
    /not where the manifest/,
  );
  await refuses({ members: [EVENTS, { ...MORE_EVENTS, ...file }, ALERTS] }, ALERTS.name, /not where the manifest/);
  await refuses({ members: [EVENTS, { ...ALERTS, ...file }] }, "manifest.json", /bytes before it are of no member/);
  await refuses({ members: [{ ...EVENTS, ...manifest }] }, EVENTS.name, /not where/);
  await refuses({ members: [EVENTS, { ...EVENTS, ...file }] }, "manifest.json", /of no member/);
});

Deno.test("A member that unpacks to more than it declares is not unpacked further", async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(300_000_000)));
  const before = Deno.memoryUsage().rss;
  await refuses(
    { members: [{ ...EVENTS, stored: bomb, told: { bytes: 1_000 } }] },
    EVENTS.name,
    /more than the 1000 bytes that it declares/,
  );
  assert.ok(Deno.memoryUsage().rss - before < 200_000_000);
  const most = { bytes: 67_108_865 };
  await refuses({ members: [{ ...EVENTS, stored: bomb, told: most }] }, "manifest.json", /more than a member may have/);
  await refuses(
    { members: [{ ...EVENTS, told: { bytes: 5_000 } }] },
    EVENTS.name,
    /unpacks to \d+ bytes, and declares 5000/,
  );
});

Deno.test("A member that is no gzip of ours, or holds no rows of its table, is refused", async () => {
  const stored = new Uint8Array(gzipSync(new TextEncoder().encode(EVENTS.content as string)));
  const timed = stored.slice();
  timed[4] = 1;
  await refuses({ members: [{ ...EVENTS, stored: timed }] }, EVENTS.name, /not packed as members are/);
  await refuses({ members: [{ ...EVENTS, stored: stored.subarray(0, 40) }] }, EVENTS.name, /cannot be unpacked/);
  await refuses({ members: [{ ...EVENTS, stored: new Uint8Array(30) }] }, EVENTS.name, /not packed/);
  const rows: readonly [string, RegExp][] = [
    ["[]\n", /Line 1 is no object/],
    ["{\n", /Line 1 is not JSON/],
    ['{"pid":1}', /last line has no end/],
    ['{"secret":1}\n', /Line 1 has a column that process_events does not have/],
    ['{"__proto__":{"pid":1}}\n', /Line 1 has a column/],
    ['{"pid":1}\n{"pid":true}\n', /Line 2 has a value that is neither/],
    ['{"pid":{"a":1}}\n', /neither/],
  ];
  for (const [content, reason] of rows) {
    await refuses(
      { members: [{ ...EVENTS, content, told: { rows: content.split("\n").length - 1 || 1 } }] },
      EVENTS.name,
      reason,
    );
  }
  await refuses({ members: [{ ...EVENTS, content: Uint8Array.of(0xff, 10) }] }, EVENTS.name, /not UTF-8/);
  await refuses({ members: [{ ...EVENTS, told: { rows: 2 } }] }, EVENTS.name, /has 1 lines, and not 2/);
  await refuses({ members: [{ ...EVENTS, told: { rows: 0 } }] }, EVENTS.name, /more than 0 lines/);
});

Deno.test("A manifest that is not as it must be is refused, whatever is wrong", async () => {
  const edits: readonly [(text: string) => string, RegExp][] = [
    [() => "", /not JSON/],
    [() => "null\n", /no object/],
    [(text) => text.replace("daemoneye-bundle/1", "tar"), /not of the format/],
    [(text) => text.replace(/"time": \d+/, '"time": 1.5'), /no whole number/],
    [(text) => text.replace(/"sha256":"./, '"sha256":"x'), /sha256 of .* is none/],
    [(text) => text.replace(/"stored":\d+/, '"stored":-1'), /below 0/],
    [(text) => text.replace(/"rows":\d+/, '"rows":null'), /rows of/],
    [(text) => text.replace('"host": "test"', '"host": {}'), /host is no text/],
    [(text) => text.replace('"lacks": []', '"lacks": [1]'), /lacks is no text/],
    [
      (text) => text.replace('"ledger": null', '"ledger": {"origin":"a","size":1,"root":""}'),
      /names a ledger and has none/,
    ],
    [(text) => text.replace('"signer": null', '"signer": "x"'), /verifier key/],
    [(text) => text.replace(/"members": \[[^]*\]/, '"members": {}'), /no list/],
  ];
  for (const [manifest, reason] of edits) await refuses({ members: SOUND, manifest }, "manifest.json", reason);
});

Deno.test("Ledger pieces must be as long as pieces are, and a status is one member", async () => {
  const ledger = { origin: "o", size: 1, root: "r" }, piece = { content: "x" };
  const members = [{ ...piece, name: "ledger/header/000000.gz" }, { ...piece, name: "ledger/header/000001.gz" }];
  await refuses({ members, head: { ledger } }, "manifest.json", /not the last of its file, and too short/);
  await refuses({ members: [members[0]!] }, "manifest.json", /names a ledger and has none, or has one/);
});

Deno.test("A signature that is wrong, missing, another's or twice is refused", async () => {
  const other = signerNamed("case-1", OTHER_SEED);
  await refuses(
    { members: SOUND, by: BY, note: (text) => text.replace(/\n\n.*\n$/s, "\n") },
    "bundle.note",
    /is missing/,
  );
  await refuses(
    { members: SOUND, note: (text) => `${text}\n— case-1 AAAAAAAA\n` },
    "bundle.note",
    /the manifest says that nobody/,
  );
  const otherLine = forge({ members: SOUND, by: other });
  assert.equal(await refusal(otherLine), null);
  await refuses(
    { members: SOUND, by: BY, note: (text) => `${text}${text.split("\n").at(-2)}\n` },
    "bundle.note",
    /more than one signature/,
  );
  const resigned = forge({
    members: SOUND,
    by: BY,
    note: (text) => {
      const signature = other.signer.sign(new TextEncoder().encode(text.slice(0, text.indexOf("\n\n") + 1)));
      const line = Uint8Array.of(...Uint8Array.fromHex(BY.key.id), ...signature).toBase64();
      return text.replace(/— case-1 .*\n/, `— case-1 ${line}\n`);
    },
  });
  await refuses(resigned, "bundle.note", /signature of case-1 .* is wrong/);
});

Deno.test("A newer version says so, of the container and of the tables", async () => {
  const newer = async (forgery: Forgery, words: RegExp): Promise<void> => {
    const error = await refusal(forge(forgery));
    assert.ok(error instanceof NewerBundleError);
    assert.match(error.message, words);
  };
  await newer({ members: SOUND, note: (text) => text.replace("bundle/1", "bundle/2") }, /version 2.*knows version 1/);
  await newer(
    { members: SOUND, manifest: (text) => text.replace(/"schema": \d+/, '"schema": 99') },
    /schema version 99/,
  );
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, forge({ members: SOUND, note: (text) => text.replace("bundle/1", "bundle/2") }));
    const verified = await cli(null, ["bundle", "verify", path]),
      opened = await cli(null, ["bundle", "open", path, "--", "alerts"]);
    assert.deepEqual([verified.code, opened.code], [4, 1]);
    assert.match(verified.out, /version 2, and this program knows version 1: use a newer one/);
    assert.match(opened.err, /use a newer one/);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("Rows that SQLite does not take are refused when a bundle is opened, and the line is named", async () => {
  const bad: readonly [ForgedMember, RegExp][] = [
    [
      { ...EVENTS, content: '{"event_id":1,"pid":"x"}\n' },
      /process_events\/000000.jsonl.gz: Line 1 is no row of process_events/,
    ],
    [{ ...EVENTS, content: '{"event_id":1}\n{"event_id":1}\n' }, /Line 2 is no row.*UNIQUE/],
    [{ ...ALERTS, content: "{}\n" }, /alerts\/000000.jsonl.gz: Line 1 is no row.*NOT NULL/],
  ];
  for (const [member, words] of bad) {
    const { code, out, err } = await cli(null, ["bundle", "open", "-", "--", "alerts"], {
      stdin: forge({ members: [member] }),
    });
    assert.deepEqual([code, out], [4, ""]);
    assert.match(err, words);
  }
});

Deno.test("What is no regular file is no bundle: a pipe is not waited for", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const pipe = `${directory}/pipe`, loop = `${directory}/loop`, link = `${directory}/link`;
    assert.ok(new Deno.Command("mkfifo", { args: [pipe] }).outputSync().success);
    Deno.symlinkSync(loop, loop);
    Deno.symlinkSync(pipe, link);
    for (const [path, words] of [[pipe, /not a regular file/], [link, /not a regular file/], [loop, /loop/]] as const) {
      for (const args of [["verify", path], ["open", path, "--", "alerts"], ["diff", path, path]]) {
        const { code, err } = await cli(null, ["bundle", ...args]);
        assert.equal(code, 1);
        assert.match(err, words);
      }
    }
    for (const content of ["", "x", "hello\n".repeat(1_000), RULES.content]) {
      Deno.writeTextFileSync(`${directory}/text`, content as string);
      const { code, out } = await cli(null, ["bundle", "verify", `${directory}/text`]);
      assert.equal(code, 4);
      assert.match(out, /REFUSED: the file: it is no bundle/);
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("What a stranger wrote into a bundle does nothing to the terminal of who verifies it", async () => {
  const evil = "\x1b[2J\u202e\x9b\n";
  const head = { host: evil, product: evil, lacks: [evil] };
  const bytes = forge({ members: SOUND, head });
  for (const words of [["verify", "-"], ["verify", "-", "-f", "json"], ["open", "-", "--", "events"]]) {
    const { code, out, err } = await cli(null, ["bundle", ...words], { stdin: bytes, columns: 100 });
    assert.ok(code !== 1, err);
    // deno-lint-ignore no-control-regex -- that is what must not be in it
    assert.doesNotMatch(out + err, /[\x1b\x9b\u202e]/);
  }
});
