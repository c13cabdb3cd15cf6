/**
 * Ordinary administration and development, as scripts for `bash -eu`: what a sensor must not cry about.
 *
 * Each runs in a directory of its own, which only root may write to, with the number of its round in `$ROUND`, the
 * sources of a small program in `$WORKER`, and in `$PACKAGE` the name of a package that nobody else has. It leaves
 * nothing behind but in that directory; packages are removed again.
 *
 * @module
 */

export interface Work {
  readonly name: string;
  /** Programs without which it is left out. */
  readonly programs: readonly string[];
  readonly script: string;
}

/** Waits until a daemon has written a line that ends so, which it does as it begins. */
const WAIT = `
wait_for() { for _ in $(seq 1000); do grep -q " $2\\$" "$1" 2> /dev/null && return; sleep 0.02; done; echo "$1: no $2" >&2; return 1; }
gone() { for _ in $(seq 1000); do kill -0 "$1" 2> /dev/null || return 0; sleep 0.02; done; echo "$1 does not end" >&2; return 1; }
`;

/** `dpkg` by itself does not wait for the lock that somebody else has. */
const LOCKED = `
locked() { for _ in $(seq 100); do "$@" > locked.log 2>&1 && return; grep -q 'lock.* was locked' locked.log || break; sleep 3; done; cat locked.log >&2; return 1; }
`;

const PACKAGES = `${WAIT}${LOCKED}
make_package() {
  rm -rf tree; mkdir -p tree/DEBIAN tree/usr/bin tree/usr/lib/$PACKAGE tree/usr/share/doc/$PACKAGE
  gcc -O1 -DVERSION="\\"$1\\"" -o tree/usr/bin/$PACKAGE "$WORKER"
  printf '#!/bin/sh\\nexec /usr/bin/'$PACKAGE' "$@"\\n' > tree/usr/lib/$PACKAGE/helper; chmod 755 tree/usr/lib/$PACKAGE/helper
  printf 'int answer(void) { return %d; }\\n' "$1" | gcc -shared -fPIC -x c -o tree/usr/lib/$PACKAGE/libanswer.so.1 -
  echo "version $1" > tree/usr/share/doc/$PACKAGE/README
  printf 'Package: '$PACKAGE'\\nVersion: %s\\nArchitecture: %s\\nMaintainer: nobody <n@example>\\nDescription: test\\n' "$1" "$(dpkg --print-architecture)" > tree/DEBIAN/control
  printf 'interest-noawait /usr/share/doc/'$PACKAGE'\\n' > tree/DEBIAN/triggers
  for script in preinst postinst prerm postrm; do
    printf '#!/bin/sh\\nset -e\\nsort /etc/passwd | head -3 > /dev/null\\n' > tree/DEBIAN/$script
  done
  printf 'if [ "$1" = configure ] || [ "$1" = triggered ]; then /usr/bin/'$PACKAGE' > /dev/null; ldconfig; fi\\n' >> tree/DEBIAN/postinst
  printf 'if [ "$1" = configure ]; then dpkg-trigger --no-await /usr/share/doc/'$PACKAGE'; fi\\n' >> tree/DEBIAN/postinst
  chmod 755 tree/DEBIAN/p*; dpkg-deb --build tree $PACKAGE-$1.deb > /dev/null
}
APT="apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
export DEBIAN_FRONTEND=noninteractive
make_package $((3 * ROUND + 1)); make_package $((3 * ROUND + 2)); make_package $((3 * ROUND + 3))
$APT install ./$PACKAGE-$((3 * ROUND + 1)).deb > apt.log 2>&1
/usr/bin/$PACKAGE > /dev/null; /usr/lib/$PACKAGE/helper > /dev/null
/usr/bin/$PACKAGE daemon "$PWD/pid"; wait_for pid $((3 * ROUND + 1)); pid=$(cut -d' ' -f1 pid)
$APT install ./$PACKAGE-$((3 * ROUND + 2)).deb >> apt.log 2>&1
kill -HUP "$pid"; wait_for pid $((3 * ROUND + 2))
/usr/lib/$PACKAGE/helper > /dev/null
: > pid; locked dpkg -i $PACKAGE-$((3 * ROUND + 3)).deb
kill -USR1 "$pid"; wait_for pid $((3 * ROUND + 2))
kill -TERM "$pid"; gone "$pid"
/usr/bin/$PACKAGE > /dev/null
$APT install --reinstall ./$PACKAGE-$((3 * ROUND + 3)).deb >> apt.log 2>&1
/usr/bin/$PACKAGE > /dev/null
dpkg -s $PACKAGE > /dev/null; dpkg -L $PACKAGE > /dev/null; dpkg --verify $PACKAGE
$APT purge $PACKAGE >> apt.log 2>&1
`;

