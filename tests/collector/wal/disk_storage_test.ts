import assert from "node:assert/strict";
import { DiskStorage } from "../../../collector/wal/disk_storage.ts";
import { StorageError, writeAll } from "../../../collector/wal/storage.ts";
import { needs } from "../../support/needs.ts";
import { open, outline, readAll, record, write } from "./support.ts";

async function inDirectory(test: (directory: string) => void | Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-wal-" });
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function faultOf(act: () => void): string {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof StorageError, String(error));
    return error.fault;
  }
  return "none";
}

/** The fault of a call that goes on beside. */
async function laterFaultOf(act: () => Promise<void>): Promise<string> {
  try {
    await act();
  } catch (error) {
    assert.ok(error instanceof StorageError, String(error));
    return error.fault;
  }
  return "none";
}

const mode = (path: string): number => Deno.lstatSync(path).mode! & 0o7777;

Deno.test("DiskStorage keeps the directory at 0700 and every file at 0600, whatever was there", () =>
  inDirectory((parent) => {
    const directory = `${parent}/wal`;
    Deno.mkdirSync(directory);
    Deno.chmodSync(directory, 0o777);
    const log = open(new DiskStorage(directory));
    write(log, 3);
    log.close();
    assert.equal(mode(directory), 0o700);
    for (const { name } of Deno.readDirSync(directory)) assert.equal(mode(`${directory}/${name}`), 0o600, name);
  }));

Deno.test("DiskStorage follows no link: not to make a file, not to open one, not as the directory", () =>
  inDirectory((parent) => {
    const directory = `${parent}/wal`, victim = `${parent}/victim`;
    const storage = new DiskStorage(directory);
    Deno.writeTextFileSync(victim, "precious");
    Deno.symlinkSync(victim, `${directory}/link`);
    Deno.symlinkSync(`${parent}/absent`, `${directory}/dangling`);
    assert.equal(faultOf(() => storage.open("link")), "not-a-file");
    assert.equal(faultOf(() => storage.create("link")), "exists");
    assert.equal(faultOf(() => storage.create("dangling")), "exists");
    assert.equal(faultOf(() => storage.open("dangling")), "not-a-file");
    Deno.symlinkSync(directory, `${parent}/other`);
    assert.equal(faultOf(() => new DiskStorage(`${parent}/other`)), "not-a-file");
    storage.rename("link", "moved");
    storage.remove("moved");
    assert.equal(Deno.readTextFileSync(victim), "precious");
    assert.deepEqual(storage.list().map(({ name, kind }) => [name, kind]), [["dangling", "other"]]);
    assert.equal(faultOf(() => storage.open("nothing")), "missing");
  }));

Deno.test({
  name: "DiskStorage does not wait for a pipe that was planted, nor opens it",
  ...needs({ programs: ["mkfifo"] }),
  fn: () =>
    inDirectory((directory) => {
      const storage = new DiskStorage(directory);
      assert.ok(new Deno.Command("mkfifo", { args: [`${directory}/state`] }).outputSync().success);
      assert.equal(faultOf(() => storage.open("state")), "not-a-file");
      const log = open(storage);
      write(log, 1);
      log.close();
      assert.match(log.findings.join(), /state is not a regular file; it was set aside as state\.aside/);
    }),
});

Deno.test("WriteAheadLog on a real disk gives back what it took, over restarts and rotation", () =>
  inDirectory((directory) => {
    for (let run = 0; run < 3; run++) {
      const log = open(new DiskStorage(directory));
      assert.equal(log.nextSequence, run * 100 + 1);
      assert.deepEqual(log.findings, []);
      write(log, 100);
      assert.equal(outline(readAll(log)), Array.from({ length: (run + 1) * 100 }, (_, i) => i + 1).join(" "));
      assert.ok(log.close());
    }
    assert.ok([...Deno.readDirSync(directory)].length > 4);
  }));

Deno.test("WriteAheadLog needs nothing but read and write of its own directory", () =>
  inDirectory(async (directory) => {
    const program = new URL("./disk_program.ts", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--quiet",
        `--allow-read=${directory}`,
        `--allow-write=${directory}`,
        program,
        `${directory}/wal`,
      ],
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.equal(new TextDecoder().decode(stdout), "1 2 3\n");
  }));

