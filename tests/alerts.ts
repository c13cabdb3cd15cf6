/**
 * `deno task test:alerts [--cycles N] [--agent-cycles N] [--backlog N]`: what delivers alerts is killed N times (200) at
 * random moments, then the agent itself N times (200), and every alert must have arrived, with what is known of repeats,
 * silences and breakers intact; then a sink that was down takes a backlog of N alerts (100,000), whose figures are
 * printed. 0 leaves a part out. Exits with 1 when something is not as it must be.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { agentLives } from "./alert_lives/agent_lives.ts";
import { backlog, type DetectionTimes } from "./alert_lives/backlog.ts";
import { alertLives } from "./alert_lives/cycles.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    cycles: { type: "string", default: "200" },
    "agent-cycles": { type: "string", default: "200" },
    backlog: { type: "string", default: "100000" },
  },
});
const cycles = Number(values.cycles), agentCycles = Number(values["agent-cycles"]), alerts = Number(values.backlog);
if (![cycles, agentCycles, alerts].every((number) => Number.isSafeInteger(number) && number >= 0)) {
  console.error("--cycles and --agent-cycles are numbers of kills, --backlog one of alerts; 0 leaves that out");
  Deno.exit(2);
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const began = performance.now(), result = await work();
  return [result, Math.round((performance.now() - began) / 1_000)];
}

if (cycles > 0) {
  const [{ commits, sent, copies }, seconds] = await timed(() => alertLives(cycles));
  console.log(
    `${cycles} kills of the delivering part in ${seconds} s: ${commits} commits, ${sent} alerts, each in the file once ` +
      `and in the flaky sink at least once (${copies} copies, with the ids of the first); repeats, silence and breaker ` +
      `as they must be`,
  );
}
if (agentCycles > 0) {
  const [{ events, sent, copies }, seconds] = await timed(() => agentLives(agentCycles));
  console.log(
    `${agentCycles} kills of the agent in ${seconds} s: ${events} events, ${sent} alerts, each in the file once and at ` +
      `the log server at least once (${copies} copies, with the ids of the first); repeats, silence and breaker as they ` +
      `must be`,
  );
}
if (alerts > 0) {
  const found = await backlog(alerts, { pauseMs: 50, samples: 200 });
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  const ms = ({ p50, p99 }: DetectionTimes): string => `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
  console.log(
    `${alerts} alerts in backlog: all delivered in order of severity and age, ${found.perSecond} a second; memory ` +
      `${mib(found.owedBytes)} MiB when all were owed, at most ${found.quarterBytes.map(mib).join(", ")} MiB in the ` +
      `quarters of the backlog; from events at the agent to their alert, judged and stored, beside 1,000 events a ` +
      `second: ${ms(found.before)} with nothing owed, ${ms(found.owed)} with all of it owed, ${
        ms(found.going)
      } while it ` +
      `goes`,
  );
}
