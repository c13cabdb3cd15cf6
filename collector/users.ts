/**
 * Names of users and groups, from `/etc/passwd` and `/etc/group`.
 *
 * Read through libc, as the collector has no read grant outside its own directory; local accounts only, as a directory
 * service may not be asked from here. The file is read again when it changed, looked at once a second at most. A line that
 * is not an account is skipped; a file that cannot be read leaves every name unknown.
 *
 * @module
 */
import { readWholeFile } from "./kernel/procfs.ts";

const PASSWD = "/etc/passwd";
const GROUP = "/etc/group";
/** Larger account files are read up to here. */
const MAX_ACCOUNT_BYTES = 4 << 20;
const LOOK_INTERVAL_MS = 1_000;

/** Accounts of a passwd or group file by name: the third field is the number in both. */
export function parseAccounts(text: string): Map<string, number> {
  const accounts = new Map<string, number>();
  for (const line of text.split("\n")) {
    const fields = line.split(":");
    if (fields.length < 3 || line.startsWith("#") || !/^[A-Za-z0-9_.][A-Za-z0-9_.$-]{0,63}$/.test(fields[0]!)) continue;
    if (!/^\d{1,10}$/.test(fields[2]!)) continue;
    const id = Number(fields[2]);
    if (id <= 0xffff_fffe && !accounts.has(fields[0]!)) accounts.set(fields[0]!, id);
  }
  return accounts;
}

/** Names by id, of one of the two files. */
export class AccountNames {
  #names: Map<number, string> = new Map();
  #text = "";
  #looked = -Infinity;

  constructor(private readonly read: () => string | null) {}

  /** The first name of that id, `null` when no account has it. */
  nameOf(accountId: number): string | null {
    const now = performance.now();
    if (now - this.#looked >= LOOK_INTERVAL_MS) {
      this.#looked = now;
      const text = this.read() ?? "";
      if (text !== this.#text) {
        this.#text = text;
        this.#names = new Map();
        for (const [name, id] of parseAccounts(text)) if (!this.#names.has(id)) this.#names.set(id, name);
      }
    }
    return this.#names.get(accountId) ?? null;
  }
}

/** The id of a user given by name or number. @throws RangeError when there is no such user. */
export function resolveUser(nameOrNumber: string): number {
  return resolve(nameOrNumber, PASSWD, "user");
}

/** The id of a group given by name or number. @throws RangeError when there is no such group. */
export function resolveGroup(nameOrNumber: string): number {
  return resolve(nameOrNumber, GROUP, "group");
}

function resolve(nameOrNumber: string, file: string, what: string): number {
  if (/^\d{1,10}$/.test(nameOrNumber)) {
    const id = Number(nameOrNumber);
    if (id <= 0xffff_fffe) return id; // 2^32 - 1 means "unchanged" to setresuid
  }
  const id = parseAccounts(readText(file) ?? "").get(nameOrNumber);
  if (id === undefined) {
    throw new RangeError(`There is no ${what} ${nameOrNumber} in ${file}; create it or name another`);
  }
  return id;
}

function readText(path: string): string | null {
  const bytes = readWholeFile(path, MAX_ACCOUNT_BYTES);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

const users = new AccountNames(() => readText(PASSWD));
const groups = new AccountNames(() => readText(GROUP));

/** The name of a user of this host, `null` when no account has the id. */
export function userName(userId: number): string | null {
  return users.nameOf(userId);
}

/** The name of a group of this host, `null` when none has the id. */
export function groupName(groupId: number): string | null {
  return groups.nameOf(groupId);
}
