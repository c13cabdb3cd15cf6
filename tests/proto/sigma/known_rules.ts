/**
 * Sigma-shaped rules by a generator that knows the answers: what becomes of each, and rows that it must and must not match.
 *
 * @module
 */
import { Random } from "../../fuzz/random.ts";
import type { Row } from "./support.ts";

export interface KnownRule {
  readonly file: string;
  readonly text: string;
  readonly id: string;
  readonly verdict: "live" | "partial" | "unsupported";
  /** Of what is not live: a piece of the first reason, and its line. */
  readonly reason?: string;
  readonly line?: number;
  readonly match: readonly Row[];
  readonly noMatch: readonly Row[];
}

/** A rule of the corpus has one of these shapes. */
interface Shape {
  readonly verdict: KnownRule["verdict"];
  /** The lines under `detection`. */
  readonly lines: readonly string[];
  readonly source?: string;
  readonly product?: string;
  readonly reason?: string;
  /** Of the reason, in `lines`, from 0; without one it is that of `logsource`. */
  readonly at?: number;
  readonly match?: readonly Row[];
  readonly noMatch?: readonly Row[];
}

const TOOLS = "curl wget nc socat python3 perl gcc tar base64 chattr crontab systemctl iptables useradd".split(" ");
const WORDS = "--silent -exec /etc/shadow /tmp/.x id_rsa |sh -e0 /dev/tcp authorized_keys LD_PRELOAD".split(" ");

