/**
 * Parts of the agent that judge: rules, as they are read, used, changed and recorded.
 *
 * @module
 */
import { alertNotes } from "../ledger_notes.ts";
import { Detection } from "../detection.ts";
import { ExceptionWatch } from "../exception_watch.ts";
import { QuietWatch } from "../quiet_watch.ts";
import { RuleRecord } from "../rule_record.ts";
import { RuleReloader } from "../rule_reloader.ts";
import { NO_RULES } from "../loaded_rules.ts";
import { alerted } from "./alerting.ts";
import type { AgentParts } from "./parts.ts";

export function newDetection(parts: AgentParts): Detection {
  const { journal, counters, heads, inputs: { settings: { agent } } } = parts;
  return new Detection(NO_RULES, {
    deadlineMs: agent.ruleDeadlineMs,
    windowRows: agent.windowRows,
    journal,
    counters,
    head: (collectorId) => heads.get(collectorId) ?? null,
    lacksOf: (rule) => parts.registry.lacks(rule),
    changed: () => {
      // Before the store is in use it is told all at once, and collectors as they come
      if (parts.progress.loading !== null) return;
      parts.broker.demand();
      parts.record.ask();
    },
  });
}

export function newRecord(parts: AgentParts): RuleRecord {
  return new RuleRecord({ detection: () => parts.detection, store: () => parts.store, failed: parts.storeFailed });
}

export function newReloader(parts: AgentParts): RuleReloader {
  const { loader, detection, turn, journal, progress, inputs: { settings } } = parts;
  return new RuleReloader({
    directories: settings.rulesDirs,
    loader,
    detection,
    turn,
    store: () => parts.store,
    settle: () => parts.ingest?.settle(),
    journal,
    progress: (text) => {
      if (progress.loading === null) return;
      progress.loading = text;
      parts.broker.refuse(`the agent is starting: ${text}`);
    },
  });
}

export function newQuietWatch(parts: AgentParts): QuietWatch {
  const { detection, turn, counters } = parts;
  return new QuietWatch({
    detection,
    turn,
    get manager() {
      return parts.manager;
    },
    counters,
    store: () => parts.store,
    settle: () => parts.ingest?.settle(),
    isConnected: () => parts.broker.connections().length > 0,
    notesOf: alertNotes,
    alerted: (alerts) => alerted(parts, alerts),
    failed: parts.storeFailed,
  });
}

export function newExceptionWatch(parts: AgentParts): ExceptionWatch {
  const { detection: { suppressions }, journal, storeFailed: failed } = parts;
  return new ExceptionWatch({ suppressions, journal, store: () => parts.store, failed });
}
