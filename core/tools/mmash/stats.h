// The JSON API of the original mmash: labels and values file by file, nothing folded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/mmash/files.h"
#include "tools/mmash/http.h"

namespace mmash {

// Answers are made in pieces of about kPiece bytes, each in a pass over the files that takes the next labels
// in their order: so an answer needs no more memory than a piece, and one label's value in one file, however
// much there is. Each piece says what the files say when it is made. The answers refer to `files`, which they
// share.
class Stats {
 public:
  static constexpr std::size_t kPiece = 1U << 20U;

  // `globs`: those of the server, to whose folders a client's are relative.
  Stats(Files& files, const std::vector<std::string>& globs, std::size_t piece = kPiece);

  // {"stats": [labels]}. Parameter: glob.
  Response labels(const Request& request);

  // {label: [a value for each file that has it]} of labels that begin with `label`, or {label: value}.
  // Parameters: exact, aggr, glob.
  Response values(std::string_view label, const Request& request);

  // {"files": [paths]}: of those that have a field.
  Response files(std::string_view glob);

 private:
  Files& files_;
  std::vector<std::string> folders_;
  std::size_t piece_;
};

}  // namespace mmash