Deno.test({
  name: "WriteAheadLog on a file system that is full keeps every promise and goes on when there is room",
  ...needs({ root: true, mount: true, programs: ["mount", "umount"] }),
  fn: () =>
    inDirectory((parent) => {
      const mount = (command: string, ...args: string[]): void => {
        const { success, stderr } = new Deno.Command(command, { args }).outputSync();
        assert.ok(success, new TextDecoder().decode(stderr));
      };
      mount("mount", "-t", "tmpfs", "-o", "size=96k", "daemoneye-wal-test", parent);
      try {
        let now = 0;
        const storage = new DiskStorage(`${parent}/wal`), log = open(storage, { clock: () => now });
        write(log, 10);
        const ballast = new DiskStorage(`${parent}/ballast`), file = ballast.create("file");
        let filled = 0;
        assert.equal(
          faultOf(() => {
            for (;; filled += 512) writeAll(file, filled, new Uint8Array(512));
          }),
          "no-space",
        );
        let taken = 10, refused = 0;
        for (let i = 0; i < 1_000; i++) {
          if (log.append(record(log.nextSequence))) taken += 1;
          else refused += 1;
          now += 50;
          log.flush();
        }
        assert.ok(refused > 0 && log.durable < taken, `${refused} refused, ${log.durable} of ${taken} on disk`);
        assert.match(log.status.fault, /the disk is full/);
        const copy = log.outstanding.reduce((sum, { count }) => sum + count, 0);
        assert.equal(copy, refused);
        file.close();
        ballast.remove("file");
        now += 60_000;
        assert.ok(log.flush());
        assert.ok(log.flush());
        assert.ok(log.durable >= taken);
        assert.ok(readAll(log).every(({ kind }) => kind === "record"));
        assert.ok(log.close());
      } finally {
        mount("umount", parent);
      }
    }),
});

Deno.test("DiskStorage syncs beside writes, reads, syncs and a close of the same file", () =>
  inDirectory(async (directory) => {
    const storage = new DiskStorage(directory), file = storage.create("a"), syncs: Promise<void>[] = [];
    for (let i = 0; i < 20; i++) {
      writeAll(file, i * 4, Uint8Array.of(i, i, i, i));
      syncs.push(file.syncDataBeside());
      assert.equal(file.readAt(i * 4, new Uint8Array(8)), 4);
      if (i % 5 === 0) file.syncData();
    }
    file.close();
    await Promise.all(syncs);
    assert.equal(Deno.statSync(`${directory}/a`).size, 80);
  }));

Deno.test("DiskStorage does not sync another file in the place of the one that is open", () =>
  inDirectory(async (directory) => {
    const storage = new DiskStorage(directory);
    const gone = storage.create("gone"), replaced = storage.create("replaced");
    storage.remove("gone");
    assert.equal(await laterFaultOf(() => gone.syncDataBeside()), "missing");
    storage.create("other").close();
    storage.rename("other", "replaced");
    assert.equal(await laterFaultOf(() => replaced.syncDataBeside()), "not-a-file");
    for (const file of [gone, replaced]) file.close();
  }));

Deno.test("WriteAheadLog flushes beside what is taken meanwhile, on a real disk", () =>
  inDirectory(async (directory) => {
    const log = open(new DiskStorage(`${directory}/wal`));
    write(log, 1);
    for (let i = 0; i < 10; i++) {
      log.append(record(log.nextSequence));
      const before = log.durable, flight = log.flushBeside();
      assert.equal(log.durable, before, "nothing is promised before the disk has it");
      log.append(record(log.nextSequence));
      assert.equal(await flight, false, "what came meanwhile waits");
      assert.equal(log.durable, before + 1);
      assert.equal(await log.flushBeside(), true);
    }
    log.append(record(log.nextSequence));
    const flight = log.flushBeside();
    assert.ok(log.close(), "a log that is closed meanwhile has everything on disk");
    assert.equal(await flight, true);
    const after = open(new DiskStorage(`${directory}/wal`));
    after.flush();
    assert.equal(outline(readAll(after)), Array.from({ length: 22 }, (_, i) => i + 1).join(" "));
    after.close();
  }));

Deno.test("WriteAheadLog whose file is removed while it flushes beside goes on in another", () =>
  inDirectory(async (directory) => {
    const notices: string[] = [];
    const log = open(new DiskStorage(`${directory}/wal`), { notice: (text) => notices.push(text) });
    write(log, 2);
    for (const { name } of Deno.readDirSync(`${directory}/wal`)) {
      if (name.endsWith(".wal")) Deno.removeSync(`${directory}/wal/${name}`);
    }
    log.append(record(log.nextSequence));
    assert.ok(await log.flushBeside());
    assert.equal(log.durable, 3);
    assert.match(notices.join("\n"), /what may be lost is written into a new segment/);
    assert.equal(log.status.faults, 1);
    log.close();
  }));

Deno.test("WriteAheadLog whose directory is removed knows that it is gone, also when it writes no file any more", () =>
  inDirectory(async (directory) => {
    const log = open(new DiskStorage(`${directory}/wal`));
    assert.ok(log.isPresent);
    write(log, 2);
    assert.ok(log.isPresent);
    await Deno.remove(`${directory}/wal`, { recursive: true });
    log.append(record(log.nextSequence));
    assert.equal(await log.flushBeside(), false);
    assert.match(log.status.fault, /^a file has gone/);
    assert.equal(log.isPresent, false);
    log.abandon();
  }));
