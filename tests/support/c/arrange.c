/*
 * Arranges the circumstances of a process in one way and starts a program in them, or stays in them.
 *
 * usage: arrange socket|eventfd|directory|closed PROGRAM [ARGUMENT...]  what standard input is
 *        arrange opened SCRIPT [ARGUMENT...]      starts an open file, which has no name then
 *        arrange cgroup FILE PROGRAM [ARGUMENT...] as a member of the control group whose cgroup.procs FILE is
 *        arrange ids | login | tty | threads | socket-stay    says `ready` and stays until it is killed
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *what) {
  perror(what);
  return 1;
}

static void *sleep_on(void *unused) {
  for (;;) pause();
  return unused;
}

static void put(const char *path, const char *text) {
  int file = open(path, O_WRONLY);
  if (file < 0 || write(file, text, strlen(text)) < 0) exit(fail(path));
  close(file);
}

static void use_as_input(int descriptor) {
  if (descriptor < 0 || dup2(descriptor, 0) < 0) exit(fail("standard input"));
  if (descriptor != 0) close(descriptor);
}

int main(int count, char **arguments) {
  const char *way = count > 1 ? arguments[1] : "";
  char **program = arguments + 2;
  int pair[2];
  if (!strncmp(way, "socket", 6)) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return fail("socketpair");
    use_as_input(pair[0]);
  } else if (!strcmp(way, "eventfd")) {
    use_as_input(eventfd(0, 0));
  } else if (!strcmp(way, "directory")) {
    use_as_input(open("/", O_RDONLY | O_DIRECTORY));
  } else if (!strcmp(way, "closed")) {
    close(0);
  } else if (!strcmp(way, "opened")) {
    fexecve(open(arguments[2], O_RDONLY), program, environ);
    return fail("fexecve");
  } else if (!strcmp(way, "cgroup")) {
    put(arguments[2], "0");
    program++;
  } else if (!strcmp(way, "ids")) {
    if (setgroups(0, NULL) || setresgid(11, 12, 13) || prctl(PR_SET_KEEPCAPS, 1) || setresuid(21, 22, 23)) return fail("ids");
  } else if (!strcmp(way, "login")) {
    put("/proc/self/loginuid", "4321");
  } else if (!strcmp(way, "tty")) {
    int controller = posix_openpt(O_RDWR | O_NOCTTY);
    if (controller < 0 || grantpt(controller) || unlockpt(controller) || setsid() < 0) return fail("pty");
    use_as_input(open(ptsname(controller), O_RDWR));
    if (ioctl(0, TIOCSCTTY, 1) < 0) return fail("TIOCSCTTY");
  } else if (!strcmp(way, "threads")) {
    pthread_t thread;
    for (int i = 0; i < 3; i++)
      if (pthread_create(&thread, NULL, sleep_on, NULL)) return fail("thread");
  } else {
    return 2;
  }
  if (*program != NULL) {
    execv(*program, program);
    return fail(*program);
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
