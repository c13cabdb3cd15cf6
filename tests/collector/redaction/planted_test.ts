import assert from "node:assert/strict";
import { joinArgv } from "../../../proto/argv.ts";
import { redactArgv, redactVariable } from "../../../collector/redaction.ts";
import { keyedDigest } from "../../../collector/redaction/marks.ts";
import { innocentArguments, plantSecrets } from "../../support/planted.ts";

const digest = keyedDigest(new Uint8Array(32).fill(3));

Deno.test("of 200 secrets in arguments and 200 in variables nothing is left", () => {
  const plants = plantSecrets();
  assert.equal(plants.length, 200);
  for (const { core, args, variable } of plants) {
    for (const maker of [null, digest]) {
      const argv = new TextDecoder().decode(redactArgv(joinArgv(args), maker).argv);
      const { text, masked } = redactVariable(variable, false, maker);
      assert.ok(masked > 0);
      for (const part of [core.slice(0, 8), core.slice(8, 16), core.slice(-8)]) {
        assert.ok(!argv.includes(part), `${argv} of ${args.join(" ")}`);
        assert.ok(!text.includes(part), `${text} of ${variable}`);
      }
    }
  }
});

Deno.test("200 innocent argument lists come back as the same bytes, and as variables too", () => {
  const innocents = innocentArguments();
  assert.equal(innocents.length, 200);
  for (const args of innocents) {
    const argv = joinArgv(args);
    const redacted = redactArgv(argv, digest);
    assert.ok(redacted.argv === argv, `${new TextDecoder().decode(redacted.argv)} of ${args.join(" ")}`);
    const variable = `LD_X=${args.join(" ")}`;
    assert.deepEqual(redactVariable(variable, false, digest), { text: variable, masked: 0 });
  }
});
