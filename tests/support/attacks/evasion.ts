/**
 * Techniques by which intruders blind who looks, and remove what shows them.
 *
 * @module
 */
import { each, type Technique } from "./technique.ts";

export const EVASION: readonly Technique[] = [
  { name: "Shell without a history", id: "T1070.003", steps: ["sh -c 'unset HISTFILE; history -c'"] },
  { name: "History removed", id: "T1070.003", steps: ["rm -f /root/.bash_history"] },
  { name: "Log removed", id: "T1070.002", steps: ["shred -u /var/log/auth.log"] },
  { name: "Lines taken out of a log", id: "T1070.002", steps: ["sed -i /203.0.113.9/d /var/log/auth.log"] },
  { name: "Journal removed", id: "T1070.002", steps: ["journalctl --rotate --vacuum-time=1s"] },
  { name: "Audit stopped", id: "T1562.001", steps: ["systemctl stop auditd"] },
  {
    name: "Logging stopped, and then logs removed",
    id: "T1070.002",
    steps: ["systemctl stop rsyslog", "truncate -s 0 /var/log/syslog"],
  },
  { name: "Security process killed", id: "T1562.001", steps: ["pkill -9 auditd"] },
  { name: "DaemonEye killed", id: "T1562.001", steps: ["pkill -9 -f daemoneye-collector"] },
  { name: "DaemonEye's store removed", id: "T1485", steps: ["rm -rf /var/lib/daemoneye/agent/events.db"] },
  {
    name: "DaemonEye's unit overridden",
    id: "T1543.002",
    steps: ["tee /etc/systemd/system/daemoneye-collector.service.d/x.conf"],
  },
  { name: "Firewall emptied", id: "T1562.004", steps: ["iptables -F"] },
  { name: "SELinux off", id: "T1562.001", steps: ["sed -i 's/^SELINUX=.*/SELINUX=disabled/' /etc/selinux/config"] },
  { name: "Tracing of the kernel off", id: "T1562.006", steps: ["sysctl -w kernel.ftrace_enabled=0"] },
  { name: "Protection of the kernel lowered", id: "T1562.001", steps: ["sysctl -w kernel.randomize_va_space=0"] },
  { name: "Programs of BPF detached", id: "T1014", steps: ["bpftool link detach id 12"] },
  { name: "File made immutable", id: "T1222.002", steps: ["chattr +i /root/.ssh/authorized_keys"] },
  { name: "Times of a file forged", id: "T1070.006", steps: [{ run: "touch -r /bin/ls {dir}/bin/bash", real: true }] },
  { name: "Process hidden by a mount", id: "T1564.013", steps: ["mount --bind /tmp/.empty /proc/4711"] },
  { name: "Shell under another name", id: "T1036.003", steps: ["cp /bin/bash /tmp/rootbash"] },
  { name: "Remounted to run programs", id: "T1222.002", steps: ["mount -o remount,exec /tmp"] },
  { name: "Services stopped in bulk", id: "T1489", steps: each(11, "systemctl stop app#") },
];
