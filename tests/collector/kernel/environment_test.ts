import { deepStrictEqual as equal } from "node:assert/strict";
import { EnvironmentFilter, MAX_VARIABLE_BYTES } from "../../../collector/kernel/environment.ts";

function select(names: string[], ...variables: string[]): readonly string[] {
  const text = variables.map((variable) => variable + "\0").join("");
  const bytes = Uint8Array.from(`##${text}##`, (letter) => letter.charCodeAt(0));
  return new EnvironmentFilter(names).select(bytes, 2, bytes.length - 2);
}

Deno.test("EnvironmentFilter keeps what its list names, in order, also by prefix", () => {
  const env = ["PATH=/bin", "LD_PRELOAD=/tmp/x.so", "LD_AUDIT=", "LDX=1", "SUDO_USER=eve"];
  equal(select(["LD_*", "SUDO_USER"], ...env), ["LD_PRELOAD=/tmp/x.so", "LD_AUDIT=", "SUDO_USER=eve"]);
  equal(select(["LD_PRELOAD"], ...env), ["LD_PRELOAD=/tmp/x.so"]);
  equal(select(["*"], ...env), env);
  equal(select([], ...env), []);
});

Deno.test("EnvironmentFilter takes whatever stands there: no name, no value, no NUL, bytes that are no text", () => {
  equal(select(["LD_PRELOAD"], "LD_PRELOAD", "=LD_PRELOAD=x", "", "LD_PRELOADX=1", "LD_PRELOAD=\xff\xfe=y"), [
    "LD_PRELOAD=\xff\xfe=y",
  ]);
  const cut = Uint8Array.from("A=1\0A=2", (letter) => letter.charCodeAt(0));
  equal(new EnvironmentFilter(["A"]).select(cut, 0, cut.length), ["A=1"]);
  equal(new EnvironmentFilter(["A"]).select(cut, 4, 4), []);
  equal(select(["A"], "A=" + "x".repeat(10_000))[0]!.length, MAX_VARIABLE_BYTES);
});

Deno.test("EnvironmentFilter gives each environment its own answer, however many there are", () => {
  const filter = new EnvironmentFilter(["A"]);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) {
      const bytes = new TextEncoder().encode(`A=${i}\0`);
      equal(filter.select(bytes, 0, bytes.length), [`A=${i}`]);
    }
  }
});
