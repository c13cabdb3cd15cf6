/** Both halves in one process: a pipe and descriptors do not mind who reads them. */
import assert from "node:assert/strict";
import { BpfError, createMap, MAP_TYPE } from "../../../collector/kernel/bpf.ts";
import {
  endInheritance,
  forgetOpenings,
  handOver,
  InheritanceError,
  isTakenOver,
  objectOf,
  opening,
  record,
  takeOver,
  told,
} from "../../../collector/kernel/inheritance.ts";
import { cString, libc, SystemCallError } from "../../../collector/kernel/libc.ts";
import { needs } from "../../support/needs.ts";

const MAP = { name: "de_test", type: MAP_TYPE.array, keyBytes: 4, valueBytes: 8, entries: 3 };

function openNull(): number {
  return libc.open(cString("/dev/null"), 0, 0);
}

/** Runs `code` and leaves nothing recorded or taken over, whatever comes of it. */
function apart(code: () => void): void {
  try {
    code();
  } finally {
    try {
      endInheritance();
    } catch {
      // What the case left behind on purpose.
    }
  }
}

Deno.test("a fact is found once, and so is its error; an opening outside of both times is passed through", () => {
  apart(() => {
    record();
    const found = { when: 3n, names: new Map([["a", [1]]]), bytes: Uint8Array.of(1, 2) };
    assert.equal(told("fact", () => found), found);
    assert.throws(() =>
      told("fault", () => {
        throw new RangeError("no such thing");
      }), RangeError);
    takeOver(handOver());
    assert.ok(isTakenOver());
    const never = (): never => assert.fail("found again");
    assert.deepEqual(told<unknown>("fact", never), found);
    assert.throws(() => told("fault", never), /no such thing/);
    assert.throws(() => told("another", never), InheritanceError);
    endInheritance();
    assert.equal(opening("thing", () => 77, never), 77);
    assert.equal(told("fact", () => 5), 5);
  });
});

Deno.test("a descriptor is taken over by its name and what it is; one that was closed has a stand-in", () => {
  apart(() => {
    record();
    const yes = (): boolean => true, never = (): never => assert.fail("opened again");
    opening("forgotten", openNull, yes);
    forgetOpenings();
    const closed = opening("closed", openNull, yes);
    libc.close(closed);
    const kept = opening("kept", openNull, yes); // most likely by the number of the one before
    const pipe = handOver();
    assert.equal(objectOf(kept), "/dev/null");
    takeOver(pipe);
    const standIn = opening("closed", never, yes);
    assert.notEqual(standIn, kept);
    assert.equal(opening("kept", never, (descriptor) => descriptor === kept), kept);
    libc.close(standIn);
    assert.equal(objectOf(kept), "/dev/null", "it outlives the stand-in");
    endInheritance();
    libc.close(kept);
  });
});

Deno.test("an opening that failed fails again, with the same error", () => {
  apart(() => {
    record();
    const yes = (): boolean => true, never = (): never => assert.fail("opened again");
    const errors = [
      new SystemCallError("socket of something", 93),
      new Error("no answer"),
      new BpfError("map x", 7, "log"),
    ];
    for (const error of errors) {
      assert.throws(() =>
        opening("thing", () => {
          throw error;
        }, yes), (thrown) => thrown === error);
    }
    takeOver(handOver());
    for (const error of errors) {
      assert.throws(() => opening("thing", never, yes), (thrown) => {
        assert.ok(thrown instanceof error.constructor);
        if (!(error instanceof BpfError)) assert.equal((thrown as Error).message, error.message);
        if ("errno" in error) assert.equal((thrown as SystemCallError).errno, error.errno);
        return true;
      });
    }
    endInheritance();
  });
});

Deno.test("what is handed over under another name, is something else, or is asked for by nobody is refused", () => {
  const yes = (): boolean => true;
  const handed = (): number => {
    record();
    const fd = opening("thing", openNull, yes);
    takeOver(handOver());
    return fd;
  };
  apart(() => {
    const fd = handed();
    assert.throws(() => opening("other", openNull, yes), /Expected other to be handed over, but it is thing/);
    libc.close(fd);
  });
  apart(() => {
    const fd = handed();
    assert.throws(() => opening("thing", openNull, () => false), new RegExp(`Descriptor ${fd} is not thing`));
    libc.close(fd);
  });
  apart(() => {
    // Something else has got the number meanwhile.
    const fd = handed();
    libc.close(fd);
    const other = libc.open(cString("/dev/zero"), 0, 0);
    assert.equal(other, fd);
    assert.throws(() => opening("thing", openNull, yes), new RegExp(`Descriptor ${fd} is not thing`));
    libc.close(other);
  });
  apart(() => {
    const fd = handed();
    assert.throws(() => endInheritance(), /Nobody asked for thing/);
    libc.close(fd);
  });
  apart(() => {
    const fd = handed();
    assert.equal(opening("thing", openNull, yes), fd);
    assert.throws(() => opening("thing", openNull, yes), /but it is nothing/);
    libc.close(fd);
  });
});

Deno.test("takeOver() refuses what no collector has handed over", () => {
  assert.throws(() => takeOver(9_999), InheritanceError);
  const fd = openNull();
  assert.throws(() => takeOver(fd), InheritanceError);
  libc.close(fd);
  for (const bytes of [new Uint8Array(0), Uint8Array.of(1, 2, 3), new Uint8Array(60_000).fill(255)]) {
    const ends = new Int32Array(2);
    assert.equal(libc.pipe2(new Uint8Array(ends.buffer), 0), 0);
    assert.equal(libc.write(ends[1]!, bytes, bytes.length), bytes.length);
    libc.close(ends[1]!);
    assert.throws(() => takeOver(ends[0]!), InheritanceError);
    assert.equal(isTakenOver(), false);
  }
});

Deno.test({
  name: "a map is taken over if it has the shape that is asked for, and a refusal is met again with its number",
  ...needs({ root: true, bpf: true }),
  fn() {
    const handed = (): number => {
      record();
      const fd = createMap(MAP);
      assert.throws(() => createMap({ ...MAP, type: 9_999 }), BpfError);
      takeOver(handOver());
      return fd;
    };
    apart(() => {
      const fd = handed();
      assert.equal(createMap(MAP), fd);
      assert.throws(
        () => createMap({ ...MAP, type: MAP_TYPE.array }),
        (error) => error instanceof BpfError && error.errno === 22,
      );
      endInheritance();
      libc.close(fd);
    });
    const others = [{ type: MAP_TYPE.perCpuArray }, { keyBytes: 8 }, { valueBytes: 16 }, { entries: 4 }, {
      flags: 1024,
    }];
    for (const other of others) {
      apart(() => {
        const fd = handed();
        assert.throws(() => createMap({ ...MAP, ...other }), InheritanceError, JSON.stringify(other));
        libc.close(fd);
      });
    }
  },
});
