/** Every state of a hash, made for real. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { FileCalls } from "../../../collector/hasher/file_calls.ts";
import { deviceOfMount } from "../../../collector/hasher/file_faults.ts";
import { type FileHasherOptions, hashFile } from "../../../collector/hasher/file_hasher.ts";
import { HashCache } from "../../../collector/hasher/hash_cache.ts";
import type { HashAnswer, HashRequest } from "../../../collector/hasher/protocol.ts";
import { needs } from "../../support/needs.ts";
import { inProcess } from "../../support/own_process.ts";

class Ground implements AsyncDisposable {
  readonly cache = new HashCache();
  private constructor(readonly directory: string) {}

  static async make(): Promise<Ground> {
    return new Ground(await Deno.realPath(await Deno.makeTempDir({ prefix: "daemoneye-hash-" })));
  }

  /** A file that changed so long ago that its times tell. */
  async file(name: string, content: string | Uint8Array): Promise<string> {
    const path = `${this.directory}/${name}`;
    await (typeof content === "string" ? Deno.writeTextFile(path, content) : Deno.writeFile(path, content));
    return path;
  }

  async hash(
    path: string,
    more: Partial<HashRequest> = {},
    options: Partial<FileHasherOptions> = {},
    calls = new FileCalls(),
    isGivenUp = () => false,
  ): Promise<HashAnswer> {
    const request = { id: 5, path, device: null, inode: null, changeTime: null, isForeign: false, ...more };
    const limits = { maxBytes: 1 << 20, maxFuzzyBytes: 1 << 20, cache: this.cache };
    try {
      return await hashFile(request, calls, { ...limits, ...options }, isGivenUp);
    } finally {
      calls.release();
    }
  }

  async state(...args: Parameters<Ground["hash"]>): Promise<string> {
    const { id, state, hash } = await this.hash(...args);
    assert.equal(id, 5);
    assert.equal(hash !== null, state === "hashed");
    return state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** The numbers of a file as a request has them. */
function numbers(path: string): { device: number; inode: number } {
  const { dev, ino } = Deno.statSync(path);
  // As glibc puts major and minor together, taken apart and put together as the kernel does.
  const major = Number((BigInt(dev) >> 8n) & 0xfffn), minor = (dev & 0xff) | (Math.floor(dev / 2 ** 12) & 0xfff00);
  return { device: (major << 20 | minor) >>> 0, inode: ino! };
}

/** Until the clock of the file system has gone on. */
const nextTick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

const LATER = (): number => Date.now() + 60_000;

Deno.test("a file is hashed as sha256sum does, whatever its size, and with its fuzzy hash up to a limit", async () => {
  await using ground = await Ground.make();
  for (const size of [0, 1, 262_143, 262_144, 262_145, 700_001]) {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    const path = await ground.file(`of ${size}`, bytes);
    const answer = await ground.hash(path, numbers(path), { maxFuzzyBytes: 300_000 });
    assert.equal(answer.state, "hashed");
    assert.equal(answer.hash, createHash("sha256").update(bytes).digest("hex"));
    assert.equal(answer.fuzzyHash !== null, size <= 300_000, `fuzzy hash of ${size} bytes`);
  }
});

Deno.test("a file that was hashed is not read again until it is another version", async () => {
  await using ground = await Ground.make();
  class Counting extends FileCalls {
    opened = 0;
    override open(handle: number): Promise<number> {
      this.opened++;
      return super.open(handle);
    }
  }
  const reads = async (now: () => number = LATER): Promise<[number, boolean]> => {
    const calls = new Counting(), { isSettled } = await ground.hash(path, {}, { now }, calls);
    return [calls.opened, isSettled];
  };
  const path = await ground.file("program", "one");
  const changed = Deno.statSync(path).ctime!.getTime();
  assert.deepEqual(await reads(() => changed), [1, false], "a second write may come within the same tick");
  assert.deepEqual(await reads(), [1, true]);
  assert.deepEqual(await reads(), [0, true]);
  await nextTick();
  await Deno.chmod(path, 0o700);
  assert.deepEqual(await reads(), [1, true]);
  await nextTick();
  await ground.file("program", "two");
  const times = Deno.statSync(path);
  Deno.utimeSync(path, times.atime!, times.mtime!); // as who hides a write does
  assert.deepEqual(await reads(), [1, true]);
  assert.equal((await ground.hash(path)).hash, createHash("sha256").update("two").digest("hex"));
});

Deno.test("HashCache forgets what was longest without use", () => {
  const cache = new HashCache(2);
  const facts = { kind: "file", device: 1, size: 1, modifyTime: 1, changeTime: 1, mountId: 0 } as const;
  const put = (inode: number): void => cache.put({ ...facts, inode }, { hash: String(inode), fuzzyHash: null });
  put(1), put(2);
  assert.equal(cache.get({ ...facts, inode: 1 })?.hash, "1");
  put(3);
  assert.equal(cache.get({ ...facts, inode: 2 }), null);
  assert.deepEqual([cache.get({ ...facts, inode: 1 })?.hash, cache.size], ["1", 2]);
});

Deno.test("a path that names nothing is missing", async () => {
  await using ground = await Ground.make();
  const file = await ground.file("file", "");
  assert.equal(await ground.state(`${ground.directory}/none`), "missing");
  assert.equal(await ground.state(`${ground.directory}/none/deeper/still`), "missing");
  assert.equal(await ground.state(`${file}/below`), "missing");
});

Deno.test({
  name: "what another user may not read is unreadable, also where only a directory on the way forbids it",
  ...needs({ root: true }),
  async fn() {
    await using ground = await Ground.make();
    await Deno.chmod(ground.directory, 0o755);
    await Deno.mkdir(`${ground.directory}/closed/in`, { recursive: true });
    for (const name of ["closed/in/file", "file", "open"]) await ground.file(name, "x");
    await Deno.chmod(`${ground.directory}/closed`, 0o700);
    await Deno.chmod(`${ground.directory}/file`, 0o700);
    const root = new URL("../../../collector/", import.meta.url).href;
    const { stdout, stderr } = await inProcess(`
      import { dropPrivileges } from "${root}privilege.ts";
      import { forbidDumps } from "${root}kernel/seccomp.ts";
      import { FileCalls } from "${root}hasher/file_calls.ts";
      import { HashCache } from "${root}hasher/hash_cache.ts";
      import { hashFile } from "${root}hasher/file_hasher.ts";
      dropPrivileges({ userId: 12345, groupId: 12345 });
      forbidDumps();
      const options = { cache: new HashCache(), maxBytes: 100, maxFuzzyBytes: 100 };
      for (const name of ["closed/in/file", "closed/none", "file", "none", "open"]) {
        const request = { id: 1, path: "${ground.directory}/" + name, device: null, inode: null, changeTime: null, isForeign: false };
        console.log(name, (await hashFile(request, new FileCalls(), options, () => false)).state);
      }
    `);
    assert.deepEqual(stdout.trim().split("\n"), [
      "closed/in/file unreadable",
      "closed/none unreadable",
      "file unreadable",
      "none missing",
      "open hashed",
    ], stderr);
  },
});

Deno.test({
  name: "pipes, devices, directories and sockets are not regular, and none of them is opened",
  ...needs({ programs: ["mkfifo"] }),
  async fn() {
    await using ground = await Ground.make();
    class NeverOpens extends FileCalls {
      override open(): Promise<number> {
        throw new Error("it was opened");
      }
    }
    const state = (path: string): Promise<string> => ground.state(path, {}, {}, new NeverOpens());
    const pipe = `${ground.directory}/pipe`, socket = `${ground.directory}/socket`;
    await new Deno.Command("mkfifo", { args: [pipe] }).output();
    using _listener = Deno.listen({ transport: "unix", path: socket });
    for (const path of [pipe, socket, ground.directory, "/dev/null"]) {
      assert.equal(await state(path), "not_regular", path);
    }
  },
});

Deno.test("a file that is not the executed one is replaced: another inode, a link, a way that was turned", async () => {
  await using ground = await Ground.make();
  const path = await ground.file("program", "first"), executed = numbers(path);
  await ground.file("other", "second");
  assert.equal(await ground.state(path, executed), "hashed");
  await Deno.rename(`${ground.directory}/other`, path);
  assert.equal(await ground.state(path, executed), "replaced");
  assert.equal(await ground.state(path, { ...numbers(path), device: 1 }), "replaced");
  await Deno.rename(path, `${ground.directory}/moved`);
  await Deno.symlink("moved", path);
  assert.equal(await ground.state(path), "replaced");
  assert.equal(await ground.state(path, numbers(`${ground.directory}/moved`)), "replaced");
  await Deno.mkdir(`${ground.directory}/way`);
  const below = await ground.file("way/null", "third"), there = numbers(below);
  await Deno.rename(`${ground.directory}/way`, `${ground.directory}/away`);
  await Deno.symlink("/dev", `${ground.directory}/way`);
  assert.equal(await ground.state(below, there), "replaced");
  assert.equal(await ground.state(below), "not_regular");
});

Deno.test("a file in another mount namespace is foreign unless the path leads to it here too", async () => {
  await using ground = await Ground.make();
  const path = await ground.file("program", "x");
  assert.equal(await ground.state(path, { isForeign: true }), "foreign");
  assert.equal(await ground.state(path, { ...numbers(path), inode: 1, isForeign: true }), "foreign");
  assert.equal(await ground.state(`${path}.none`, { ...numbers(path), isForeign: true }), "foreign");
  assert.equal(await ground.state(path, { ...numbers(path), isForeign: true }), "hashed");
});

Deno.test("a file that was written to is changed: since it was executed, while it is read, longer or shorter", async () => {
  await using ground = await Ground.make();
  const path = await ground.file("program", "x".repeat(600_000));
  const calls = new FileCalls();
  const executed = (await calls.factsOf(path))!;
  calls.release();
  const { changeTime } = executed;
  assert.equal(await ground.state(path, { ...numbers(path), changeTime }), "hashed");
  await nextTick();
  await Deno.writeTextFile(path, "y", { append: true });
  assert.equal(await ground.state(path, { ...numbers(path), changeTime }), "changed");

  const meanwhile = (act: () => Promise<void>): FileCalls =>
    new class extends FileCalls {
      #done = false;
      override async read(handle: number): Promise<number> {
        const count = await super.read(handle);
        if (!this.#done) await act();
        this.#done = true;
        return count;
      }
    }();
  const options = { cache: new HashCache() };
  const acts = {
    append: () => Deno.writeTextFile(path, "z", { append: true }),
    truncate: () => Deno.truncate(path, 300_000),
    overwrite: async () => {
      await nextTick();
      using file = await Deno.open(path, { write: true });
      await file.write(new Uint8Array(1));
    },
  };
  for (const [name, act] of Object.entries(acts)) {
    assert.equal(await ground.state(path, {}, options, meanwhile(act)), "changed", name);
  }
});

Deno.test("a file of 10 GiB is too large, and nothing of it is read", async () => {
  await using ground = await Ground.make();
  const path = await ground.file("program", "");
  await Deno.truncate(path, 10 * 2 ** 30);
  const { state, isSettled } = await ground.hash(path, {}, { maxBytes: 512 << 20, now: LATER });
  assert.deepEqual([state, isSettled], ["too_large", true]);
});

Deno.test("a file that is given up is timed out with its next piece", async () => {
  await using ground = await Ground.make();
  const path = await ground.file("program", new Uint8Array(900_000));
  let asked = 0;
  const state = await ground.state(path, {}, {}, new FileCalls(), () => ++asked > 2);
  assert.deepEqual([state, asked], ["timed_out", 3]);
});

Deno.test("deviceOfMount() takes the kernel's own device out of the table of mounts", () => {
  const table = "21 1 254:0 / / rw - ext4 /dev/vda rw\n121 21 0:52 / /home rw - btrfs /dev/vdb rw\n";
  assert.equal(deviceOfMount(table, 121), 52);
  assert.equal(deviceOfMount(table, 21), 254 << 20);
  assert.equal(deviceOfMount(table, 1), null);
});
