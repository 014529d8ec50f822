// Families as the C interface has them: of handles that are made as those of single fields.
#pragma once

#include <array>
#include <concepts>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>

#include "base/guest_call.h"
#include "base/keyed_hash.h"
#include "format/dimensions.h"
#include "mmstats/family.h"
#include "publish/c_model.h"
#include "publish/family_table.h"

// Any thread.
struct mmstats_family {
  mmstats::detail::FamilyTable* table = nullptr;
  const std::type_info* handles = nullptr;  // which class they have
  std::size_t dimensions = 0;
};

namespace mmstats {

// Calls act(list) with the texts of an array that NULL ends, as a list of at most kMaxDimensions + 1.
template <class Act>
auto with_names(const char* const* names, Act&& act) {
  std::array<std::string_view, kMaxDimensions + 1> all;
  std::size_t count = 0;
  while (names != nullptr && count < all.size() && names[count] != nullptr) {
    all[count] = names[count];
    ++count;
  }
  return act(std::span<const std::string_view>(all.data(), count));
}

// `make(fields, label, about)` gives a shared_ptr to a Handle. Null if there is no memory, or no such handle.
template <class Handle, class Make>
mmstats_family* keep_family(mmstats_model* model, const char* label, const char* const* dimensions,
                            const About& said, const Which& which, std::string_view made_by,
                            Make&& make) noexcept {
  return with_names(dimensions, [&](std::span<const std::string_view> names) {
    KeyedHasher hash;  // what makes two families of one label one
    for (const std::string_view part : names) {
      hash.add(part.size());
      hash.add(part);
    }
    hash.add(made_by);
    hash.add(which.size);
    Which all = which;
    all.size = hash.finish();
    return keep<mmstats_family, mmstats_family>(
        model, label, all, [&](Model& fields, const std::string& name) {
          const auto parameters = std::to_string(which.size);
          const FamilyAbout about{.unit = said.unit, .help = said.help, .kind = said.kind};
          auto made = std::make_shared<mmstats_family>();
          made->handles = &typeid(Handle);
          made->dimensions = names.size();
          made->table = detail::add_family(fields, {.label = name,
                                                    .dimensions = names,
                                                    .about = about,
                                                    .made_by = made_by,
                                                    .parameters = parameters,
                                                    .of_histograms = std::same_as<Handle, mmstats_histogram>,
                                                    .handle_size = sizeof(Handle*),
                                                    .handle_alignment = alignof(Handle*),
                                                    .make = [model, make](Model& of, std::string_view whole,
                                                                          const About& its, void* into) {
                                                      std::shared_ptr<Handle> handle = make(of, whole, its);
                                                      ::new (into) Handle*(handle.get());
                                                      const mmstats_model::Hold hold;
                                                      model->of_families.push_back(std::move(handle));
                                                    }});
          return made;
        });
  });
}

// `values`: as many as it has dimensions.
inline auto texts_of(const mmstats_family& family, const char* const* values) {
  std::array<std::string_view, kMaxDimensions> texts;
  for (std::size_t i = 0; i < family.dimensions && i < texts.size() && values != nullptr; ++i)
    texts[i] = text_or_empty(values[i]);
  return texts;
}

// Null: the family's handles are others, or there is no memory.
template <class Handle>
Handle* handle_with(mmstats_family* family, const char* const* values) noexcept {
  if (family == nullptr || *family->handles != typeid(Handle)) return nullptr;
  try {
    const auto texts = texts_of(*family, values);
    return *static_cast<Handle* const*>(family->table->find(texts.data(), texts.size()));
  } catch (...) {
    return nullptr;
  }
}

}  // namespace mmstats
