"""Values reach RRD files through collectd's own rrdtool plugin."""

import os
import subprocess
import unittest

import daemons
import mmstats_writer as writer

LEVEL = 42.125


def rrdtool_block(folder):
    return f"""\
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{folder}"
  CacheTimeout 0
  StepSize 1
  HeartBeat 3
  RRARows 600
  RRATimespan 600
</Plugin>
"""


def fetch(path):
    """The known values of an RRD file's last two minutes."""
    output = subprocess.run(
        [daemons.program("rrdtool"), "fetch", path, "AVERAGE", "--start", "end-120s", "--end", "now"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=daemons.PATIENCE,
    ).stdout.decode()
    values = [line.split(": ")[1] for line in output.splitlines() if ": " in line]
    return [float(value) for value in values if "nan" not in value]


class RrdTest(unittest.TestCase):
    def test_rrdtool_fetch_shows_the_value(self):
        with daemons.workspace() as workspace:
            folder, rrd = os.path.join(workspace, "run"), os.path.join(workspace, "rrd")
            os.mkdir(folder)
            block = f'<Files "shop">\n  Path "{folder}/*.mmstats"\n</Files>'
            blocks = rrdtool_block(rrd) + daemons.mmstats_block(workspace, block)
            fields = [writer.gauge("level", LEVEL), writer.counter("requests", 10)]
            file = writer.MmstatsFile(os.path.join(folder, "web.mmstats"), fields, prefix="shop.")
            with daemons.Collectd(workspace, blocks):
                base = os.path.join(rrd, daemons.HOST, "mmstats-shop")
                level = os.path.join(base, "gauge-shop.level.rrd")
                requests = os.path.join(base, "derive-shop.requests.rrd")
                daemons.wait_until(lambda: os.path.exists(level), "the RRD file of the gauge is there")
                values = daemons.wait_until(
                    lambda: len(known := fetch(level)) >= 3 and known, "three values of the gauge are in the RRD"
                )
                self.assertEqual(set(values), {LEVEL})
                # A counter is a rate per second there: 0, and not 0 after it grew.
                daemons.wait_until(lambda: 0.0 in fetch(requests), "the counter stands still in the RRD")

                def grows():
                    # Again and again: what comes while the machine stands still is not known there.
                    file.incr("requests", 1000)
                    return max(fetch(requests), default=0) > 100

                daemons.wait_until(grows, "the counter's growth is in the RRD")


if __name__ == "__main__":
    unittest.main()
