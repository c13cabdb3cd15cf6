/**
 * What a checkout of Sigma costs: how long `rules import` takes over 3,000 rules, as an operator runs it, from the start of
 * the program to its end, beside a YAML parser that only reads the same files.
 *
 * `deno task bench:rule-import [COUNT]`. Each rule must get a verdict, and nearly all of these are live.
 *
 * @module
 */
import { load } from "js-yaml";
import { CliProgram } from "../tests/support/cli_program.ts";
import { TestState } from "../tests/support/test_store.ts";
import { type Figure, median, report } from "./support/report.ts";
import { sigmaFile } from "./support/real_shaped_sigma.ts";

const COUNT = Number(Deno.args[0] ?? 3_000), RUNS = 3, TARGET_S = 10;

async function main(): Promise<boolean> {
  using program = await CliProgram.make();
  using state = new TestState();
  // Where the program may read: an operator gives the directory to the launcher, which adds it
  const checkout = state.layout.rules;
  Deno.mkdirSync(checkout, { recursive: true });
  const files = Array.from({ length: COUNT }, (_, i) => sigmaFile(1, i, "linux"));
  files.forEach((text, i) => Deno.writeTextFileSync(`${checkout}/rule-${i}.yml`, text));
  const seconds: number[] = [], parse: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const began = performance.now();
    const { code, out, err } = await program.run(state, ["rules", "import", checkout, "--format", "jsonl"]);
    seconds.push((performance.now() - began) / 1_000);
    const verdicts = out.trimEnd().split("\n").map((line) => JSON.parse(line).verdict);
    const live = verdicts.filter((verdict) => verdict === "live").length;
    if (code !== 0 || verdicts.length !== COUNT || live < COUNT * 0.99) {
      throw new Error(`${verdicts.length} verdicts, ${live} live: ${err}`);
    }
    const from = performance.now();
    for (let i = 0; i < COUNT; i++) load(Deno.readTextFileSync(`${checkout}/rule-${i}.yml`));
    parse.push((performance.now() - from) / 1_000);
  }
  const figure: Figure = {
    what: `rules import of ${COUNT} Sigma rules, process and all`,
    ours: median(seconds),
    unit: "s",
    peer: { name: "js-yaml alone", value: median(parse) },
    target: { most: TARGET_S },
  };
  return report("Sigma", [figure]);
}

Deno.exit(await main() ? 0 : 1);
