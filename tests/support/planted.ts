/**
 * Two hundred secrets as people give them to programs, and two hundred innocent arguments that look a little like them.
 *
 * @module
 */

/** A secret in its place: in the arguments of a program, and in a variable of its environment. */
export interface Plant {
  /** What must be found nowhere. Its first and last eight characters must not either. */
  readonly core: string;
  readonly args: readonly string[];
  /** `NAME=value`. */
  readonly variable: string;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Twenty forms of secrets, each from random characters to where it stands. */
const SHAPES: readonly ((core: string) => Omit<Plant, "core">)[] = [
  (s) => ({ args: ["app", "--password", s], variable: `DB_PASSWORD=${s}` }),
  (s) => ({ args: ["app", `--password=${s}`], variable: `MYSQL_PWD=${s}` }),
  (s) => ({ args: ["app", "--token", s, "--verbose"], variable: `AUTH_TOKEN=${s}` }),
  (s) => ({ args: ["app", `--api-key=${s}`], variable: `API_KEY=${s}` }),
  (s) => ({ args: ["app", "--access-key", s], variable: `AWS_SECRET_ACCESS_KEY=${s}` }),
  (s) => ({ args: ["app", `--db-password=${s}`], variable: `my_secret_value=${s}` }),
  (s) => ({ args: ["app", "--private-key", s], variable: `ENCRYPTION_KEY=${s}` }),
  (s) => ({ args: ["mysql", "-uroot", `-p${s}`, "db"], variable: `SUDO_COMMAND=/usr/bin/mysql -uroot -p${s} db` }),
  (s) => ({ args: ["curl", "-u", `bob:${s}`, "http://h/"], variable: `PROMPT_COMMAND=curl -su bob:${s} http://h/` }),
  (s) => ({
    args: ["curl", "-H", `Authorization: Bearer ${s}`, "http://h/"],
    variable: `SSH_ORIGINAL_COMMAND=curl -H 'Authorization: Bearer ${s}' http://h/`,
  }),
  (s) => ({ args: ["curl", "-H", `X-Api-Key: ${s}`], variable: `SSH_ORIGINAL_COMMAND=curl -H "X-Api-Key: ${s}" h` }),
  (s) => ({ args: ["psql", `postgres://app:${s}@db:5432/app`], variable: `DATABASE_URL=postgres://app:${s}@db/app` }),
  (s) => ({ args: ["git", "clone", `https://bob:${s}@h/r.git`], variable: `HTTPS_PROXY=http://bob:${s}@proxy:3128` }),
  (s) => ({ args: ["app", `ghp_${s}abcdefghijkl`], variable: `LD_X=ghp_${s}abcdefghijkl` }),
  (s) => ({ args: ["app", `sk-proj-1${s}`], variable: `PYTHONPATH=sk-proj-1${s}` }),
  (s) => ({ args: ["app", `xoxb-12345678-${s}`], variable: `PERL5LIB=xoxb-12345678-${s}` }),
  (s) => ({
    args: ["app", `eyJhbGciOiJIUzI1NiJ9.${s}.${s}`],
    variable: `RUBYOPT=eyJhbGciOiJIUzI1NiJ9.${s}.${s}`,
  }),
  (s) => ({
    args: ["app", `-----BEGIN RSA PRIVATE KEY-----\n${s}\n${s}\n-----END RSA PRIVATE KEY-----`],
    variable: `LD_KEY=-----BEGIN PRIVATE KEY-----\n${s}\n-----END PRIVATE KEY-----`,
  }),
  (s) => ({
    args: ["sh", "-c", `true; DB_PASSWORD='${s}' app`],
    variable: `SSH_ORIGINAL_COMMAND=sh -c "app --password '${s}'"`,
  }),
  (s) => ({
    args: ["curl", "-d", `{"user":"bob","password":"${s}"}`, "http://h/"],
    variable: `JAVA_TOOL_OPTIONS=-Dx=1 -Djavax.net.ssl.keyStorePassword=${s} -Dy=2`,
  }),
];

/** Ten secrets of each form, new ones at each call. */
export function plantSecrets(): Plant[] {
  return SHAPES.flatMap((shape, index) =>
    Array.from({ length: 10 }, () => {
      const core = random(index === 6 ? CAPITALS : ALPHABET, 24);
      return { core, ...shape(core) };
    })
  );
}

/** Two hundred argument lists, some of one word, that must come through as they are. */
export function innocentArguments(): string[][] {
  return [
    ...ten((i) => ["ssh", "-p", String(2_200 + i), "bob@host.example"]),
    ...ten((i) => ["docker", "run", "-p", `${8_000 + i}:80`, "nginx"]),
    ...ten((i) => ["nmap", "-p", `${i}-1024`, "10.0.0.1"]),
    ...ten((i) => ["psql", "-p", String(5_432 + i), "-U", "app", "-h", "db"]),
    ...ten(() => ["git", "show", random("0123456789abcdef", 40)]),
    ...ten(() => ["git", "log", `${random("0123456789abcdef", 12)}..${random("0123456789abcdef", 12)}`]),
    ...ten(() => ["job", crypto.randomUUID()]),
    ...ten(() => ["app", "--request-id", crypto.randomUUID(), `--trace=${random("0123456789abcdef", 32)}`]),
    ...ten(() => ["docker", "pull", `nginx@sha256:${random("0123456789abcdef", 64)}`]),
    ...ten((i) => ["cat", `/path/to/keystore/${i}/secret_garden/token.txt`]),
    ...ten((i) => ["make", "-j", String(i), `TARGET=keyboard-${i}`]),
    ...ten((i) => ["rsync", "-a", "-e", `ssh -p ${22 + i}`, "src/", "bob@host.example:/backup"]),
    ...ten((i) => ["convert", `data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUA${random(ALPHABET, 40)}`, `${i}.png`]),
    ...ten((i) => ["sh", "-c", `cd /srv/app${i} && ./run --port ${8_000 + i} > log 2>&1`]),
    ...ten((i) => ["grep", "-rn", ["passwd", "secret", "token", "auth", "key"][i % 5]!, `src${i}`]),
    ...ten((
      i,
    ) => ["app", ["a b", "ü", "$(x)", "`x`", "; rm -rf /", "../../x", "%s%n", "\u202e\u200b", "' OR 1=1", "\\"][i]!]),
    ...SWITCHES.map((one) => ["app", ...one.split(" ")]),
    ...WORDS.map((word) => ["app", word]),
    ...COMMANDS.map((one) => one.split(" ")),
    ...SENTENCES.map((sentence) => ["git", "commit", "-m", sentence]),
  ];
}

const SWITCHES = [
  "--keepalive 30",
  "--keep-alive=30",
  "--max-tokens 4096",
  "--tokenizer bert",
  "--password-file /run/secrets/db",
  "--no-password",
  "--secret-name db",
  "--key-type rsa",
  "--auth-type basic",
  "--token-ttl=3600",
];
const WORDS = [
  "keyboard",
  "password_reset_form",
  "my_token_count",
  "my_token_count=5",
  "secret_garden",
  "/path/to/keystore",
  "monkey.png",
  "authors.csv",
  "compass=north",
  "--passive",
];
const COMMANDS = [
  "mysql -u root -h db -P 3306",
  "curl --key client.pem --cacert ca.pem https://h/",
  "openssl req -newkey rsa:4096 -nodes -keyout k.pem",
  "ssh-keygen -t ed25519 -f id",
  "ssh-add /home/bob/.ssh/id_ed25519",
  "kubectl get secret db -o yaml",
  "vault token lookup",
  "systemctl restart systemd-ask-password-wall",
  "apt-key list",
  "tar -xpf a.tar",
];
const SENTENCES = [
  "fix password page",
  "rotate the token (see secret docs)",
  "the bearer of bad news",
  "explain the authorization roles",
  "add keyboard shortcuts",
  "pass the salt",
  "cookie banner",
  "no secret here",
  "key takeaways",
  "tokens are counted",
];

function ten(make: (index: number) => string[]): string[][] {
  return Array.from({ length: 10 }, (_, index) => make(index));
}

function random(alphabet: string, length: number): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(length)), (n) => alphabet[n % alphabet.length]).join("");
}
