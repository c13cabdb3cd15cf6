/**
 * Alerts on stdout: a line each, for people or in a format for programs.
 *
 * Whoever reads may be slow or go away. A full pipe holds this sink and nothing else; a closed one ends it for this run,
 * and what was not written is written at the next start. A crash between writing and noting it shows a line twice.
 *
 * @module
 */
import type { Severity } from "../../../proto/process_event.ts";
import type { FormatName } from "../../../proto/sink_settings.ts";
import { FORMATS, USUAL_VALUE_BYTES } from "../formats/format.ts";
import { humanLine } from "../formats/human.ts";
import { disabled, type Sink } from "../sink.ts";

/** The part of `Deno.stdout` that is used. */
export interface Output {
  write(bytes: Uint8Array): Promise<number>;
}

export interface StdoutOptions {
  readonly name?: string;
  readonly format: FormatName;
  readonly colour: boolean;
  readonly host?: string;
  readonly minSeverity?: Severity;
  readonly output?: Output;
}

export function stdoutSink(options: StdoutOptions): Sink {
  const { name = "stdout", format, colour, host = "", minSeverity = "info", output = Deno.stdout } = options;
  const encoder = new TextEncoder(), { header, line } = FORMATS[format];
  const valueBytes = format === "json" ? Infinity : USUAL_VALUE_BYTES;
  let head = header === null ? "" : header + "\n";
  return {
    name,
    minSeverity,
    async write(alerts) {
      const lines = alerts.map((alert) =>
        (format === "human" ? humanLine(alert, colour) : line(alert, { host, valueBytes })) + "\n"
      );
      let rest = encoder.encode(head + lines.join(""));
      try {
        while (rest.length > 0) rest = rest.subarray(await output.write(rest));
        head = "";
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) {
          throw disabled("Nobody reads stdout any more; the alerts wait for the next start", 0, error);
        }
        throw error;
      }
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
}
