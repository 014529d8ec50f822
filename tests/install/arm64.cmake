# Builds for arm64 with Debian's cross compiler and its packages for that architecture: see arm64 beside it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
# ctest starts all tests that are programs of this build with it. ThreadSanitizer wants addresses that are not random,
# and would start its program again for that, which only a kernel can that knows the emulator.
set(CMAKE_CROSSCOMPILING_EMULATOR setarch --addr-no-randomize qemu-aarch64-static)
