/**
 * The part of the agent that does what operators ask for.
 *
 * @module
 */
import { AlertDesk } from "../alerts/desk.ts";
import { RequestService } from "../requests/service.ts";
import { look } from "./look.ts";
import type { AgentParts } from "./parts.ts";

export function newRequests(parts: AgentParts): RequestService {
  const { journal, counters, sinks, manager, sinkReloader, analyses, detection, reloader, calls, registry } = parts;
  const { limits, connections, responding, inputs: { layout, askedRules, askedSettings, lower } } = parts;
  return new RequestService({
    directory: layout.requests,
    journal,
    counters,
    store: () => parts.store,
    alerts: new AlertDesk({ store: () => parts.store, manager, deliveries: () => sinks.deliveries }),
    sinkReloader,
    analyses,
    look: () => look(parts),
    detection,
    reloader,
    askedRules,
    askedSettings,
    settings: lower,
    limits,
    connections,
    calls,
    standings: () => registry.standings(),
    responding,
  });
}
