#include "plugin_pinba/receive/rewrites.h"

#include <re2/re2.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/failure.h"

namespace mmstats::receive {
namespace {

// Of a value, so that what comes of it is bounded, however often a pattern is found; rows show less.
constexpr std::size_t kMostBytes = 4096;

}  // namespace

Expected<void> Rewrites::add(KeyPlace place, const std::string& pattern, std::string to) {
  const auto refuse = [](std::string why) {
    return tl::unexpected(failure(ErrorKind::kInvalid, {}, std::move(why)));
  };
  if (place.source == KeySource::kStatus) return refuse("a status is a number, which cannot be rewritten");
  auto compiled = compile_label_pattern(pattern);
  if (!compiled) return tl::unexpected(std::move(compiled.error()));
  std::string why;
  if (!(*compiled)->CheckRewriteString(to, &why)) return refuse(std::move(why));
  all_.push_back({std::move(place), pattern, std::move(to), std::move(*compiled)});
  return {};
}

void Rewrites::Rewrite::apply(std::string_view& value, Texts& texts) const {
  if (!re2::RE2::PartialMatch(re2::StringPiece(value.data(), value.size()), *pattern)) return;
  auto& text = *texts.texts.emplace_back(std::make_unique<std::string>(value.substr(0, kMostBytes)));
  re2::RE2::GlobalReplace(&text, *pattern, to);
  if (text.size() > kMostBytes) text.resize(kMostBytes);
  value = text;
}

void Rewrites::apply(Packet& packet, Texts& texts) const {
  // Whether there was something to rewrite. Tags may be those of other packets as well: copies are changed.
  const auto rewrite_tags = [&](const Rewrite& rewrite, std::span<const Tag>& tags) {
    const auto found =
        std::find_if(tags.begin(), tags.end(), [&](const Tag& tag) { return tag.name == rewrite.place.tag; });
    if (found == tags.end()) return false;
    std::string_view value = found->value;
    rewrite.apply(value, texts);
    if (value.data() == found->value.data()) return false;
    auto& copy = texts.tags.emplace_back(tags.begin(), tags.end());
    copy[static_cast<std::size_t>(found - tags.begin())].value = value;
    tags = copy;
    return true;
  };
  for (const Rewrite& rewrite : all_) {
    switch (rewrite.place.source) {
      case KeySource::kHost:
        rewrite.apply(packet.host, texts);
        break;
      case KeySource::kServer:
        rewrite.apply(packet.server, texts);
        break;
      case KeySource::kScript:
        rewrite.apply(packet.script, texts);
        break;
      case KeySource::kSchema:
        rewrite.apply(packet.schema, texts);
        break;
      case KeySource::kStatus:
        break;
      case KeySource::kRequestTag:
        rewrite_tags(rewrite, packet.tags);
        break;
      case KeySource::kTimerTag:
        for (TimerEntry& timer : packet.timers) {
          if (rewrite_tags(rewrite, timer.tags)) timer.tags_id = 0;
        }
        break;
    }
  }
}

bool operator==(const Rewrites& a, const Rewrites& b) {
  return std::equal(a.all_.begin(), a.all_.end(), b.all_.begin(), b.all_.end(),
                    [](const auto& one, const auto& other) {
                      return one.place == other.place && one.text == other.text && one.to == other.to;
                    });
}

}  // namespace mmstats::receive
