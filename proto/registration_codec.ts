/**
 * Registrations between their plain form and the generated messages of `ipc.proto`.
 *
 * @module
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Column, ColumnType } from "./tables/table.ts";
import type { Sees } from "./capabilities.ts";
import { boundFields, member, parse } from "./cold_codec.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import { type CollectionCapabilitiesSchema, RegistrationSchema, type TableSchemaSchema } from "./gen/ipc_pb.ts";
import {
  checkRegistration,
  MAX_TABLES,
  type Registration,
  REGISTRATION_VERSION,
  type TableSchema,
} from "./registration.ts";
import { domainNumbers, domains } from "./task_codec.ts";
import { WireError } from "./wire_error.ts";

/** Fields of a registration beside its tables. */
const OTHER_FIELDS = 16;
const COLUMN_TYPES: readonly ColumnType[] = ["INTEGER", "REAL", "TEXT"];

/** @throws WireError */
export function writeRegistration(registration: Registration): ipc.Registration {
  checkRegistration(registration);
  const { collectorType, tables, heartbeatMs, keepsLedger } = registration;
  return create(RegistrationSchema, {
    version: REGISTRATION_VERSION,
    collectorType,
    capabilities: writeCapabilities(registration),
    tables: writeTables(tables),
    heartbeatMs,
    keepsLedger,
  });
}

/** @throws WireError or what the reader throws on bytes that are no message */
export function readRegistration(bytes: Uint8Array): Registration {
  boundFields(bytes, MAX_TABLES + OTHER_FIELDS);
  const { version, collectorType, capabilities, tables, ...rest } = parse(RegistrationSchema, bytes);
  if (version !== REGISTRATION_VERSION) throw new WireError(`There are no registrations of version ${version}`);
  const { heartbeatMs, keepsLedger } = rest;
  const registration: Registration = {
    collectorType,
    ...readCapabilities(capabilities),
    tables: readTables(tables),
    heartbeatMs,
    keepsLedger,
  };
  checkRegistration(registration);
  return registration;
}

export function writeCapabilities(
  { domains, kernelLevel, realtime, systemWide }: Sees,
): MessageInitShape<typeof CollectionCapabilitiesSchema> {
  return { supportedDomains: domainNumbers(domains), advanced: { kernelLevel, realtime, systemWide } };
}

/** @throws WireError */
export function readCapabilities(message: ipc.CollectionCapabilities | undefined): Sees {
  const advanced = message?.advanced;
  return {
    domains: domains(message?.supportedDomains ?? []),
    kernelLevel: advanced?.kernelLevel ?? false,
    realtime: advanced?.realtime ?? false,
    systemWide: advanced?.systemWide ?? false,
  };
}

export function writeTables(tables: readonly TableSchema[]): MessageInitShape<typeof TableSchemaSchema>[] {
  return tables.map(({ name, version, columns, definition }) => ({
    name,
    version,
    columns: [...columns],
    ...definition === undefined ? {} : {
      definitions: definition.columns.map(({ type, description }) => ({ type, description })),
      description: definition.description,
    },
  }));
}

/** @throws WireError */
export function readTables(tables: readonly ipc.TableSchema[]): TableSchema[] {
  return tables.map(({ name, version, columns, definitions, description }) => {
    if (definitions.length === 0) return { name, version, columns };
    if (definitions.length !== columns.length) {
      throw new WireError(`A table defines ${definitions.length} of its ${columns.length} columns`);
    }
    const own = definitions.map(({ type, description }, at): Column => ({
      name: columns[at]!,
      type: member(COLUMN_TYPES, COLUMN_TYPES.indexOf(type as ColumnType), "type of columns"),
      description,
    }));
    return { name, version, columns, definition: { description, columns: own } };
  });
}
