import assert from "node:assert/strict";
import { MAX_HELD, OutputClosedError, type Sink, TextWriter } from "../../cli/writer.ts";

/** Takes at most `most` bytes at once, and throws what `fail` gives before a write. */
class TestSink implements Sink {
  readonly bytes: number[] = [];
  writes = 0;
  constructor(readonly most = Infinity, readonly fail: (write: number) => Error | null = () => null) {}
  writeSync(bytes: Uint8Array): number {
    const error = this.fail(this.writes++);
    if (error !== null) throw error;
    const taken = bytes.subarray(0, this.most);
    for (const byte of taken) this.bytes.push(byte);
    return taken.length;
  }
  get text(): string {
    return new TextDecoder().decode(Uint8Array.from(this.bytes));
  }
}

Deno.test("TextWriter writes everything over partial writes, in order", () => {
  const sink = new TestSink(7), writer = new TextWriter(sink);
  const lines = Array.from({ length: 200 }, (_, i) => `line ${i} 中文\n`);
  for (const line of lines) writer.write(line);
  writer.flush();
  assert.equal(sink.text, lines.join(""));
});

Deno.test("TextWriter writes nothing before it has much, and drops what is discarded", () => {
  const sink = new TestSink(), writer = new TextWriter(sink);
  writer.write("half an answer");
  writer.discard();
  writer.flush();
  assert.equal(sink.writes, 0);
  writer.write("x".repeat(70_000));
  assert.equal(sink.bytes.length, 70_000);
});

Deno.test("TextWriter holds up to a limit while it is told to, then streams", () => {
  const sink = new TestSink(), writer = new TextWriter(sink);
  writer.hold();
  const piece = "x".repeat(1_048_576);
  const pieces = MAX_HELD / piece.length;
  for (let i = 0; i < pieces - 1; i++) writer.write(piece);
  assert.equal(sink.writes, 0);
  writer.write(piece);
  assert.ok(sink.writes > 0);
});

Deno.test("TextWriter turns a reader that went away into OutputClosedError, and a full disk into its own error", () => {
  const broken = new TextWriter(new TestSink(Infinity, () => new Deno.errors.BrokenPipe("EPIPE")));
  broken.write("x");
  assert.throws(() => broken.flush(), OutputClosedError);
  const full = new TextWriter(new TestSink(Infinity, () => new Error("No space left on device")));
  full.write("x");
  assert.throws(() => full.flush(), /No space left/);
});

Deno.test("TextWriter tries again when the descriptor cannot take more just now", () => {
  const sink = new TestSink(2, (write) => write % 2 === 0 ? new Deno.errors.WouldBlock("EAGAIN") : null);
  const writer = new TextWriter(sink);
  writer.write("abcdef");
  writer.flush();
  assert.equal(sink.text, "abcdef");
});
