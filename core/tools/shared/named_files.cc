#include "tools/shared/named_files.h"

#include <sys/stat.h>

#include <string_view>

namespace mmstats {
namespace {

constexpr std::string_view kWildcards = "*?[";

bool is_there(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

// A folder that has the name of a file is none: a shell puts it among these.
bool is_folder(const std::string& path) {
  struct stat info{};
  return !path.ends_with(".mmstats") && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || kWildcards.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

bool names_one_file(const std::string& file) {
  if (is_there(file)) return !is_folder(file);
  return file.find_first_of(kWildcards) == std::string::npos;
}

std::string as_literal(const std::string& text) {
  const std::size_t name = text.rfind('/') + 1;
  std::string folder = text.substr(0, name);
  // A folder without wildcards is taken as it is.
  if (folder.find_first_of(kWildcards) != std::string::npos) folder = escaped(folder);
  return folder + escaped(std::string_view(text).substr(name));
}

std::string named_glob(const std::string& file) {
  if (!is_there(file)) return file;
  if (!is_folder(file)) return as_literal(file);
  return as_literal(file.ends_with('/') ? file : file + '/') + "*.mmstats";
}

}  // namespace mmstats
