"""The module leaves nothing behind: not a byte, not a descriptor, not a thread, and no undefined behaviour
on the way. The instrumented module runs in Debian's own collectd."""

import os
import unittest

import daemons
import hostile_folder
import mmstats_writer as writer

INTERVAL = 0.1
FILES = 50
ROUNDS = 40


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Herd:
    """Files that are all replaced again and again, each time by new inodes."""

    def __init__(self, folder):
        self._folder = folder
        self.total = 0
        self.replace()

    def replace(self):
        for number in range(FILES):
            path = os.path.join(self._folder, f"worker{number}.mmstats")
            fields = [writer.counter("requests", 1), writer.gauge("level", 0.5)]
            writer.MmstatsFile(path, fields, prefix="herd.").close()
        self.total += FILES


class LeakTest(unittest.TestCase):
    def replace_often(self, collectd, herd, rounds):
        """Replaces all files, each time after they were seen."""
        for _ in range(rounds):
            collectd.wait_for("mmstats-all/derive-herd.requests", herd.total)
            herd.replace()
        collectd.wait_for("mmstats-all/derive-herd.requests", herd.total)

    def block(self, folder):
        return f"""\
<Files "all">
  Path "{folder}/*.mmstats"
  ReportSelf true
</Files>
<Files "slots">
  Path "{folder}/worker1*.mmstats"
  Aggregate "none"
</Files>
<Files "broken">
  Path "{folder}/*.mmstats"
  NoSuchOption 1
  Ignore "("
</Files>"""

    def test_replaced_files_leave_no_descriptor_thread_or_memory(self):
        with daemons.workspace() as workspace:
            folder = os.path.join(workspace, "run")
            os.mkdir(folder)
            herd = Herd(folder)
            blocks = daemons.mmstats_block(workspace, self.block(folder))
            with daemons.Collectd(workspace, blocks, INTERVAL) as collectd:
                self.replace_often(collectd, herd, ROUNDS // 4)
                files, tasks = descriptors(collectd.pid), threads(collectd.pid)
                memory = resident_bytes(collectd.pid)
                self.replace_often(collectd, herd, ROUNDS)
                # The other block may still hold what this one has let go: both have after their next look.
                daemons.wait_until(
                    lambda: descriptors(collectd.pid) <= files + 2,
                    f"descriptors return to {files}, give or take a log line's",
                )
                self.assertEqual(threads(collectd.pid), tasks)
                self.assertLess(resident_bytes(collectd.pid) - memory, 2 << 20)

    @unittest.skipUnless("MMSTATS_SANITIZED_PLUGIN" in os.environ, "there is no instrumented build")
    def test_sanitizers_find_nothing_in_the_module_within_collectd(self):
        with daemons.workspace() as workspace:
            folder = os.path.join(workspace, "run")
            os.mkdir(folder)
            hostile_folder.make(folder)
            herd = Herd(folder)
            module = os.environ["MMSTATS_SANITIZED_PLUGIN"]
            blocks = daemons.mmstats_block(workspace, self.block(folder), module)
            env = {
                "LD_PRELOAD": os.environ["MMSTATS_SANITIZER_RUNTIMES"],
                "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            }
            with hostile_folder.Vandal(folder):
                with daemons.Collectd(workspace, blocks, INTERVAL, env=env) as collectd:
                    with open(f"/proc/{collectd.pid}/maps") as maps:
                        self.assertIn("libasan", maps.read())
                    self.replace_often(collectd, herd, ROUNDS // 2)
                    # Leaks are looked for at the end, and make the exit code another than 0.
                    collectd.stop(60)
            for sign in ("AddressSanitizer", "LeakSanitizer", "runtime error"):
                self.assertNotIn(sign, collectd.log())


if __name__ == "__main__":
    unittest.main()
