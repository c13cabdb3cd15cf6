// Stands in for a tool of an attacker: it has the name and the arguments, and does nothing.
//
// STAND_IN_PLAN  what it starts, one after the other: a line each, fields between tabs, each percent-encoded:
//                file, flags, user or -1, how often, number of variables, variables, arguments. Flags: s standard input
//                and output are a socket, p input is a pipe, d the file is removed first, m a copy in memory is run
// STAND_IN_EXIT  its exit code, or less than 0: the signal that ends it
// STAND_IN_FORKS depth of a tree in which each process forks two, each of which lives for a while
// STAND_IN_HOLD  milliseconds that it lives at least, also of what it starts
//
// Started with the setuid bit it drops what that gave it before it does anything of these.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_FIELDS = 64, FIXED = 5, MAX_DEPTH = 8 };

extern char **environ;

static void fail(const char *what) {
  perror(what);
  _exit(125);
}

static char *taken(const char *name) {
  char *value = getenv(name);
  if (value != NULL) {
    value = strdup(value);
    unsetenv(name);
  }
  return value;
}

static void decode(char *text) {
  char *to = text;
  for (; *text != 0; text++) {
    unsigned byte;
    if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1) {
      *to++ = (char) byte;
      text += 2;
    } else *to++ = *text;
  }
  *to = 0;
}

static void pause_ms(long ms) {
  if (ms > 0) usleep((useconds_t) ms * 1000);
}

static void start(char **field, int fields) {
  const char *file = field[0], *flags = field[1];
  int user = atoi(field[2]), variables = atoi(field[4]), program = -1;
  if (strchr(flags, 's') != NULL) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) fail("socketpair");
    dup2(pair[0], 0), dup2(pair[0], 1);
  } else if (strchr(flags, 'p') != NULL) {
    int pair[2];
    if (pipe(pair) != 0) fail("pipe");
    dup2(pair[0], 0);
  }
  if (strpbrk(flags, "dm") != NULL && (program = open(file, O_RDONLY | O_CLOEXEC)) < 0) fail(file);
  if (strchr(flags, 'd') != NULL) unlink(file);
  if (strchr(flags, 'm') != NULL) {
    char bytes[65536];
    int memory = memfd_create("x", MFD_CLOEXEC);
    for (ssize_t n; (n = read(program, bytes, sizeof bytes)) > 0;) {
      if (write(memory, bytes, (size_t) n) != n) fail("write");
    }
    program = memory;
  }
  if (user >= 0 && (setgid((gid_t) user) != 0 || setuid((uid_t) user) != 0)) fail("setuid");
  for (int i = 0; i < variables; i++) putenv(field[FIXED + i]);
  field[fields] = NULL;
  char **arguments = field + FIXED + variables;
  if (program >= 0) fexecve(program, arguments, environ);
  else execv(file, arguments);
  fail(file);
}

static void run(char *line) {
  char *field[MAX_FIELDS + 1];
  int fields = 0;
  for (char *at = line; at != NULL && fields < MAX_FIELDS;) field[fields++] = strsep(&at, "\t");
  if (fields <= FIXED) return;
  for (int i = 0; i < fields; i++) decode(field[i]);
  for (int i = atoi(field[3]); i > 0; i--) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) start(field, fields);
    while (waitpid(child, NULL, 0) < 0) {}
  }
}

static void multiply(int depth) {
  for (int i = 0; depth > 0 && i < 2; i++) {
    if (fork() == 0) {
      multiply(depth - 1);
      pause_ms(300);
      _exit(0);
    }
  }
  while (wait(NULL) > 0) {}
}

int main(void) {
  if (setresgid(getgid(), getgid(), getgid()) != 0 || setresuid(getuid(), getuid(), getuid()) != 0) fail("setuid");
  char *plan = taken("STAND_IN_PLAN"), *code = taken("STAND_IN_EXIT"), *forks = taken("STAND_IN_FORKS");
  const char *hold = getenv("STAND_IN_HOLD");
  if (plan != NULL) {
    for (char *at = plan; at != NULL;) run(strsep(&at, "\n"));
  }
  if (forks != NULL) multiply(atoi(forks) < MAX_DEPTH ? atoi(forks) : MAX_DEPTH);
  if (hold != NULL) pause_ms(atol(hold));
  int end = code == NULL ? 0 : atoi(code);
  if (end >= 0) return end;
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(-end, SIG_DFL);
  raise(-end);
  return 1;
}
