/**
 * Names of executions taken apart: the reverse of `proto/identity.ts`, for names that an earlier run wrote.
 *
 * @module
 */

export interface ExecName {
  readonly bootTag: string;
  readonly pid: number;
  readonly startTicks: number;
  /** `null` for the first program of a process. */
  readonly execTicks: number | null;
}

const NAME = /^([0-9a-f]{8})-(\d{1,10})-(\d{1,15})(?:-(\d{1,15}))?$/;

/** The parts of a name, `null` when it is none. */
export function readExecId(id: string): ExecName | null {
  const match = NAME.exec(id);
  if (match === null) return null;
  const [, bootTag, pid, startTicks, execTicks] = match;
  return {
    bootTag: bootTag!,
    pid: Number(pid),
    startTicks: Number(startTicks),
    execTicks: execTicks === undefined ? null : Number(execTicks),
  };
}
