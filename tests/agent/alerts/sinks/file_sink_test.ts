import assert from "node:assert/strict";
import { FORMATS } from "../../../../agent/alerts/formats/format.ts";
import { FORMAT_NAMES } from "../../../../proto/sink_settings.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { needs } from "../../../support/needs.ts";
import { fileSink, newAlert, TempDir } from "../../support.ts";

const CONFIG = new URL("../../../../deno.json", import.meta.url).pathname;

function idsIn(path: string): string[] {
  const text = Deno.readTextFileSync(path);
  assert.ok(text === "" || text.endsWith("\n"), "the file ends within a line");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line).alertId);
}

Deno.test("FileSink appends a JSON object a line, for owner and group", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`;
  for (const id of ["a", "b"]) {
    const sink = fileSink(path);
    await sink.write([newAlert(id), newAlert(id + id)]);
    await sink.close();
  }
  assert.deepEqual(idsIn(path), ["a", "aa", "b", "bb"]);
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o640);
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(path).split("\n")[0]!), newAlert("a"));
});

Deno.test("FileSink makes a new file when the old one was renamed or removed", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`, sink = fileSink(path);
  await sink.write([newAlert("a")]);
  Deno.renameSync(path, `${path}.1`);
  await sink.write([newAlert("b")]);
  Deno.removeSync(path);
  await sink.write([newAlert("c")]);
  await sink.close();
  assert.deepEqual([idsIn(`${path}.1`), idsIn(path)], [["a"], ["c"]]);
});

Deno.test("FileSink does not write through a symbolic link, into a pipe or a directory", async () => {
  for (
    const make of [
      (path: string) => Deno.symlinkSync(`${path}.target`, path),
      (path: string) => new Deno.Command("mkfifo", { args: [path] }).outputSync(),
      (path: string) => Deno.mkdirSync(path),
    ]
  ) {
    using dir = new TempDir();
    const path = `${dir.path}/alerts.jsonl`, sink = fileSink(path);
    make(path);
    await assert.rejects(sink.write([newAlert("a")]));
    await sink.close();
    assert.ok(![...Deno.readDirSync(dir.path)].some((entry) => entry.name.endsWith(".target")));
  }
});

Deno.test("FileSink finds what a crash left written, and cuts off a torn line", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`;
  const line = (id: string): string => JSON.stringify(newAlert(id, { commandLine: "ünïcode €" })) + "\n";
  const torn = new TextEncoder().encode(line("torn"));
  for (let cut = 1; cut < torn.length; cut += 13) {
    Deno.writeTextFileSync(path, line("old") + "not json\n" + line("owed"));
    const file = Deno.openSync(path, { append: true });
    file.writeSync(torn.subarray(0, cut));
    file.close();
    const sink = fileSink(path);
    assert.deepEqual([...await sink.written(new Set(["owed", "torn", "other"]))], ["owed"]);
    await sink.write([newAlert("torn")]);
    await sink.close();
    const ids = Deno.readTextFileSync(path).split("\n").filter((text) => text.startsWith("{")).map((text) =>
      JSON.parse(text).alertId
    );
    assert.deepEqual(ids, ["old", "owed", "torn"]);
  }
});

Deno.test("FileSink finds owed alerts at the end of a file that is larger than what it reads of it", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`;
  const file = Deno.openSync(path, { write: true, create: true });
  file.truncateSync(40 << 20);
  file.close();
  const sink = fileSink(path);
  Deno.writeTextFileSync(path, "\n" + JSON.stringify(newAlert("owed")) + "\n", { append: true });
  assert.deepEqual([...await sink.written(new Set(["owed"]))], ["owed"]);
  await sink.close();
});

Deno.test("FileSink on a device that is full throws each time", async () => {
  const sink = fileSink("/dev/full");
  await assert.rejects(sink.write([newAlert("a")]), /ENOSPC|No space/i);
  await assert.rejects(sink.write([newAlert("a")]), /ENOSPC|No space/i);
  await sink.close();
});

const mounting = needs({ root: true, mount: true, programs: ["mount", "umount"] });

Deno.test({
  name: "FileSink on a disk that fills up leaves whole lines only, and goes on when there is room again",
  ignore: mounting.ignore,
  async fn() {
    using dir = new TempDir();
    const disk = `${dir.path}/disk`, path = `${disk}/alerts.jsonl`;
    Deno.mkdirSync(disk);
    const run = (command: string, ...args: string[]): void =>
      assert.equal(new Deno.Command(command, { args }).outputSync().code, 0);
    run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk);
    try {
      const sink = fileSink(path);
      const batch = (n: number) => Array.from({ length: 10 }, (_, i) => newAlert(`${n}-${i}`));
      let written = 0;
      await assert.rejects(async () => {
        for (; written < 1_000; written++) await sink.write(batch(written));
      }, /ENOSPC|No space/i);
      assert.ok(written > 3);
      assert.equal(idsIn(path).length, written * 10);
      run("mount", "-o", "remount,size=256k", disk);
      await sink.write(batch(written));
      await sink.close();
      assert.equal(new Set(idsIn(path)).size, (written + 1) * 10);
    } finally {
      run("umount", disk);
    }
  },
});

