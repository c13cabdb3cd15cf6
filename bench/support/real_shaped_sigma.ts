/**
 * Sigma rules of the shapes that real ones have, in any number, from a seed: made of the same words as the rules in SQL
 * (`real_shaped_rules.ts`), so that the same events touch them.
 *
 * What is asked how often follows the public rules for process creation: ends of images, pieces of the command line, of
 * which one or all must be there, a few regular expressions, dashes of Windows, and filters by parent or argument.
 *
 * @module
 */
import { Random } from "../../tests/fuzz/random.ts";
import { madeUp, type Shape, wordsOf } from "./real_shaped_rules.ts";

/** The text of a Sigma file. */
export function sigmaFile(seed: number, number: number, shape: Shape): string {
  const random = new Random(seed ^ 0x516a, number), windows = shape === "windows";
  const { programs, separator, extension, switches } = wordsOf(shape);
  const list = (most: number, make: () => string): string =>
    Array.from({ length: 1 + random.below(1 + random.below(most)) }, make).map((value) => `\n            - ${value}`)
      .join("");
  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const program = (everyday: boolean) => (): string =>
    quoted(`${separator}${everyday ? random.pick(programs) : madeUp(random, 4_000)}${extension}`);
  const piece = (own: boolean) => (): string => {
    if (!own) return quoted(` ${random.pick(switches)} `);
    return quoted(random.oneIn(2) ? madeUp(random, 3_000) : `${random.pick(switches)} ${madeUp(random, 3_000)}`);
  };
  // Rare programs are found by their names alone, everyday ones by what they are told to do
  const everyday = !random.oneIn(4), parts: string[] = [];
  const part = (name: string, item: string, values: string): void =>
    void parts.push(`    ${name}:\n        ${item}:${values}`);
  if (!everyday || !random.oneIn(5)) {
    part("selection_img", "Image|endswith", list(windows ? 6 : 8, program(everyday)));
  }
  if (random.oneIn(8)) part("selection_parent", "ParentImage|endswith", list(4, program(true)));
  if (everyday && random.oneIn(windows ? 4 : 8)) {
    part("selection_all", "CommandLine|contains|all", list(1, piece(false)) + list(2, piece(false)));
  } else if (everyday || random.oneIn(2)) {
    const modifiers = windows && random.oneIn(20) ? "windash|contains" : "contains";
    part("selection_cli", `CommandLine|${modifiers}`, list(windows ? 14 : 8, piece(true)));
    if (random.oneIn(25)) {
      part("selection_re", "CommandLine|re", `\n            - '${madeUp(random, 3_000)}[0-9]{1,4}(\\.|$)'`);
    }
  }
  if (random.oneIn(4)) {
    part("filter_main", random.oneIn(2) ? "ParentImage|endswith" : "CommandLine|contains", list(3, piece(true)));
  }
  if (random.oneIn(12)) parts.push(`    filter_user:\n        User: ${random.oneIn(2) ? "null" : "backup"}`);
  const filters = parts.some((text) => text.startsWith("    filter_")) ? " and not 1 of filter_*" : "";
  return `title: A ${shape} rule of a real shape, number ${number}
id: 00000000-0000-4000-8000-${((windows ? 1_000_000 : 0) + number).toString(16).padStart(12, "0")}
status: test
description: Made up to measure with. A real rule says here what it found, and why that is bad.
references:
    - https://example.org/a-report
author: Nobody
date: 2026-01-01
tags:
    - attack.execution
    - attack.t1059
logsource:
    category: process_creation
    product: linux
detection:
${parts.join("\n")}
    condition: all of selection_*${filters}
falsepositives:
    - Everything that it finds
level: ${random.pick(["low", "medium", "high"])}
`;
}

if (import.meta.main) {
  const [directory, count = "1000"] = Deno.args;
  if (directory === undefined || !(Number(count) > 0)) {
    console.error("real_shaped_sigma.ts DIRECTORY [COUNT]");
    Deno.exit(2);
  }
  Deno.mkdirSync(directory, { recursive: true });
  for (let i = 0; i < Number(count); i++) {
    Deno.writeTextFileSync(`${directory}/sigma-${i}.yml`, sigmaFile(1, i, "linux"));
  }
  console.log(`${count} rules in ${directory}`);
}
