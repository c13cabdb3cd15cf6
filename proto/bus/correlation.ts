/**
 * What ties messages together: which of them belong to one case, and which came of which.
 *
 * Every text has a limit in bytes of UTF-8 and is cut between two characters, never within one; what is cut or left out
 * is counted in the result, so that who publishes it can say so.
 *
 * @module
 */

/** Limits in bytes, and of tags in number: those of the document. */
export const CORRELATION_LIMITS = { id: 256, stage: 128, tags: 64, tagKey: 128, tagValue: 1_024 } as const;

/** What holds the messages of one case together. */
export interface Correlation {
  /** Names this message's place in the case. */
  readonly id: string;
  /** What it came of, `null` at the root. */
  readonly parentId: string | null;
  /** Id of the correlation that the case began with; its own at the root. */
  readonly rootId: string;
  /** Counted by who makes the messages of a case. */
  readonly sequence: number;
  /** How far a case has come, in words of whoever drives it. */
  readonly stage: string | null;
  /** What else is said of the case, by name. */
  readonly tags: Readonly<Record<string, string>>;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** What a new case begins with. */
export interface NewCorrelation {
  /** Names it. */
  readonly id: string;
  /** How far it has come, in words of whoever drives it. */
  readonly stage?: string | null;
  /** What else is said of it, by name. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** A correlation within the limits, and how many of its texts were cut or left out. */
export interface Limited {
  /** The correlation, within {@linkcode CORRELATION_LIMITS}. */
  readonly correlation: Correlation;
  /** How many texts were cut or left out. */
  readonly cut: number;
}

/** A root. */
export function newCorrelation({ id, stage = null, tags = {}, createdAt }: NewCorrelation): Limited {
  return limited({ id, parentId: null, rootId: id, sequence: 0, stage, tags, createdAt });
}

/** What comes of `parent`: another id and parent, the same root, stage and tags, its own count. */
export function childOf(parent: Correlation, id: string, createdAt: number): Limited {
  return limited({ ...parent, id, parentId: parent.id, sequence: 0, createdAt });
}

/** The same within the limits. */
export function limited(correlation: Correlation): Limited {
  let cut = 0;
  const bound = (text: string, limit: number): string => {
    const short = cutText(text, limit);
    if (short.length < text.length) cut++;
    return short;
  };
  const { id, parentId, rootId, stage } = correlation, tags: Record<string, string> = {};
  const given = Object.entries(correlation.tags), kept = given.slice(0, CORRELATION_LIMITS.tags);
  cut += given.length - kept.length;
  for (const [key, value] of kept) {
    Object.defineProperty(tags, bound(key, CORRELATION_LIMITS.tagKey), {
      value: bound(value, CORRELATION_LIMITS.tagValue),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return {
    correlation: {
      id: bound(id, CORRELATION_LIMITS.id),
      parentId: parentId === null ? null : bound(parentId, CORRELATION_LIMITS.id),
      rootId: bound(rootId, CORRELATION_LIMITS.id),
      sequence: correlation.sequence,
      stage: stage === null ? null : bound(stage, CORRELATION_LIMITS.stage),
      tags,
      createdAt: correlation.createdAt,
    },
    cut,
  };
}

const encoder = new TextEncoder();

/** The longest beginning of whole characters that takes at most `bytes` bytes of UTF-8. */
export function cutText(text: string, bytes: number): string {
  if (text.length * 3 <= bytes) return text;
  // Encodes no half of a surrogate pair, and stops before a character that does not fit whole.
  const { read, written } = encoder.encodeInto(text, new Uint8Array(bytes + 4));
  if (read === text.length && written <= bytes) return text;
  return text.slice(0, encoder.encodeInto(text, new Uint8Array(bytes)).read);
}
