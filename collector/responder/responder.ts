/**
 * Where a response is judged and given: the only place that does something to a process.
 *
 * Nobody who asks is trusted, not the collector either: the policy decides, read anew for each request, and every check
 * is made on a process that is held, so that none can take its place between check and deed. What is refused has done
 * nothing; what failed says how far it came. Nothing here throws for what a request says.
 *
 * @module
 */
import { partsOf, refusal, type ResponseAnswer, type ResponseRequest } from "../../proto/response/action.ts";
import {
  capabilitiesOf,
  isNamed,
  PolicyError,
  type ResponseCapability,
  type ResponsePolicy,
  writesOf,
} from "../../proto/response/policy.ts";
import { BUNDLE_BYTES, collectEvidence } from "./evidence.ts";
import { descendantsOf, FamilyTooLargeError, type Member } from "./family.ts";
import { OutputDirectory, OutputFullError } from "./output.ts";
import { type Ourselves, protectionOf } from "./protection.ts";
import { ResponseRates } from "./rates.ts";
import { signalAll, signalName } from "./signals.ts";
import { SlowReader } from "./slow_read.ts";
import { nameOf, Target } from "./target.ts";
import { Trace } from "./trace.ts";

/** Traces and bundles under way at one time. */
const MAX_TRACES = 4, MAX_BUNDLES = 2;

export interface ResponderOptions {
  /** The first part of this boot's id, as it stands in names of processes. */
  readonly boot: string;
  readonly bootId: string;
  /** @throws {PolicyError} */
  readonly policy: () => ResponsePolicy;
  /** What this process was started with: it can get no more. */
  readonly held: ReadonlySet<ResponseCapability>;
  /** Whether its system-call filter lets it make files. */
  readonly canWrite: boolean;
  readonly ourselves: Ourselves;
  readonly output: OutputDirectory;
  readonly rates?: ResponseRates;
  readonly ruleRates?: ResponseRates;
}

/** Called when what a request began is over. */
export type Ended = (answer: ResponseAnswer) => void;

