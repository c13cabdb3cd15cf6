/**
 * Runs in a browser: verifies a ledger and a proof that the page's server hands out, then mutated ones, and tells the
 * server what came of it. Bundled by tests/e2e/browser_test.ts.
 *
 * @module
 */
import { checkProof, loadHash, MemorySource, parseVkey, verifyLedger } from "../../proto/ledger/mod.ts";

/** What the server hands out: bytes in base64. */
export interface BrowserInput {
  readonly files: Readonly<Record<string, string>>;
  readonly proof: string;
  readonly vkey: string;
  readonly anchor: { readonly size: number; readonly root: string };
  readonly now: number;
}

/** What the browser found. */
export interface BrowserOutcome {
  readonly runtime: string;
  readonly fault: string | null;
  readonly verified: number;
  readonly anchored: number;
  readonly entry: number;
  readonly payload: string;
  /** Mutations that were tried, and those that were not refused. */
  readonly mutated: number;
  readonly accepted: readonly string[];
}

async function judge(input: BrowserInput): Promise<BrowserOutcome> {
  const files = new Map(Object.entries(input.files).map(([name, text]) => [name, Uint8Array.fromBase64(text)]));
  const key = parseVkey(input.vkey), proof = Uint8Array.fromBase64(input.proof), hash = await loadHash("blake3");
  const anchors = [{ size: input.anchor.size, root: Uint8Array.fromHex(input.anchor.root) }];
  const verify = (all: Map<string, Uint8Array>): ReturnType<typeof verifyLedger> =>
    verifyLedger({ source: new MemorySource(all), now: input.now, keys: [key], anchors });
  const verdict = await verify(files), { entry, payload } = await checkProof(proof, [key], hash);
  const accepted: string[] = [];
  let mutated = 0;
  for (const [name, bytes] of files) {
    for (let i = 0; i < 8; i++) {
      const at = Math.floor((i + 0.5) * bytes.length / 8);
      const { fault } = await verify(new Map(files).set(name, bytes.with(at, bytes[at]! ^ 1 << i)));
      mutated += 1;
      if (fault === null) accepted.push(`${name} byte ${at}`);
    }
  }
  for (let at = 0; at < proof.length; at++) {
    mutated += 1;
    try {
      await checkProof(proof.with(at, proof[at]! ^ 1), [key], hash);
      accepted.push(`proof byte ${at}`);
    } catch {
      // as it should be
    }
  }
  return {
    runtime: "Deno" in globalThis ? "Deno" : navigator.userAgent,
    fault: verdict.fault?.message ?? null,
    verified: verdict.verified,
    anchored: verdict.anchored,
    entry: entry.sequence,
    payload: new TextDecoder().decode(payload!.bytes),
    mutated,
    accepted,
  };
}

const outcome = await judge(await (await fetch("/input")).json()).catch((error) => ({ error: String(error?.stack) }));
await fetch("/outcome", { method: "POST", body: JSON.stringify(outcome) });
