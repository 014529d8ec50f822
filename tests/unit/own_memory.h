// Whether the system reads a process's memory for it.
#pragma once

#include <sys/uio.h>
#include <unistd.h>

// The library asks for that with a file that was cut. qemu's user emulation does not: there nothing of such a
// file is kept.
inline bool can_read_own_memory() {
  char byte = 0;
  char copy = 0;
  const iovec to{.iov_base = &copy, .iov_len = 1};
  const iovec from{.iov_base = &byte, .iov_len = 1};
  return ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0) == 1;
}
