// deno-lint-ignore-file daemoneye/dlopen-in-one-file -- it is there to be refused
/**
 * Tries one thing of every kind that Deno fences, and writes what came of each to stdout as JSON: `ok`, or the name of
 * the error. Started by `refusals_test.ts` under the grants of a tier. Its one argument says where things are.
 *
 * Each act is on something that is really there and that the user may really touch, so that only the grants can refuse.
 */
import { createSocket } from "node:dgram";
import { execFileSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect as connectNode } from "node:net";
import { cpus, hostname, userInfo } from "node:os";
import { DatabaseSync } from "node:sqlite";

/** What the test prepares for the probe. */
export interface Ground {
  /** Files and directories by whom they belong to. */
  readonly collectorDir: string;
  readonly agentDir: string;
  readonly collectorStatus: string;
  readonly ledgerFile: string;
  readonly token: string;
  readonly rulesDir: string;
  readonly configFile: string;
  readonly requests: string;
  /** A file and a directory that belong to no tier. */
  readonly foreignFile: string;
  readonly foreignDir: string;
  /** A link in the collector's and the agent's directory that leads to `foreignFile`. */
  readonly linkName: string;
  /** Sockets that are listened on: the broker's, and one that is not. */
  readonly brokerSocket: string;
  readonly foreignSocket: string;
  /** A path for a new socket beside the broker's. */
  readonly newSocket: string;
  /** A TCP port of 127.0.0.1 that is listened on, and answers HTTP with a module. */
  readonly port: number;
  readonly libc: string;
  readonly otherLibrary: string;
  /** `host:port` of those that Deno lets every program import from unless it is told otherwise. */
  readonly importHosts: readonly string[];
}

type Act = () => unknown;

