/**
 * Chains: which stages an analysis has, which of them wait for which, and what becomes of it where one fails.
 *
 * A YAML mapping that is checked strictly, once, here, as rules are. Stages form a graph without a cycle; one with a cycle,
 * or with a stage that waits for one which is not there, is refused with its place in the file.
 *
 * @module
 */
import { type YamlNode } from "../rules/located_yaml.ts";
import { durationOf, fault, lineOf, listOf, mappingOf, nameOf, numberOf, truthOf } from "./yaml_fields.ts";
import { type Stage, STAGES } from "./stage.ts";

/** Bounds of times and tries. */
export const MIN_TIMEOUT_MS = 1_000, MAX_STAGE_MS = 300_000, MAX_CHAIN_MS = 1_800_000, MAX_RETRIES = 3;
const DEFAULT_STAGE_MS = 30_000, DEFAULT_CHAIN_MS = 120_000;

export interface ChainStage {
  readonly stage: Stage;
  /** Stages that must be completed before. */
  readonly needs: readonly Stage[];
  readonly timeoutMs: number;
  /** Tries after the first one. */
  readonly retries: number;
  /** Without it the analysis is partial, not failed; what needs it is skipped. */
  readonly isOptional: boolean;
}

export interface Chain {
  readonly id: string;
  readonly title: string;
  readonly file: string;
  readonly timeoutMs: number;
  /** Each after all that it needs. */
  readonly stages: readonly ChainStage[];
}

const KEYS = ["chain", "title", "timeout", "stages"], STAGE_KEYS = ["stage", "needs", "timeout", "retries", "optional"];

/** @throws YamlFaultError */
export function readChain(root: YamlNode, file: string): Chain {
  const fields = mappingOf(root, "A chain", KEYS), id = nameOf(fields, "chain", root);
  const found = listOf(
    fields.get("stages")?.value ?? fault("The key stages is missing", root),
    "stages",
    STAGES.length,
  );
  const stages = found.map((node) => readStage(node));
  const known = new Set<Stage>();
  stages.forEach(({ stage }, i) => {
    if (known.has(stage)) fault(`The stage ${stage} is there twice`, found[i]!);
    known.add(stage);
  });
  stages.forEach(({ needs }, i) => {
    const missing = needs.find((need) => !known.has(need));
    if (missing !== undefined) fault(`It needs the stage ${missing}, which this chain has not`, found[i]!);
  });
  const ordered = inOrder(stages);
  if (typeof ordered === "string") fault(`The stages ${ordered} wait for each other`, fields.get("stages")!.value);
  return {
    id,
    title: lineOf(fields, "title", root),
    file,
    timeoutMs: durationOf(fields, "timeout", MIN_TIMEOUT_MS, MAX_CHAIN_MS) ?? DEFAULT_CHAIN_MS,
    stages: ordered as ChainStage[],
  };
}

function readStage(node: YamlNode): ChainStage {
  const fields = mappingOf(node, "A stage", STAGE_KEYS), named = fields.get("stage")?.value;
  if (named === undefined) fault("A stage has a name: stage", node);
  const needs = fields.has("needs") ? listOf(fields.get("needs")!.value, "needs", STAGES.length).map(stageOf) : [];
  return {
    stage: stageOf(named!),
    needs: [...new Set(needs)],
    timeoutMs: durationOf(fields, "timeout", MIN_TIMEOUT_MS, MAX_STAGE_MS) ?? DEFAULT_STAGE_MS,
    retries: numberOf(fields, "retries", 0, MAX_RETRIES) ?? 0,
    isOptional: truthOf(fields, "optional") ?? false,
  };
}

function stageOf(node: YamlNode): Stage {
  const found = node.kind === "scalar" ? STAGES.find((each) => each === node.value) : undefined;
  return found ?? fault(`A stage is one of ${STAGES.join(", ")}`, node);
}

/** Stages so that each comes after what it needs, otherwise as written (Kahn); names of those in a cycle. */
function inOrder(stages: readonly ChainStage[]): ChainStage[] | string {
  const ordered: ChainStage[] = [], done = new Set<Stage>();
  let left = [...stages];
  while (left.length > 0) {
    const next = left.find(({ needs }) => needs.every((need) => done.has(need)));
    if (next === undefined) return left.map(({ stage }) => stage).join(", ");
    ordered.push(next);
    done.add(next.stage);
    left = left.filter((each) => each !== next);
  }
  return ordered;
}
