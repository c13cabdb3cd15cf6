# Rules: conditions over single events, one a line
event_type = 'start' AND name IN ('nc', 'ncat', 'netcat', 'socat') AND command_line REGEXP '\s-(e|c)\s'
event_type = 'start' AND executable_path LIKE '/tmp/%'
event_type = 'start' AND (executable_path LIKE '/tmp/%' OR executable_path LIKE '/var/tmp/%' OR executable_path LIKE '/dev/shm/%')
command_line REGEXP '(?i)(curl|wget)\s.*\|\s*(ba|z|da)?sh'
command_line LIKE '%base64 -d%' AND command_line LIKE '%|%sh%'
event_type = 'start' AND name = 'sudo' AND user_id > 0 AND command_line NOT LIKE '%apt%'
executable_kind = 'memfd'
executable_kind = 'deleted' AND event_type = 'start'
on_disk_mismatch = 1
file_exists = 0 AND executable_kind <> 'memfd'
effective_user_id = 0 AND user_id <> 0
effective_user_id = 0 AND login_user_id IS NOT NULL AND login_user_id <> 0 AND path_basename(executable_path) NOT IN ('sudo', 'su', 'pkexec')
effective_capabilities & (1 << 21) <> 0 AND container_id IS NOT NULL
(effective_capabilities & (1 << 19)) <> 0 AND effective_user_id <> 0
parent_name IN ('nginx', 'apache2', 'httpd', 'php-fpm') AND name IN ('sh', 'bash', 'dash', 'python3', 'perl')
parent_executable_path LIKE '%/java' AND path_basename(executable_path) REGEXP '^(ba|da|z|k)?sh$'
path_basename(executable_path) <> name AND length(name) < 15
name <> substr(path_basename(executable_path), 1, 15)
executable_hash IN ('aaaa', 'bbbb', 'cccc')
executable_hash IS NULL AND executable_kind = 'file' AND accessible = 1
command_line LIKE '%/etc/shadow%'
command_line LIKE '%/etc/passwd%' AND name NOT IN ('getent', 'id', 'sshd')
command_line REGEXP '/dev/(tcp|udp)/[0-9.]+/[0-9]+'
name = 'crontab' AND command_line NOT LIKE '% -l%'
name IN ('insmod', 'modprobe') AND command_line REGEXP '(/tmp|/home|/dev/shm)/'
environment ->> 'LD_PRELOAD' IS NOT NULL
environment ->> '$.LD_PRELOAD' LIKE '/tmp/%'
json_valid(environment) AND json_type(environment, '$.LD_LIBRARY_PATH') = 'text'
json_array_length(argv) > 200
argv ->> 0 NOT LIKE '/%' AND argv ->> 0 LIKE '%/%'
argv ->> 0 <> path_basename(executable_path) AND argv ->> 0 NOT LIKE '-%'
json_extract(argv, '$[1]') = '-c' AND json_extract(argv, '$[2]') LIKE '%eval%'
argv_length > 32000
length(command_line) > 1000 AND name IN ('bash', 'sh')
length(command_line) - length(replace(command_line, ';', '')) > 10
instr(command_line, '; rm -rf /') > 0
lower(command_line) LIKE '%powershell%'
upper(name) = name AND length(name) > 6
trim(name) <> name
name LIKE '[%]' AND executable_path IS NOT NULL
name REGEXP '^\[?k(worker|softirqd|thread)' AND executable_path IS NOT NULL
name LIKE 'k%orker%' AND ppid <> 2
command_line REGEXP '[\x{202a}-\x{202e}\x{2066}-\x{2069}]'
name REGEXP '[^\x20-\x7e]'
executable_path REGEXP '/\.[^/]+/' AND executable_path NOT LIKE '/home/%/.cargo/%'
executable_path LIKE '%/.%' ESCAPE '\'
executable_path LIKE '%\_\_%' ESCAPE '\'
cwd = '/' AND name NOT IN ('systemd', 'cron', 'sshd') AND user_id >= 1000
cwd LIKE '/dev/shm%'
tty IS NOT NULL AND user_id = 0 AND login_user_id >= 1000
tty IS NULL AND name IN ('bash', 'zsh') AND stdin_kind = 'socket'
stdin_kind = 'socket' AND stdout_kind = 'socket' AND name REGEXP '^(ba|da|z|k|c)?sh$'
interpreter_path LIKE '%python%' AND script_path LIKE '/tmp/%'
script_path REGEXP '^/(tmp|var/tmp|dev/shm)/.*\.(sh|py|pl)$'
container_runtime = 'docker' AND executable_path = '/usr/bin/nsenter'
container_id IS NOT NULL AND name IN ('mount', 'umount', 'unshare', 'nsenter', 'chroot')
container_id IS NULL AND cgroup_path LIKE '%docker%'
pid_namespace <> mount_namespace AND command_line LIKE '%/proc/1/root%'
pod_id IS NOT NULL AND command_line LIKE '%/var/run/secrets/kubernetes.io%'
event_type = 'modify' AND modified_fields LIKE '%effective_user_id%'
event_type = 'modify' AND json_array_length(modified_fields) >= 3
event_type = 'suspicious' AND severity IN ('high', 'critical')
event_type = 'stop' AND exit_signal IN (4, 6, 7, 8, 11)
event_type = 'stop' AND exit_code BETWEEN 126 AND 127
event_type = 'stop' AND duration_ms < 5 AND name = 'sshd'
event_type = 'stop' AND cpu_time_ms > 3600000
event_type = 'stop' AND cpu_time_ms / nullif(duration_ms, 0) > 0.95 AND duration_ms > 60000
memory_usage > 4 * 1024 * 1024 * 1024
within(start_time, '1s') AND event_type = 'stop' AND exit_code <> 0
NOT within(start_time, '7d') AND event_type = 'start'
within(start_time, '30s', end_time)
cidr_match(replace(name, 'ssh-', ''), '10.0.0.0/8')
cidr_match(argv ->> 1, '192.168.0.0/16') OR cidr_match(argv ->> 1, 'fd00::/8')
NOT cidr_match(coalesce(argv ->> 2, '127.0.0.1'), '127.0.0.0/8') AND name = 'ssh'
user_name = 'www-data' AND executable_path NOT LIKE '/usr/%' AND executable_path NOT LIKE '/bin/%'
user_name REGEXP '^(www-data|nginx|postgres|mysql|redis)$' AND name REGEXP '^(ba|da)?sh$'
user_name IS NULL AND user_id >= 1000
effective_user_name = 'root' AND user_name <> 'root' AND parent_name <> 'sudo'
user_id IS NOT effective_user_id
saved_user_id IS DISTINCT FROM effective_user_id
group_id = 0 AND user_id <> 0
CASE WHEN user_id = 0 THEN executable_path LIKE '/tmp/%' ELSE executable_path LIKE '/root/%' END
CASE name WHEN 'curl' THEN command_line LIKE '%-o%' WHEN 'wget' THEN command_line LIKE '%-O%' ELSE 0 END
iif(container_id IS NULL, name = 'dockerd', name = 'containerd-shim')
ifnull(executable_path, '') = '' AND name <> ''
coalesce(executable_path, script_path, name) LIKE '%miner%'
hex(name) LIKE '%E280AE%'
hex(substr(command_line, 1, 4)) = '7F454C46'
unhex(executable_hash) IS NULL AND executable_hash IS NOT NULL
ltrim(command_line, './') LIKE 'x%' AND rtrim(name, '0123456789') = 'kworker'
min(pid, ppid) = 1 AND max(user_id, group_id) = 0
abs(pid - ppid) > 100000
(pid % 2 = 0 OR ppid % 2 = 1) AND name = 'x'
pid BETWEEN 300 AND 32767 AND ppid NOT BETWEEN 0 AND 2
name NOT IN ('bash', 'sh') AND parent_name NOTNULL
session_id ISNULL AND user_id >= 1000
(name = 'ps' OR name = 'top' OR name = 'htop') AND ppid = 1
name LIKE 'python%' AND command_line LIKE '%-m http.server%'
command_line REGEXP '(?i)import\s+(pty|socket|subprocess)' AND name REGEXP '^python[0-9.]*$'
command_line REGEXP '(?s)perl\b.*-e\b.*(socket|exec)'
command_line REGEXP '\bopenssl\s+s_client\b'
command_line REGEXP '\b([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{2,5}\b'
command_line REGEXP '(?i)(stratum\+tcp|xmrig|minerd|--donate-level)'
command_line REGEXP '(nmap|masscan|zmap)\b' AND user_id <> 0
command_line LIKE '%chmod%+s%' OR command_line REGEXP 'chmod\s+[0-7]?[4-7][0-7]{3}\b'
command_line LIKE '%chattr%+i%'
command_line LIKE '%history -c%' OR command_line LIKE '%HISTFILE=/dev/null%' OR command_line LIKE '%unset HISTFILE%'
command_line REGEXP 'rm\s+(-\w+\s+)*/var/log/'
command_line LIKE '%systemctl%disable%' AND command_line REGEXP '(auditd|rsyslog|firewalld|ufw)'
command_line LIKE '%iptables%-F%' OR command_line LIKE '%nft%flush%'
command_line LIKE '%setenforce 0%'
command_line LIKE '%authorized_keys%' AND name IN ('tee', 'echo', 'cp', 'cat', 'vi', 'vim', 'nano')
command_line LIKE '%useradd%' OR command_line LIKE '%usermod%-G%sudo%'
command_line LIKE '%/proc/%/mem%' OR command_line LIKE '%ptrace%' OR name = 'gdb'
command_line LIKE '%docker%run%--privileged%'
command_line REGEXP 'docker\s+run.*(-v|--volume)\s*/:/'
command_line LIKE '%kubectl%exec%' AND user_name NOT LIKE 'admin%'
command_line LIKE '%aws%configure%' OR command_line LIKE '%.aws/credentials%'
command_line LIKE '%169.254.169.254%'
command_line LIKE '%tcpdump%' AND command_line LIKE '%-w%'
command_line LIKE '%dd%if=/dev/%of=/dev/%'
command_line LIKE '%tar%' AND command_line LIKE '%/home%' AND command_line LIKE '%|%'
command_line LIKE '%ssh%-R%' OR command_line LIKE '%ssh%-D%'
command_line LIKE '%scp%' AND (command_line LIKE '%.pem%' OR command_line LIKE '%id_rsa%')
command_line LIKE '%50!%%' ESCAPE '!'
source <> 'proc' AND reason IS NOT NULL AND reason NOT LIKE 'fork%'
collector_id = 'host' AND event_id % 100 = 0
(name = 'x') = (user_id = 0)
(name LIKE 'a%') + (name LIKE '%b') + (command_line LIKE '%c%') >= 2
NOT (name IN ('a', 'b') AND NOT user_id = 0) AND name IS NOT NULL
name = 'o''brien' OR name = 'x--y' OR name = 'a/*b*/c' OR name = '; DROP TABLE processes'
name = 'ünïcode' OR command_line LIKE '%日本語%'
CAST(pid AS TEXT) LIKE '1%' AND CAST(user_id AS INTEGER) = 0
duration_ms > 1.5e3 AND memory_usage > 0x100000
round(cpu_time_ms / 1000.0, 1) > 60
strftime('%H', time / 1000, 'unixepoch') BETWEEN '00' AND '05'
strftime('%w', time / 1000, 'unixepoch') IN ('0', '6') AND name = 'sudo'
date(time / 1000, 'unixepoch') = '2026-12-24'
exec_id || ':' || pid = parent_exec_id || ':' || ppid
fuzzy_hash IS NOT NULL AND substr(fuzzy_hash, 1, instr(fuzzy_hash, ':') - 1) = '96'
# Hunts: whole queries, one a line
SELECT * FROM processes WHERE end_time IS NULL
SELECT pid, name, command_line FROM processes WHERE end_time IS NULL ORDER BY start_time DESC LIMIT 20
SELECT name, count(*) AS n FROM process_events GROUP BY name ORDER BY n DESC LIMIT 20
SELECT name, count(*) AS n FROM process_events GROUP BY name HAVING n = 1
SELECT executable_path, count(DISTINCT user_id) AS users FROM process_events WHERE event_type = 'start' GROUP BY executable_path ORDER BY users DESC
SELECT DISTINCT executable_hash FROM process_events WHERE executable_hash IS NOT NULL
SELECT executable_hash, min(time) AS first, max(time) AS last, count(*) AS runs FROM process_events GROUP BY executable_hash ORDER BY first DESC LIMIT 50
SELECT user_name, count(*) AS n, group_concat(DISTINCT name) AS programs FROM process_events GROUP BY user_name
SELECT parent_name, name, count(*) AS n FROM process_events GROUP BY parent_name, name HAVING n < 3 ORDER BY parent_name, name
SELECT parent_name || ' > ' || name AS edge, count(*) FROM process_events GROUP BY edge ORDER BY 2 DESC
SELECT date(time / 1000, 'unixepoch') AS day, count(*) FROM process_events GROUP BY day ORDER BY day
SELECT strftime('%Y-%m-%d %H', time / 1000, 'unixepoch') AS hour, sum(event_type = 'start') AS starts, sum(event_type = 'stop') AS stops FROM process_events GROUP BY hour
SELECT datetime(time / 1000, 'unixepoch', 'localtime') AS at, pid, name FROM process_events ORDER BY time DESC LIMIT 100
SELECT pid, datetime(start_time / 1000, 'unixepoch') FROM processes WHERE start_time > (unixepoch('now', '-1 hour') * 1000)
SELECT pid, name FROM process_events WHERE within(time, '15m') AND event_type = 'start'
SELECT name, avg(duration_ms) AS mean, max(duration_ms) AS longest FROM process_events WHERE event_type = 'stop' GROUP BY name ORDER BY longest DESC LIMIT 10
SELECT name, total(cpu_time_ms) / 1000 AS seconds FROM process_events WHERE event_type = 'stop' GROUP BY name ORDER BY seconds DESC LIMIT 10
SELECT exit_code, count(*) FROM process_events WHERE event_type = 'stop' GROUP BY exit_code
SELECT exit_signal, group_concat(name, ', ') FROM process_events WHERE exit_signal IS NOT NULL GROUP BY exit_signal
SELECT e.pid, e.name, p.name AS parent FROM process_events e JOIN process_events p ON p.exec_id = e.parent_exec_id WHERE e.event_type = 'start'
SELECT c.name, p.name, g.name FROM processes c JOIN processes p ON p.exec_id = c.parent_exec_id JOIN processes g ON g.exec_id = p.parent_exec_id
SELECT c.name, p.name, g.name FROM processes c LEFT JOIN processes p ON p.exec_id = c.parent_exec_id LEFT JOIN processes g ON g.exec_id = p.parent_exec_id
SELECT p.pid, p.name FROM processes p LEFT JOIN processes q ON q.exec_id = p.parent_exec_id WHERE q.exec_id IS NULL AND p.end_time IS NULL
SELECT a.title, a.severity, p.name, p.command_line FROM alerts a JOIN processes p ON p.exec_id = a.exec_id ORDER BY a.time DESC LIMIT 20
SELECT a.rule_id, r.title, count(*) AS n FROM alerts a JOIN detection_rules r ON r.rule_id = a.rule_id GROUP BY a.rule_id ORDER BY n DESC
SELECT rule_id, severity, count(*) FROM alerts WHERE severity IN ('high', 'critical') GROUP BY 1, 2 ORDER BY 3 DESC
SELECT r.rule_id FROM detection_rules r WHERE NOT EXISTS (SELECT 1 FROM alerts a WHERE a.rule_id = r.rule_id)
SELECT r.rule_id, (SELECT count(*) FROM alerts a WHERE a.rule_id = r.rule_id) AS n FROM detection_rules r ORDER BY n DESC
SELECT pid FROM processes WHERE pid IN (SELECT pid FROM alerts WHERE severity = 'critical')
SELECT name FROM processes WHERE exec_id NOT IN (SELECT exec_id FROM alerts WHERE exec_id IS NOT NULL)
SELECT * FROM gaps ORDER BY from_time DESC LIMIT 10
SELECT source, sum(count) AS lost FROM gaps GROUP BY source ORDER BY lost DESC
SELECT g.reason, count(*) FROM gaps g WHERE g.to_time - g.from_time > 1000 GROUP BY g.reason
SELECT a.title, g.reason FROM alerts a JOIN gaps g ON a.time BETWEEN g.from_time AND g.to_time
SELECT e.pid, g.gap_id FROM process_events e JOIN gaps g ON e.time >= g.from_time AND e.time <= g.to_time WHERE e.user_id = 0
SELECT * FROM sources WHERE state <> 'running'
SELECT name, state, detail FROM sources ORDER BY name
SELECT collector_id, version, last_seen FROM collectors
SELECT c.collector_id, c.last_seen - c.first_seen AS known FROM collectors c ORDER BY known
SELECT state, count(*) FROM detection_rules GROUP BY state
SELECT file, line, column_number, reason FROM detection_rules WHERE state = 'rejected'
SELECT name, value FROM system_info
SELECT value FROM system_info WHERE name = 'hostname'
SELECT time, process_count FROM scan_metadata ORDER BY time DESC LIMIT 5
SELECT table_name, sum(count) FROM retention GROUP BY table_name
SELECT reason, max(to_time) FROM retention GROUP BY reason
SELECT name FROM processes UNION SELECT name FROM process_events ORDER BY name
SELECT executable_path FROM processes EXCEPT SELECT executable_path FROM process_events WHERE event_type = 'stop'
SELECT user_name FROM processes INTERSECT SELECT user_name FROM alerts
SELECT 'event' AS kind, count(*) AS n FROM process_events UNION ALL SELECT 'alert', count(*) FROM alerts UNION ALL SELECT 'gap', count(*) FROM gaps
WITH recent AS (SELECT * FROM process_events WHERE within(time, '24h')) SELECT name, count(*) FROM recent GROUP BY name
WITH starts AS (SELECT exec_id, time, name FROM process_events WHERE event_type = 'start'), stops AS (SELECT exec_id, time FROM process_events WHERE event_type = 'stop') SELECT s.name, t.time - s.time AS lived FROM starts s JOIN stops t ON t.exec_id = s.exec_id ORDER BY lived DESC LIMIT 10
WITH first AS (SELECT executable_hash AS hash, min(time) AS at FROM process_events GROUP BY executable_hash) SELECT f.hash, f.at, e.name FROM first f JOIN process_events e ON e.executable_hash = f.hash AND e.time = f.at
WITH per_user(name, n) AS (SELECT user_name, count(*) FROM process_events GROUP BY user_name) SELECT name, n, n * 100.0 / (SELECT count(*) FROM process_events) AS share FROM per_user
WITH n AS (SELECT name, count(*) AS c FROM process_events GROUP BY name) SELECT avg(c), max(c), min(c) FROM n
WITH a AS (SELECT pid, time FROM alerts), b AS (SELECT pid, count(*) AS n FROM a GROUP BY pid) SELECT p.name, b.n FROM b JOIN processes p ON p.pid = b.pid
SELECT n, count(*) FROM (SELECT user_name, count(*) AS n FROM process_events GROUP BY user_name) AS q GROUP BY n
SELECT q.name, q.n FROM (SELECT name, count(*) AS n FROM process_events GROUP BY name) q WHERE q.n > 3 ORDER BY q.n
SELECT pid, name, row_number() OVER (PARTITION BY name ORDER BY time) AS nth FROM process_events
SELECT pid, time - lag(time) OVER (ORDER BY time) AS since FROM process_events
SELECT pid, time - lag(time, 1, time) OVER (PARTITION BY exec_id ORDER BY time) AS step, event_type FROM process_events
SELECT name, time, lead(name) OVER (ORDER BY time) AS next FROM process_events
SELECT name, rank() OVER (ORDER BY memory_usage DESC) AS place, memory_usage FROM processes
SELECT name, dense_rank() OVER (ORDER BY user_id) FROM processes
SELECT time, sum(cpu_time_ms) OVER (ORDER BY time ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) FROM process_events
SELECT time, count(*) OVER (PARTITION BY user_id ORDER BY time ROWS 99 PRECEDING) FROM process_events
SELECT pid, first_value(name) OVER (PARTITION BY user_id ORDER BY time) FROM process_events
SELECT pid, last_value(name) OVER (PARTITION BY user_id ORDER BY time ROWS UNBOUNDED PRECEDING) FROM process_events
SELECT count(*) FILTER (WHERE event_type = 'start') AS starts, count(*) FILTER (WHERE event_type = 'stop') AS stops FROM process_events
SELECT user_id, sum(memory_usage) FILTER (WHERE end_time IS NULL) AS resident FROM processes GROUP BY user_id
SELECT user_id, count(*) AS n FROM processes GROUP BY user_id HAVING count(*) > 2 AND max(memory_usage) > 0
SELECT max(time) - min(time) AS span, count(*) AS n FROM process_events
SELECT min(time), max(time) FROM process_events WHERE user_id = 0
SELECT path_basename(executable_path) AS program, count(DISTINCT executable_path) AS places FROM process_events GROUP BY program HAVING places > 1
SELECT path_basename(executable_path) AS program, group_concat(DISTINCT executable_path) FROM process_events GROUP BY program
SELECT pid, argv ->> 0 AS zero, argv ->> 1 AS one FROM process_events WHERE json_valid(argv)
SELECT pid, json_extract(argv, '$[#-1]') AS last FROM process_events WHERE json_valid(argv)
SELECT environment ->> 'PATH' AS path, count(*) FROM process_events WHERE json_valid(environment) GROUP BY path
SELECT pid, json_array_length(argv) AS arguments FROM process_events WHERE json_valid(argv) ORDER BY arguments DESC LIMIT 5
SELECT pid, command_line FROM process_events WHERE command_line REGEXP '(?i)password|secret|token'
SELECT pid, command_line FROM process_events WHERE command_line NOT REGEXP '^/usr/(s?bin|lib)/' LIMIT 10
SELECT count(*) FROM process_events WHERE name REGEXP '^(ba|da)?sh$'
SELECT pid, name FROM processes WHERE cidr_match(argv ->> 1, '10.0.0.0/8') AND json_valid(argv)
SELECT container_id, count(*) AS n FROM processes WHERE container_id IS NOT NULL AND end_time IS NULL GROUP BY container_id
SELECT container_runtime, count(DISTINCT container_id) FROM processes GROUP BY container_runtime
SELECT pod_id, group_concat(DISTINCT name) FROM processes GROUP BY pod_id
SELECT p.container_id, a.title FROM processes p JOIN alerts a ON a.exec_id = p.exec_id WHERE p.container_id IS NOT NULL
SELECT pid, name FROM processes WHERE kernel_thread = 0 AND executable_path IS NULL
SELECT pid, threads FROM processes ORDER BY threads DESC LIMIT 5
SELECT pid, status FROM processes WHERE status LIKE 'zombie%'
SELECT pid, name, memory_usage / 1048576 AS mib FROM processes WHERE memory_usage > 104857600 ORDER BY mib DESC
SELECT user_namespace, count(*) FROM processes GROUP BY user_namespace ORDER BY 2
SELECT pid, name FROM processes WHERE user_namespace <> (SELECT user_namespace FROM processes WHERE pid = 1 LIMIT 1)
SELECT pid, name FROM processes p WHERE EXISTS (SELECT 1 FROM processes q WHERE q.ppid = p.pid AND q.user_id <> p.user_id)
SELECT p.pid, (SELECT count(*) FROM processes q WHERE q.ppid = p.pid) AS children FROM processes p ORDER BY children DESC LIMIT 10
SELECT p.name, count(q.pid) AS children FROM processes p LEFT JOIN processes q ON q.parent_exec_id = p.exec_id GROUP BY p.exec_id ORDER BY children DESC LIMIT 10
SELECT a.pid AS first, b.pid AS second FROM process_events a JOIN process_events b ON a.exec_id = b.exec_id AND a.event_id < b.event_id WHERE a.event_type = 'start' AND b.event_type = 'modify'
SELECT a.name, b.name FROM process_events a JOIN process_events b ON b.parent_exec_id = a.exec_id WHERE a.name = 'sshd' AND within(a.time, '10s', b.time)
SELECT a.user_id, count(DISTINCT b.exec_id) FROM process_events a JOIN process_events b ON b.user_id = a.user_id AND b.time BETWEEN a.time AND a.time + 60000 WHERE a.name = 'sudo' GROUP BY a.user_id
SELECT w.pid, s.pid FROM process_events w JOIN process_events s ON s.parent_exec_id = w.exec_id WHERE w.name IN ('nginx', 'apache2') AND s.name IN ('sh', 'bash')
SELECT d.pid, x.pid FROM process_events d JOIN process_events x ON x.user_id = d.user_id WHERE d.name IN ('curl', 'wget') AND x.executable_path LIKE '/tmp/%' AND x.time > d.time
SELECT user_id FROM process_events WHERE name = 'su' GROUP BY user_id HAVING count(*) >= 5
SELECT session_id, min(time) AS begin, count(*) AS n FROM process_events WHERE session_id IS NOT NULL GROUP BY session_id ORDER BY begin
SELECT tty, user_name, count(*) FROM process_events WHERE tty IS NOT NULL GROUP BY tty, user_name
SELECT login_user_id, user_id, count(*) FROM process_events WHERE login_user_id <> user_id GROUP BY login_user_id, user_id
SELECT interpreter_path, script_path, count(*) FROM process_events WHERE script_path IS NOT NULL GROUP BY interpreter_path, script_path ORDER BY 3 DESC
SELECT cwd, count(*) AS n FROM process_events GROUP BY cwd HAVING cwd LIKE '/tmp%' ORDER BY n
SELECT stdin_kind, stdout_kind, count(*) FROM process_events GROUP BY stdin_kind, stdout_kind
SELECT source, event_type, count(*) FROM process_events GROUP BY source, event_type
SELECT reason, count(*) FROM process_events WHERE reason IS NOT NULL GROUP BY reason ORDER BY 2 DESC
SELECT severity, count(*), min(detected_time - time) AS fastest, max(detected_time - time) AS slowest FROM alerts GROUP BY severity
SELECT avg(detected_time - time) AS mean FROM alerts
SELECT title, evidence ->> 'pid' AS pid FROM alerts WHERE json_valid(evidence)
SELECT title FROM alerts WHERE tags LIKE '%attack.t1059%'
SELECT title, parent_name || ' > ' || name AS chain FROM alerts ORDER BY time DESC LIMIT 10
SELECT DISTINCT a.name, a.executable_path FROM alerts a WHERE a.user_id = 0
SELECT substr(title, 1, 30) AS short, count(*) FROM alerts GROUP BY short
SELECT CASE WHEN user_id = 0 THEN 'root' WHEN user_id < 1000 THEN 'system' ELSE 'person' END AS who, count(*) FROM process_events GROUP BY who
SELECT name, CASE severity WHEN 'critical' THEN 4 WHEN 'high' THEN 3 WHEN 'medium' THEN 2 ELSE 1 END AS weight FROM alerts ORDER BY weight DESC, time
SELECT iif(container_id IS NULL, 'host', 'container') AS place, count(*) FROM process_events GROUP BY place
SELECT hex(executable_hash) FROM process_events WHERE executable_hash IS NOT NULL LIMIT 1
SELECT upper(executable_hash) AS hash, lower(name) AS name FROM process_events WHERE length(executable_hash) = 64
SELECT replace(command_line, char_name, '') FROM (SELECT command_line, name AS char_name FROM process_events) AS q
SELECT length(command_line) / 100 AS bucket, count(*) FROM process_events GROUP BY bucket ORDER BY bucket
SELECT pid & 255 AS low, count(*) FROM processes GROUP BY low ORDER BY low
SELECT round(avg(memory_usage) / 1048576.0, 1) AS mib FROM processes
SELECT p.pid FROM processes AS p WHERE p.pid = 1
SELECT "pid", "name" FROM "processes" WHERE "pid" > 1
select pid, name from processes where name like 'k%' order by pid limit 5 offset 5
SELECT pid FROM processes WHERE name = 'it''s' -- an apostrophe
SELECT /* everything */ * FROM processes /* now */ WHERE end_time IS NULL;
SELECT * FROM processes JOIN alerts USING (exec_id)
SELECT p.*, a.title FROM processes p JOIN alerts a USING (exec_id) WHERE a.severity = 'high'
SELECT pid FROM processes WHERE (SELECT count(*) FROM alerts) > 0
SELECT pid FROM processes WHERE user_id IN (SELECT user_id FROM alerts GROUP BY user_id HAVING count(*) > 3)
SELECT pid FROM processes p WHERE start_time = (SELECT max(start_time) FROM processes q WHERE q.user_id = p.user_id)
SELECT name, time FROM process_events ORDER BY time DESC, name ASC NULLS LAST LIMIT 7
SELECT count(*), count(DISTINCT pid), count(DISTINCT exec_id) FROM process_events
SELECT sum(CASE WHEN user_id = 0 THEN 1 ELSE 0 END) * 1.0 / count(*) AS root_share FROM process_events
SELECT e.pid, e.command_line FROM process_events e WHERE e.event_type = 'start' AND NOT EXISTS (SELECT 1 FROM process_events f WHERE f.exec_id = e.exec_id AND f.event_type = 'stop')
SELECT julianday(max(time) / 1000, 'unixepoch') - julianday(min(time) / 1000, 'unixepoch') AS days FROM process_events
SELECT time(time / 1000, 'unixepoch') AS clock, name FROM process_events LIMIT 3
SELECT unhex('4142') IS NOT NULL AS known FROM system_info LIMIT 1
SELECT ltrim(rtrim(trim(name))) FROM processes
SELECT nullif(name, '') AS name, coalesce(executable_path, 'none') AS path, ifnull(user_name, user_id) AS owner FROM processes
SELECT abs(exit_code), min(pid, ppid), max(pid, ppid) FROM processes
SELECT instr(command_line, ' ') AS blank, substr(command_line, 1, 10) AS begin FROM processes
SELECT json_type(argv) AS kind, count(*) FROM process_events WHERE json_valid(argv) GROUP BY kind
SELECT w.name, x.name, y.name, z.name FROM processes w JOIN processes x ON x.exec_id = w.parent_exec_id JOIN processes y ON y.exec_id = x.parent_exec_id JOIN processes z ON z.exec_id = y.parent_exec_id
SELECT v.pid FROM processes v JOIN processes w ON w.exec_id = v.parent_exec_id JOIN processes x ON x.exec_id = w.parent_exec_id JOIN processes y ON y.exec_id = x.parent_exec_id JOIN alerts z ON z.exec_id = y.exec_id
SELECT mount_namespace, count(DISTINCT container_id) AS n FROM processes GROUP BY mount_namespace HAVING n > 1
SELECT network_namespace, group_concat(DISTINCT user_name) AS users FROM processes WHERE end_time IS NULL GROUP BY network_namespace
SELECT pid, name FROM processes WHERE effective_capabilities & 1 << 12 AND user_id <> 0
SELECT name, count(*) FROM process_events WHERE time BETWEEN 1700000000000 AND 1800000000000 GROUP BY name
SELECT day, n FROM (SELECT date(time / 1000, 'unixepoch') AS day, count(*) AS n FROM process_events GROUP BY day) AS d ORDER BY n DESC LIMIT 1
SELECT e.name FROM process_events e LEFT JOIN detection_rules r ON r.title = e.name WHERE r.rule_id IS NULL LIMIT 3
WITH shells AS (SELECT exec_id, user_id FROM process_events WHERE name REGEXP 'sh$') SELECT user_id, count(*) FROM shells GROUP BY user_id
WITH p AS (SELECT exec_id, name FROM processes) SELECT c.name, p.name FROM processes c JOIN p ON p.exec_id = c.parent_exec_id JOIN p AS q ON q.exec_id = c.exec_id
SELECT name FROM process_events WHERE name IN (SELECT name FROM processes WHERE pid IN (SELECT pid FROM alerts WHERE rule_id IN (SELECT rule_id FROM detection_rules)))
SELECT pid, exit_code FROM process_events WHERE exit_code NOT IN (0, 1, 130, 143) ORDER BY time DESC LIMIT 30
SELECT collector_id, max(last_sequence) FROM collectors GROUP BY collector_id
SELECT inode, device, count(DISTINCT executable_path) AS names FROM process_events GROUP BY inode, device HAVING names > 1
SELECT hash_algorithm, count(*) FROM process_events GROUP BY hash_algorithm
