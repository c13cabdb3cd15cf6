import assert from "node:assert/strict";
import { inNetwork, parseAddress, parseNetwork } from "../../../proto/rules/network.ts";
import { parseSpan, pathBasename, withinSpan } from "../../../proto/rules/user_functions.ts";

Deno.test("parseAddress() reads what is an address in one way only", () => {
  const good: Record<string, bigint> = {
    "0.0.0.0": 0n,
    "10.0.0.1": 0x0a000001n,
    "255.255.255.255": 0xffffffffn,
    "::": 0n,
    "::1": 1n,
    "1::": 1n << 112n,
    "2001:db8::ff00:42:8329": 0x20010db8000000000000ff0000428329n,
    "1:2:3:4:5:6:7:8": 0x00010002000300040005000600070008n,
    "::ffff:10.0.0.1": 0x0a000001n,
    "::ffff:a00:1": 0x0a000001n,
    "64:ff9b::1.2.3.4": 0x64_ff9bn << 96n | 0x0102_0304n,
  };
  for (const [text, bits] of Object.entries(good)) assert.equal(parseAddress(text)?.bits, bits, text);
  assert.equal(parseAddress("::ffff:10.0.0.1")!.width, 32);
  assert.equal(parseAddress("::1")!.width, 128);
  for (
    const text of [
      ..."|10.0.0|10.0.0.0.0|10.0.0.01|010.0.0.1|10.0.0.256|0x0a.0.0.1|10.0.0.-1|10.0.0.1 | 10.0.0.1|1e1.0.0.1|:|:::"
        .split("|"),
      ..."1::2::3|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|1:2:3:4:5:6:7::8|12345::|fe80::1%eth0|[::1]|::g|:1:2:3:4:5:6:7".split(
        "|",
      ),
      ..."::1.2.3|1.2.3.4::|::ffff:10.0.0.01|localhost|١.٢.٣.٤".split("|"),
      "1".repeat(100),
    ]
  ) assert.equal(parseAddress(text), null, text);
});

Deno.test("inNetwork() compares the bits that a network fixes", () => {
  const is = (network: string, address: string, expected: boolean) =>
    assert.equal(inNetwork(address, parseNetwork(network)!), expected, `${address} in ${network}`);
  is("10.0.0.0/8", "10.255.255.255", true);
  is("10.0.0.0/8", "11.0.0.0", false);
  is("10.1.2.3/8", "10.9.9.9", true);
  is("10.0.0.1", "10.0.0.1", true);
  is("10.0.0.1", "10.0.0.2", false);
  is("0.0.0.0/0", "1.2.3.4", true);
  is("0.0.0.0/0", "::1", false);
  is("::/0", "1.2.3.4", false);
  is("10.0.0.0/8", "::ffff:10.1.1.1", true);
  is("::ffff:10.0.0.0/104", "10.1.1.1", true);
  is("fe80::/10", "febf::1", true);
  is("fe80::/10", "fec0::1", false);
  is("127.0.0.0/31", "127.0.0.1", true);
  is("127.0.0.0/31", "127.0.0.2", false);
  is("0.0.0.0/0", "not an address", false);
  for (
    const text of ["10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "10.0.0.0/-1", "::/129", "::ffff:1.2.3.4/95", "", "/8"]
  ) {
    assert.equal(parseNetwork(text), null, text);
  }
});

Deno.test("spans, distances in time and names of files", () => {
  assert.deepEqual(["1ms", "30s", "5m", "24h", "7d"].map(parseSpan), [1, 30_000, 300_000, 86_400_000, 604_800_000]);
  for (const text of ["", "5", "m", "05m", "5 m", "5M", "-5m", "1.5h", "1000000s", "5minutes", "5w"]) {
    assert.equal(parseSpan(text), null, text);
  }
  assert.equal(withinSpan(1_000, 500, 500), true);
  assert.equal(withinSpan(500, 500, 1_000), true);
  assert.equal(withinSpan(1_001, 500, 500), false);
  assert.equal(withinSpan(2n ** 63n - 1n, 5, 2n ** 63n - 6n), true);
  assert.equal(withinSpan(2n ** 63n - 1n, 5, -(2n ** 63n)), false);
  assert.equal(withinSpan(1.5, 1, 3n), false);
  assert.deepEqual(["/usr/bin/sh", "sh", "/", "", "a/b/", "/a\nb/c d"].map(pathBasename), [
    "sh",
    "sh",
    "",
    "",
    "",
    "c d",
  ]);
});
