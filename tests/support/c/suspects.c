/*
 * Processes that a sensor should find suspicious by themselves.
 *
 * usage: suspects memory PROGRAM        runs a copy of PROGRAM from memory
 *        suspects deleted PROGRAM COPY  copies PROGRAM to COPY, deletes that and runs it
 *        suspects disguise PROGRAM      runs PROGRAM with the arguments of a kernel thread
 *        suspects network PORT PROGRAM  runs PROGRAM -c : with a TCP connection to PORT as its input
 *        suspects local PROGRAM         the same with a socket within the host
 *        suspects lend FILE             gives FILE the right to set its user, which is not in effect when it runs
 *        suspects become USER FILE ...  becomes USER with no right in effect and runs FILE
 *        suspects gain PROGRAM          takes that right, becomes root and runs PROGRAM, which sets no user
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void copy(const char *from, int to) {
  char bytes[65536];
  int source = open(from, O_RDONLY);
  if (source < 0) fail(from);
  for (ssize_t count; (count = read(source, bytes, sizeof bytes)) > 0;)
    if (write(to, bytes, count) != count) fail("write");
  close(source);
}

int main(int count, char **arguments) {
  extern char **environ;
  if (count < 3) return 2;
  const char *what = arguments[1];
  char *plain[] = {"program", NULL};
  if (strcmp(what, "memory") == 0) {
    int fd = memfd_create("suspect", MFD_CLOEXEC);
    copy(arguments[2], fd);
    fexecve(fd, plain, environ);
  } else if (strcmp(what, "deleted") == 0) {
    int fd = open(arguments[3], O_WRONLY | O_CREAT | O_EXCL, 0755);
    if (fd < 0) fail(arguments[3]);
    copy(arguments[2], fd);
    close(fd);
    fd = open(arguments[3], O_PATH | O_CLOEXEC);
    unlink(arguments[3]);
    fexecve(fd, plain, environ);
  } else if (strcmp(what, "disguise") == 0) {
    execl(arguments[2], "[kworker/0:1]", (char *)0);
  } else if (strcmp(what, "network") == 0) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    dup2(fd, 0);
    execl(arguments[3], "sh", "-c", ":", (char *)0);
  } else if (strcmp(what, "local") == 0) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) fail("socketpair");
    dup2(pair[0], 0);
    execl(arguments[2], "sh", "-c", ":", (char *)0);
  } else if (strcmp(what, "lend") == 0) {
    struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2};
    data.data[0].permitted = 1u << CAP_SETUID;
    if (setxattr(arguments[2], "security.capability", &data, XATTR_CAPS_SZ_2, 0) != 0) fail("setxattr");
    return 0;
  } else if (strcmp(what, "become") == 0) {
    uid_t user = atoi(arguments[2]);
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) fail("become");
    execv(arguments[3], arguments + 3);
  } else if (strcmp(what, "gain") == 0) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    data[0].effective = data[0].permitted = 1u << CAP_SETUID;
    if (syscall(SYS_capset, &header, data) != 0) fail("capset");
    if (setresuid(0, 0, 0) != 0) fail("setresuid");
    execl(arguments[2], "program", (char *)0);
  }
  fail(what);
}
