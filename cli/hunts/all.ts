/**
 * Every hunt that is shipped.
 *
 * @module
 */
import { FAMILY_HUNTS } from "./families.ts";
import { FILE_HUNTS } from "./files.ts";
import type { Hunt } from "./hunt.ts";
import { TOOL_HUNTS } from "./tools.ts";
import { USER_HUNTS } from "./users.ts";

/** By name, in the order of their subjects. */
export const HUNTS: ReadonlyMap<string, Hunt> = new Map(
  [...FILE_HUNTS, ...FAMILY_HUNTS, ...USER_HUNTS, ...TOOL_HUNTS].map((hunt) => [hunt.name, hunt]),
);
