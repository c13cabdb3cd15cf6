/**
 * Parsers of files below `/proc`.
 *
 * @module
 */
import {
  parseCredentials,
  parseForkCount,
  parseIds,
  parseStat,
  stateName,
} from "../../../collector/kernel/procfs_parse.ts";
import {
  kindOfLink,
  parseAuditId,
  parseControlGroup,
  parseNamespace,
  parseProcMount,
  parseStatus,
  parseThreadCount,
} from "../../../collector/kernel/procfs_context_parse.ts";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import { type TextParser, textTarget } from "./text.ts";

const STAT = `17719 (sleep) S 17718 17719 17719 0 -1 4194304 118 0 0 0 12 34 0 0 20 0 3 0 560295 2838528 381 ` +
  `18446744073709551615 94143271837696 94143271919569 140734577034112 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 ` +
  `94143271938256 94143271943284 94143278776320 140734577037094 140734577037129 140734577037129 140734577041387 0\n`;
const STATUS = `Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t17719\nNgid:\t0\nPid:\t17719\nPPid:\t17718\n` +
  `TracerPid:\t0\nUid:\t0\t1\t2\t3\nGid:\t4\t5\t6\t7\nFDSize:\t64\nGroups:\t0 24 1000 \nNStgid:\t17719\t5\n` +
  `NSpid:\t17719\t5\nVmRSS:\t    1524 kB\nThreads:\t3\nCapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\n` +
  `CapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n`;
const HOST_STAT = `cpu  83137 0 68563 2375342 1044 0 2263 69 0 0\nintr 19023 0 1\nctxt 43210987\nbtime 1763700000\n` +
  `processes 1234567\nprocs_running 2\nprocs_blocked 0\n`;
const ENVIRON = "PATH=/usr/bin:/bin\0LD_PRELOAD=/tmp/x.so\0SSH_CONNECTION=10.0.0.1 22 10.0.0.2 4\0HOME=/root\0A\0=\0";

const CONTROL_GROUPS = "12:cpu,cpuacct:/user.slice\n3:pids:/docker/0a0a (deleted)\n1:name=systemd:/init.scope\n0::/\n";
const MOUNTS = "22 1 0:20 / / rw,relatime - ext4 /dev/vda rw\n" +
  "23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw,hidepid=2,subset=pid\n";

const decoder = new TextDecoder();
const text = (bytes: Uint8Array, length: number): string => decoder.decode(bytes.subarray(0, length));
const environment = new EnvironmentFilter(["LD_*", "PATH", "SSH_CONNECTION"]);

/** A line for each. */
const PARSERS: readonly TextParser[] = [
  { name: "parseStat", samples: [STAT, STAT.replace("(sleep)", "(a) S 1 (b)")], parse: parseStat },
  {
    name: "parseIds",
    samples: [STATUS],
    parse: (bytes, length) => {
      const ids = new Float64Array(4);
      return parseIds(bytes, length, ids) ? [...ids] : null;
    },
  },
  {
    name: "parseCredentials",
    samples: [STATUS],
    parse: (bytes, length) => parseCredentials(1, text(bytes, length)),
    throws: [SyntaxError],
  },
  { name: "parseForkCount", samples: [HOST_STAT], parse: (bytes, length) => parseForkCount(text(bytes, length)) },
  { name: "stateName", samples: ["S", "R", "?"], parse: (bytes) => stateName(bytes[0] ?? 0) },
  { name: "parseStatus", samples: [STATUS], parse: parseStatus },
  { name: "parseAuditId", samples: ["1000", "4294967295", "7\n"], parse: parseAuditId },
  { name: "parseNamespace", samples: ["mnt:[4026531841]", "net:[4026531840]"], parse: parseNamespace },
  { name: "parseControlGroup", samples: [CONTROL_GROUPS], parse: parseControlGroup },
  {
    name: "kindOfLink",
    samples: ["pipe:[123]", "socket:[1]", "/dev/pts/1", "anon_inode:[eventfd]"],
    parse: kindOfLink,
  },
  { name: "parseProcMount", samples: [MOUNTS], parse: (bytes, length) => parseProcMount(text(bytes, length)) },
  {
    name: "parseThreadCount",
    samples: ["0.39 0.21 0.46 2/178 30512\n"],
    parse: (bytes, length) => parseThreadCount(text(bytes, length)),
  },
  { name: "environment", samples: [ENVIRON], parse: (bytes, length) => environment.select(bytes, 0, length) },
];

export const procfs = PARSERS.map((parser) => textTarget("procfs", parser, 40_000));
