/**
 * `collector analyzer`: looks into files and processes that the agent names, as a process and a user of its own.
 *
 * A collector as far as the agent is concerned: it registers what it fills, says that it lives, and answers tasks. It sees
 * no events, keeps nothing on disk and has no key. Its token is the first line of standard input and proves its own name.
 *
 * @module
 */
import type { Settings } from "../../proto/config.ts";
import { ANALYSIS_TABLES } from "../../proto/analysis/tables.ts";
import { SCHEMA_VERSION } from "../../proto/catalog.ts";
import { printable } from "../../proto/printable.ts";
import { type Registration, TABLE_DOMAINS } from "../../proto/registration.ts";
import { parseToken } from "../../proto/token.ts";
import { VERSION } from "../../proto/version.ts";
import { giveBackHeap } from "../kernel/heap.ts";
import { stepBack } from "../kernel/priority.ts";
import { readBootId } from "../kernel/procfs.ts";
import { peerCheck } from "../peer_check.ts";
import { HEARTBEAT_MS } from "../requests.ts";
import { AgentLink } from "./agent_link.ts";
import { confineAnalyzer } from "./confinement.ts";
import { analyzerService } from "./service.ts";
import { Stages } from "./stages.ts";
import { memoryFile, Yara, YARA_PATH } from "./yara.ts";

/** The name that the supervisor gives it. */
const ANALYZER_ID = "analyzer";
/** Of 19: what is analysed can wait for what is watched. */
const NICE = 10;
const MAX_TOKEN_LINE = 1_024;

/** Serves until it is told to stop. */
export async function runAnalyzer(settings: Settings): Promise<never> {
  const { collector, brokerSocket, yaraRules } = settings;
  const notice = (text: string): void => console.error(`analyzer: ${printable(text)}`);
  const id = Deno.env.get("DAEMONEYE_COLLECTOR_ID") ?? ANALYZER_ID;

  // 1. What it needs of outside, while it may still ask for it.
  const token = parseToken(await firstLine(), "standard input");
  const bootId = readBootId(), checkPeer = peerCheck(brokerSocket, collector.agentUser);
  const runsYara = mayRun(YARA_PATH);
  const yara = runsYara ? new Yara(yaraRules, memoryFile()) : null;

  // 2. What it may do from here on, and when.
  if (!stepBack(NICE)) notice("it cannot leave the processor to others first");
  const { proof, misses } = confineAnalyzer(collector.syscallFilter, runsYara);
  notice(proof);
  const missing = (): string[] => [
    ...misses,
    ...runsYara ? [] : ["yara is not installed: its stage is missing from every analysis"],
    ...(yara?.refused ?? []).map((file) => `YARA rules left out: ${file}`),
  ];
  for (const missed of missing()) notice(missed);

  // 3. The work.
  const stages = new Stages({ yara });
  const link = new AgentLink({
    connect: () => Deno.connect({ transport: "unix", path: brokerSocket }),
    token,
    identity: { collectorId: id, epoch: crypto.randomUUID(), bootId, softwareVersion: VERSION, source: "analyzer" },
    registration: registration(),
    checkPeer,
    carryOut: analyzerService(id, stages, missing),
    notice,
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => void link.stop("told to stop").then(() => Deno.exit(0)));
  }
  giveBackHeap();
  await link.run();
  // A file may still hang on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}

function registration(): Registration {
  const filled = ANALYSIS_TABLES.filter(({ name }) => TABLE_DOMAINS[name] !== undefined);
  return {
    collectorType: ANALYZER_ID,
    domains: ["process", "filesystem"],
    kernelLevel: false,
    realtime: false,
    systemWide: true,
    tables: filled.map(({ name, columns }) => ({ name, version: SCHEMA_VERSION, columns: columns.map((c) => c.name) })),
    heartbeatMs: HEARTBEAT_MS,
    keepsLedger: false,
  };
}

function mayRun(path: string): boolean {
  return Deno.permissions.querySync({ name: "run", command: path }).state === "granted";
}

async function firstLine(): Promise<string> {
  const decoder = new TextDecoder(), buffer = new Uint8Array(MAX_TOKEN_LINE);
  let text = "";
  while (!text.includes("\n") && text.length < MAX_TOKEN_LINE) {
    const count = await Deno.stdin.read(buffer);
    if (count === null) break;
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return text.split("\n")[0]!.trim();
}