const DEBIAN = `
export DEBIAN_FRONTEND=noninteractive
APT="apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
for package in hello cowsay time; do
  if dpkg -s $package > /dev/null 2>&1; then continue; fi
  if ! $APT install --no-install-recommends $package > apt.log 2>&1; then grep -q 'Failed to fetch\\|Unable to' apt.log; continue; fi
  case $package in hello) hello > /dev/null;; cowsay) /usr/games/cowsay moo > /dev/null;; time) /usr/bin/time true 2> /dev/null;; esac
  $APT install --reinstall $package >> apt.log 2>&1
  case $package in hello) hello > /dev/null;; cowsay) /usr/games/cowsay moo > /dev/null;; time) /usr/bin/time true 2> /dev/null;; esac
  $APT purge $package >> apt.log 2>&1
done
apt-cache policy coreutils > /dev/null; apt-get -qq -s upgrade > /dev/null; dpkg -l > /dev/null; apt-mark showmanual > /dev/null
dpkg-query -W > /dev/null; ldconfig; update-alternatives --get-selections > /dev/null
`;

const BUILD = `
cp "$WORKER" worker.c
for name in one two three four; do printf 'int %s(void) { return %d; }\\n' $name "$ROUND" > $name.c; done
printf 'int one(void), two(void), three(void), four(void); int main(void) { return one() + two() + three() + four() < 0; }\\n' > main.c
printf 'all: program worker libfour.so.1\\n\\t./program\\n\\t./worker > /dev/null\\nprogram: main.o libparts.a four.o\\n\\tgcc -o $@ $^\\nlibparts.a: one.o two.o three.o\\n\\tar rcs $@ $^\\nlibfour.so.1: four.c\\n\\tgcc -shared -fPIC -Wl,-soname,$@ -o $@ $<\\nworker: worker.c\\n\\tgcc -DVERSION="\\\\"$(ROUND)\\\\"" -o $@ $<\\nclean:\\n\\trm -f *.o *.a *.so* program worker\\n' > Makefile
make -s -j2; ldconfig -n .
for i in 1 2 3; do printf 'int two(void) { return %d; }\\n' $((ROUND * 10 + i)) > two.c; make -s ROUND="$ROUND.$i"; done
strip worker; ./worker > /dev/null; objdump -f program > /dev/null; nm program > /dev/null; ldd program > /dev/null
printf '#!/bin/sh\\nfor feature in stdio stdlib unistd; do printf "#include <%%s.h>\\\\nint main(void) { return 0; }\\\\n" $feature > conftest.c; ${"${CC:-gcc}"} -o conftest conftest.c && ./conftest; done; rm -f conftest*\\n' > configure
chmod 755 configure; ./configure; make -s clean
`;

const VERSIONS = `
export GIT_CONFIG_GLOBAL="$PWD/gitconfig" GIT_CONFIG_NOSYSTEM=1
git config --global user.email n@example; git config --global user.name n; git config --global init.defaultBranch main
git init -q repository; cd repository
printf '#!/bin/sh\\ngit diff --cached --check\\n' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit
for i in 1 2 3; do echo "line $i $ROUND" >> file; git add .; git commit -qm "change $i"; done
git checkout -qb other HEAD~1; echo other > other; git add .; git commit -qm other; git rebase -q main
git checkout -q main; git merge -q other; git log --stat | cat > /dev/null; git gc -q; git fsck > /dev/null 2>&1; cd ..
git clone -q "file://$PWD/repository" clone; cd clone; git pull -q; git archive HEAD | tar t > /dev/null; git bisect start -q HEAD HEAD~3 2> /dev/null || true
git bisect run sh -c 'grep -q other file' > /dev/null 2>&1 || true
`;

