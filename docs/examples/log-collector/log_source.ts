/**
 * A log as a source: auth.log, or a file that `journalctl -o export --follow` writes.
 *
 * @module
 */
import type { EventSource, Sink, SourceHealth } from "daemoneye";
import { type FilePosition, FollowedFile } from "./followed_file.ts";
import { JournalExport } from "./journal_export.ts";
import { type LogLine, rowOf } from "./messages.ts";
import { SyslogReader } from "./syslog_reader.ts";
import { CRON, SSHD, SUDO } from "./tables.ts";

const POLL_MS = 500;

/** Turns bytes into lines of a log. */
interface Reader {
  take(bytes: Uint8Array): LogLine[];
  /** Bytes at the end of what was taken that are no whole line yet: they are read again by the next run. */
  readonly unread: number;
  /** Pieces that were none. */
  readonly damaged: number;
}

export interface LogSourceOptions {
  readonly name: string;
  readonly path: string;
  readonly format: "syslog" | "journal";
  /** Where it begins when it has never read the file; at its end, unless it is said. */
  readonly first?: "start" | "end";
}

export class LogSource implements EventSource {
  readonly name: string;
  readonly capabilities = { realtime: false, systemWide: true, resumes: true };
  readonly tables = [SSHD, SUDO, CRON];
  readonly #options: LogSourceOptions;
  #loop: Promise<void> = Promise.resolve();
  #isRunning = false;
  #lines = 0;
  #rows = 0;
  #missing = 0;
  #damaged = 0;
  #isThere = false;

  constructor(options: LogSourceOptions) {
    this.#options = options;
    this.name = options.name;
  }

  start(sink: Sink): void {
    const { path, first = "end" } = this.#options;
    const file = new FollowedFile(path, positionOf(sink.position) ?? first);
    this.#isRunning = true;
    this.#loop = this.#follow(file, sink).catch((error) => {
      sink.fail(error instanceof Error ? error.message : String(error));
    }).finally(() => file.close());
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#wake();
    await this.#loop;
  }

  health(): SourceHealth {
    const { path } = this.#options;
    const told = `${this.#lines} lines of ${path} read, ${this.#rows} told`;
    const misses = [
      ...this.#missing > 0
        ? [`${path} lost lines ${this.#missing} times: it was truncated or rotated away unread`]
        : [],
      ...this.#damaged > 0 ? [`${this.#damaged} pieces of ${path} were too long, or no entries`] : [],
    ];
    if (!this.#isThere) return { state: "degraded", detail: `${path} is not there`, misses: [`${path} is not there`] };
    return { state: "active", detail: told, misses };
  }

  async #follow(file: FollowedFile, sink: Sink): Promise<void> {
    let reader = this.#reader();
    while (this.#isRunning && !sink.signal.aborted) {
      await sink.ready();
      if (!this.#isRunning) return;
      const piece = file.next();
      this.#isThere = piece !== null || file.position.inode !== 0;
      if (piece === null) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, POLL_MS);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        continue;
      }
      if (piece.kind === "other") {
        this.#damaged += reader.damaged;
        reader = this.#reader();
        if (piece.missing !== null) {
          this.#missing += 1;
          const now = Date.now();
          sink.gap({ from: now, to: now, count: null, reason: piece.missing });
        }
        continue;
      }
      for (const line of reader.take(piece.bytes)) {
        this.#lines += 1;
        const row = rowOf(line);
        if (row === null) continue;
        this.#rows += 1;
        if (!sink.put(row.table, row.values, line.time)) await sink.ready();
      }
      const { offset, ...rest } = file.position;
      sink.keep({ ...rest, offset: Math.max(0, offset - reader.unread) });
    }
  }

  #wake: () => void = () => {};

  #reader(): Reader {
    return this.#options.format === "journal" ? new JournalExport() : new SyslogReader();
  }
}

/** What was kept, unless somebody wrote something else there. */
function positionOf(kept: unknown): FilePosition | null {
  if (typeof kept !== "object" || kept === null) return null;
  const { inode, offset, head } = kept as Record<string, unknown>;
  const isNumber = (value: unknown): value is number =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
  if (!isNumber(inode) || !isNumber(offset) || typeof head !== "string" || !/^[0-9a-f]{0,512}$/.test(head)) return null;
  return { inode, offset, head };
}
