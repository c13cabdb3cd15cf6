/**
 * What the runtime's `node:sqlite` has and its type declarations lack.
 *
 * @module
 */
declare module "node:sqlite" {
  interface DatabaseSyncOptions {
    /** Integers as `bigint` instead of `number`. */
    readBigInts?: boolean;
    /** Rows as arrays of values instead of objects. */
    returnArrays?: boolean;
    /** Limits of the connection: https://sqlite.org/limits.html */
    limits?: {
      length?: number;
      sqlLength?: number;
      column?: number;
      exprDepth?: number;
      compoundSelect?: number;
      vdbeOp?: number;
      functionArg?: number;
      attach?: number;
      likePatternLength?: number;
      variableNumber?: number;
      triggerDepth?: number;
    };
  }
  interface DatabaseSync {
    /** Called while a statement is prepared, for everything that it is going to do; answers with a constant. */
    setAuthorizer(
      authorizer:
        | ((code: number, a: string | null, b: string | null, schema: string | null, by: string | null) => number)
        | null,
    ): void;
    /** Takes an image of a database as its content. */
    deserialize(image: Uint8Array): void;
  }
  interface StatementSync {
    /** Rows as arrays of values instead of objects. */
    setReturnArrays(enabled: boolean): void;
  }
  namespace constants {
    const SQLITE_OK: number;
    const SQLITE_DENY: number;
    const SQLITE_READ: number;
    const SQLITE_SELECT: number;
    const SQLITE_FUNCTION: number;
  }
}

export {};
