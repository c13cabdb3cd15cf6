/*
 * The shortest process: ends with status 0 at once, or after LIFETIME_MS where that is given. Built static, without a C
 * library.
 */
#ifndef LIFETIME_MS
#define LIFETIME_MS 0
#endif

static const long lifetime[2] = {LIFETIME_MS / 1000, LIFETIME_MS % 1000 * 1000000}; /* struct timespec */

#if defined(__x86_64__)
#define NANOSLEEP 35
#define EXIT 60
static long call(long number, long first, long second) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
#define NANOSLEEP 101
#define EXIT 93
static long call(long number, long first, long second) {
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = first, x1 __asm__("x1") = second;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
  return x0;
}
#else
#error "no system call known for this processor"
#endif

void _start(void) {
  if (LIFETIME_MS > 0) call(NANOSLEEP, (long)lifetime, 0);
  call(EXIT, 0, 0);
}
