/*
 * A storm of short-lived processes: FORKERS processes start COUNT children in all, one after the other, each by vfork or
 * fork (turn about) and an execve of PROGRAM with one argument that no other child has: TAG-NUMBER.
 *
 * usage: storm COUNT FORKERS TAG PROGRAM
 * Prints the wall time and the CPU time of the whole storm in microseconds, how many forkers had a child that failed, and
 * the pids of the children by their number, as JSON.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t *pids; /* of all forkers */

static double microseconds(struct timeval t) { return t.tv_sec * 1e6 + t.tv_usec; }

static double cpu(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

static int start_children(int first, int count, int step, const char *tag, char *program) {
  int failed = 0;
  char text[128];
  char *arguments[] = {program, text, NULL};
  char *environment[] = {NULL};
  for (int number = first; number < count; number += step) {
    snprintf(text, sizeof text, "%s-%d", tag, number);
    pid_t pid = number / step % 2 == 0 ? vfork() : fork();
    if (pid == 0) {
      execve(program, arguments, environment);
      _exit(127);
    }
    pids[number] = pid;
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) failed++;
  }
  return failed;
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  int children = atoi(arguments[1]), forkers = atoi(arguments[2]), failed = 0;
  struct timespec begin, end;
  pids = mmap(NULL, children * sizeof *pids, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (pids == MAP_FAILED) return 1;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int forker = 0; forker < forkers; forker++) {
    if (fork() == 0) _exit(start_children(forker, children, forkers, arguments[3], arguments[4]) != 0);
  }
  for (int status; wait(&status) > 0;) failed += status != 0;
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("{\"wall\":%.0f,\"cpu\":%.0f,\"failedForkers\":%d,\"pids\":[",
         (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3, cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN),
         failed);
  for (int number = 0; number < children; number++) printf(number > 0 ? ",%d" : "%d", pids[number]);
  printf("]}\n");
  return 0;
}
