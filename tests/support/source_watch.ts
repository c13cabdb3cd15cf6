/**
 * A source of process events under watch, and the commands that a test starts for it to see.
 *
 * @module
 */
import { deepStrictEqual as equal } from "node:assert/strict";
import type {
  ExecRecord,
  ExitRecord,
  ForkRecord,
  ProcessSource,
  SourceRecord,
} from "../../collector/sources/source.ts";

export const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
export const decode = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? undefined);
export const argvOf = (...args: string[]): Uint8Array => encode(args.map((arg) => arg + "\0").join(""));

/** A command that has ended, and what the source said of its process. */
export interface Life {
  readonly pid: number;
  readonly status: Deno.CommandStatus;
  /** Of both streams. */
  readonly output: string;
  readonly forks: ForkRecord[];
  readonly execs: ExecRecord[];
  readonly exits: ExitRecord[];
}

/** A source whose records are kept, for as long as the scope lasts. */
export class SourceWatch implements Disposable {
  readonly records: SourceRecord[] = [];

  /** With `readsOn` records are read while a command runs, as an owner does: the host can run others than that one. */
  constructor(readonly source: ProcessSource, private readonly readsOn: boolean) {}

  drain(): void {
    this.source.drain((record) => this.records.push(record));
  }

  of<K extends SourceRecord["kind"]>(kind: K, pid?: number): Extract<SourceRecord, { kind: K }>[] {
    return this.records.filter((record): record is Extract<SourceRecord, { kind: K }> =>
      record.kind === kind && (pid === undefined || record.kind === "loss" || record.pid === pid)
    );
  }

  /** Runs a command to its end and gives its records. */
  async run(command: string, args: string[] = [], options: Deno.CommandOptions = {}): Promise<Life> {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "piped", ...options })
      .spawn();
    const reading = this.readsOn ? setInterval(() => this.drain(), 10) : undefined;
    const { stdout, stderr, ...status } = await child.output().finally(() => clearInterval(reading));
    this.drain();
    return {
      pid: child.pid,
      status,
      output: decode(stdout) + decode(stderr),
      forks: this.of("fork", child.pid),
      execs: this.of("exec", child.pid),
      exits: this.of("exit", child.pid),
    };
  }

  [Symbol.dispose](): void {
    this.source.close();
  }
}

/** The only one. */
export function one<T>(items: readonly T[]): T {
  equal(items.length, 1);
  return items[0]!;
}
