/**
 * What the page's own script gets: the listed alerts and the processes behind them, as data in the page.
 *
 * What many alerts share stands once. `cli/report/page/page.js` reads it, and is checked against these types.
 *
 * @module
 */
import type { AlertStep, GraphNode, ListedAlert, ReportData } from "./data.ts";
import { SEVERITY_ORDER } from "./data.ts";

export interface Payload {
  readonly from: number;
  readonly until: number;
  readonly total: number;
  readonly severities: readonly string[];
  readonly rules: readonly PayloadRule[];
  readonly alerts: readonly PayloadAlert[];
  readonly nodes: readonly PayloadNode[];
}

export interface PayloadRule {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  readonly tags: readonly string[];
  readonly hash?: string;
}

export interface PayloadAlert {
  readonly id: string;
  readonly time: number;
  readonly detected: number;
  /** Places in {@linkcode Payload.rules}, {@linkcode Payload.severities} and, -1 for none, {@linkcode Payload.nodes}. */
  readonly rule: number;
  readonly severity: number;
  readonly node: number;
  readonly status: string;
  readonly muted?: string;
  readonly repeats?: number;
  readonly reason?: string;
  readonly event?: string;
  readonly pid?: number;
  readonly name?: string;
  readonly executable?: string;
  readonly command?: string;
  readonly user?: string;
  readonly directory?: string;
  readonly container?: string;
  readonly input?: string;
  readonly evidence?: readonly (readonly [string, string])[];
  readonly unseen?: readonly string[];
  readonly history?: readonly AlertStep[];
}

export interface PayloadNode {
  /** Place of the parent in {@linkcode Payload.nodes}; -1 where it is not there. */
  readonly parent: number;
  readonly pid?: number;
  readonly name?: string;
  readonly executable?: string;
  readonly command?: string;
  readonly user?: string;
  readonly start?: number;
  readonly end?: number;
  readonly ended?: string;
  readonly remembered?: true;
  /** Children that are not in the page. */
  readonly hidden?: number;
}

export function payloadOf({ alerts, range }: ReportData): Payload {
  const rules = new Map<string, number>(), shown: PayloadRule[] = [];
  const ruleOf = ({ ruleId: id, title, description: about, tags, ruleHash }: ListedAlert): number => {
    const rule: PayloadRule = { id, title, about, tags, ...some({ hash: ruleHash }) }, key = JSON.stringify(rule);
    let place = rules.get(key);
    if (place === undefined) {
      rules.set(key, place = shown.length);
      shown.push(rule);
    }
    return place;
  };
  const places = new Map([...alerts.processes.nodes.keys()].map((id, at) => [id, at]));
  return {
    from: range.from,
    until: range.until,
    total: alerts.total,
    severities: SEVERITY_ORDER,
    alerts: alerts.listed.map((alert) => payloadAlert(alert, ruleOf(alert), places.get(alert.processId) ?? -1)),
    rules: shown,
    nodes: [...alerts.processes.nodes.values()].map((node) => payloadNode(node, places)),
  };
}

function payloadAlert(alert: ListedAlert, rule: number, node: number): PayloadAlert {
  const { id, time, detected, status, evidence, unseen, history } = alert;
  const { mutedBy, repeats, reason, eventId, pid, name, executable, command, user, directory, container, input } =
    alert;
  return {
    id,
    time,
    detected,
    rule,
    severity: (SEVERITY_ORDER as readonly string[]).indexOf(alert.severity),
    node,
    status,
    ...some({ muted: mutedBy, repeats, reason, event: eventId, pid, name, executable, command, user }),
    ...some({ directory, container, input }),
    ...evidence.length === 0 ? {} : { evidence },
    ...unseen.length === 0 ? {} : { unseen },
    ...history.length === 0 ? {} : { history },
  };
}

function payloadNode(node: GraphNode, places: ReadonlyMap<string, number>): PayloadNode {
  const { pid, name, executable, command, user, start, end, ended } = node;
  return {
    parent: node.parentId === null ? -1 : places.get(node.parentId) ?? -1,
    ...some({ pid, name, executable, command, user, start, end, ended }),
    ...node.remembered ? { remembered: true } : {},
    ...node.hiddenChildren === 0 ? {} : { hidden: node.hiddenChildren },
  };
}

type Some<T> = { [K in keyof T]?: Exclude<T[K], null> };

/** The members that are something. */
function some<T extends Record<string, unknown>>(members: T): Some<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null)) as Some<T>;
}
