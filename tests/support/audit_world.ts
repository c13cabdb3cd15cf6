/**
 * A state directory with a ledger in it, for tests of `audit`: six epochs on a simulated disk, written out as files.
 *
 * @module
 */
import { Ledger, type LedgerOptions } from "../../collector/ledger/ledger.ts";
import { formatVkey } from "../../proto/ledger/note.ts";
import { KEY, TestLedger } from "../collector/ledger/support.ts";
import { cli, type CliOptions, type CliResult } from "./cli_run.ts";
import type { SimStorage } from "./sim_storage.ts";
import { TestState } from "./test_store.ts";

export const VKEY = formatVkey(KEY);

/** Puts the files of a simulated disk in the place of a state's ledger. */
export function writeLedger({ layout: { ledger } }: TestState, storage: SimStorage): void {
  try {
    Deno.removeSync(ledger, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.mkdirSync(ledger);
  for (const { name } of storage.list()) Deno.writeFileSync(`${ledger}/${name}`, storage.bytes(name));
}

export class AuditWorld implements Disposable {
  readonly state = new TestState();

  private constructor(readonly world: TestLedger) {}

  /** A ledger of this many test entries, signed to its end unless it goes on. */
  static async make(entries: number, more: Partial<LedgerOptions> = {}): Promise<AuditWorld> {
    const made = new AuditWorld(await TestLedger.make(more));
    made.world.fill(entries);
    made.world.ledger.checkpoint();
    made.write();
    return made;
  }

  get ledger(): Ledger {
    return this.world.ledger;
  }

  /** Directory of the ledger. */
  get directory(): string {
    return this.state.layout.ledger;
  }

  /** Puts the ledger, or another disk, in the place of what is there. */
  write(storage: SimStorage = this.world.storage): void {
    writeLedger(this.state, storage);
  }

  /** A file of the test's own, by name. */
  file(name: string, content: string | Uint8Array): string {
    const path = `${this.state.directory}/${name}`;
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
    return path;
  }

  audit(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return cli(this.state, ["audit", ...args], { now: this.world.now, ...options });
  }

  [Symbol.dispose](): void {
    this.state[Symbol.dispose]();
  }
}
