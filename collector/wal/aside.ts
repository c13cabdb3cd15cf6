/**
 * Files that do not count and are not destroyed either: they get another name.
 *
 * @module
 */
import { type Storage, StorageError } from "./storage.ts";

/** Files that were set aside are kept, the newest ones, up to this many bytes. */
const MAX_ASIDE_BYTES = 67_108_864;

const ASIDE = /^\d{10}-\d{15}\.wal\.aside(?:-\d{1,3})?$|^state\.aside(?:-\d{1,3})?$/;

export function isAside(name: string): boolean {
  return ASIDE.test(name);
}

/** Gives a file another name, so that it neither counts nor is lost. */
export function setAside(storage: Storage, name: string, findings: string[], why: string): void {
  const taken = new Set(storage.list().map((entry) => entry.name));
  let to = `${name}.aside`;
  for (let i = 2; taken.has(to) && i < 1000; i++) to = `${name}.aside-${i}`;
  findings.push(`${name} ${why}; it was set aside as ${to}`);
  attempt(findings, () => storage.rename(name, to));
}

/** Removes the oldest files that were set aside, when they take too much. */
export function limitAside(storage: Storage, findings: string[]): void {
  const aside = storage.list().filter(({ name, kind }) => kind === "file" && isAside(name));
  let bytes = aside.reduce((sum, { size }) => sum + size, 0);
  for (const { name, size } of aside) {
    if (bytes <= MAX_ASIDE_BYTES) return;
    bytes -= size;
    findings.push(`${name} was removed: files that were set aside take more than ${MAX_ASIDE_BYTES} bytes`);
    attempt(findings, () => storage.remove(name));
  }
}

/** Does what makes the directory tidy; where that fails, the log works all the same. */
export function attempt(findings: string[], act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    findings.push(error.message);
  }
}
