/**
 * What the kernel refused of eBPF.
 *
 * @module
 */
import { describeErrno } from "./libc.ts";

/** The kernel refused a `bpf` command. */
export class BpfError extends Error {
  override name = "BpfError";
  constructor(readonly what: string, readonly errno: number, readonly verifierLog: string = "") {
    const verdict = lastLine(verifierLog);
    super(`${what}: ${describeErrno(errno)}${verdict === "" ? "" : ` (${verdict})`}`);
  }
}

/** The verifier ends its log with statistics; the line before them says what was wrong. */
function lastLine(log: string): string {
  const lines = log.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.findLast((line) => !/^(processed \d+ insns|verification time|stack depth|max_states)/.test(line)) ?? "";
}
