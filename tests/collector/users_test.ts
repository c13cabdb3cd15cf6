import assert from "node:assert/strict";
import { AccountNames, parseAccounts, resolveGroup, resolveUser, userName } from "../../collector/users.ts";

Deno.test("parseAccounts() takes well-formed lines and passes over the others", () => {
  const text = [
    "root:x:0:0:root:/root:/bin/bash",
    "# comment:x:1:1",
    "",
    "daemon:x:1:1:daemon:/:/sbin/nologin",
    "root:x:5:5:second of the name:/:/bin/sh",
    "short",
    "no-number:x:ten:1::/:",
    "negative:x:-1:1::/:",
    "huge:x:4294967295:1::/:",
    "long:x:12345678901:1::/:",
    "bad\x1bname:x:7:7::/:",
    ":x:8:8::/:",
    "machine$:x:9:9::/:",
    "group:x:10:member,member",
    "last:x:11:11",
  ].join("\n");
  assert.deepEqual([...parseAccounts(text)], [["root", 0], ["daemon", 1], ["machine$", 9], ["group", 10], [
    "last",
    11,
  ]]);
  assert.deepEqual([...parseAccounts("\0".repeat(100))], []);
});

Deno.test("names follow the file", async () => {
  let text: string | null = "a:x:1:1\nb:x:1:1\n", reads = 0;
  const names = new AccountNames(() => {
    reads++;
    return text;
  });
  assert.equal(names.nameOf(1), "a", "the first of two names");
  assert.equal(names.nameOf(2), null);
  assert.equal(reads, 1, "looked at once a second at most");
  text = "c:x:1:1\n";
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  assert.equal(names.nameOf(1), "c");
  text = null;
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  assert.equal(names.nameOf(1), null);
});

Deno.test("users and groups of this host are found by name and number", () => {
  assert.equal(userName(0), "root");
  assert.equal(userName(0xffff_fff0), null);
  assert.equal(resolveUser("root"), 0);
  assert.equal(resolveGroup("root"), 0);
  assert.equal(resolveUser("12345"), 12345);
  assert.equal(resolveGroup("0"), 0);
  assert.throws(
    () => resolveUser("nobody of this name"),
    /There is no user nobody of this name in \/etc\/passwd; create/,
  );
  assert.throws(() => resolveGroup("none-such"), /There is no group none-such/);
  // 2^32 - 1 would mean "do not change" to setresuid().
  assert.throws(() => resolveUser("4294967295"), RangeError);
});
