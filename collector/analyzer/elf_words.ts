/**
 * Names of the numbers in ELF files, and the imports that say what a program is able to do.
 *
 * @module
 */

/** `e_type` of `elf.h`. */
export const ELF_TYPES: ReadonlyMap<number, string> = new Map([
  [1, "relocatable"],
  [2, "executable"],
  [3, "shared"],
  [4, "core"],
]);

/** `e_machine` of `linux/elf-em.h`, of hosts that programs for Linux are made for. */
export const ELF_MACHINES: ReadonlyMap<number, string> = new Map([
  [2, "sparc"],
  [3, "i386"],
  [4, "m68k"],
  [8, "mips"],
  [20, "ppc"],
  [21, "ppc64"],
  [22, "s390"],
  [40, "arm"],
  [42, "sh"],
  [43, "sparc64"],
  [50, "ia64"],
  [62, "x86_64"],
  [183, "aarch64"],
  [243, "riscv"],
  [247, "bpf"],
  [258, "loongarch"],
]);

/** What an import of this name lets a program do, by the way it is shown. */
export const NOTABLE_IMPORTS: ReadonlySet<string> = new Set([
  ..."ptrace process_vm_readv process_vm_writev memfd_create fexecve execveat mprotect pkey_mprotect".split(" "),
  ..."execve execv execvp execvpe posix_spawn posix_spawnp system popen dlopen dlsym dlmopen".split(" "),
  ..."socket connect bind listen accept accept4 getaddrinfo sendto recvfrom raw_socket".split(" "),
  ..."setuid setresuid seteuid setgid capset prctl unshare setns chroot mount umount2 pivot_root".split(" "),
  ..."init_module finit_module delete_module bpf perf_event_open keyctl personality".split(" "),
  ..."pam_get_authtok pam_get_item pam_set_item crypt getspnam inotify_add_watch fanotify_init".split(" "),
  ..."daemon fork vfork clone kill sysctl reboot getpass utime utimes utimensat".split(" "),
]);
