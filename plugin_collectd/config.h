// Configuration: what the host's parser found -> blocks that can be watched, and messages about what
// cannot. Knows no collectd headers. One mistake costs the option that it is in, not the others.
// For people: collectd-mmstats(5).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collect/rules.h"
#include "collect/watch.h"
#include "mmstats/metadata.h"
#include "plugin_collectd/config_item.h"
#include "plugin_collectd/values.h"

namespace mmstats::collectd {

// One set of files with all that belongs to it. Moves.
struct BlockConfig {
  std::string instance;            // empty: the block without a name
  std::optional<double> interval;  // seconds; none: the host's
  WatchOptions watch;
  Rules rules;
  NameRules names;
  bool report_self = false;

  // The types that were asked for; they can be checked once the host has read types.db.
  struct TypeUse {
    std::string block;  // as it is called in messages
    std::string type;
    std::optional<Kind> kind;
  };
  std::vector<TypeUse> types;
};

// How a block is called in messages: `<Files "web">`, or `<Plugin mmstats>` for the one without name.
std::string block_name(const std::string& instance);

struct Configuration {
  std::vector<BlockConfig> blocks;  // in the order of the configuration
  std::vector<Message> messages;    // what is wrong with it
};

// Reads all `<Plugin mmstats>` sections: there may be none, or several, which add up.
// Options outside of any <Files> make a block without a name. It is there if they have a Path, or if
// there is no <Files>; so without any section it is the only one. A block without Path reads
// `default_globs`. A block whose Paths are all unusable is left out, and so is one whose Includes are,
// as it would send what was not asked for. No block is left only if all were unusable.
// `max_name_bytes`: of an instance and of a type instance.
Configuration read_config(std::span<const ConfigItem> sections, const std::vector<std::string>& default_globs,
                          std::size_t max_name_bytes);

// What is wrong with the types that the block asks for: their series get the default type.
std::vector<Message> check_types(const BlockConfig& block, const TypeLookup& types);

}  // namespace mmstats::collectd
