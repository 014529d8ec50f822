// What the files of a folder say, as any reader sees them.
#pragma once

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "mmstats/format.h"
#include "mmstats/settle.h"

struct FileContent {
  std::string name;                       // of the file
  std::string wrong;                      // why it could not be read, or not to its end
  std::map<std::string, double> numbers;  // by label; exact up to 2^53
  std::map<std::string, std::string> texts;

  explicit FileContent(const boost::filesystem::path& path) : name(path.filename().native()) {
    const auto reading = mmstats::read_settled(path.native());
    if (!reading) {
      wrong = reading.error().text();
      return;
    }
    if (reading->content.damage) wrong = reading->content.damage->message;
    for (const auto& field : reading->content.fields) {
      const std::string label(field.label);
      for (const auto& item : mmstats::decode(field.type_text, field.value)) {
        std::visit(
            [&]<class T>(const T& value) {
              if constexpr (std::is_arithmetic_v<T>) numbers[label] = static_cast<double>(value);
              if constexpr (std::is_same_v<T, std::string_view>) texts[label] = value;
            },
            item);
      }
    }
  }
};

// All names, hidden ones too, sorted.
inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : boost::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().native());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The files that readers' usual glob matches, sorted by name.
inline std::vector<FileContent> content_of(const std::string& folder) {
  std::vector<FileContent> files;
  for (const auto& name : names_in(folder)) {
    if (name.front() != '.' && name.ends_with(".mmstats")) files.emplace_back(folder + '/' + name);
  }
  return files;
}

inline double sum_of(const std::vector<FileContent>& files, const std::string& label) {
  double sum = 0;
  for (const auto& file : files) {
    const auto found = file.numbers.find(label);
    if (found != file.numbers.end()) sum += found->second;
  }
  return sum;
}
