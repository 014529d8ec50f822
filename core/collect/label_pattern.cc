#include "collect/label_pattern.h"

#include <re2/re2.h>

#include "base/failure.h"

namespace mmstats {

Expected<std::unique_ptr<const re2::RE2>> compile_label_pattern(const std::string& pattern) {
  RE2::Options options(RE2::Latin1);
  options.set_log_errors(false);
  options.set_dot_nl(true);
  auto compiled = std::make_unique<const RE2>(pattern, options);
  if (!compiled->ok()) return tl::unexpected(failure(ErrorKind::kInvalid, {}, compiled->error()));
  return compiled;
}

bool matches_whole(const re2::RE2& pattern, std::string_view label) {
  return RE2::FullMatch({label.data(), label.size()}, pattern);
}

}  // namespace mmstats
