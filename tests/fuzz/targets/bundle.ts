/**
 * Evidence bundles: whatever the bytes, a bundle is refused by name or is the one that was made; and rows that are read
 * give the same lines again.
 *
 * `bundle:bytes` changes the bytes of whole ones, `bundle:bits` one bit, and the member that has it must be named.
 * `bundle:manifest` and `bundle:rows` change what stands under a right hash, as somebody does who makes a bundle of his
 * own.
 *
 * @module
 */
import { NewerBundleError } from "../../../cli/bundle/manifest.ts";
import { BundleReader } from "../../../cli/bundle/reader.ts";
import { BundleRefusedError } from "../../../cli/bundle/bundle_refused.ts";
import { memorySource } from "../../../cli/bundle/source.ts";
import { sameBytes } from "../../../proto/ledger/hash.ts";
import { forge, type ForgedMember, signerNamed, SOUND, SOUND_COLLECTED } from "../../support/bundle_forge.ts";
import { type FuzzInput, type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";

const WHOLE: readonly Uint8Array[] = [
  forge({ members: [] }),
  forge({ members: SOUND }),
  forge({ members: SOUND_COLLECTED, by: signerNamed("fuzz") }),
];
/** Events, what collectors brought, and the description of that. */
const WITH_ROWS: readonly ForgedMember[] = SOUND_COLLECTED.filter(({ name }) => /^(process_ev|collected)/.test(name));
const encoder = new TextEncoder(), decoder = new TextDecoder();

/** Reads everything but the signature; what refuses it, if anything does. What else is thrown is a finding. */
function refusalOf(bytes: Uint8Array): BundleRefusedError | NewerBundleError | null {
  try {
    const reader = BundleReader.unsigned(memorySource("fuzz", bytes));
    for (const member of reader.manifest.members) {
      if (reader.tableOf(member) === null) reader.content(member);
      else for (const _ of reader.rows(member));
    }
    return null;
  } catch (error) {
    if (!(error instanceof BundleRefusedError) && !(error instanceof NewerBundleError)) throw error;
    must(error.message.length > 0 && error.message.length < 1_000, "a refusal is a sentence");
    return error;
  }
}

function holds(bytes: Uint8Array): boolean {
  return refusalOf(bytes) === null;
}

/** Where the signature stands, which is not looked at here: a bundle may differ in it. */
function withoutNote(bytes: Uint8Array): Uint8Array {
  const at = decoder.decode(bytes).indexOf("bundle.note\0");
  return bytes.subarray(0, at);
}

const bytes: FuzzTarget = {
  name: "bundle:bytes",
  share: 10_000,
  open: () => (random): FuzzInput => {
    const whole = random.pick(WHOLE), changed = mutate(random, whole);
    return {
      show: () => hex(changed),
      run: () => {
        if (holds(changed)) must(sameBytes(withoutNote(changed), withoutNote(whole)), "what holds is what was made");
      },
    };
  },
};

/** Where each member with its header and the zeros behind it ends, up to the note, whose signature is not looked at. */
function endsOf(whole: Uint8Array): { readonly name: string; readonly end: number }[] {
  const ends = [];
  for (let at = 0; at < whole.length;) {
    const name = decoder.decode(whole.subarray(at, at + 100)).replace(/\0.*$/, "");
    if (name === "bundle.note") break;
    at += 512 + Math.ceil(parseInt(decoder.decode(whole.subarray(at + 124, at + 135)), 8) / 512) * 512;
    ends.push({ name, end: at });
  }
  return ends;
}

const bits: FuzzTarget = {
  name: "bundle:bits",
  share: 10_000,
  open: () => {
    const ends = WHOLE.map(endsOf);
    return (random): FuzzInput => {
      const which = random.below(WHOLE.length), changed = WHOLE[which]!.slice();
      const at = random.below(ends[which]!.at(-1)!.end), { name } = ends[which]!.find(({ end }) => at < end)!;
      changed[at]! ^= 1 << random.below(8);
      return {
        show: () => hex(changed),
        run: () => {
          const error = refusalOf(changed);
          must(error !== null, "a flipped bit is refused");
          if (error instanceof NewerBundleError) {
            return must(name === "manifest.json", "only the manifest has a version");
          }
          must(error.member === name || error.reason.includes(name), `${name} is named: ${error.message}`);
        },
      };
    };
  },
};

const manifest: FuzzTarget = {
  name: "bundle:manifest",
  share: 4_000,
  open: () => (random): FuzzInput => {
    let shown = "";
    const changed = forge({
      members: SOUND_COLLECTED,
      manifest: (text) => shown = decoder.decode(mutate(random, encoder.encode(text))),
    });
    return { show: () => shown, run: () => void holds(changed) };
  },
};

const rows: FuzzTarget = {
  name: "bundle:rows",
  share: 4_000,
  open: () => (random): FuzzInput => {
    const first = random.pick(WITH_ROWS);
    const content = mutate(random, encoder.encode(first.content as string));
    const lines = content.filter((byte) => byte === 10).length;
    const changed = forge({
      members: SOUND_COLLECTED.map((member) =>
        member === first ? { ...first, content, told: { rows: random.oneIn(4) ? random.below(4) : lines } } : member
      ),
    });
    return { show: () => hex(content), run: () => void holds(changed) };
  },
};

export const bundle: readonly FuzzTarget[] = [bytes, bits, manifest, rows];
