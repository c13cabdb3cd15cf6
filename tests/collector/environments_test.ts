import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeText } from "../../proto/argv.ts";
import { EnvironmentFilter, MAX_VARIABLE_BYTES, WantedVariables } from "../../collector/kernel/environment.ts";
import { Environments, MAX_ENVIRONMENT_TEXT } from "../../collector/environments.ts";
import { redactVariable } from "../../collector/redaction.ts";

const environments = new Environments(() => (variable, isCut) => redactVariable(variable, isCut));

function objectOf(variables: readonly string[], isCut = false): Record<string, unknown> {
  return JSON.parse(environments.textOf(variables, isCut).text) as Record<string, unknown>;
}

Deno.test("Environments gives a JSON object in the order of the variables, secrets masked", () => {
  const { text, masked } = environments.textOf(["LD_PRELOAD=/tmp/x.so", "DB_PASSWORD=hunter2", "A=b=c", "E="], false);
  assert.equal(text, `{"LD_PRELOAD":"/tmp/x.so","DB_PASSWORD":"[REDACTED]","A":"b=c","E":""}`);
  assert.equal(masked, 1);
  assert.equal(environments.textOf([], false).text, "{}");
  assert.equal(environments.textOf([], true).text, `{"=cut":true}`);
});

Deno.test("Environments shows every value of a name that is there again", () => {
  // getenv() takes the first, ld.so the last: neither may hide.
  assert.deepEqual(objectOf(["LD_PRELOAD=/lib/a.so", "X=1", "LD_PRELOAD=/tmp/evil.so", "LD_PRELOAD="]), {
    "LD_PRELOAD": "/lib/a.so",
    "X": "1",
    "LD_PRELOAD=2": "/tmp/evil.so",
    "LD_PRELOAD=3": "",
  });
});

Deno.test("Environments keeps names that objects know otherwise", () => {
  assert.equal(
    environments.textOf(["__proto__=a", "constructor=b"], false).text,
    `{"__proto__":"a","constructor":"b"}`,
  );
});

Deno.test("Environments keeps every byte of a value, in a text that is UTF-8", () => {
  const bytes = fc.uint8Array({ maxLength: 60 }).map((b) => b.map((byte) => byte || 1));
  fc.assert(fc.property(bytes, (value) => {
    const { text } = environments.textOf([`HOME=${latin1(value)}`], false);
    assert.ok(text.isWellFormed());
    const back = encodeText((JSON.parse(text) as { HOME: string }).HOME);
    if (!text.includes("[REDACTED]")) assert.deepEqual(back, value);
  }));
  assert.equal(environments.textOf(["HOME=/\xc3\xa4/\xff"], false).text, `{"HOME":"/ä/\\udcff"}`);
});

Deno.test("Environments bounds the text and says what is missing", () => {
  const long = `LD_A=${"x".repeat(MAX_VARIABLE_BYTES - 5)}`;
  assert.equal(objectOf([long])["=cut"], true);
  assert.equal(objectOf([long.slice(1)])["=cut"], undefined);
  const many = Array.from({ length: 4 }, (_, i) => `LD_${i}=${"y".repeat(4_085)}`);
  const { text } = environments.textOf([...many, "LD_PRELOAD=/tmp/x.so"], false);
  assert.ok(text.length <= MAX_ENVIRONMENT_TEXT, `${text.length}`);
  const object = JSON.parse(text) as Record<string, unknown>;
  assert.equal(object["=cut"], true);
  assert.equal(object["LD_3"], undefined);
  assert.equal(object["LD_PRELOAD"], "/tmp/x.so", "what fits is not left out for what does not");
  // Control characters take six times their bytes.
  assert.ok(environments.textOf(many.map((one) => one.replaceAll("y", "\x01")), false).text.length < 16_384);
  const large = Array.from({ length: 20 }, (_, i) => `LD_${i}=${"\x01".repeat(4_000)}`);
  assert.deepEqual(objectOf([...large, "LD_PRELOAD=/tmp/x.so"]), { "=cut": true }, "that far nobody looks");
  const crowd = Array.from({ length: 100_000 }, (_, i) => `LD_${i}=`);
  assert.equal(objectOf(crowd)["=cut"], true);
  assert.ok(environments.textOf(crowd, false).text.length <= MAX_ENVIRONMENT_TEXT);
});

