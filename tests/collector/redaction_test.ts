import assert from "node:assert/strict";
import fc from "fast-check";
import { joinArgv, splitArgv } from "../../proto/argv.ts";
import { redactArgv, redactThoroughly } from "../../collector/redaction.ts";

const R = "[REDACTED]";
const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
const GITHUB = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
const SLACK = "xoxb-123456789012-abcdefghijkl";
const PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nq83vq83v\n-----END RSA PRIVATE KEY-----";

/** Arguments, and what must be left of them. */
const MASKED: readonly (readonly [string[], string[]])[] = [
  // Options with a separate value.
  [["app", "--password", "secret123", "--verbose"], ["app", "--password", R, "--verbose"]],
  [["app", "--password", "a1", "--token", "b2"], ["app", "--password", R, "--token", R]],
  [["app", "--PASSWORD", "x1"], ["app", "--PASSWORD", R]],
  [["app", "--Api-Key", "x1"], ["app", "--Api-Key", R]],
  [["app", "--api-key", "k"], ["app", "--api-key", R]],
  [["app", "--api_key", "k"], ["app", "--api_key", R]],
  [["app", "--apikey", "k"], ["app", "--apikey", R]],
  [["app", "--apiKey", "k"], ["app", "--apiKey", R]],
  [["app", "--secret", "s"], ["app", "--secret", R]],
  [["app", "--client-secret", "s"], ["app", "--client-secret", R]],
  [["app", "--access-key", "AKIAIOSFODNN7EXAMPLE"], ["app", "--access-key", R]],
  [["app", "--private-key", "MIIE"], ["app", "--private-key", R]],
  [["app", "--auth-token", "t"], ["app", "--auth-token", R]],
  [["app", "--passphrase", "p q"], ["app", "--passphrase", R]],
  [["app", "-password", "x1"], ["app", "-password", R]],
  [["app", "--password", "-dash"], ["app", "--password", R]],
  [["app", "--password", "--token", "t"], ["app", "--password", "--token", R]],
  [["keytool", "-storepass", "changeit", "-keypass", "c2"], ["keytool", "-storepass", R, "-keypass", R]],
  [["plink", "-pw", "hunter2", "host"], ["plink", "-pw", R, "host"]],
  // Options with their value attached.
  [["app", "--password=hunter2"], ["app", `--password=${R}`]],
  [["app", "--api-key=k=1&2"], ["app", `--api-key=${R}`]],
  [["app", "--db-password=a b;c"], ["app", `--db-password=${R}`]],
  [["java", "-Djavax.net.ssl.keyStorePassword=changeit", "-jar", "a"], [
    "java",
    `-Djavax.net.ssl.keyStorePassword=${R}`,
    "-jar",
    "a",
  ]],
  [["app", "--token=tok"], ["app", `--token=${R}`]],
  // Assignments.
  [["env", "PGPASSWORD=x", "psql", "-p", "5432"], ["env", `PGPASSWORD=${R}`, "psql", "-p", "5432"]],
  [["env", "DB_PASSWORD=p w"], ["env", `DB_PASSWORD=${R}`]],
  [["env", "API_KEY=sk-1"], ["env", `API_KEY=${R}`]],
  [["env", "AUTH_TOKEN=1"], ["env", `AUTH_TOKEN=${R}`]],
  [["env", "AWS_SECRET_ACCESS_KEY=wJalr/XUtnFEMI"], ["env", `AWS_SECRET_ACCESS_KEY=${R}`]],
  [["env", "GITHUB_TOKEN=1", "ENCRYPTION_KEY=2"], ["env", `GITHUB_TOKEN=${R}`, `ENCRYPTION_KEY=${R}`]],
  [["env", "my_secret_value=3"], ["env", `my_secret_value=${R}`]],
  [["env", "PASSWORD_1=x", "password2=y"], ["env", `PASSWORD_1=${R}`, `password2=${R}`]],
  [["env", "AUTH=x", "CREDENTIALS=y"], ["env", `AUTH=${R}`, `CREDENTIALS=${R}`]],
  [["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=x", "-p", "80:80", "db"], [
    "docker",
    "run",
    "-e",
    `MYSQL_ROOT_PASSWORD=${R}`,
    "-p",
    "80:80",
    "db",
  ]],
  // Short options of programs.
  [["mysql", "-uroot", "-phunter2"], ["mysql", "-uroot", `-p${R}`]],
  [["/usr/bin/mysqldump", "-pSecretPassword123", "db"], ["/usr/bin/mysqldump", `-p${R}`, "db"]],
  [["sudo", "mariadb", "-Bphunter2"], ["sudo", "mariadb", `-Bp${R}`]],
  [["mysqladmin", "-p", "status"], ["mysqladmin", "-p", "status"]],
  [["sshpass", "-p", "x1", "ssh", "-p", "22", "h"], ["sshpass", "-p", R, "ssh", "-p", "22", "h"]],
  [["sshpass", "-px1", "ssh", "h"], ["sshpass", `-p${R}`, "ssh", "h"]],
  [["curl", "-u", "user:pass", "http://h/"], ["curl", "-u", `user:${R}`, "http://h/"]],
  [["curl", "-uuser:pass"], ["curl", `-uuser:${R}`]],
  [["curl", "-sSu", "user:pa:ss"], ["curl", "-sSu", `user:${R}`]],
  [["curl", "--user", "user:pass"], ["curl", "--user", `user:${R}`]],
  [["curl", "--user=user:pass"], ["curl", `--user=user:${R}`]],
  [["curl", "--proxy-user", "u:p"], ["curl", "--proxy-user", `u:${R}`]],
  [["curl", "-b", "SID=abc; B=c", "h"], ["curl", "-b", `SID=${R}`, "h"]],
  [["curl", "--oauth2-bearer", "t"], ["curl", "--oauth2-bearer", R]],
  [["wget", "--user", "u", "--password", "p1"], ["wget", "--user", "u", "--password", R]],
  [["wget", "--http-password=p1"], ["wget", `--http-password=${R}`]],
  [["redis-cli", "-a", "x1", "ping"], ["redis-cli", "-a", R, "ping"]],
  [["openssl", "rsa", "-passin", "pass:x1", "-in", "k"], ["openssl", "rsa", "-passin", `pass:${R}`, "-in", "k"]],
  [["openssl", "enc", "-k", "x1"], ["openssl", "enc", "-k", R]],
  [["ldapsearch", "-xw", "x1"], ["ldapsearch", "-xw", R]],
  [["smbclient", "//h/s", "-U", "bob%x1"], ["smbclient", "//h/s", "-U", `bob%${R}`]],
  [["zip", "-P", "x1", "a.zip"], ["zip", "-P", R, "a.zip"]],
  [["7z", "a", "-px1", "a.7z"], ["7z", "a", `-p${R}`, "a.7z"]],
  [["rar", "a", "-hpx1"], ["rar", "a", `-hp${R}`]],
  [["mongo", "-u", "a", "-p", "x1"], ["mongo", "-u", "a", "-p", R]],
  [["docker", "login", "-u", "a", "-p", "x1", "reg"], ["docker", "login", "-u", "a", "-p", R, "reg"]],
  [["sqlplus", "scott/tiger@orcl"], ["sqlplus", `scott/${R}@orcl`]],
  [["xfreerdp", "/u:bob", "/p:x1"], ["xfreerdp", "/u:bob", `/p:${R}`]],
  [["useradd", "-p", "$6$x", "bob"], ["useradd", "-p", R, "bob"]],
  [["ssh-keygen", "-N", "x1", "-f", "k"], ["ssh-keygen", "-N", R, "-f", "k"]],
  [["htpasswd", "-bc", "file", "bob", "x1"], ["htpasswd", "-bc", "file", "bob", R]],
  [["nmcli", "dev", "wifi", "connect", "n", "password", "x1"], [
    "nmcli",
    "dev",
    "wifi",
    "connect",
    "n",
    "password",
    R,
  ]],
  [["aws", "configure", "set", "aws_secret_access_key", "x1"], [
    "aws",
    "configure",
    "set",
    "aws_secret_access_key",
    R,
  ]],
  [["sh", "-c", "sshpass -p x1 ssh -p 22 h"], ["sh", "-c", `sshpass -p ${R} ssh -p 22 h`]],
  // Headers.
  [["curl", "-HAuthorization: Bearer abc"], ["curl", `-HAuthorization: Bearer ${R}`]],
  [["curl", "-HX-Api-Key:abc"], ["curl", `-HX-Api-Key:${R}`]],
  [["curl", "-H", "Authorization: Bearer abc def"], ["curl", "-H", `Authorization: Bearer ${R}`]],
  [["curl", "-H", "authorization: Basic dTpw"], ["curl", "-H", `authorization: Basic ${R}`]],
  [["curl", "-H", "Proxy-Authorization: x1"], ["curl", "-H", `Proxy-Authorization: ${R}`]],
  [["curl", "-H", "X-Api-Key: k1"], ["curl", "-H", `X-Api-Key: ${R}`]],
  [["curl", "-H", "PRIVATE-TOKEN: k1"], ["curl", "-H", `PRIVATE-TOKEN: ${R}`]],
  [["curl", "-H", "Cookie: a=b; c=d"], ["curl", "-H", `Cookie: ${R}`]],
  [["wget", "--header=Authorization: Bearer abc"], ["wget", `--header=Authorization: Bearer ${R}`]],
  [["http", "h", "X-Auth-Token:abc"], ["http", "h", `X-Auth-Token:${R}`]],
  [["curl", "-H", "Authorization:", "Bearer", "abc"], ["curl", "-H", "Authorization:", "Bearer", R]],
  [["app", "Bearer x"], ["app", `Bearer ${R}`]],
  [["nc", "GET / HTTP/1.1\r\nAuthorization: Basic dTpw\r\nHost: h\r\n"], [
    "nc",
    `GET / HTTP/1.1\r\nAuthorization: Basic ${R}\r\nHost: h\r\n`,
  ]],
  // URLs.
  [["git", "clone", "https://bob:hunter2@h.example/r.git"], ["git", "clone", `https://bob:${R}@h.example/r.git`]],
  [["git", "clone", "https://:hunter2@h/r"], ["git", "clone", `https://:${R}@h/r`]],
  [["git", "clone", "https://abcdef0123456789abcd@h/r"], ["git", "clone", `https://${R}@h/r`]],
  [["psql", "postgres://u:p@ss@h:5432/db"], ["psql", `postgres://u:${R}@h:5432/db`]],
  [["psql", "postgres://u:pa/ss@h:5432/db"], ["psql", `postgres://u:${R}@h:5432/db`]],
  [["app", "DATABASE_URL=redis://:x1@h/0"], ["app", `DATABASE_URL=redis://:${R}@h/0`]],
  [["curl", "https://h/cb?a=1&access_token=abc&b=2"], ["curl", `https://h/cb?a=1&access_token=${R}&b=2`]],
  [["curl", "https://h/b?se=1&sig=abc%3D"], ["curl", `https://h/b?se=1&sig=${R}`]],
  // Logins without a scheme.
  [["curl", "-x", "bob:hunter2@proxy.example:8080"], ["curl", "-x", `bob:${R}@proxy.example:8080`]],
  [["pip", "--proxy=bob:hunter2@10.0.0.1:3128"], ["pip", `--proxy=bob:${R}@10.0.0.1:3128`]],
  [["app", "bob:hunter2@10.0.0.1"], ["app", `bob:${R}@10.0.0.1`]],
  [["app", "bob:p@ss@localhost"], ["app", `bob:${R}@localhost`]],
  [["app", "-dsn", "bob:hunter2@tcp(127.0.0.1:3306)/db"], ["app", "-dsn", `bob:${R}@tcp(127.0.0.1:3306)/db`]],
  // Assignments inside an argument.
  [["kubectl", "create", "secret", "generic", "s", "--from-literal=password=a,b&c"], [
    "kubectl",
    "create",
    "secret",
    "generic",
    "s",
    `--from-literal=password=${R}`,
  ]],
  [["git", "-c", "http.https://h/.extraheader=AUTHORIZATION: basic abc", "fetch"], [
    "git",
    "-c",
    `http.https://h/.extraheader=AUTHORIZATION: basic ${R}`,
    "fetch",
  ]],
  [["helm", "install", "--set", "auth.rootPassword=b1,x=y"], [
    "helm",
    "install",
    "--set",
    `auth.rootPassword=${R}`,
  ]],
  [["curl", "-d", "user=a&password=b1&x=y"], ["curl", "-d", `user=a&password=${R}&x=y`]],
  [["curl", "-d", `{"user":"a","password":"b1 c","n":1}`], ["curl", "-d", `{"user":"a","password":"${R}","n":1}`]],
  [["curl", "-d", `{ "client_secret" : "b\\"1" }`], ["curl", "-d", `{ "client_secret" : "${R}" }`]],
  [["psql", "host=h user=u password=p1 port=5"], ["psql", `host=h user=u password=${R} port=5`]],
  [["mount", "-o", "username=a,password=b1,rw"], ["mount", "-o", `username=a,password=${R},rw`]],
  [["psql", "-c", "ALTER USER a WITH PASSWORD 'b1 c'"], ["psql", "-c", `ALTER USER a WITH PASSWORD '${R}'`]],
  [["mysql", "-e", "CREATE USER a IDENTIFIED BY 'b1'"], ["mysql", "-e", `CREATE USER a IDENTIFIED BY '${R}'`]],
  [["python3", "-c", `password = "hunter2"\nprint(1)`], ["python3", "-c", `password = "${R}"\nprint(1)`]],
  [["sh", "-c", "cat > c.yml\npassword: hunter2\nport: 1\n"], ["sh", "-c", `cat > c.yml\npassword: ${R}\nport: 1\n`]],
  // Tokens by shape.
  [["app", GITHUB], ["app", R]],
  [["app", `x=${GITHUB}`], ["app", `x=${R}`]],
  [["app", JWT], ["app", R]],
  [["app", SLACK, "AKIAIOSFODNN7EXAMPLE"], ["app", R, R]],
  [["app", "sk-proj-abcdefghij0123456789"], ["app", R]],
  [["app", PEM], ["app", `-----BEGIN RSA PRIVATE KEY-----${R}-----END RSA PRIVATE KEY-----`]],
  // Shells.
  [["sh", "-c", "mysql -phunter2 db"], ["sh", "-c", `mysql -p${R} db`]],
  [["bash", "-lc", "cd /x && mysql -u root -p'hunter 2' < a.sql"], [
    "bash",
    "-lc",
    `cd /x && mysql -u root -p'${R}' < a.sql`,
  ]],
  [["sh", "-c", "TOKEN=abc; curl -u a:b1 http://h/"], ["sh", "-c", `TOKEN=${R}; curl -u a:${R} http://h/`]],
  [["sh", "-c", "app --password 'a b' --port 1"], ["sh", "-c", `app --password '${R}' --port 1`]],
  [["sh", "-c", `ssh h 'mysql -p"hunter2" x'`], ["sh", "-c", `ssh h 'mysql -p"${R}" x'`]],
  [["sh", "-c", `curl -H "Authorization: Bearer abc" http://h/ | sh`], [
    "sh",
    "-c",
    `curl -H "Authorization: Bearer ${R}" http://h/ | sh`,
  ]],
  [["sh", "-c", "true\nsshpass -p x1 ssh h\n"], ["sh", "-c", `true\nsshpass -p ${R} ssh h\n`]],
  [["ssh", "h", "mysql -phunter2"], ["ssh", "h", `mysql -p${R}`]],
  [["sh", "-c", "Cookie: x; evil now"], ["sh", "-c", `Cookie: ${R} evil now`]],
];

