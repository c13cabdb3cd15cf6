/**
 * Certificates for a test: an authority, and what it signed, good and bad, made by openssl.
 *
 * @module
 */
import { TempDir } from "../../agent/support.ts";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export class Authority implements Disposable {
  readonly #dir = new TempDir();
  readonly ca: string = `${this.#dir.path}/ca.pem`;

  constructor() {
    openssl(
      ...["req", "-x509", ...NEW_KEY, "-keyout", `${this.#dir.path}/ca.key`, "-out", this.ca, "-days", "2"],
      ...["-subj", "/CN=Test authority", "-addext", "basicConstraints=critical,CA:TRUE"],
    );
  }

  /** `names` as in subjectAltName; `days` below 0 for one that has expired. */
  sign(name: string, names = "DNS:localhost,IP:127.0.0.1", days = 2): Certificate {
    const at = (ending: string): string => `${this.#dir.path}/${name}.${ending}`;
    const [cert, key] = [at("pem"), at("key")];
    Deno.writeTextFileSync(at("ext"), `subjectAltName=${names}\n`);
    openssl("req", ...NEW_KEY, "-keyout", key, "-out", at("csr"), "-subj", `/CN=${name}`);
    openssl(
      ...["x509", "-req", "-in", at("csr"), "-CA", this.ca, "-CAkey", `${this.#dir.path}/ca.key`, "-CAcreateserial"],
      ...["-out", cert, "-days", String(days), "-extfile", at("ext")],
    );
    Deno.chmodSync(key, 0o640);
    return { cert, key };
  }

  selfSigned(): Certificate {
    const [cert, key] = [`${this.#dir.path}/self.pem`, `${this.#dir.path}/self.key`];
    openssl(
      ...["req", "-x509", ...NEW_KEY, "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    );
    return { cert, key };
  }

  [Symbol.dispose](): void {
    this.#dir[Symbol.dispose]();
  }
}

/** SHA-256 of a certificate, as people paste it. */
export function fingerprint(cert: string): string {
  return /=([0-9A-F:]+)/.exec(openssl("x509", "-in", cert, "-noout", "-fingerprint", "-sha256"))![1]!;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function openssl(...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command("openssl", { args, stdin: "null" }).outputSync();
  if (!success) throw new Error(`openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
