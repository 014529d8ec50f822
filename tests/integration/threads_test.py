"""Blocks that collectd reads at the same time, from several threads, share nothing: ThreadSanitizer watches
the instrumented module within Debian's collectd."""

import os
import unittest

import daemons
import hostile_folder
import mmstats_writer as writer

BLOCKS = 8  # collectd has five threads to read with
INTERVAL = 0.02
LOOKS = 100


class ThreadsTest(unittest.TestCase):
    @unittest.skipUnless("MMSTATS_SANITIZED_PLUGIN" in os.environ, "there is no instrumented build")
    def test_blocks_read_at_the_same_time_do_not_race(self):
        with daemons.workspace() as workspace:
            folder = os.path.join(workspace, "run")
            os.mkdir(folder)
            hostile_folder.make(folder)
            for number in range(20):
                path = os.path.join(folder, f"worker{number}.mmstats")
                writer.MmstatsFile(path, [writer.counter("requests", 1)]).close()
            block = "".join(
                f"""\
<Files "b{number}">
  Path "{folder}/*.mmstats"
  Interval {INTERVAL}
  ReportSelf true
  Aggregate "none"
  Stale "remove"
</Files>
"""
                for number in range(BLOCKS)
            )
            blocks = daemons.mmstats_block(workspace, block, os.environ["MMSTATS_SANITIZED_PLUGIN"])
            env = {"LD_PRELOAD": os.environ["MMSTATS_SANITIZER_RUNTIMES"]}
            with daemons.Collectd(workspace, blocks, env=env) as collectd:
                with open(f"/proc/{collectd.pid}/maps") as maps:
                    self.assertIn("libtsan", maps.read())
                for number in range(BLOCKS):
                    daemons.wait_until(
                        lambda: len(collectd.samples(f"mmstats-b{number}/count-files")) > LOOKS,
                        f"block {number} had {LOOKS} looks",
                        60,
                    )
                # A race makes the exit code another than 0.
                collectd.stop(60)
            self.assertNotIn("ThreadSanitizer", collectd.log())


if __name__ == "__main__":
    unittest.main()
