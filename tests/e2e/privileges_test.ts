/** `docs/privileges.md` against the running system: a table or a list there that is not what is makes these fail. */
import assert from "node:assert/strict";
import { filterProgram, quietProgram } from "../../collector/kernel/seccomp.ts";
import { ARCHITECTURE, SYSCALL_NAMES, syscallNumber } from "../../collector/kernel/syscalls.ts";
import { landlockRules } from "../../collector/reexec.ts";
import { principalsOf } from "../../deploy/principals.ts";
import { GAPS } from "../support/gaps.ts";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";

const DOCUMENT = await Deno.readTextFile(new URL("../../docs/privileges.md", import.meta.url));

/** By number, as `include/uapi/linux/capability.h` has them. */
const CAPABILITIES = [
  ...["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"],
  ...["linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"],
  ...["sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"],
  ...["sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"],
  ...["mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"],
  "checkpoint_restore",
];

/** The part of the document below a heading. */
function section(heading: string): string {
  const from = DOCUMENT.indexOf(`\n### ${heading}\n`);
  assert.ok(from >= 0, `docs/privileges.md has no heading ${heading}`);
  const end = DOCUMENT.slice(from + 1).search(/\n#{2,3} /);
  return DOCUMENT.slice(from, end < 0 ? undefined : from + 1 + end);
}

/** One column of a section's table: what its rows say, by their first cell. */
function column(heading: string, name: string): Record<string, string> {
  const rows = section(heading).split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const at = rows[0]!.indexOf(name);
  assert.ok(at > 0, `The table below ${heading} has no column ${name}`);
  return Object.fromEntries(rows.slice(2).map((row) => [row[0]!, row[at]!]));
}

function capabilityNames(mask: bigint): string[] {
  const names: string[] = [];
  for (let i = 0; mask >> BigInt(i) !== 0n; i++) {
    if ((mask >> BigInt(i) & 1n) === 1n) names.push(CAPABILITIES[i] ?? `${i}`);
  }
  return names.sort();
}

/** A thread as the rows of the table have it. */
function described(pid: number, tid: string): Record<string, string> {
  const text = Deno.readTextFileSync(`/proc/${pid}/task/${tid}/status`);
  const line = (name: string): string => {
    const found = new RegExp(`^${name}:[ \t]*(.*)$`, "m").exec(text)?.[1];
    assert.ok(found !== undefined, `no line ${name}`);
    return found.trim();
  };
  const ids = (name: string): string => [...new Set(line(name).split(/\s+/))].join(", ") || "none";
  const capabilities = (name: string): string => capabilityNames(BigInt(`0x${line(name)}`)).join(", ") || "none";
  return {
    "user, all four": ids("Uid"),
    "group, all four": ids("Gid"),
    "supplementary groups": ids("Groups"),
    "inheritable capabilities": capabilities("CapInh"),
    "permitted capabilities": capabilities("CapPrm"),
    "effective capabilities": capabilities("CapEff"),
    "bounding set": capabilities("CapBnd"),
    "ambient capabilities": capabilities("CapAmb"),
    no_new_privs: line("NoNewPrivs"),
    "filter of system calls": line("Seccomp"),
    "core dump, traceable by itself": Deno.statSync(`/proc/${pid}/task/${tid}/fd`).uid === 0 ? "no" : "yes",
  };
}

/** What the document says, where this host has named the users otherwise and this process may not give all away. */
function expected(name: string): Record<string, string> {
  const who = principalsOf(Deno.readTextFileSync("/etc/passwd"), Deno.readTextFileSync("/etc/group"));
  const here = new Map([["64171", who.collector], ["64172", who.agent], ["64170", who.busGroup]]);
  const rows = column(THREADS, name);
  for (const row of ["user, all four", "group, all four"]) rows[row] = String(here.get(rows[row]!) ?? rows[row]);
  const own = described(Deno.pid, String(Deno.pid))["bounding set"]!.split(", ");
  const bound = rows["bounding set"]!.split(", ").filter((capability) =>
    capability === "none" || own.includes(capability)
  );
  rows["bounding set"] = bound.join(", ") || "none";
  return rows;
}

function compare(pid: number, name: string): void {
  const threads = [...Deno.readDirSync(`/proc/${pid}/task`)];
  assert.ok(threads.length > 2, `${name} has ${threads.length} threads`);
  let compared = 0;
  for (const { name: tid } of threads) {
    let found: Record<string, string>;
    try {
      found = described(pid, tid);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue; // that thread has ended
      throw error;
    }
    assert.deepEqual(found, expected(name), `thread ${tid} of ${name}`);
    compared++;
  }
  assert.ok(compared > 2, `${compared} threads of ${name} were compared`);
}

/** Processes of a storm, half of them from each of two shells. */
const STORM = 2_000;

function startStorm(): Promise<Deno.CommandStatus[]> {
  const script = `i=0; while [ $i -lt ${STORM / 2} ]; do /bin/true "$0" $i; i=$((i+1)); done`;
  return Promise.all(
    ["storm-one", "storm-two"].map((tag) =>
      new Deno.Command("/bin/sh", { args: ["-c", script, tag], stdin: "null" }).spawn().status
    ),
  );
}

/** How many of them are in the store once each, as they were. */
function stormStored(world: World): number {
  const rows = world.query(
    "SELECT DISTINCT argv, executable_path, user_id FROM process_events " +
      "WHERE event_type = 'start' AND name = 'true' AND command_line LIKE '/bin/true storm-%'",
  );
  const wanted = new Set(
    ["storm-one", "storm-two"].flatMap((tag) =>
      Array.from({ length: STORM / 2 }, (_, i) => JSON.stringify(["/bin/true", tag, `${i}`]))
    ),
  );
  const isTrue = Deno.realPathSync("/bin/true");
  return rows.filter(({ argv, executable_path, user_id }) =>
    wanted.has(String(argv)) && executable_path === isTrue && user_id === Deno.uid()
  ).length;
}

const THREADS = "What the kernel says of every thread";

for (const confinement of ["in-process", "re-exec"]) {
  Deno.test({
    name:
      `every thread of the running tiers is what docs/privileges.md says, through a storm, collector ${confinement}`,
    ...needs({ root: true, bpf: true, setpriv: true, programs: ["setpriv"] }),
    async fn() {
      await using world = await World.start({ config: `collector:\n  confinement: ${confinement}\n` });
      const { pid } = world.collectorStatus()!;
      compare(pid, `collector, \`${confinement}\``);
      const storm = startStorm();
      // The collector makes threads while it works: they are born as the others are.
      let isOver = false;
      const over = storm.then((statuses) => {
        isOver = true;
        return statuses;
      });
      do {
        compare(pid, `collector, \`${confinement}\``);
        await new Promise((resolve) => setTimeout(resolve, 20));
      } while (!isOver);
      assert.ok((await over).every(({ success }) => success));
      await world.until("every process of the storm is stored with its arguments", () => stormStored(world) === STORM);
      assert.deepEqual(world.query(`SELECT * FROM ${GAPS} WHERE reason NOT LIKE '%not running%'`), []);
      // Long after the drop a snapshot still shows what root's processes are.
      const row = (): Record<string, string | number | null> | undefined =>
        world.query("SELECT argv, executable_path, user_id FROM processes WHERE pid = ?", world.supervisor.pid)[0];
      await world.until("the supervisor stands in a snapshot", () => row() !== undefined);
      assert.deepEqual([row()!["executable_path"], row()!["user_id"]], [Deno.realPathSync(Deno.execPath()), 0]);
      assert.deepEqual(JSON.parse(String(row()!["argv"])).slice(1, 3), ["run", "-A"]);
      compare(world.agentStatus()!.pid, "agent");
      if (needs({ audit: true }).ignore) return;
      const counts = "counts the system calls that the kernel refuses the collector and its hasher";
      await world.until(
        "a refusal is heard of",
        () => world.collectorStatus()!.sources.some(({ name, detail }) => name === "refusals" && detail === counts),
      );
      const { counters, notices } = world.collectorStatus()!;
      assert.equal(counters["refused_system_calls"], 0, JSON.stringify(notices));
      assert.equal(counters["hasher_refused_system_calls"], 0, JSON.stringify(notices));
    },
  });
}

Deno.test({
  name: "a collector that keeps CAP_SYS_PTRACE by configuration keeps it in every thread, and nothing else",
  ...needs({ root: true, setpriv: true, netlink: true, programs: ["setpriv"] }),
  async fn() {
    const config = "collector:\n  confinement: re-exec\n  source: netlink\n  keep_ptrace: yes\n";
    await using world = await World.start({ config });
    const { pid, confinement, sources } = world.collectorStatus()!;
    compare(pid, "collector, `keep_ptrace`");
    assert.match(
      confinement,
      /with CAP_SYS_PTRACE and no other capability \(collector\.keep_ptrace\), .*NOT UNDER LANDLOCK/,
    );
    const misses = sources.find(({ name }) => name === "netlink")!.misses.join("; ");
    assert.doesNotMatch(misses, /executable, directory, namespaces, streams/);
    const [row] = world.query(
      "SELECT executable_path, cwd FROM processes WHERE pid = ? ORDER BY start_time DESC LIMIT 1",
      world.supervisor.pid,
    );
    assert.equal(row?.["executable_path"], Deno.realPathSync(Deno.execPath()), JSON.stringify(row));
    assert.equal(row?.["cwd"], Deno.cwd());
  },
});

Deno.test("what Landlock lets be opened everywhere is what docs/privileges.md says", () => {
  const rules = landlockRules(undefined, []).filter(({ path }) => !path.endsWith("/collector/reexec.ts"));
  const said = column("The two confinements", "below");
  for (const [row, access] of [["read and write", "device"], ["read", "read"]] as const) {
    const paths = [...said[row]!.matchAll(/`(\/[^`]*)`/g)].map(([, path]) => path!);
    assert.deepEqual(paths.sort(), rules.filter((rule) => rule.access === access).map(({ path }) => path).sort(), row);
  }
  const executable = rules.filter(({ access }) => access === "execute").map(({ path }) => path);
  assert.ok(executable.includes(Deno.realPathSync(Deno.execPath())), executable.join());
  assert.ok(executable.every((path) => path === Deno.realPathSync(Deno.execPath()) || /\.(so|node)\b/.test(path)));
  assert.deepEqual(rules.filter(({ access }) => access === "own"), []);
});

const LOAD = 0x20, EQUAL = 0x15, GREATER_EQUAL = 0x35, SET = 0x45, RETURN = 0x06;
const ALLOW = 0x7fff_0000, AUDIT_ARCHITECTURE = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 }[ARCHITECTURE];

/** What the filter's instructions answer to a call whose arguments are all `argument`. */
function answer(program: Uint8Array<ArrayBuffer>, number: number, argument: number): number {
  const view = new DataView(program.buffer);
  let loaded = 0;
  for (let at = 0; at * 8 < program.length; at++) {
    const operation = view.getUint16(at * 8, true), value = view.getUint32(at * 8 + 4, true);
    const jump = (holds: boolean): number => view.getUint8(at * 8 + (holds ? 2 : 3));
    if (operation === RETURN) return value;
    if (operation === LOAD) loaded = value === 0 ? number : value === 4 ? AUDIT_ARCHITECTURE : argument;
    else if (operation === EQUAL) at += jump(loaded === value);
    else if (operation === GREATER_EQUAL) at += jump(loaded >= value);
    else if (operation === SET) at += jump((loaded & value) !== 0);
    else throw new Error(`The filter has an operation ${operation}`);
  }
  throw new Error("The filter ends without an answer");
}

Deno.test("the calls that the filter lets through are those that docs/privileges.md lists, and no others", () => {
  const text = section("What the filter lets through");
  const [whatever, looked] = text.split("Looked at by their arguments:") as [string, string];
  const names = (part: string): string[] => [...part.matchAll(/`([a-z0-9_]+)`/g)].map(([, name]) => name!).sort();
  const options = { refused: "errno", processes: false } as const;
  const programs = [filterProgram(options, 4711), quietProgram(options)!];
  // Of several filters the kernel takes the answer with the lowest number: here, a refusal before a permission.
  const answerOfAll = (number: number, argument: number): number =>
    Math.min(...programs.map((program) => answer(program, number, argument)));
  const numbered = new Map(
    SYSCALL_NAMES.flatMap((name) => syscallNumber(name) === null ? [] : [[syscallNumber(name)!, name] as const]),
  );
  const always: string[] = [], sometimes: string[] = [];
  // Arguments that something looked at could be let through with; -1 is none of them.
  const tried = [0, 1, 2, 3, 15, 16, 28, 33, 4711, 0x1_0000, 0x5356_4d41];
  for (let number = 0; number < 1_024; number++) {
    const name = numbered.get(number) ?? `call ${number}`;
    if (answerOfAll(number, 0) === ALLOW && answerOfAll(number, 0x7ffe_ffff) === ALLOW) always.push(name);
    else if (tried.some((argument) => answerOfAll(number, argument) === ALLOW)) sometimes.push(name);
  }
  const here = (listed: readonly string[]): string[] =>
    listed.filter((name) => {
      assert.ok(
        (SYSCALL_NAMES as readonly string[]).includes(name),
        `docs/privileges.md lists an unknown call ${name}`,
      );
      return syscallNumber(name as typeof SYSCALL_NAMES[number]) !== null;
    });
  assert.deepEqual(always.sort(), here(names(whatever)));
  assert.deepEqual(sometimes.sort(), here(names(looked)));
});
