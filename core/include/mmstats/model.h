// Publishing: a program's metrics -> mmstats files, for the price of a store into memory.
//
// A Model is what a program publishes. Its fields (fields.h, histogram.h) are members of a struct that
// derives from it, or made one by one at any time:
//
//   struct WebStats : mmstats::Model {
//     WebStats() : Model({.label_prefix = "web"}) {}
//     mmstats::Counter requests{*this, "requests", {.unit = "requests", .help = "Requests answered"}};
//     mmstats::Timer latency{*this, "latency", {.unit = "seconds"}};
//   };
//
//   mmstats::Model stats;
//   mmstats::Counter hits(stats, "hits");
//
// Each thread that writes has a file of its own, made at its first write. A thread that ends leaves its
// file to the next one that begins, which counts on in it. What is no counter ends with its thread: gauges,
// averages, percentiles and texts of a thread that has ended count no more, and the next thread begins with
// those of a new file. Fields that threads share are in one more file.
// Readers add the files up. After a thread's first write, writing makes no system call, takes no lock
// and cannot fail; unless the file's owner, or root, makes it shorter while it is mapped, which ends the
// process (SIGBUS) if it did not call survive_cut_files(). This library never opens a name in use to make it
// shorter.
//
// No function is a cancellation point of its thread (pthread_cancel(3)), and none changes errno.
//
// A file that cannot be made (no permission, no space) does not stop the program: the fields work on
// private memory, and the reason is told once (ModelOptions::on_error).
//
// fork: the child makes files of its own at its first write and leaves the parent's alone; of the memory of
// the parent's other threads it has nothing. A process that comes about without pthread_atfork(3) handlers
// (clone(2) called directly, _Fork(3)) must not write.
// Handlers of other libraries may do anything with Models. What they add in the child before our own handler
// is called may go to the parent's file. If such a handler waits for another thread, and that one wants to
// make a Model or a field, or to write for the first time, it gives up after a second: what it made or wrote
// is lost until the fork is over, which is told.
// daemon(3) after the first write: the files of the process that ends there stay until cleanstats or an agent
// removes them; so they do after SIGKILL and _exit(2). exit(3) and quick_exit(3) remove them.
// exec: the files stay as they are until the process ends or a new Model takes their names.
//
// Files that somebody deletes, renames or replaces while the program runs: the fields go on in memory that no
// name leads to, and readers see them no more, until reopen(), open() or flush() makes the files again; that
// of shared fields cannot be made again. A relative folder is that of the process when the Model is made.
// After setuid(2) or chroot(2) the files that are there go on; what can be made no more is told. A file that
// somebody truncates ends the program at its next write (SIGBUS), as any mapped file does; see
// survive_cut_files().
//
// Signal handlers may write in a thread that has its file (see Model::open()), and write to:
//   Counter            x86-64, arm64: nothing is lost when a handler interrupts an addition of the same
//                      thread. Elsewhere it is a load, an addition and a store: what
//                      the handler adds between these is lost. Use a SharedCounter for what must be exact.
//   Gauge              set: whole on every architecture. add: as a Counter for numbers of eight bytes, whole
//                      or not; of smaller ones, what the handler adds amid an addition is lost, on x86-64,
//                      too.
//   Histogram          as a Counter: buckets, count and sum lose nothing there. The percentiles lag
//                      behind as they always do.
//   SharedCounter, SharedGauge, BoolField, ByteField, UByteField    nothing is lost, and nothing is torn
// Not to texts, averages, MovingHistogram, WindowHistogram and scopes of these: a handler that interrupts a
// write to the same field damages its value. Neither may it make Models or fields, nor call total(), open(),
// flush(), remove() or paths().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmstats/cpp20.h"
#include "mmstats/error.h"
#include "mmstats/export.h"
#include "mmstats/metadata.h"

