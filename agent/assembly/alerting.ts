/**
 * Parts of the agent that make of findings what reaches people: alerts, sinks, responses.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import { AlertManager } from "../alerts/manager.ts";
import { RuleResponder } from "../alerts/rule_responder.ts";
import { SinkSet } from "../alerts/sink_set.ts";
import { alertNotes } from "../ledger_notes.ts";
import { SinkReloader } from "../sink_reloader.ts";
import type { AgentParts } from "./parts.ts";

/** New alerts are in the store. */
export function alerted({ sinks, publications }: AgentParts, alerts: readonly Alert[]): void {
  sinks.poke();
  if (!sinks.hasBus) publications.alerts(alerts);
}

export function newSinks(parts: AgentParts): SinkSet {
  const { counters, delays, bus, notice, inputs: { settings, layout } } = parts;
  return new SinkSet(settings.agent.sinks, {
    surroundings: {
      host: Deno.hostname(),
      directory: layout.agent,
      colour: Deno.stdout.isTerminal() && !Deno.noColor,
      bus,
      notice,
    },
    store: () => parts.store,
    events: (name) => ({
      fault: (text) => {
        counters.sink_faults += 1;
        notice(text);
      },
      storeFault: parts.storeFailed,
      delivered: (ms, count) => delays.delivered(name, ms, count),
    }),
  });
}

export function newManager(parts: AgentParts): AlertManager {
  const { detection, responder, counters, storeFailed: failed, notice, inputs: { settings: { agent } } } = parts;
  return new AlertManager({
    windowMs: agent.alertWindowMs,
    rulePerMinute: agent.alertRulePerMinute,
    perMinute: agent.alertPerMinute,
    policyOf: (ruleId) => detection.alertPolicy(ruleId),
    responder,
    counters,
    notesOf: alertNotes,
    alerted: (alerts) => alerted(parts, alerts),
    failed,
    notice,
  });
}

export function newResponder(parts: AgentParts): RuleResponder {
  const { detection, responding, counters, storeFailed: failed, notice } = parts;
  return new RuleResponder({
    responsesOf: (ruleId) => detection.responsesOf(ruleId),
    responding,
    store: () => parts.store,
    failed,
    notice,
    counters,
  });
}

export function newSinkReloader(parts: AgentParts): SinkReloader {
  const { sinks, journal, storeFailed: failed, inputs: { readFiles, lower, askedSettings } } = parts;
  return new SinkReloader({
    read: readFiles,
    lower,
    sinks,
    store: () => parts.store,
    journal,
    effective: () => askedSettings.effective(lower),
    failed,
  });
}
