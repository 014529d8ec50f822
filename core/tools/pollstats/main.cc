// pollstats: shows how values of mmstats files change, in columns or on the whole screen. Its man page:
// packaging/man/pollstats.1

#include <unistd.h>

#include <clocale>
#include <utility>

#include "format/file_name.h"
#include "tools/pollstats/column_report.h"
#include "tools/pollstats/columns.h"
#include "tools/pollstats/live_run.h"
#include "tools/pollstats/poll_options.h"
#include "tools/shared/output.h"
#include "tools/shared/run_tool.h"

namespace {

int run(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  auto [options, exit_status] = pollstats::parse(argc, argv);
  if (exit_status) return *exit_status;
  const auto globs = options.files.empty() ? mmstats::default_globs() : options.files;
  if (options.fields.empty()) {
    if (::isatty(STDOUT_FILENO) != 0) return pollstats::run_live(options, globs);
    mmstats::complain(
        "pollstats",
        "name fields (pollstats FIELD,FIELD... FILE...; '*' is all of them), or run it on a terminal");
    return pollstats::kUsage;
  }
  auto columns = pollstats::Columns::parse(options.fields, options.prefix);
  if (!columns) {
    mmstats::complain("pollstats", columns.error().text());
    return pollstats::kUsage;
  }
  return pollstats::report_columns(options, std::move(*columns), globs);
}

}  // namespace

int main(int argc, char** argv) {
  return mmstats::run_guarded({.name = "pollstats", .description = {}}, [&] { return run(argc, argv); });
}
