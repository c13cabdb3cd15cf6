import assert from "node:assert/strict";
import {
  checkPattern,
  checkTopic,
  covers,
  matches,
  MAX_TOPIC_LENGTH,
  segmentOf,
  TopicError,
  type TopicFault,
} from "../../../proto/bus/topic.ts";
import { CATALOGUE, OWN_TOPICS } from "../../../proto/bus/catalogue.ts";

/** The reference's `topic_pattern_matrix_v1`: pattern, topic, what comes of it. */
const TRUTH: readonly [string, string, boolean | string][] = [
  ["events.process.+", "events.process.new", true],
  ["events.process.+", "events.process", false],
  ["events.#", "events.process.new", true],
  ["events.#", "control.collector.status", false],
  ["control.trigger.+", "control.trigger.request", true],
  ["control.trigger.+", "control.trigger", false],
  ["events.process.new", "events.process.new", true],
  ["events.process.new", "events.process.old", false],
  ["events.+.new", "events.process.new", true],
  ["events.#.process", "events.process", "Invalid topic format: Multi-level wildcard (#) must be at the end"],
  ["events.#.process", "control.health.status", "Invalid topic format: Multi-level wildcard (#) must be at the end"],
  ["events.process.+", "system.health.status", "Reserved topic prefix: system"],
  ["events.+.+", "events.process.new", true],
  ["events.+.+", "events.process.lifecycle", true],
  ["events.+.+", "events.process.lifecycle.new", false],
  ["events.+.#", "events.process.lifecycle.new", true],
  ["events.#", "events", true],
  ["events.process.new.#", "events.process.new", true],
  ["events.*.new", "events.process.new", false],
  ["events.process.+", "events.Process.new", "Invalid character in topic: P"],
];

Deno.test("matches() and checkTopic() give the truth table of the reference", () => {
  for (const [pattern, topic, expected] of TRUTH) {
    const judge = (): boolean => matches(pattern.split("."), checkTopic(topic));
    if (typeof expected === "boolean") assert.equal(judge(), expected, `${pattern} ~ ${topic}`);
    else assert.throws(judge, { name: "TopicError", message: expected }, `${pattern} ~ ${topic}`);
  }
});

Deno.test("checkTopic() names the fault, the first in its order", () => {
  const faults: readonly [string, TopicFault][] = [
    ["", "InvalidFormat"],
    ["a".repeat(MAX_TOPIC_LENGTH + 1), "InvalidFormat"],
    ["system", "ReservedPrefix"],
    ["systemd.unit", "ReservedPrefix"],
    ["debugger..X", "ReservedPrefix"],
    ["events..new", "EmptySegment"],
    [".events", "EmptySegment"],
    ["events.", "EmptySegment"],
    ["events.pro cess", "InvalidCharacter"],
    ["events.+", "InvalidCharacter"],
    ["events.#", "InvalidCharacter"],
    ["events.é", "InvalidCharacter"],
    ["other.1.2.3.4.5", "TooDeep"],
    ["events.1.2.3.4.5", "TooDeep"],
    ["other.process", "UnknownDomain"],
    ["queue.client", "UnknownDomain"],
  ];
  for (const [topic, fault] of faults) {
    assert.throws(() => checkTopic(topic), (error) => error instanceof TopicError && error.fault === fault, topic);
  }
  for (const topic of ["events", "control.a-b.c_d.0", "alerts.high", "events.1.2.3.4"]) checkTopic(topic);
});

Deno.test("checkTopic() repeats nothing of a peer's that is more than a letter in a log", () => {
  assert.throws(() => checkTopic("events.\u001b[2J"), /Invalid character in topic: U\+001b$/);
  assert.throws(() => checkTopic("events.\u202e"), /Invalid character in topic: U\+202e$/);
});