namespace mmstats {

struct ModelOptions {
  // "web": the label "hits" becomes "web.hits"; so it does with "web.". Up to 1,024 bytes of UTF-8: with
  // another one the Model is not published, which is told. Tabs, line ends and NULs become blanks, which is
  // told.
  std::string label_prefix = {};
  // The folder of the files, and their names. Both take {CMD} (the program's base name), {PID} and
  // {TID}, and %PID% and %TID% of old versions; {TID} of the file of shared fields is "shared".
  // path, if empty: $MMSTATS_PATH, else /run/mmstats if that can be written to, else $TMPDIR, else /tmp.
  // file_name, if empty: $MMSTATS_FILES, else "{CMD}-{PID}-{TID}.mmstats".
  // If a live process uses the name, or what has it is no mmstats file, the file gets a number before
  // its ending: "web.1.mmstats". A hundred names are tried; then there is no file, which is told.
  std::string path = {};
  std::string file_name = {};
  // The permissions of the files, like 0640: reading and writing for the owner, and no execution. None:
  // $MMSTATS_MODE (in octal), else 0644 less the process's umask. A mode that is given wins over the umask.
  std::optional<unsigned> mode = {};
  // sys.pid, sys.tid, sys.uid, sys.gid, sys.created, sys.metadata. Without them readers know neither whose
  // the file is nor what its fields are, and go by convention: every `Q` is a counter then, a
  // Gauge<std::uint64_t> too. Give such a gauge another type (Gauge<std::int64_t>), or the agent a rule.
  bool system_fields = true;
  // The files go with the Model, or when the process exits normally (exit, quick_exit). Otherwise they stay
  // for readers.
  bool remove_at_exit = true;
  // Told what went wrong: why there is no file, once; which field is not published, for each such field.
  // In the thread to which it happens; for an amount that adds nothing, which a signal's handler may give,
  // perhaps in that handler. Must not throw. Empty: one line on standard error; of errors that
  // differ only in the field or the file, the 1st, 2nd, 4th, 8th and so on in the process.
  std::function<void(const Error&)> on_error = {};
  // How many bytes of fields a file takes, system fields included: 64 KiB to 1 GiB; what is beyond becomes
  // the nearest end of that. Four MiB are some 50,000 fields, and what readers take unless they are told
  // otherwise. Costs addresses only (ulimit -v), in each thread that writes.
  std::size_t max_file_bytes = std::size_t{4} << 20U;
  // false: the prefix is put before labels as it is, as the original Python library does: "web" makes
  // "webhits" and "websys.pid".
  bool dot_after_prefix = true;
};

// What a field says of itself, in sys.metadata. Tabs and line ends become blanks.
struct About {
  std::string unit = {};  // a word as OpenMetrics has them: seconds, bytes
  std::string help = {};  // one sentence
  // Replaces the kind that comes with the class of the field: a UInt64Field that only grows, a
  // DoubleField that is a date.
  std::optional<Kind> kind = {};
};

enum class Flush : std::uint8_t { kSync, kAsync };

namespace detail {

struct Added;
class Place;

// There is none of them: so that Model({}) is one with the options that nobody chose, and no copy.
class Nothing {
 public:
  Nothing() = delete;
};

// A field as a file holds it.
struct FieldSpec {
  std::string_view label;  // without the prefix
  std::string_view type;   // one struct format without blanks
  std::size_t size = 0;    // bytes of one value
  bool buffered = true;
  bool shared = false;  // in the file of all threads, in a cache line of its own
  Kind kind = Kind::kGauge;
  const void* initial = nullptr;  // `size` bytes, or null for zeros
  std::size_t memory = 0;         // bytes that each thread needs beside the value, all zeros at first
  // Fields of one label are one if the class that made them and what it was given are the same, too.
  std::string_view made_by = {};
  std::size_t parameter = 0;
  // Of the field STEM.count of a histogram: that has buckets, 2^bucket_bits of each power of two.
  std::optional<unsigned> bucket_bits = {};
  std::string_view bucket_unit = {};  // of its values
};

}  // namespace detail

// Any function may be called from any thread. A process may have 65,000 Models at a time; fields of
// the first 32 are the fastest (those of more take some nanoseconds longer).
//
// Limits never stop a program. A field that cannot be published works on private memory, which is told: by
// its label (empty, or longer than 65,535 bytes with its prefix, or not UTF-8, or that of another field, or
// one of those that the library writes itself), by its size (texts of more than 65,535 bytes), or because the
// file is full (ModelOptions::max_file_bytes). Beside a file, as much private memory is used as the fields
// need. Throws std::bad_alloc if the system has no more memory, and nothing else.
class MMSTATS_API Model {
 public:
  explicit Model(ModelOptions options = {});
  explicit Model(std::initializer_list<detail::Nothing>) : Model() {}
  // Removes the files, unless told otherwise. No field may be used afterwards, except by threads
  // that still run while the process exits: what they write goes nowhere.
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Makes this thread's file now, and the shared one if there are shared fields: the thread's first
  // write does so otherwise. From then on this thread's signal handlers may write.
  // Error: why there is no file. It is not told again.
  Expected<void> open();