const SHELLS = `
echo 'id > /dev/null; true' | sh; echo 'echo a | tr a b > /dev/null' | bash -s; sh <<< 'ls / | wc -l > /dev/null'
bash -ic 'true' < /dev/null > /dev/null 2>&1; bash -lc 'id > /dev/null' < /dev/null; env -i /bin/sh -c 'true; id > /dev/null'
if command -v script > /dev/null; then
  script -qec 'id; tty' /dev/null < /dev/null > /dev/null
  printf 'id\\nls -l /\\nexit\\n' | script -qc 'bash --norc -i' /dev/null > /dev/null 2>&1
fi
coproc CAT { cat; }; echo hello >&"${"${CAT[1]}"}"; read -r line <&"${"${CAT[0]}"}"; exec {CAT[1]}>&-; wait
diff <(sort /etc/passwd) <(sort -u /etc/passwd) > /dev/null || true
trap 'true' EXIT; (sleep 0.1 & wait); { sleep 0.05 & } ; wait; nohup sh -c 'sleep 0.05' > /dev/null 2>&1 &
wait; timeout 5 sh -c 'yes | head -1000 | sort | uniq -c > /dev/null'
seq 2000 | grep -v 7 | sed 's/1/2/' | awk '{ s += $1 } END { print s }' | tee sum | xxd 2> /dev/null | rev | cut -c1-8 | sort | uniq | wc -l > /dev/null || true
t=$(mktemp); printf '#!/bin/sh\\ntrue\\n' > "$t"; chmod 700 "$t"; "$t"; sh "$t"; rm "$t"
d=$(mktemp -d); printf '#!/usr/bin/env bash\\nid -u > /dev/null\\n' > "$d/run"; chmod 755 "$d/run"; "$d/run"; (cd "$d" && ./run); rm -r "$d"
cp /bin/sleep mine; ./mine 0.3 & sleep 0.05; cp /bin/cat mine.new; mv mine.new mine; echo x | ./mine > /dev/null; wait
`;

const USERS = `
su nobody -s /bin/sh -c 'id > /dev/null; sh -c true'; su - nobody -s /bin/sh -c 'true' > /dev/null 2>&1 || true
if command -v runuser > /dev/null; then runuser -u nobody -- id > /dev/null; fi
if command -v setpriv > /dev/null; then
  setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'id > /dev/null; ls / > /dev/null'
  setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all sh -c 'id > /dev/null'
  setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'su --version > /dev/null; passwd -S > /dev/null 2>&1; mount > /dev/null; ping -c1 -W1 127.0.0.1 > /dev/null 2>&1; true'
fi
if command -v sudo > /dev/null; then
  sudo -n true; sudo -n -u nobody sh -c 'id > /dev/null'; sudo -n -u nobody -s true; sudo -n sh -c 'sudo -n -u nobody id' > /dev/null
  sudo -n --preserve-env=HOME env > /dev/null; SUDO_EDITOR=true sudo -n -e "$PWD/edited"
fi
if command -v sg > /dev/null; then sg nogroup -c 'id > /dev/null'; fi
if command -v newgrp > /dev/null; then printf 'id\\nexit\\n' | newgrp nogroup > /dev/null 2>&1; fi
getent passwd nobody > /dev/null; id nobody > /dev/null; chage -l nobody > /dev/null 2>&1 || true; who > /dev/null; last -1 > /dev/null 2>&1 || true
`;

const JOBS = `${WAIT}
mkdir -p cron.hourly; printf '#!/bin/sh\\nfind /etc -name passwd > /dev/null 2>&1\\n' > cron.hourly/look; chmod 755 cron.hourly/look
env -i PATH=/usr/bin:/bin LOGNAME=root HOME=/root SHELL=/bin/sh setsid sh -c 'run-parts cron.hourly' < /dev/null
for job in dpkg man-db logrotate apt-compat; do
  case $job in apt-compat) continue;; esac
  if [ -x /etc/cron.daily/$job ]; then env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin setsid /etc/cron.daily/$job < /dev/null > /dev/null 2>&1 || true; fi
done
gcc -O1 -DVERSION="\\"$ROUND\\"" -o server "$WORKER"; "$PWD/server" daemon "$PWD/pid"; wait_for pid "$ROUND"; pid=$(cut -d' ' -f1 pid)
gcc -O1 -DVERSION="\\"$ROUND+\\"" -o server.new "$WORKER"; mv server.new server
kill -HUP "$pid"; wait_for pid "$ROUND+"; kill -TERM "$pid"; gone "$pid"
(trap '' HUP; setsid sh -c 'sh -c "sleep 0.2" & exit 0') ; nice -n 5 ionice -c 3 true 2> /dev/null || true; flock lock true; at now < /dev/null > /dev/null 2>&1 || true
python3 - 2> /dev/null <<'END' || true
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.2)
        os.execv("/bin/true", ["true"])
    os._exit(0)
os.wait()
END
perl -e 'unless (fork) { require POSIX; POSIX::setsid(); exit if fork; select(undef, undef, undef, 0.1); exec "/bin/true" } wait'
`;

