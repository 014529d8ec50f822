// What a Model has: its fields, and the files that hold them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mmstats/model.h"
#include "publish/families.h"
#include "publish/file_set.h"
#include "publish/known_fields.h"
#include "publish/region.h"
#include "publish/telling.h"

namespace mmstats {

inline constexpr std::string_view kLostForNoMemory =
    "values are lost: there is no memory for them (ulimit -v), or no thread key, or the thread's key "
    "destructors write for ever";

// One thread at a time.
struct Model::Impl {
  // More private memory than there is beside the files: that of a Model without any.
  struct More {
    std::unique_ptr<Impl> impl;
    std::uint32_t number;
  };

  ModelOptions options;
  KnownFields known{options};
  Families families;
  FileSet per_thread;
  FileSet shared;
  std::vector<More> more;
  std::string label;                      // of the field that is added: its memory serves the next one
  std::optional<Error> no_file;           // why there is none
  bool told = false;                      // of that
  std::atomic<bool> told_amount = false;  // of one that adds nothing
  ReadyError refused_amount;              // that
  ReadyError no_memory;                   // where even to say so may take too much

  // Memory for tables of buckets: less than an eighth of the room that these buckets take in the file.
  static std::size_t tables_bytes(std::size_t file_bytes) { return whole_pages(file_bytes / 8); }

  // `options`: whose limits are possible.
  explicit Impl(ModelOptions options_)
      : options(std::move(options_)),
        per_thread(options,
                   {.file = options.max_file_bytes,
                    .memory = RegionSize{}.memory + tables_bytes(options.max_file_bytes)},
                   tables_bytes(options.max_file_bytes)),
        shared(options, {.file = options.max_file_bytes}) {
    no_memory.set_no_memory(kLostForNoMemory);
  }
  // Has no files.
  Impl(OnError on_error, RegionSize size)
      : options{.system_fields = false, .on_error = std::move(on_error)},
        per_thread(options, size),
        shared(options, size) {
    publish_no_more();
    no_memory.set_no_memory(kLostForNoMemory);
  }

  // Keeps why there is no file, to be told once.
  void fail(const Error& error, std::vector<Error>& errors) {
    no_file = error;
    if (!std::exchange(told, true)) errors.push_back(error);
  }

  void choose_mode(std::vector<Error>& errors);
  void choose_prefix(std::vector<Error>& errors);

  // For good: no more files are made.
  void publish_no_more() {
    per_thread.publish_no_more();
    shared.publish_no_more();
  }
  void remove() {
    publish_no_more();
    for_each_region([](Region& region) { region.remove(); });
  }
  // Of all files that it has, which stay mapped.
  void remove_names() {
    for_each_region([](Region& region) { region.remove_name(); });
  }

  template <class Do>
  void for_each_region(Do&& act) {
    for (const FileSet* files : {&per_thread, &shared}) {
      for (Region* region : files->regions()) act(*region);
    }
  }
};

}  // namespace mmstats
