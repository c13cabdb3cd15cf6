import assert from "node:assert/strict";
import { FIXED_IDS, ordinaryPrincipals, PrincipalError, principalsOf } from "../../deploy/principals.ts";

const PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP = "root:x:0:\nnogroup:x:65534:\n";

Deno.test("principalsOf() takes the fixed numbers where the names do not exist", () => {
  assert.deepEqual(principalsOf(PASSWD, GROUP), {
    supervisor: 0,
    collector: FIXED_IDS.collector,
    hasher: FIXED_IDS.hasher,
    responder: FIXED_IDS.responder,
    analyzer: FIXED_IDS.analyzer,
    agent: FIXED_IDS.agent,
    viewer: FIXED_IDS.reader,
    busGroup: FIXED_IDS.bus,
    hasherGroup: FIXED_IDS.hasher,
    responderGroup: FIXED_IDS.responder,
    readerGroup: FIXED_IDS.reader,
    adminGroup: FIXED_IDS.admin,
  });
});

Deno.test("principalsOf() takes the numbers of users and groups that exist", () => {
  const who = principalsOf(
    `${PASSWD}daemoneye-collector:x:901:902::/:\ndaemoneye-agent:x:903:902::/:\n`,
    `${GROUP}daemoneye-bus:x:902:\ndaemoneye:x:904:me,you\n`,
  );
  assert.equal(who.collector, 901);
  assert.equal(who.agent, 903);
  assert.equal(who.busGroup, 902);
  assert.equal(who.readerGroup, 904);
  assert.equal(who.adminGroup, FIXED_IDS.admin);
});

Deno.test("principalsOf() refuses a fixed number that is somebody else's, and says how to go on", () => {
  const taken = `${PASSWD}mallory:x:${FIXED_IDS.agent}:100::/:\n`;
  assert.throws(() => principalsOf(taken, GROUP), (error: Error) => {
    assert.ok(error instanceof PrincipalError);
    assert.match(error.message, /belongs to mallory, but daemoneye-agent needs it; add daemoneye-agent/);
    return true;
  });
  assert.throws(() => principalsOf(PASSWD, `${GROUP}staff:x:${FIXED_IDS.bus}:\n`), PrincipalError);
});

Deno.test("principalsOf() refuses a daemon that is root by another name", () => {
  assert.throws(() => principalsOf(`${PASSWD}daemoneye-agent:x:0:0::/:\n`, GROUP), /number 0/);
});

Deno.test("ordinaryPrincipals() makes everything the one user's", () => {
  const who = ordinaryPrincipals(1000, 100);
  assert.deepEqual(new Set(Object.values(who)), new Set([1000, 100]));
});