/** Arguments that must come back as the same array. */
const UNTOUCHED: readonly string[][] = [
  ["ssh", "-p", "8080", "host"],
  ["nmap", "-p", "8080", "h"],
  ["nmap", "-p3306", "mysql-host"],
  ["docker", "run", "-p", "8080:80", "nginx"],
  ["docker", "run", "--name", "mysql", "-p", "3306:3306", "mysql:8"],
  ["docker", "run", "--name", "mongo", "-p", "27017:27017", "mongo"],
  ["docker", "run", "-p", "127.0.0.1:80:80/tcp", "--user", "1000:1000", "x"],
  ["app", "keyboard"],
  ["app", "password_reset_form"],
  ["app", "my_token_count"],
  ["app", "my_token_count=5"],
  ["app", "secret_garden"],
  ["app", "/path/to/keystore"],
  ["app", "--output=file"],
  ["app", "--tokenizer", "bert"],
  ["app", "--tokenizer=bert"],
  ["app", "--max-tokens", "100"],
  ["app", "--passive", "x"],
  ["app", "--compass=north"],
  ["git", "commit", "-m", "fix password page"],
  ["git", "commit", "-m", "rotate the token (see secret docs)"],
  ["app", "--password"],
  ["app", "--password="],
  ["app", "--password-file", "/run/secrets/db"],
  ["ansible", "--ask-pass", "host"],
  ["gh", "auth", "login", "--with-token", "x"],
  ["ssh", "-o", "PasswordAuthentication=no", "h"],
  ["env", "HOME=/root", "PATH=/bin", "LANG=C", "PWD=/tmp", "GIT_AUTHOR_NAME=Bob", "SSH_AUTH_SOCK=/run/s"],
  ["Xorg", ":0", "-auth", "/run/lightdm/root/:0"],
  ["curl", "http://host:8080/@scope/pkg"],
  ["git", "clone", "ssh://git@h/r.git"],
  ["git", "clone", "https://bob@h/r.git"],
  ["curl", "--key", "client.pem", "--cacert", "ca.pem", "https://h/"],
  ["docker", "run", "-v", "/run/secret:/run/secret:ro", "x"],
  ["app", "/dev/disk/by-id/disk-abcdefghijklmnopqrstuvwxyz"],
  ["sh", "-c", "read -p 'Enter password: ' x; echo done"],
  ["openssl", "rsa", "-passin", "file:/x", "-in", "k"],
  ["app", "the bearer of bad news"],
  ["mysql", "-u", "root", "-h", "db", "-P", "3306"],
  ["7z", "x", "a.7z"],
  ["ffmpeg", "-i", "a.mkv", "-pass", "1", "b.mkv"],
  ["kubelet", "--authentication-token-webhook=true", "--tls-private-key-file=/x", "--authorization-mode=Webhook"],
  ["git", "-c", "credential.helper=store", "fetch"],
  ["chrome", "--type=renderer", "--password-store=basic", "--field-trial-handle=0,i,12,5678,262144"],
  ["docker", "pull", "nginx:1.27@sha256:0123456789abcdef0123456789abcdef"],
  ["deno", "run", "npm:typescript@5.4.2", "npm:esbuild@next.example"],
  ["ssh", "bob@host.example", "uptime"],
  ["rsync", "-e", "ssh -p 2222", "src", "bob@host.example:/path"],
  ["/usr/libexec/gnome-keyring-daemon", "--start", "--components=pkcs11,secrets"],
  ["/lib/systemd/systemd", "--switched-root", "--system", "--deserialize", "31"],
  ["agetty", "-o", "-p -- \\u", "--noclear", "-", "linux"],
  ["aws", "s3", "cp", "s3://secret-bucket/token.txt", "."],
  ["ssh-keygen", "-N", ""],
  ["app", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"],
  ["app", "bypass=1", "surpass=2"],
  [],
  [""],
];

Deno.test("redactArgv() masks secrets and nothing else", () => {
  for (const [given, wanted] of MASKED) {
    const { argv, masked } = redactArgv(joinArgv(given));
    assert.deepEqual(splitArgv(argv), wanted, `of ${JSON.stringify(given)}`);
    const count = wanted.join("\0").split(R).length - 1;
    assert.equal(masked, count, `count of ${JSON.stringify(given)}`);
  }
});

Deno.test("redactArgv() gives the same array back when nothing is secret", () => {
  for (const given of UNTOUCHED) {
    const bytes = joinArgv(given);
    const { argv, masked } = redactArgv(bytes);
    assert.deepEqual(splitArgv(argv), given);
    assert.equal(argv, bytes);
    assert.equal(masked, 0);
  }
});

Deno.test("redactArgv() masks secrets that a cut argument ends within", () => {
  const cut = (text: string): Uint8Array => joinArgv(text.split("\0")).subarray(0, -1);
  const cases = [
    ["app\0--password\0hun", `app\0--password\0${R}`],
    ["app\0--password=hun", `app\0--password=${R}`],
    ["mysql\0-phun", `mysql\0-p${R}`],
    ["curl\0-u\0bob:hun", `curl\0-u\0bob:${R}`],
    ["psql\0postgres://bob:hun", `psql\0postgres://bob:${R}`],
    ["psql\0postgres://bob:12", `psql\0postgres://bob:${R}`],
    ["app\0AKIAIOS", `app\0${R}`],
    ["app\0ghp_abc", `app\0${R}`],
    ["app\0eyJhbGci", `app\0${R}`],
    ["app\0-----BEGIN PRIVATE KEY-----\nMII", `app\0-----BEGIN PRIVATE KEY-----${R}`],
    [`sh\0-c\0mysql -p'hun`, `sh\0-c\0mysql -p'${R}`],
    [`curl\0-d\0{"password":"hun`, `curl\0-d\0{"password":"${R}`],
  ] as const;
  for (const [given, wanted] of cases) {
    const { argv } = redactArgv(cut(given));
    assert.equal(new TextDecoder().decode(argv), wanted);
  }
});

Deno.test("redactArgv() keeps every byte outside of what it masks", () => {
  const given = [0xff, 0xfe, 0x80, 0, ...new TextEncoder().encode("--token="), 0xc3, 0x28, 0, 0xed, 0xa0, 0x80, 0];
  const wanted = [0xff, 0xfe, 0x80, 0, ...new TextEncoder().encode(`--token=${R}`), 0, 0xed, 0xa0, 0x80, 0];
  assert.deepEqual([...redactArgv(Uint8Array.from(given)).argv], wanted);
});

/** Ways to give a secret, as functions from the secret to arguments. */
const PLANTS: readonly ((secret: string) => string[])[] = [
  (s) => ["app", "--password", s],
  (s) => ["app", `--password=${s}`],
  (s) => ["app", "--token", s, "x"],
  (s) => ["app", `--api-key=${s}`],
  (s) => ["app", "--access-key", s],
  (s) => ["app", "--private-key", s],
  (s) => ["app", `--db-password=${s}`],
  (s) => ["env", `PGPASSWORD=${s}`, "psql"],
  (s) => ["env", `MY_SECRET=${s}`],
  (s) => ["mysql", "-u", "root", `-p${s}`],
  (s) => ["sshpass", "-p", s, "ssh", "h"],
  (s) => ["curl", "-u", `bob:${s}`, "http://h/"],
  (s) => ["curl", "-H", `Authorization: Bearer ${s}`],
  (s) => ["curl", "-H", `X-Api-Key: ${s}`],
  (s) => ["redis-cli", "-a", s],
  (s) => ["openssl", "rsa", "-passin", `pass:${s}`],
  (s) => ["sh", "-c", `mysql -u root -p${quoted(s)} db`],
  (s) => ["sh", "-c", `app --password ${quoted(s)}`],
  (s) => ["bash", "-c", `curl -u ${quoted(`bob:${s}`)} http://h/ && true`],
  (s) => ["sh", "-c", `ssh h ${quoted(`DB_PASSWORD=${quoted(s)} app`)}`],
];

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

Deno.test("redactArgv() lets no secret survive that stands where secrets stand", () => {
  const secrets = fc.string({ minLength: 6, maxLength: 40, unit: "binary-ascii" })
    .map((text) => `Zq7${text.replaceAll("\0", "")}`)
    .filter((text) => !/[\r\n]/.test(text));
  fc.assert(
    fc.property(fc.constantFrom(...PLANTS), secrets, (plant, secret) => {
      const argv = new TextDecoder().decode(redactArgv(joinArgv(plant(secret))).argv);
      assert.ok(!argv.includes(secret), `${JSON.stringify(argv)} holds ${JSON.stringify(secret)}`);
      assert.ok(!argv.includes("Zq7"), `${JSON.stringify(argv)} holds the begin of ${JSON.stringify(secret)}`);
    }),
    { numRuns: 5_000 },
  );
});

/** Pieces that hostile arguments are made of. */
const FRAGMENTS = [
  ..."'\"\\ \n\t;&|()<>`$=:/@-_.,?#{}[]",
  ...[
    "\0",
    "--password",
    "password",
    "token=",
    "mysql",
    "-p",
    "curl",
    "-u",
    "a:b",
    "://",
    "u:p@h",
    "Bearer",
    "eyJ",
    ".",
  ],
  ...[
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----",
    "-----END",
    "Authorization:",
    "sk-",
    "AKIA",
    "sh",
    "-c",
    "x1",
    "é",
    "\xff",
  ],
  ...[
    "openssl",
    "htpasswd",
    "-b",
    "docker",
    "login",
    "set",
    "zip",
    "-P",
    "cookie",
    "by",
    "identified ",
    "sig=",
    "sqlplus",
  ],
];
const hostile = fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 60 })
  .map((parts) => new TextEncoder().encode(parts.join("")));

