import assert from "node:assert/strict";
import fc from "fast-check";
import {
  parseCredentials,
  parseForkCount,
  parseIds,
  parseStat,
  stateName,
} from "../../../collector/kernel/procfs_parse.ts";

const encoder = new TextEncoder();

/** A line as Linux 6.18 wrote it, with another command name. */
function statLine(name: string): Uint8Array {
  return encoder.encode(
    `17719 (${name}) S 17718 17719 17719 0 -1 4194304 118 0 0 0 12 34 0 0 20 0 3 0 560295 2838528 381 ` +
      `18446744073709551615 94143271837696 94143271919569 140734577034112 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 ` +
      `94143271938256 94143271943284 94143278776320 140734577037094 140734577037129 140734577037129 140734577041387 0\n`,
  );
}

/** A file inside a larger buffer whose rest holds what was read before. */
function inBuffer(bytes: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(8_192).fill(41); // ")"
  buffer.set(bytes);
  return buffer;
}

function nameOf(bytes: Uint8Array): string {
  const stat = parseStat(inBuffer(bytes), bytes.length)!;
  return new TextDecoder().decode(bytes.subarray(stat.nameFrom, stat.nameTo));
}

Deno.test("parseStat() reads a recorded line", () => {
  const bytes = statLine("sleep");
  assert.deepEqual(parseStat(inBuffer(bytes), bytes.length), {
    nameFrom: 7,
    nameTo: 12,
    state: "S".charCodeAt(0),
    ppid: 17718,
    terminal: 0,
    flags: 4194304,
    userTicks: 12,
    systemTicks: 34,
    threads: 3,
    startTicks: 560295,
    residentPages: 381,
  });
});

Deno.test("parseStat() is not misled by command names", () => {
  const names = [
    "",
    ")",
    "(",
    "a) S 1 1",
    ") R 1 1 1 1 1",
    "x\ny",
    "  ",
    "((sd-pam))",
    "é\u202e",
    "18) S 1 2 3 4 (x",
  ];
  for (const name of names) {
    assert.equal(nameOf(statLine(name)), name);
    const bytes = statLine(name);
    assert.equal(parseStat(inBuffer(bytes), bytes.length)!.startTicks, 560295, name);
  }
});

Deno.test("parseStat() refuses what is no such line", () => {
  const bytes = statLine("sleep");
  for (const text of ["", "1", "1 (", "1 (a", "1 (a)", "1 (a) ", "1 (a) S", "1 (a) S x y", "(((((", ")))))"]) {
    assert.equal(parseStat(inBuffer(encoder.encode(text)), text.length), null, JSON.stringify(text));
  }
  // Cut anywhere: refused, or the very same facts once all of them are there.
  const whole = parseStat(inBuffer(bytes), bytes.length);
  const enough = new TextDecoder().decode(bytes).indexOf(" 18446744073709551615");
  for (let length = 0; length <= bytes.length; length++) {
    const stat = parseStat(inBuffer(bytes.subarray(0, length)), length);
    if (length > enough) assert.deepEqual(stat, whole);
    else if (stat !== null) assert.equal(stat.startTicks, 560295);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
    parseStat(inBuffer(noise), noise.length);
  }));
});

Deno.test("parseIds() reads real and effective ids", () => {
  const text =
    "Name:\tUid:\\n1\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\nTracerPid:\t0\n" +
    "Uid:\t1000\t0\t1001\t1002\nGid:\t100\t50\t101\t102\nFDSize:\t64\n";
  const ids = new Float64Array(4);
  assert.equal(parseIds(inBuffer(encoder.encode(text)), text.length, ids), true);
  assert.deepEqual([...ids], [1000, 0, 100, 50]);
  const gid = text.indexOf("Gid:\t100");
  for (let length = 0; length < gid + 10; length++) {
    assert.equal(parseIds(inBuffer(encoder.encode(text.slice(0, length))), length, ids), false, `${length} bytes`);
  }
  assert.equal(parseIds(encoder.encode("\nUid:\tx\t1\nGid:\t1\t1\n"), 20, ids), false);
});

Deno.test("parseCredentials() reads what must hold of a thread, and proves nothing from half a file", () => {
  const text = "Name:\tdeno\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapInh:\t0000000000000010\n" +
    "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000006\nCapAmb:\t0000000000000008\n" +
    "NoNewPrivs:\t1\nSeccomp:\t2\n";
  assert.deepEqual(parseCredentials(7, text), {
    tid: 7,
    userIds: [1, 2, 3, 4],
    groupIds: [5, 6, 7, 8],
    supplementaryGroups: [9, 10],
    effectiveCapabilities: 1n,
    permittedCapabilities: 0x1ffffffffffn,
    inheritableCapabilities: 16n,
    ambientCapabilities: 8n,
    boundingCapabilities: 6n,
    noNewPrivileges: true,
    seccomp: 2,
  });
  assert.deepEqual(parseCredentials(7, text.replace("9 10 ", "")).supplementaryGroups, []);
  for (
    const line of ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]
  ) {
    assert.throws(() => parseCredentials(7, text.replace(`${line}:`, "Other:")), SyntaxError);
  }
});

Deno.test("parseForkCount() finds the counter", () => {
  assert.equal(parseForkCount("cpu  1 2\nctxt 9\nbtime 1700000000\nprocesses 123456\nprocs_running 1\n"), 123456);
  assert.equal(parseForkCount("cpu 1\nprocesses many\n"), null);
});

Deno.test("stateName() has a word for every letter", () => {
  const words = [..."RSDTtZXxI?"].map((letter) => stateName(letter.charCodeAt(0)));
  assert.deepEqual(words, [
    "running",
    "sleeping",
    "disk_sleep",
    "stopped",
    "traced",
    "zombie",
    "dead",
    "dead",
    "idle",
    "unknown",
  ]);
});

Deno.test("parseStat() refuses numbers that the kernel does not write", () => {
  const line = new TextDecoder().decode(statLine("sleep"));
  const refuses = (from: string, to: string): void => {
    const bytes = encoder.encode(line.replace(from, to));
    assert.equal(parseStat(inBuffer(bytes), bytes.length), null, to);
  };
  refuses(" 560295 ", " -560295 ");
  refuses(" 560295 ", " 560295-2838528 ");
  refuses(" 560295 ", " --560295 ");
  refuses(" 560295 ", ` ${"9".repeat(400)} `);
});

Deno.test("parseIds() refuses numbers that are no ids", () => {
  const bytes = encoder.encode(`Name:\tx\nUid:\t${"9".repeat(400)}\t0\t0\t0\nGid:\t0\t0\t0\t0\n`);
  assert.equal(parseIds(inBuffer(bytes), bytes.length, new Float64Array(4)), false);
});

Deno.test("parseCredentials() refuses what is no number", () => {
  const status = (uid: string, groups: string, seccomp: string): string =>
    `Uid:\t${uid}\nGid:\t0\t0\t0\t0\nGroups:\t${groups}\nCapEff:\t0\nCapPrm:\t0\n` +
    `CapInh:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t${seccomp}\n`;
  assert.equal(parseCredentials(7, status("1\t1\t1\t1", "", "2")).seccomp, 2);
  assert.throws(() => parseCredentials(7, status("1\t1\tx\t1", "", "2")), /thread 7 says Uid x/);
  assert.throws(() => parseCredentials(7, status("1\t1e309\t1\t1", "", "2")), SyntaxError);
  assert.throws(() => parseCredentials(7, status("1\t1\t1\t1", "0 \x1a", "2")), SyntaxError);
  assert.throws(() => parseCredentials(7, status("1\t1\t1\t1", "", "")), SyntaxError);
});
