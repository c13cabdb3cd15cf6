/**
 * Events and states of processes as chance makes them, for properties.
 *
 * @module
 */
import fc from "fast-check";
import {
  EXECUTABLE_KINDS,
  MAX_ARGV_BYTES,
  PROCESS_EVENT_KINDS,
  type ProcessContext,
  type ProcessEvent,
  type ProcessState,
  SEVERITIES,
  STDIO_KINDS,
} from "../../proto/process_event.ts";

const text = fc.string({ unit: "grapheme", maxLength: 40 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const uint53 = fc.maxSafeNat();
const double = fc.double({ noNaN: true, noDefaultInfinity: true });
const argv = fc.uint8Array({ maxLength: 300 }).map((value) => new Uint8Array(value));

const anyContext: fc.Arbitrary<ProcessContext> = fc.record({
  cwd: maybe(text),
  effectiveUserName: maybe(text),
  groupName: maybe(text),
  savedUserId: maybe(uint32),
  effectiveGroupId: maybe(uint32),
  savedGroupId: maybe(uint32),
  loginUserId: maybe(uint32),
  sessionId: maybe(uint32),
  tty: maybe(text),
  effectiveCapabilities: maybe(uint53),
  userNamespace: maybe(uint32),
  pidNamespace: maybe(uint32),
  mountNamespace: maybe(uint32),
  networkNamespace: maybe(uint32),
  cgroupPath: maybe(text),
  cgroupId: maybe(uint53),
  containerId: maybe(text),
  containerRuntime: maybe(text),
  podId: maybe(text),
  interpreterPath: maybe(text),
  scriptPath: maybe(text),
  stdinKind: maybe(fc.constantFrom(...STDIO_KINDS)),
  stdoutKind: maybe(fc.constantFrom(...STDIO_KINDS)),
  environment: maybe(text),
}, { noNullPrototype: true });

/** Any event that the model allows. */
export const anyEvent: fc.Arbitrary<ProcessEvent> = fc.record({
  kind: fc.constantFrom(...PROCESS_EVENT_KINDS),
  time: uint53,
  execId: fc.string({ minLength: 1 }),
  parentExecId: maybe(text),
  pid: uint32,
  ppid: maybe(uint32),
  name: text,
  executablePath: maybe(text),
  argv: maybe(fc.oneof(argv, fc.constant(new Uint8Array(MAX_ARGV_BYTES).fill(0xff)))),
  argvLength: maybe(uint32),
  userId: maybe(uint32),
  userName: maybe(text),
  effectiveUserId: maybe(uint32),
  groupId: maybe(uint32),
  namespacePid: maybe(uint32),
  startTime: maybe(uint53),
  endTime: maybe(uint53),
  durationMs: maybe(double),
  exitCode: maybe(uint32),
  exitSignal: maybe(uint32),
  cpuTimeMs: maybe(double),
  memoryUsage: maybe(uint53),
  executableHash: maybe(text),
  hashAlgorithm: maybe(text),
  fuzzyHash: maybe(text),
  fileExists: maybe(fc.boolean()),
  onDiskMismatch: maybe(fc.boolean()),
  accessible: maybe(fc.boolean()),
  parentName: maybe(text),
  parentExecutablePath: maybe(text),
  parentCommandLine: maybe(text),
  executableKind: maybe(fc.constantFrom(...EXECUTABLE_KINDS)),
  context: maybe(anyContext),
  inode: maybe(uint53),
  device: maybe(uint32),
  modifiedFields: fc.array(text, { maxLength: 64 }),
  reason: maybe(text),
  severity: maybe(fc.constantFrom(...SEVERITIES)),
  source: text,
}, { noNullPrototype: true });

/** Any process that the model allows. */
export const anyState: fc.Arbitrary<ProcessState> = fc.record({
  execId: fc.string({ minLength: 1 }),
  parentExecId: maybe(text),
  pid: uint32,
  ppid: maybe(uint32),
  name: text,
  executablePath: maybe(text),
  argv: maybe(argv),
  argvLength: maybe(uint32),
  userId: maybe(uint32),
  userName: maybe(text),
  effectiveUserId: maybe(uint32),
  groupId: maybe(uint32),
  namespacePid: maybe(uint32),
  startTime: maybe(uint53),
  cpuTimeMs: maybe(double),
  memoryUsage: maybe(uint53),
  threads: maybe(uint32),
  executableKind: maybe(fc.constantFrom(...EXECUTABLE_KINDS)),
  context: maybe(anyContext),
  status: text,
  kernelThread: fc.boolean(),
}, { noNullPrototype: true });
