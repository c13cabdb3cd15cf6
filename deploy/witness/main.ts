/**
 * The program of a witness: makes its key, says which logs it watches, cosigns over a socket or over files.
 *
 * Started by `deploy/witness.ts` with the grants of what it was asked to do. Exit codes as those of the CLI: 0 done,
 * 1 failed, 2 usage, 4 a request was refused.
 *
 * @module
 */
import { readAllSync } from "./read_all.ts";
import { hashName } from "../../proto/ledger/hash.ts";
import { formatVkey, noteKey, parseVkey } from "../../proto/ledger/note.ts";
import { MAX_REQUEST_BYTES } from "../../proto/ledger/witness.ts";
import { printable } from "../../proto/printable.ts";
import { WireError } from "../../proto/wire_error.ts";
import { parseWitnessArguments, USAGE, type WitnessArguments, WitnessUsageError } from "./arguments.ts";
import { locked, RealDisk, WitnessError, WitnessFiles } from "./files.ts";
import { witnessHandler } from "./server.ts";
import { cosignedNote, Witness } from "./witness.ts";

const REFUSED = 4;
const tell = (text: string): void => console.error(printable(text));

async function main(): Promise<number> {
  const args = parseWitnessArguments(Deno.args), { directory } = args;
  const disk = new RealDisk(directory), files = new WitnessFiles(disk);
  const alone = <T>(work: () => Promise<T>): Promise<T> => locked(directory, work);
  switch (args.command) {
    case "init":
      noteKey(args.operand, new Uint8Array(32), "cosignature"); // a name that no note can have is refused first
      await alone(() => Promise.resolve(files.init(args.operand, crypto.getRandomValues(new Uint8Array(32)))));
      console.log(formatVkey(new Witness(files, alone, Date.now).key));
      return 0;
    case "watch": {
      const key = parseVkey(args.operand), hash = hashName(args.hash);
      if (hash === null) throw new WitnessUsageError("--hash is blake3 or sha256");
      if (key.type !== "ed25519") throw new WitnessUsageError("A log is watched by its own key, not by a witness's");
      await alone(() => Promise.resolve(files.watch({ key, hash })));
      return 0;
    }
    case "status": {
      console.log(formatVkey(new Witness(files, alone, Date.now).key));
      for (const origin of new Set(files.logs().map(({ key }) => key.name))) {
        const { size, root, time } = files.head(origin);
        const when = time === 0 ? "never cosigned" : new Date(time * 1_000).toISOString();
        console.log(`${printable(origin)} ${size} ${root.toBase64()} ${when}`);
      }
      return 0;
    }
    case "sign": {
      const witness = new Witness(files, alone, Date.now);
      return args.operand !== "-" && Deno.statSync(args.operand).isDirectory
        ? await signAll(witness, args.operand)
        : await signOne(witness, args.operand);
    }
    case "serve":
      return await serve(new Witness(files, alone, Date.now), args);
  }
}

/** One request: the cosigned checkpoint to standard output, which is what is to be kept. */
async function signOne(witness: Witness, path: string): Promise<number> {
  const bytes = path === "-" ? readAllSync(Deno.stdin, MAX_REQUEST_BYTES) : readRequest(path);
  const answer = await witness.answer(bytes);
  if (answer.kind === "cosigned") {
    console.log(cosignedNote(answer.checkpoint, answer.signature).trimEnd());
    return 0;
  }
  tell(`refused (${answer.status}): ${answer.reason}`);
  if (answer.known !== null) tell(`audit checkpoint --proof-from ${answer.known} makes the request that fits`);
  return REFUSED;
}

/** Every `X.request` of a directory that has no answer yet; the answer is `X.cosigned` or `X.refused` beside it. */
async function signAll(witness: Witness, directory: string): Promise<number> {
  const names = [...Deno.readDirSync(directory)].filter(({ isFile }) => isFile).map(({ name }) => name).sort();
  let refused = 0;
  for (const name of names) {
    const base = name.endsWith(".request") ? name.slice(0, -".request".length) : null;
    if (base === null || names.includes(`${base}.cosigned`) || names.includes(`${base}.refused`)) continue;
    const answer = await witness.answer(readRequest(`${directory}/${name}`));
    if (answer.kind === "cosigned") {
      place(`${directory}/${base}.cosigned`, cosignedNote(answer.checkpoint, answer.signature));
      tell(`${name}: cosigned ${answer.checkpoint.origin} at ${answer.checkpoint.size}`);
      continue;
    }
    refused += 1;
    const known = answer.known === null ? "" : `known ${answer.known}\n`;
    place(`${directory}/${base}.refused`, `${answer.status} ${answer.reason}\n${known}`);
    tell(`${name}: refused (${answer.status}): ${answer.reason}`);
  }
  return refused === 0 ? 0 : REFUSED;
}

function readRequest(path: string): Uint8Array {
  // To open a named pipe would wait for ever.
  const { isFile, size } = Deno.statSync(path);
  if (!isFile) throw new WitnessError(`${path} is not a regular file`);
  if (size > MAX_REQUEST_BYTES) {
    throw new WitnessError(`${path} has ${size} bytes; a request has at most ${MAX_REQUEST_BYTES}`);
  }
  return Deno.readFileSync(path);
}

function place(path: string, text: string): void {
  Deno.writeTextFileSync(`${path}.new`, text);
  Deno.renameSync(`${path}.new`, path);
}

async function serve(witness: Witness, { socket }: WitnessArguments): Promise<number> {
  await removeStale(socket!);
  const server = Deno.serve({
    path: socket!,
    onListen: () => {
      Deno.chmodSync(socket!, 0o660);
      tell(`${formatVkey(witness.key)} listens on ${socket}`);
    },
  }, witnessHandler(witness, tell));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => server.shutdown());
  await server.finished;
  return 0;
}

/** A socket that nobody listens on is left by a witness that was killed. */
async function removeStale(socket: string): Promise<void> {
  try {
    if (!Deno.lstatSync(socket).isSocket) {
      throw new WitnessError(`${socket} is there and no socket; choose another path`);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  try {
    (await Deno.connect({ transport: "unix", path: socket })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    return Deno.removeSync(socket);
  }
  throw new WitnessError(`Another program listens on ${socket}`);
}

try {
  Deno.exit(await main());
} catch (error) {
  if (error instanceof WitnessUsageError) {
    tell(error.message);
    console.error(USAGE);
    Deno.exit(2);
  }
  const known = error instanceof WitnessError || error instanceof WireError;
  tell(`witness: ${known ? error.message : error instanceof Error ? `${error.name}: ${error.message}` : error}`);
  Deno.exit(1);
}
