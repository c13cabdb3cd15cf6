import assert from "node:assert/strict";
import { DiskHome, tryOut } from "../../../collector/wal/home.ts";
import { StorageError } from "../../../collector/wal/storage.ts";
import { open, outline, readAll, write } from "./support.ts";

async function inDirectory(test: (directory: string) => void): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-wal-" });
  try {
    test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const mode = (path: string): number => Deno.lstatSync(path).mode! & 0o777;

Deno.test("DiskHome makes itself and each log closed to all others, and moves a log whole", () =>
  inDirectory((parent) => {
    const home = new DiskHome(`${parent}/wal`);
    assert.deepEqual(home.list(), []);
    const log = open(home.storage("1"));
    write(log, 3);
    log.close();
    assert.deepEqual([mode(`${parent}/wal`), mode(`${parent}/wal/1`)], [0o700, 0o700]);
    Deno.writeTextFileSync(`${parent}/wal/note`, "a file is no log");
    home.rename("1", "2");
    assert.deepEqual(home.list(), ["2"]);
    const moved = open(home.storage("2"));
    moved.flush();
    assert.equal(outline(readAll(moved)), "1 2 3");
    moved.close();
    home.remove("2");
    assert.deepEqual(home.list(), []);
  }));

Deno.test("DiskHome follows no link, and says a place that cannot be made", () =>
  inDirectory((parent) => {
    Deno.mkdirSync(`${parent}/elsewhere`);
    Deno.symlinkSync(`${parent}/elsewhere`, `${parent}/wal`);
    assert.throws(() => new DiskHome(`${parent}/wal`).list(), StorageError);
    Deno.mkdirSync(`${parent}/home`);
    Deno.symlinkSync(`${parent}/elsewhere`, `${parent}/home/1`);
    const home = new DiskHome(`${parent}/home`);
    assert.deepEqual(home.list(), [], "a link is no log");
    assert.throws(() => home.storage("1"), /is not a directory; move it away/);
    assert.deepEqual([...Deno.readDirSync(`${parent}/elsewhere`)], []);
    assert.throws(() => new DiskHome(`${parent}/absent/wal`).list(), StorageError);
    Deno.writeTextFileSync(`${parent}/file`, "");
    assert.throws(() => new DiskHome(`${parent}/file`).list(), StorageError);
  }));

Deno.test("tryOut() leaves nothing behind", () =>
  inDirectory((parent) => {
    const home = new DiskHome(`${parent}/wal`);
    tryOut(home, "0.new");
    assert.deepEqual(home.list(), []);
  }));
