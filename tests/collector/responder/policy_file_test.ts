/** The policy's file: whose it must be, and what is said of one that is not right. */
import assert from "node:assert/strict";
import { readPolicy } from "../../../collector/responder/policy_file.ts";
import { capabilitiesOf, MAX_POLICY_BYTES, parsePolicy, PolicyError } from "../../../proto/response/policy.ts";
import { needs } from "../../support/needs.ts";

const GOOD = "mode: enforce\nactions: [stop]\n";

Deno.test({
  name: "readPolicy() takes a file that root alone can change, and says of every other what is wrong and what to do",
  ...needs({ root: true }),
  fn() {
    const directory = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "daemoneye-policy-" }));
    const path = `${directory}/response.yaml`;
    const write = (text: string | Uint8Array, mode = 0o644): void => {
      Deno.writeFileSync(path, typeof text === "string" ? new TextEncoder().encode(text) : text);
      Deno.chmodSync(path, mode);
    };
    const refuses = (why: RegExp, what = path): void =>
      assert.throws(() => readPolicy(what), (error: Error) => {
        assert.ok(error instanceof PolicyError, error.stack);
        assert.match(error.message, /^The policy \/\S+ is refused: .+; .+$/s);
        assert.match(error.message, why);
        return true;
      });
    try {
      refuses(/it is not there, or cannot be looked at; write it as root \(see docs\/response\.md\)$/);
      write(GOOD);
      assert.deepEqual(readPolicy(path).actions, ["stop"]);
      write(GOOD, 0o664);
      refuses(
        /nobody but root may be able to change it, but \/\S+ can be written by others; 'chown root' and 'chmod 644'/,
      );
      write(GOOD, 0o646);
      refuses(/can be written by others/);
      write(GOOD);
      Deno.chownSync(path, 1, 0);
      refuses(/belongs to user 1;/);
      Deno.chownSync(path, 0, 0);
      Deno.chmodSync(directory, 0o777);
      refuses(/can be written by others/);
      Deno.chownSync(directory, 1, 0);
      Deno.chmodSync(directory, 0o755);
      refuses(/belongs to user 1;/);
      Deno.chownSync(directory, 0, 0);
      assert.equal(readPolicy(path).mode, "enforce");
      Deno.symlinkSync(path, `${directory}/link.yaml`);
      refuses(/is a symbolic link/, `${directory}/link.yaml`);
      refuses(/is not a file/, directory);
      Deno.mkdirSync(`${directory}/d`);
      refuses(/is not a directory|it is not there/, `${path}/below`);

      write("mode: enforce\nactions: [kill, everything]\n");
      refuses(/line 2: it must be one of stop, .*; mend that line/);
      write(new Uint8Array([0xff, 0xfe, 0]));
      refuses(/it is not UTF-8/);
      write(crypto.getRandomValues(new Uint8Array(4_096)));
      refuses(/is refused/);
      write("#".repeat(MAX_POLICY_BYTES + 1));
      refuses(/longer than 65536 bytes; shorten it/);
      write("");
      refuses(/is refused/);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
});

Deno.test("the policy of docs/response.md is one, and its table of capabilities holds", async () => {
  const page = await Deno.readTextFile(new URL("../../../docs/response.md", import.meta.url));
  const policy = parsePolicy(/```yaml\n([^]*?)```/.exec(page)![1]!);
  assert.deepEqual([policy.mode, policy.actions.length, policy.protectedNames[1]], ["dry-run", 4, "systemd*"]);
  const { perMinute, perRulePerMinute, maxProcesses, trace, evidence, maxOutputBytes } = policy;
  const shown = { perMinute, perRulePerMinute, maxProcesses, trace, evidence, maxOutputBytes };
  assert.deepEqual(
    { ...parsePolicy("mode: dry-run"), ...shown },
    parsePolicy("mode: dry-run"),
    "it shows the defaults",
  );
  assert.deepEqual(capabilitiesOf(policy), ["sys_ptrace"]);
});
