/**
 * Rules and events of the shapes that real ones have, in any number, from a seed.
 *
 * The shapes are those of public rules for process creation: ends of executable paths, lists of pieces of the command
 * line of which one or all must be there, exceptions by parent or argument. The words are made up, but for the names of
 * everyday programs, so that events of a host that does everyday work touch rules as they do in earnest.
 *
 * As a program it writes rule files: `deno run -A bench/support/real_shaped_rules.ts DIRECTORY [COUNT [linux|windows]]`.
 *
 * @module
 */
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { Random } from "../../tests/fuzz/random.ts";

export type Shape = "linux" | "windows";

/** What events and rules of one kind of host are made of. */
export interface Words {
  readonly programs: readonly string[];
  readonly directories: readonly string[];
  readonly separator: string;
  readonly extension: string;
  readonly switches: readonly string[];
}

const LINUX: Words = {
  programs:
    ("sh bash dash python3 perl cat ls grep sed awk find cp mv rm mkdir chmod chown tar gzip curl wget ssh scp " +
      "rsync systemctl service crontab at id whoami ps ss ip mount umount docker podman git make gcc node java apt dpkg " +
      "useradd passwd sudo su nc openssl base64 xxd dd tee").split(" "),
  directories: ["/usr/bin/", "/bin/", "/usr/sbin/", "/usr/local/bin/", "/opt/app/bin/", "/tmp/", "/home/op/"],
  separator: "/",
  extension: "",
  switches: "-c -e -l -r -f -i -x -v -a -d -n -p --user --all --force --output --config --help -rf -la".split(" "),
};
const WINDOWS: Words = {
  programs: ("cmd powershell pwsh rundll32 regsvr32 mshta wscript cscript certutil bitsadmin wmic net net1 sc reg " +
    "schtasks tasklist taskkill whoami ipconfig netsh nltest msiexec explorer svchost winword excel outlook msedge " +
    "chrome conhost dllhost services lsass spoolsv python java node").split(" "),
  directories: [
    "c:\\windows\\system32\\",
    "c:\\windows\\syswow64\\",
    "c:\\program files\\",
    "c:\\users\\op\\appdata\\",
  ],
  separator: "\\",
  extension: ".exe",
  switches: "/c /k /q /s /f /i /u /create /delete /query /tn /tr -enc -nop -w hidden -ep bypass -command add set".split(
    " ",
  ),
};

const SYLLABLES =
  "ba ce di fo gu ka le mi no pu ra se ti vo xu za bra cle dri fro gan kel min nos pol ral sen tor vek zan"
    .split(" ");

export function wordsOf(shape: Shape): Words {
  return shape === "linux" ? LINUX : WINDOWS;
}

/** A made-up word; the same numbers give the same word, so that events have some of those that rules look for. */
export function madeUp(random: Random, variety: number): string {
  const own = new Random(0x30d5, random.below(variety));
  return Array.from({ length: 3 + own.below(2) }, () => own.pick(SYLLABLES)).join("");
}

