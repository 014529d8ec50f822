// For functions of threads that are cancelled.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_handle_no_return();
#endif

// The first variable of the function. The frames that a cancellation unwinds do not return: AddressSanitizer
// must hear that what was in them is free.
struct ForgottenFrames {
  ForgottenFrames() = default;
  ForgottenFrames(const ForgottenFrames&) = delete;
  ForgottenFrames& operator=(const ForgottenFrames&) = delete;
  ~ForgottenFrames() {
#if defined(__SANITIZE_ADDRESS__)
    __asan_handle_no_return();
#endif
  }
};
