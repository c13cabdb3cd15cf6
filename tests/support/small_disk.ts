/**
 * A file system of a few megabytes at a directory, to be filled and freed. Needs root and mount.
 *
 * @module
 */

export class SmallDisk implements Disposable {
  readonly #filler: string;

  constructor(readonly path: string, megabytes: number, more = "") {
    this.#filler = `${path}/filler`;
    mount(["-t", "tmpfs", "-o", `size=${megabytes}m${more}`, "none", path]);
  }

  /** Leaves no byte. */
  fill(): void {
    using file = Deno.openSync(this.#filler, { write: true, create: true, append: true });
    for (let size = 1 << 20; size >= 1;) {
      try {
        if (file.writeSync(new Uint8Array(size).fill(1)) < size) size >>>= 1;
      } catch {
        size >>>= 1;
      }
    }
  }

  free(): void {
    Deno.removeSync(this.#filler);
  }

  [Symbol.dispose](): void {
    new Deno.Command("umount", { args: ["--lazy", this.path] }).outputSync();
  }
}

/** @throws with mount's own words */
export function mount(args: readonly string[]): void {
  const { success, stderr } = new Deno.Command("mount", { args: [...args] }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
