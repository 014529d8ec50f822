// A test program of a room. A test case that logs the message "skipped: WHY" is one that could not run here:
// all of these are told of at the end, and if there was no other the exit status is 77, which ctest counts as
// skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int kAllSkipped = 77;
constexpr std::string_view kSkipped = "skipped: ";

struct Run {
  unsigned cases = 0;
  std::vector<std::string> skipped;  // a line for each case
};
Run this_run;

struct SkipListener : doctest::IReporter {
  explicit SkipListener(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData& test) override {
    ++this_run.cases;
    name_ = test.m_name;
    is_told_ = false;
  }
  void log_message(const doctest::MessageData& message) override {
    const std::string_view text(message.m_string.c_str());
    if (!text.starts_with(kSkipped) || is_told_) return;
    is_told_ = true;
    this_run.skipped.push_back(name_ + ": " + std::string(text.substr(kSkipped.size())));
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  std::string name_;
  bool is_told_ = false;
};

}  // namespace

REGISTER_LISTENER("skips", 1, SkipListener);

int main(int argc, char** argv) {
  const int status = doctest::Context(argc, argv).run();
  for (const auto& line : this_run.skipped) std::printf("skipped: %s\n", line.c_str());
  const bool all = this_run.cases > 0 && this_run.skipped.size() == this_run.cases;
  return status == 0 && all ? kAllSkipped : status;
}
