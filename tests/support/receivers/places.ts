/**
 * Where `deno task receivers` puts log and mail servers for the tests of sinks.
 *
 * @module
 */

/** Where the packages are unpacked. */
export const RECEIVER_ROOT = `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`}/` +
  "daemoneye-receivers";

export const RECEIVER_PROGRAMS = {
  rsyslogd: "usr/sbin/rsyslogd",
  "syslog-ng": "usr/sbin/syslog-ng",
  "smtp-sink": "usr/sbin/smtp-sink",
  lognormalizer: "usr/bin/lognormalizer",
} as const;
export type ReceiverName = keyof typeof RECEIVER_PROGRAMS;