Deno.test("redactArgv() never throws and changes only what it masks, whatever the bytes", () => {
  const bytes = fc.oneof(hostile, fc.uint8Array({ maxLength: 300 }));
  fc.assert(
    fc.property(bytes, (argv) => {
      const before = argv.slice();
      const result = redactArgv(argv);
      assert.deepEqual(argv, before);
      const text = latin1(result.argv), original = latin1(argv);
      // What is left between the masks stands in the original, in the same order.
      let at = 0;
      for (const kept of text.split(R)) {
        const found = original.indexOf(kept, at);
        assert.ok(found >= 0, `${JSON.stringify(text)} of ${JSON.stringify(original)}`);
        at = found + kept.length;
      }
      assert.equal(result.masked === 0, result.argv === argv);
      assert.equal(original.split("\0").length, text.split("\0").length);
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("the precheck of redactArgv() overlooks nothing that the thorough way masks", () => {
  fc.assert(
    fc.property(hostile, (argv) => {
      assert.deepEqual(redactArgv(argv), redactThoroughly(argv));
    }),
    { numRuns: 10_000 },
  );
  for (const given of [...MASKED.map(([given]) => given), ...UNTOUCHED]) {
    assert.deepEqual(redactArgv(joinArgv(given)), redactThoroughly(joinArgv(given)));
  }
});

Deno.test("redactArgv() takes time in proportion to its input", () => {
  const unit = [
    "a=",
    "password=",
    "password='",
    "token: ",
    "'",
    '"',
    "\\",
    "://",
    "://a:b/",
    "u:p@",
    "-----BEGIN ",
    "eyJ-",
    "eyJ.",
    "sk-",
    "Bearer ",
    "--password ",
    "mysql -p",
    "sh -c '",
    "a\\ ",
    "Authorization: ",
    "\n",
    "x",
    "-",
    "password \t",
    "-----BEGIN PRIVATE KEY-----",
    "$(",
    "\0",
    "--token\0",
    "mysql\0",
    "by '",
    "AKIA-",
    "curl -u ",
    "@",
    "a:b@h.x ",
    "a:b@",
    "password:password:",
  ];
  for (const text of unit) {
    // Compared by the work of a doubled input, with room for noise: quadratic work would be sixteen times as much.
    const small = "password " + text.repeat(Math.ceil(16_384 / text.length));
    const large = "password " + text.repeat(Math.ceil(65_536 / text.length));
    const cost = (input: string): number => {
      const bytes = new TextEncoder().encode(input);
      let best = Infinity;
      for (let i = 0; i < 4; i++) {
        const start = performance.now();
        redactArgv(bytes);
        best = Math.min(best, performance.now() - start);
      }
      return best;
    };
    const base = cost(small), grown = cost(large);
    assert.ok(grown < base * 12 + 20, `${JSON.stringify(text)}: ${base} ms, four times as much ${grown} ms`);
  }
});

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
