/**
 * `bundle report`: the page of `report`, made of a bundle as it would have been made on its host at the bundle's time.
 *
 * @module
 */
import { type Call, type Exit, UsageError } from "../command.ts";
import { report } from "../report.ts";
import { withBundle } from "./open.ts";

export async function reportBundle(call: Call): Promise<Exit> {
  const [path, ...more] = call.arguments;
  if (path === undefined || more.length > 0) throw new UsageError("bundle report takes one FILE");
  return await withBundle(call, path, (opened) => report({ ...opened.call, arguments: [] }));
}
