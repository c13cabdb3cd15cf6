/**
 * `shell`: questions one after the other, at a terminal or from standard input.
 *
 * At a terminal the lines are edited here and statements may go over several of them. Ctrl-C stops a statement at its
 * next row; one that SQLite does not come back from ends the process, with the terminal as it was (`terminal.ts`).
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { VERSION } from "../proto/version.ts";
import { atMostArguments, integerOption, momentOption, spanOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { completions } from "./completion.ts";
import { displayWidth, fit, pad } from "./display_width.ts";
import { PASTE_MARKS_OFF, PASTE_MARKS_ON } from "./keys.ts";
import { LineEditor } from "./line_editor.ts";
import { parametersOption } from "./parameters.ts";
import { paint } from "./screen.ts";
import { ShellSession } from "./shell_session.ts";
import { splitStatements } from "./statements.ts";
import { Terminal } from "./terminal.ts";

const PROMPT = "daemoneye> ", CONTINUED = "      ...> ";
/** A terminal of fewer columns has a short prompt. */
const NARROW = 40;
/** Words that are listed when several could stand somewhere. */
const MAX_CHOICES = 120;
/** Longest input that is no terminal. */
const MAX_INPUT_BYTES = 1_048_576;
/** Longest statement that is typed; the guard takes no longer one. */
const MAX_STATEMENT = 65_536;

export async function shell(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "shell");
  const session = new ShellSession(call, {
    limit: call.values["limit"] === undefined ? null : integerOption(call, "limit", 1, 100_000_000, null),
    deadlineMs: call.values["timeout"] === undefined ? null : spanOption(call, "timeout", 1),
    since: momentOption(call, "since"),
    parameters: parametersOption(call),
    isOsquery: call.values["osquery"] === true,
  });
  if (!call.isInteractive) return runText(call, session, decode(call.readStdin(MAX_INPUT_BYTES)));
  call.out.write(`DaemonEye ${VERSION}, reading only. .help lists the commands, .quit leaves.\n`);
  call.out.flush();
  const terminal = await Terminal.open(PASTE_MARKS_ON, PASTE_MARKS_OFF);
  try {
    await converse(call, session, terminal);
  } finally {
    terminal[Symbol.dispose]();
  }
  call.out.write("\n");
  return EXIT.complete;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CommandError("Standard input is not UTF-8", { cause: error });
  }
}

/** Statements and commands of a text; the worst of their exit codes. The first failure ends it, as with `sqlite3 -bail`. */
function runText(call: Call, session: ShellSession, text: string): Exit {
  let pending = "", worst: Exit = EXIT.complete;
  const note = (exit: Exit): boolean => {
    if (exit !== EXIT.complete) worst = exit;
    return exit === EXIT.failed || exit === EXIT.usage;
  };
  for (const line of text.split("\n")) {
    if (pending.trim() === "" && line.trimStart().startsWith(".")) {
      const result = session.command(line, call.screen);
      call.out.flush();
      if (result === "quit") return worst;
      if (note(result)) return worst;
      continue;
    }
    const { statements, rest } = splitStatements(`${pending}${line}\n`);
    pending = rest;
    for (const statement of statements) if (note(session.run(statement, call.screen, null))) return worst;
  }
  if (pending.trim() !== "") note(session.run(pending.trim(), call.screen, null));
  return worst;
}

