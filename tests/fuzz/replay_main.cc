// Runs a fuzz target once over each file that is named, or lies in a folder that is named: so that a target
// is an ordinary test where no fuzzer is at hand.
#include <boost/filesystem.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

bool replay(const boost::filesystem::path& path) {
  std::ifstream in(path.native(), std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "replay: cannot read %s\n", path.c_str());
    return false;
  }
  const std::vector<char> content((std::istreambuf_iterator<char>(in)), {});
  // Copied, so that its end is the end of an allocation.
  const std::vector<std::uint8_t> bytes(content.begin(), content.end());
  std::printf("%s: %zu bytes\n", path.c_str(), bytes.size());
  std::fflush(stdout);
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  bool all_read = true;
  for (int i = 1; i < argc; ++i) {
    if (!boost::filesystem::is_directory(argv[i])) {
      all_read = replay(argv[i]) && all_read;
      ++files;
      continue;
    }
    for (const auto& entry : boost::filesystem::directory_iterator(argv[i])) {
      all_read = replay(entry.path()) && all_read;
      ++files;
    }
  }
  std::printf("%d files\n", files);
  return all_read && files > 0 ? 0 : 1;
}
