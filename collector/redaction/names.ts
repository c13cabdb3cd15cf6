/**
 * Which names of options, variables, fields and headers stand for a secret.
 *
 * A name is judged by its words (`--db-password`, `DB_PASSWORD`, `dbPassword`), not by substrings, so that `tokenizer`,
 * `keyboard` and `my_token_count` stay readable. Where a name is ambiguous it counts as secret: a masked innocent value
 * costs a look at the host, a stored password costs the password.
 *
 * @module
 */

/** Longer names are judged by their end, which is where the deciding word stands. */
const MAX_NAME = 128;

/** How sure a name is: a `weak` one needs a clear assignment, a `strong` one also counts in looser writing. */
export type Secrecy = "none" | "weak" | "strong";

const STRONG = new Set([
  "password",
  "passwords",
  "passwd",
  "passphrase",
  "passcode",
  "passin",
  "passout",
  "pass",
  "pwd",
  "pw",
  "psk",
]);
const STRONG_ENDS = ["password", "passwd", "passphrase"];

const WEAK = new Set([
  "secret",
  "secrets",
  "token",
  "tokens",
  "credential",
  "credentials",
  "creds",
  "cred",
  "bearer",
  "jwt",
  "apikey",
  "apikeys",
  "authkey",
]);
const WEAK_ENDS = ["secret", "token", "apikey", "accesskey", "secretkey", "privatekey", "authkey", "credentials"];

/** Words that are secret only where the name ends with them: `AUTH=...`, but not `auth-type` or `cookie-jar`. */
const LAST_ONLY = new Set(["auth", "oauth", "authorization", "cookie", "cookies", "pass"]);

/** What makes a `key` one that opens something; a public, primary, host or sort key is none. */
const KEY_QUALIFIERS = new Set([
  "access",
  "account",
  "admin",
  "api",
  "app",
  "application",
  "auth",
  "crypto",
  "decryption",
  "deploy",
  "encryption",
  "enc",
  "hmac",
  "jwt",
  "license",
  "master",
  "private",
  "registration",
  "secret",
  "service",
  "session",
  "shared",
  "signing",
  "storage",
  "subscription",
]);

/** A name that ends with one of these tells about a secret, and does not hold it. */
const ABOUT = new Set([
  "age",
  "agent",
  "alg",
  "algorithm",
  "audience",
  "authentication",
  "backend",
  "changed",
  "check",
  "cmd",
  "command",
  "count",
  "dir",
  "directory",
  "disabled",
  "enabled",
  "endpoint",
  "env",
  "environment",
  "expiration",
  "expiry",
  "fd",
  "field",
  "file",
  "files",
  "form",
  "format",
  "garden",
  "generator",
  "header",
  "helper",
  "hint",
  "host",
  "id",
  "ids",
  "info",
  "issuer",
  "kind",
  "label",
  "len",
  "length",
  "lifetime",
  "limit",
  "list",
  "location",
  "manager",
  "max",
  "method",
  "min",
  "mode",
  "name",
  "names",
  "page",
  "path",
  "paths",
  "plugin",
  "policy",
  "port",
  "prefix",
  "program",
  "prompt",
  "provider",
  "realm",
  "required",
  "reset",
  "rotation",
  "scope",
  "service",
  "size",
  "sock",
  "socket",
  "source",
  "stdin",
  "store",
  "strength",
  "timeout",
  "ttl",
  "type",
  "uri",
  "url",
  "version",
]);

/** An option that begins with one of these is a switch: the word after it is not its value. */
const SWITCH_STARTS = new Set([
  "allow",
  "ask",
  "change",
  "check",
  "disable",
  "enable",
  "force",
  "generate",
  "hide",
  "no",
  "print",
  "prompt",
  "require",
  "reset",
  "show",
  "skip",
  "verify",
  "with",
  "without",
]);

/** What makes `tokens` pieces of text, as language models count them. */
const TOKEN_COUNTS = new Set(["max", "min", "num", "n", "total", "new", "context"]);

