// The text of a configuration's file.
#pragma once

#include <string>

#include "plugin_pinba/daemon/toml_section.h"

namespace mmstats::daemon {

// Error: one line with the path. Never waits: what is no file is a mistake.
tl::expected<std::string, Mistakes> read_config_text(const std::string& path);

}  // namespace mmstats::daemon
