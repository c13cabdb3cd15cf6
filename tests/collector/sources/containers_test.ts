/** Processes in real control groups and namespaces, as the runtimes make them, seen by the best rung. */
import assert from "node:assert/strict";
import { splitArgv } from "../../../proto/argv.ts";
import type { ProcessEvent, ProcessState } from "../../../proto/process_event.ts";
import { containerOf } from "../../../collector/containers.ts";
import { bootTimeNs } from "../../../collector/kernel/libc.ts";
import { readBootId } from "../../../collector/kernel/procfs.ts";
import { Lifecycle } from "../../../collector/lifecycle.ts";
import { openBestSource } from "../../../collector/sources/ladder.ts";
import type { ProcessSource } from "../../../collector/sources/source.ts";
import { ControlGroups, type Namespaces } from "../../support/control_groups.ts";
import { needs } from "../../support/needs.ts";
import { PATIENCE_MS } from "../../support/patience.ts";

const UID = "0b9f1c2d-3e4f-4a5b-8c7d-9e0f1a2b3c4d";
const SLICE = `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID.replaceAll("-", "_")}.slice`;

function newId(): string {
  return (crypto.randomUUID() + crypto.randomUUID()).replaceAll("-", "");
}

interface Case {
  readonly runtime: string;
  readonly path: (id: string) => string;
  readonly podId?: string;
  readonly namespaces: Namespaces;
}

const WITHOUT_USER: Namespaces = ["--mount", "--pid", "--net"];
const ROOTLESS: Namespaces = ["--user", ...WITHOUT_USER];

const CASES: readonly Case[] = [
  { runtime: "docker", path: (id) => `/system.slice/docker-${id}.scope`, namespaces: WITHOUT_USER },
  { runtime: "docker", path: (id) => `/docker/${id}`, namespaces: WITHOUT_USER },
  { runtime: "containerd", path: (id) => `${SLICE}/cri-containerd-${id}.scope`, podId: UID, namespaces: WITHOUT_USER },
  { runtime: "cri-o", path: (id) => `${SLICE}/crio-${id}.scope`, podId: UID, namespaces: WITHOUT_USER },
  { runtime: "unknown", path: (id) => `/kubepods/besteffort/pod${UID}/${id}`, podId: UID, namespaces: WITHOUT_USER },
  {
    runtime: "podman",
    path: (id) => `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`,
    namespaces: ROOTLESS,
  },
  { runtime: "lxc", path: (id) => `/lxc.payload.${id}`, namespaces: ROOTLESS },
  { runtime: "nspawn", path: (id) => `/machine.slice/machine-${id}.scope/payload`, namespaces: WITHOUT_USER },
];

/** What a source shows of the processes whose arguments hold `tag`. */
class Watch {
  readonly lifecycle: Lifecycle;
  readonly #events: ProcessEvent[] = [];

  constructor(readonly source: ProcessSource) {
    this.lifecycle = new Lifecycle({ bootId: readBootId(), source });
  }

  async start(tag: string): Promise<ProcessEvent> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.#events.find((e) =>
        e.kind === "start" && e.name === "sh" && e.argv !== null && splitArgv(e.argv).at(-1) === tag &&
        !splitArgv(e.argv).includes("unshare")
      );
      if (found !== undefined) return found;
      assert.ok(performance.now() < end, `the start of ${tag} does not come`);
      await this.source.wait(50);
      this.source.drain((record) => this.lifecycle.receive(record));
      this.#events.push(...this.lifecycle.flush(Date.now()).events);
    }
  }

  async state(pid: number): Promise<ProcessState> {
    const takenAt = bootTimeNs();
    const entries = await this.source.snapshot();
    this.source.drain((record) => this.lifecycle.receive(record));
    return this.lifecycle.reconcile(entries, takenAt).find((state) => state.pid === pid)!;
  }
}