Deno.test("Environments masks a secret that a cut value ends within, without digits", () => {
  const keyed = new Environments(() => (variable, isCut) => redactVariable(variable, isCut, () => "00000000"));
  const secret = `DB_PASSWORD=${"s".repeat(MAX_VARIABLE_BYTES)}`.slice(0, MAX_VARIABLE_BYTES);
  assert.equal(
    keyed.textOf([secret, "PGPASSWORD=x"], false).text,
    `{"DB_PASSWORD":"[REDACTED]","PGPASSWORD":"[REDACTED:00000000]","=cut":true}`,
  );
});

Deno.test("Environments converts a list that it has seen no second time", () => {
  let calls = 0;
  const counting = new Environments(() => (text) => {
    calls++;
    return { text, masked: 0 };
  });
  const filter = new EnvironmentFilter(["LD_*"]);
  const bytes = encodeText("HOME=/\0LD_PRELOAD=/tmp/x.so\0");
  const first = counting.textOf(filter.select(bytes, 0, bytes.length), false);
  assert.equal(counting.textOf(filter.select(bytes.slice(), 0, bytes.length), false), first);
  assert.equal(calls, 1);
  const cut = counting.textOf(filter.select(bytes, 0, bytes.length), true);
  assert.equal(cut.text, `{"LD_PRELOAD":"/tmp/x.so","=cut":true}`);
});

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

Deno.test("EnvironmentFilter takes what is demanded at the moment, whatever it answered before", () => {
  const wanted = new WantedVariables(["LD_*"], true), filter = new EnvironmentFilter(wanted);
  const other = new EnvironmentFilter(wanted), bytes = new TextEncoder().encode("LD_X=1\0GIT_SSH=x\0PATH=/bin\0");
  const select = (of: EnvironmentFilter): readonly string[] => of.select(bytes, 0, bytes.length);
  assert.deepEqual([select(filter), select(other)], [["LD_X=1"], ["LD_X=1"]]);
  wanted.demand(["GIT_SSH"]);
  assert.deepEqual([select(filter), select(other)], [["LD_X=1", "GIT_SSH=x"], ["LD_X=1", "GIT_SSH=x"]]);
  assert.ok(select(filter) === select(filter), "the same answer as long as it is the same question");
  wanted.demand(["PATH"]);
  assert.deepEqual(select(filter), ["LD_X=1", "PATH=/bin"]);
  wanted.demand([]);
  assert.deepEqual([select(filter), select(other)], [["LD_X=1"], ["LD_X=1"]]);
});

Deno.test("WantedVariables is empty when nothing can be wanted, and idle when nothing is", () => {
  const standing = (of: WantedVariables): boolean[] => [of.isEmpty, of.isIdle];
  assert.deepEqual(standing(new WantedVariables([])), [true, true]);
  assert.deepEqual(standing(new WantedVariables(["A"])), [false, false]);
  const wanted = new WantedVariables([], true);
  assert.deepEqual(standing(wanted), [false, true]);
  wanted.demand(["A"]);
  assert.deepEqual(standing(wanted), [false, false]);
  assert.deepEqual([wanted.has("A"), wanted.isAlwaysWanted("A")], [true, false]);
});

Deno.test("Environments tells what is captured always from what rules ask for, and gives it room first", () => {
  const some = new Environments(() => (variable, isCut) => redactVariable(variable, isCut), (name) => name === "LD_X");
  const { text, kept, masked } = some.textOf(["GIT_SSH=a", "LD_X=1", "DB_PASSWORD=hunter2", "LD_X=2"], false);
  assert.equal(text, `{"GIT_SSH":"a","LD_X":"1","DB_PASSWORD":"[REDACTED]","LD_X=2":"2"}`);
  assert.equal(kept, `{"LD_X":"1","LD_X=2":"2"}`);
  assert.equal(masked, 1);
  const plain = some.textOf(["LD_X=1"], false);
  assert.ok(plain.text === plain.kept);

  const crowd = Array.from({ length: 5 }, (_, i) => `V${i}=${"y".repeat(4_085)}`);
  const crowded = some.textOf([...crowd, "LD_X=/tmp/x.so"], false);
  assert.ok(crowded.text.length <= MAX_ENVIRONMENT_TEXT);
  const object = JSON.parse(crowded.text) as Record<string, unknown>;
  assert.deepEqual([object["LD_X"], object["=cut"], object["V0"] !== undefined], ["/tmp/x.so", true, true]);
  assert.equal(crowded.kept, `{"LD_X":"/tmp/x.so"}`);
});