  // Has the files written to disk, after reopen(); kSync waits for it. Readers need none of this: it is for a
  // disk, and against a crash of the machine. Error: as reopen(), else kIo of the first file that failed; the
  // others are written.
  Expected<void> flush(Flush how = Flush::kSync);

  // Makes files again that were deleted, or could not be made before: this thread's, and those that ended
  // threads left. Each has the values that were written meanwhile; one that was deleted goes on under the
  // same name, sys.pid and sys.created, which to readers is the same life. open() does the same, flush() does
  // it first, and a thread that ends or begins does it for a file that could not be made.
  // Error: why one cannot be made; kChanged: it is another running thread's, which must call open() itself,
  // or that of shared fields, or has another name now, and is left as it is. Costs a system call for each
  // file.
  Expected<void> reopen();

  // Takes the files away, for good: no more will be made. Fields go on, on private memory. May be called
  // again.
  void remove();

  // Path of this thread's file, which is made if need be; empty if there is none.
  [[nodiscard]] std::string path() const;

  // Paths of the files that this process has now.
  [[nodiscard]] std::vector<std::string> paths() const;

  // For classes of fields. Adds a field to all files, present and future: readers see it whole or not at all.
  // A field that is there already, with the same label, type, kind and class, is that field, and keeps its
  // value and what it says of itself. (Of a fact that does not change another value is told, and the first
  // one stays.) One that cannot be published is told, once, and gets the same in private memory, zeros at
  // first. Tabs, line ends and NULs in a label become blanks, which is told: they would end a line of
  // sys.metadata.
  detail::Added add_field(const detail::FieldSpec& spec, const About& about);
  // For classes of fields. `size` bytes of memory for each thread, all zeros at first, which readers do
  // not see, and whose address is a multiple of 64. A thread begins with zeros, whoever had the memory
  // before. More than 1 GiB cannot be had: what is written there goes nowhere, which is told.
  detail::Place add_memory(std::size_t size);
  [[nodiscard]] std::uint32_t number() const { return number_; }

 private:
  struct Impl;
  friend class Models;
  std::unique_ptr<Impl> impl_;
  std::uint32_t number_;  // of this Model among those of the process
};

// Programs die by SIGBUS at the next write to a file that its owner, or root, has cut (truncate(1), or the
// original Python library opening the same name). After this they do not: a handler of SIGBUS, for the whole
// process and for good, puts private memory in the place of the file. What was in the missing part is lost;
// open(), flush() and reopen() make the file again, whose fields begin anew, and then it is told
// (ModelOptions::on_error). Files of shared fields are not made again.
// Other faults, and signals that somebody sends, go to the handler that was there before, or end the process
// as they would. A handler that is installed later replaces this one. Any thread, any number of times.
// Error: sigaction(2) failed.
MMSTATS_API Expected<void> survive_cut_files();

}  // namespace mmstats
