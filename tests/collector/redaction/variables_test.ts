import assert from "node:assert/strict";
import { redactVariable } from "../../../collector/redaction.ts";

const R = "[REDACTED]";
const GITHUB = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";

/** Variables, and what must be left of them. */
const MASKED: readonly (readonly [string, string])[] = [
  // By name: the pairs of the reference's sanitizer.
  ["DB_PASSWORD=p w", `DB_PASSWORD=${R}`],
  ["API_KEY=k", `API_KEY=${R}`],
  ["AUTH_TOKEN=1", `AUTH_TOKEN=${R}`],
  ["AWS_SECRET_ACCESS_KEY=wJalr/XUtnFEMI", `AWS_SECRET_ACCESS_KEY=${R}`],
  ["GITHUB_TOKEN=1", `GITHUB_TOKEN=${R}`],
  ["ENCRYPTION_KEY=2", `ENCRYPTION_KEY=${R}`],
  ["my_secret_value=3", `my_secret_value=${R}`],
  ["PGPASSWORD=x", `PGPASSWORD=${R}`],
  ["LD_PASSWORD=x y z", `LD_PASSWORD=${R}`],
  ["PWD=hunter2", `PWD=${R}`],
  // By value.
  ["HTTP_PROXY=http://bob:hunter2@proxy:3128", `HTTP_PROXY=http://bob:${R}@proxy:3128`],
  ["https_proxy=bob:hunter2@proxy.example:3128", `https_proxy=bob:${R}@proxy.example:3128`],
  ["DATABASE_URL=postgres://u:p@ss@h:5432/db", `DATABASE_URL=postgres://u:${R}@h:5432/db`],
  [`X=${GITHUB}`, `X=${R}`],
  [
    "JAVA_TOOL_OPTIONS=-Dx=1 -Djavax.net.ssl.keyStorePassword=changeit -Dy=2",
    `JAVA_TOOL_OPTIONS=-Dx=1 -Djavax.net.ssl.keyStorePassword=${R} -Dy=2`,
  ],
  [
    "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.keyStorePassword=changeit",
    `JAVA_TOOL_OPTIONS=-Djavax.net.ssl.keyStorePassword=${R}`,
  ],
  // Command lines.
  ["SUDO_COMMAND=/usr/bin/mysql -uroot -phunter2 db", `SUDO_COMMAND=/usr/bin/mysql -uroot -p${R} db`],
  ["SUDO_COMMAND=mysql -phunter2", `SUDO_COMMAND=mysql -p${R}`],
  [
    "SUDO_COMMAND=/usr/bin/curl -H Authorization: Bearer abc http://h/",
    `SUDO_COMMAND=/usr/bin/curl -H Authorization: Bearer ${R} http://h/`,
  ],
  ["SSH_ORIGINAL_COMMAND=app --password 'a b' --port 1", `SSH_ORIGINAL_COMMAND=app --password '${R}' --port 1`],
  ["SSH_ORIGINAL_COMMAND=sh -c \"mysql -p'x y' db\"", `SSH_ORIGINAL_COMMAND=sh -c "mysql -p'${R}' db"`],
  ["PROMPT_COMMAND=curl -u a:b1 http://h/; history -a", `PROMPT_COMMAND=curl -u a:${R} http://h/; history -a`],
  ["BASH_ENV=--token=abc", `BASH_ENV=--token=${R}`],
];

const UNTOUCHED: readonly string[] = [
  "HOME=/root",
  "PATH=/usr/local/bin:/usr/bin:/bin",
  "LANG=de_DE.UTF-8",
  "PWD=/home/bob",
  "OLDPWD=/tmp",
  "SSH_AUTH_SOCK=/tmp/ssh-abc/agent.1",
  "SSH_CLIENT=10.0.0.1 50022 22",
  "SSH_CONNECTION=10.0.0.1 50022 10.0.0.2 22",
  "SSH_TTY=/dev/pts/0",
  "KEYBOARD_LAYOUT=de",
  "PASSWORD_STORE_DIR=/home/bob/.password-store",
  "DB_PASSWORD_FILE=/run/secrets/db",
  "DB_PASSWORD=",
  "MAX_TOKENS=100",
  "LD_PRELOAD=/usr/lib/libkeyutils.so:/tmp/token.so",
  "LD_LIBRARY_PATH=/opt/secret_garden/lib",
  "HISTFILE=/dev/null",
  "HISTCONTROL=ignoreboth",
  "PYTHONPATH=/srv/password_reset_form",
  "PERL5OPT=-Mlib=/tmp/x",
  "NODE_OPTIONS=--require /tmp/keystore.js --max-old-space-size=4096",
  "HTTP_PROXY=http://proxy.example:3128/",
  "KUBERNETES_SERVICE_HOST=10.96.0.1",
  "container=docker",
  "SUDO_COMMAND=/usr/bin/ssh -p 2222 bob@host.example",
  "SUDO_COMMAND=/usr/bin/docker run -p 80:80 nginx",
  'PROMPT_COMMAND=printf "\\033]0;%s@%s:%s\\007" "${USER}" "${HOSTNAME%%.*}" "${PWD/#$HOME/\\~}"',
  "X=",
  "X=[REDACTED:1f3a9c20]",
];

Deno.test("redactVariable() masks secrets by name, by form and in command lines", () => {
  for (const [given, wanted] of MASKED) {
    const { text, masked } = redactVariable(given, false);
    assert.equal(text, wanted);
    assert.ok(masked > 0);
  }
});

Deno.test("redactVariable() leaves what is no secret", () => {
  for (const given of UNTOUCHED) assert.deepEqual(redactVariable(given, false), { text: given, masked: 0 });
});

Deno.test("redactVariable() masks a secret that a cut variable ends within", () => {
  assert.equal(redactVariable("HTTP_PROXY=http://bob:hun", true).text, `HTTP_PROXY=http://bob:${R}`);
  assert.equal(redactVariable("X=ghp_abc", true).text, `X=${R}`);
});
