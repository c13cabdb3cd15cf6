import assert from "node:assert/strict";
import { entropyOf } from "../../../collector/analyzer/entropy.ts";
import { parseMaps } from "../../../collector/analyzer/memory_maps.ts";
import { listedNames, listHas, md5Of, packageOfList } from "../../../collector/analyzer/package_owner.ts";
import { findStrings, MAX_STRINGS } from "../../../collector/analyzer/strings.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("entropyOf() is 0 for one value and 8 for all alike", () => {
  assert.equal(entropyOf(new Uint8Array(0)), 0);
  assert.equal(entropyOf(new Uint8Array(1_000)), 0);
  assert.equal(entropyOf(Uint8Array.from({ length: 65_536 }, (_, i) => i & 255)), 8);
  assert.equal(entropyOf(bytes("abababab")), 1);
});

Deno.test("findStrings() keeps what says where a program goes, the most telling first", () => {
  const wide = Uint8Array.from([..."wss://evil.example/x"].flatMap((c) => [c.charCodeAt(0), 0]));
  const text = "\0nothing of interest\0/etc/ld.so.preload\0http://203.0.113.9/a.sh\0tcp 203.0.113.7:4444\0" +
    "/bin/sh -c id\0stratum+tcp://pool\0\x01";
  const { strings, total, omitted } = findStrings(new Uint8Array([...bytes(text), ...wide, 1]));
  assert.deepEqual(strings.map(({ kind, text }) => `${kind} ${text}`), [
    "wallet stratum+tcp://pool",
    "url http://203.0.113.9/a.sh",
    "url wss://evil.example/x",
    "command /bin/sh -c id",
    "address tcp 203.0.113.7:4444",
    "path /etc/ld.so.preload",
  ]);
  assert.deepEqual([total, omitted], [7, 0]);
});

Deno.test("findStrings() is bounded however many there are, and says how many it left out", () => {
  const text = Array.from({ length: 5_000 }, (_, i) => `http://host-${i}.example/\0`).join("") + "/etc/shadow\0";
  const { strings, total, omitted } = findStrings(bytes(text));
  assert.equal(strings.length, MAX_STRINGS);
  assert.equal(strings[0]!.text, "http://host-0.example/");
  assert.equal(total, 5_001);
  assert.equal(omitted, 5_001 - MAX_STRINGS);
});

Deno.test("parseMaps() counts code that was not loaded from a file", () => {
  const maps = parseMaps(
    [
      "55d0c0000000-55d0c0001000 r-xp 00000000 08:01 131 /usr/bin/sleep",
      "7f0000000000-7f0000002000 rwxp 00000000 00:00 0 ",
      "7f0000004000-7f0000005000 r-xp 00000000 00:00 0 ",
      "7f0000006000-7f0000007000 r-xp 00000000 00:01 77 /memfd:x (deleted)",
      "7f0000008000-7f0000009000 r-xp 00000000 08:01 78 /tmp/a b (deleted)",
      "7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0 [vdso]",
      "7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 [stack]",
      "",
    ].join("\n"),
  );
  assert.deepEqual(maps, {
    mappings: 7,
    writableCode: 1,
    anonymousCode: 2,
    strayCodeBytes: 0x3000,
    deletedCode: 1,
    memfdCode: 1,
    codeFiles: 3,
    named: ["rwxp [anonymous]", "r-xp [anonymous]", "r-xp /memfd:x (deleted)", "r-xp /tmp/a b (deleted)"],
    isCut: false,
  });
  assert.equal(parseMaps("55d0c0000000-55d0c0001000 r-xp 0000").isCut, true);
  assert.equal(parseMaps("no line\n").isCut, true);
});

Deno.test("A package is found by either name of a file, and by no other file's", () => {
  assert.equal(packageOfList("dash.list"), "dash");
  assert.equal(packageOfList("libc6:amd64.list"), "libc6:amd64");
  for (const name of ["dash.md5sums", "../x.list", "Dash.list"]) assert.equal(packageOfList(name), null);
  assert.deepEqual(listedNames("/usr/bin/dash"), ["/usr/bin/dash", "/bin/dash"]);
  assert.deepEqual(listedNames("/bin/dash"), ["/bin/dash", "/usr/bin/dash"]);
  assert.deepEqual(listedNames("/opt/x"), ["/opt/x"]);
  const list = "/.\n/bin\n/bin/dash.old\n/bin/dash\n/usr/share/doc\n";
  assert.equal(listHas(list, listedNames("/usr/bin/dash")), true);
  assert.equal(listHas(list, ["/bin/das"]), false);
  assert.equal(listHas("/bin/dash", ["/bin/dash"]), true);
  const sums = "0123456789abcdef0123456789abcdef  bin/dash\nnot a sum  bin/x\n";
  assert.equal(md5Of(sums, listedNames("/usr/bin/dash")), "0123456789abcdef0123456789abcdef");
  assert.equal(md5Of(sums, ["/bin/x"]), null);
});
