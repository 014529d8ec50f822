"""Histograms of the library, on their whole way: the percentiles of all workers of a host, and those that Graphite
computes over hosts by the expressions that mapping.md shows. Real collectd, Carbon, Graphite-web."""

import contextlib
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import unittest

import daemons
from binding_test import Library
from graphite_test import write_graphite

MAPPING = os.path.join(daemons.HERE, "..", "..", "plugin_collectd", "mapping.md")


def work(folder):
    """What a worker does: adds the values of each line to its histogram."""
    library = Library()
    model = library.model_new(b"web")
    library.model_set_path(model, folder.encode())
    latency = library.histogram_new(model, b"latency", b"seconds", None)
    library.model_open(model, None, 0)
    print("ready", flush=True)
    for line in sys.stdin:
        for value in json.loads(line):
            library.histogram_add(latency, value)
        print("added", flush=True)


class Worker:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, "work", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(daemons.PATIENCE) == 0
        self.process.stdout.close()

    def add(self, values):
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "added\n"


def nearest_rank(values, percent):
    # But for roundings: 99.9 % of 1,000 is 999.
    return sorted(values)[max(math.ceil(round(percent * len(values) / 100, 6)), 1) - 1]


def expressions():
    """Those of mapping.md that are about buckets: of the percentile and of the share."""
    with open(MAPPING) as file:
        blocks = re.findall(r"```\n(.*?)```", file.read(), re.DOTALL)
    found = ["".join(block.split()) for block in blocks if "buckets.*" in block]
    percentile = [one for one in found if "removeBelowValue" in one]
    share = [one for one in found if "removeBelowValue" not in one]
    assert len(percentile) == len(share) == 1, found
    return percentile[0], share[0]


class HistogramTest(unittest.TestCase):
    def test_percentiles_are_those_of_all_workers_while_there_are_values(self):
        dice = random.Random(1)
        with daemons.workspace() as workspace, contextlib.ExitStack() as running:
            folder = os.path.join(workspace, "run")
            os.mkdir(folder)
            workers = [running.enter_context(Worker(folder)) for _ in range(4)]
            block = f'<Files "web">\n  Path "{folder}/*.mmstats"\n  Percentiles 50 99 99.9\n  Buckets true\n</Files>'
            blocks = daemons.mmstats_block(workspace, block)
            collectd = running.enter_context(daemons.Collectd(workspace, blocks))
            base = "mmstats-web/"
            count = base + "derive-web.latency.count"
            collectd.wait_for(count, 0)
            self.assertFalse([name for name in collectd.names() if "gauge-" in name])

            # One is busy and slow, and three are idle. Should a scan come while values are added, the next ones are
            # taken.
            all_values = []
            for turn in range(1, 20):
                values = [dice.lognormvariate(-1, 0.7) for _ in range(1000)]
                all_values += values
                workers[0].add(values)
                collectd.wait_for(count, turn * len(values))
                totals = collectd.samples(count)
                when = next(when for when, total in totals if total == turn * len(values))
                before = [total for earlier, total in totals if earlier < when][-1]
                if before == (turn - 1) * len(values):
                    break
            else:
                self.fail("no scan took all values at once")
            for name, percent in (("min", 0), ("p50", 50), ("p99", 99), ("p999", 99.9), ("max", 100)):
                with self.subTest(name):
                    gauge = base + "gauge-web.latency." + name
                    daemons.wait_until(lambda: when in dict(collectd.samples(gauge)), f"{name} is there")
                    want = nearest_rank(values, percent)
                    self.assertAlmostEqual(dict(collectd.samples(gauge))[when], want, delta=want / 60)
            self.assertNotIn(base + "gauge-web.latency.p90", collectd.names())
            # All values so far, not only those of the last turn; a half of a second for each would be lost in whole ones.
            totals = lambda: dict(collectd.samples(base + "total_time_in_ms-web.latency.sum"))
            daemons.wait_until(lambda: when in totals(), "the sum is there")
            self.assertAlmostEqual(totals()[when], 1000 * math.fsum(all_values), delta=2)
            self.assertNotIn(base + "derive-web.latency.sum", collectd.names())

            # Nothing happens: the count stands still, and percentiles are not sent.
            daemons.wait_until(lambda: collectd.samples(count)[-1][0] > when + 2, "three more scans")
            self.assertEqual(collectd.last(count), turn * len(values))
            self.assertEqual(collectd.samples(base + "gauge-web.latency.p99")[-1][0], when)

            buckets = [f"{base}derive-web.latency.buckets.{number}" for number in range(20, 36)]
            for name in buckets:
                self.assertIsNotNone(collectd.last(name), name)
            self.assertEqual(sum(map(collectd.last, buckets)), turn * len(values))

    def test_graphite_computes_percentiles_over_hosts(self):
        percentile, share = expressions()
        # Fast hosts have 95 of 100 values: the average of the hosts' percentiles says nothing.
        fast = [0.010 + n * 0.0001 for n in range(95)]
        batches = {"one": fast[:50], "two": fast[50:80], "three": fast[80:], "slow": [0.5, 0.6, 0.7, 0.8, 0.9]}
        all_values = [value for values in batches.values() for value in values]
        with daemons.workspace() as workspace, contextlib.ExitStack() as running:
            carbon = daemons.Carbon(workspace)
            web = daemons.GraphiteWeb(workspace, carbon)
            running.enter_context(carbon)
            running.enter_context(web)
            end = threading.Event()

            def run(worker, values):
                due = time.monotonic()
                while not end.wait(max(due - time.monotonic(), 0)):
                    worker.add(values)
                    due += 0.02

            for host, values in batches.items():
                folder = os.path.join(workspace, "run-" + host)
                os.mkdir(folder)
                worker = running.enter_context(Worker(folder))
                block = f'<Files "web">\n  Path "{folder}/*.mmstats"\n  StripPrefix "web"\n  Buckets true\n</Files>'
                # A copy of the module for each, as the first has its own in use.
                blocks = write_graphite(carbon.line_port) + daemons.mmstats_block(folder + "-module", block)
                running.enter_context(daemons.Collectd(workspace, blocks, name="collectd-" + host, host=host))
                thread = threading.Thread(target=run, args=(worker, values))
                thread.start()
                running.callback(thread.join)
            running.callback(end.set)

            counts = [f"collectd.{host}.mmstats-web.derive-latency.count" for host in batches]

            def common():
                """When all hosts have points."""
                times = set.intersection(*({when for when, _ in web.points(count)} for count in counts))
                return len(times) >= 8 and times

            daemons.wait_until(common, "all hosts have points")

            def median(target):
                times = common()
                values = [value for when, value in web.points(target) if when in times]
                return statistics.median(values) if values else math.nan

            def settles(target, is_right, what):
                """A look at one host may be late, and so its rates are others: the more points, the less that is of their
                median."""
                got = []
                with contextlib.suppress(AssertionError):  # what it was is told by who asks
                    daemons.wait_until(lambda: is_right(got.append(median(target)) or got[-1]), what)
                return got[-1]

            self.assertIn("99)", percentile)
            for percent in (50, 90, 96, 99, 99.9):
                with self.subTest(percent=percent):
                    want = nearest_rank(all_values, percent)
                    off = lambda got: max(got / want, want / got)
                    got = settles(percentile.replace("99)", f"{percent})"), lambda got: off(got) < math.sqrt(2) + 0.01, "the percentile")
                    self.assertLess(off(got), math.sqrt(2) + 0.01)
            self.assertAlmostEqual(settles(share, lambda got: abs(got - 5) < 0.5, "the share"), 5, delta=0.5)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2])
    else:
        unittest.main()
