/**
 * A host on which everything runs, and nothing is quite right.
 *
 * @module
 */
import { AGENT, COLLECTOR, NOW, TestState } from "../test_store.ts";
import { fill } from "./ordinary.ts";

export function troubled(): TestState {
  const state = new TestState();
  fill(state);
  state.live();
  state.gap(1, NOW - 600_000, NOW - 540_000, 1_234);
  state.gap(2, NOW - 300_000, NOW - 1_000, null, "collector not running");
  state.insert("detection_rules", {
    rule_id: "/rules/broken.yml",
    title: "",
    file: "/rules/broken.yml",
    state: "rejected",
    line: 7,
    column_number: 12,
    reason: "There is no table proces_events; did you mean process_events?",
  });
  state.writeStatus(
    {
      rules: [
        ...AGENT.rules.map((rule) => ({ ...rule, suppressed: 12 })),
        {
          ...AGENT.rules[0]!,
          id: "reads-variable",
          title: "A rule that reads what is not collected",
          hits: 0,
          degraded: [
            "collector procmond: environment.MY_OWN is refused: collector.environment_on_demand does not name it",
          ],
        },
        {
          id: "/rules/broken.yml",
          title: "",
          severity: "",
          file: "/rules/broken.yml",
          state: "rejected",
          line: 7,
          column: 12,
          reason: "There is no table proces_events; did you mean process_events?",
          hits: 0,
          lane: null,
          hash: null,
          evaluations: 0,
          matches: 0,
          cpuMs: 0,
          rows: 0,
          suppressed: 0,
          degraded: [],
        },
      ],
      suppressors: [
        {
          kind: "exception",
          id: "nightly-backup",
          file: "/rules/exceptions.yml",
          line: 2,
          reason: "the backup reads every file",
          author: "alice",
          expires: null,
          rules: 2,
          suppressed: 12,
          lastTime: NOW - 90_000,
          byRule: [{ ruleId: "test-rule", count: 12 }],
        },
        {
          kind: "filter",
          id: "build-hosts",
          file: "/rules/sigma/build-hosts.yml",
          line: 1,
          reason: "compilers write there",
          author: "",
          expires: NOW - 86_400_000,
          rules: 1,
          suppressed: 0,
          lastTime: null,
          byRule: [],
        },
      ],
      counters: { ...AGENT.counters, rule_faults: 3 },
      busClients: [
        { name: "netmond", connected: true, patterns: 2, queued: 0, delivered: 4_711, lost: 0, refused: 0 },
        { name: "forger", connected: false, patterns: 1, queued: 12, delivered: 3, lost: 40, refused: 9_000 },
      ],
      notices: [{ time: NOW - 61_000, text: "rule test-rule did not judge a batch: the deadline" }],
      noticeCount: 1,
    },
    {
      sources: [
        {
          name: "ebpf",
          state: "unavailable",
          detail: "The kernel refuses to load programs (EPERM)",
          misses: [],
          unknownColumns: [],
        },
        {
          name: "proc",
          state: "active",
          detail: "the process table, read every 1000 ms",
          misses: ["processes that live shorter than 1000 ms are mostly not seen, and nothing counts them"],
          unknownColumns: ["exit_code", "inode"],
        },
      ],
      attributes: [
        { attribute: "executable_hash", state: "on-demand", reason: "no rule reads it", since: 0 },
        { attribute: "environment", state: "configured", reason: "LD_*, BASH_ENV", since: 0 },
        { attribute: "environment.GIT_SSH", state: "demanded", reason: "rules read it", since: NOW - 3_600_000 },
        {
          attribute: "environment.MY_OWN",
          state: "refused",
          reason: "collector.environment_on_demand does not name it; add it there, or to collector.environment",
          since: 0,
        },
      ],
      acknowledgedSequence: 510,
      lastSequence: 12_400,
      log: {
        ...COLLECTOR.log,
        trouble: "/var/lib/daemoneye/collector/wal/1 is left alone: it belongs to another host; move it away",
        bytes: 201_326_592,
        segments: 25,
        pendingBytes: 70_000,
        load: 0.75,
        isSlowed: true,
        refused: 1_200,
        missing: 40,
        damaged: 1,
        faults: 2,
        hastened: 3,
        fault: "the disk is full: No space left on device",
        oldestTime: NOW - 3_600_000,
      },
      ledger: {
        ...COLLECTOR.ledger,
        trouble: "it is not written: no space left on device; free or mend its disk, it goes on by itself",
        pendingBytes: 4_000,
        refused: 12,
        faults: 3,
      },
      queuedEvents: 11_890,
      counters: { ...COLLECTOR.counters, exec_lost: 1_234 },
    },
  );
  return state;
}
