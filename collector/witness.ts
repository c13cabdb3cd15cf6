/**
 * A second source of process lives, beside the first and independent of it: the kernel's process connector.
 *
 * It tells only who and when: enough to prove that the first source missed nothing, at little cost. It is read without
 * `/proc`, from a large buffer, at intervals. Its messages are of threads; what is handed on is of processes: a process
 * ends with its last thread, so the threads of those that have several are counted.
 *
 * What the buffer could not hold is lost without a number; then threads may be miscounted until a table tells them.
 *
 * @module
 */

import { told } from "./kernel/inheritance.ts";
import { bootTimeNs, SystemCallError } from "./kernel/libc.ts";
import { type ConnectorVisitor, ProcessConnector } from "./kernel/netlink.ts";
import type { ProcessSource, TableEntry } from "./sources/source.ts";

/** The kinds of record that two sources have in common, as numbers: many of them are kept in arrays. */
export const KINDS = ["fork", "exec", "exit"] as const;
export const FORK = 0, EXEC = 1, EXIT = 2;

/** Processes with several threads whose number is remembered. */
const MAX_THREADED = 65_536;
/** Messages that are read at a stretch, some 30 ms of them: records of the first source must not wait for long. */
const STRETCH = 16_384;

/** `creator` is the process that a new one has as its parent, 0 where the record is of no fork. */
export type Receive = (kind: number, pid: number, time: number, creator: number) => void;

export interface WitnessReading {
  /** Whether everything that waited was read. */
  readonly whole: boolean;
  /** Whether the kernel said that it had lost messages. */
  readonly overrun: boolean;
}

/** What a second source must give. */
export interface Witness {
  readonly name: string;
  /** Nanoseconds since boot from which on it sees. */
  readonly since: number;
  /** Tasks that came to be since then, threads included, as far as they were read. */
  readonly tasks: number;
  read(receive: Receive): WitnessReading;
  /** Says how many threads processes have, as of now. */
  learnThreads(table: readonly TableEntry[]): void;
  /** Says that a process whose first thread has ended has so many others. */
  learnSurvivors(pid: number, threads: number): void;
  close(): void;
}

/** A second source, or in words why there is none. */
export type OpenedWitness = { readonly witness: Witness } | { readonly witness: null; readonly reason: string };

/** Opens the second source that proves the first one. Wants the privileges of `ProcessConnector`. */
export function openWitness(source: ProcessSource, bufferBytes?: number): OpenedWitness {
  const { name } = source.description;
  if (name !== "ebpf" && name !== "tracepoint") {
    return { witness: null, reason: `the source ${name} sees too little itself to be compared` };
  }
  try {
    return { witness: new ConnectorWitness(new ProcessConnector(bufferBytes)) };
  } catch (error) {
    const needs = error instanceof SystemCallError
      ? "; start as root or with CAP_NET_ADMIN, in the first network namespace"
      : "";
    return { witness: null, reason: `${error instanceof Error ? error.message : error}${needs}` };
  }
}

class ConnectorWitness implements Witness, ConnectorVisitor {
  readonly name = "netlink";
  readonly since: number;
  readonly #connector: ProcessConnector;
  /** By process: twice the number of its threads but the first, plus one when the first has ended. */
  readonly #threads = new Map<number, number>();
  #tasks = 0;
  #receive: Receive = () => {};

  constructor(connector: ProcessConnector) {
    this.#connector = connector;
    // Handed on when the collector executes itself again: the socket is the same, and holds what was told since.
    this.since = told("the start of the second source", bootTimeNs);
  }

  get tasks(): number {
    return this.#tasks;
  }

  read(receive: Receive): WitnessReading {
    this.#receive = receive;
    const { messages, overruns } = this.#connector.visit(this, STRETCH);
    if (overruns > 0) this.#threads.clear();
    return { whole: messages < STRETCH, overrun: overruns > 0 };
  }

  learnThreads(table: readonly TableEntry[]): void {
    for (const { pid, threads, status } of table) {
      if (threads === null || threads < 2) continue;
      this.#remember(pid, (threads - 1) * 2 + (status === "zombie" ? 1 : 0));
    }
  }

  learnSurvivors(pid: number, threads: number): void {
    this.#remember(pid, threads * 2 + 1);
  }

  close(): void {
    this.#connector.close();
  }

  fork(time: number, pid: number, tgid: number, creator: number): void {
    this.#tasks++;
    if (pid !== tgid) return this.#remember(tgid, (this.#threads.get(tgid) ?? 0) + 2);
    this.#threads.delete(pid);
    // The idle thread of a processor that comes up has no pid.
    if (pid !== 0) this.#receive(FORK, pid, time, creator);
  }

  exec(time: number, tgid: number): void {
    // It ends all threads but the one that calls it, which takes the first one's place.
    this.#threads.delete(tgid);
    this.#receive(EXEC, tgid, time, 0);
  }

  exit(time: number, pid: number, tgid: number): void {
    const known = this.#threads.get(tgid);
    if (known === undefined) {
      if (pid === tgid) this.#receive(EXIT, tgid, time, 0);
      return;
    }
    const left = pid === tgid ? known | 1 : known - 2;
    if (left > 1) return void this.#threads.set(tgid, left);
    this.#threads.delete(tgid);
    if (left === 1) this.#receive(EXIT, tgid, time, 0);
  }

  #remember(pid: number, threads: number): void {
    if (this.#threads.size >= MAX_THREADED && !this.#threads.has(pid)) this.#threads.clear();
    this.#threads.set(pid, threads);
  }
}
