/**
 * `deno task test:differential [--pairs N] [--seed S] [--rule I [--row J]] [--sigma]`: random rules and rows, judged in
 * every way; with `--sigma` rules of Sigma instead of SQL.
 *
 * Prints pairs and differences. A pair that differs is printed with the command that judges its rule alone.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  judgeChunk,
  judgeSigmaChunk,
  noTotals,
  ROWS_OF_CHUNK,
  rowsOf,
  ruleOf,
  RULES_OF_CHUNK,
  sigmaOf,
} from "./proto/rules/differential.ts";
import { tableNamed } from "../proto/catalog.ts";
import { whole } from "./support/whole_number.ts";

/** Differences that are printed. */
const MAX_SHOWN = 10;

function main(): number {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      pairs: { type: "string", default: "200000" },
      seed: { type: "string", default: "1" },
      rule: { type: "string" },
      sigma: { type: "boolean", default: false },
      row: { type: "string" },
    },
  });
  const judge = values.sigma ? judgeSigmaChunk : judgeChunk, flag = values.sigma ? "--sigma " : "";
  const seed = whole(values.seed, "seed"), totals = noTotals(), began = performance.now();
  if (values.rule !== undefined) {
    const rule = whole(values.rule, "rule"), chunk = Math.floor(rule / RULES_OF_CHUNK);
    console.log((values.sigma ? sigmaOf : ruleOf)(seed, rule));
    judge(seed, chunk, totals, rule);
    if (values.row !== undefined) {
      const cells = rowsOf(seed, chunk)[whole(values.row, "row") % ROWS_OF_CHUNK]!;
      tableNamed("process_events").columns.forEach(({ name }, place) => {
        if (cells[place] !== null) console.log(`  ${name} = ${JSON.stringify(cells[place])}`);
      });
    }
    for (const { row, answers } of totals.differences) console.log(`row ${row}: ${JSON.stringify(answers)}`);
  } else {
    const pairs = whole(values.pairs, "pairs");
    for (let chunk = 0; totals.pairs < pairs; chunk++) judge(seed, chunk, totals);
    for (const { rule, row, sql, answers } of totals.differences.slice(0, MAX_SHOWN)) {
      console.log(`${sql}\n  row ${row}: ${JSON.stringify(answers)}`);
      console.log(`  deno task test:differential ${flag}--seed ${seed} --rule ${rule} --row ${row}`);
    }
    for (const [reason, rules] of [...totals.sqlOnly].sort((a, b) => b[1] - a[1])) {
      console.log(`SQLite alone, ${rules} rules: ${reason}`);
    }
  }
  const share = (part: number): string => `${(100 * part / Math.max(1, totals.pairs)).toFixed(1)} %`;
  console.log(
    `${totals.rules} rules, ${totals.refused} refused by the guard; ${totals.pairs} pairs, ` +
      `${share(totals.matches)} match, terms rule out ${share(totals.ruledOut)}, ` +
      `left to SQLite ${share(totals.undecided)}, SQLite fails on ${totals.failing}; ${
        ((performance.now() - began) / 1_000).toFixed(0)
      } s`,
  );
  if (values.sigma) {
    console.log(`${totals.byOracle} pairs judged by the specification; ${JSON.stringify([...totals.verdicts])}`);
  }
  console.log(`seed ${seed}: ${totals.pairs} pairs, ${totals.differences.length} differences`);
  return totals.differences.length > 0 ? 1 : 0;
}

Deno.exit(main());
