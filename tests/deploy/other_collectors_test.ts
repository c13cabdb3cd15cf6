/** Which programs the supervisor may be told to run. */
import assert from "node:assert/strict";
import { readOtherCollectors } from "../../deploy/other_collectors.ts";
import { ordinaryPrincipals, principalsOf } from "../../deploy/principals.ts";
import { needs } from "../support/needs.ts";

const GOOD = { id: "net", command: ["/usr/bin/net", "--fast"] };

Deno.test("collectors.json names programs by absolute path, and anything else in it ends the start", async () => {
  const path = `${await Deno.makeTempDir()}/collectors.json`;
  const who = ordinaryPrincipals(Deno.uid()!, Deno.gid()!);
  const read = (value: unknown) => {
    Deno.writeTextFileSync(path, typeof value === "string" ? value : JSON.stringify(value), { mode: 0o644 });
    return readOtherCollectors(path, who, ["procmond"]);
  };
  const user = who.supervisor === 0 ? { user: 64_300 } : {};
  const one = (more: Record<string, unknown>) => ({ collectors: [{ ...GOOD, ...user, ...more }] });
  assert.deepEqual(readOtherCollectors(path, who, []), []);
  assert.deepEqual(read(one({})), [{ ...GOOD, user: who.supervisor === 0 ? 64_300 : null, env: {}, restarts: 5 }]);
  assert.deepEqual(read(one({ enabled: false })), []);
  assert.equal(read(one({ restarts: 0, env: { A: "b" } }))[0]!.restarts, 0);
  const refused: [unknown, RegExp][] = [
    ["{", /no JSON/],
    ["[]", /must be \{"collectors"/],
    [{ collectors: [], more: 1 }, /must be/],
    [{ collectors: Array.from({ length: 33 }, (_, i) => ({ ...GOOD, ...user, id: `c${i}` })) }, /at most 32/],
    [{ collectors: [null] }, /collector 1: it must be an object/],
    [one({ path: "/x" }), /a key that is none of/],
    [one({ id: "../x" }), /its id must be/],
    [one({ id: "procmond" }), /the name procmond is taken/],
    [{ collectors: [{ ...GOOD, ...user }, { ...GOOD, ...user }] }, /collector 2: the name net is taken/],
    [one({ command: [] }), /its command must be/],
    [one({ command: ["net"] }), /absolute path/],
    [one({ command: "/usr/bin/net" }), /its command must be/],
    [one({ command: ["/usr/bin/net", 1] }), /its command must be/],
    [one({ command: ["/usr/bin/net", "a\0b"] }), /its command must be/],
    [one({ env: { A: 1 } }), /its env must be/],
    [one({ restarts: -1 }), /its restarts must be/],
    [one({ restarts: 1.5 }), /its restarts must be/],
    [one({ enabled: "yes" }), /enabled must be/],
    [one({ user: 0 }), who.supervisor === 0 ? /neither root nor a tier's/ : /only where root/],
    ["x".repeat(70_000), /70000 bytes/],
  ];
  for (const [value, reason] of refused) assert.throws(() => read(value), reason);
  read(one({}));
  Deno.chmodSync(path, 0o664);
  assert.throws(() => readOtherCollectors(path, who, []), /nobody else can write/);
  Deno.removeSync(path);
  Deno.symlinkSync("/etc/passwd", path);
  assert.throws(() => readOtherCollectors(path, who, []), /must be a file of user/);
});

Deno.test({
  name: "as root a collector runs as a user of its own, in a file that root alone can write",
  ignore: needs({ root: true }).ignore,
  fn() {
    const path = `${Deno.makeTempDirSync()}/collectors.json`, who = principalsOf("", "");
    const read = (user: unknown) => {
      Deno.writeTextFileSync(path, JSON.stringify({ collectors: [{ ...GOOD, user }] }), { mode: 0o644 });
      return readOtherCollectors(path, who, []);
    };
    assert.equal(read(64_300)[0]!.user, 64_300);
    for (
      const user of [
        null,
        0,
        -1,
        1.5,
        "daemon",
        who.agent,
        who.collector,
        who.hasher,
        who.responder,
        who.viewer,
        2 ** 31,
      ]
    ) {
      assert.throws(() => read(user), /neither root nor a tier's/);
    }
    read(64_300);
    Deno.chownSync(path, 64_300, 64_300);
    assert.throws(() => readOtherCollectors(path, who, []), /a file of user 0/);
  },
});