export class Responder {
  readonly #options: ResponderOptions;
  readonly #rates: ResponseRates;
  /** Of what rules ask for by themselves, so that a storm of theirs takes nothing from people. */
  readonly #ruleRates: ResponseRates;
  readonly #reader = new SlowReader();
  readonly #traces = new Map<Trace, Promise<void>>();
  #bundles = 0;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#rates = options.rates ?? new ResponseRates();
    this.#ruleRates = options.ruleRates ?? new ResponseRates();
  }

  /** Gives a response, or says why not. `ended` is called later, and only for what goes on behind the answer. */
  async respond(request: ResponseRequest, ended: Ended): Promise<ResponseAnswer> {
    let policy: ResponsePolicy;
    try {
      policy = this.#options.policy();
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      return refusal(error.message);
    }
    const fault = this.#faultOf(request, policy);
    if (fault !== null) return refusal(fault);
    const members: Member[] = [];
    const state = { isHeldOn: false };
    try {
      const why = this.#hold(request, policy, members) ?? this.#limit(request, policy);
      if (why !== null) return refusal(why);
      if (policy.mode === "dry-run" || (request.byRule && policy.rules.mode === "dry-run")) {
        return this.#dryRun(request, members);
      }
      return await this.#give(request, policy, members, ended, state);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return error instanceof OutputFullError
        ? refusal(text)
        : { outcome: "failed", text: `It failed: ${text}`, processes: this.#names(members), place: "" };
    } finally {
      if (!state.isHeldOn) { for (const { target } of members) target.close(); }
    }
  }

  /** Ends all traces, and waits until their files are whole. */
  async stop(): Promise<void> {
    for (const trace of this.#traces.keys()) trace.stop("the response helper was told to stop");
    await Promise.allSettled(this.#traces.values());
  }

  /** Why it is one too many, `null` when it is not. */
  #limit({ rule, byRule }: ResponseRequest, policy: ResponsePolicy): string | null {
    if (!byRule) return this.#rates.take(rule, policy);
    const { rules: { perMinute }, perRulePerMinute } = policy;
    return this.#ruleRates.take(rule, { perMinute, perRulePerMinute });
  }

  #faultOf({ action, process, seconds, rule, byRule }: ResponseRequest, policy: ResponsePolicy): string | null {
    const { held, canWrite, boot } = this.#options;
    if (!policy.actions.includes(action)) {
      const allowed = policy.actions.length === 0 ? "no action" : policy.actions.join(", ");
      return `the policy does not allow ${action}; it allows ${allowed}`;
    }
    if (byRule && !isNamed(policy.rules.ids, rule)) {
      return `the policy does not let the rule ${rule} ask for anything by itself (rules.ids)`;
    }
    if (byRule && !policy.rules.actions.includes(action)) {
      return `the policy does not let rules ask for ${action} by themselves (rules.actions)`;
    }
    const missing = capabilitiesOf(policy).filter((capability) => !held.has(capability));
    if (missing.length > 0 || (writesOf(policy) && !canWrite)) {
      const what = missing.length === 0 ? "the right to make files" : missing.join(", ");
      return `the policy allows more than it did when the response helper was started, which lacks ${what}; ` +
        "restart DaemonEye";
    }
    if (partsOf(process).boot !== boot) return "that process was one of another boot of this host, and is gone";
    if (action === "trace" && seconds > policy.trace.maxSeconds) {
      return `the policy allows traces of ${policy.trace.maxSeconds} s`;
    }
    if (action === "trace" && this.#traces.size >= MAX_TRACES) return `${MAX_TRACES} traces are under way already`;
    if (action === "evidence" && this.#bundles >= MAX_BUNDLES) return `${MAX_BUNDLES} bundles are under way already`;
    return null;
  }

  /** Takes hold of all that is meant, or says why not all of it may be touched. */
  #hold({ process, tree, action }: ResponseRequest, policy: ResponsePolicy, members: Member[]): string | null {
    const { pid, startTicks } = partsOf(process);
    const target = Target.open(pid);
    if (target === null) return `no process has the number ${pid} any more`;
    const facts = target.facts();
    if (facts === null || facts.startTicks !== startTicks) {
      target.close();
      return facts === null
        ? `no process has the number ${pid} any more`
        : `${pid} is the number of another process by now: that one is ${nameOf(this.#options.boot, facts)}`;
    }
    members.push({ target, facts });
    if (tree) {
      try {
        members.push(...descendantsOf(members, policy.maxProcesses));
      } catch (error) {
        if (!(error instanceof FamilyTooLargeError)) throw error;
        return `${error.message}, which is what the policy allows (max_processes)`;
      }
    }
    for (const member of members) {
      const why = protectionOf(member.facts, this.#options.ourselves, policy);
      if (why !== null) return `process ${member.facts.pid} (${member.facts.name}) is protected: ${why}`;
    }
    const isOver = facts.state === "zombie" || facts.state === "dead";
    return isOver && action !== "evidence" ? `process ${pid} has ended already` : null;
  }

  #dryRun({ action, seconds }: ResponseRequest, members: readonly Member[]): ResponseAnswer {
    const what = action === "trace"
      ? `a trace of ${seconds} s would have been begun of`
      : action === "evidence"
      ? "evidence would have been collected of"
      : `${signalName(action)} would have been sent to`;
    const text = `Dry run, nothing was done: ${what} ${wordsOf(members)}`;
    return { outcome: "dry_run", text, processes: this.#names(members), place: "" };
  }

  async #give(
    request: ResponseRequest,
    policy: ResponsePolicy,
    members: Member[],
    ended: Ended,
    state: { isHeldOn: boolean },
  ): Promise<ResponseAnswer> {
    const { action, tree } = request, { ourselves } = this.#options;
    const protection = ({ facts }: Member): string | null => protectionOf(facts, ourselves, policy);
    switch (action) {
      case "stop":
      case "resume":
      case "kill": {
        const result = await signalAll(action, members, { tree, most: policy.maxProcesses, protection });
        // Those that were born meanwhile are to be closed as well.
        members.splice(0, members.length, ...result.members);
        const text = `${signalName(action)} was sent to ${wordsOf(members)}`;
        const words = [text, ...result.faults].join("; ");
        return {
          outcome: result.faults.length === 0 ? "done" : "failed",
          text: words,
          processes: this.#names(members),
          place: "",
        };
      }
      case "trace":
        return this.#trace(request, policy, members, protection, ended, state);
      case "evidence":
        return await this.#collect(request, policy, members[0]!);
    }
  }

  #trace(
    request: ResponseRequest,
    policy: ResponsePolicy,
    members: readonly Member[],
    protection: (member: Member) => string | null,
    ended: Ended,
    state: { isHeldOn: boolean },
  ): ResponseAnswer {
    const { output, boot, bootId } = this.#options, { seconds, tree } = request;
    const { intervalMs, maxBytes } = policy.trace;
    // Those under way have room for all that they may write, though it is not there yet.
    output.reserve(maxBytes * (this.#traces.size + 1), policy.maxOutputBytes);
    const path = `${output.path}/${output.nameFor("trace", request.process)}.jsonl`;
    const trace = new Trace(members, {
      ...{ boot, path, tree, seconds, intervalMs, maxBytes, protection },
      most: policy.maxProcesses,
      header: { what: "samples of /proc, differences to the sample before", bootId, request: { ...request } },
      reader: this.#reader,
    });
    state.isHeldOn = true;
    const processes = this.#names(members);
    const running = trace.run().then(({ why, samples, processes: seen, bytes }) => {
      const text = `The trace ended as ${why}: ${samples} samples of ${seen} processes, ${bytes} bytes`;
      ended({ outcome: why.startsWith("it failed") ? "failed" : "done", text, processes, place: path });
    }).catch((error) => {
      const text = `The trace cannot be written: ${error instanceof Error ? error.message : error}`;
      ended({ outcome: "failed", text, processes, place: path });
    }).finally(() => this.#traces.delete(trace));
    this.#traces.set(trace, running);
    const text = `A trace of ${seconds} s was begun of ${wordsOf(members)}: samples of /proc every ${intervalMs} ms`;
    return { outcome: "done", text, processes, place: path };
  }

  async #collect(request: ResponseRequest, policy: ResponsePolicy, { target, facts }: Member): Promise<ResponseAnswer> {
    const { output, boot, bootId } = this.#options;
    output.reserve((BUNDLE_BYTES + policy.evidence.maxExecutableBytes) * (this.#bundles + 1), policy.maxOutputBytes);
    this.#bundles++;
    try {
      const { path, digest, parts, missing } = await collectEvidence(target, facts, {
        ...{ boot, bootId, request, policy, output },
        reader: this.#reader,
      });
      const without = missing.length === 0 ? "" : `; without ${missing.join(", ")}`;
      return {
        outcome: "done",
        text: `Evidence of ${wordsOf([{ facts }])}: ${parts} parts, SHA-256 of its manifest ${digest}${without}`,
        processes: [nameOf(boot, facts)],
        place: path,
      };
    } finally {
      this.#bundles--;
    }
  }

  #names(members: readonly Member[]): string[] {
    return members.map(({ facts }) => nameOf(this.#options.boot, facts));
  }
}

/** `process 812 (sleep)`, and how many more. */
function wordsOf(members: readonly Pick<Member, "facts">[]): string {
  const { pid, name } = members[0]!.facts, more = members.length - 1;
  const first = `process ${pid} (${name.toWellFormed()})`;
  return more === 0 ? first : `${first} and ${more} of its descendants`;
}
