// slurpstats: prints what mmstats files hold, for people or as JSON. Its man page: packaging/man/slurpstats.1

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "format/dimensions.h"
#include "format/file_name.h"
#include "format/metadata_index.h"
#include "mmstats/error.h"
#include "mmstats/format.h"
#include "mmstats/parse.h"
#include "mmstats/settle.h"
#include "tools/shared/find_files.h"
#include "tools/shared/json_text.h"
#include "tools/shared/named_files.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"
#include "tools/shared/value_text.h"

namespace {

using mmstats::append_json;
using mmstats::json_text;
using mmstats::Output;

enum ExitStatus : int { kAllClean = 0, kSomeBad = 1, kUsage = 2 };

constexpr std::string_view kProgram = "slurpstats";

// A longer label does not push the values of all others to the right: a stranger wrote it.
constexpr std::size_t kWidestLabel = 128;  // characters
constexpr std::size_t kMostNamed = 5;      // labels in a note

// As what is appended to a text for people.
struct Shown {
  std::string_view text;
  std::size_t width;  // characters
};

// `storage` holds what has to be made for it.
Shown shown(std::string_view label, std::string& storage) {
  if (mmstats::plain_prefix(label) == label.size()) return {label, label.size()};
  storage = mmstats::printable(label);
  return {storage, static_cast<std::size_t>(std::ranges::count_if(storage, mmstats::begins_character))};
}

// How results are written: called once for each file, in order.
class Report {
 public:
  explicit Report(Output& output) : out(output) {}
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  virtual ~Report() = default;
  virtual void begin() {}
  virtual void file(const std::string& path, const mmstats::ParsedFile& content) = 0;
  virtual void unreadable(const mmstats::Error& error) = 0;
  virtual void end() {}

 protected:
  Output& out;
};

class TextReport final : public Report {
 public:
  using Report::Report;

  void file(const std::string& path, const mmstats::ParsedFile& content) override {
    out << "==> " << mmstats::printable(path) << "\n";
    std::size_t column = 0;
    std::string storage;
    const mmstats::MetadataIndex about(content);
    for (const auto& field : content.fields) {
      if (!about.is_there(field)) continue;
      column = std::max(column, std::min(shown(field.label, storage).width, kWidestLabel));
    }
    std::string& text = out.buffer();
    for (const auto& field : content.fields) {
      if (!about.is_there(field)) continue;
      const Shown label = shown(field.label, storage);
      text += "  ";
      text += label.text;
      text.append(1 + (label.width < column ? column - label.width : 0), ' ');
      mmstats::append_value(text, field, "", mmstats::append_item_text, [&] { out.flush_if_full(); });
      text += '\n';
      out.flush_if_full();
    }
    out << "\n";
  }

  void unreadable(const mmstats::Error& /*error*/) override {}
};

class JsonReport final : public Report {
 public:
  using Report::Report;

  void begin() override { out << "["; }

  void file(const std::string& path, const mmstats::ParsedFile& content) override {
    begin_file(path);
    bool first = true;
    std::string& text = out.buffer();
    const mmstats::MetadataIndex about(content);
    for (const auto& field : content.fields) {
      if (!about.is_there(field)) continue;
      if (!std::exchange(first, false)) text += ", ";
      text += "{\"label\": ";
      append_json(text, field.label);
      text += ", \"type\": ";
      append_json(text, mmstats::trimmed_type(field.type_text));
      text += field.buffered ? R"(, "buffered": true, "value": )" : R"(, "buffered": false, "value": )";
      mmstats::append_value(text, field, "null", mmstats::append_item_json, [&] { out.flush_if_full(); });
      if (about.families() != 0) write_family(about.find(field.label));
      text += '}';
      out.flush_if_full();
    }
    end_file(content.damage ? &*content.damage : nullptr);
  }

  void unreadable(const mmstats::Error& error) override {
    mmstats::Error without_path = error;
    without_path.path.clear();
    const mmstats::Damage damage{error.offset, without_path.text()};
    begin_file(error.path);
    end_file(&damage);
  }

  void end() override { out << "]\n"; }

 private:
  void write_family(const mmstats::FieldMetadata& known) {
    if (known.family.empty()) return;
    auto dimensions = mmstats::Json::object();
    auto values = known.values;
    for (const auto name : mmstats::dimension_names(known.dimensions)) {
      const auto value = values.substr(0, values.find('.'));
      values.remove_prefix(std::min(values.size(), value.size() + 1));
      dimensions[std::string(name)] = mmstats::unescape_value(value);
    }
    out << ", \"family\": " << json_text(known.family) << ", \"dimensions\": " << json_text(dimensions);
  }

