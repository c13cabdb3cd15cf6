/** The stages of analyses on real files: what each gives, refuses and never tells. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decodeStageRows, encodeStageRows, type Stage, type StageRequest } from "../../../proto/analysis/stage.ts";
import { FileCalls } from "../../../collector/hasher/file_calls.ts";
import { StageFailure } from "../../../collector/analyzer/read_file.ts";
import { analyzerService } from "../../../collector/analyzer/service.ts";
import { Stages } from "../../../collector/analyzer/stages.ts";
import { memoryFile, parseMatches, Yara } from "../../../collector/analyzer/yara.ts";
import type { FactRow } from "../../../proto/analysis/stage.ts";
import { libc } from "../../../collector/kernel/libc.ts";
import { buildElf } from "../../support/elf_builder.ts";
import { needs } from "../../support/needs.ts";

const NEVER = new AbortController().signal, TIMEOUT_MS = 20_000;

function request(stage: Stage, path: string | null, more: Partial<StageRequest> = {}): StageRequest {
  return { stage, path, device: null, inode: null, pid: null, startTick: null, hash: null, ...more };
}

async function factsOf(stages: Stages, stage: Stage, path: string, more?: Partial<StageRequest>): Promise<FactRow> {
  const rows = await stages.run(request(stage, path, more), TIMEOUT_MS, NEVER);
  return decodeStageRows(stage, encodeStageRows(rows))["file_facts"]![0]!; // as the agent takes it
}

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync();
  try {
    await body(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "";
  } catch (error) {
    if (error instanceof StageFailure) return error.code;
    throw error;
  }
}

Deno.test("Stages give hash and ELF facts of an executable, as rows that the agent takes", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/program`,
      bytes = buildElf({ tail: new TextEncoder().encode("http://u:p@203.0.113.9/x") });
    Deno.writeFileSync(path, bytes);
    const stages = new Stages({ yara: null }), hash = createHash("sha256").update(bytes).digest("hex");
    assert.deepEqual(await factsOf(stages, "hash", path, { hash }), {
      executable_hash: hash,
      hash_matches: 1,
      size: bytes.length,
      kind: "elf",
    });
    assert.equal((await factsOf(stages, "hash", path, { hash: "0".repeat(64) }))["hash_matches"], 0);
    const elf = await factsOf(stages, "elf", path);
    assert.equal(elf["notable_imports"], '["execve"]');
    assert.equal(elf["is_pie"], 1);
    const calls = new FileCalls(), { device, inode } = (await calls.factsOf(path))!;
    calls.release();
    assert.equal((await factsOf(stages, "elf", path, { inode, device }))["kind"], "elf");
    const rows = await stages.run(request("strings", path), TIMEOUT_MS, NEVER);
    assert.equal(rows["file_strings"]![0]!["text"], "http://[REDACTED]@203.0.113.9/x");
    assert.equal(stages.underWay, 0);
  });
});

Deno.test("Stages tell of a script its first line and nothing else", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/script`, stages = new Stages({ yara: null });
    Deno.writeTextFileSync(path, "#!/usr/bin/env python3\npassword = 'http://secret.example/'\n");
    const facts = await factsOf(stages, "elf", path);
    assert.deepEqual([facts["kind"], facts["interpreter"]], ["script", "/usr/bin/env python3"]);
    assert.deepEqual(await stages.run(request("strings", path), TIMEOUT_MS, NEVER), {});
  });
});

Deno.test("Stages refuse what is no program, another file than was meant, and what is not there", async () => {
  await inDirectory(async (directory) => {
    const stages = new Stages({ yara: null }), text = `${directory}/text`, program = `${directory}/program`;
    Deno.writeTextFileSync(text, "root:$6$secret:");
    Deno.writeFileSync(program, buildElf());
    Deno.symlinkSync(program, `${directory}/link`);
    new Deno.Command("mkfifo", { args: [`${directory}/pipe`] }).outputSync();
    const code = (stage: Stage, path: string, more?: Partial<StageRequest>): Promise<string> =>
      codeOf(stages.run(request(stage, path, more), TIMEOUT_MS, NEVER));
    for (const stage of ["hash", "elf", "strings", "package", "yara"] as const) {
      assert.equal(await code(stage, text), "NOT_EXECUTABLE", stage);
    }
    assert.equal(await code("elf", directory), "NOT_EXECUTABLE");
    assert.equal(await code("elf", `${directory}/link`), "NOT_EXECUTABLE");
    assert.equal(await code("elf", `${directory}/pipe`), "NOT_EXECUTABLE");
    assert.equal(await code("elf", `${directory}/gone`), "NOT_READ");
    assert.equal(await code("hash", program, { device: 1, inode: 1 }), "REPLACED");
    assert.equal(await code("yara", program), "ABSENT");
    const given = new AbortController();
    given.abort();
    assert.equal(await codeOf(stages.run(request("elf", program), TIMEOUT_MS, given.signal)), "TIMED_OUT");
  });
});

Deno.test("The stage memory tells of a process, and not of another one with its pid", async () => {
  const stages = new Stages({ yara: null }), stat = Deno.readTextFileSync("/proc/self/stat");
  const startTick = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  const rows = await stages.run(request("memory", null, { pid: Deno.pid, startTick }), TIMEOUT_MS, NEVER);
  const [facts] = decodeStageRows("memory", encodeStageRows(rows))["memory_facts"]!;
  assert.ok((facts!["mappings"] as number) > 20);
  const other = stages.run(request("memory", null, { pid: Deno.pid, startTick: startTick + 1 }), TIMEOUT_MS, NEVER);
  assert.equal(await codeOf(other), "REPLACED");
});

Deno.test("The stage package says whose a file is, and whether it is as it came", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/program`, info = `${directory}/info`, bytes = buildElf();
    Deno.writeFileSync(path, bytes);
    Deno.mkdirSync(info);
    const stages = new Stages({ yara: null, dpkgInfo: info });
    const owner = async (): Promise<unknown[]> => {
      const facts = await factsOf(stages, "package", path);
      return [facts["package"], facts["package_state"]];
    };
    assert.deepEqual(await owner(), [null, "unknown"]);
    Deno.writeTextFileSync(`${info}/other.list`, `/.\n${path}.old\n`);
    assert.deepEqual(await owner(), [null, "unowned"]);
    Deno.writeTextFileSync(`${info}/mine.list`, `/.\n${path}\n`);
    assert.deepEqual(await owner(), ["mine", "owned"]);
    const sum = createHash("md5").update(bytes).digest("hex");
    Deno.writeTextFileSync(`${info}/mine.md5sums`, `${sum}  ${path.slice(1)}\n`);
    assert.deepEqual(await owner(), ["mine", "unmodified"]);
    Deno.writeTextFileSync(`${info}/mine.md5sums`, `${"0".repeat(32)}  ${path.slice(1)}\n`);
    assert.deepEqual(await owner(), ["mine", "modified"]);
  });
});

Deno.test("parseMatches() reads what yara prints, and nothing that a name of a file could add", () => {
  assert.deepEqual(parseMatches("miners:xmrig [linux,miner] /proc/self/fd/9\nx:y [] /f\nerror: x\n\nx:y [] /f\n"), [
    { rule: "miners:xmrig", tags: ["linux", "miner"] },
    { rule: "x:y", tags: [] },
  ]);
});

const wanted = needs({ programs: ["yara"] });

async function withYara(
  rules: Readonly<Record<string, string>>,
  body: (yara: Yara) => Promise<void>,
): Promise<void> {
  await inDirectory(async (directory) => {
    for (const [name, text] of Object.entries(rules)) Deno.writeTextFileSync(`${directory}/${name}`, text);
    const memory = memoryFile();
    try {
      await body(new Yara(directory, memory));
    } finally {
      libc.close(memory);
    }
  });
}

Deno.test({
  name: "Yara scans bytes without a file, leaves out rules that do not compile, and says which",
  ...wanted,
  fn: async () => {
    const good = 'rule xmrig : miner linux { strings: $a = "stratum+tcp" condition: $a }';
    await withYara(
      { "miners.yar": good, "broken.yar": "rule x { condition: nonsense }", "note.txt": "" },
      async (yara) => {
        const bytes = buildElf({ tail: new TextEncoder().encode("stratum+tcp://pool") });
        assert.deepEqual(await yara.scan(bytes, TIMEOUT_MS, NEVER), [{
          rule: "miners:xmrig",
          tags: ["miner", "linux"],
        }]);
        assert.deepEqual(await yara.scan(buildElf(), TIMEOUT_MS, NEVER), []);
        assert.equal(yara.refused.length, 1);
        assert.match(yara.refused[0]!, /broken\.yar: .*undefined identifier "nonsense"/);
      },
    );
    await withYara({ "broken.yar": "rule" }, async (yara) => {
      assert.equal(await codeOf(yara.scan(buildElf(), TIMEOUT_MS, NEVER)), "FAILED");
    });
    await withYara({}, async (yara) => assert.equal(await codeOf(yara.scan(buildElf(), TIMEOUT_MS, NEVER)), "ABSENT"));
  },
});

Deno.test({
  name: "Yara ends a rule that takes too long, one that matches everywhere, and a scan that nobody waits for",
  ...wanted,
  fn: async () => {
    const loops = "rule slow { condition: for all i in (0..2000000000) : (uint8(i % filesize) != 0x1ff) }";
    await withYara({ "slow.yar": loops }, async (yara) => {
      assert.equal(await codeOf(yara.scan(buildElf(), 1_000, NEVER)), "TIMED_OUT");
      const given = new AbortController(), scan = codeOf(yara.scan(buildElf(), 60_000, given.signal));
      setTimeout(() => given.abort(), 100);
      assert.equal(await scan, "TIMED_OUT");
    });
    // Nested repetitions over text that almost matches, again at each of its places
    const nested =
      "rule nested { strings: $a = /((x+)*[a-z]+)+[0-9]{2,8}z/ $b = /(x|xx|x{1,64}){1,999}y/ condition: any of them }";
    await withYara({ "nested.yar": nested }, async (yara) => {
      assert.equal(yara.refused.length, 0, yara.refused.join());
      const bytes = buildElf({ tail: new TextEncoder().encode("x".repeat(4 << 20)) });
      assert.match(await codeOf(yara.scan(bytes, 1_000, NEVER)), /^(TIMED_OUT|FAILED)$/);
    });
    const many = Array.from({ length: 400 }, (_, i) => `rule r${i} { condition: true }`).join("\n");
    await withYara({ "many.yar": many }, async (yara) => {
      assert.equal(await codeOf(yara.scan(buildElf(), TIMEOUT_MS, NEVER)), "FAILED");
    });
  },
});

Deno.test("analyzerService() answers what an agent may ask, and refuses the rest by name", async () => {
  const serve = analyzerService("analyzer", new Stages({ yara: null }), () => ["yara is not installed"]);
  const call = async (operation: string, payload: object, target = "analyzer"): Promise<string> => {
    const request = { operation, target, timeoutMs: 1_000, correlation: null, payload } as never;
    const { status, error } = await serve(request, NEVER);
    return error === null ? status : error.code;
  };
  const task = (metadata: string | null, taskType = "analyze"): object => ({
    kind: "task",
    task: { taskId: "1", taskType, processFilter: null, hashCheck: null, metadata },
  });
  const reason = { kind: "reason", text: "" };
  assert.equal(await call("health_check", reason), "success");
  assert.equal(await call("get_capabilities", reason), "success");
  assert.equal(await call("get_capabilities", reason, "other"), "OTHER_TARGET");
  for (const operation of ["graceful_shutdown", "pause", "update_config", "restart"]) {
    assert.equal(await call(operation, reason), "UNSUPPORTED_OPERATION");
  }
  assert.equal(
    await call("execute_task", task(JSON.stringify(request("elf", Deno.realPathSync("/bin/sh"))))),
    "success",
  );
  assert.equal(await call("execute_task", task(JSON.stringify(request("elf", "/etc/passwd")))), "NOT_EXECUTABLE");
  assert.equal(await call("execute_task", task('{"stage":"sh"}')), "INVALID_TASK");
  assert.equal(await call("execute_task", task(null)), "INVALID_TASK");
  assert.equal(await call("execute_task", task(null, "enumerate_processes")), "UNSUPPORTED_TASK");
});