function shapeOf(random: Random): Shape {
  const tool = random.pick(TOOLS), word = random.pick(WORDS), other = `zz${random.below(1_000)}`;
  const image = `/usr/bin/${tool}`,
    line = (command_line: string | null, more: Row = {}): Row => ({ command_line, executable_path: image, ...more });
  switch (random.below(16)) {
    case 0:
      return {
        verdict: "live",
        lines: [
          "selection:",
          `    Image|endswith: '/${tool}'`,
          `    CommandLine|contains: '${word}'`,
          "condition: selection",
        ],
        match: [line(`x ${word} y`), line(word.toUpperCase())],
        noMatch: [line("x"), line(null), { command_line: word, executable_path: `${image}x` }],
      };
    case 1:
      return {
        verdict: "live",
        lines: [
          "selection:",
          "    CommandLine|contains|all:",
          `        - '${word}'`,
          `        - '${other}'`,
          "condition: selection",
        ],
        match: [line(`${other} ${word}`)],
        noMatch: [line(word), line(other)],
      };
    case 2:
      return {
        verdict: "live",
        lines: [
          "sel_a:",
          `    Image: '${image}'`,
          "sel_b:",
          `    CommandLine|contains: '${word}'`,
          "filter_main:",
          "    ParentImage|startswith: /opt/",
          "filter_user:",
          "    User: null",
          "condition: all of sel_* and not 1 of filter_*",
        ],
        match: [
          line(word, { user_name: "root" }),
          line(word, { user_name: "root", parent_executable_path: "/bin/sh" }),
        ],
        noMatch: [
          line(word),
          line(word, { user_name: "root", parent_executable_path: "/OPT/x" }),
          line("x", { user_name: "root" }),
        ],
      };
    case 3:
      return {
        verdict: "live",
        lines: [
          "selection:",
          `    - Image|endswith: '/${tool}'`,
          `    - CommandLine|re: '${other}[0-9]+$'`,
          "condition: selection",
        ],
        match: [line("x"), { command_line: `${other}77` }],
        noMatch: [{ command_line: `${other}77 ` }, { executable_path: "/bin/x" }],
      };
    case 4:
      return {
        verdict: "live",
        lines: [
          "keywords:",
          `    - '${other}'`,
          `    - '${word}'`,
          "filter:",
          `    Image: '${image}'`,
          "condition: keywords and not filter",
        ],
        match: [{ parent_command_line: `a ${other}` }, { command_line: `${word}` }],
        noMatch: [line(word), { command_line: "nothing" }],
      };
    case 5:
      return {
        verdict: "live",
        lines: ["selection:", `    CommandLine|base64offset|contains: '${tool} ${word}'`, "condition: selection"],
        match: [line(`echo ${btoa(`x;${tool} ${word} y`)}`)],
        noMatch: [line(`${tool} ${word}`)],
      };
    case 6:
      return {
        verdict: "live",
        lines: [
          "one:",
          "    LogonId: 0",
          "two:",
          `    User: '${tool}*'`,
          "three:",
          "    CurrentDirectory|startswith: /tmp",
          "condition: 2 of them",
        ],
        match: [{ user_id: 0, user_name: `${tool}d` }, { user_name: tool, cwd: "/tmp" }],
        noMatch: [{ user_id: 0 }, { user_id: 1, cwd: "/tmp" }],
      };
    case 7:
      return {
        verdict: "live",
        lines: [
          "selection:",
          `    CommandLine|windash|contains: ' -${other} '`,
          "    Image|fieldref|neq: ParentImage",
          "condition: selection",
        ],
        match: [line(`a /${other} b`), line(`a –${other} b`, { parent_executable_path: "/x" })],
        noMatch: [line(`a -${other} b`, { parent_executable_path: image.toUpperCase() }), line(other)],
      };
    case 8:
      return {
        verdict: "partial",
        reason: "OriginalFileName is not seen",
        at: 2,
        lines: [
          "selection:",
          `    - Image|endswith: '/${tool}'`,
          `    - OriginalFileName: '${tool}'`,
          "condition: selection",
        ],
        match: [line("x")],
        noMatch: [{ executable_path: "/bin/x" }],
      };
    case 9:
      return {
        verdict: "partial",
        reason: "look-around",
        at: 3,
        lines: [
          "selection:",
          "    CommandLine|re:",
          `        - '^${other}'`,
          `        - '(?<!a)${other}'`,
          "condition: selection",
        ],
        match: [line(`${other} x`)],
        noMatch: [line(`x${other}`)],
      };
    case 10:
      return {
        verdict: "unsupported",
        reason: "IntegrityLevel is not seen",
        at: 2,
        lines: ["selection:", `    Image|endswith: '/${tool}'`, "    IntegrityLevel: High", "condition: selection"],
      };
    case 11:
      return {
        verdict: "unsupported",
        reason: `The field "X${other}" is in no event`,
        at: 3,
        lines: [
          "selection:",
          `    Image|endswith: '/${tool}'`,
          "filter:",
          `    X${other}: x`,
          "condition: selection and not filter",
        ],
      };
    case 12:
      return {
        verdict: "unsupported",
        reason: "not of a Linux host",
        product: "windows",
        lines: ["selection:", `    Image|endswith: '\\${tool}.exe'`, "condition: selection"],
      };
    case 13:
      return {
        verdict: "unsupported",
        reason: "no events of it yet",
        source: random.pick(["category: file_event", "category: network_connection", "service: auditd"]),
        lines: ["selection:", "    TargetFilename: /etc/passwd", "condition: selection"],
      };
    case 14:
      return {
        verdict: "unsupported",
        reason: '"containz" is unknown',
        at: 1,
        lines: ["selection:", `    CommandLine|containz: '${word}'`, "condition: selection"],
      };
    default:
      return {
        verdict: "unsupported",
        reason: 'nothing named "filter"',
        at: 2,
        lines: ["selection:", `    CommandLine: '${word}'`, "condition: selection and not filter"],
      };
  }
}

/** So many rules of one seed. */
export function knownRules(seed: number, count: number): KnownRule[] {
  return Array.from({ length: count }, (_, i) => {
    const random = new Random(seed, i), shape = shapeOf(random);
    const id = `00000000-0000-4000-8000-${i.toString(16).padStart(12, "0")}`;
    const head = [
      `title: Rule number ${i}`,
      `id: ${id}`,
      "status: test",
      "description: A rule of a generator",
      "author: Nobody",
      "date: 2026-01-01",
      "tags:",
      "    - attack.execution",
      "logsource:",
      `    product: ${shape.product ?? "linux"}`,
      `    ${shape.source ?? "category: process_creation"}`,
      "detection:",
    ];
    const text = [
      ...head,
      ...shape.lines.map((each) => `    ${each}`),
      "falsepositives:",
      "    - Unknown",
      "level: medium",
      "",
    ].join("\n");
    const { verdict, reason, at, match = [], noMatch = [] } = shape;
    const line = verdict === "live" ? {} : { line: at === undefined ? 9 : head.length + 1 + at };
    const file = `rules/${["linux", "windows", "deep/er"][i % 3]}/rule_${i}.yml`;
    return { file, text, id, verdict, ...reason === undefined ? {} : { reason }, ...line, match, noMatch };
  });
}
