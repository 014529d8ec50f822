#include "plugin_pinba/forward/outbox.h"

namespace mmstats::forward {

void Outbox::add(std::span<const pinba::Datagram> datagrams, std::string_view script_name) {
  if (scripts_.empty() || scripts_.back() != script_name) scripts_.emplace_back(script_name);
  for (const auto& datagram : datagrams) {
    letters_.push_back({bytes_.size(), datagram.size(), scripts_.size() - 1});
    bytes_.insert(bytes_.end(), datagram.begin(), datagram.end());
  }
}

void Outbox::send_burst(pinba::Sender& sender) {
  std::size_t left = kBurst;
  while (left > 0 && !empty()) {
    const std::size_t script = letters_[next_].script;
    burst_.clear();
    for (; left > 0 && !empty() && letters_[next_].script == script; --left, ++next_) {
      burst_.emplace_back(bytes_.data() + letters_[next_].begin, letters_[next_].size);
    }
    sender.send(burst_, scripts_[script]);  // it counts what it cannot take
  }
  if (!empty()) return;
  bytes_.clear();
  letters_.clear();
  scripts_.clear();
  next_ = 0;
}

}  // namespace mmstats::forward