Deno.test("FileSink rotates by size, keeps as many as it should, and loses no line", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`, line = JSON.stringify(newAlert("a0")).length + 1;
  const sink = fileSink(path, { rotateBytes: line * 3, rotateKeep: 2 });
  for (let i = 0; i < 8; i++) await sink.write([newAlert(`a${i}`)]);
  assert.deepEqual([idsIn(`${path}.2`), idsIn(`${path}.1`), idsIn(path)], [
    ["a0", "a1", "a2"],
    ["a3", "a4", "a5"],
    ["a6", "a7"],
  ]);
  await sink.write([newAlert("a8"), newAlert("a9"), newAlert("b0"), newAlert("b1")]); // more than a file's size
  await sink.close();
  assert.deepEqual(idsIn(path), ["a8", "a9", "b0", "b1"]);
  assert.deepEqual([...Deno.readDirSync(dir.path)].map(({ name }) => name).sort(), [
    "alerts.jsonl",
    "alerts.jsonl.1",
    "alerts.jsonl.2",
  ]);
});

Deno.test("FileSink rotates under grants of the files' names alone", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/out.log`, rotated = [path, `${path}.1`, `${path}.2`].join(",");
  const program = `
    import { FileSink } from "${new URL("../../../../agent/alerts/sinks/file_sink.ts", import.meta.url)}";
    const settings = JSON.parse(Deno.args[0]);
    const sink = new FileSink(settings, "h");
    for (let i = 0; i < 4; i++) await sink.write([JSON.parse(Deno.args[1])]);
    await sink.close();`;
  Deno.writeTextFileSync(`${dir.path}/program.ts`, program);
  const settings = { type: "file", name: "f", format: "ecs", minSeverity: "info", path, rotateBytes: 1, rotateKeep: 2 };
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", "--cached-only", `--config=${CONFIG}`],
      ...[`--allow-read=${rotated}`, `--allow-write=${rotated}`, `${dir.path}/program.ts`],
      ...[JSON.stringify({ ...settings, fsync: "never" }), JSON.stringify(newAlert("a"))],
    ],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  for (const file of rotated.split(",")) assert.equal(Deno.readTextFileSync(file).split("\n").length, 2, file);
});

Deno.test("FileSink finds what a crash left written in each format that is JSON", async () => {
  for (const format of ["json", "ocsf", "ocsf-process", "ecs"] as const) {
    using dir = new TempDir();
    const path = `${dir.path}/alerts`, before = fileSink(path, { format });
    await before.write([newAlert("owed"), newAlert("other")]);
    await before.close();
    assert.deepEqual([...await fileSink(path, { format }).written(new Set(["owed", "not"]))], ["owed"], format);
  }
});

Deno.test("FileSink has each hostile alert on a line of its own, in every format", async () => {
  const alerts = [...hostileAlerts(600, 9)];
  for (const format of FORMAT_NAMES) {
    using dir = new TempDir();
    const path = `${dir.path}/alerts`, sink = fileSink(path, { format });
    for (let i = 0; i < alerts.length; i += 100) await sink.write(alerts.slice(i, i + 100));
    await sink.close();
    const { header, idOf } = FORMATS[format];
    const lines = Deno.readTextFileSync(path).split("\n").slice(header === null ? 0 : 1, -1);
    assert.equal(lines.length, alerts.length, format);
    if (idOf === undefined) continue;
    assert.deepEqual(lines.map((line) => idOf(JSON.parse(line))), alerts.map(({ alertId }) => alertId), format);
    if (format === "json") assert.deepEqual(lines.map((line) => JSON.parse(line)), alerts);
  }
});

Deno.test("FileSink refuses a link that was put in the place of its file between two writes", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`, sink = fileSink(path);
  await sink.write([newAlert("a")]);
  Deno.renameSync(path, `${path}.old`);
  Deno.symlinkSync(`${dir.path}/target`, path);
  await assert.rejects(sink.write([newAlert("b")]), /symbolic link/);
  Deno.removeSync(path);
  await sink.write([newAlert("b")]);
  await sink.close();
  assert.deepEqual([idsIn(`${path}.old`), idsIn(path)], [["a"], ["b"]]);
});
