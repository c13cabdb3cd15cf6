/**
 * What the collector is told before anything is opened: settings, places, keys, and who it is.
 *
 * @module
 */
import type { Settings } from "../../proto/config.ts";
import type { StateLayout } from "../../proto/state_layout.ts";
import { readToken } from "../files.ts";
import { readHostName } from "../host_name.ts";
import { told } from "../kernel/inheritance.ts";
import { readBootId } from "../kernel/procfs.ts";
import type { SigningKeys } from "../ledger/keys.ts";
import { openSigning } from "../ledger/signing.ts";
import { openRedaction, type RedactionMode } from "../redaction_mode.ts";
import type { Origin } from "../reexec.ts";
import { wantsPtrace } from "../retained.ts";

export interface CollectorInputs {
  readonly settings: Settings;
  readonly layout: StateLayout;
  readonly origin: Origin;
  readonly token: string;
  readonly redaction: RedactionMode;
  /** The ledger's keys, or why there are none. */
  readonly signing: SigningKeys | { readonly fault: string };
  readonly bootId: string;
  readonly host: string;
  /** Whether CAP_SYS_PTRACE is to be kept, and is there. */
  readonly keepsPtrace: boolean;
}

/** Keys are read here as root, where they are root's alone. @throws ConfigError */
export function readInputs(settings: Settings, layout: StateLayout, origin: Origin): CollectorInputs {
  const token = told("the token", () => readToken(layout.token));
  const redaction = openRedaction(settings, layout.redactionKey);
  const { ledgerKey, nextLedgerKey } = layout, signing = openSigning(settings, ledgerKey, nextLedgerKey);
  const bootId = readBootId(), host = told("the host's name", readHostName), keepsPtrace = wantsPtrace(settings);
  return { settings, layout, origin, token, redaction, signing, bootId, host, keepsPtrace };
}
