/**
 * Signs that an ELF file carries its program packed: those of packers by name, and what packing looks like without one.
 *
 * A sign is no proof: the bytes of UPX's mark can be put anywhere, and can be changed so that UPX itself does not know them.
 * So what packing must look like is asked too.
 *
 * @module
 */
import type { ByteView } from "./byte_view.ts";
import type { ElfSection } from "./elf.ts";

const encoder = new TextEncoder();
/** What UPX writes behind the program headers, and at the end (`p_lx_elf.cpp`, `l_info` and `PackHeader`). */
const UPX = encoder.encode("UPX!");
const UPX_HEAD_BYTES = 4_096, UPX_TAIL_BYTES = 4_096;
/** The cookie of PyInstaller's archive (`bootloader/src/pyi_archive.c`), near the end. */
const PYINSTALLER = new Uint8Array([0x4d, 0x45, 0x49, 0x0c, 0x0b, 0x0a, 0x0b, 0x0e]);
const PYINSTALLER_TAIL_BYTES = 8_192;
/** Compressed or encrypted bytes reach 7.9 of 8; code of a compiler is at 6 to 6.5. */
const PACKED_ENTROPY = 7.2;

export interface PackedLooks {
  readonly sections: readonly ElfSection[];
  readonly sectionCount: number;
  readonly entropy: number;
  readonly hasWritableCode: boolean;
  readonly isStatic: boolean;
}

export function packerOf(view: ByteView, looks: PackedLooks): string | null {
  const { length } = view;
  if (
    view.find(UPX, 0, UPX_HEAD_BYTES) >= 0 || view.find(UPX, length - UPX_TAIL_BYTES, length) >= 0 ||
    looks.sections.some(({ name }) => /^\.?UPX\d?/.test(name))
  ) return "UPX";
  if (view.find(PYINSTALLER, length - PYINSTALLER_TAIL_BYTES, length) >= 0) return "PyInstaller";
  const dense = looks.sections.find(({ flags, entropy, size }) =>
    flags.includes("x") && size >= 4_096 && entropy !== null && entropy >= PACKED_ENTROPY
  );
  if (dense !== undefined) return `unknown: code in ${dense.name || "a section"} has ${dense.entropy} bits a byte`;
  const isBare = looks.sectionCount === 0 && looks.isStatic && length >= 4_096;
  if (isBare && looks.entropy >= PACKED_ENTROPY) {
    return `unknown: no sections, nothing linked, ${looks.entropy} bits a byte`;
  }
  return null;
}
