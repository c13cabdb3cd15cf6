/**
 * What a collector remembers beside its log: how far each source is, and when the collector ran last.
 *
 * One file, replaced whole. One that is not there or cannot be understood is as if nothing was remembered, which a
 * source that goes on where it was must be ready for.
 *
 * @module
 */
const VERSION = 1;
const MAX_BYTES = 4_194_304;

export interface Remembered {
  /** By source. */
  readonly positions: ReadonlyMap<string, unknown>;
  /** Unix milliseconds when it ran last; `null` when that is not known. */
  readonly time: number | null;
}

const NOTHING: Remembered = { positions: new Map(), time: null };

export function readPositions(path: string): Remembered {
  try {
    if (Deno.statSync(path).size > MAX_BYTES) return NOTHING;
    const parsed: unknown = JSON.parse(Deno.readTextFileSync(path));
    if (typeof parsed !== "object" || parsed === null) return NOTHING;
    const { version, time, positions } = parsed as Record<string, unknown>;
    if (version !== VERSION || typeof positions !== "object" || positions === null) return NOTHING;
    return {
      positions: new Map(Object.entries(positions)),
      time: typeof time === "number" && Number.isSafeInteger(time) && time > 0 ? time : null,
    };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof Deno.errors.NotFound) return NOTHING;
    throw error;
  }
}

/** Replaces the file; on disk when this returns. @throws Deno.errors when the directory cannot be written */
export function writePositions(path: string, positions: ReadonlyMap<string, unknown>, time: number): void {
  const temporary = `${path}.new`;
  const text = JSON.stringify({ version: VERSION, time, positions: Object.fromEntries(positions) });
  const file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode: 0o600 });
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncDataSync();
  } finally {
    file.close();
  }
  Deno.renameSync(temporary, path);
}
