#include "python/native/held_scopes.h"

#include <algorithm>
#include <utility>

namespace mmstats::python {
namespace {

// Ends with the thread. Null: it never held a scope.
constinit thread_local std::shared_ptr<const void> this_thread;

bool is_of_this_thread(const std::weak_ptr<const void>& thread) noexcept {
  return this_thread != nullptr && !thread.owner_before(this_thread) && !this_thread.owner_before(thread);
}

}  // namespace

bool HeldScopes::hold(PyObject* scope) noexcept {
  std::vector<Held> ended;  // until the end, as to let go of them may run anything
  return guarded(false, [&] {
    if (this_thread == nullptr) this_thread = std::make_shared<char>();
    const auto first = std::stable_partition(held_.begin(), held_.end(),
                                             [](const Held& each) { return !each.thread.expired(); });
    ended.insert(ended.end(), std::make_move_iterator(first), std::make_move_iterator(held_.end()));
    held_.erase(first, held_.end());
    held_.push_back({this_thread, Ref::to(scope)});
    return true;
  });
}

PyObject* HeldScopes::last() const noexcept {
  const auto found = std::find_if(held_.rbegin(), held_.rend(),
                                  [](const Held& each) { return is_of_this_thread(each.thread); });
  return found == held_.rend() ? nullptr : found->scope.get();
}

Ref HeldScopes::take(const PyObject* scope) noexcept {
  const auto found =
      std::find_if(held_.begin(), held_.end(), [&](const Held& each) { return each.scope.get() == scope; });
  if (found == held_.end()) return {};
  Ref taken = std::move(found->scope);
  held_.erase(found);
  return taken;
}

int HeldScopes::traverse(visitproc visit, void* arg) const {
  for (const auto& each : held_) Py_VISIT(each.scope.get());
  return 0;
}

void HeldScopes::clear() noexcept { const auto all = std::exchange(held_, {}); }

}  // namespace mmstats::python
