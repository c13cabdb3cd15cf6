/**
 * All techniques that `deno task test:attacks` does, in the order of an intrusion.
 *
 * @module
 */
import { COLLECTION } from "./collection.ts";
import { EVASION } from "./evasion.ts";
import { EXECUTION } from "./execution.ts";
import { PERSISTENCE } from "./persistence.ts";
import type { Technique } from "./technique.ts";
import { VARIANTS } from "./variants.ts";

export const TECHNIQUES: readonly Technique[] = [...EXECUTION, ...PERSISTENCE, ...EVASION, ...COLLECTION, ...VARIANTS];
