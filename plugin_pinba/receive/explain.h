// Bad packets for people. What is explained was written by a server, but the file may be anybody's: all texts
// are fit for a terminal and a log.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/error.h"
#include "plugin_pinba/receive/last_lines.h"

namespace mmstats::receive {

// What a line of bad_packets.h tells: when it came and from whom, its faults, what each server would make of
// it, and its first bytes; a line each. Error: kDamaged, with the reason alone, if it is no such line.
Expected<std::vector<std::string>> explain_line(std::string_view json);

// The same of a file, the oldest packet first; `write` gets text with ends of lines. Errors, with the path:
// those of OpenFile::open; kTooLarge; kIo; kDamaged, if some of its lines are none of these: all others were
// written.
Expected<void> explain_file(const std::string& path, const std::function<void(std::string_view)>& write);

// Of the last packets that were judged, so many at most, the oldest first. For a log: a line each.
std::vector<std::string> explain_last(LastLines& lines, std::size_t packets);

}  // namespace mmstats::receive
