"""Good files are reported every interval, on time, whatever lies beside them."""

import os
import time
import unittest

import daemons
import hostile_folder
import mmstats_writer as writer

FILES = 10_000
INTERVAL = 1
SECONDS = 12
NOBODY = 65534
SELF = "mmstats"


class HostileTest(unittest.TestCase):
    def test_ten_thousand_good_files_among_hostile_ones_are_reported_on_time(self):
        with daemons.workspace() as workspace:
            folder = os.path.join(workspace, "run")
            os.mkdir(folder)
            left_out = hostile_folder.make(folder)
            print(f"not made here: {left_out or 'nothing'}")
            for number in range(FILES):
                fields = [writer.counter("requests", number), writer.gauge("busy", 1, "I"), *writer.sys_fields()]
                with open(os.path.join(folder, f"good{number:05}.mmstats"), "wb") as file:
                    file.write(writer.encode(fields, prefix="good.")[0])
            live = writer.MmstatsFile(os.path.join(folder, "live.mmstats"), [writer.counter("live.steps")])
            block = f"""\
<Files "all">
  Path "{folder}/*.mmstats"
  ReportSelf true
</Files>"""
            # root may read everything: somebody else must be denied.
            user = NOBODY if os.getuid() == 0 else None
            blocks = daemons.HEARTBEAT + daemons.mmstats_block(workspace, block)
            with hostile_folder.Vandal(folder):
                with daemons.Collectd(workspace, blocks, INTERVAL, user=user) as collectd:
                    ended = self.watch(collectd, live)
                    self.check(collectd, live, workspace, ended)
                    began = time.monotonic()
                    collectd.stop()
                    self.assertLess(time.monotonic() - began, 5 * daemons.TIME_SCALE)
            print(f"log: {len(collectd.log())} bytes")
            self.assertLess(len(collectd.log()), 200_000, "the log is no target either")
            self.assertIn("not a regular file", collectd.log())

    def watch(self, collectd, live):
        """Lets it run, while one file keeps counting. Returns when that was over."""
        name = "mmstats-all/derive-good.requests"
        daemons.wait_until(lambda: collectd.samples(name), "the first report")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            live.incr("live.steps")
            time.sleep(0.01)
            self.assertTrue(collectd.running())
        return time.time()

    def check(self, collectd, live, workspace, ended):
        want = {
            "derive-good.requests": FILES * (FILES - 1) // 2,
            "gauge-good.busy": FILES,
        }
        for name, value in want.items():
            samples = collectd.samples("mmstats-all/" + name)
            self.assertEqual({sample for _, sample in samples}, {value}, name)
            times = [*(when for when, _ in samples), ended]
            self.assertGreaterEqual(len(samples), collectd.most_beats_between([times[0], times[-1]]) / daemons.TIME_SCALE - 2, name)
            self.assertLessEqual(collectd.most_beats_between(times), 2 * daemons.TIME_SCALE, f"{name} came late")
        steps = live.get("live.steps")
        collectd.wait_for("mmstats-all/derive-live.steps", steps)

        names = collectd.names()
        mapped = {name for name in names if name.startswith("mmstats-all/")}
        # Each sound field with an odd label is there, under a name of its own.
        ones = [name for name in mapped if "derive-" in name and collectd.last(name) == 1]
        self.assertGreaterEqual(len(ones), len(hostile_folder.LABELS), sorted(ones))
        self.assertNotIn("mmstats-all/derive-never.reported", mapped)
        for name in names:
            self.assertRegex(name, r"^[ -~]+/[ -~]+$")
            self.assertLess(len(name.split("/")[1]), 2 * 128)
        # CSV files are named by labels: none may lie elsewhere.
        for root, _, files in os.walk(workspace):
            for file in files:
                if "derive-" in file or "gauge-" in file:
                    self.assertEqual(os.path.basename(root), "mmstats-all")


if __name__ == "__main__":
    unittest.main()
