// Where mmstats files are: what writers call them, and where readers look.
// All read the environment: not while another thread changes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/error.h"

namespace mmstats {

// The path of a writer's file, placeholders filled in. `folder` and `name` are what the program chose; where
// one is empty, the environment decides (MMSTATS_PATH, MMSTATS_FILES), then the default. `thread` is what
// {TID} stands for; {CMD} is at most 100 bytes of the program's name. Programs with raised privileges
// (setuid) take nothing from the environment.
std::string file_path(const std::string& folder, const std::string& name, std::string_view thread);

// `folder`, as above, if it is that of the process now, whatever folder it goes to later: a relative one is
// made absolute. Empty: none was chosen.
std::string absolute_folder(const std::string& folder);

// If the usual folder of writers, /run/mmstats, exists, but this process cannot write there: why, and where
// its files go instead. None where the program chose the folder, or the environment.
std::optional<Error> shut_out(const std::string& folder);

// Whether a writer's files can have the mode: permissions to read and write, both for the owner.
bool is_file_mode(unsigned mode);

// That `what` asks for another one. kInvalid.
Error bad_mode(const std::string& what);

// The mode of a writer's files: MMSTATS_MODE, in octal. None: it is not set. Error: kInvalid.
Expected<std::optional<unsigned>> environment_mode();

// A glob for what `path`, which may hold placeholders, becomes in any process.
std::string any_file_path(std::string_view path);

// Where readers look when nothing is configured: MMSTATS_GLOB if it is set, else below MMSTATS_PATH
// if that is set, else /run/mmstats/*.mmstats and *.mmstats in the temporary folder ($TMPDIR, else /tmp).
std::vector<std::string> default_globs();

}  // namespace mmstats
