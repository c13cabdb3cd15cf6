/*
 * A process whose arguments cannot be read without end: a page of them is mapped from a FUSE file system that never
 * answers a read. What a hostile user can do with a user namespace, done here as root in a mount namespace of its own.
 * Its second thread changes the address space all the time, so that whoever reads its memory and waits for the page makes
 * every later reader wait behind that thread, also those that would not ask for the page (/proc/PID/cmdline).
 *
 * usage: stuck_arguments FILE [locked]; FILE is an empty file to mount on
 * With "locked" the process itself reads that page, by /proc/self/mem, and waits for it: nobody else need have begun, and
 * every reader waits behind it from the start.
 * Prints the pid of the process, and ends with everything it made when its input ends.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void reply(int device, uint64_t unique, int error, const void *body, size_t bytes) {
  static char buffer[4096];
  struct fuse_out_header header = {.len = sizeof header + bytes, .error = error, .unique = unique};
  memcpy(buffer, &header, sizeof header);
  if (bytes) memcpy(buffer + sizeof header, body, bytes);
  if (write(device, buffer, header.len) < 0 && errno != ENOENT) exit(1);
}

/* Serves one file of 64 KiB as the root of the file system. Reads of it are taken and never answered. */
static void serve(int device) {
  static char buffer[1 << 20];
  for (;;) {
    ssize_t count = read(device, buffer, sizeof buffer);
    if (count < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (count < 0) exit(0);
    struct fuse_in_header *request = (void *)buffer;
    if (request->opcode == FUSE_INIT) {
      struct fuse_init_out out = {.major = 7, .minor = 31, .max_readahead = 4096, .max_background = 8,
                                  .congestion_threshold = 8, .max_write = 4096, .time_gran = 1, .max_pages = 1};
      reply(device, request->unique, 0, &out, sizeof out);
    } else if (request->opcode == FUSE_GETATTR) {
      struct fuse_attr_out out = {.attr_valid = 1000};
      out.attr = (struct fuse_attr){.ino = 1, .size = 65536, .blocks = 128, .mode = S_IFREG | 0644, .nlink = 1, .blksize = 4096};
      reply(device, request->unique, 0, &out, sizeof out);
    } else if (request->opcode == FUSE_OPEN) {
      struct fuse_open_out out = {0};
      reply(device, request->unique, 0, &out, sizeof out);
    } else if (request->opcode != FUSE_READ && request->opcode != FUSE_INTERRUPT && request->opcode != FUSE_FORGET) {
      reply(device, request->unique, -ENOSYS, NULL, 0);
    }
  }
}

static void *change_address_space(void *unused) {
  for (;;) {
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page, 4096);
    usleep(1000);
  }
  return unused;
}

static void *wait_for_page(void *page) {
  char byte;
  int memory = open("/proc/self/mem", O_RDONLY);
  return (void *)pread(memory, &byte, 1, (off_t)(unsigned long)page); /* fails when it is let go */
}

/*
 * How many threads of a process wait and cannot be interrupted, once its first one has done its part and sleeps: one for
 * the page, one for the other. On a busy machine both may also wait a while for one that holds the lock and does not run.
 */
static int count_stuck(pid_t pid) {
  char path[512], state;
  int stuck = 0;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *threads = opendir(path);
  if (!threads) return 0;
  for (struct dirent *entry; (entry = readdir(threads));) {
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, entry->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'R';
    if (state == 'D') stuck++;
    else if (atoi(entry->d_name) == pid && state != 'S') stuck = -9;
    fclose(file);
  }
  closedir(threads);
  return stuck;
}

static int fail(const char *what) {
  perror(what);
  return 1;
}

int main(int count, char **arguments) {
  if (count == 4) { /* the process itself: its second argument fills pages of its own */
    int file = open(arguments[1], O_RDONLY);
    char *page = (char *)(((unsigned long)arguments[2] + 4095) & ~4095ul);
    struct stat size; /* asked for, so that the kernel knows that the file is not empty */
    if (file < 0 || fstat(file, &size) || size.st_size == 0) return fail("open");
    if (mmap(page, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED) return fail("mmap");
    pthread_t thread;
    if (arguments[3][0] && pthread_create(&thread, NULL, wait_for_page, page)) return fail("thread");
    if (arguments[3][0]) usleep(50000); /* let it take the lock before others wait for it */
    if (pthread_create(&thread, NULL, change_address_space, NULL)) return fail("thread");
    if (!arguments[3][0]) printf("%d\n", getpid());
    fflush(stdout);
    for (;;) pause();
  }
  if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) return fail("mount namespace");
  int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return fail("/dev/fuse");
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=100644,user_id=0,group_id=0,allow_other", device);
  if (mount("stuck", arguments[1], "fuse", MS_NOSUID | MS_NODEV, options)) return fail("mount");
  pid_t server = fork();
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve(device);
  }
  close(device);
  pid_t child = fork();
  if (child == 0) {
    static char filling[3 * 4096];
    memset(filling, 'f', sizeof filling - 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl("/proc/self/exe", "stuck", arguments[1], filling, count > 2 ? arguments[2] : "", NULL);
    _exit(127);
  }
  if (count > 2) {
    for (int times = 0; times < 50; times = count_stuck(child) < 2 ? 0 : times + 1) usleep(1000);
    printf("%d\n", child);
    fflush(stdout);
  }
  char byte;
  while (read(0, &byte, 1) > 0) {}
  kill(server, SIGKILL); /* closes the device, which ends what waits for an answer */
  kill(child, SIGKILL);
  while (wait(NULL) > 0) {}
  return 0;
}
