/**
 * Circumstances of real processes, as the rungs that read `/proc` tell them: in the record of their exec, in the table,
 * and to who looks.
 *
 * @module
 */
import assert from "node:assert/strict";
import { openNetlinkSource } from "../../../collector/sources/netlink.ts";
import { openProcSource } from "../../../collector/sources/proc.ts";
import type { ExecRecord, ProcessSource, RawContext, SourceRecord } from "../../../collector/sources/source.ts";
import { CATALOG } from "../../../proto/catalog.ts";
import { needs } from "../../support/needs.ts";
import { argumentsOf, gather } from "../../support/processes.ts";
import { PATIENCE_MS } from "../../support/patience.ts";

const CAPTURED = ["PROOF", "LD_*"];
const RUNGS: Readonly<Record<string, () => ProcessSource>> = {
  netlink: () => openNetlinkSource({ environment: CAPTURED }),
  proc: () => openProcSource({ intervalMs: 20, environment: CAPTURED }),
};

interface Seen {
  readonly exec: ExecRecord;
  /** Of the table; that of the record is the same but for streams that the program's loader used. */
  readonly context: RawContext;
}

let marks = 0;

/**
 * What a source tells of a `sleep` that a program becomes or starts. `args` names it: the arguments of `command` up to
 * those of `sleep`.
 */
