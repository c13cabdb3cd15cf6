/**
 * Executables: files of every shape, changed ones, headers with numbers that nobody meant; strings, memory maps and lists of
 * packages beside them.
 *
 * @module
 */
import { ElfError, parseElf } from "../../../collector/analyzer/elf.ts";
import { parseMaps } from "../../../collector/analyzer/memory_maps.ts";
import { listedNames, listHas, md5Of, packageOfList } from "../../../collector/analyzer/package_owner.ts";
import { findStrings, MAX_STRINGS } from "../../../collector/analyzer/strings.ts";
import { buildElf } from "../../support/elf_builder.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

/** Files to begin with, made once: to build one costs more than to read it. */
function shapes(): Uint8Array<ArrayBuffer>[] {
  const both = [true, false];
  return both.flatMap((is64) =>
    both.flatMap((littleEndian) =>
      both.flatMap((bare) => [
        buildElf({ is64, littleEndian, bare }),
        buildElf({ is64, littleEndian, bare, needed: [], interpreter: null, withSymbolTable: true }),
        buildElf({ is64, littleEndian, bare, imports: ["execve", "ptrace", "mprotect"], bindsNow: true, codeFlags: 7 }),
      ])
    )
  );
}

/** Numbers into the headers, where they do most. */
function hostile(random: Random, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length < 16) return bytes;
  const changed = bytes.slice(), view = new DataView(changed.buffer);
  for (let changes = 1 + random.below(6); changes > 0; changes--) {
    const most = random.oneIn(3) ? changed.length : Math.min(changed.length, 640);
    const at = random.below(Math.max(1, most - 8)), little = random.oneIn(2);
    if (random.oneIn(2)) view.setUint32(at, random.edge(), little);
    else {view.setBigUint64(
        at,
        BigInt.asUintN(64, BigInt(Math.trunc(random.edge())) << BigInt(random.below(33))),
        little,
      );}
  }
  return changed;
}

const elf: FuzzTarget = {
  name: "elf",
  share: 30_000,
  open: () => {
    const whole = shapes();
    for (const bytes of whole) must(parseElf(bytes).faults.length === 0, "a sound file has no faults");
    return (random) => {
      const base = random.pick(whole);
      const bytes = random.oneIn(4)
        ? mutate(random, base)
        : hostile(random, random.oneIn(3) ? mutate(random, base) : base);
      return { show: () => hex(bytes), run: () => readElf(bytes) };
    };
  },
};

function readElf(bytes: Uint8Array): void {
  try {
    const facts = parseElf(bytes);
    must(
      facts.sections.length <= 1_024 && facts.needed.length <= 256 && facts.faults.length <= 16,
      "lists are bounded",
    );
    must(facts.entropy >= 0 && facts.entropy <= 8, "entropy is of bytes");
    must(facts.imports >= 0 && facts.imports <= 200_000, "imports are bounded");
    must(JSON.stringify(facts).length < 2_000_000, "facts are bounded");
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
  }
}

const strings: FuzzTarget = {
  name: "elf:strings",
  share: 15_000,
  open: () => {
    const seeds = [
      "http://203.0.113.9:80/x",
      "/bin/sh -c ",
      "/etc/ld.so.preload",
      "10.0.0.1.2.3:4",
      "a@b.co",
      "\0\0",
      "A\0B\0",
    ];
    return (random) => {
      const text = Array.from({ length: 1 + random.below(12) }, () => random.pick(seeds)).join(
        random.pick(["\0", " ", "\n", ""]),
      );
      const bytes = mutate(random, new TextEncoder().encode(text));
      return {
        show: () => hex(bytes),
        run: () => {
          const { strings, omitted } = findStrings(bytes);
          must(strings.length <= MAX_STRINGS && omitted >= 0, "strings are bounded");
          must(strings.every(({ text, offset }) => text.length <= 256 && offset < bytes.length), "each is in the file");
        },
      };
    };
  },
};

const maps: FuzzTarget = {
  name: "elf:maps",
  share: 8_000,
  open: () => {
    const lines = [
      "55d0c0000000-55d0c0001000 r-xp 00000000 08:01 131 /usr/bin/sleep\n",
      "7f0000000000-7f0000002000 rwxp 00000000 00:00 0 \n",
      "7f0000006000-7f0000007000 r-xp 00000000 00:01 77 /memfd:x (deleted)\n",
    ];
    return (random) => {
      const text = new TextDecoder().decode(
        mutate(
          random,
          new TextEncoder().encode(Array.from({ length: random.below(8) }, () => random.pick(lines)).join("")),
        ),
      );
      return {
        show: () => text.slice(0, 2_048),
        run: () => {
          const found = parseMaps(text);
          must(found.named.length <= 32 && found.strayCodeBytes >= 0, "maps are bounded");
          const names = listedNames(text.slice(0, 64));
          must(typeof listHas(text, names) === "boolean", "a list is read");
          must(
            (md5Of(text, names) ?? "").length <= 32 && (packageOfList(text) ?? "").length <= 161,
            "names are bounded",
          );
        },
      };
    };
  },
};

export const executables: readonly FuzzTarget[] = [elf, strings, maps];
