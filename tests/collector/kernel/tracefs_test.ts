import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import { libc } from "../../../collector/kernel/libc.ts";
import {
  numberField,
  openTracefs,
  parseTracepointFormat,
  readTracepointFormat,
  TracefsError,
} from "../../../collector/kernel/tracefs.ts";
import { needs } from "../../support/needs.ts";

const COMMON = `format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
`;
/** As Linux 5.10 has it. */
const NEWTASK_OLD = `name: task_newtask
ID: 130
${COMMON}
\tfield:pid_t pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:1;
\tfield:unsigned long clone_flags;\toffset:32;\tsize:8;\tsigned:0;
\tfield:short oom_score_adj;\toffset:40;\tsize:2;\tsigned:1;

print fmt: "pid=%d comm=%s clone_flags=%lx oom_score_adj=%hd", REC->pid, REC->comm, REC->clone_flags, REC->oom_score_adj
`;
/** As Linux 6.18 has it. */
const EXIT_NEW = `name: sched_process_exit
ID: 369
${COMMON}
\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:int prio;\toffset:28;\tsize:4;\tsigned:1;
\tfield:bool group_dead;\toffset:32;\tsize:1;\tsigned:0;

print fmt: "comm=%s pid=%d prio=%d group_dead=%s", REC->comm, REC->pid, REC->prio, REC->group_dead ? "true" : "false"
`;

Deno.test("parseTracepointFormat() takes formats of old and new kernels", () => {
  const newtask = parseTracepointFormat(NEWTASK_OLD)!, exit = parseTracepointFormat(EXIT_NEW)!;
  equal([newtask.id, exit.id], [130, 369]);
  equal([numberField(newtask, "pid", 4), numberField(newtask, "clone_flags", 8)], [8, 32]);
  equal(numberField(exit, "group_dead", 1), 32);
  equal(newtask.fields.get("comm"), { offset: 12, bytes: 16 });
  equal([...exit.fields.keys()].slice(4), ["comm", "pid", "prio", "group_dead"]);
});

Deno.test("parseTracepointFormat() refuses what is none, and what a program must not be built from", () => {
  const field = (text: string): string => NEWTASK_OLD.replace("\tfield:pid_t pid;\toffset:8;\tsize:4;", text);
  for (
    const text of [
      "",
      "name: x\n",
      "ID: 5\0\n",
      NEWTASK_OLD.replace("ID: 130", "ID: 0"),
      NEWTASK_OLD.replace("ID: 130", "ID: -1"),
      NEWTASK_OLD.replace("ID: 130", "ID: 99999999999"),
      field("\tfield:pid_t pid;\toffset:8190;\tsize:4;"),
      field("\tfield:pid_t pid;\toffset:999999999;\tsize:999999999;"),
      field("\tfield:short oom_score_adj;\toffset:8;\tsize:2;"), // stands twice
      field("\tfield:pid_t 9;\toffset:8;\tsize:4;"),
      NEWTASK_OLD + " ".repeat(70_000),
    ]
  ) equal(parseTracepointFormat(text), null, JSON.stringify(text.slice(0, 80)));
  // A line that is no field is passed over, and what is not there is said.
  for (
    const text of [
      field("\tfield:pid_t pid;\toffset:-8;\tsize:4;"),
      field("\tfield:pid_t pid;\toffset:0x8;\tsize:4;"),
      field("\tfield:;\toffset:8;\tsize:4;"),
      field(`\tfield:${"x".repeat(300)} pid;\toffset:8;\tsize:4;`),
    ]
  ) throws(() => numberField(parseTracepointFormat(text)!, "pid", 4), /id 130 has no field pid/);
  throws(() => numberField(parseTracepointFormat(NEWTASK_OLD)!, "clone_flags", 4), /clone_flags .* has 8 bytes at 32/);
  for (const [offset, size] of [[9, 4], [4, 4], [8, 8]]) {
    const format = parseTracepointFormat(field(`\tfield:pid_t pid;\toffset:${offset};\tsize:${size};`))!;
    throws(() => numberField(format, "pid", 4), TracefsError);
  }
  throws(() => numberField(parseTracepointFormat(NEWTASK_OLD)!, "common_type", 2), TracefsError);
});

Deno.test("parseTracepointFormat() bears a text that is cut anywhere, or of which any byte is another", () => {
  for (let end = 0; end < EXIT_NEW.length; end++) {
    const format = parseTracepointFormat(EXIT_NEW.slice(0, end));
    for (const [name, { offset, bytes }] of format?.fields ?? []) {
      equal({ offset, bytes }, parseTracepointFormat(EXIT_NEW)!.fields.get(name));
    }
    for (const other of ["\0", "\n", "9", ";", "\u{1f600}"]) {
      const changed = parseTracepointFormat(EXIT_NEW.slice(0, end) + other + EXIT_NEW.slice(end + 1));
      for (const { offset, bytes } of changed?.fields.values() ?? []) ok(offset >= 0 && offset + bytes <= 8192);
    }
  }
});

Deno.test({
  name: "openTracefs() finds the kernel's tracepoints also where none are mounted, and changes no mount",
  ...needs({ bpf: true, mount: true }),
  fn() {
    const mounts = Deno.readTextFileSync("/proc/self/mountinfo");
    const root = openTracefs(["/nonexistent", "/tmp"]);
    try {
      equal(Deno.readTextFileSync("/proc/self/mountinfo"), mounts);
      const format = readTracepointFormat(root, "task/task_newtask");
      ok(format.id > 0);
      ok(numberField(format, "pid", 4) >= 8 && numberField(format, "clone_flags", 8) >= 8);
      throws(() => readTracepointFormat(root, "task/none"), /the kernel has no tracepoint task\/none \(ENOENT/);
    } finally {
      libc.close(root);
    }
  },
});
