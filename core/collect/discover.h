// Which files there are: globs -> files, from one scan to the next, with their descriptors held.
// A held descriptor lets a file be read to its end after it was unlinked, and makes its inode
// number its own for as long as we care. No locks, no threads; one thread at a time.
//
// Folders may be anybody's, and what is in them. So
// - links are followed in the part of a glob before its first wildcard alone, which whoever wrote it wrote.
//   From there on each folder is opened in the one above it, at each use, or its descriptor is held;
// - files that are read, and folders that wildcards lead to, are counted in one number, max_files, and shared
//   out among their owners (shares.h). Descriptors are, too;
// - what does not fit is not opened, and is remembered, in bounded memory. Names that are looked at in vain
//   are bounded in each scan (looks.h): a quarter of max_files, and max_files after quiet scans. Where more
//   wait, chance decides. So a file for which there is room is found at once where few names wait, and where
//   many do, in about four times as many scans as max_files goes into them, wherever it stands in the
//   listing;
// - of very many names in a folder a part is listed in each scan (max_names), and the counts and errors of
// the
//   listing before are told until that is at its end. So a new file there is found in as many scans as half
//   of max_names goes into all names, and one that is gone may be missed as late;
// - who has very many folders behind wildcards has them looked at in turn: in each scan 1,000 of one owner's
//   that hold files, 500 that hold none, and 500 names that led to no folder (turns.h, vain_names.h). So what
//   is new in one is found in as many scans as those numbers go into all that he has, and in another's
//   folders, or in a new one of another's, at once;
// - of what cannot be used, twenty names of a folder are told, shared out among their owners, and the others
//   counted.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/lease.h"
#include "mmstats/error.h"
#include "mmstats/snapshot.h"

namespace mmstats {

// A file's place in Discovery and in everything that keeps state per file: small, dense, given to
// another file only after a scan in which the first was gone.
using FileKey = std::uint32_t;

struct DiscoveryLimits {
  // Files read at once, and folders behind wildcards; what goes beyond is reported, not read.
  std::size_t max_files = 20'000;
  // Files that are released and still there: their names are kept, some 200 bytes for each.
  std::size_t max_released = 20'000;
  // Names that are listed in one scan in all folders of one owner, or twice max_files, if that is more. A
  // folder takes at most half of what is left, and may always take 64. The first scan lists 16 times as many.
  std::size_t max_names = 40'000;
  // Descriptors held, of files and of folders behind wildcards; the system's limit may set less.
  std::size_t max_held = 1U << 20U;
  // Which users have more IDs than one, in the form of /etc/subuid. Read once.
  std::string subuids = "/etc/subuid";
};

// What could not be used, and whose it is: the owner of what is there, or of the folder that it is in.
struct FoundError {
  const Error* error = nullptr;
  uid_t owner = 0;
  const Error* operator->() const { return error; }
};

// What one scan found. Refers to memory of Discovery, valid until the next scan.
struct Found {
  std::vector<FileKey> appeared;         // readable from now on
  std::vector<FileKey> gone;             // no longer in the folder, or another file has its name; can still
                                         // be read, if held, until forget()
  std::vector<FileKey> released;         // still there, and not read any more, to make room for others
  std::vector<FoundError> errors;        // folders and files that could not be used; a good one never
                                         // suffers from them
  std::size_t folders_listed = 0;        // folders whose content is known, listed now or unchanged
  std::size_t folders_failed = 0;        // folders that exist and could not be listed
  std::size_t skipped = 0;               // names that match but are not regular files
  std::size_t unreadable = 0;            // files that cannot be opened
  std::size_t beyond_limit = 0;          // names left out because of max_files: files, or not looked at yet
  std::size_t folders_beyond_limit = 0;  // the same of folders behind wildcards
  std::size_t folders_put_off = 0;       // that a later scan looks at, as their owner has very many
};

class Discovery {
 public:
  // `globs`: as in the shell, in every part of the path; a name that starts with a dot matches only
  // a pattern that does.
  explicit Discovery(std::vector<std::string> globs, const DiscoveryLimits& limits = {});
  Discovery(Discovery&&) noexcept;
  Discovery& operator=(Discovery&&) noexcept;
  ~Discovery();

  // Whether a file may be released.
  using MayRelease = std::function<bool(FileKey)>;

  // Finds out which files there are now. `now` decides when a folder that seems unchanged is listed all the
  // same: file systems stamp folders coarsely, so a recent stamp proves nothing. A file that moves within the
  // globs stays the same file; several names for one inode are one. Files in a folder that cannot be found or
  // listed now stay known. A file that is not in its folder and still has a name may be on its way: it stays
  // known for one scan more. Where there is no room for a file, those that `may_release` allows make room; at
  // most max_released are released and still there. Of a file with more than eight names, eight are
  // known. Throws std::bad_alloc.
  const Found& scan(std::chrono::system_clock::time_point now, const MayRelease& may_release = {});

  // All files known, `appeared` included and `gone` not. Order is arbitrary but steady.
  [[nodiscard]] std::span<const FileKey> files() const;

  [[nodiscard]] const std::string& path(FileKey file) const;
  // How many of the path's first bytes lead to the folder from which on no link is followed; see
  // collect/folder_path.h.
  [[nodiscard]] std::size_t fixed_part(FileKey file) const;
  [[nodiscard]] FileId id(FileKey file) const;
  // The user whose file it was when it was opened first, as fstat says of what was opened; of one who has
  // many IDs, the first that he was given beside his own: in its share the file is counted
  // (subordinate_ids.h).
  [[nodiscard]] uid_t owner(FileKey file) const;
  [[nodiscard]] bool is_held(FileKey file) const;
  [[nodiscard]] std::size_t held() const;  // descriptors held

  // Bytes of the file from `offset`, as OpenFile::read_at does; a file that is not held is opened
  // for the call, and -1 with ESTALE means that its name leads to another file now.
  ssize_t read_at(FileKey key, std::uint64_t offset, std::span<std::byte> into) noexcept;

  // All of the file now. Errors: those of read_snapshot; kNotFound also if its name leads to another file
  // now.
  Expected<Snapshot> snapshot(FileKey key, std::uint64_t max_file_size = kDefaultMaxFileSize);

  // The file's size in bytes now, or -1.
  std::int64_t size(FileKey key) noexcept;

  // Who writes the file.
  Writers writers(FileKey key) noexcept;

  // Of a file that is gone: whether another file has its name.
  [[nodiscard]] bool is_replaced(FileKey gone) const;
  // Of a file that is held: whether it has no name left in any folder of the system.
  [[nodiscard]] bool is_deleted(FileKey key) const;

  // Removes the file from the folder that it was found in, as remove_unwritten does. The next scan reports it
  // gone. Error kChanged also if that folder is another one now.
  Expected<void> remove(FileKey key);

  // Ends what `gone` or `released` began: closes the file, and frees the key of one that is gone. Call it for
  // each before the next scan.
  void forget(FileKey key);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmstats
