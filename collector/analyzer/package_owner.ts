/**
 * Which Debian package a file came with, from dpkg's own lists: pure, over the texts of `/var/lib/dpkg/info`.
 *
 * Those lists are root's, and are taken at their word; whoever is root can write them. `md5sums` have no MD5 of
 * configuration files, and a package built without them has none at all: then it is only said whose the file is.
 *
 * @module
 */

/** Names of packages as dpkg has them, with an architecture where two are installed. */
const LIST = /^([a-z0-9][a-z0-9+.-]{0,127}(?::[a-z0-9-]{1,32})?)\.list$/;

export type PackageState = "unmodified" | "modified" | "owned" | "unowned" | "unknown";

/** The package of a file of `/var/lib/dpkg/info`; `null` for one that is no list of files. */
export function packageOfList(fileName: string): string | null {
  return LIST.exec(fileName)?.[1] ?? null;
}

/**
 * The names under which a file may stand in the lists: with `/usr` merged, `/usr/bin/sh` is `/bin/sh` in those of old
 * packages, and the other way round.
 */
export function listedNames(path: string): readonly string[] {
  if (/^\/usr\/(?:bin|sbin|lib|lib32|lib64|libx32)\//.test(path)) return [path, path.slice("/usr".length)];
  if (/^\/(?:bin|sbin|lib|lib32|lib64|libx32)\//.test(path)) return [path, `/usr${path}`];
  return [path];
}

/** Whether a list of files names one of these. */
export function listHas(list: string, names: readonly string[]): boolean {
  return names.some((name) => {
    for (let at = list.indexOf(name); at >= 0; at = list.indexOf(name, at + 1)) {
      const end = at + name.length;
      if ((at === 0 || list[at - 1] === "\n") && (end === list.length || list[end] === "\n")) return true;
    }
    return false;
  });
}

/** The MD5 that the package says a file has; `null` where it says none. */
export function md5Of(md5sums: string, names: readonly string[]): string | null {
  for (const line of md5sums.split("\n")) {
    if (!/^[0-9a-f]{32} {2}/.test(line)) continue;
    if (names.includes(`/${line.slice(34)}`)) return line.slice(0, 32);
  }
  return null;
}
