/**
 * Whether secrets are masked, and how: settled once, while root's files can still be read.
 *
 * Masking is on. It is off only when a configuration file says so that root owns and nobody else can change, looked at
 * with the kernel's own eyes and not with what a flag claims. Without a key it works, but its marks are all alike.
 *
 * @module
 */
import { type Settings, SYSTEM_FILES } from "../proto/config.ts";
import { ConfigError } from "../proto/setting_values.ts";
import { REDACTION_ON } from "../proto/status.ts";
import { readRedactionKey } from "./files.ts";
import { faultOfRootFile } from "./kernel/file_owner.ts";
import { told } from "./kernel/inheritance.ts";
import { keyedDigest, type SecretDigest } from "./redaction/marks.ts";

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
    const file = settings.origins.get("collector.redaction")!;
    const fault = faultOfRootFile(file);
    if (fault !== null) {
      throw new ConfigError(
        `${file}: collector.redaction can be turned off only by a file that nobody but root can change, but ${fault}; ` +
          `write it in ${SYSTEM_FILES[0]}, or leave it on`,
      );
    }
    return { kind: "off", file };
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
