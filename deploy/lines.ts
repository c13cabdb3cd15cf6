/**
 * Lines of a process' output, bounded, harmless to print.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";

/** A longer line is cut; its end is dropped, which its last words say. */
export const MAX_LINE_LENGTH = 16_384;

/** Each line of `stream` without its newline, with control characters escaped. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "", cut = 0;
  const take = (text: string): string => {
    const line = rest + text;
    rest = "";
    const note = cut > 0 ? ` (${cut} more characters)` : "";
    cut = 0;
    return printable(line) + note;
  };
  const keep = (text: string): void => {
    const room = MAX_LINE_LENGTH - rest.length;
    rest += text.slice(0, room);
    cut += Math.max(0, text.length - room);
  };
  for await (const chunk of stream) {
    const parts = decoder.decode(chunk, { stream: true }).split("\n");
    for (const part of parts.slice(0, -1)) {
      keep(part);
      yield take("");
    }
    keep(parts.at(-1)!);
  }
  if (rest !== "" || cut > 0) yield take("");
}
