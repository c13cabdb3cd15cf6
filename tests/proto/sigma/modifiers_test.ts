// Each modifier of the specification 2.1, with what it matches and what not.
import assert from "node:assert/strict";
import { MODIFIERS } from "../../../proto/sigma/modifiers.ts";
import { holds, matches, refuses, verdictOn } from "./support.ts";

/** One item of the field CommandLine unless it names another. */
function item(key: string, value: string): string {
  return `selection:\n    ${key.startsWith("|") ? `CommandLine${key}` : key}: ${value}\ncondition: selection`;
}

const line = (command_line: string | null) => ({ command_line });
const lines = (...texts: string[]) => texts.map(line);

Deno.test("a text without modifiers is the whole field, A to Z as a to z and no other letter", () => {
  holds(item("Image", "/usr/bin/ID"), [{ executable_path: "/usr/bin/id" }], [
    { executable_path: "/usr/bin/idx" },
    { executable_path: null },
    { executable_path: "" },
  ]);
  holds(item("Image", "'/opt/ÄB'"), [{ executable_path: "/opt/Äb" }], [{ executable_path: "/opt/äb" }]);
});

Deno.test("contains, startswith and endswith open an end of the text, or both", () => {
  holds(item("|contains", "adm"), lines("xADMy", "adm"), [...lines("ad m", ""), line(null)]);
  holds(item("|startswith", "adm"), lines("Adm_x", "adm"), lines("xadm"));
  holds(item("|endswith", "'/id'"), lines("/usr/bin/ID"), lines("/usr/bin/id "));
});

Deno.test("all asks for every value, and lists without it for one", () => {
  holds(item("|contains|all", "[' -a ', ' -b ']"), lines("x -b -a  -b y -a y"), lines("x -a y", "x -b y"));
  holds(item("|all|contains", "[a, b]"), lines("ba"), lines("b"));
  holds(item("|contains", "[' -a ', ' -b ']"), lines("x -a y", "x -b y"), lines("x -c y"));
});

Deno.test("all with one value changes nothing, which is noted", () => {
  const { verdict, notes, rule } = verdictOn(item("|contains|all", "x"));
  assert.equal(verdict, "live");
  assert.match(notes[0]!.reason, /all with one value/);
  assert.deepEqual(matches(rule!, lines("axb", "b")), [true, false]);
});

Deno.test("exists asks for a value, whatever it is, or for none", () => {
  holds(item("|exists", "true"), lines("x", ""), [line(null)]);
  holds(item("|exists", "false"), [line(null)], lines("x", ""));
  refuses(item("|exists", "'yes'"), /exists takes true or false/);
});

Deno.test("cased counts A and a as two", () => {
  holds(item("|cased", "Whoami"), lines("Whoami"), lines("whoami", "WHOAMI", "Whoami "));
  holds(item("|contains|cased", "Ab*C"), lines("xAb..Cx", "AbC"), lines("xab..Cx", "Ab"));
  holds(item("|startswith|cased", "Ab"), lines("Abc"), lines("abc", "xAb"));
  holds(item("|cased|endswith", "?b.C"), lines("Ab.C", "xéb.C"), lines("b.C", "AbxC", "ab.c"));
  holds(item("|cased", "''"), lines(""), [...lines("x"), line(null)]);
  holds(item("|cased|contains", "'\\*(a)[b]{c}'"), lines("x*(a)[b]{c}y"), lines("(a)[b]{c}"));
  holds(item("|cased", "'a*(b)[c]é?'"), lines("a-(b)[c]éx"), lines("a-(b)[c]é", "A-(b)[c]éx"));
});

Deno.test("neq turns an item around, and a field without a value is different", () => {
  holds(item("|neq", "a"), [...lines("b", ""), line(null)], lines("A"));
  holds(item("|neq", "[a, b]"), [...lines("c"), line(null)], lines("a", "b"));
  holds(item("|contains|neq", "ab"), [...lines("a b"), line(null)], lines("xABy"));
  holds(item("ProcessId|neq", "4"), [{ pid: 5 }, { pid: null }], [{ pid: 4 }]);
  holds(item("|contains|all|neq", "[a, b]"), lines("a", "b", "c"), lines("ab"));
});

