/**
 * The tracepoint source at work in a test, and what it would be on another kernel.
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
import {
  openTracepointSource,
  readTracepointKernel,
  type TracepointKernel,
} from "../../collector/sources/tracepoint.ts";

export const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
export const decode = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? undefined);
export const argvOf = (...args: string[]): Uint8Array => encode(args.map((arg) => arg + "\0").join(""));

/** A command that has ended, and what the source said of it. */
export interface Run {
  readonly pid: number;
  readonly status: Deno.CommandStatus;
  readonly output: string;
  readonly forks: ForkRecord[];
  readonly execs: ExecRecord[];
  readonly exits: ExitRecord[];
}

/** A source whose records are kept, for as long as the scope lasts. */
export class Watch implements Disposable {
  readonly source: ProcessSource;
  readonly records: SourceRecord[] = [];

  constructor(options: Parameters<typeof openTracepointSource>[0] = {}) {
    this.source = openTracepointSource(options);
  }

  drain(): void {
    this.source.drain((record) => this.records.push(record));
  }

  of<K extends SourceRecord["kind"]>(kind: K, pid?: number): Extract<SourceRecord, { kind: K }>[] {
    return this.records.filter((record): record is Extract<SourceRecord, { kind: K }> =>
      record.kind === kind && (pid === undefined || record.kind === "loss" || record.pid === pid)
    );
  }

  /** Runs a command to its end and gives its records. */
  async run(command: string, args: string[] = [], options: Deno.CommandOptions = {}): Promise<Run> {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "piped", ...options })
      .spawn();
    const { stdout, stderr, ...status } = await child.output();
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

/** What a kernel before 6.16 says: its exit tracepoint does not tell the last thread. */
export function withoutGroupDead(): TracepointKernel {
  const kernel = readTracepointKernel();
  const fields = new Map(kernel.exit.fields);
  fields.delete("group_dead");
  return { ...kernel, exit: { ...kernel.exit, fields } };
}
