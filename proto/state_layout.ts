/**
 * Where everything lies below a state directory: the only place that spells these names.
 *
 * @module
 */

/** State directory of an installed system. */
export const INSTALLED_STATE = "/var/lib/daemoneye";
/** Directory of sockets and token of an installed system. */
const INSTALLED_RUN = "/run/daemoneye";

export interface StateLayout {
  readonly state: string;
  readonly run: string;
  readonly brokerSocket: string;
  /** The directory that only collector and hasher get into. */
  readonly hasher: string;
  readonly hasherSocket: string;
  /** The directory that only collector and response helper get into. */
  readonly responder: string;
  readonly responderSocket: string;
  /** What root lets the response helper do; where there is no such file, there is no helper. */
  readonly responsePolicy: string;
  /** Traces and bundles of evidence, for those who may ask for them. */
  readonly responses: string;
  readonly token: string;
  /** Secrets of the installation that outlive a boot, unlike the token. */
  readonly keys: string;
  readonly redactionKey: string;
  /** The key that signs the audit ledger, and the one that is to take over at the next start. */
  readonly ledgerKey: string;
  readonly nextLedgerKey: string;
  readonly requests: string;
  readonly collector: string;
  readonly collectorStatus: string;
  /** The directory of the collector's write-ahead logs. */
  readonly wal: string;
  /** The audit ledger, which readers read. */
  readonly ledger: string;
  /** What the ledger's writer alone may read: the key of the open epoch. */
  readonly ledgerSecrets: string;
  /** The settings of the collector's last start. */
  readonly lastSettings: string;
  /** The last known process table. */
  readonly knownTable: string;
  /** Hashes that are remembered from one run of the collector to the next. */
  readonly hashMemory: string;
  /** What rules asked the collector for in its last run. */
  readonly lastDemand: string;
  readonly agent: string;
  readonly store: string;
  readonly agentStatus: string;
  readonly alertFile: string;
  /** What operators asked the running agent for: its settings, and rules that are turned off. */
  readonly askedSettings: string;
  readonly askedRules: string;
  /** The operator's own rules; shipped rules come from the program. */
  readonly rules: string;
}

/** Paths below `state`, an absolute directory without trailing slash; `run` lies in it unless the state is installed. */
export function stateLayout(state: string): StateLayout {
  const run = state === INSTALLED_STATE ? INSTALLED_RUN : `${state}/run`;
  return {
    state,
    run,
    brokerSocket: `${run}/broker.sock`,
    hasher: `${run}/hasher`,
    hasherSocket: `${run}/hasher/hasher.sock`,
    responder: `${run}/responder`,
    responderSocket: `${run}/responder/responder.sock`,
    responsePolicy: state === INSTALLED_STATE ? "/etc/daemoneye/response.yaml" : `${state}/response.yaml`,
    responses: `${state}/responses`,
    token: `${run}/collector.token`,
    keys: `${state}/keys`,
    redactionKey: `${state}/keys/redaction.key`,
    ledgerKey: `${state}/keys/ledger.key`,
    nextLedgerKey: `${state}/keys/ledger-next.key`,
    requests: `${run}/requests`,
    collector: `${state}/collector`,
    collectorStatus: `${state}/collector/status.pb`,
    wal: `${state}/collector/wal`,
    ledger: `${state}/collector/ledger`,
    ledgerSecrets: `${state}/collector/secrets`,
    lastSettings: `${state}/collector/settings.json`,
    knownTable: `${state}/collector/known.pb`,
    hashMemory: `${state}/collector/hashes.pb`,
    lastDemand: `${state}/collector/demand.json`,
    agent: `${state}/agent`,
    store: `${state}/agent/events.db`,
    agentStatus: `${state}/agent/status.pb`,
    alertFile: `${state}/agent/alerts.jsonl`,
    askedSettings: `${state}/agent/asked_settings.json`,
    askedRules: `${state}/agent/asked_rules.json`,
    rules: `${state}/rules`,
  };
}
