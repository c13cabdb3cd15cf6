/**
 * `docs/states.md`, made from the tables of `proto/lifecycle_states.ts` by which the agent moves.
 *
 * @module
 */
import {
  AGENT_EVENTS,
  AGENT_STATES,
  AGENT_TRANSITIONS,
  COLLECTOR_EVENTS,
  COLLECTOR_STATES,
  COLLECTOR_TRANSITIONS,
  type Transition,
} from "../proto/lifecycle_states.ts";

/** The page, in Markdown. */
export function stateDocs(): string {
  return `# States of the agent and of a collector

Made by \`deno task gen\` from \`proto/lifecycle_states.ts\`; do not edit. The agent moves by these tables and by nothing
else: a change that has no row does not happen. The states stand in the agent's status, which \`cli health\` shows.

## The agent

${diagram(AGENT_TRANSITIONS, "loading")}

${list(AGENT_STATES)}

${table(AGENT_TRANSITIONS, AGENT_EVENTS)}

## A collector, as the agent sees it

A collector that the supervisor starts begins as \`expected\`, another one with its first connection. A connection that
ends without a goodbye is no change by itself: a collector that does not come back misses its heartbeats.

${diagram(COLLECTOR_TRANSITIONS, "expected")}

${list(COLLECTOR_STATES)}

${table(COLLECTOR_TRANSITIONS, COLLECTOR_EVENTS)}
`;
}

function diagram(transitions: readonly Transition<string, string>[], initial: string): string {
  const arrows = new Map<string, string[]>();
  for (const { from, event, to } of transitions) {
    const ends = `${from} --> ${to}`;
    arrows.set(ends, [...arrows.get(ends) ?? [], event]);
  }
  const lines = [...arrows].map(([ends, events]) => `    ${ends}: ${events.join(", ")}`);
  return ["\`\`\`mermaid", "stateDiagram-v2", `    [*] --> ${initial}`, ...lines, "\`\`\`"].join("\n");
}

function list(states: Readonly<Record<string, string>>): string {
  return Object.entries(states).map(([name, words]) => `- \`${name}\`: ${words}`).join("\n");
}

function table(transitions: readonly Transition<string, string>[], events: Readonly<Record<string, string>>): string {
  const rows = Object.entries(events).map(([event, words]) => {
    const ways = transitions.filter((each) => each.event === event);
    const to = [...new Set(ways.map((each) => `\`${each.to}\``))].join(", ");
    return `| \`${event}\` | ${words} | ${ways.map(({ from }) => `\`${from}\``).join(", ")} | ${to} |`;
  });
  return ["| event | when | from | to |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
