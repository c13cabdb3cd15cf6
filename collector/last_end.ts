/**
 * What the supervisor says of the end of the run before this one, which could say nothing itself.
 *
 * The variable is the supervisor's (`deploy/last_end.ts`). What is not of its form is not repeated.
 *
 * @module
 */
import { namedSyscall } from "./kernel/syscall_names.ts";

const FORM = /^(?:(SIG[A-Z0-9+]{2,12})(?: (\d{1,10}))?|code (\d{1,3}))$/;

/** A sentence for `health`; `null` when the run before was stopped, or there was none. */
export function describeLastEnd(variable: string | undefined): string | null {
  if (variable === undefined || variable === "") return null;
  const found = FORM.exec(variable);
  if (found === null) return "the last run ended, and how cannot be read from DAEMONEYE_LAST_END";
  const [, signal, call, code] = found;
  if (signal === undefined) return `the last run ended by itself, with exit code ${code}`;
  if (signal !== "SIGSYS") return `the last run was ended by signal ${signal}`;
  return "the last run was ended by SIGSYS, as the kernel refused it " +
    (call === undefined ? "a system call that is not known here" : `system call ${namedSyscall(Number(call))}`) +
    "; with collector.syscall_filter errno it would have gone on without";
}