const LOGS = `${WAIT}
chmod 755 .; mkdir -p log; for i in $(seq 200); do echo "line $i of round $ROUND"; done | tee log/copied log/moved > /dev/null
gcc -O1 -DVERSION="\\"$ROUND\\"" -o server "$WORKER"; "$PWD/server" daemon "$PWD/pid"; wait_for pid "$ROUND"
cat > rotate.conf <<END
$PWD/log/copied {
  rotate 3
  copytruncate
  compress
  missingok
}
$PWD/log/moved {
  rotate 3
  create 0644 root root
  compress
  delaycompress
  sharedscripts
  prerotate
    test -s $PWD/log/moved
  endscript
  postrotate
    kill -HUP \\$(cut -d' ' -f1 $PWD/pid)
  endscript
}
END
chmod 644 rotate.conf
if command -v logrotate > /dev/null; then
  : > pid.before; logrotate -s state rotate.conf; logrotate -f -s state rotate.conf
  wait_for pid "$ROUND"; echo more >> log/moved; logrotate -f -s state rotate.conf; ls log/*.gz > /dev/null
fi
if command -v savelog > /dev/null; then savelog -q -c 3 log/moved; fi
wait_for pid "$ROUND"; kill -TERM "$(cut -d' ' -f1 pid)"; zcat -f log/* | wc -l > /dev/null; if command -v logger > /dev/null; then logger -s hello 2> /dev/null || true; fi
`;

const INTERPRETERS = `
python3 -c 'import subprocess, multiprocessing, os, pty
subprocess.run("id > /dev/null; true", shell=True, check=True)
p = subprocess.Popen(["sort"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL); p.communicate(b"b\\na\\n")
q = [multiprocessing.Process(target=os.getpid) for _ in range(3)]; [x.start() for x in q]; [x.join() for x in q]
pty.spawn(["/bin/sh", "-c", "true"])' < /dev/null > /dev/null
python3 -m venv --without-pip venv > /dev/null 2>&1 && venv/bin/python -c 'print(1)' > /dev/null || true
perl -e 'open my $p, "-|", "ls", "/" or die; my @l = <$p>; close $p; system "id > /dev/null"; my $x = \`true\`; exec "true"'
if command -v node > /dev/null; then
  node -e 'const c = require("child_process"); c.execSync("id; true"); c.spawnSync("sh", ["-c", "cat > /dev/null"], { input: "x" }); const w = new (require("worker_threads").Worker)("process.exit()", { eval: true });
  const f = c.fork("-e", ["process.exit()"], { execArgv: ["-e", "process.send && process.exit()"] }); f.on("exit", () => {}); const s = c.spawn("sh", [], { stdio: ["pipe", "ignore", "ignore"] }); s.stdin.end("true\\nexit\\n");'
fi
printf '#!/usr/bin/env python3\\nimport os\\nos.system("true")\\n' > script.py; chmod 755 script.py; ./script.py
printf '#!/usr/bin/perl -w\\nprint scalar(localtime), "\\\\n";\\n' > script.pl; chmod 755 script.pl; ./script.pl > /dev/null
awk 'BEGIN { "id -u" | getline u; print u | "cat > /dev/null" }'; echo 'system("true")' | awk -f /dev/null /dev/null || true
`;

