/**
 * The rungs of the source ladder, best first, and the choice among them.
 *
 * Chosen once, at start, while the process still has its privileges. A rung that cannot be had is no error as long as a
 * lower one can; why it could not is kept for `health`.
 *
 * @module
 */
import type { SourceName } from "../../proto/process_event.ts";
import type { SourceStatus } from "../../proto/status.ts";
import type { VariableNames } from "../kernel/environment.ts";
import { forgetOpenings, isTakenOver, told } from "../kernel/inheritance.ts";
import { ProcfsReader } from "../kernel/procfs_reader.ts";
import { isInOwnPidNamespace } from "../table_check.ts";
import { openEbpfSource } from "./ebpf.ts";
import { openNetlinkSource } from "./netlink.ts";
import { openProcSource } from "./proc.ts";
import { openPsSource } from "./ps.ts";
import type { ProcessSource } from "./source.ts";
import { openTracepointSource, readTracepointKernel } from "./tracepoint.ts";
import { SourceUnavailableError } from "./unavailable.ts";

export interface LadderOptions {
  /** The best there is, or exactly this one. */
  readonly choice: "auto" | SourceName;
  readonly ringBytes: number;
  readonly pollIntervalMs: number;
  /** Names of the environment variables to capture: see `EnvironmentFilter`. */
  readonly environment: VariableNames;
  /** Whether executables and directories of other users stay readable: see `retained.ts`. */
  readonly readsOthers?: boolean;
}

export interface OpenedSource {
  readonly source: ProcessSource;
  /** Rungs above the one that was opened, and why they cannot be used. */
  readonly unavailable: readonly { readonly name: string; readonly reason: string }[];
}

/** @throws {SourceUnavailableError} when the one that was asked for, or every one, cannot be opened. */
export function openBestSource(options: LadderOptions): OpenedSource {
  const { ringBytes, environment, readsOthers = false } = options;
  const rungs: Readonly<Record<SourceName, () => ProcessSource>> = {
    ebpf: () => openEbpfSource({ ringBytes, environment, fallback: () => new ProcfsReader({ environment }) }),
    tracepoint: () =>
      openTracepointSource({
        ringBytes,
        environment,
        readsOthers,
        readKernel: () => told("the kernel's tracepoints", () => readTracepointKernel()),
      }),
    netlink: () => openNetlinkSource({ environment, readsOthers }),
    proc: () => openProcSource({ intervalMs: options.pollIntervalMs, environment, readsOthers }),
    ps: () => openPsSource({ intervalMs: options.pollIntervalMs }),
  };
  if (isTakenOver()) {
    const { name, unavailable } = told<Chosen>(CHOSEN, () => ({ name: "proc", unavailable: [] }));
    return { source: rungs[name](), unavailable };
  }
  const opened = choose(options.choice, { ...rungs, ...refusedRungs() });
  told<Chosen>(CHOSEN, () => ({ name: opened.source.description.name, unavailable: opened.unavailable }));
  return opened;
}

/** What is handed to the next execution of the collector, which does not choose again. */
type Chosen = { readonly name: SourceName; readonly unavailable: OpenedSource["unavailable"] };
const CHOSEN = "the chosen source";

/** The kernel's programs tell the host's pids and parents, and its table only of the collector's namespace. */
function refusedRungs(): Partial<Record<SourceName, () => ProcessSource>> {
  if (!isInOwnPidNamespace()) return {};
  const refuse = (name: SourceName) => (): ProcessSource => {
    throw new SourceUnavailableError(
      name,
      "the collector runs in a pid namespace of its own, where nothing shows the host's processes whole; " +
        "share the host's (--pid=host of a container)",
    );
  };
  return { ebpf: refuse("ebpf"), tracepoint: refuse("tracepoint") };
}

function choose(
  choice: LadderOptions["choice"],
  rungs: Readonly<Record<SourceName, () => ProcessSource>>,
): OpenedSource {
  if (choice !== "auto") return { source: rungs[choice](), unavailable: [] };
  const unavailable: { name: string; reason: string }[] = [];
  for (const [name, open] of Object.entries(rungs)) {
    try {
      forgetOpenings();
      return { source: open(), unavailable };
    } catch (error) {
      if (!(error instanceof SourceUnavailableError)) throw error;
      unavailable.push({ name, reason: error.reason });
    }
  }
  throw new SourceUnavailableError("any", unavailable.map(({ name, reason }) => `${name}: ${reason}`).join("; "));
}

/** What was opened and what was not, for the status. */
export function sourceStatuses({ source, unavailable }: OpenedSource): SourceStatus[] {
  const { name, sees, misses, unknownColumns } = source.description;
  const refused = (rung: OpenedSource["unavailable"][number]): SourceStatus => ({
    name: rung.name,
    state: "unavailable",
    detail: rung.reason,
    misses: [],
    unknownColumns: [],
  });
  return [
    ...unavailable.map(refused),
    { name, state: "active", detail: sees, misses, unknownColumns },
  ];
}
