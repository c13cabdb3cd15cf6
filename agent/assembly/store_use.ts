/**
 * What becomes of a store that is opened: every part that uses it is told, then its detection is recovered, and from then
 * on it takes what collectors send. Before it is closed all of them let go of it.
 *
 * @module
 */
import { SCHEMA_VERSION } from "../../proto/catalog.ts";
import { VERSION } from "../../proto/version.ts";
import { ExportWatch } from "../export_watch.ts";
import { Ingest } from "../ingest.ts";
import { alertNotes } from "../ledger_notes.ts";
import { pacedWhile } from "../paced.ts";
import { noteSettings } from "../self_notes.ts";
import { tellOrphaned } from "../sink_reloader.ts";
import { backupDirectory } from "../store/backup.ts";
import { BackgroundCheck } from "../store/background_check.ts";
import type { Store } from "../store/store.ts";
import { Upkeep } from "../store/upkeep.ts";
import type { StoreUser } from "../store_keeper.ts";
import { alerted } from "./alerting.ts";
import type { AgentParts } from "./parts.ts";

/** How long events that raised no alert may wait to be stored: their collector keeps them until they are. */
const GROUP_MS = 100;

export class StoreUse implements StoreUser {
  readonly #parts: AgentParts;
  readonly #exports: ExportWatch;
  #upkeep: Upkeep | null = null;
  #check: BackgroundCheck | null = null;
  #isStartNoted = false;
  /** Settles when the store that was opened last takes events, or cannot be used. */
  taken: Promise<void> = Promise.resolve();

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#exports = new ExportWatch(backupDirectory(parts.inputs.layout.store));
  }

  opened(store: Store): void {
    const { journal, progress, manager, responder, sinks, inputs: { layout, lower, askedSettings } } = this.#parts;
    const host = { hostname: Deno.hostname(), os: Deno.build.os, architecture: Deno.build.arch };
    store.putSystemInfo({ ...host, agent_version: VERSION, schema_version: String(SCHEMA_VERSION) }, Date.now());
    if (!this.#isStartNoted) {
      const time = Date.now(), value = { tier: "agent", version: VERSION, pid: Deno.pid, source: null, time } as const;
      store.note({ action: "tierStarted", value }, time);
      this.#isStartNoted = true;
    }
    noteSettings(store, askedSettings.effective(lower));
    if (store.upgradedFrom !== null) {
      const was = `the store had schema version ${store.upgradedFrom} and has ${SCHEMA_VERSION} now`;
      journal.say(`${was}; nothing in it was lost`);
    }
    this.#upkeep = new Upkeep(store, journal);
    this.#exports.attach(store);
    this.#check = new BackgroundCheck(layout.store, {
      isBusy: () => store.isPressed,
      ended: (result) => {
        progress.checked = result;
        if (result.verdict !== "ok") journal.notice(`the store is damaged: ${result.verdict}; see 'agent check'`);
      },
    });
    const orphaned = store.delivering("The store did not take its sinks", (box) => box.present());
    tellOrphaned(store, orphaned, journal);
    manager.attach(store);
    responder.attach(store);
    sinks.attach(store);
    this.taken = this.#takeOver(store);
  }

  closing(reason: string): void {
    const { broker, ingest, analyses, manager, sinks, status } = this.#parts;
    broker.refuse(reason);
    ingest?.drop();
    analyses.detach();
    manager.detach();
    sinks.detach();
    this.stop();
    status.say("degraded");
  }

  /** Ends what looks after the store. */
  stop(): void {
    this.#upkeep?.stop();
    this.#check?.stop();
    this.#exports.detach();
  }

  async #takeOver(store: Store): Promise<void> {
    const parts = this.#parts, { keeper, progress, turn, record, detection, manager, counters, delays } = parts;
    const isUsed = (): boolean => keeper.store === store && !progress.isStopping;
    try {
      await turn.run(async () => {
        if (isUsed()) await record.write(store);
        await pacedWhile(detection.recovering(store, Date.now()), isUsed);
      });
    } catch (error) {
      return keeper.unusable(store, error);
    }
    if (!isUsed()) return;
    const ingest = parts.ingest = new Ingest({
      ...{ store, detection, manager, turn, counters, delays, notesOf: alertNotes, groupMs: GROUP_MS },
      alerted: (alerts) => alerted(parts, alerts),
      failed: parts.storeFailed,
      publications: parts.publications,
      triggers: (rows) => parts.analyses.judge(rows),
    });
    parts.broker.take({ store, ingest });
    parts.analyses.attach(store);
    progress.loading = null;
    if (store.tables !== parts.tables && store.tables.size > 0) void parts.reloader.reload();
    parts.lifecycle.inUse();
    parts.status.say("running");
  }
}