const FILES = `
mkdir -p tree/a/b tree/c; for i in $(seq 30); do echo "int f$i;" > tree/a/f$i.c; done
tar czf all.tgz tree; tar tzf all.tgz > /dev/null; mkdir out; tar xzf all.tgz -C out; tar cf - tree | (cd out && tar xf -); tar cJf all.txz tree
gzip -k -9 all.tgz -c > again.gz; xz -kc all.tgz > all.xz; bzip2 -kc all.tgz > all.bz2 2> /dev/null || true
if command -v zip > /dev/null; then zip -qr all.zip tree; unzip -qo all.zip -d out; fi
find . -name '*.c' -exec grep -l int {} + > /dev/null; find . -name 'f1*.c' -exec sh -c 'wc -l "$1" > /dev/null' sh {} \\;
find tree -type f -print0 | xargs -0 -P 4 -n 3 sha256sum > sums; sha256sum -c --quiet sums; find . -name '*.c' | xargs -I{} -P 2 sh -c 'cat {} > /dev/null'
cp -a tree copy; rsync -a tree/ copy/ 2> /dev/null || true; chmod -R go-w copy; chown -R nobody copy; du -sh . > /dev/null; df -h > /dev/null; ls -lR > /dev/null
dd if=/dev/zero of=block bs=64k count=4 2> /dev/null; truncate -s 1M sparse; split -b 100k block part.; cat part.* | cmp - block; sed -i s/int/long/ copy/a/f1.c; patch --version > /dev/null 2>&1 || true
ps aux > /dev/null; top -bn1 > /dev/null 2>&1 || true; uptime > /dev/null; free > /dev/null 2>&1 || true; ss -ltn > /dev/null 2>&1 || true; lsblk > /dev/null 2>&1 || true; dmesg > /dev/null 2>&1 || true
`;

const NAMESPACES = `
mkdir -p root/bin root/lib root/lib64 root/proc root/tmp root/usr
for program in /bin/sh /bin/ls /bin/cat /bin/mount; do
  cp -L $program root/bin/; ldd $program | grep -o '/[^ ]*' | while read -r library; do mkdir -p "root$(dirname "$library")"; cp -Ln "$library" "root$library" 2> /dev/null || true; done
done
chroot root /bin/sh -c '/bin/ls / > /tmp/list; /bin/cat /bin/ls > /tmp/copy'
unshare --mount --pid --fork --mount-proc sh -c 'ps ax > /dev/null; ls /proc > /dev/null'
unshare --net --uts --ipc sh -c 'hostname inner; ip link > /dev/null 2>&1 || true'
unshare --mount --pid --fork --propagation private sh -c 'mount -t tmpfs none root/tmp; cp root/bin/ls root/tmp/; chroot root /tmp/ls /; mount --bind root root; cd root; exec chroot . /bin/sh -c "/bin/ls /"' > list
if command -v setpriv > /dev/null; then
  setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user --mount --pid --fork sh -c 'id -u > /dev/null; ls / > /dev/null; sh -c true' 2> /dev/null || true
fi
unshare --pid --fork --mount --mount-proc sh -c 'sleep 0.3' & sleep 0.1; child=$(pgrep -P $! | head -1 || true)
if [ -n "$child" ]; then nsenter --target "$child" --mount --pid true || true; fi; wait
cp /bin/true here; ./here; cp /bin/false here.new; mv here.new here; ./here || true
`;

const TRACERS = `
gcc -g -O0 -pthread -DVERSION="\\"$ROUND\\"" -o traced "$WORKER"
if command -v strace > /dev/null; then
  strace -f -o trace ./traced || true; strace -fc -o count sh -c './traced > /dev/null; ls | sort > /dev/null' || true
  ./traced daemon "$PWD/pid"; sleep 0.2; pid=$(cut -d' ' -f1 pid); timeout 2 strace -f -p "$pid" -o attached & sleep 0.3; kill -TERM "$pid"; wait || true
fi > /dev/null
if command -v gdb > /dev/null; then
  gdb -q -batch -ex 'break main' -ex run -ex bt -ex next -ex continue ./traced > /dev/null 2>&1 < /dev/null || true
  gdb -q -batch -ex 'set follow-fork-mode child' -ex 'set detach-on-fork off' -ex run --args sh -c 'ls / | wc -l' > /dev/null 2>&1 < /dev/null || true
fi
`;

const NETWORK = `
if command -v curl > /dev/null && python3 -c 'import http.server' 2> /dev/null; then
  mkdir -p web/cgi-bin; echo hello > web/index.html; printf '#!/bin/sh\\nprintf "Content-Type: text/plain\\\\n\\\\nok\\\\n"\\n' > web/cgi-bin/ok; chmod -R 755 web
  (cd web; exec python3 -c 'import http.server, sys, socketserver
class S(http.server.CGIHTTPRequestHandler):
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), S); print(s.server_port, flush=True); s.serve_forever()' > ../port 2> /dev/null) & server=$!
  for _ in $(seq 500); do test -s port && break; sleep 0.02; done
  curl -sf "http://127.0.0.1:$(cat port)/" > /dev/null; curl -sf "http://127.0.0.1:$(cat port)/cgi-bin/ok" > /dev/null || true
  curl -sf "http://127.0.0.1:$(cat port)/" | sh -c 'cat > /dev/null'; kill "$server"; wait || true
fi
getent hosts localhost > /dev/null; hostname > /dev/null; ip addr > /dev/null 2>&1 || true
`;

