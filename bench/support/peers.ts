/**
 * Programs of Debian's that tell of every process that starts, and how their output is read.
 *
 * @module
 */
import { installed } from "./commands.ts";
import { NotMeasured, settle, type Sighting, type Watcher, type Watching } from "./watcher.ts";
import type { Storm, StormMaker, StormSize } from "./storm.ts";

interface Peer {
  readonly name: string;
  readonly debianPackage: string;
  readonly command: readonly [string, ...string[]];
  /** Whether it reads tracefs. It gets one of its own where none is mounted. */
  readonly tracefs: boolean;
  /** The pid in a line of its output. */
  readonly pid: RegExp;
}

const BPFTRACE = `tracepoint:syscalls:sys_enter_execve { printf("%d ", pid); join(args->argv); }`;

const PEERS: readonly Peer[] = [
  {
    name: "forkstat",
    debianPackage: "forkstat",
    command: ["forkstat", "-e", "exec"],
    tracefs: false,
    pid: / exec +(\d+) /,
  },
  {
    name: "extrace",
    debianPackage: "extrace",
    command: ["extrace"],
    tracefs: false,
    pid: /^ *(\d+) /,
  },
  {
    name: "execsnoop (libbpf)",
    debianPackage: "libbpf-tools",
    command: ["execsnoop"],
    tracefs: true,
    pid: /^\S+ +(\d+) /,
  },
  {
    name: "execsnoop (bpfcc)",
    debianPackage: "bpfcc-tools",
    command: ["execsnoop-bpfcc"],
    tracefs: true,
    pid: /^\S+ +(\d+) /,
  },
  {
    name: "bpftrace",
    debianPackage: "bpftrace",
    command: ["bpftrace", "-e", BPFTRACE],
    tracefs: true,
    pid: /^(\d+) /,
  },
];

export const peers: readonly Watcher[] = PEERS.map((peer) => ({
  name: peer.name,
  start: (maker, size) => startPeer(peer, maker, size),
}));

const HAS_TRACEFS = `[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"`;

async function startPeer(peer: Peer, maker: StormMaker, { lifetimeMs }: StormSize): Promise<Watching> {
  const [program] = peer.command;
  if (!await installed(program)) {
    throw new NotMeasured(`${program} is not installed (apt-get install ${peer.debianPackage})`);
  }
  const said = await Deno.makeTempFile({ prefix: "daemoneye-bench-" }), complaints = `${said}.stderr`;
  const inner = peer.tracefs ? ["unshare", "--mount", "sh", "-c", HAS_TRACEFS, "sh", ...peer.command] : peer.command;
  const child = new Deno.Command("sh", {
    args: ["-c", `out=$1; shift; exec "$@" > "$out" 2> "$out.stderr"`, "sh", said, ...inner],
    stdin: "null",
  }).spawn();
  let ended: Deno.CommandStatus | null = null;
  const status = child.status.then((value) => ended = value);
  const stop = async (): Promise<void> => {
    if (ended === null) child.kill("SIGINT");
    const patience = setTimeout(() => child.kill("SIGKILL"), 3_000);
    await status;
    clearTimeout(patience);
    for (const file of [said, complaints]) await Deno.remove(file).catch(() => {});
  };
  try {
    await settle(child.pid, 10_000);
  } catch (error) {
    // Its entry in /proc is gone, and so is it.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve));
  if (ended !== null) {
    const reason = whyNot(await Deno.readTextFile(said) + await Deno.readTextFile(complaints));
    await stop();
    throw new NotMeasured(reason);
  }
  let line = "";
  return {
    pid: child.pid,
    begin: (tag) => {
      line = ` ${maker.program(lifetimeMs)} ${tag}-`;
      return Promise.resolve();
    },
    async end(storm) {
      child.kill("SIGINT");
      await status;
      return sightingOf(peer, await Deno.readTextFile(said), line, storm);
    },
    stop,
  };
}

function sightingOf(peer: Peer, text: string, line: string, { pids }: Storm): Sighting {
  const exact = new Set<string>(), seen = new Set<number>(), ofStorm = new Set(pids);
  for (const said of text.split("\n")) {
    const pid = Number(peer.pid.exec(said)?.[1]);
    if (ofStorm.has(pid)) seen.add(pid);
    const at = said.indexOf(line), number = at < 0 ? "" : said.slice(at + line.length).trim();
    if (/^\d+$/.test(number)) exact.add(number);
  }
  if (seen.size === 0) throw new NotMeasured("it printed nothing of the storm");
  return { seen: seen.size, exact: exact.size };
}

/** The line that says most, of what a program wrote before it gave up. */
function whyNot(text: string): string {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.find((line) => /unable|cannot|permitted|denied/i.test(line)) ?? lines.at(-1) ?? "it ended at once";
}
