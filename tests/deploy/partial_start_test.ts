/**
 * Starts with less than the collector may ask for: each capability missing, as containers have it, and namespaces. It is
 * to take the best rung that works, say what it misses, and be able to do nothing that it does not say.
 */
import assert from "node:assert/strict";
import { COLLECTOR_CAPABILITIES, REEXEC_CAPABILITIES } from "../../deploy/tier_command.ts";
import { needs } from "../support/needs.ts";

const START = new URL("../../deploy/start.ts", import.meta.url).pathname;
/** What the supervisor needs besides, to make the state directory and to start others. */
const SUPERVISOR = ["chown", "fowner", "fsetid", "dac_override", "kill"];
const NEEDS = { root: true, bpf: true, setpriv: true, programs: ["setpriv", "unshare"] } as const;

interface Selftest {
  readonly code: number;
  readonly text: string;
  readonly source: string | null;
}

async function selftest(prefix: readonly string[], ...settings: string[]): Promise<Selftest> {
  const state = await Deno.makeTempDir({ prefix: "daemoneye-partial-" });
  await Deno.chmod(state, 0o755);
  try {
    const [program, ...args] = [
      ...prefix,
      Deno.execPath(),
      "run",
      "-A",
      "-q",
      START,
      "--only",
      "collector",
      "selftest",
    ];
    const { code, stdout, stderr } = await new Deno.Command(program!, {
      args: [...args, "--state", `${state}/s`, ...settings.flatMap((setting) => ["--set", setting])],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder(), text = decoder.decode(stdout) + decoder.decode(stderr);
    return { code, text, source: /^ {2}the source is (\w+):/m.exec(text)?.[1] ?? null };
  } finally {
    await Deno.remove(state, { recursive: true });
  }
}

/** A root that has all that is ever asked for but these. */
function without(...missing: readonly string[]): string[] {
  const kept = [...REEXEC_CAPABILITIES, ...SUPERVISOR].filter((capability) => !missing.includes(capability));
  return ["setpriv", `--bounding-set=-all,${kept.map((capability) => `+${capability}`).join(",")}`, "--"];
}

/** What comes of one that is missing alone; of those that are not here, nothing: another one does its work. */
const MISSED: Readonly<Record<string, RegExp>> = {
  audit_read: /^ {2}ok {3}refused system calls are not counted: .*EPERM.*CAP_AUDIT_READ/m,
  setuid: /^start: Started as root, which may not become user \d+ .*allow it SETUID/m,
  setgid: /^start: Started as root, which may not become user \d+ .*allow it SETUID, SETGID/m,
  dac_read_search: /^ {2}ok {3}read a file of root's, to hash it: refused$/m,
};

for (const capability of COLLECTOR_CAPABILITIES) {
  Deno.test({
    name: `root without CAP_${capability.toUpperCase()} gets the best there is, or a word on what to allow`,
    ...needs(NEEDS),
    async fn() {
      const { code, text, source } = await selftest(without(capability), "collector.confinement=in-process");
      const said = MISSED[capability];
      if (said !== undefined) assert.match(text, said);
      assert.doesNotMatch(text, /FAIL/);
      if (capability === "setuid" || capability === "setgid") return assert.equal(code, 1, text);
      assert.equal(code, 0, text);
      assert.equal(source, "ebpf", "one capability alone is covered by another one");
    },
  });
}

const BPF = ["bpf", "perfmon", "sys_admin"];
/** Worse roots: what is missing, the rungs that may be got then, and what is said. */
const WORLDS: readonly { name: string; missing: string[]; rungs: string[]; said: RegExp[] }[] = [
  {
    name: "no way to load programs",
    missing: ["bpf", "sys_admin"],
    rungs: ["netlink"],
    said: [/^ {2}no ebpf: this user may not use bpf.*CAP_BPF and CAP_PERFMON/m],
  },
  {
    name: "no way to look into the kernel",
    missing: ["perfmon", "sys_admin"],
    rungs: ["netlink"],
    said: [/^ {2}no ebpf: /m, /^ {2}no tracepoint: /m],
  },
  {
    // From Linux 6.6 on everybody may listen to the process connector.
    name: "neither, and no say over the network",
    missing: [...BPF, "net_admin"],
    rungs: ["netlink", "proc"],
    said: [/other users' processes are unknown/],
  },
  {
    name: "what a container has by default",
    missing: [...BPF, "net_admin", "sys_ptrace", "dac_read_search", "sys_resource", "audit_read"],
    rungs: ["netlink", "proc"],
    said: [/refused system calls are not counted: /, /read a file of root's, to hash it: refused$/m],
  },
];

for (const confinement of ["in-process", "re-exec"]) {
  for (const { name, missing, rungs, said } of WORLDS) {
    Deno.test({
      name: `a root with ${name} gets another rung and hears of the rest, confined ${confinement}`,
      ...needs({ ...NEEDS, landlock: confinement === "re-exec" }),
      async fn() {
        const { code, text, source } = await selftest(without(...missing), `collector.confinement=${confinement}`);
        assert.equal(code, 0, text);
        assert.doesNotMatch(text, /FAIL/);
        assert.ok(rungs.includes(source ?? ""), `${source}\n${text}`);
        for (const words of said) assert.match(text, words);
      },
    });
  }
}

Deno.test({
  name: "a root that cannot empty its bounding set is confined in place, and told what executing anew takes",
  ...needs(NEEDS),
  async fn() {
    const place = await selftest(without("setpcap"), "collector.confinement=in-process");
    assert.deepEqual([place.code, place.source], [0, "ebpf"], place.text);
    const anew = await selftest(without("setpcap"), "collector.confinement=re-exec");
    assert.equal(anew.code, 1);
    assert.match(anew.text, /bounding set cannot be dropped without CAP_SETPCAP; start the collector with it, or set /);
  },
});

Deno.test({
  name: "in a pid namespace of its own the collector polls what it is shown, and says that it is not the host",
  ...needs({ ...NEEDS, containers: true }),
  async fn() {
    for (const more of [[], ["--net"]]) {
      const { code, text, source } = await selftest(["unshare", "--pid", ...more, "--fork", "--mount-proc", "--"]);
      assert.equal(code, 0, text);
      assert.equal(source, "proc");
      assert.match(text, /^ {2}no ebpf: the collector runs in a pid namespace of its own, .*--pid=host/m);
      if (more.length > 0 && !needs({ audit: true }).ignore) {
        assert.match(text, /this is not the host's network namespace/);
      }
    }
  },
});

/** Runs what follows as root of a user namespace of 70,000 users, in pid and mount namespaces of its own. */
const IN_USER_NAMESPACE = `
  unshare --user /bin/sh -c 'until [ -n "$(cat /proc/self/gid_map)" ]; do sleep 0.05; done
    exec unshare --pid --mount --fork --kill-child --mount-proc -- "$@"' sh "$@" &
  pid=$!
  until [ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
  echo "0 0 70000" > /proc/$pid/uid_map && echo "0 0 70000" > /proc/$pid/gid_map || kill $pid
  wait $pid`;

Deno.test({
  name: "root of a user namespace is confined like root, and of one with a single user refused with the mend",
  ...needs({ ...NEEDS, containers: true }),
  async fn() {
    const many = await selftest(["/bin/sh", "-c", IN_USER_NAMESPACE, "sh"]);
    assert.deepEqual([many.code, many.source], [0, "proc"], many.text);
    assert.doesNotMatch(many.text, /FAIL/);
    const one = await selftest(["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--"]);
    assert.equal(one.code, 1);
    assert.match(one.text, /which may not become user .* map these numbers; or start as an ordinary user/);
  },
});