const NPX = `
export npm_config_cache="$PWD/../npm" npm_config_update_notifier=false npm_config_loglevel=silent
npm --version > /dev/null; npx --version > /dev/null
printf '{ "name": "x", "version": "1.0.0", "scripts": { "build": "node -e 0 && sh -c true" } }' > package.json; npm run build > /dev/null
timeout 240 npx --yes deno@2.9.6 eval 'console.log(1)' > deno.log 2>&1 < /dev/null || true
`;

const SUITE = `
mkdir -p app tests; : > tests/__init__.py
cat > app/__init__.py <<'END'
import subprocess
def total(rows):
    return sum(rows)
def listed(path):
    return subprocess.run(["ls", path], capture_output=True, text=True, check=True).stdout.split()
END
for i in 1 2 3 4; do
  cat > tests/test_$i.py <<'END'
import os, subprocess, sys, tempfile, unittest
from app import listed, total
class Case(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total(range(4)), 6)
    def test_files(self):
        with tempfile.TemporaryDirectory() as d:
            open(os.path.join(d, "f"), "w").close()
            self.assertEqual(listed(d), ["f"])
    def test_program(self):
        self.assertEqual(subprocess.check_output([sys.executable, "-c", "print(1)"]).split(), [b"1"])
    def test_shell(self):
        self.assertEqual(subprocess.check_output("echo a | tr a b", shell=True).split(), [b"b"])
END
done
python3 -m unittest discover -q -s tests -t . > suite.log 2>&1 || { cat suite.log >&2; exit 1; }
python3 -m compileall -q app tests; python3 -m unittest tests.test_1 > /dev/null 2>&1
`;

const NPM = `
export npm_config_cache="$PWD/cache" npm_config_update_notifier=false npm_config_loglevel=silent npm_config_offline=true npm_config_audit=false npm_config_fund=false
mkdir -p part app; printf '{ "name": "part", "version": "1.0.%s", "bin": { "part": "part.js" }, "scripts": { "postinstall": "node part.js > /dev/null", "prepare": "node -e 0" } }' "$ROUND" > part/package.json
printf '#!/usr/bin/env node\nconsole.log(require("os").hostname().length > 0)\n' > part/part.js; chmod 755 part/part.js
(cd part; npm pack > /dev/null); cp part/part-1.0.$ROUND.tgz app/
printf '{ "name": "app", "version": "1.0.0", "scripts": { "test": "part && node -e 0", "build": "sh -c true" } }' > app/package.json
(cd app; npm install ./part-1.0.$ROUND.tgz > /dev/null; npm test > /dev/null; npm run build > /dev/null; npm ls > /dev/null; rm -rf node_modules; npm ci > /dev/null)
`;

export const WORKS: readonly Work[] = [
  { name: "packages", programs: ["apt-get", "dpkg", "dpkg-deb", "gcc"], script: PACKAGES },
  { name: "build", programs: ["gcc", "make", "ar"], script: BUILD },
  { name: "shells", programs: [], script: SHELLS },
  { name: "logs", programs: ["gcc"], script: LOGS },
  { name: "versions", programs: ["git"], script: VERSIONS },
  { name: "users", programs: ["su"], script: USERS },
  { name: "jobs", programs: ["gcc", "perl", "run-parts"], script: JOBS },
  { name: "interpreters", programs: ["python3", "perl"], script: INTERPRETERS },
  { name: "files", programs: ["tar", "gzip", "find", "xargs"], script: FILES },
  { name: "namespaces", programs: ["unshare", "chroot"], script: NAMESPACES },
  { name: "tracers", programs: ["gcc"], script: TRACERS },
  { name: "network", programs: ["python3"], script: NETWORK },
  { name: "debian", programs: ["apt-get", "dpkg"], script: DEBIAN },
  { name: "suite", programs: ["python3"], script: SUITE },
  { name: "npm", programs: ["npm", "node"], script: NPM },
  { name: "npx", programs: ["npx", "npm"], script: NPX },
];
