import assert from "node:assert/strict";
import { hostName, NAMELESS } from "../../collector/host_name.ts";

Deno.test("hostName() tells hosts apart and tells nothing of the machine's id", () => {
  const id = "0123456789abcdef0123456789abcdef";
  assert.match(hostName(`${id}\n`), /^[0-9a-f]{32}$/);
  assert.notEqual(hostName(id), id);
  assert.equal(hostName(id), hostName(` ${id} `));
  assert.notEqual(hostName(id), hostName(id.replace("0", "1")));
});

Deno.test("hostName() gives hosts without an id one name", () => {
  for (const text of ["", "\n", "uninitialized\n", "0".repeat(32), "g".repeat(32), "0123"]) {
    assert.equal(hostName(text), NAMELESS, JSON.stringify(text));
  }
});
