/**
 * Ordinary uses of the tools that techniques use, done with the same stand-ins: a control, so that a technique is not seen for
 * how it is staged.
 *
 * @module
 */
import { each, PERSON, type Technique } from "./technique.ts";

export const ORDINARY: readonly Technique[] = [
  {
    name: "Control: looking at files",
    id: "T1083",
    steps: [
      "ls -l /etc",
      "cat /etc/hosts",
      "grep -r port /etc/ssh",
      "find . -name core -delete",
      "less /var/log/syslog",
    ],
  },
  {
    name: "Control: fetching and packing",
    id: "T1105",
    steps: [
      "curl -fsSLO https://example.org/node.tgz",
      "tar xzf node.tgz",
      "wget -q https://example.org/a.deb",
      "tar czf /srv/backup/w.tgz /srv/w",
    ],
  },
  {
    name: "Control: services and accounts",
    id: "T1543.002",
    steps: [
      "systemctl restart nginx",
      "systemctl enable --now nginx",
      "useradd --system app",
      "usermod -aG ssl-cert app",
      "chmod 755 /usr/local/bin/app",
    ],
  },
  {
    name: "Control: a network that is looked at",
    id: "T1016",
    steps: ["ip addr", "ss -tlnp", "ping -c3 example.org", "dig example.org", "ssh web1 uptime"],
  },
  {
    name: "Control: a person",
    id: "T1033",
    uid: PERSON,
    steps: ["id", "git status", "git pull", "make -j4", "python3 -m pytest"],
  },
  {
    name: "Control: a health check",
    id: "T1071",
    steps: [{ run: "curl -fs http://localhost:8080/health", times: 16 }],
  },
  { name: "Control: builds move files", id: "T1486", steps: each(12, "mv a#.o.tmp a#.o", "rm -f a#.d") },
];
