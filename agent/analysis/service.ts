/**
 * Analyses, put together with the parts of the agent that they work with.
 *
 * Turned off, there is none of it: no file is read, no event looked at, and who asks is told how to turn it on.
 *
 * @module
 */
import type { StageRows } from "../../proto/analysis/stage.ts";
import type { CollectorStanding } from "../../proto/status.ts";
import type { RpcRequest, RpcResponse } from "../../proto/bus/rpc.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { RefusedError } from "../requests/operation.ts";
import type { Store } from "../store/store.ts";
import { Analyses, type AnalysesOptions } from "./analyses.ts";
import { Executor } from "./executor.ts";
import { PlanLoader } from "./loader.ts";
import type { Target } from "./target.ts";

/** What collectors call themselves that carry out stages. */
const ANALYZER_TYPE = "analyzer";

export interface AnalysisServiceOptions extends Omit<AnalysesOptions, "executor"> {
  readonly isOn: boolean;
  readonly rulesDirs: readonly string[];
  readonly collectors: () => readonly CollectorStanding[];
  readonly call: (request: RpcRequest, signal: AbortSignal) => Promise<RpcResponse>;
}

/** Finds a process that is alive by its pid. */
export type FindProcess = (pid: number) => Target | null;

/** What operations of `ask` need of it. */
export interface AskedAnalyses {
  /** All rows of the analysis once it has ended. @throws RefusedError */
  ask(
    chain: string,
    target: (find: FindProcess) => Target | RefusedError,
    actor: string,
  ): Promise<StageRows>;
}

export class AnalysisService implements AskedAnalyses {
  readonly #options: AnalysisServiceOptions;
  readonly #analyses: Analyses | null;
  readonly #loader: PlanLoader | null;

  constructor(options: AnalysisServiceOptions) {
    this.#options = options;
    if (!options.isOn) {
      this.#analyses = this.#loader = null;
      return;
    }
    const executor = new Executor({ analyzers: () => this.#analyzers(), call: options.call });
    const analyses = this.#analyses = new Analyses({ ...options, executor });
    const { rulesDirs, journal } = options;
    this.#loader = new PlanLoader({ rulesDirs, journal, changed: (plan) => analyses.use(plan) });
  }

  begin(): void {
    this.#loader?.begin();
  }

  attach(store: Store): void {
    this.#analyses?.attach(store);
  }

  detach(): void {
    this.#analyses?.detach();
  }

  async stop(): Promise<void> {
    this.#loader?.stop();
    await this.#analyses?.stop();
  }

  /** Finds what events set going; what it gives is called once they are stored. `null` while it is off. */
  judge(rows: readonly (readonly SqlValue[])[]): Promise<() => void> | null {
    return this.#analyses?.judge(rows) ?? null;
  }

  async ask(
    chain: string,
    target: (find: FindProcess) => Target | RefusedError,
    actor: string,
  ): Promise<StageRows> {
    const analyses = this.#analyses, store = this.#options.store();
    if (analyses === null) throw new RefusedError("Analyses are turned off; set analysis to on and start again");
    if (store === null) throw new RefusedError("The store takes nothing now, so there is no room for what is found");
    const what = "The store did not say what runs";
    const wanted = target((pid) => store.analysing(what, (tables) => tables.process(pid)));
    if (wanted instanceof RefusedError) throw wanted;
    try {
      const run = await analyses.ask(chain, wanted, actor);
      if (run === null) throw new RefusedError("Too much waits to be analysed; ask again later");
      return run.rows();
    } catch (error) {
      if (error instanceof RangeError) throw new RefusedError(error.message, { cause: error });
      throw error;
    }
  }

  /** By the names of the status; nothing while it is off. */
  get counters(): Readonly<Record<string, number>> {
    if (this.#analyses === null) return {};
    return { ...this.#analyses.counters, analyzers_connected: this.#analyzers().length };
  }

  #analyzers(): readonly string[] {
    return this.#options.collectors()
      .filter(({ connected, registration }) => connected && registration?.collectorType === ANALYZER_TYPE)
      .map(({ collectorId }) => collectorId);
  }
}
