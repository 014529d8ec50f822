// FILEs of a command line: names, folders, and patterns that the shell was kept from expanding.
#pragma once

#include <string>

namespace mmstats {

// Whether it is one file that somebody names: it exists and is no folder, or is no pattern. A folder whose
// name has the ending of files counts as one: shells put it among them.
bool names_one_file(const std::string& file);

// The glob of what it names: a file of that very name, whatever characters it has in it; of a folder, the
// mmstats files in it; else a pattern as it is. Asks the file system.
std::string named_glob(const std::string& file);

// `text` without the meaning that its characters have in a glob.
std::string as_literal(const std::string& text);

}  // namespace mmstats