function argument(random: Random, words: Words, variety: number): string {
  switch (random.below(7)) {
    case 0:
      return random.pick(words.switches);
    case 1:
      return `${random.pick(words.switches)} ${madeUp(random, variety)}`;
    case 2:
      return random.pick(words.directories) + madeUp(random, variety);
    case 3:
      return `${madeUp(random, variety)}.${random.pick(["sh", "ps1", "dll", "txt", "conf", "log", "py"])}`;
    case 4:
      return `--${madeUp(random, variety)}=${madeUp(random, variety)}`;
    default:
      return madeUp(random, variety);
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''").replace(/[\\%_]/g, "\\$&")}' ESCAPE '\\'`;
}

function anyOf(random: Random, most: number, make: () => string): string {
  const tests = Array.from({ length: 1 + random.below(1 + random.below(most)) }, make);
  return tests.length === 1 ? tests[0]! : `(${tests.join(" OR ")})`;
}

/** The condition of one rule. */
function conditionOf(random: Random, shape: Shape): string {
  const words = wordsOf(shape), windows = shape === "windows";
  const program = (column: string, everyday: boolean) => (): string => {
    const name = everyday ? random.pick(words.programs) : madeUp(random, 4_000);
    return `${column} LIKE ${quoted(`${words.separator}${name}${words.extension}`).replace("'", "'%")}`;
  };
  const piece = (column: string, own: boolean) => (): string => {
    const text = own
      ? random.oneIn(2) ? madeUp(random, 3_000) : `${random.pick(words.switches)} ${madeUp(random, 3_000)}`
      : ` ${random.pick(words.switches)} `;
    return `${column} LIKE ${quoted(text).replace("'", "'%").replace("' ESCAPE", "%' ESCAPE")}`;
  };
  // Rare programs are found by their names alone, everyday ones by what they are told to do.
  const everyday = !random.oneIn(4), parts: string[] = ["event_type = 'start'"];
  if (!everyday || !random.oneIn(5)) {
    parts.push(anyOf(random, windows ? 6 : 8, program("executable_path", everyday)));
  }
  if (random.oneIn(8)) parts.push(anyOf(random, 4, program("parent_executable_path", true)));
  if (everyday && random.oneIn(windows ? 4 : 8)) {
    for (let pieces = 2 + random.below(2); pieces > 0; pieces--) parts.push(piece("command_line", false)());
  } else if (everyday || random.oneIn(2)) {
    parts.push(anyOf(random, windows ? 14 : 8, piece("command_line", true)));
    while (random.oneIn(3)) parts.push(anyOf(random, 5, piece("command_line", random.oneIn(2))));
  }
  if (random.oneIn(4)) {
    const exception = random.oneIn(2) ? program("parent_executable_path", true) : piece("command_line", true);
    parts.push(`(${anyOf(random, 3, exception)}) IS NOT TRUE`);
  }
  if (random.oneIn(12)) parts.push(random.pick(["user_id = 0", "user_name = 'root'", "container_id IS NOT NULL"]));
  return parts.join("\n    AND ");
}

/** The text of a rule file. */
export function ruleFile(seed: number, number: number, shape: Shape): string {
  const random = new Random(seed, number);
  return `id: shaped-${shape}-${number}
title: A ${shape} rule of a real shape, number ${number}
description: |
  Made up to measure with. A real rule says here what it found, why that is bad, and what to look at next, in some
  sentences such as these.
severity: ${random.pick(["low", "medium", "high"])}
tags: [attack.execution, attack.t1059]
false_positives:
  - Everything that it finds.
sql: |
  SELECT pid, user_name, executable_path, command_line, parent_name, parent_command_line
  FROM process_events
  WHERE ${conditionOf(random, shape)}
`;
}

/** Rows of `process_events` as a host of that kind has them. */
export function shapedRows(seed: number, count: number, shape: Shape): SqlValue[][] {
  const words = wordsOf(shape), { columns } = tableNamed("process_events");
  return Array.from({ length: count }, (_, i) => {
    const random = new Random(seed ^ 0x0e7e47, i);
    const name = random.pick(words.programs), parent = random.pick(words.programs);
    const path = random.pick(words.directories) + name + words.extension;
    const args = (least: number): string => {
      return Array.from({ length: least + random.below(6) }, () => argument(random, words, 40_000)).join(" ");
    };
    const values: Record<string, SqlValue> = {
      event_id: i + 1,
      time: 1_700_000_000_000 + i,
      event_type: random.oneIn(10) ? "modify" : "start",
      exec_id: `0123abcd-${i}-${4_000 + i}`,
      parent_exec_id: "0123abcd-900-12345",
      pid: 1_000 + i,
      ppid: 900,
      name: (name + words.extension).slice(0, 15),
      executable_path: path,
      command_line: `${shape === "windows" ? path : name} ${args(shape === "windows" ? 3 : 1)}`,
      user_id: random.oneIn(3) ? 0 : 1_000,
      user_name: random.oneIn(3) ? "root" : "op",
      parent_name: (parent + words.extension).slice(0, 15),
      parent_executable_path: random.pick(words.directories) + parent + words.extension,
      parent_command_line: `${parent} ${args(0)}`,
      cwd: "/home/op",
      cgroup_path: "/user.slice/user-1000.slice/session-3.scope",
      source: "ebpf",
      collector_id: "bench",
    };
    return columns.map((column) => values[column.name] ?? null);
  });
}

if (import.meta.main) {
  const [directory, count = "1000", shape = "linux"] = Deno.args;
  if (directory === undefined || !(Number(count) > 0) || (shape !== "linux" && shape !== "windows")) {
    console.error("real_shaped_rules.ts DIRECTORY [COUNT [linux|windows]]");
    Deno.exit(2);
  }
  Deno.mkdirSync(directory, { recursive: true });
  for (let i = 0; i < Number(count); i++) Deno.writeTextFileSync(`${directory}/shaped-${i}.yml`, ruleFile(1, i, shape));
  console.log(`${count} rules in ${directory}`);
}