Deno.test("windash makes each dash that begins a word all five, each alone", () => {
  const forms = ["-", "/", "–", "—", "―"];
  holds(
    item("|windash|contains", "' -f '"),
    lines(...forms.map((dash) => `rm ${dash}f x`)),
    lines("rm f x", "rm +f x", "rm --f x"),
  );
  const pairs = forms.flatMap((a) => forms.map((b) => `x ${a}a y-z ${b}b`));
  holds(item("|contains|windash", "' -a y-z /b'"), lines(...pairs), lines("x -a y/z -b", "x -a y-z b"));
  refuses(item("|windash", "' -a -b -c -d -e'"), /windash makes more than 625 texts/);
});

Deno.test("re is found anywhere, with case; i, m and s change what it means", () => {
  holds(item("|re", "'a[0-9]{2,3}(x|y)'"), lines("--a12y--"), lines("A12y", "a1x", "a12z"));
  holds(item("|re", "'^whoami( .*)?$'"), lines("whoami", "whoami -a"), lines("x whoami"));
  holds(item("|re|i", "'^WHO.mi$'"), lines("whoami", "WhoXmI"), lines("who\nmi"));
  holds(item("|re|s", "'^a.b$'"), lines("a\nb", "axb"), lines("a\nbx"));
  holds(item("|re|m", "'^b$'"), lines("a\nb\nc", "b"), lines("ab"));
  holds(item("|re|i|m|s", "'^A.B$'"), lines("x\na\nb\ny"), lines("xa\nb"));
  holds(item("|re|all", "['a+', 'b+']"), lines("ab"), lines("aa", "bb"));
});

Deno.test("re says why an expression is not run", () => {
  refuses(item("|re", "'a(?=b)'"), /look-around/, 2);
  refuses(item("|re", "'(a)\\1'"), /back references/);
  refuses(item("|re", "'(((a{1,50}){1,50}){1,50})'"), /The regular expression is not run/);
  refuses(item("|re", `'${"a".repeat(600)}'`), /more than 512 characters/);
  refuses(item("|i", "x"), /i belongs to re/);
  refuses(item("|re|contains", "x"), /contains does not go with re/);
  refuses(item("|re|i|cased", "x"), /exclude each other/);
});

Deno.test("base64 and base64offset find a text that was encoded", () => {
  const code = (text: string) => btoa(text);
  holds(item("|base64|contains", "/bin/sh"), lines(`echo ${code("/bin/sh")} | base64 -d`), lines("echo /bin/sh"));
  const inside = ["/bin/bash", "x/bin/bash -i", "xy/bin/bash", "xyz /bin/bash"].map((text) => `echo ${code(text)}`);
  holds(
    item("|base64offset|contains", "/bin/bash"),
    lines(...inside),
    lines("echo /bin/bash", `echo ${code("/bin/sash")}`),
  );
  refuses(item("|base64offset|contains", "a"), /this short has no part/);
  refuses(item("|base64|contains", "'a*b'"), /wildcards has no form in base64/);
  refuses(item("|base64|base64offset", "a"), /exclude each other/);
});

Deno.test("utf16 forms stand before base64: low byte first, high byte first, and after a mark", () => {
  const utf16 = (text: string, mark: string, big: boolean): string => {
    const bytes = [...mark + text].flatMap((c) => {
      const pair = [c.charCodeAt(0) & 255, c.charCodeAt(0) >> 8];
      return big ? pair.reverse() : pair;
    });
    return btoa(String.fromCharCode(...bytes));
  };
  for (const name of ["utf16le", "wide"]) {
    holds(
      item(`|${name}|base64|contains`, "ping"),
      lines(`-e ${utf16("ping", "", false)}`),
      lines(`-e ${utf16("ping", "", true)}`),
    );
  }
  holds(item("|utf16be|base64", "cmd"), lines(utf16("cmd", "", true)), lines(utf16("cmd", "", false)));
  holds(item("|utf16|base64", "cmd"), lines(utf16("cmd", "\ufeff", false)), lines(utf16("cmd", "", false)));
  holds(
    item("|wide|base64offset|contains", "ping"),
    lines(utf16("a ping b", "", false)),
    lines(utf16("a pong b", "", false)),
  );
  refuses(item("|wide|contains", "ping"), /wide without base64/);
});

