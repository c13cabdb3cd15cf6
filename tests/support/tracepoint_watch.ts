/**
 * The tracepoint source at work in a test, and what it would be on another kernel.
 *
 * @module
 */
import {
  openTracepointSource,
  readTracepointKernel,
  type TracepointKernel,
} from "../../collector/sources/tracepoint.ts";
import { SourceWatch } from "./source_watch.ts";

/** A tracepoint source whose records are kept, for as long as the scope lasts. */
export class Watch extends SourceWatch {
  constructor(options: Parameters<typeof openTracepointSource>[0] = {}) {
    super(openTracepointSource(options), false);
  }
}

/** What a kernel before 6.16 says: its exit tracepoint does not tell the last thread. */
export function withoutGroupDead(): TracepointKernel {
  const kernel = readTracepointKernel();
  const fields = new Map(kernel.exit.fields);
  fields.delete("group_dead");
  return { ...kernel, exit: { ...kernel.exit, fields } };
}
