/**
 * Topics of the bus and patterns over them: what is a topic, and the one matcher.
 *
 * A topic is 1 to 5 segments of `a-z 0-9 _ -`, joined by dots, the first of them one of {@linkcode DOMAINS}. In a pattern
 * `+` stands for exactly one segment, and `#`, which may only be the last, for any number of them, none included. Nothing
 * else is special: a star is a character that no topic has.
 *
 * What comes from a peer is checked by {@linkcode checkTopic} and {@linkcode checkPattern}, which throw
 * {@linkcode TopicError} with the name of the fault.
 *
 * @module
 */

/** First segments. */
const DOMAINS = ["events", "control", "alerts"] as const;
/** Beginnings that are kept for what may come: no topic begins with them, be it a whole segment or not. */
const RESERVED = ["system", "debug"] as const;
const MAX_SEGMENTS = 5;
/** Longest topic or pattern, in characters, which are bytes too. */
export const MAX_TOPIC_LENGTH = 255;

const NOT_OF_A_SEGMENT = /[^a-z0-9_-]/;

/** Why a text is no topic, for programs. */
export type TopicFault =
  | "InvalidFormat"
  | "ReservedPrefix"
  | "EmptySegment"
  | "InvalidCharacter"
  | "TooDeep"
  | "UnknownDomain";

/** Not a topic, or not a pattern. */
export class TopicError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "TopicError";
  /** `fault`: why, for programs; `message`: the same for people. */
  constructor(readonly fault: TopicFault, message: string) {
    super(message);
  }
}

/** The segments of a topic. @throws TopicError, of several faults the first in the order of {@linkcode TopicFault} */
export function checkTopic(topic: string): string[] {
  checkLength(topic, "topic");
  const segments = topic.split(".");
  segments.forEach((segment, i) => checkSegment(segment, i, "topic"));
  checkDepth(segments.length, "topic");
  checkDomain(segments[0]!);
  return segments;
}

/**
 * The segments of a pattern that some topic can match.
 *
 * @throws TopicError
 */
export function checkPattern(pattern: string): string[] {
  checkLength(pattern, "pattern");
  const segments = pattern.split("."), last = segments.length - 1;
  segments.forEach((segment, i) => {
    if (segment === "#") checkIsLast(i, last);
    else if (segment !== "+") checkSegment(segment, i, "pattern");
  });
  // A `#` may stand for no segment at all.
  checkDepth(segments[last] === "#" ? last : last + 1, "pattern");
  if (segments[0] !== "+" && segments[0] !== "#") checkDomain(segments[0]!);
  return segments;
}

/**
 * Whether a pattern matches a topic, both as segments. The pattern is taken as it is: who took it from a peer has
 * checked it.
 *
 * @throws TopicError for a `#` that is not the last
 */
export function matches(pattern: readonly string[], topic: readonly string[]): boolean {
  const last = pattern.length - 1;
  for (let i = 0; i <= last; i++) {
    const wanted = pattern[i]!;
    if (wanted === "#") {
      checkIsLast(i, last);
      return true;
    }
    if (i >= topic.length) {
      checkRest(pattern, i);
      return false;
    }
    if (wanted !== "+" && wanted !== topic[i]) {
      checkRest(pattern, i);
      return false;
    }
  }
  return topic.length === pattern.length;
}

/** Whether every topic that `narrow` matches is matched by `wide` too: what may be subscribed to under a right. */
export function covers(wide: readonly string[], narrow: readonly string[]): boolean {
  for (let i = 0; i < wide.length; i++) {
    const wanted = wide[i]!;
    if (wanted === "#") return true;
    const given = narrow[i];
    if (given === undefined || given === "#") return false;
    if (wanted !== "+" && wanted !== given) return false;
  }
  return narrow.length === wide.length;
}

/**
 * A name as one segment: what a segment cannot have is written as `_` and two hexadecimal digits, and `_` as two of
 * them, so that two names never become one. For names of ASCII alone, as collectors have.
 */
export function segmentOf(name: string): string {
  return name.replace(
    /[^a-z0-9-]/g,
    (character) => character === "_" ? "__" : `_${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

function checkLength(text: string, what: string): void {
  if (text === "") throw new TopicError("InvalidFormat", `Invalid ${what} format: it is empty`);
  if (text.length > MAX_TOPIC_LENGTH) {
    throw new TopicError("InvalidFormat", `Invalid ${what} format: it is longer than ${MAX_TOPIC_LENGTH} characters`);
  }
  const reserved = RESERVED.find((prefix) => text.startsWith(prefix));
  if (reserved !== undefined) throw new TopicError("ReservedPrefix", `Reserved topic prefix: ${reserved}`);
}

function checkSegment(segment: string, at: number, what: string): void {
  if (segment === "") throw new TopicError("EmptySegment", `Empty segment in ${what} at position ${at}`);
  const odd = NOT_OF_A_SEGMENT.exec(segment)?.[0];
  if (odd === undefined) return;
  const hint = what === "pattern" && odd === "*" ? "; one segment is +, the rest is #" : "";
  throw new TopicError("InvalidCharacter", `Invalid character in ${what}: ${printed(odd)}${hint}`);
}

/** Of what a peer sent nothing stands in a log that could be more than a letter there. */
function printed(character: string): string {
  return /[!-~]/.test(character) ? character : `U+${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function checkDepth(segments: number, what: string): void {
  if (segments <= MAX_SEGMENTS) return;
  throw new TopicError("TooDeep", `The ${what} has ${segments} segments; at most ${MAX_SEGMENTS} are allowed`);
}

function checkDomain(domain: string): void {
  if ((DOMAINS as readonly string[]).includes(domain)) return;
  throw new TopicError("UnknownDomain", `Unknown topic domain: ${domain}; topics begin with ${DOMAINS.join(", ")}`);
}

function checkIsLast(at: number, last: number): void {
  if (at === last) return;
  throw new TopicError("InvalidFormat", "Invalid topic format: Multi-level wildcard (#) must be at the end");
}

/** A pattern is right or wrong whatever the topic. */
function checkRest(pattern: readonly string[], from: number): void {
  const at = pattern.indexOf("#", from);
  if (at >= 0) checkIsLast(at, pattern.length - 1);
}
