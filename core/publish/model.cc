#include "mmstats/model.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "base/guest_call.h"
#include "format/file_name.h"
#include "mmstats/fields.h"
#include "publish/cut_guard.h"
#include "publish/model_impl.h"
#include "publish/models.h"

namespace mmstats {
namespace {

constexpr std::size_t kMinFile = std::size_t{64} << 10U;
constexpr std::size_t kMaxFile = std::size_t{1} << 30U;

ModelOptions within_limits(ModelOptions options) {
  options.path = absolute_folder(options.path);
  options.max_file_bytes = whole_pages(std::clamp(options.max_file_bytes, kMinFile, kMaxFile));
  return options;
}

}  // namespace

void Model::Impl::choose_mode(std::vector<Error>& errors) {
  if (options.mode) {
    if (is_file_mode(*options.mode)) return;
    errors.push_back(bad_mode("the mode of the Model's options"));
    options.mode.reset();
  }
  if (auto mode = environment_mode()) {
    options.mode = *mode;
  } else {
    errors.push_back(mode.error());
  }
}

void Model::Impl::choose_prefix(std::vector<Error>& errors) {
  auto& prefix = options.label_prefix;
  if (const auto wrong = wrong_prefix(prefix); !wrong.empty()) {
    // Without it, fields would be taken for others.
    prefix.clear();
    publish_no_more();
    return fail(failure(ErrorKind::kInvalid, {}, "a Model is not published: " + wrong), errors);
  }
  auto clean = one_line(prefix);
  if (clean == prefix) return;
  errors.push_back(failure(
      ErrorKind::kInvalid, {},
      "the prefix of labels \"" + printable(prefix) + "\" has tabs, line ends or NULs, which become blanks"));
  prefix = std::move(clean);
}

Model::Model(ModelOptions options)
    : impl_(std::make_unique<Impl>(within_limits(std::move(options)))),
      number_(Models::get().add(impl_.get())) {}

Model::~Model() {
  const GuestCall guest;
  Models::get().remove(impl_.get(), number_);
}

detail::Added Model::add_field(const detail::FieldSpec& spec, const About& about) {
  const GuestCall guest;
  Models::Lock lock(impl_.get());
  if (!lock) {
    lock.errors.push_back(failure(ErrorKind::kLimit, {},
                                  quoted_field(spec.label) + "is lost: " + Models::is_forking().message));
    return {place_of(kNoNumber, 0), place_of(kNoNumber, 0), place_of(kNoNumber, 0)};
  }
  return Models::get().add_field(*impl_, number_, spec, about, lock.errors);
}

detail::Place Model::add_memory(std::size_t size) {
  const GuestCall guest;
  Models::Lock lock(impl_.get());
  if (!lock) {
    lock.errors.push_back(
        failure(ErrorKind::kLimit, {}, "memory for a field " + Models::is_forking().message));
    return place_of(kNoNumber, 0);
  }
  return Models::get().add_memory(*impl_, number_, {.size = size}, lock.errors);
}

Expected<void> Model::open() {
  const GuestCall guest;
  bool shares = false;
  {
    const Models::Lock lock(impl_.get());
    if (!lock) return tl::unexpected(Models::is_forking());
    impl_->told = true;
    shares = impl_->shared.has_fields();
  }
  const detail::Place begin = place_of(number_, 0);
  const auto* const file = begin.in_thread();
  const auto* const shared = shares ? begin.in_shared() : nullptr;
  Models::Lock lock(impl_.get());
  if (!lock) return tl::unexpected(Models::is_forking());
  const auto published = [&] {
    return impl_->per_thread.is_published(file) && (shared == nullptr || impl_->shared.is_published(shared));
  };
  if (published()) return {};
  const auto wrong = Models::publish_again(*impl_, number_, lock);
  if (published()) return {};
  if (!impl_->no_file && !wrong.empty()) return tl::unexpected(wrong.front());
  return tl::unexpected(impl_->no_file.value_or(
      failure(ErrorKind::kLimit, {}, "there is no memory, or the Model was removed")));
}

Expected<void> Model::flush(Flush how) {
  const GuestCall guest;
  struct Range {
    std::string path;
    std::byte* address;
    std::size_t bytes;
  };
  std::vector<Range> ranges;
  Expected<void> result;
  {
    Models::Lock lock(impl_.get());
    if (!lock) return tl::unexpected(Models::is_forking());
    auto wrong = Models::publish_again(*impl_, number_, lock);
    if (!wrong.empty()) result = tl::unexpected(std::move(wrong.front()));
    impl_->for_each_region([&](const Region& region) {
      // What has no name any more, at exit, is nobody's to read.
      if (region.is_file() && !region.path().empty())
        ranges.push_back({region.path(), region.address(), region.file_bytes()});
    });
  }
  // Without the lock: a disk may take long. The addresses stay valid.
  for (const Range& range : ranges) {
    if (::msync(range.address, range.bytes, how == Flush::kSync ? MS_SYNC : MS_ASYNC) == 0 || !result)
      continue;
    result = tl::unexpected(system_failure(range.path, "cannot be written to disk"));
  }
  return result;
}

Expected<void> Model::reopen() {
  const GuestCall guest;
  Models::Lock lock(impl_.get());
  if (!lock) return tl::unexpected(Models::is_forking());
  auto wrong = Models::publish_again(*impl_, number_, lock);
  if (wrong.empty()) return {};
  return tl::unexpected(std::move(wrong.front()));
}

Expected<void> survive_cut_files() {
  const GuestCall guest;
  return CutGuard::install();
}

void Model::remove() {
  const GuestCall guest;
  Models::get().remove_files(*impl_);
}

std::string Model::path() const {
  const GuestCall guest;
  const auto* const file = place_of(number_, 0).in_thread();
  const Models::Lock lock(impl_.get());
  if (!lock) return {};
  for (const Region* region : impl_->per_thread.regions()) {
    if (region->address() == file) return region->is_file() ? region->path() : std::string{};
  }
  return {};
}

std::vector<std::string> Model::paths() const {
  const GuestCall guest;
  std::vector<std::string> paths;
  const Models::Lock lock(impl_.get());
  if (!lock) return paths;
  impl_->for_each_region([&](const Region& region) {
    if (region.is_file() && !region.path().empty()) paths.push_back(region.path());
  });
  return paths;
}

}  // namespace mmstats
