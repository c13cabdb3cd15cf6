/**
 * The fields of an entry of `agent.sinks`: which each type has, and what each may hold.
 *
 * @module
 */
import { FACILITIES, FORMAT_NAMES, SEVERITIES, type SinkType } from "./sink_settings.ts";

type Field =
  | { readonly kind: "choice"; readonly values: readonly string[] }
  | { readonly kind: "integer"; readonly min: number; readonly max: number }
  | { readonly kind: "paths" | "pins" | "addresses" }
  | { readonly kind: "path" | "url" | "host" | "address" | "user" };

const TIMEOUT: Field = { kind: "integer", min: 100, max: 600_000 };
const SIZE: Field = { kind: "integer", min: 1_024, max: 1_048_576 };
export const CHANNEL = { ca_file: "path", cert_file: "path", key_file: "path", server_name: "host" } as const;

/** What an entry of each type may say beside name, type and severity; those with a star it must. */
export const FIELDS: Readonly<Record<SinkType, Readonly<Record<string, Field>>>> = {
  stdout: {},
  file: {
    "path*": { kind: "path" },
    rotate_bytes: { kind: "integer", min: 0, max: 1_099_511_627_776 },
    rotate_keep: { kind: "integer", min: 1, max: 64 },
    fsync: { kind: "choice", values: ["always", "never"] },
  },
  syslog: {
    "address*": { kind: "url" },
    facility: { kind: "choice", values: FACILITIES },
    framing: { kind: "choice", values: ["octet-counting", "newline"] },
    structured_data: { kind: "choice", values: ["yes", "no"] },
    confirm: { kind: "choice", values: ["yes", "no"] },
    max_bytes: SIZE,
    timeout_ms: TIMEOUT,
    ...channel(),
    pins: { kind: "pins" },
  },
  webhook: {
    "url*": { kind: "url" },
    "secret_files*": { kind: "paths" },
    authorization_file: { kind: "path" },
    max_bytes: SIZE,
    timeout_ms: TIMEOUT,
    ca_file: { kind: "path" },
    cert_file: { kind: "path" },
    key_file: { kind: "path" },
  },
  email: {
    "address*": { kind: "url" },
    security: { kind: "choice", values: ["starttls", "tls", "none"] },
    user: { kind: "user" },
    password_file: { kind: "path" },
    "from*": { kind: "address" },
    "to*": { kind: "addresses" },
    max_bytes: SIZE,
    timeout_ms: TIMEOUT,
    ...channel(),
  },
  bus: {
    wait_for_subscriber: { kind: "choice", values: ["yes", "no"] },
    timeout_ms: TIMEOUT,
  },
};

function channel(): Record<string, Field> {
  return Object.fromEntries(Object.entries(CHANNEL).map(([name, kind]) => [name, { kind }]));
}

/** Checked values of an entry. */
export class Fields {
  readonly #values = new Map<string, string | number | readonly string[]>();
  put(name: string, value: string | number | readonly string[]): void {
    this.#values.set(name, value);
  }
  text(name: string): string | null {
    return (this.#values.get(name) as string | undefined) ?? null;
  }
  number(name: string, usual: number): number {
    return (this.#values.get(name) as number | undefined) ?? usual;
  }
  list(name: string): readonly string[] {
    return (this.#values.get(name) as readonly string[] | undefined) ?? [];
  }
}

/** @param wrong makes the error for what was expected */
export function checkedFields(
  entry: Record<string, unknown>,
  type: SinkType,
  wrong: (expected: string) => Error,
): Fields {
  const known = new Map(Object.entries(FIELDS[type]).map(([name, field]) => [name.replace("*", ""), field]));
  if (type !== "bus") known.set("format", { kind: "choice", values: FORMAT_NAMES });
  known.set("min_severity", { kind: "choice", values: SEVERITIES });
  const fields = new Fields();
  for (const [name, value] of Object.entries(entry)) {
    if (name === "name" || name === "type") continue;
    const field = known.get(name);
    if (field === undefined) {
      throw wrong(`has no ${JSON.stringify(name)}; a sink of type ${type} has ${[...known.keys()].join(", ")}`);
    }
    fields.put(name, checkedField(name, field, value, wrong));
  }
  for (const name of Object.keys(FIELDS[type])) {
    if (name.endsWith("*") && !Object.hasOwn(entry, name.slice(0, -1))) throw wrong(`needs ${name.slice(0, -1)}`);
  }
  return fields;
}

const MAX_TEXT = 2_048;
// A comma would split a Deno grant in two.
// deno-lint-ignore no-control-regex
const UNFIT_IN_PATH = /[\0-\x1f,]/;
/** A mail address without quoting, comments or anything that could end a header or a command. */
const ADDRESS = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
export const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})$/;

function checkedField(
  name: string,
  field: Field,
  value: unknown,
  wrong: (expected: string) => Error,
): string | number | readonly string[] {
  const fault = (expected: string): Error => wrong(`needs as ${name} ${expected}`);
  if (field.kind === "integer") {
    if (typeof value !== "number" || !Number.isInteger(value) || value < field.min || value > field.max) {
      throw fault(`a whole number from ${field.min} to ${field.max}`);
    }
    return value;
  }
  if (field.kind === "paths" || field.kind === "pins" || field.kind === "addresses") {
    const list = typeof value === "string" ? [value] : value;
    if (!Array.isArray(list) || list.length === 0 || list.length > 16) throw fault("a list of one to 16");
    const one = ({ paths: "path", pins: "pin", addresses: "address" } as const)[field.kind];
    return list.map((each) => checkedText(each, one, fault));
  }
  if (field.kind === "choice") {
    const text = typeof value === "boolean" ? (value ? "yes" : "no") : value; // YAML reads yes and no so
    if (typeof text !== "string" || !field.values.includes(text)) throw fault(`one of ${field.values.join(", ")}`);
    return text;
  }
  return checkedText(value, field.kind, fault);
}

export function checkedText(
  value: unknown,
  kind: "path" | "pin" | "address" | "url" | "host" | "user",
  fault: (expected: string) => Error,
): string {
  const text = typeof value === "string" && value.length <= MAX_TEXT ? value : "";
  switch (kind) {
    case "path":
      if (!text.startsWith("/") || UNFIT_IN_PATH.test(text) || text.endsWith("/") || text.split("/").includes("..")) {
        throw fault("an absolute path without '..', commas or control characters");
      }
      return text;
    case "pin": {
      const digits = text.replaceAll(":", "").toLowerCase();
      if (!/^[0-9a-f]{64}$/.test(digits)) throw fault("the SHA-256 of a certificate, 64 hexadecimal digits");
      return digits;
    }
    case "address":
      if (!ADDRESS.test(text)) throw fault("plain mail addresses, such as soc@example.org");
      return text;
    case "host":
      if (!HOST.test(text)) throw fault("the name of a host");
      return text;
    case "user":
      if (!/^[\x21-\x7e]{1,256}$/.test(text)) throw fault("the name of a user, without spaces");
      return text;
    case "url":
      if (text === "" || !URL.canParse(text)) throw fault("an address, such as tls://siem.example:6514");
      return text;
  }
}
