/* What the shared library exports, and what other headers need of the compiler. Plain C. */
#pragma once

/* The library's own words in files are eight aligned bytes that are stored at once, in the order of arm64 and
 * x86-64. */
#if __SIZEOF_POINTER__ != 8 || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "mmstats needs a machine that is both 64-bit and little-endian, such as amd64 or arm64"
#endif

#define MMSTATS_API __attribute__((visibility("default")))

/* MMSTATS_THREAD_POINTER: where this thread's thread-local storage is, a char*. What is there once for each
 * thread, at a distance that is the same in all of them, is found with neither a symbol nor a call, in code
 * that is loaded late, too. Defined only where all compilers mean the same place. */
#if (defined(__x86_64__) && defined(__LP64__)) || defined(__aarch64__)
#if defined(__has_builtin)
#if __has_builtin(__builtin_thread_pointer)
#define MMSTATS_THREAD_POINTER ((char*)__builtin_thread_pointer())
#endif
#endif
#if !defined(MMSTATS_THREAD_POINTER) && defined(__x86_64__)
#define MMSTATS_THREAD_POINTER                          \
  __extension__({                                       \
    char* mmstats_thread_;                              \
    __asm__("movq %%fs:0, %0" : "=r"(mmstats_thread_)); \
    mmstats_thread_;                                    \
  })
#elif !defined(MMSTATS_THREAD_POINTER)
#define MMSTATS_THREAD_POINTER                            \
  __extension__({                                         \
    char* mmstats_thread_;                                \
    __asm__("mrs %0, tpidr_el0" : "=r"(mmstats_thread_)); \
    mmstats_thread_;                                      \
  })
#endif
#endif
