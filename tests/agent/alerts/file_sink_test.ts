import assert from "node:assert/strict";
import { FileSink } from "../../../agent/alerts/file_sink.ts";
import { needs } from "../../support/needs.ts";
import { newAlert, TempDir } from "../support.ts";

function idsIn(path: string): string[] {
  const text = Deno.readTextFileSync(path);
  assert.ok(text === "" || text.endsWith("\n"), "the file ends within a line");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line).alertId);
}

Deno.test("FileSink appends a JSON object a line, for owner and group", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`;
  for (const id of ["a", "b"]) {
    const sink = new FileSink(path);
    await sink.write([newAlert(id), newAlert(id + id)]);
    await sink.close();
  }
  assert.deepEqual(idsIn(path), ["a", "aa", "b", "bb"]);
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o640);
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(path).split("\n")[0]!), newAlert("a"));
});

Deno.test("FileSink makes a new file when the old one was renamed or removed", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/alerts.jsonl`, sink = new FileSink(path);
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
    const path = `${dir.path}/alerts.jsonl`, sink = new FileSink(path);
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
    const sink = new FileSink(path);
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
  const sink = new FileSink(path);
  Deno.writeTextFileSync(path, "\n" + JSON.stringify(newAlert("owed")) + "\n", { append: true });
  assert.deepEqual([...await sink.written(new Set(["owed"]))], ["owed"]);
  await sink.close();
});

Deno.test("FileSink on a device that is full throws each time", async () => {
  const sink = new FileSink("/dev/full");
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
      const sink = new FileSink(path);
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
