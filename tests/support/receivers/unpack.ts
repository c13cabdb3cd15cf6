/**
 * `deno task receivers`: unpacks log and mail servers of the distribution for the tests of sinks, without installing them.
 *
 * Installed they would be started, would take the host's logs, and could not stand side by side. So the packages are only
 * unpacked, into a cache directory of the user's; `receivers.ts` runs them from there.
 *
 * @module
 */
import { RECEIVER_ROOT } from "./places.ts";

/** The programs, and libraries of theirs that a small system lacks. */
const PACKAGES = [
  ...["rsyslog", "rsyslog-openssl", "libestr0", "libfastjson4", "liblognorm5", "liblognorm-utils"],
  ...["syslog-ng-core", "libivykis0", "libnet1", "libwrap0", "libjson-c5", "libpcre3", "libglib2.0-0", "libffi8"],
  ...["postfix", "libdb5.3", "libsasl2-2", "libnsl2", "libtirpc3", "libicu72"],
];

function run(directory: string, program: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args, cwd: directory, stdin: "null", stdout: "null" })
    .outputSync();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

const fresh = `${RECEIVER_ROOT}.new`;
Deno.mkdirSync(`${fresh}/packages`, { recursive: true });
run(`${fresh}/packages`, "apt-get", "-q", "download", ...PACKAGES);
for (const { name } of Deno.readDirSync(`${fresh}/packages`)) {
  if (name.endsWith(".deb")) run(fresh, "dpkg-deb", "-x", `packages/${name}`, ".");
}
Deno.removeSync(`${fresh}/packages`, { recursive: true });
try {
  Deno.removeSync(RECEIVER_ROOT, { recursive: true });
} catch (error) {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
Deno.renameSync(fresh, RECEIVER_ROOT);
console.log(`unpacked into ${RECEIVER_ROOT}`);
