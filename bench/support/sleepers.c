/*
 * Starts COUNT processes that do nothing, each with its number as argument, and ends with them when its input ends.
 *
 * usage: sleepers COUNT; prints how many it started
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **arguments) {
  if (count == 3) { /* a child */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pause();
    return 0;
  }
  int wanted = atoi(arguments[1]), started = 0;
  for (; started < wanted; started++) {
    char text[16];
    snprintf(text, sizeof text, "%d", started);
    pid_t pid = vfork();
    if (pid < 0) break;
    if (pid == 0) {
      execl("/proc/self/exe", "sleeper", "child", text, NULL);
      _exit(127);
    }
  }
  printf("%d\n", started);
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {}
  return 0;
}