Deno.test("checkPattern() refuses what can match nothing", () => {
  const faults: readonly [string, TopicFault][] = [
    ["", "InvalidFormat"],
    ["events.#.new", "InvalidFormat"],
    ["#.#", "InvalidFormat"],
    ["system.#", "ReservedPrefix"],
    ["events..#", "EmptySegment"],
    ["events.*.new", "InvalidCharacter"],
    ["events.+a", "InvalidCharacter"],
    ["events.##", "InvalidCharacter"],
    ["+.+.+.+.+.+", "TooDeep"],
    ["other.#", "UnknownDomain"],
  ];
  for (const [pattern, fault] of faults) {
    assert.throws(
      () => checkPattern(pattern),
      (error) => error instanceof TopicError && error.fault === fault,
      pattern,
    );
  }
  for (const pattern of ["#", "+", "events.+.+.+.+.#", "alerts.#", "+.health.#"]) checkPattern(pattern);
});

/** What a pattern means, by trying how many segments each part takes. */
function naive(pattern: readonly string[], topic: readonly string[]): boolean {
  if (pattern.length === 0) return topic.length === 0;
  const [first, ...rest] = pattern;
  if (first === "#") {
    for (let taken = 0; taken <= topic.length; taken++) if (naive(rest, topic.slice(taken))) return true;
    return false;
  }
  return topic.length > 0 && (first === "+" || first === topic[0]) && naive(rest, topic.slice(1));
}

/** Numbers that are the same in each run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 0x1_0000_0000 * below);
  };
}

const WORDS = ["events", "control", "a", "b", "c"];

function randomSegments(random: (below: number) => number, wildcards: boolean): string[] {
  const segments = Array.from({ length: 1 + random(5) }, () => {
    if (wildcards && random(4) === 0) return "+";
    return WORDS[random(WORDS.length)]!;
  });
  if (wildcards && random(3) === 0) segments[segments.length - 1] = "#";
  return segments;
}

Deno.test("matches() agrees with a naive matcher on 1,000,000 random pairs", () => {
  const random = randomOf(20_261_121);
  let hits = 0;
  for (let i = 0; i < 1_000_000; i++) {
    const pattern = randomSegments(random, true);
    // Half of them begin as the pattern does, or few would match.
    const topic = random(2) === 0 ? randomSegments(random, false) : pattern.flatMap((segment) => {
      if (segment === "#") return Array.from({ length: random(3) }, () => WORDS[random(WORDS.length)]!);
      if (segment === "+") return [WORDS[random(WORDS.length)]!];
      return random(12) === 0 ? [] : [segment];
    });
    const expected = naive(pattern, topic);
    if (expected) hits++;
    if (matches(pattern, topic) !== expected) {
      assert.fail(`${pattern.join(".")} ~ ${topic.join(".")}: expected ${expected}`);
    }
  }
  assert.ok(hits > 200_000 && hits < 800_000, `${hits} hits: the pairs prove too little`);
});

Deno.test("covers() says yes exactly where no topic tells the two patterns apart", () => {
  const random = randomOf(7), topics: string[][] = [[]];
  const words = [...WORDS.slice(2), "z"]; // a word that is in no pattern stands for all others
  for (let length = 1, last: string[][] = [[]]; length <= 4; length++) {
    last = last.flatMap((topic) => words.map((word) => [...topic, word]));
    topics.push(...last);
  }
  const pattern = (): string[] => {
    const segments = Array.from({ length: 1 + random(3) }, () => random(3) === 0 ? "+" : words[random(3)]!);
    if (random(3) === 0) segments.push("#");
    return segments;
  };
  let yes = 0;
  for (let i = 0; i < 5_000; i++) {
    const wide = pattern(), narrow = pattern();
    const expected = topics.every((topic) => !matches(narrow, topic) || matches(wide, topic));
    if (expected) yes++;
    assert.equal(covers(wide, narrow), expected, `${wide.join(".")} covers ${narrow.join(".")}`);
  }
  assert.ok(yes > 100);
});

Deno.test("every topic of the catalogue is one, and collectors' names make topics of their own", () => {
  for (const topic of Object.keys(CATALOGUE)) checkTopic(topic);
  const names = ["procmond", "a_b", "a.b", "A+b", "a__b", "a_2eb", "x".repeat(64)];
  for (const topic of Object.values(OWN_TOPICS)) {
    for (const name of names) checkTopic(topic(name));
    assert.equal(new Set(names.map(topic)).size, names.length);
  }
  assert.equal(segmentOf("procmond"), "procmond");
  for (const name of ["config", "task"]) assert.ok(!(OWN_TOPICS.collector(name) in CATALOGUE));
});
