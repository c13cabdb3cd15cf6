/** The policy of responses: what it takes, what it refuses and where, what a helper needs under it. */
import assert from "node:assert/strict";
import {
  capabilitiesOf,
  isNamed,
  MAX_POLICY_BYTES,
  parsePolicy,
  PolicyError,
  policyWords,
} from "../../../proto/response/policy.ts";

const EVERYTHING = `
mode: enforce
actions: [stop, resume, kill, trace, evidence]
limits: { per_minute: 20, per_rule_per_minute: 2, max_processes: 8 }
protect:
  names: [sshd, "postgres*"]
  paths: [/usr/lib/systemd/*]
  users: [0, 33]
trace: { max_seconds: 30, interval_ms: 100, max_bytes: 1000000 }
evidence: { max_executable_bytes: 0, environment: no }
max_output_bytes: 2000000000
rules: { ids: [crypto-miner, "reverse-*"], actions: [stop, evidence], mode: enforce, per_minute: 3 }
`;

Deno.test("parsePolicy() takes all that there is, and the narrowest of what is not said", () => {
  assert.deepEqual(parsePolicy(EVERYTHING), {
    mode: "enforce",
    actions: ["stop", "resume", "kill", "trace", "evidence"],
    ...{ perMinute: 20, perRulePerMinute: 2, maxProcesses: 8 },
    protectedNames: ["sshd", "postgres*"],
    protectedPaths: ["/usr/lib/systemd/*"],
    protectedUsers: [0, 33],
    trace: { maxSeconds: 30, intervalMs: 100, maxBytes: 1_000_000 },
    evidence: { maxExecutableBytes: 0, environment: false },
    maxOutputBytes: 2_000_000_000,
    rules: { ids: ["crypto-miner", "reverse-*"], actions: ["stop", "evidence"], mode: "enforce", perMinute: 3 },
  });
  const least = parsePolicy("mode: dry-run\n");
  assert.deepEqual([least.mode, least.actions, least.perMinute, least.maxProcesses], ["dry-run", [], 10, 16]);
  assert.equal(parsePolicy("limits:\nprotect:\nactions:\n").mode, "dry-run");
  assert.equal(parsePolicy(`{"actions": ["kill"]}`).actions[0], "kill");
  assert.deepEqual(least.rules, { ids: [], actions: [], mode: "dry-run", perMinute: 5 });
  assert.equal(policyWords(least), "the policy allows no action");
  assert.match(
    policyWords(parsePolicy(EVERYTHING)),
    /; stop, evidence where the rule crypto-miner, reverse-\* asks by itself$/,
  );
  const dry = parsePolicy("mode: enforce\nactions: [kill]\nrules: { ids: [a], actions: [kill] }");
  assert.match(policyWords(dry), /; kill where the rule a asks by itself \(dry run\)$/);
});

Deno.test("parsePolicy() refuses the rest and says in which line", () => {
  const refuses = (text: string, reason: RegExp): void =>
    assert.throws(() => parsePolicy(text), (error: Error) => {
      assert.ok(error instanceof PolicyError, error.stack);
      assert.match(error.message, reason);
      return true;
    });
  refuses("mode: sometimes", /^line 1: it must be one of dry-run, enforce$/);
  refuses("actions: [kill]\nactions: [stop]", /^line 2: .*[Dd]uplicate/);
  refuses("actions:\n  - kill\n  - hug\n", /^line 3: it must be one of stop, resume, kill, trace, evidence$/);
  refuses("actions: kill", /^line 1: it must be a list$/);
  refuses("enforce: yes", /^line 1: there is no key "enforce" here, only mode, actions/);
  refuses("limits: { per_minute: 0 }", /^line 1: it must be a whole number from 1 to 600$/);
  refuses("limits: { per_minute: 1.5 }", /whole number/);
  refuses("limits: { max_processes: 100000 }", /whole number from 1 to 256/);
  refuses("limits: 5", /^line 1: it must have keys, of per_minute/);
  refuses(
    "actions: [stop]\nrules: { actions: [kill] }",
    /^line 2: actions does not allow kill, so no rule may ask for it$/,
  );
  refuses("actions: [resume]\nrules: { actions: [resume] }", /^line 2: it must be one of stop, kill, trace, evidence$/);
  refuses("rules: [a]", /^line 1: it must have keys, of ids, actions, mode, per_minute$/);
  refuses("rules: { mode: always }", /one of dry-run, enforce$/);
  refuses("protect: { paths: [sshd] }", /absolute path/);
  refuses("protect: { users: [root] }", /whole number/);
  refuses("protect: { names: [''] }", /text of 1 to 256/);
  refuses(`protect: { names: [${"a,".repeat(300)}] }`, /at most 256 entries/);
  refuses("&a mode: enforce", /Anchors/);
  refuses("mode: !!js/function enforce", /Tags/);
  refuses("", /One YAML document is expected|keys/);
  refuses("[1, 2]", /^line 1: it must have keys/);
  refuses("mode: enforce\n---\nmode: enforce", /One YAML document/);
  refuses("mode: [enforce", /^line /);
  refuses("\0\x01\x02", /./);
  refuses("#".repeat(MAX_POLICY_BYTES + 1), /longer than 65536/);
});

Deno.test("capabilitiesOf() gives what the policy takes and nothing else, a dry run next to nothing", () => {
  const of = (text: string): string => capabilitiesOf(parsePolicy(text)).join();
  assert.equal(of("mode: enforce"), "");
  assert.equal(of("mode: enforce\nactions: [kill]"), "kill");
  assert.equal(of("mode: enforce\nactions: [kill]\nprotect: { names: [a], users: [0] }"), "kill");
  assert.equal(of("mode: enforce\nactions: [resume]\nprotect: { paths: [/a] }"), "kill,sys_ptrace");
  assert.equal(of("mode: enforce\nactions: [evidence]"), "sys_ptrace,dac_read_search");
  assert.equal(of("mode: enforce\nactions: [trace, stop]"), "kill,sys_ptrace,dac_read_search");
  assert.equal(of("actions: [stop, kill, trace, evidence]"), "");
  assert.equal(of("actions: [kill]\nprotect: { paths: [/a] }"), "sys_ptrace");
  assert.equal(of("protect: { paths: [/a] }"), "");
});

Deno.test("isNamed() has a star stand for any text, and ends on hostile patterns", () => {
  const is = (pattern: string, text: string): boolean => isNamed([pattern], text);
  assert.ok(is("sshd", "sshd") && !is("sshd", "sshd2") && !is("sshd", "ssh"));
  assert.ok(is("/usr/*", "/usr/bin/a") && !is("/usr/*", "/usrbin"));
  assert.ok(is("*d", "sshd") && is("*", "") && is("a*b*c", "aXbYc") && is("a**c", "abc"));
  assert.ok(!is("a*a", "a") && !is("ab*ba", "aba") && !is("a*b*c", "acb") && !is("a*x*a", "aa"));
  assert.ok(!is("*a".repeat(100) + "b", "a".repeat(10_000)));
  assert.ok(!isNamed([], "sshd") && isNamed(["a", "b"], "b"));
});
