/**
 * What a predicate throws when only SQLite can tell.
 *
 * @module
 */

/** One object, made once: where it is thrown, no stack is taken. */
export const UNDECIDED: Error = new RangeError("Only SQLite can tell");
