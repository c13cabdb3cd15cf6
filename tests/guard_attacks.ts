/**
 * `deno task test:guard [--mutations N] [--seed S]`: mutations of attacks, all of which the guard has to refuse.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { assault } from "./proto/rules/attack_run.ts";

function main(): number {
  const { values } = parseArgs({
    args: Deno.args,
    options: { mutations: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
  });
  const mutations = Number(values.mutations), seed = Number(values.seed);
  if (!Number.isSafeInteger(mutations) || !Number.isSafeInteger(seed)) throw new RangeError("Both are whole numbers");
  const { through, strange, tried } = assault(seed, mutations);
  for (const [name, count] of tried) console.log(`${String(count).padStart(7)} ${name}`);
  for (const query of through.slice(0, 10)) console.log(`through: ${JSON.stringify(query)}`);
  for (const fault of strange.slice(0, 10)) console.log(`no refusal: ${fault}`);
  console.log(`seed ${seed}: ${mutations} mutations, ${through.length} let through, ${strange.length} strange`);
  return through.length + strange.length > 0 ? 1 : 0;
}

Deno.exit(main());
