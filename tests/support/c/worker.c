/*
 * A small program as packages and builds have them.
 *
 * usage: worker                says which one it is
 *        worker daemon FILE    forks twice, writes its pid to FILE, and waits; on SIGHUP it begins anew by its path, on
 *                              SIGUSR1 by what it runs already, as servers do for an upgrade
 *        worker serve FILE     what it runs then
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "1"
#endif

static void again(const char *program, char **arguments) {
  char *next[] = {arguments[0], "serve", arguments[2], NULL};
  execv(program, next);
  perror(program);
  _exit(1);
}

static void serve(char **arguments) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  FILE *file = fopen(arguments[2], "w");
  if (file == NULL) _exit(1);
  fprintf(file, "%d %s\n", (int)getpid(), VERSION);
  fclose(file);
  int signal;
  if (sigwait(&set, &signal) != 0) _exit(1);
  if (signal == SIGHUP) again(arguments[0], arguments);
  if (signal == SIGUSR1) again("/proc/self/exe", arguments);
  _exit(0);
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "serve") == 0) serve(arguments);
  if (count == 3 && strcmp(arguments[1], "daemon") == 0) {
    if (fork() != 0) return 0;
    setsid();
    if (fork() != 0) _exit(0);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    umask(022);
    serve(arguments);
  }
  printf("worker %s\n", VERSION);
  return 0;
}
