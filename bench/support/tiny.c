/* The shortest process: ends with status 0 at once. Built static, without a C library. */
void _start(void) {
#if defined(__x86_64__)
  __asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall");
#elif defined(__aarch64__)
  __asm__ volatile("mov x8, #93; mov x0, #0; svc #0");
#else
#error "no system call known for this processor"
#endif
}