/** Ordinary English words that end in "pass". */
const NOT_A_PASS = /(?:by|com|encom|sur|over|under|tres|multi)pass$/;

const VALUES_THAT_ARE_NONE = new Set(["true", "false", "yes", "no", "on", "off", "null", "none", "nil", "undefined"]);

/** Judges a name; leading dashes and punctuation do not matter. */
export function secrecyOf(name: string): Secrecy {
  const words = wordsOf(name);
  while (words.length > 1 && isDigit(words[words.length - 1]!.charCodeAt(0))) words.pop();
  const last = words[words.length - 1];
  if (last === undefined) return "none";
  // Vault's AppRole calls a password `secret_id`.
  if (last === "id" && words[words.length - 2] === "secret") return "weak";
  if (words.length > 1 && ABOUT.has(last)) return "none";
  let found: Secrecy = "none";
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!, isLast = i === words.length - 1;
    if (LAST_ONLY.has(word)) {
      if (!isLast) continue;
      if (word === "pass") return "strong";
      found = "weak";
    } else if (STRONG.has(word) || STRONG_ENDS.some((end) => word.endsWith(end))) return "strong";
    else if (isLast && word.endsWith("pass") && !NOT_A_PASS.test(word)) return "strong";
    else if (word === "tokens" && i > 0 && TOKEN_COUNTS.has(words[i - 1]!)) continue;
    else if (WEAK.has(word) || WEAK_ENDS.some((end) => word.endsWith(end))) found = "weak";
    else if ((word === "key" || word === "keys") && i > 0 && KEY_QUALIFIERS.has(words[i - 1]!)) found = "weak";
  }
  return found;
}

/** Whether an option of this (secret) name takes no value: `--ask-password`, `--no-auth`. */
export function isSwitch(name: string): boolean {
  const words = wordsOf(name);
  return words.length > 1 && SWITCH_STARTS.has(words[0]!);
}

/** Whether the name is of an HTTP header, whose value goes to the end of its line. */
export function isHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower.endsWith("authorization") || lower === "cookie" || lower === "set-cookie" || lower.startsWith("x-") ||
    lower.endsWith("-token") || lower === "api-key" || lower === "apikey";
}

/** Whether the name has several words, and so is hardly prose: `client_secret`, `X-Auth-Token`. */
export function isCompound(name: string): boolean {
  return wordsOf(name).length > 1;
}

/** Whether a value says that there is no secret: nothing, a truth value, a null. */
export function isNoSecret(value: string): boolean {
  return value.length === 0 || (value.length <= 9 && VALUES_THAT_ARE_NONE.has(value.toLowerCase()));
}

/** The words of a name, in lower case, without their ending digits: cut at punctuation and at the humps of camel case. */
function wordsOf(name: string): string[] {
  const end = name.length > MAX_NAME ? name.slice(-MAX_NAME) : name;
  const words: string[] = [];
  let word = "", previous = 0;
  for (let i = 0; i < end.length; i++) {
    const code = end.charCodeAt(i);
    const isUpper = code >= 65 && code <= 90;
    const isLower = code >= 97 && code <= 122;
    if (!isUpper && !isLower && !isDigit(code)) {
      if (word !== "") words.push(withoutNumber(word));
      word = "";
    } else {
      const next = end.charCodeAt(i + 1);
      // `dbPassword` has its hump at a lower-upper change, `AWSSecretKey` before the last capital of a run.
      const hump = isUpper && word !== "" &&
        ((previous >= 97 && previous <= 122) || (previous >= 65 && previous <= 90 && next >= 97 && next <= 122));
      if (hump) {
        words.push(withoutNumber(word));
        word = "";
      }
      word += String.fromCharCode(isUpper ? code + 32 : code);
    }
    previous = code;
  }
  if (word !== "") words.push(withoutNumber(word));
  return words;
}

/** `password1` is judged as `password`; a word that is only a number stays. */
function withoutNumber(word: string): string {
  let end = word.length;
  while (end > 0 && isDigit(word.charCodeAt(end - 1))) end--;
  return end === 0 ? word : word.slice(0, end);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}