Deno.test("lt, lte, gt and gte compare numbers", () => {
  const ids = (...numbers: (number | null)[]) => numbers.map((pid) => ({ pid }));
  holds(item("ProcessId|lt", "10"), ids(9, -1), ids(10, 11, null));
  holds(item("ProcessId|lte", "10"), ids(9, 10), ids(11, null));
  holds(item("ProcessId|gt", "10"), ids(11), ids(10, null));
  holds(item("ProcessId|gte", "'10'"), ids(10, 11), ids(9, null));
  holds(item("duration_ms|gte", "1.5"), [{ duration_ms: 1.5 }], [{ duration_ms: 1.25 }]);
  refuses(item("ProcessId|lt", "ten"), /A number is expected/);
  refuses(item("|lt", "10"), /command_line is a text, and no number/);
  refuses(item("ProcessId|lt|contains", "10"), /contains does not go with lt/);
});

Deno.test("minute to year ask for a part of a time in UTC, also compared", () => {
  const at = (text: string) => ({ time: Date.parse(`${text}Z`) });
  holds(item("UtcTime|minute", "59"), [at("2026-01-01T00:59:59.999")], [at("2026-01-01T01:00:00")]);
  holds(item("UtcTime|hour", "[0, 23]"), [at("2026-01-01T00:30:00"), at("2026-01-01T23:00:00")], [
    at("2026-01-01T12:00:00"),
  ]);
  holds(item("UtcTime|hour|gte", "22"), [at("2026-01-01T22:00:00")], [at("2026-01-01T21:59:59"), { time: null }]);
  holds(item("UtcTime|day", "29"), [at("2024-02-29T12:00:00")], [
    at("2024-03-01T12:00:00"),
    at("2024-02-28T23:59:59.999"),
  ]);
  holds(item("UtcTime|month", "12"), [at("2025-12-31T23:59:59.999")], [at("2026-01-01T00:00:00")]);
  holds(item("UtcTime|year", "2025"), [at("2025-12-31T23:59:59.999")], [
    at("2026-01-01T00:00:00"),
    at("2024-12-31T23:00:00"),
  ]);
  holds(item("UtcTime|year|lt", "2025"), [at("2024-12-31T23:59:59.999")], [at("2025-01-01T00:00:00")]);
  holds(item("UtcTime|year|gt", "2025"), [at("2026-01-01T00:00:00")], [at("2025-12-31T23:00:00")]);
  refuses(item("UtcTime|hour", "24"), /hour is a whole number from 0 to 23/);
  refuses(item("UtcTime|week", "0"), /week is a whole number from 1 to 53/);
  refuses(item("|hour", "1"), /command_line is no time/);
});

Deno.test("day, week and month are those of the calendar, through leap years and turns of the year", () => {
  const days = Array.from({ length: 4_100 }, (_, i) => Date.UTC(1970 + (i % 11) * 11, 0, 1 + i, 23, 59));
  const isoWeek = (time: number): number => {
    const day = new Date(time), weekday = (day.getUTCDay() + 6) % 7;
    const thursday = new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth(), day.getUTCDate() - weekday + 3));
    return 1 + Math.floor((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / 604_800_000);
  };
  const parts: [string, (time: number) => number, number[]][] = [
    ["day", (time) => new Date(time).getUTCDate(), [1, 28, 29, 30, 31]],
    ["month", (time) => new Date(time).getUTCMonth() + 1, [1, 2, 3, 12]],
    ["week", isoWeek, [1, 2, 9, 10, 52, 53]],
  ];
  for (const [part, of, values] of parts) {
    for (const value of values) {
      const { rule } = verdictOn(item(`UtcTime|${part}`, String(value)));
      assert.deepEqual(
        matches(rule!, days.map((time) => ({ time }))),
        days.map((time) => of(time) === value),
        `${part} ${value}`,
      );
    }
  }
});

