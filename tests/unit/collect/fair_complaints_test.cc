#include "collect/fair_complaints.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/failure.h"

using namespace mmstats;

namespace {

using Order = std::vector<std::pair<uid_t, std::string>>;

void add_of(FairComplaints& complaints, uid_t owner, int many) {
  for (int i = 0; i < many; ++i) {
    complaints.add(failure(ErrorKind::kDamaged, std::to_string(i), "is damaged"), owner);
  }
}

Order taken_from(FairComplaints& complaints) {
  std::vector<Error> errors{Error{}};
  std::vector<uid_t> owners;
  complaints.take(errors, owners);
  REQUIRE(errors.size() == owners.size());
  Order order;
  for (std::size_t i = 0; i < errors.size(); ++i) order.emplace_back(owners[i], errors[i].path);
  return order;
}

}  // namespace

TEST_CASE("one complaint of each user comes first, of those first who have few") {
  FairComplaints complaints(6);
  add_of(complaints, 1, 5000);
  add_of(complaints, 3, 2);
  add_of(complaints, 2, 3);
  CHECK(taken_from(complaints) == Order{{3, "0"}, {2, "0"}, {1, "0"}, {3, "1"}, {2, "1"}, {1, "1"}});
}

TEST_CASE("one user's complaints are told in their order, as many as are asked for, and forgotten") {
  FairComplaints complaints(3);
  add_of(complaints, 1, 5);
  CHECK(taken_from(complaints) == Order{{1, "0"}, {1, "1"}, {1, "2"}});
  complaints.begin_scan();
  CHECK(taken_from(complaints).empty());
  add_of(complaints, 1, 1);
  CHECK(taken_from(complaints) == Order{{1, "0"}});
}
