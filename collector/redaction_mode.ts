/**
 * Whether secrets are masked, and how: settled once, while root's files can still be read.
 *
 * Masking is on. It is off only when a configuration file says so that root owns and nobody else can change, looked at
 * with the kernel's own eyes and not with what a flag claims. Without a key it works, but its marks are all alike.
 *
 * @module
 */
import type { Settings } from "../proto/config.ts";
import { REDACTION_ON } from "../proto/status.ts";
import { readRedactionKey } from "./files.ts";
import { told } from "./kernel/inheritance.ts";
import { keyedDigest, type SecretDigest } from "./redaction/marks.ts";
import { rootFileOf } from "./root_file.ts";

export type RedactionMode =
  | { readonly kind: "keyed"; readonly digest: SecretDigest }
  | { readonly kind: "unkeyed"; readonly reason: string }
  | { readonly kind: "off"; readonly file: string };

/**
 * The mode that settings and key file ask for.
 *
 * @throws {ConfigError} when masking is turned off by a file that is not root's alone.
 */
export function openRedaction(settings: Settings, keyPath: string): RedactionMode {
  if (settings.collector.redaction === "off") {
    return { kind: "off", file: rootFileOf("collector.redaction", settings) };
  }
  try {
    return { kind: "keyed", digest: keyedDigest(told("the redaction key", () => readRedactionKey(keyPath))) };
  } catch (error) {
    return { kind: "unkeyed", reason: error instanceof Error ? error.message : String(error) };
  }
}

/** For the status: {@linkcode REDACTION_ON}, or what is not as it should be. */
export function describeRedaction(mode: RedactionMode): string {
  switch (mode.kind) {
    case "keyed":
      return REDACTION_ON;
    case "unkeyed":
      return `on, but equal secrets cannot be matched: ${mode.reason}`;
    case "off":
      return `off by ${mode.file}: secrets of command lines and environments are stored as they are`;
  }
}
