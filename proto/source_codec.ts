/**
 * Event sources in the generated form: what status files and reports share.
 *
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type * as bus from "./gen/eventbus_pb.ts";
import type { SourceStatusSchema } from "./gen/eventbus_pb.ts";
import type { SourceStatus } from "./status.ts";

export function writableSource(source: SourceStatus): MessageInitShape<typeof SourceStatusSchema> {
  return { ...source, misses: [...source.misses], unknownColumns: [...source.unknownColumns] };
}

export function readSource({ name, state, detail, misses, unknownColumns }: bus.SourceStatus): SourceStatus {
  return { name, state, detail, misses, unknownColumns };
}