async function observe(source: ProcessSource, command: string, args: string[], stdin: "null" | "piped"): Promise<Seen> {
  const mark = `0.${Deno.pid}${++marks}`;
  await source.snapshot();
  const child = new Deno.Command(command, {
    args: [...args, "sleep", "60", mark],
    stdin,
    stdout: "null",
    env: { PROOF: "a b", LD_NOTHING: "", UNWANTED: "x" },
  }).spawn();
  let pid = child.pid;
  try {
    const isIt = (record: SourceRecord): record is ExecRecord =>
      record.kind === "exec" && record.name === "sleep" && argumentsOf(record)?.at(-1) === mark;
    const exec = (await gather(source, (records) => records.some(isIt))).findLast(isIt)!;
    pid = exec.pid;
    // A loader takes whatever descriptor is free for the libraries that it opens.
    const end = performance.now() + PATIENCE_MS;
    while (source.look(pid)!.status !== "sleeping" && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const context = (await source.snapshot()).find((entry) => entry.pid === pid)!.context!;
    const { stdinKind, stdoutKind, environment, environmentCut } = context;
    assert.deepEqual(context, { ...exec.context, stdinKind, stdoutKind }, "the table shows the same");
    const looked = source.look(pid)!;
    assert.equal(looked.namespacePid, exec.namespacePid);
    assert.deepEqual({ ...looked.context, environment, environmentCut }, context);
    assert.equal(looked.context!.environment, null, "what could hold the thread up is left out");
    return { exec, context };
  } finally {
    Deno.kill(pid, "SIGKILL");
    if (child.pid !== pid) {
      try {
        child.kill("SIGKILL");
      } catch { /* it ended with its child */ }
    }
    if (stdin === "piped") await child.stdin.close();
    await child.status;
  }
}

const link = (name: string): string => Deno.readLinkSync(`/proc/self/${name}`);
const inode = (name: string): number => Number(/\d+/.exec(link(`ns/${name}`))![0]);
const text = (name: string): string => Deno.readTextFileSync(`/proc/self/${name}`);

for (const [rung, open] of Object.entries(RUNGS)) {
  const test = (
    name: string,
    wanted: Parameters<typeof needs>[0],
    fn: (source: ProcessSource) => Promise<void>,
  ): void =>
    Deno.test({
      name: `${rung}: ${name}`,
      sanitizeOps: false, // other processes of this host may be asked when the source is closed
      ...needs({ ...wanted, netlink: rung === "netlink", programs: ["sleep", ...wanted.programs ?? []] }),
      async fn() {
        const source = open();
        try {
          await fn(source);
        } finally {
          source.close();
        }
      },
    });
  /** Python that sets something up and becomes the arguments after it. */
  const python = (script: string): string[] => [
    "-c",
    `import os, sys, socket, pty, resource\n${script}\nos.execvp(sys.argv[1], sys.argv[1:])`,
  ];

  test("a plain process has the circumstances of its parent", {}, async (source) => {
    const { exec, context } = await observe(source, "env", [], "piped");
    const capabilities = BigInt(`0x${/^CapEff:\t(.*)$/m.exec(text("status"))![1]}`);
    const audit = (id: string): number | null => Number(id) === 0xffff_ffff ? null : Number(id);
    assert.deepEqual(
      context,
      {
        cwd: Deno.cwd(),
        savedUserId: Deno.uid(),
        effectiveGroupId: Deno.gid(),
        savedGroupId: Deno.gid(),
        loginUserId: audit(text("loginuid")),
        sessionId: audit(text("sessionid")),
        tty: context.tty, // of whoever runs the tests: see below
        effectiveCapabilities: Number(capabilities),
        userNamespace: inode("user"),
        pidNamespace: inode("pid"),
        mountNamespace: inode("mnt"),
        networkNamespace: inode("net"),
        cgroupPath: context.cgroupPath,
        cgroupId: null,
        interpreterPath: null,
        scriptPath: null,
        stdinKind: context.stdinKind,
        stdoutKind: "null",
        environment: ["LD_NOTHING=", "PROOF=a b"].sort((a, b) =>
          context.environment!.indexOf(a) - context.environment!.indexOf(b)
        ),
        environmentCut: false,
      } satisfies RawContext,
    );
    assert.deepEqual(exec.context, context);
    assert.ok(context.stdinKind === "pipe" || context.stdinKind === "socket", `${context.stdinKind}`);
    assert.ok(text("cgroup").includes(`:${context.cgroupPath}\n`));
    assert.equal(exec.namespacePid, exec.pid);
  });

  test("streams are told by what they are", { programs: ["python3"] }, async (source) => {
    const kinds: [string, string, string][] = [
      ["os.close(0); os.close(1)", "none", "none"],
      ["a, b = socket.socketpair(); os.dup2(a.fileno(), 0); os.dup2(os.open('/', 0), 1)", "socket", "directory"],
      ["os.dup2(os.open('/etc/passwd', 0), 0); os.dup2(os.open('/dev/zero', 1), 1)", "file", "device"],
      ["a, b = os.pipe(); os.dup2(a, 0); os.dup2(os.eventfd(0), 1)", "pipe", "anonymous"],
    ];
    for (const [script, stdin, stdout] of kinds) {
      const { context } = await observe(source, "python3", python(script), "null");
      assert.deepEqual([context.stdinKind, context.stdoutKind], [stdin, stdout], script);
    }
  });

  test("a terminal has its name", { programs: ["python3"] }, async (source) => {
    const script = "pid, fd = pty.fork()\nif pid: os.wait(); sys.exit()";
    const { context } = await observe(source, "python3", python(script), "null");
    assert.match(context.tty!, /^pts\/\d+$/);
    assert.deepEqual([context.stdinKind, context.stdoutKind], ["tty", "tty"]);
  });

  test("a process that left the terminal and its directory", { programs: ["python3"] }, async (source) => {
    const { context } = await observe(source, "python3", python("os.setsid(); os.chdir('/')"), "null");
    assert.deepEqual([context.tty, context.cwd, context.stdinKind], [null, "/", "null"]);
  });

  test("other ids and no capabilities", { root: true, programs: ["python3"] }, async (source) => {
    const script = "os.setgroups([]); os.setresgid(41, 42, 43); os.setresuid(31, 32, 33)";
    const { exec, context } = await observe(source, "python3", python(script), "null");
    assert.deepEqual([exec.userId, exec.effectiveUserId, exec.groupId], [31, 32, 41]);
    // An execve makes the saved ones the effective ones.
    assert.deepEqual([context.savedUserId, context.effectiveGroupId, context.savedGroupId], [32, 42, 42]);
    assert.equal(context.effectiveCapabilities, 0);
  });

  test("namespaces of its own", { mount: true, programs: ["unshare"] }, async (source) => {
    const { exec, context } = await observe(source, "unshare", ["--mount", "--net", "--pid", "--fork"], "null");
    assert.equal(exec.namespacePid, 1);
    assert.notEqual(context.mountNamespace, inode("mnt"));
    assert.notEqual(context.networkNamespace, inode("net"));
    assert.notEqual(context.pidNamespace, inode("pid"));
    assert.equal(context.userNamespace, inode("user"));
  });

  test("a file that is called /dev/null is a file", { mount: true, programs: ["unshare", "mount"] }, async (source) => {
    const file = await Deno.makeTempFile();
    try {
      const script = `mount --bind ${file} /dev/null; exec "$@" < /dev/null`;
      const { context } = await observe(source, "unshare", ["--mount", "sh", "-c", script, "sh"], "null");
      assert.equal(context.stdinKind, "file");
    } finally {
      await Deno.remove(file);
    }
  });

  test("more environment than is read is said to be cut", { programs: ["python3"] }, async (source) => {
    const script = "os.environ['ZZZ'] = 'z' * 40000";
    const { context } = await observe(source, "python3", python(script), "null");
    assert.equal(context.environmentCut, true);
    assert.ok(context.environment!.includes("PROOF=a b"));
  });

  Deno.test({
    name: `${rung}: what it can never tell are columns of events`,
    ...needs({ netlink: rung === "netlink" }),
    fn() {
      const source = open();
      source.close();
      const columns = new Set(CATALOG.get("process_events")!.columns.map(({ name }) => name));
      for (const name of source.description.unknownColumns) assert.ok(columns.has(name), name);
      assert.ok(source.description.misses.every((miss) => miss.length > 20));
    },
  });
}
