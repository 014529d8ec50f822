// The page's files and the plot code that it uses, in memory.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "mmstats/error.h"
#include "tools/mmash/http.h"

namespace mmash {

class Page {
 public:
  // Reads index.html and every .css, .js and .svg in `folder`, and dygraphs/dygraph.min.js and .css below
  // `javascript`. Errors: kNotFound, kIo.
  static mmstats::Expected<Page> load(const std::string& folder, const std::string& javascript);

  // "/" or "/static/NAME"; none if there is no such file. Nothing is opened.
  [[nodiscard]] std::optional<Response> answer(const Request& request) const;

 private:
  struct File {
    std::string content;
    std::string type;
    std::string tag;  // of this content
  };
  std::map<std::string, File, std::less<>> files_;  // by path of the request
};

}  // namespace mmash
