/**
 * Values of settings, checked where they come in: from text, or from a parsed file.
 *
 * @module
 */
import { DEFINITIONS } from "./setting_definitions.ts";
import { parseSinks } from "./sink_entries.ts";
import type { SinkEntry } from "./sink_settings.ts";

/** A setting is wrong, or a file of settings cannot be understood. The text says where it stands and what to do. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

export type SettingValue = number | string | readonly string[] | readonly SinkEntry[];

/** The value of a setting, as its definition wants it. @throws ConfigError with where it came from and what is expected */
export function checkedValue(key: string, raw: unknown, origin: string): SettingValue {
  const definition = Object.hasOwn(DEFINITIONS, key) ? DEFINITIONS[key] : undefined;
  if (definition === undefined) {
    throw new ConfigError(
      `${origin}: there is no setting ${JSON.stringify(key)}; there are ${Object.keys(DEFINITIONS).join(", ")}`,
    );
  }
  const wrong = (expected: string): ConfigError =>
    new ConfigError(`${origin}: ${key} must be ${expected}, but is ${JSON.stringify(raw)?.slice(0, 200)}`);
  switch (definition.kind) {
    case "integer": {
      const number = typeof raw === "string" && /^\d{1,15}$/.test(raw) ? Number(raw) : raw;
      if (
        typeof number !== "number" || !Number.isInteger(number) || number < definition.min || number > definition.max
      ) {
        throw wrong(`a whole number from ${definition.min} to ${definition.max} (${definition.unit})`);
      }
      if (key === "collector.ring_bytes" && (number & (number - 1)) !== 0) throw wrong("a power of two");
      return number;
    }
    case "choice":
      if (typeof raw !== "string" || !definition.values.includes(raw)) {
        throw wrong(`one of ${definition.values.join(", ")}`);
      }
      return raw;
    case "path":
      return raw === "" ? "" : path(raw, wrong);
    case "paths": {
      const list = typeof raw === "string" ? raw.split(":").filter((part) => part !== "") : raw;
      if (!Array.isArray(list) || list.length > 64) throw wrong("a list of at most 64 directories");
      return list.map((part) => path(part, wrong));
    }
    case "names": {
      const list = typeof raw === "string" ? raw.split(",").filter((part) => part !== "") : raw;
      if (!Array.isArray(list) || list.length > 256 || !list.every(isVariableName)) {
        throw wrong("a list of at most 256 names of variables, each of which may end with a star");
      }
      return list;
    }
    case "sinks": {
      // The entry itself may hold what somebody took for a place of secrets: it is not repeated in the error.
      parseSinks(raw, (expected) => new ConfigError(`${origin}: ${key} must be ${expected}; see docs/sinks.md`));
      return typeof raw === "string" ? JSON.parse(raw === "" ? "[]" : raw) : raw as readonly SinkEntry[];
    }
    case "name": {
      const text = typeof raw === "number" ? String(raw) : raw;
      if (typeof text !== "string" || !/^[A-Za-z0-9_.-]{0,64}$/.test(text)) {
        throw wrong("at most 64 letters, digits, dots, underscores or hyphens");
      }
      return text;
    }
  }
}

function isVariableName(name: unknown): boolean {
  return typeof name === "string" && /^(?:[A-Za-z_][A-Za-z0-9_]{0,127}\*?|\*)$/.test(name);
}

// A comma would split a Deno grant in two.
// deno-lint-ignore no-control-regex
const UNFIT_IN_PATH = /[\0-\x1f,]/;

function path(raw: unknown, wrong: (expected: string) => ConfigError): string {
  // 4,096 is the kernel's PATH_MAX; ".." would let a value leave the directory that its grant names
  if (
    typeof raw !== "string" || !raw.startsWith("/") || raw.length > 4096 || UNFIT_IN_PATH.test(raw) ||
    raw.split("/").includes("..")
  ) {
    throw wrong("an absolute path without '..', commas or control characters");
  }
  return raw.length > 1 ? raw.replace(/\/+$/, "") : raw;
}
