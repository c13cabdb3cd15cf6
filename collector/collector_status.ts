/**
 * What the collector's status says, gathered from its parts.
 *
 * @module
 */
import type { NoticeLog } from "../proto/notice_log.ts";
import type { CollectorStatus, LogStatus } from "../proto/status.ts";
import type { SignsOfLife } from "../proto/status_image.ts";
import { VERSION } from "../proto/version.ts";
import type { CollectorDelays } from "./delays.ts";
import { readForkCount } from "./kernel/procfs.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { ObservationOptions } from "./observation.ts";
import type { Outbox } from "./outbox.ts";
import type { Publisher } from "./publisher.ts";
import type { ProcessSource } from "./sources/source.ts";

/** What the observation has counted itself. */
export interface ObservationCounts {
  readonly events: number;
  readonly gaps: number;
  /** Records that could not be understood, and tables that could not be read. */
  readonly faults: number;
  readonly hidden: number;
}

export interface StatusParts {
  readonly source: ProcessSource;
  readonly lifecycle: Lifecycle;
  readonly outbox: Outbox;
  readonly publisher: Publisher;
  readonly options: ObservationOptions;
  readonly notices: NoticeLog;
  readonly delays: CollectorDelays;
}

export function collectorStatus(
  { source, lifecycle, outbox, publisher, options, notices, delays }: StatusParts,
  state: string,
  signs: SignsOfLife,
  counts: ObservationCounts,
  isSlowed: boolean,
): CollectorStatus {
  const { received, lost, overruns, damaged } = source.counters();
  return {
    bootId: options.bootId,
    ...signs,
    pid: Deno.pid,
    userId: options.userId,
    version: VERSION,
    state,
    notices: notices.notices,
    noticeCount: notices.count,
    collectorId: options.collectorId,
    epoch: outbox.epoch,
    sources: options.sources(),
    confinement: options.confinement,
    redaction: options.redaction,
    completeness: options.completeness.status(performance.now()),
    attributes: options.attributes(),
    connected: publisher.connected,
    lastSequence: outbox.lastSequence,
    acknowledgedSequence: outbox.acknowledged,
    durableTime: outbox.safeTime(signs.time),
    log: logStatus(outbox, options.logBytes, isSlowed),
    ledger: options.ledger.status(),
    queuedEvents: outbox.waiting,
    trackedProcesses: lifecycle.tracked,
    forksSinceBoot: readForkCount(),
    counters: {
      exec_received: received.exec,
      fork_received: received.fork,
      exit_received: received.exit,
      exec_lost: lost.exec,
      fork_lost: lost.fork,
      exit_lost: lost.exit,
      ...options.completeness.counters(),
      hidden_processes: counts.hidden,
      suspicious_repeated: lifecycle.repeated,
      overruns,
      damaged_records: damaged,
      record_faults: counts.faults,
      forgotten_processes: lifecycle.forgotten,
      events: counts.events,
      gaps: counts.gaps,
      refused_events: outbox.status.refused,
      cut_texts: outbox.cutTexts,
      masked_secrets: lifecycle.masked,
      ...delays.counters(),
      connections: publisher.connections,
      ...options.moreCounters(),
    },
  };
}

function logStatus(outbox: Outbox, maxBytes: number, isSlowed: boolean): LogStatus {
  const { place, trouble, load, oldestTime } = outbox;
  return { ...outbox.status, place, trouble, load, oldestTime, isSlowed, maxBytes };
}
