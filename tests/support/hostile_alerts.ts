/**
 * Alerts whose texts an attacker chose: everything that ends a field, a line or a parser somewhere.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import { newAlert } from "../agent/support.ts";

const PIECES = [
  ...[
    '"',
    "'",
    "]",
    "[",
    "\\",
    "\\\\",
    '\\"',
    "\\]",
    "|",
    "=",
    ",",
    ";",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\0",
    "\x1b[31m",
    "\x7f",
  ],
  ...[
    "\x9b31m",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u200b",
    "\ufeff",
    "\ud800",
    "\udc80",
    "\udfff",
    "😀",
    "é",
    "語",
    "${x}",
  ],
  ...[
    "%s%n",
    "<34>1 - - - - - -",
    '[x@1 a="b"]',
    "CEF:0|",
    "LEEF:2.0|",
    "\\n",
    "\\u0000",
    "=cmd|' /C calc'!A0",
    " ",
    "a",
  ],
  ...["</script>", "\r\n.\r\n", "From ", "{{7*7}}", "$(format-json)", "a".repeat(200), "🏴‍☠️"],
];

/** A generator of numbers that gives the same ones each time. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Alerts with ids `hostile-0` and on; one in 500 has a text of a MiB. */
export function* hostileAlerts(count: number, seed = 1): Generator<Alert> {
  const next = numbers(seed);
  const text = (): string =>
    Array.from({ length: 1 + next() * 8 }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
  const severities = ["info", "low", "medium", "high", "critical"] as const;
  for (let i = 0; i < count; i++) {
    yield newAlert(`hostile-${i}`, {
      severity: severities[i % 5]!,
      title: `${i} ${text()}`,
      name: text(),
      executablePath: `/${text()}`,
      commandLine: i % 500 === 499 ? text() + "x\u202e".repeat(1 << 18) : i % 11 === 0 ? null : text(),
      userName: text(),
      parentExecutablePath: i % 7 === 0 ? null : text(),
      parentCommandLine: text(),
      description: text(),
      evidence: { command: text(), pid: i, [`column ${i % 3}`]: null },
      completeness: i % 3 === 0 ? { complete: false, reasons: [text()] } : { complete: true, reasons: [] },
    });
  }
}
