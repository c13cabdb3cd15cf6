/**
 * Tasks and their results between their plain form and the generated messages of `ipc.proto`.
 *
 * Tasks that filter networks, files or performance are refused rather than answered without their filter, and so are
 * results that hold records of them: no collector of this version makes such records.
 *
 * @module
 */
import { create } from "@bufbuild/protobuf";
import { fromU53, member, toU53 } from "./cold_codec.ts";
import type * as common from "./gen/common_pb.ts";
import { HashCheckSchema, HashResultSchema, ProcessFilterSchema, ProcessRecordSchema } from "./gen/common_pb.ts";
import type * as ipc from "./gen/ipc_pb.ts";
import { DetectionResultSchema, DetectionTaskSchema } from "./gen/ipc_pb.ts";
import {
  type DetectionResult,
  type DetectionTask,
  type HashResult,
  MAX_RESULT_PROCESSES,
  type ProcessRecord,
  TASK_TYPES,
} from "./task.ts";
import { WireError } from "./wire_error.ts";

export function writeTask(task: DetectionTask): ipc.DetectionTask {
  const filter = task.processFilter, check = task.hashCheck;
  return create(DetectionTaskSchema, {
    taskId: task.taskId,
    taskType: TASK_TYPES.indexOf(task.taskType),
    processFilter: filter === null ? undefined : create(ProcessFilterSchema, {
      processNames: [...filter.processNames],
      pids: [...filter.pids],
      executablePattern: filter.executablePattern ?? undefined,
    }),
    hashCheck: check === null ? undefined : create(HashCheckSchema, check),
    metadata: task.metadata ?? undefined,
  });
}

export function readTask(message: ipc.DetectionTask): DetectionTask {
  if (message.networkFilter ?? message.filesystemFilter ?? message.performanceFilter) {
    throw new WireError("A task filters networks, files or performance, which protocol version 1 does not");
  }
  const filter = message.processFilter, check = message.hashCheck;
  return {
    taskId: message.taskId,
    taskType: member(TASK_TYPES, message.taskType, "task type"),
    processFilter: filter === undefined ? null : {
      processNames: filter.processNames,
      pids: filter.pids,
      executablePattern: filter.executablePattern ?? null,
    },
    hashCheck: check === undefined ? null : {
      expectedHash: check.expectedHash,
      hashAlgorithm: check.hashAlgorithm,
      executablePath: check.executablePath,
    },
    metadata: message.metadata ?? null,
  };
}

export function writeResult(result: DetectionResult): ipc.DetectionResult {
  if (result.processes.length > MAX_RESULT_PROCESSES) {
    throw new WireError(`A result holds at most ${MAX_RESULT_PROCESSES} processes, got ${result.processes.length}`);
  }
  const hash = result.hashResult;
  return create(DetectionResultSchema, {
    taskId: result.taskId,
    success: result.success,
    errorMessage: result.errorMessage ?? undefined,
    processes: result.processes.map(writeRecord),
    hashResult: hash === null
      ? undefined
      : create(HashResultSchema, { ...hash, errorMessage: hash.errorMessage ?? undefined }),
    analysis: result.analysis ?? undefined,
  });
}

export function readResult(message: ipc.DetectionResult): DetectionResult {
  if (message.networkEvents.length + message.filesystemEvents.length + message.performanceEvents.length > 0) {
    throw new WireError("A result holds network, file or performance records, which protocol version 1 does not");
  }
  return {
    taskId: message.taskId,
    success: message.success,
    errorMessage: message.errorMessage ?? null,
    processes: message.processes.map(readRecord),
    hashResult: message.hashResult === undefined ? null : readHashResult(message.hashResult),
    ...message.analysis === undefined ? {} : { analysis: message.analysis },
  };
}

function readHashResult(message: common.HashResult): HashResult {
  return {
    hashValue: message.hashValue,
    algorithm: message.algorithm,
    filePath: message.filePath,
    success: message.success,
    errorMessage: message.errorMessage ?? null,
  };
}

function writeRecord(record: ProcessRecord): common.ProcessRecord {
  const { startTime, memoryUsage } = record;
  return create(ProcessRecordSchema, {
    pid: record.pid,
    ppid: record.ppid ?? undefined,
    name: record.name,
    executablePath: record.executablePath ?? undefined,
    commandLine: [...record.commandLine],
    startTime: startTime === null ? undefined : fromU53(startTime, "A start time"),
    cpuUsage: record.cpuUsage ?? undefined,
    memoryUsage: memoryUsage === null ? undefined : fromU53(memoryUsage, "A memory usage"),
    executableHash: record.executableHash ?? undefined,
    hashAlgorithm: record.hashAlgorithm ?? undefined,
    userId: record.userId ?? undefined,
    accessible: record.accessible,
    fileExists: record.fileExists,
    collectionTime: fromU53(record.collectionTime, "A collection time"),
    ssdeepHash: record.fuzzyHash ?? undefined,
    onDiskMismatch: record.onDiskMismatch,
    ssdeepDegraded: record.fuzzyHashDegraded,
  });
}

function readRecord(message: common.ProcessRecord): ProcessRecord {
  const { startTime, cpuUsage, memoryUsage } = message;
  if (cpuUsage !== undefined && !Number.isFinite(cpuUsage)) throw new WireError("A CPU usage is not a finite number");
  return {
    pid: message.pid,
    ppid: message.ppid ?? null,
    name: message.name,
    executablePath: message.executablePath ?? null,
    commandLine: message.commandLine,
    startTime: startTime === undefined ? null : toU53(startTime, "A start time"),
    cpuUsage: cpuUsage ?? null,
    memoryUsage: memoryUsage === undefined ? null : toU53(memoryUsage, "A memory usage"),
    executableHash: message.executableHash ?? null,
    hashAlgorithm: message.hashAlgorithm ?? null,
    userId: message.userId ?? null,
    accessible: message.accessible,
    fileExists: message.fileExists,
    collectionTime: toU53(message.collectionTime, "A collection time"),
    fuzzyHash: message.ssdeepHash ?? null,
    onDiskMismatch: message.onDiskMismatch,
    fuzzyHashDegraded: message.ssdeepDegraded,
  };
}
