import assert from "node:assert/strict";
import { FuzzyHasher, similarity } from "../../../collector/hasher/fuzzy_hash.ts";
import { needs } from "../../support/needs.ts";

/** Numbers that look random and are the same in every run. */
function* randomNumbers(seed: number): Generator<number> {
  for (;;) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    yield seed / 2 ** 32;
  }
}

/** 200 inputs of up to a mebibyte: runs, noise, few letters, patterns, and each third with some places changed. */
function inputs(): Uint8Array[] {
  const random = randomNumbers(20_261_121), next = (below: number): number => Math.floor(random.next().value! * below);
  const all: Uint8Array[] = [new Uint8Array(0), Uint8Array.of(7), new Uint8Array(10_000)];
  while (all.length < 200) {
    const bytes = new Uint8Array(Math.floor(2 ** (random.next().value! * 20)));
    const kind = next(4);
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = kind === 0 ? 65 : kind === 1 ? next(256) : kind === 2 ? next(4) : (i >> 5) & 255;
    }
    all.push(bytes);
    if (all.length % 3 === 0 && bytes.length > 100) {
      const changed = bytes.slice();
      for (let i = 0; i < 5; i++) changed[next(bytes.length)]! ^= 1;
      all.push(changed);
    }
  }
  return all.slice(0, 200);
}

function digestOf(bytes: Uint8Array, step = 65_536, expected = 0): string {
  const hasher = new FuzzyHasher(expected);
  for (let at = 0; at < bytes.length; at += step) hasher.update(bytes.subarray(at, at + step));
  return hasher.digest();
}

Deno.test({
  name: "digests and scores of 200 files are ssdeep's",
  ...needs({ programs: ["ssdeep"] }),
  async fn() {
    const directory = await Deno.makeTempDir();
    try {
      const all = inputs();
      const paths = all.map((_, i) => `${directory}/${String(i).padStart(3, "0")}`);
      all.forEach((bytes, i) => Deno.writeFileSync(paths[i]!, bytes));
      const ssdeep = async (...args: string[]): Promise<string[]> => {
        const { stdout } = await new Deno.Command("ssdeep", { args: [...args, ...paths], stderr: "null" }).output();
        return new TextDecoder().decode(stdout).trim().split("\n");
      };
      const digests = all.map((bytes) => digestOf(bytes));
      assert.deepEqual(all.map((bytes) => digestOf(bytes, 1_000, bytes.length)), digests, "with the size known before");
      const theirs = (await ssdeep("-b")).slice(1);
      assert.deepEqual(digests.map((digest, i) => `${digest},"${String(i).padStart(3, "0")}"`), theirs);

      let compared = 0, alike = 0;
      for (const line of await ssdeep("-d", "-a", "-l")) {
        const [, left, right, score] = /\/(\d{3}) matches .*\/(\d{3}) \((\d+)\)$/.exec(line) ?? [];
        if (left === undefined) continue;
        assert.equal(similarity(digests[Number(left)]!, digests[Number(right)]!), Number(score), line);
        compared++;
        if (Number(score) > 0) alike++;
      }
      assert.ok(compared > 10_000 && alike > 100, `${compared} pairs, ${alike} alike`);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test("a digest does not depend on how the bytes come, and tells a small change from another file", () => {
  const random = randomNumbers(1);
  const bytes = Uint8Array.from({ length: 32_768 }, () => random.next().value! * 256);
  const digest = digestOf(bytes);
  for (const step of [1, 7, 1_000]) assert.equal(digestOf(bytes, step), digest);
  const changed = bytes.slice();
  changed[16_384]! ^= 0xff;
  assert.ok(similarity(digest, digestOf(changed))! > 80);
  const other = Uint8Array.from({ length: 32_768 }, () => random.next().value! * 256);
  assert.equal(similarity(digest, digestOf(other)), 0);
  assert.equal(similarity(digest, digest), 100);
  assert.equal(digestOf(new Uint8Array(0)), "3::");
});

Deno.test("similarity() of what is no digest is unknown", () => {
  for (const text of ["", "3", "3:a", "x:a:b", "3:a:b:c", "3:ä:b", `3:${"a".repeat(65)}:b`, "99999999999:a:b"]) {
    assert.equal(similarity(text, "3::"), null);
    assert.equal(similarity("3::", text), null);
  }
});
