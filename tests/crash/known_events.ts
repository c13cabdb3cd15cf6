/**
 * Events whose number is in them, so that each can be known again in the store, in whatever stream it came.
 *
 * Their `execId` names the life of the writer and the number within it; one in so many is what the rules look for.
 *
 * @module
 */
import { joinArgv } from "../../proto/argv.ts";
import type { Outbox } from "../../collector/outbox.ts";
import { blankProcessEvent, type ProcessEvent, type ProcessEventKind } from "../../proto/process_event.ts";

/** The name of the program that the rules look for. */
export const EVIL = "evil";
/** One event in so many has it. */
const EVIL_EVERY = 16;
/** One item in so many is a gap and no event. */
const GAP_EVERY = 37;

const KINDS: readonly ProcessEventKind[] = ["start", "start", "stop", "start", "modify", "stop", "start", "suspicious"];

/** Event number `number` (from 1) of a life (from 1). */
export function knownEvent(life: number, number: number, time: number): ProcessEvent {
  const kind = KINDS[number % KINDS.length]!;
  return {
    ...blankProcessEvent(kind, time, execIdOf(life, number), 1 + number % 30_000),
    ppid: 1,
    name: number % EVIL_EVERY === 0 ? EVIL : "good",
    executablePath: "/usr/bin/known",
    argv: joinArgv(["known", String(life), String(number)]),
    argvLength: 20,
    source: "ebpf",
    ...kind === "suspicious" ? { reason: "a test says so", severity: "low" as const } : {},
  };
}

export function execIdOf(life: number, number: number): string {
  return `c0ffee00-${life}-${number}`;
}

/** Adds items number `first` to `last` of a life: events, and now and then a gap, which has its number in its reason. */
export function addKnown(outbox: Outbox, life: number, first: number, last: number, time: number): void {
  let events: ProcessEvent[] = [];
  for (let number = first; number <= last; number++) {
    if (number % GAP_EVERY !== 0) events.push(knownEvent(life, number, time));
    else {
      outbox.addEvents(events);
      events = [];
      const reason = execIdOf(life, number);
      outbox.addGap({ source: "ebpf", recordKind: "exec", from: time, to: time, count: 1, reason });
    }
  }
  outbox.addEvents(events);
}

/** The life and the number that an event, or the reason of a gap, says. */
export function knownBy(execId: string): { life: number; number: number } {
  const [, life, number] = execId.split("-").map(Number);
  return { life: life!, number: number! };
}

/** Rules of which two hit every evil event, so that each must give an alert of its own, and one hits nothing. */
export const RULES: Readonly<Record<string, string>> = {
  "evil.yml": rule("evil-any", `name = '${EVIL}'`),
  "evil_path.yml": rule("evil-path", `executable_path = '/usr/bin/known' AND name LIKE '${EVIL}%'`),
  "never.yml": rule("never", "name = 'never seen'", "never seen"),
};
/** How many of them hit an evil event. */
export const HITS = 2;

function rule(id: string, condition: string, name = EVIL): string {
  const path = `executable_path: "/usr/bin/known"`;
  return `id: ${id}
title: Rule ${id}
description: A test's rule
severity: critical
tags: [attack.t1059]
sql: |
  SELECT event_id, pid, name FROM process_events WHERE ${condition}
tests:
  match:
    - { event_type: "start", name: "${name}", ${path} }
  no_match:
    - { event_type: "start", name: "good", ${path} }
`;
}
