import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import {
  addressOf,
  bootTimeNs,
  checked,
  copyFrom,
  copyTo,
  cString,
  errno,
  libc,
  LIBC_PATHS,
  libcPath,
  map,
  NativeArena,
  SystemCallError,
} from "../../../collector/kernel/libc.ts";

Deno.test("libc opens one of the known paths", () => {
  ok(LIBC_PATHS.includes(libcPath));
  equal(libc.getpid(), Deno.pid);
});

Deno.test("libc gives the error number of the last call", () => {
  equal([libc.close(-1), errno()], [-1, 9]);
  equal([libc.open(cString("/nonexistent"), 0, 0), errno()], [-1, 2]);
  throws(() => checked(libc.close(-1), "close"), (error) => {
    ok(error instanceof SystemCallError);
    equal([error.call, error.errno, error.message], ["close", 9, "close failed: EBADF: bad file descriptor"]);
    return true;
  });
  throws(() => map(4096, 1, 1, -1, 0), /mmap failed: EBADF/);
});

Deno.test("libc copies to and from addresses", () => {
  const held = { bytes: Uint8Array.of(1, 2, 3, 4) };
  const copy = new Uint8Array(4);
  copyFrom(addressOf(held.bytes), copy);
  equal(copy, held.bytes);
  copyTo(addressOf(held.bytes), Uint8Array.of(9, 8));
  equal(held.bytes, Uint8Array.of(9, 8, 3, 4));
});

Deno.test("native arena keeps what is placed, at aligned places, and refuses more than it has", () => {
  const arena = new NativeArena(4096);
  const first = arena.place(Uint8Array.of(1, 2, 3)), second = arena.place(Uint8Array.of(4, 5));
  equal([first % 8n, second - first], [0n, 8n]);
  const read = new Uint8Array(10);
  copyFrom(first, read);
  equal(read, Uint8Array.of(1, 2, 3, 0, 0, 0, 0, 0, 4, 5));
  throws(() => arena.reserve(4090), /has no room/);
  arena.release();
});

Deno.test("bootTimeNs() goes on, by nanoseconds", () => {
  const before = bootTimeNs(), after = bootTimeNs();
  ok(after >= before && after - before < 5e9);
  ok(before > 0);
});

Deno.test("libc works under a grant of nothing but its path", async () => {
  const module = new URL("../../../collector/kernel/libc.ts", import.meta.url).href;
  const run = async (...grants: string[]): Promise<string> => {
    const code = `const { libc, bootTimeNs } = await import(${
      JSON.stringify(module)
    }); console.log(libc.getpid() === Deno.pid && bootTimeNs() > 0);`;
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    try {
      await Deno.writeTextFile(file, code);
      const args = ["run", "--no-prompt", "--no-check", "--no-lock", ...grants, file];
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" } }).output();
      return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    } finally {
      await Deno.remove(file);
    }
  };
  equal(await run(`--allow-ffi=${libcPath}`), "true\n");
  ok((await run()).includes("No C library could be opened; grant one with --allow-ffi=PATH"));
});
