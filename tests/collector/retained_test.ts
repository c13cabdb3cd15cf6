import assert from "node:assert/strict";
import { loadSettings, type Settings } from "../../proto/config.ts";
import { retain, SYS_PTRACE, wantsPtrace } from "../../collector/retained.ts";
import { needs } from "../support/needs.ts";

function settings(path: string, text: string): Settings {
  return loadSettings({ flags: { config: path }, env: {}, readFile: (file) => file === path ? text : null });
}
const YES = "collector:\n  keep_ptrace: yes\n  confinement: re-exec\n";

Deno.test("loadSettings() lets neither flag nor environment keep a capability, and lets both keep none", () => {
  const load = (flags: object, env: Record<string, string>) => loadSettings({ flags, env, readFile: () => null });
  assert.equal(load({}, {}).collector.keepsPtrace, false);
  assert.throws(() => load({ set: ["collector.keep_ptrace=yes"] }, {}), /^ConfigError: flag --set .* root owns/);
  assert.throws(() => load({}, { DAEMONEYE_COLLECTOR__KEEP_PTRACE: "yes" }), /^ConfigError: environment DAEMONEYE_/);
  assert.equal(load({ set: ["collector.keep_ptrace=no"] }, {}).collector.keepsPtrace, false);
});

Deno.test({
  name: "wantsPtrace() believes root's own file only, and only for another execution",
  ...needs({ root: true }),
  fn() {
    const directory = Deno.makeTempDirSync(), path = `${directory}/config.yaml`;
    try {
      Deno.writeTextFileSync(path, YES);
      assert.equal(wantsPtrace(settings(path, YES)), true);
      assert.equal(wantsPtrace(settings(path, "collector:\n  keep_ptrace: no\n")), false);
      assert.throws(
        () => wantsPtrace(settings(path, "collector:\n  keep_ptrace: yes\n")),
        /ConfigError: .* takes .*re-exec/,
      );
      Deno.chmodSync(path, 0o666);
      assert.throws(() => wantsPtrace(settings(path, YES)), /ConfigError: .* can be written by others; write it in /);
      Deno.chmodSync(path, 0o644);
      Deno.chownSync(path, 65534, 65534);
      assert.throws(() => wantsPtrace(settings(path, YES)), /ConfigError: .* belongs to user 65534/);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
});

Deno.test("retain() keeps the one capability where it helps, and says so where it does not", () => {
  for (const source of ["tracepoint", "netlink", "proc"] as const) {
    assert.equal(retain(true, true, source).kept.capabilities, SYS_PTRACE);
    assert.equal(retain(false, false, source).kept.capabilities, 0n);
    const absent = retain(true, false, source);
    assert.deepEqual([absent.kept.capabilities, absent.notice], [
      0n,
      "collector.keep_ptrace keeps nothing: the start was without CAP_SYS_PTRACE",
    ]);
  }
  for (const source of ["ebpf", "ps"] as const) {
    const { kept, notice } = retain(true, true, source);
    assert.equal(kept.capabilities, 0n);
    assert.match(notice, new RegExp(`keeps nothing: source ${source} has no need of it`));
  }
  assert.equal(retain(false, false, "proc").notice, "");
});