  void begin_file(const std::string& path) {
    if (!std::exchange(first_, false)) out << ",\n ";
    out << "{\"file\": " << json_text(path) << ", \"fields\": [";
  }

  void end_file(const mmstats::Damage* damage) {
    out << "], \"damage\": [";
    if (damage != nullptr) {
      out << json_text({{"offset", damage->offset}, {"message", damage->message}});
    }
    out << "]}";
  }

  bool first_ = true;
};

// One run over files: reads, reports, complains, and remembers whether all was well.
class Run {
 public:
  Run(Output& out, Report& report) : out_(out), report_(report) {}

  void named(const std::vector<std::string>& files) {
    for (const auto& file : files) {
      if (out_.failed()) return;
      if (!mmstats::names_one_file(file)) {
        found({mmstats::named_glob(file)});
      } else if (auto reading = mmstats::read_settled(file)) {
        show(*reading);
      } else {
        unreadable(reading.error());
      }
    }
  }

  void found(const std::vector<std::string>& globs) {
    const auto [files, errors] = mmstats::find_files(globs);
    for (const auto& error : errors) unreadable(error);
    if (files.empty() && errors.empty()) mmstats::complain(kProgram, mmstats::nothing_found(globs));
    for (const auto& found : files) {
      if (out_.failed()) return;
      const auto opened = opener_.open(found);
      const auto reading =
          opened ? mmstats::read_settled(opened->file, found.path) : tl::unexpected(opened.error());
      if (reading) {
        show(*reading);
      } else if (reading.error().kind != mmstats::ErrorKind::kNotFound) {
        // Files come and go; one that went since we looked is not missed.
        unreadable(reading.error());
      }
    }
  }

  [[nodiscard]] bool clean() const { return clean_; }

 private:
  void show(const mmstats::Reading& reading) {
    const std::string& path = reading.snapshot.path;
    report_.file(path, reading.content);
    if (reading.content.damage) {
      clean_ = false;
      say(fmt::format("{}: {}", mmstats::printable(path), reading.content.damage->message));
    }
    if (!reading.unsettled.empty()) say(unsettled_note(reading));
  }

  void unreadable(const mmstats::Error& error) {
    clean_ = false;
    report_.unreadable(error);
    say(error.text());
  }

  // Standard output first, so that on a terminal a complaint stands behind the file that it is about.
  void say(std::string_view text) {
    out_.flush();
    mmstats::complain(kProgram, text);
  }

  static std::string unsettled_note(const mmstats::Reading& reading) {
    const auto& labels = reading.unsettled;
    std::string note = fmt::format(
        "{}: note: {} value{} changed faster than could be read:", mmstats::printable(reading.snapshot.path),
        labels.size(), labels.size() == 1 ? "" : "s");
    for (std::size_t i = 0; i < std::min(labels.size(), kMostNamed); ++i) {
      note += fmt::format("{} \"{}\"", i == 0 ? "" : ",", mmstats::printable(labels[i]));
    }
    if (labels.size() > kMostNamed) note += ", ...";
    return note;
  }

  Output& out_;
  Report& report_;
  mmstats::FoundOpener opener_;
  bool clean_ = true;
};

struct Options {
  std::vector<std::string> files;
  bool json = false;
};

void add_options(CLI::App& app, Options& options) {
  app.add_flag("--json", options.json, "One JSON array, an object for each file");
  app.add_option("FILE", options.files,
                 "Files to read; default: those that MMSTATS_GLOB or MMSTATS_PATH names,\n"
                 "else /run/mmstats/*.mmstats and /tmp/*.mmstats");
}

int run(Options& options) {
  Output out;
  TextReport text_report(out);
  JsonReport json_report(out);
  Report& report = options.json ? static_cast<Report&>(json_report) : text_report;
  Run run(out, report);
  report.begin();
  if (options.files.empty()) {
    run.found(mmstats::default_globs());  // where readers look when nobody tells them
  } else {
    run.named(options.files);
  }
  report.end();
  return out.finish(kProgram) && run.clean() ? kAllClean : kSomeBad;
}

}  // namespace

int main(int argc, char** argv) {
  return mmstats::run_tool(argc, argv,
                           {.name = std::string(kProgram),
                            .description = "Prints what mmstats files hold.",
                            .failed = kSomeBad,
                            .usage = kUsage},
                           add_options, run);
}
