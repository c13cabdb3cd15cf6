/**
 * Options of known programs that hold a secret although their name does not say so: `mysql -pSECRET`, `curl -u a:b`.
 *
 * One letter means another thing in every program (`ssh -p 22`, `docker -p 80:80`), so a letter is secret only after
 * the word that names its program.
 *
 * @module
 */

/** Which options of a program hold secrets. Letters are those of short options. */
export interface ProgramRule {
  /** `-xSECRET` only; the word after a bare `-x` is something else. */
  readonly attached?: string;
  /** `-xSECRET` or `-x SECRET`. */
  readonly value?: string;
  /** `-x` as a word of its own, then SECRET; `-xyz` is another option. */
  readonly exact?: string;
  /** `-x NAME:SECRET`, with the separator of each letter. */
  readonly pair?: Readonly<Record<string, string>>;
  /** The same for `--name NAME:SECRET`. */
  readonly longPair?: Readonly<Record<string, string>>;
  /** Letters without a value, that may stand before the others in one word. */
  readonly switches?: string;
  /** Words without dashes that name the next word. */
  readonly keywords?: readonly string[];
  /** Counts only after this word. */
  readonly subcommand?: string;
  /** A switch that makes the last word of the command a secret. */
  readonly lastWordAfter?: string;
  /** A word `USER/SECRET` or `USER/SECRET@PLACE` is a login. */
  readonly slashLogin?: boolean;
  /** Runs another program, whose options are its own: the rule ends with the first secret. */
  readonly runsAnother?: boolean;
  /** `/p:SECRET`. */
  readonly slashOption?: string;
}

const MYSQL: ProgramRule = { attached: "p", switches: "ABbCEfGHijLNnoqrstvwXU" };
const LDAP: ProgramRule = { value: "w", switches: "xZvnCcAMtuLI" };
const MONGO: ProgramRule = { value: "p" };
const SMB: ProgramRule = { pair: { U: "%" }, longPair: { user: "%" } };
const LOGIN: ProgramRule = { value: "p", subcommand: "login" };
const ORACLE: ProgramRule = { slashLogin: true };
const SNMP: ProgramRule = { value: "AXc" };
const GUESSER: ProgramRule = { value: "pH" };
const USER_ADMIN: ProgramRule = { value: "p" };
const SERVER_PASSWORD: ProgramRule = { value: "P" };
const ARCHIVE: ProgramRule = { attached: "p", switches: "h" };
const HTTPIE: ProgramRule = { pair: { a: ":" }, longPair: { auth: ":" } };

/** Rules by the base name of the program. */
export const PROGRAMS: ReadonlyMap<string, ProgramRule> = new Map([
  ...all(MYSQL, "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlslap mysqlbinlog mysqlpump mysqlsh"),
  ...all(MYSQL, "mariadb mariadb-dump mariadb-admin mariadb-import mariadb-show mariadb-check mariadb-slap"),
  ...all(MYSQL, "mariadb-binlog mysql_upgrade mycli xtrabackup mariabackup innobackupex"),
  ...all({ value: "p", runsAnother: true }, "sshpass"),
  ...all({ value: "p" }, "mydumper myloader rdesktop rabbitmqadmin cqlsh ncftp ncftpget ncftpput"),
  ...all(
    {
      pair: { u: ":", U: ":", b: "=", E: ":" },
      longPair: { user: ":", "proxy-user": ":", cookie: "=", cert: ":", "proxy-cert": ":" },
      switches: "0123456afgGiIjJklLnNOpqRsSvVZ#",
    },
    "curl",
  ),
  ...all(HTTPIE, "http https xh"),
  ...all({ value: "a" }, "redis-cli valkey-cli keydb-cli"),
  ...all({ exact: "kK" }, "openssl"),
  ...all(LDAP, "ldapsearch ldapmodify ldapadd ldapdelete ldapmodrdn ldapwhoami ldapcompare ldapexop"),
  ...all({ ...LDAP, value: "wsa" }, "ldappasswd"),
  ...all(SMB, "smbclient rpcclient smbget smbcacls winexe net"),
  ...all(SERVER_PASSWORD, "zip unzip zipcloak sqlcmd bcp osql tsql mosquitto_pub mosquitto_sub mosquitto_rr ipmitool"),
  ...all(ARCHIVE, "7z 7za 7zr 7zz rar unrar"),
  ...all(MONGO, "mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop mongofiles"),
  ...all(ORACLE, "sqlplus sqlldr expdp impdp"),
  ...all(SNMP, "snmpwalk snmpget snmpset snmpbulkwalk snmpbulkget snmpgetnext snmptrap snmpinform"),
  ...all({ slashOption: "p" }, "xfreerdp xfreerdp3 wlfreerdp sdl-freerdp"),
  ...all(USER_ADMIN, "useradd usermod groupadd groupmod"),
  ...all({ value: "NP" }, "ssh-keygen"),
  ...all({ pair: { u: "," } }, "lftp"),
  ...all(LOGIN, "docker podman nerdctl buildah helm oras crane skopeo az oc cf"),
  ...all(GUESSER, "hydra medusa ncrack crackmapexec cme netexec nxc evil-winrm"),
  ...all({ lastWordAfter: "b" }, "htpasswd"),
  ...all({ keywords: ["wifi-sec.psk", "802-11-wireless-security.psk", "password"] }, "nmcli"),
]);

function all(rule: ProgramRule, names: string): [string, ProgramRule][] {
  return names.split(" ").map((name) => [name, rule]);
}
