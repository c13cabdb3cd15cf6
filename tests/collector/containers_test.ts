// Paths as the runtimes' own documentation and sources make them; `ID` and the like stand for what differs.
import assert from "node:assert/strict";
import fc from "fast-check";
import { containerOf } from "../../collector/containers.ts";
import { Lifecycle } from "../../collector/lifecycle.ts";
import { type ExecRecord, NOTHING_KNOWN, type RawContext, type TableEntry } from "../../collector/sources/source.ts";

const ID = "3f4b1c8e0a5d7f2961b0c4e8d3a7f5b2961c0e4d8a3f7b5c2e1d0a9f8b7c6d5e";
const OTHER = "a".repeat(64);
const UID = "0b9f1c2d-3e4f-4a5b-8c7d-9e0f1a2b3c4d", SLICED_UID = UID.replaceAll("-", "_");
const STATIC = "5f2c0d1e3b4a69788796a5b4c3d2e1f0";
const PODS = "/kubepods.slice/kubepods-burstable.slice";
const POD = `${PODS}/kubepods-burstable-pod${SLICED_UID}.slice`;
const USER = "/user.slice/user-1000.slice/user@1000.service";

/** Path, runtime, id, pod. */
const CONTAINERS: readonly (readonly [string, string, string, string | null])[] = [
  // Docker: cgroupfs driver (v1), systemd driver (v2), rootless, Docker Desktop's init inside
  [`/docker/${ID}`, "docker", ID, null],
  [`/system.slice/docker-${ID}.scope`, "docker", ID, null],
  [`/system.slice/docker-${ID}.scope/init.scope`, "docker", ID, null],
  [`/system.slice/docker-${ID}.scope/system.slice/nginx.service`, "docker", ID, null],
  [`${USER}/user.slice/docker-${ID}.scope`, "docker", ID, null],
  [`/my.slice/docker-${ID}.scope`, "docker", ID, null],
  [`/../docker-${ID}.scope`, "docker", ID, null],
  // Docker in Docker, Kubernetes in Docker (kind): the innermost
  [`/docker/${OTHER}/docker/${ID}`, "docker", ID, null],
  [`/system.slice/docker-${OTHER}.scope/docker/${ID}`, "docker", ID, null],
  [`/docker/${OTHER}/kubelet/kubepods/burstable/pod${UID}/${ID}`, "unknown", ID, UID],
  [
    `/system.slice/docker-${OTHER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/` +
    `kubelet-kubepods-besteffort-pod${SLICED_UID}.slice/cri-containerd-${ID}.scope`,
    "containerd",
    ID,
    UID,
  ],
  [`/lxc.payload.build/docker/${ID}`, "docker", ID, null],
  // containerd: ctr, nerdctl
  [`/default/${ID}`, "containerd", ID, null],
  ["/default/redis-server", "containerd", "redis-server", null],
  ["/k8s.io/web_1.blue", "containerd", "web_1.blue", null],
  [`/moby/${ID}`, "containerd", ID, null],
  [`/system.slice/nerdctl-${ID}.scope`, "containerd", ID, null],
  [`${USER}/user.slice/nerdctl-${ID}.scope`, "containerd", ID, null],
  [`/system.slice:nerdctl:${ID}`, "containerd", ID, null],
  // Kubernetes, systemd driver: quality of service burstable, besteffort, guaranteed; containerd, CRI-O, Docker, static
  [`${POD}/cri-containerd-${ID}.scope`, "containerd", ID, UID],
  [`${POD}/crio-${ID}.scope`, "cri-o", ID, UID],
  [`${POD}/crio-${ID}.scope/container`, "cri-o", ID, UID],
  [`${POD}/docker-${ID}.scope`, "docker", ID, UID],
  [
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICED_UID}.slice/cri-containerd-${ID}.scope`,
    "containerd",
    ID,
    UID,
  ],
  [`/kubepods.slice/kubepods-pod${SLICED_UID}.slice/cri-containerd-${ID}.scope`, "containerd", ID, UID],
  [`${PODS}/kubepods-burstable-pod${STATIC}.slice/cri-containerd-${ID}.scope`, "containerd", ID, STATIC],
  // Kubernetes, cgroupfs driver
  [`/kubepods/burstable/pod${UID}/${ID}`, "unknown", ID, UID],
  [`/kubepods/besteffort/pod${UID}/${ID}`, "unknown", ID, UID],
  [`/kubepods/pod${UID}/${ID}`, "unknown", ID, UID],
  [`/kubepods/burstable/pod${STATIC}/${ID}`, "unknown", ID, STATIC],
  [`/kubepods/burstable/pod${UID}/crio-${ID}`, "cri-o", ID, UID],
  [`/kubepods/burstable/pod${UID}/${ID}/kubepods/pod${STATIC}/${OTHER}`, "unknown", OTHER, STATIC],
  // names of the systemd driver taken for a path
  [`/kubepods-burstable-pod${SLICED_UID}.slice:cri-containerd:${ID}`, "containerd", ID, UID],
  [
    `/system.slice/containerd.service/kubepods-besteffort-pod${SLICED_UID}.slice:cri-containerd:${ID}`,
    "containerd",
    ID,
    UID,
  ],
  [`/kubepods-pod${SLICED_UID}.slice:crio:${ID}`, "cri-o", ID, UID],
  [`/system.slice:docker:${ID}`, "docker", ID, null],
  // Podman: systemd driver, rootless, with the container in a group of its own, in a pod of Podman's; cgroupfs driver
  [`/machine.slice/libpod-${ID}.scope`, "podman", ID, null],
  [`/machine.slice/libpod-${ID}.scope/container`, "podman", ID, null],
  [`/machine.slice/libpod-${ID}.scope/container/init.scope`, "podman", ID, null],
  [`${USER}/user.slice/libpod-${ID}.scope/container`, "podman", ID, null],
  [`${USER}/user.slice/user-libpod_pod_${OTHER}.slice/libpod-${ID}.scope`, "podman", ID, null],
  [`/machine.slice/machine-libpod_pod_${OTHER}.slice/libpod-${ID}.scope`, "podman", ID, null],
  [`/libpod_parent/libpod-${ID}`, "podman", ID, null],
  [`/libpod_parent/${OTHER}/libpod-${ID}`, "podman", ID, null],
  // LXC, LXD, Incus, Proxmox
  ["/lxc.payload.web", "lxc", "web", null],
  ["/lxc.payload.project_web/system.slice/cron.service", "lxc", "project_web", null],
  ["/lxc.payload/web", "lxc", "web", null],
  ["/lxc/web", "lxc", "web", null],
  ["/lxc/101/ns/init.scope", "lxc", "101", null],
  ["/machine.slice/machine-lxc\\x2d4711\\x2dweb.scope", "lxc", "lxc-4711-web", null],
  // systemd-nspawn
  ["/machine.slice/machine-debian.scope", "nspawn", "debian", null],
  ["/machine.slice/machine-debian\\x2d12.scope/payload", "nspawn", "debian-12", null],
  ["/machine.slice/systemd-nspawn@debian.service/payload/system.slice/x.service", "nspawn", "debian", null],
  ["/machine.slice/systemd-nspawn@web\\x2d1.service", "nspawn", "web-1", null],
  // Amazon ECS: on EC2 (cgroupfs, systemd), on Fargate
  [`/ecs/c5d0e1f2a3b4c5d6e7f8091a2b3c4d5e/${ID}`, "docker", ID, null],
  [`/ecs/production/c5d0e1f2a3b4c5d6e7f8091a2b3c4d5e/${ID}`, "docker", ID, null],
  [
    `/ecstasks.slice/ecstasks-c5d0e1f2a3b4c5d6e7f8091a2b3c4d5e.slice/docker-${ID}.scope`,
    "docker",
    ID,
    null,
  ],
  [
    "/ecs/34dc0b5e626f2c5c4c5170e34b10e765/34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
    "unknown",
    "34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
    null,
  ],
];

for (const [path, runtime, id, podId] of CONTAINERS) {
  Deno.test(`containerOf() ${runtime}: ${path}`, () => assert.deepEqual(containerOf(path), { id, runtime, podId }));
}

const NOTHING: readonly string[] = [
  "",
  "/",
  "docker",
  `docker/${ID}`, // no path
  "/init.scope",
  "/system.slice/ssh.service",
  "/system.slice/docker.service",
  "/system.slice/containerd.service",
  `${USER}/app.slice/app-gnome-terminal.scope`,
  "/user.slice/user-1000.slice/session-2.scope",
  // ids that are none
  `/system.slice/docker-${ID.slice(1)}.scope`,
  `/system.slice/docker-${ID}0.scope`,
  `/system.slice/docker-${ID.toUpperCase()}.scope`,
  `/system.slice/docker-${ID.slice(1)}g.scope`,
  `/system.slice/docker-${ID}.scope.d`,
  `/system.slice/docker-${ID}.service`,
  `/system.slice/docker-${ID}`,
  `/system.slice/xdocker-${ID}.scope`,
  `/system.slice/-${ID}.scope`,
  `/docker/${ID.slice(1)}`,
  "/docker",
  "/docker/buildx",
  // somebody's group with a name of 64 digits
  `/${ID}`,
  `/user.slice/user-1000.slice/${ID}`,
  `${USER}/${ID}`,
  `/system.slice/${ID}`,
  `/user.slice/default/${ID}`,
  `/user.slice/lxc/web`,
  // monitors, pods and runtimes are no containers
  `/machine.slice/libpod-conmon-${ID}.scope`,
  `${POD}/crio-conmon-${ID}.scope`,
  `/kubepods/burstable/pod${UID}/crio-conmon-${ID}`,
  "/libpod_parent/conmon",
  `/machine.slice/machine-libpod_pod_${ID}.slice`,
  "/lxc.monitor.web",
  "/lxc.monitor/web",
  "/lxc",
  "/lxc.payload.",
  "/machine.slice/machine-debian.scope/supervisor",
  "/machine.slice/systemd-nspawn@debian.service/supervisor",
  POD,
  PODS,
  `/kubepods/burstable/pod${UID}`,
  // a virtual machine of libvirt's
  "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator",
  "/machine.slice/machine-.scope",
  "/machine.slice/machine-a\\x2fb.scope",
  "/machine.slice/machine-a\\x00.scope",
  // pods that are none
  `/burstable/pod${UID}/${ID}`,
  `/kubepods/burstable/pod${UID.slice(1)}/${ID}`,
  `/kubepods/burstable/pod${UID.replace("-", "_")}/${ID}`,
  `/notkubepods/pod${UID}/${ID}`,
  `/xkubepods-pod${SLICED_UID}.slice/${ID}`,
  // triples that are none
  `/system.slice:docker:${ID}:more`,
  `/system.slice:thing:${ID}`,
  `:docker:${ID}`,
  "/ecs/34dc0b5e626f2c5c4c5170e34b10e765/44dc0b5e626f2c5c4c5170e34b10e765-1234567890",
  `/${"x/".repeat(2_100)}docker/${ID}`, // longer than a path of the kernel
];

for (const path of NOTHING) {
  Deno.test(`containerOf() none: ${path.slice(0, 120)}`, () => assert.equal(containerOf(path), null));
}

Deno.test("the pod is the innermost around the container, however deep that is", () => {
  const inDocker = `${POD}/cri-containerd-${OTHER}.scope/docker/${ID}`;
  assert.deepEqual(containerOf(inDocker), { id: ID, runtime: "docker", podId: UID });
  const inPod = `${POD}/cri-containerd-${OTHER}.scope/kubepods/pod${STATIC}/${ID}`;
  assert.deepEqual(containerOf(inPod), { id: ID, runtime: "unknown", podId: STATIC });
  const besides = `/docker/${ID}/kubepods/pod${STATIC}`;
  assert.deepEqual(containerOf(besides), { id: ID, runtime: "docker", podId: null });
});

Deno.test("whatever a group is called, what comes out is an id of a known form", () => {
  const part = fc.constantFrom(
    ...[
      "docker",
      "default",
      "lxc",
      "lxc.payload",
      "kubepods",
      "burstable",
      `pod${UID}`,
      "ecs",
      "..",
      "",
      ".",
      "machine-",
    ],
    ...[`docker-${ID}.scope`, ID, `crio-conmon-${ID}.scope`, "lxc.payload.a", ":", "::", "\\x2d", "a:docker:b", "é"],
  );
  const segment = fc.oneof(part, fc.string({ maxLength: 90 }), fc.tuple(part, part).map(([a, b]) => a + b));
  fc.assert(fc.property(fc.array(segment, { maxLength: 8 }), (segments) => {
    const container = containerOf(`/${segments.join("/")}`);
    if (container === null) return;
    assert.match(container.id, /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
    assert.match(container.runtime, /^(docker|containerd|podman|cri-o|lxc|nspawn|unknown)$/);
    if (container.podId !== null) assert.match(container.podId, /^[0-9a-f-]{32,36}$/);
  }));
});

Deno.test("a start in a container's group is of that container, and its files are foreign", () => {
  const context = (more: Partial<RawContext>): RawContext => ({ ...NOTHING_KNOWN, ...more });
  const entry: TableEntry = {
    pid: 1,
    ppid: 0,
    startTime: 0,
    name: "init",
    executablePath: "/sbin/init",
    argv: null,
    argvLength: null,
    userId: 0,
    groupId: 0,
    effectiveUserId: 0,
    cpuTime: 0,
    memoryUsage: 0,
    threads: 1,
    namespacePid: 1,
    context: context({ mountNamespace: 11, pidNamespace: 12, cgroupPath: "/init.scope" }),
    status: "sleeping",
    kernelThread: false,
  };
  const newLifecycle = (): Lifecycle =>
    new Lifecycle({
      bootId: "0badcafe-1111-2222-3333-444444444444",
      source: { description: { name: "ebpf", sees: "", misses: [], unknownColumns: [] }, look: () => null },
      names: { userName: () => null, groupName: () => null },
      clock: { bootTimeNs: () => 10e9, bootOffsetMs: () => 0, sleptNs: () => 0 },
    });
  const lifecycle = newLifecycle();
  const [init] = lifecycle.baseline([entry]);
  assert.deepEqual([init!.context!.containerId, init!.executableKind], [null, "file"]);
  const exec = (pid: number, more: Partial<RawContext>): ExecRecord => ({
    ...{ kind: "exec", time: 2e9 + pid, pid, ppid: 1, startTime: 2e9, userId: 0, groupId: 0, effectiveUserId: 0 },
    ...{ name: "sh", executablePath: "/bin/sh", argv: null, argvLength: null, inode: null, device: null },
    ...{ namespacePid: 1, context: context(more) },
  });
  lifecycle.receive(
    exec(20, { mountNamespace: 21, pidNamespace: 22, cgroupPath: `${POD}/cri-containerd-${ID}.scope` }),
  );
  lifecycle.receive(exec(30, { mountNamespace: 11, pidNamespace: 12, cgroupPath: `/user.slice/docker-${ID}.scope` }));
  lifecycle.receive(exec(40, { mountNamespace: 41, pidNamespace: 42, cgroupPath: null }));
  const seen = lifecycle.flush(3_000).events.map((e) => [
    e.pid,
    e.context!.containerRuntime,
    e.context!.containerId,
    e.context!.podId,
    e.executableKind,
    e.context!.pidNamespace,
  ]);
  assert.deepEqual(seen, [
    [20, "containerd", ID, UID, "foreign", 22],
    [30, "docker", ID, null, "file", 12], // a name alone moves nothing
    [40, null, null, null, "foreign", 42],
  ]);
  // A host that hides its first process still has its kernel's threads, but not any process that has their pid.
  for (const [kernelThread, kind] of [[true, "foreign"], [false, "file"]] as const) {
    const hidden = newLifecycle();
    hidden.baseline([{ ...entry, pid: 2, name: "kthreadd", kernelThread }]);
    hidden.receive(exec(20, { mountNamespace: 21, cgroupPath: null }));
    assert.equal(hidden.flush(3_000).events[0]!.executableKind, kind);
  }
});
