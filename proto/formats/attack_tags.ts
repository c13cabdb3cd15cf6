/**
 * What tags of rules say of MITRE ATT&CK: `attack.execution`, `attack.t1059`, `attack.t1059.004`.
 *
 * @module
 */
import { TACTICS } from "../rules/attack.ts";

export interface Technique {
  /** `T1059`. */
  readonly id: string;
  /** `T1059.004`, `null` for the technique as a whole. */
  readonly subId: string | null;
}

/** The techniques that tags name, each once. */
export function techniquesOf(tags: readonly string[]): Technique[] {
  return [...new Set(tags)].flatMap((tag) => {
    const [, id, sub] = /^attack\.(t\d{4})(?:\.(\d{3}))?$/i.exec(tag) ?? [];
    if (id === undefined) return [];
    return [{ id: id.toUpperCase(), subId: sub === undefined ? null : `${id.toUpperCase()}.${sub}` }];
  });
}

/** The tactics that tags name, each once. */
export function tacticsOf(tags: readonly string[]): { readonly name: string; readonly id: string }[] {
  const named = new Set(tags.map((tag) => /^attack\.([a-z_-]+)$/.exec(tag)?.[1]?.replaceAll("_", "-")));
  return TACTICS.filter(({ tag }) => named.has(tag.replaceAll("_", "-"))).map(({ title, id }) => ({ name: title, id }));
}