async function converse(call: Call, session: ShellSession, terminal: Terminal): Promise<void> {
  let pending = "";
  const editor = new LineEditor((before, word) => completions(session.tables, pending + before, word));
  const { out } = call;
  for (;;) {
    draw(call, terminal, editor, pending === "" ? PROMPT : CONTINUED);
    const event = await terminal.next();
    if (event === null || event.kind === "resized") continue;
    if (event.kind === "end") return;
    const wasSearching = editor.search !== null, result = editor.press(event);
    if (result === "edited") continue;
    if (result === "ended") return;
    if (result === "cleared") out.write("\x1b[2J\x1b[H");
    else if (result === "interrupted") {
      editor.take();
      pending = "";
      out.write("^C\n");
    } else if (result === "entered") {
      // What was found stays on the screen as if it had been typed
      if (wasSearching) draw(call, terminal, editor, pending === "" ? PROMPT : CONTINUED);
      const line = editor.take();
      out.write("\n");
      out.flush();
      const entered = enter(call, session, terminal, pending, line);
      if (entered === "quit") return;
      pending = entered.pending;
      if (entered.done !== "") editor.remember(entered.done);
    } else {
      out.write("\n");
      writeChoices(call, result.choices, terminal.size.columns);
    }
  }
}

interface Entered {
  /** The begin of a statement that goes on in the next line. */
  readonly pending: string;
  /** What was run, for the history. */
  readonly done: string;
}

/** A line that ended with Enter, behind what stands before it of its statement. */
function enter(
  call: Call,
  session: ShellSession,
  terminal: Terminal,
  before: string,
  line: string,
): "quit" | Entered {
  const screen = { ...call.screen, columns: terminal.size.columns };
  const command = before === "" ? commandMeant(line) : null;
  if (command !== null) {
    const result = session.command(command, screen);
    call.out.flush();
    return result === "quit" ? result : { pending: "", done: line };
  }
  const text = `${before}${line}\n`, { statements, rest } = splitStatements(text);
  if (rest.length > MAX_STATEMENT) {
    call.note("That is longer than a statement may be; it is forgotten");
    return { pending: "", done: "" };
  }
  terminal.allow(session.deadlineMs);
  for (const statement of statements) {
    terminal.calm();
    session.run(statement, screen, terminal, () => terminal.isInterrupted());
    call.out.flush();
  }
  // A comment ends with its line: such statements come back line by line
  const whole = text.slice(0, text.length - rest.length).trim();
  const done = statements.length === 0 ? "" : whole.includes("--") ? line : whole.replaceAll(/\s*\n\s*/g, " ");
  return { pending: rest, done };
}

/** The shell's own command that a line is; also what fingers type that know other shells, which begins no statement. */
function commandMeant(line: string): string | null {
  const word = line.trim().replace(/;$/, "");
  if (/^(?:help|quit|exit)$/i.test(word)) return `.${word.toLowerCase()}`;
  if (word === "?" || word === "\\h" || word === "\\?") return ".help";
  if (word === "\\q") return ".quit";
  return word.startsWith(".") ? line : null;
}

function draw(call: Call, terminal: Terminal, editor: LineEditor, prompt: string): void {
  const { columns } = terminal.size, { search } = editor;
  const usual = columns < NARROW ? "> " : prompt;
  const found = search === null ? "" : printable(search.sought),
    place = search?.isFound === false ? "not found" : "search";
  const lead = search === null ? usual : fit(`${place} '${found}': `, Math.max(4, Math.floor(columns / 2)), "");
  const { text, cursor } = editor.shown(Math.max(4, columns - displayWidth(lead) - 1));
  call.out.write(`\r\x1b[K${paint(lead, "faint", call.screen)}${text}\r\x1b[${displayWidth(lead) + cursor}C`);
  call.out.flush();
}

/** Words in columns, as many beside each other as fit. */
function writeChoices(call: Call, choices: readonly string[], columns: number): void {
  const shown = choices.slice(0, MAX_CHOICES).map(printable);
  const width = Math.max(...shown.map(displayWidth)) + 2, across = Math.max(1, Math.floor(columns / width));
  for (let at = 0; at < shown.length; at += across) {
    const line = shown.slice(at, at + across).map((choice) => pad(choice, width, "left")).join("");
    call.out.write(`${line.trimEnd()}\n`);
  }
  if (choices.length > MAX_CHOICES) call.out.write(`and ${choices.length - MAX_CHOICES} more\n`);
}
