#include <new>

#include "pinba/monitor/monitor_state.h"

namespace pinba {

RequestTimer& RequestTimer::operator=(RequestTimer&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    slot_ = other.slot_;
  }
  return *this;
}

void RequestTimer::release() noexcept {
  if (!state_) return;
  {
    const std::lock_guard lock(state_->mutex);
    Slot& slot = state_->slots[slot_];
    state_->stop(slot);
    try {
      if (!state_->ended) state_->count(slot);
    } catch (const std::bad_alloc&) {
      ++state_->left_out;
    }
    slot.counts = false;
    state_->unused.push_back(slot_);
  }
  state_.reset();
}

void RequestTimer::stop_if_running() noexcept {
  if (state_) state_->locked([this] { state_->stop(state_->slots[slot_]); });
}

void RequestTimer::start_it() {
  state_->core->fail(state_->locked([this]() -> const char* {
    Slot& slot = state_->slots[slot_];
    if (slot.running) return "a timer was started while it runs";
    state_->start(slot);
    return nullptr;
  }));
}

void RequestTimer::stop_it() {
  state_->core->fail(state_->locked([this]() -> const char* {
    Slot& slot = state_->slots[slot_];
    if (!slot.running) return "a timer was stopped while it does not run";
    state_->stop(slot);
    return nullptr;
  }));
}

bool RequestTimer::started() const {
  return state_ && state_->locked([this] { return state_->slots[slot_].running; });
}

std::optional<double> RequestTimer::elapsed() const {
  if (!state_) return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  const Slot& slot = state_->slots[slot_];
  if (!slot.ran) return std::nullopt;
  return slot.running ? seconds(Clock::now() - slot.begin) : slot.last;
}

RequestTimer RequestTimer::clone() const {
  if (!state_) return {};
  const std::lock_guard lock(state_->mutex);
  // The dictionary of one from before a flush is gone.
  if (!state_->slots[slot_].counts) return {};
  const auto slot = state_->new_slot();
  if (!slot) return {};
  state_->slots[*slot].tags = state_->slots[slot_].tags;
  return {state_, *slot};
}

void RequestTimer::discard() {
  if (!state_) return;
  state_->locked([this] { state_->slots[slot_].counts = false; });
  release();
}

}  // namespace pinba