function namespaceOf(pid: number, kind: string): number {
  return Number(/\[(\d+)\]/.exec(Deno.readLinkSync(`/proc/${pid}/ns/${kind}`))![1]);
}

function openEbpf(): ProcessSource {
  return openBestSource({ choice: "ebpf", ringBytes: 1 << 20, pollIntervalMs: 100, environment: [] }).source;
}

const kernel = needs({ root: true, bpf: true, containers: true });
/** On a busy host a pass over the process table may be late; it then ends by itself, perhaps after the test. */
const sanitizeOps = false;

Deno.test({
  name: "a process in a container is attributed to it, in its start and in the table",
  ignore: kernel.ignore,
  sanitizeOps,
  async fn(t) {
    await using groups = await ControlGroups.make();
    const source = openEbpf();
    try {
      const watch = new Watch(source);
      watch.lifecycle.baseline(await source.snapshot());
      for (const { runtime, path, podId, namespaces } of CASES) {
        const id = newId(), group = path(id);
        await t.step(`${runtime}: ${path("ID")}`, async () => {
          await groups.add(group);
          const tag = `tag-${id}`;
          const child = groups.start(group, namespaces, tag);
          try {
            const start = await watch.start(tag), context = start.context!;
            assert.ok(context.cgroupPath!.endsWith(`/${groups.root}${group}`), context.cgroupPath!);
            const expected = { containerId: id, containerRuntime: runtime, podId: podId ?? null };
            const attribution = ({ containerId, containerRuntime, podId }: typeof context): typeof expected => (
              { containerId: containerId!, containerRuntime: containerRuntime!, podId }
            );
            assert.deepEqual(attribution(context), expected);
            assert.equal(start.namespacePid, 1);
            assert.equal(start.executableKind, "foreign");
            for (
              const [kind, found] of [
                ["pid", context.pidNamespace],
                ["mnt", context.mountNamespace],
                ["net", context.networkNamespace],
                ["user", context.userNamespace],
              ] as const
            ) {
              assert.equal(found, namespaceOf(start.pid, kind), kind);
              const isOwn = kind !== "user" || namespaces.includes("--user");
              assert.equal(found !== namespaceOf(Deno.pid, kind), isOwn, kind);
            }
            const state = await watch.state(start.pid);
            assert.deepEqual(attribution(state.context!), expected);
            assert.deepEqual([state.namespacePid, state.executableKind], [1, "foreign"]);
            assert.equal(state.context!.pidNamespace, context.pidNamespace);
          } finally {
            await child.stdin.close();
            await child.status;
          }
        });
      }
    } finally {
      source.close();
    }
  },
});

Deno.test({
  name: "a group that is only named like a container's is told by the namespaces",
  ignore: kernel.ignore,
  sanitizeOps,
  async fn() {
    await using groups = await ControlGroups.make();
    const source = openEbpf();
    try {
      const watch = new Watch(source);
      const own = watch.lifecycle.baseline(await source.snapshot()).find(({ pid }) => pid === Deno.pid)!;
      const id = newId(), group = `/user.slice/docker-${id}.scope`, tag = `tag-${id}`;
      await groups.add(group);
      const child = groups.start(group, [], tag);
      try {
        const start = await watch.start(tag);
        assert.equal(start.context!.containerId, id);
        assert.equal(start.context!.mountNamespace, namespaceOf(Deno.pid, "mnt"));
        assert.equal(start.context!.pidNamespace, namespaceOf(Deno.pid, "pid"));
        assert.deepEqual([start.executableKind, start.namespacePid], [own.executableKind, start.pid]);
      } finally {
        await child.stdin.close();
        await child.status;
      }
    } finally {
      source.close();
    }
  },
});

Deno.test("the paths that these tests make are the runtimes'", () => {
  for (const { runtime, path, podId } of CASES) {
    const id = newId();
    assert.deepEqual(containerOf(path(id)), { id, runtime, podId: podId ?? null });
  }
});