function acts(g: Ground): Record<string, Act> {
  const remote = (url: string): Act => () => import(url);
  return {
    "read collector's directory": () => Deno.readDirSync(g.collectorDir)[Symbol.iterator]().next(),
    "read collector's status": () => Deno.readFileSync(g.collectorStatus),
    "read collector's ledger": () => Deno.readFileSync(g.ledgerFile),
    "write collector's ledger": () => Deno.writeTextFileSync(g.ledgerFile, ""),
    "read agent's directory": () => Deno.readDirSync(g.agentDir)[Symbol.iterator]().next(),
    "read token": () => Deno.readTextFileSync(g.token),
    "read rules": () => Deno.readDirSync(g.rulesDir)[Symbol.iterator]().next(),
    "read configuration": () => Deno.readTextFileSync(g.configFile),
    "read broker socket's metadata": () => Deno.statSync(g.brokerSocket),
    "read a foreign file": () => Deno.readTextFileSync(g.foreignFile),
    "read a foreign file asynchronously": () => Deno.readTextFile(g.foreignFile),
    "read a foreign file by node": () => readFileSync(g.foreignFile),
    "read a foreign file through a link in the collector's directory": () =>
      Deno.readTextFileSync(`${g.collectorDir}/${g.linkName}`),
    "read a foreign file through a link in the agent's directory": () =>
      Deno.readTextFileSync(`${g.agentDir}/${g.linkName}`),
    "read a foreign file by dots": () =>
      Deno.readTextFileSync(`${g.agentDir}/../../${g.foreignFile.split("/").at(-1)}`),
    "read a foreign directory": () => Deno.readDirSync(g.foreignDir)[Symbol.iterator]().next(),
    "read a foreign database": () => new DatabaseSync(`${g.foreignDir}/db`, { readOnly: true }).close(),
    "read by attaching a foreign database": () => {
      using db = new DatabaseSync(":memory:");
      db.exec(`ATTACH '${g.foreignDir}/db' AS other`);
    },
    "watch a foreign directory": () => Deno.watchFs(g.foreignDir).close(),
    "stat a foreign file": () => Deno.statSync(g.foreignFile),
    "resolve a foreign path": () => Deno.realPathSync(g.foreignDir),
    "read /proc": () => Deno.readTextFileSync("/proc/self/status"),
    "read /etc/passwd": () => Deno.readTextFileSync("/etc/passwd"),

    "write collector's directory": () => Deno.writeTextFileSync(`${g.collectorDir}/new`, ""),
    "write agent's directory": () => Deno.writeTextFileSync(`${g.agentDir}/new`, ""),
    "write token": () => Deno.writeTextFileSync(g.token, "0"),
    "write rules": () => Deno.writeTextFileSync(`${g.rulesDir}/new.yml`, ""),
    "write configuration": () => Deno.writeTextFileSync(g.configFile, ""),
    "write requests": () => Deno.writeTextFileSync(`${g.requests}/new`, ""),
    "write a foreign file": () => Deno.writeTextFileSync(g.foreignFile, ""),
    "write a foreign file by node": () => writeFileSync(g.foreignFile, ""),
    "write a foreign file through a link in the collector's directory": () =>
      Deno.writeTextFileSync(`${g.collectorDir}/${g.linkName}`, ""),
    "write a foreign file through a link in the agent's directory": () =>
      Deno.writeTextFileSync(`${g.agentDir}/${g.linkName}`, ""),
    "make a foreign directory": () => Deno.mkdirSync(`${g.foreignDir}/new`),
    "make a foreign database": () => new DatabaseSync(`${g.foreignDir}/new.db`).close(),
    "remove a foreign file": () => Deno.removeSync(`${g.foreignDir}/db`),
    "change a foreign file's mode": () => Deno.chmodSync(g.foreignFile, 0o777),
    "link to a foreign file": () => Deno.linkSync(g.foreignFile, `${g.agentDir}/hard`),
    "rename a foreign file": () => Deno.renameSync(g.foreignFile, `${g.foreignFile}.moved`),
    "make a symbolic link": () => symlinkSync(g.foreignFile, `${g.collectorDir}/soft`),
    "make a temporary file": () => Deno.removeSync(Deno.makeTempFileSync()),

    "connect to the broker socket": async () =>
      (await Deno.connect({ transport: "unix", path: g.brokerSocket })).close(),
    "connect to another socket": async () => (await Deno.connect({ transport: "unix", path: g.foreignSocket })).close(),
    "connect to another socket by node": () => nodeConnection({ path: g.foreignSocket }),
    "connect by TCP": async () => (await Deno.connect({ hostname: "127.0.0.1", port: g.port })).close(),
    "connect by TCP by node": () => nodeConnection({ host: "127.0.0.1", port: g.port }),
    "fetch by HTTP": async () => await (await fetch(`http://127.0.0.1:${g.port}/`)).body?.cancel(),
    "open a WebSocket": () => new WebSocket(`ws://127.0.0.1:${g.port}/`),
    "resolve a name": () => Deno.resolveDns("localhost", "A"),
    "listen on TCP": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
    "listen on another socket": () => Deno.listen({ transport: "unix", path: g.newSocket }).close(),
    "send a datagram": () =>
      new Promise((resolve, reject) => {
        const socket = createSocket("udp4");
        // A refused bind is thrown where nobody can catch it.
        globalThis.addEventListener("error", (event) => (event.preventDefault(), reject(event.error)), { once: true });
        socket.on("error", reject);
        socket.send("x", g.port, "127.0.0.1", (error) => (socket.close(), error ? reject(error) : resolve(null)));
      }),

    "read a setting's variable": () => Deno.env.get("DAEMONEYE_PROBE"),
    "read another variable": () => Deno.env.get("HOME"),
    "read another variable by node": () => globalThis.process?.env["HOME"],
    "read all variables": () => Deno.env.toObject(),
    "set another variable": () => Deno.env.set("PATH", "/tmp"),

    "read the host's name": () => Deno.hostname(),
    "read the host's name by node": () => hostname(),
    "read the kernel's release": () => Deno.osRelease(),
    "read the user id": () => Deno.uid(),
    "read the user by node": () => userInfo(),
    "read the load": () => Deno.loadavg(),
    "read the memory": () => Deno.systemMemoryInfo(),
    "read the interfaces": () => Deno.networkInterfaces(),
    "read the processors": () => cpus(),

    "run a program": () => new Deno.Command("/bin/true").outputSync(),
    "run ps": () => new Deno.Command("/usr/bin/ps").outputSync(),
    "run ps with a library of one's own": () =>
      new Deno.Command("/usr/bin/ps", { env: { LD_PRELOAD: "/none.so" } }).outputSync(),
    "run deno": () => new Deno.Command(Deno.execPath(), { args: ["--version"] }).outputSync(),
    "run a program by node": () => execFileSync("/bin/true"),
    "signal another process": () => Deno.kill(Deno.ppid, "SIGCONT"),

    "open the C library": () => Deno.dlopen(g.libc, { getpid: { parameters: [], result: "i32" } }).close(),
    "open another library": () => Deno.dlopen(g.otherLibrary, {}).close(),
    "open the C library by another name": () => Deno.dlopen("libc.so.6", {}).close(),
    "make a pointer": () => Deno.UnsafePointer.of(new Uint8Array(1)),

    ...Object.fromEntries(g.importHosts.map((host) => [`import from ${host}`, remote(`https://${host}/none.js`)])),
    ...Object.fromEntries(
      g.importHosts.map((host) => [`be granted the import of ${host}`, () => demandGranted({ name: "import", host })]),
    ),
    "import from a local server": remote(`http://127.0.0.1:${g.port}/module.js`),
    "import from npm": remote("npm:left-pad@1.3.0"),
    "import a file": remote(`file://${g.foreignDir}/module.js`),
    "be granted all imports": () => demandGranted({ name: "import" }),
  };
}

function nodeConnection(to: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectNode(to, () => (socket.destroy(), resolve()));
    socket.on("error", reject);
  });
}

function demandGranted(descriptor: Deno.PermissionDescriptor): void {
  const { state } = Deno.permissions.querySync(descriptor);
  if (state !== "granted") throw new Deno.errors.NotCapable(state);
}

if (import.meta.main) {
  const ground = JSON.parse(Deno.args[0]!) as Ground;
  const results: Record<string, string> = {};
  for (const [name, act] of Object.entries(acts(ground))) {
    try {
      await act();
      results[name] = "ok";
    } catch (error) {
      const { name: kind, message, code } = error as Error & { code?: string };
      results[name] = kind === "NotCapable" || code === "ERR_ACCESS_DENIED" ? "refused" : `${kind}: ${message}`;
    }
  }
  console.log(JSON.stringify(results));
  Deno.exit(0);
}
