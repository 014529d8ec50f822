// The C interface to a Model, in the order of mmstats.h.
#include "publish/c_model.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "base/guest_call.h"
#include "format/file_name.h"
#include "mmstats/model.h"

using mmstats::text_or_empty;

namespace {

template <class Set>
int set_option(mmstats_model* model, Set&& set) noexcept {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const mmstats_model::Hold hold;
    if (model->model) return EBUSY;
    set(model->options);
    return 0;
  } catch (...) {
    return ENOMEM;
  }
}

int errno_of(const mmstats::Error& error) { return error.sys_errno == 0 ? EIO : error.sys_errno; }

}  // namespace

const char* mmstats_version(void) { return MMSTATS_VERSION; }

mmstats_model* mmstats_model_new(const char* label_prefix) {
  const mmstats::GuestCall guest;
  try {
    auto model = std::make_unique<mmstats_model>();
    model->options.label_prefix = text_or_empty(label_prefix);
    return model.release();
  } catch (...) {
    return nullptr;
  }
}

int mmstats_model_set_path(mmstats_model* model, const char* path) {
  return set_option(model, [&](auto& options) { options.path = text_or_empty(path); });
}

int mmstats_model_set_file_name(mmstats_model* model, const char* file_name) {
  return set_option(model, [&](auto& options) { options.file_name = text_or_empty(file_name); });
}

int mmstats_model_set_mode(mmstats_model* model, unsigned mode) {
  if (!mmstats::is_file_mode(mode)) return EINVAL;
  return set_option(model, [&](auto& options) { options.mode = mode; });
}

int mmstats_model_set_system_fields(mmstats_model* model, bool system_fields) {
  return set_option(model, [&](auto& options) { options.system_fields = system_fields; });
}

int mmstats_model_set_max_file_bytes(mmstats_model* model, std::size_t max_file_bytes) {
  return set_option(model, [&](auto& options) { options.max_file_bytes = max_file_bytes; });
}

int mmstats_model_set_remove_at_exit(mmstats_model* model, bool remove_at_exit) {
  return set_option(model, [&](auto& options) { options.remove_at_exit = remove_at_exit; });
}

int mmstats_model_set_on_error(mmstats_model* model, void (*on_error)(void*, const char*), void* context) {
  return set_option(model, [&](auto& options) {
    options.on_error = nullptr;
    if (on_error == nullptr) return;
    options.on_error = [on_error, context](const mmstats::Error& error) {
      on_error(context, error.text().c_str());
    };
  });
}

int mmstats_model_open(mmstats_model* model, char* reason, std::size_t size) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const auto opened = model->get().open();
    if (opened) return 0;
    if (reason != nullptr && size > 0) {
      const auto text = opened.error().text();
      const std::size_t length = std::min(text.size(), size - 1);
      std::memcpy(reason, text.data(), length);
      reason[length] = '\0';
    }
    return errno_of(opened.error());
  } catch (...) {
    return ENOMEM;
  }
}

int mmstats_model_flush(mmstats_model* model, bool async) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const auto flushed = model->get().flush(async ? mmstats::Flush::kAsync : mmstats::Flush::kSync);
    return flushed ? 0 : errno_of(flushed.error());
  } catch (...) {
    return ENOMEM;
  }
}

int mmstats_survive_cut_files(void) {
  const auto installed = mmstats::survive_cut_files();
  return installed ? 0 : errno_of(installed.error());
}

int mmstats_model_reopen(mmstats_model* model) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return ENOMEM;
  try {
    const auto reopened = model->get().reopen();
    return reopened ? 0 : errno_of(reopened.error());
  } catch (...) {
    return ENOMEM;
  }
}

void mmstats_model_remove(mmstats_model* model) {
  const mmstats::GuestCall guest;
  if (model == nullptr) return;
  try {
    model->get().remove();
  } catch (const std::bad_alloc&) {
    // Then there is no file either.
  }
}

void mmstats_model_free(mmstats_model* model) {
  const mmstats::GuestCall guest;
  delete model;
}