Deno.test("cidr asks for an address in a network", () => {
  holds(item("|cidr", "[10.0.0.0/8, 'fe80::/10']"), lines("10.1.2.3", "fe80::1"), lines("11.0.0.1", "10.0.0.0/8", ""));
  refuses(item("|cidr", "10.0.0.0/33"), /is no network/);
  refuses(item("ProcessId|cidr", "10.0.0.0/8"), /pid is a number, and no address/);
});

Deno.test("fieldref compares two fields, also at an end, in the middle, and turned around", () => {
  const pair = (command_line: string | null, executable_path: string | null) => ({ command_line, executable_path });
  holds(item("|fieldref", "Image"), [pair("/A", "/a")], [pair("/a", "/b"), pair("/a", null), pair(null, null)]);
  holds(item("|fieldref|cased", "Image"), [pair("/A", "/A")], [pair("/A", "/a")]);
  holds(item("|fieldref|startswith", "Image"), [pair("/a -x", "/A"), pair("x", "")], [
    pair("x /a", "/a"),
    pair(null, "/a"),
  ]);
  holds(item("|fieldref|endswith", "Image"), [pair("x /A", "/a"), pair("x", "")], [
    pair("/a x", "/a"),
    pair("a", "/a"),
    pair(null, ""),
  ]);
  holds(item("|fieldref|contains", "Image"), [pair("x /A y", "/a")], [pair("x", "/a"), pair("x", null)]);
  holds(item("|fieldref|neq", "Image"), [pair("x", "/a"), pair("x", null)], [pair("/a", "/A")]);
  holds(item("ProcessId|fieldref", "ParentProcessId"), [{ pid: 1, ppid: 1 }], [{ pid: 1, ppid: 2 }, {
    pid: 1,
    ppid: null,
  }]);
  refuses(item("|fieldref", "ProcessId"), /pid is a number/);
  refuses(item("|fieldref", "Nothing"), /in no event of this host/);
});

Deno.test("expand gives placeholders their values, and refuses one without", () => {
  const mapping = "placeholders:\n  Admins: [root, 'adm_*']\n  Ext: [sh, py]\n  Home: [10.0.0.0/8, 192.168.0.0/16]\n";
  holds(
    item("User|expand", "'%Admins%'"),
    [{ user_name: "root" }, { user_name: "adm_x" }],
    [{ user_name: "bob" }],
    mapping,
  );
  holds(item("|expand|endswith", "'x.%Ext%'"), lines("/x.sh", "/x.PY"), lines("/x.pl", "%Ext%"), mapping);
  holds(item("|expand", "'\\%plain%Ext%'"), lines("%plainsh", "%plainpy"), lines("plainsh"), mapping);
  holds(item("", "'%Admins%'").replace("    :", "    CommandLine:"), lines("%admins%"), lines("root"), mapping);
  holds(item("|cidr|expand", "'%Home%'"), lines("10.1.1.1", "192.168.3.4"), lines("172.16.0.1"), mapping);
  refuses(item("User|expand", "'%Servers%'"), /placeholder %Servers% has no values/, 2);
});

Deno.test("modifiers that are unknown, twice or contradictory are refused with their place", () => {
  refuses(item("|contain", "x"), /The modifier "contain" is unknown/, 2);
  refuses(item("|contains|contains", "x"), /stands twice/, 2);
  refuses(item("|contains|startswith", "x"), /exclude each other/, 2);
  refuses(item("|exists|neq", "true"), /neq does not go with exists/, 2);
  refuses(item("|cidr|re", "x"), /two different things|exclude each other/, 2);
  refuses("keywords:\n    '|startswith': x\ncondition: keywords", /startswith needs a field/, 2);
});

Deno.test("the table of modifiers has those of the specification", () => {
  const specified =
    "all startswith endswith contains exists cased neq windash re i m s base64 base64offset utf16le utf16be utf16 wide " +
    "lt lte gt gte minute hour day week month year cidr expand fieldref";
  assert.deepEqual(Object.keys(MODIFIERS).sort(), specified.split(" ").sort());
});
