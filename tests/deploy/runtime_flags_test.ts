import assert from "node:assert/strict";
import { tierGrants, type TierPaths, TIERS } from "../../deploy/privileges.ts";
import { grantFlags } from "../../deploy/runtime_flags.ts";
import { stateLayout } from "../../proto/state_layout.ts";

const paths: TierPaths = {
  layout: stateLayout("/s"),
  rulesDirs: ["/shipped/rules", "/s/rules"],
  configFiles: ["/s/config.yaml"],
  alertHosts: ["sink.example:8443"],
  libc: "/lib/x86_64-linux-gnu/libc.so.6",
};

Deno.test("grantFlags() never grants a kind as a whole and always closes prompts and imports", () => {
  for (const tier of TIERS) {
    const flags = grantFlags(tierGrants(tier, paths));
    assert.deepEqual(flags.slice(0, 2), ["--no-prompt", "--no-remote"]);
    assert.ok(flags.includes("--allow-import=none.invalid:443"));
    for (const flag of flags.slice(2)) assert.match(flag, /^--allow-[a-z]+=[^=]+$/);
  }
  assert.deepEqual(grantFlags(tierGrants("cli", paths)), [
    "--no-prompt",
    "--no-remote",
    "--allow-read=/s/agent,/s/collector/status.pb,/s/collector/ledger,/shipped/rules,/s/rules,/s/config.yaml",
    "--allow-import=none.invalid:443",
  ]);
});
