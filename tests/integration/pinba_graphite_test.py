"""What two servers of Pinba count is what monitoring systems have: on the way through the real collectd, Carbon and
Graphite-web, and that through mmash to the real Prometheus."""

import collections
import contextlib
import math
import os
import random
import unittest

import daemons
from graphite_histogram_test import expressions, nearest_rank
from graphite_test import write_graphite
from pinba_reports import Front, PinbaServer, Sender, packet, random_requests, requests_of
from series_names import type_instance

SEED = int(os.environ.get("MMSTATS_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
HOSTS = ("one", "two")
GROUPS = ("http", "mysql", "redis")
# Of each distribution: so all of them have the same bounds in Prometheus.
ENDS = (2**-20, 32.0)


def ends():
    """Datagrams with values at both ends, in each row."""
    for seconds in ENDS:
        timers = [(1, seconds, {"group": group, "server": f"{group}{number}"}) for group in GROUPS for number in range(2)]
        for script in ("/cart.php", "/item.php", "/"):
            yield packet(script=script, seconds=seconds, timers=timers)


class Truth:
    """What all rows have together, over both servers."""

    def __init__(self, datagrams):
        requests = [request for one in datagrams for request in requests_of(one)]
        self.count = len(requests)
        self.times = collections.defaultdict(list)  # of each script
        self.hits = collections.defaultdict(list)  # (group, server): the time of each hit
        self.bytes = collections.Counter()
        for request in requests:
            self.times[request.script].append(request.seconds)
            self.bytes[request.script] += request.size
            for timer in request.timers:
                if "group" in timer.tags:
                    self.hits[timer.tags["group"], timer.tags["server"]] += [timer.seconds / timer.hits] * timer.hits

    def of_group(self, group):
        return [value for (one, _), values in self.hits.items() if one == group for value in values]


class PinbaGraphiteTest(unittest.TestCase):
    def setUp(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        self.workspace = self.enterContext(daemons.workspace())
        self.running = self.enterContext(contextlib.ExitStack())
        dice = random.Random(SEED)
        # Different numbers, so that no server stands for the other.
        self.parts = [[*ends(), *random_requests(dice, count)] for count in (700, 300)]
        self.truth = Truth(sum(self.parts, []))
        self.servers = [self.running.enter_context(PinbaServer(self.workspace, name=f"server-{host}", files=self.files(host)))
                        for host in HOSTS]

    def files(self, host):
        return os.path.join(self.workspace, f"files-{host}")

    def send(self):
        for server, datagrams in zip(self.servers, self.parts):
            with Sender(server.address) as sender:
                sender.send(*datagrams)

    def test_graphite_has_the_counts_and_percentiles_of_two_servers(self):
        carbon = self.running.enter_context(daemons.Carbon(self.workspace))
        web = self.running.enter_context(daemons.GraphiteWeb(self.workspace, carbon))
        for host in HOSTS:
            block = f"""\
<Files "pinba">
  Path "{self.files(host)}/*.mmstats"
  StripPrefix "pinba"
  Buckets 0.000001 64
  <Metric ".*[.]seconds[.].*[.]sum">
    Scale 1000000
  </Metric>
</Files>"""
            # Totals, as numbers that can be compared. A copy of the module for each, as the first has its own in use.
            blocks = write_graphite(carbon.line_port, rates=False)
            blocks += daemons.mmstats_block(os.path.join(self.workspace, f"module-{host}"), block)
            self.running.enter_context(daemons.Collectd(self.workspace, blocks, name=f"collectd-{host}", host=host))

        # First there is nothing, so that all was sent while collectd looked.
        self.wait_for_totals(web, "receiver.packets", {"receiver.packets": 0})
        self.send()
        self.wait_for_totals(web, "receiver.packets", {"receiver.packets": self.truth.count})

        # As in names of fields: a dot of a value is no end of a part.
        rows = {script.replace(".", "%2E"): script for script in self.truth.times}
        times = {row: self.truth.times[script] for row, script in rows.items()}
        for label, ending, want in (
                ("script.requests", "", {row: len(values) for row, values in times.items()}),
                ("script.seconds", ".count", {row: len(values) for row, values in times.items()}),
                ("script.bytes", "", {row: self.truth.bytes[script] for row, script in rows.items()})):
            names = {type_instance(f"{label}.{row}{ending}"): count for row, count in want.items()}
            pattern = label + ".*" + (ending and ending + "-*")
            self.wait_for_totals(web, pattern, names)
        sums = self.totals(web, "script.seconds.*.sum-*")
        for row, values in times.items():
            # Whole microseconds of each server.
            want = math.fsum(values)
            self.assertAlmostEqual(sums[type_instance(f"script.seconds.{row}.sum")] / 1e6, want, delta=2e-6 + 1e-6 * want)
        self.check_distributions(web)

    def totals(self, web, pattern):
        """{label: the sum over both servers}, of those that both have."""
        base = "collectd.{}.mmstats-pinba.derive-"
        values = [web.last(base.format(host) + pattern) for host in HOSTS]
        of_hosts = [{name.removeprefix(base.format(host)): value for name, value in one.items()}
                    for host, one in zip(HOSTS, values)]
        return {label: sum(one[label] for one in of_hosts) for label in set.intersection(*map(set, of_hosts))}

    def wait_for_totals(self, web, pattern, want):
        got = {}

        def are_there():
            got.clear()
            got.update(self.totals(web, pattern))
            return got == want

        with contextlib.suppress(AssertionError):  # what differs is told below
            daemons.wait_until(are_there, pattern, 30)
        differ = {label: (got.get(label), want.get(label)) for label in sorted({*got, *want}) if got.get(label) != want.get(label)}
        self.assertFalse(differ, "label: (got, want)")

    def check_distributions(self, web):
        label = "timer.@group@server.seconds"
        truth = self.truth
        self.wait_for_totals(web, label + ".*.*.count",
                             {f"{label}.{group}.{server}.count": len(hits) for (group, server), hits in truth.hits.items()})
        want = {}
        for (group, server), hits in truth.hits.items():
            powers = collections.Counter(math.frexp(value)[1] - 1 for value in hits)
            for power in range(-20, 6):
                want[f"{label}.{group}.{server}.buckets.{power + 30}"] = powers[power]
            self.assertEqual(sum(powers[power] for power in range(-20, 6)), len(hits))
        self.wait_for_totals(web, label + ".*.*.buckets.*", want)

        # By the expression of mapping.md, over rows of both hosts: its buckets end at 64, too.
        percentile, _ = expressions()
        for group in GROUPS:
            buckets = f"keepLastValue(collectd.*.mmstats-pinba.derive-{label}.{group}.*.buckets.*)"
            target = percentile.replace("collectd.*.mmstats-web.derive-latency.buckets.*", buckets)
            for percent in (50, 90, 99):
                (got,) = web.last(target.replace("99)", f"{percent})")).values()
                exact = nearest_rank(truth.of_group(group), percent)
                self.assertLess(max(got / exact, exact / got), math.sqrt(2) + 0.01, (group, percent, got, exact))

    def test_prometheus_has_the_counts_and_distributions_of_two_servers(self):
        fronts = [self.running.enter_context(Front(self.workspace, self.files(host), name=f"mmash-{host}")) for host in HOSTS]
        prometheus = self.running.enter_context(daemons.Prometheus(self.workspace, *(front.mmash for front in fronts)))
        self.send()
        packets = "sum(pinba_receiver_packets_total)"
        prometheus.wait_for("all packets are in Prometheus", lambda: prometheus.value(packets) == self.truth.count)

        def by(names, expression):
            """{values of the names: sum over both servers}"""
            values = prometheus.values(f"sum by ({', '.join(names)}) ({expression})")
            return {tuple(dict(labels).get(name) for name in names): value for labels, value in values.items()}

        def check(names, expression, want):
            """As soon as both servers were scraped once more."""
            got = []
            with contextlib.suppress(AssertionError):  # told below
                prometheus.wait_for(expression, lambda: got.append(by(names, expression)) or got[-1] == want)
            self.assertEqual(got[-1], want, expression)

        truth = self.truth
        scripts = {(script,): len(times) for script, times in truth.times.items()}
        check(["script"], "pinba_script_requests_total", scripts)
        check(["script"], "pinba_script_seconds_count", scripts)
        check(["script"], "pinba_script_bytes_total", {(script,): truth.bytes[script] for script in truth.times})
        timers = 'pinba_timer_seconds_count{group!=""}'
        check(["group", "server"], timers, {key: len(hits) for key, hits in truth.hits.items()})
        for (script,), seconds in by(["script"], "pinba_script_seconds_sum").items():
            self.assertAlmostEqual(seconds, math.fsum(truth.times[script]), delta=1e-6 * seconds)
        families = {"pinba_script_seconds": ("script", truth.times),
                    "pinba_timer_seconds": ("group", {group: truth.of_group(group) for group in GROUPS})}
        for family, (name, rows) in families.items():
            buckets = by([name, "le"], f'{family}_bucket{{{name}!=""}}')
            self.assertGreater(len(buckets), 20 * len(rows))
            for (row, bound), count in buckets.items():
                self.assertEqual(count, sum(value < float(bound) for value in rows[row]), (family, row, bound))
            for percent in (50, 90, 99):
                told = by([name], f'histogram_quantile({percent / 100}, sum by ({name}, le) ({family}_bucket{{{name}!=""}}))')
                for row, values in rows.items():
                    # Four buckets for a power of two.
                    exact = nearest_rank(values, percent)
                    self.assertAlmostEqual(told[row,], exact, delta=0.25 * exact, msg=(family, row, percent))


if __name__ == "__main__":
    unittest.main()
