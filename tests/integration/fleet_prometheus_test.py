"""mmash and write_prometheus on each host, a Prometheus that scrapes them, and one that federates it:
packaging/fleet/3-prometheus. One host is cut off, the first Prometheus killed and started again. Percentiles over all
hosts are those of all values, to a bucket."""

import json
import unittest

import daemons
import fleet

# Ends of the buckets that the file `mmash` names.
BOUNDS = [2.0**exponent for exponent in range(-10, 7)]


class Prometheus:
    def __init__(self, machine):
        self.machine = machine
        argv = [daemons.program("prometheus"), "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/var/lib/prometheus/metrics2"]
        self.daemon = machine.daemon("prometheus", argv, ready=self.ready)

    def ready(self):
        try:
            return fleet.fetch(self.machine.address, 9090, "/-/ready")
        except OSError:
            return False

    def query(self, text, **more):
        answer = json.loads(fleet.fetch(self.machine.address, 9090, "/api/v1/query", query=text, **more))
        return answer["data"]["result"]

    def values(self, text, label, **more):
        """{value of the label: value}"""
        return {one["metric"].get(label): float(one["value"][1]) for one in self.query(text, **more)}

    def value(self, text, **more):
        result = self.query(text, **more)
        return float(result[0]["value"][1]) if len(result) == 1 else None

    def samples(self, selector, since, until, label):
        """{value of the label: {time: value}}: as they are stored."""
        found = self.query(f"{selector}[{int(until - since) + 1}s]", time=until)
        return {one["metric"][label]: {when: float(value) for when, value in one["values"] if since < when < until} for one in found}


class PrometheusTest(unittest.TestCase):
    def setUp(self):
        fleet.need(prometheus="prometheus", libmicrohttpd12="/usr/lib/*/libmicrohttpd.so.12",
                   libprotobuf_c1="/usr/lib/*/libprotobuf-c.so.1")

    def test_the_sums_of_all_hosts_are_right(self):
        with fleet.Fleet() as machines:
            site, world = Prometheus(machines.machine("site")), Prometheus(machines.machine("world"))
            webs = machines.web_machines()
            for web in webs:
                web.place("fleet/collectd.conf", "/etc/collectd/collectd.conf", 0o600)
                web.place("fleet/mmstats.conf", "/etc/collectd/collectd.conf.d/mmstats.conf")
                web.place("fleet/3-prometheus/write_prometheus.conf", "/etc/collectd/collectd.conf.d/write_prometheus.conf")
                web.observe(csv=False)
                web.place("fleet/3-prometheus/mmash", "/etc/default/mmash")
            marks = {"MMASH_TARGETS": ", ".join(f"'{web.address}:5002'" for web in webs),
                     "COLLECTD_TARGETS": ", ".join(f"'{web.address}:9103'" for web in webs),
                     "SITE": "north", "SITES": f"'{site.machine.address}:9090'"}
            for name in ("site.rules.yml", "mmash.targets.yml", "collectd.targets.yml"):
                site.machine.place(f"fleet/3-prometheus/{name}", f"/etc/prometheus/{name}", **marks)
            site.machine.place("fleet/3-prometheus/site.yml", "/etc/prometheus/prometheus.yml", **marks)
            world.machine.place("fleet/3-prometheus/global.yml", "/etc/prometheus/prometheus.yml", **marks)

            applications = machines.applications()
            agents = [machines.start(web.collectd()) for web in webs]
            pages = [machines.start(web.mmash()) for web in webs]
            machines.start(site.daemon)
            machines.start(world.daemon)

            by_address = {f"{web.address}:5002": web for web in webs}
            cut = f"{webs[0].address}:5002"

            def wait_for_scrapes(number, since, *without):
                """So many of each host that were answered."""

                def there():
                    up = site.samples('up{job="mmash"}', since, fleet.now(), "instance")
                    return all(sum(up.get(address, {}).values()) >= number for address in by_address if address not in without)

                daemons.wait_until(there, "scrapes", 60 + 10 * fleet.INTERVAL)

            began = fleet.now()
            wait_for_scrapes(4, began)
            since = fleet.now()
            bytes_before = site.machine.received()
            series = site.value("sum(scrape_samples_scraped)")
            wait_for_scrapes(2, since)
            bytes_each = (site.machine.received() - bytes_before) / (2 * series)
            cut_began = fleet.now()
            webs[0].cut_off()
            # It is found out at the next scrape; the others go on.
            daemons.wait_until(lambda: site.values('up{job="mmash"}', "instance").get(cut) == 0, "the cut is seen", 60 + 10 * fleet.INTERVAL)
            wait_for_scrapes(3, fleet.now(), cut)
            webs[0].connect()
            cut_ended = fleet.now()
            wait_for_scrapes(4, cut_ended)
            percentiles_at = fleet.now()
            killed = fleet.now()
            site.daemon.kill()
            site.daemon.restart()
            back = fleet.now()
            wait_for_scrapes(2, back)
            until = fleet.now()
            applications.stop()

            # The totals of each host, by both.
            for number, web in enumerate(webs, 1):
                for counter in range(fleet.COUNTERS):
                    want = applications.total(number, counter)
                    name = "requests" if counter == 0 else f"counted.{counter}"
                    for query in (f'shop_{name.replace(".", "_")}_total{{instance="{web.address}:5002"}}',
                                  f'collectd_mmstats_derive_total{{mmstats="shop",type="{name}",instance="{web.name}"}}'):
                        daemons.wait_until(lambda: site.value(query) == want, f"{query} is {want}", 60 + 10 * fleet.INTERVAL)

            # Each scrape that was answered has all series; what was not answered was cut, or this machine was too slow.
            up = site.samples('up{job="mmash"}', since, until, "instance")
            took = site.samples('scrape_duration_seconds{job="mmash"}', since, until, "instance")
            late = {}
            lost = total = 0
            for address, web in by_address.items():
                self.assertTrue(up[address])
                total += len(up[address])
                for when, value in up[address].items():
                    if value == 0:
                        if address == cut and cut_began <= when <= cut_ended + fleet.INTERVAL:
                            lost += 1
                        else:
                            self.assertGreaterEqual(took[address][when], 0.9 * fleet.INTERVAL, (web.name, when))
                            late[web.name] = late.get(web.name, 0) + 1
                # Every scrape is there, but for those while Prometheus was not, or while the machine stood still: then it has
                # none of others either.
                times = sorted(up[address])
                for last, when in zip(times, times[1:]):
                    if when - last >= 2 * fleet.INTERVAL and not last <= killed <= when:
                        of_all = sorted(at for of_one in up.values() for at in of_one if last <= at <= when)
                        self.assertGreaterEqual(max(b - a for a, b in zip(of_all, of_all[1:])), fleet.INTERVAL, web.name)
            self.assertTrue(lost)
            for name in ["shop_requests_total", *(f"shop_counted_{number}_total" for number in range(1, fleet.COUNTERS)),
                         *(f"shop_level_{number}" for number in range(fleet.GAUGES)), "shop_latency_seconds_count"]:
                stored = site.samples(name + '{job="mmash"}', since, until, "instance")
                for address, web in by_address.items():
                    answered = {when for when, value in up[address].items() if value == 1}
                    self.assertFalse(answered - set(stored[address]), (name, web.name))

            # Percentiles over all hosts, at the site and above: in the bucket of the true one.
            shares = "shop_latency_seconds_bucket"
            for percent in (50, 75, 95, 99):
                want = applications.percentile(percent)
                high = min(bound for bound in BOUNDS if bound >= want)
                by_site = site.value(f"histogram_quantile({percent / 100}, sum by (le) (rate({shares}[1m])))", time=percentiles_at)
                above = daemons.wait_until(
                    lambda: world.value(f"histogram_quantile({percent / 100}, sum by (le) (site:{shares}:rate1m))", time=percentiles_at),
                    "the site's buckets")
                for got in (by_site, above):
                    self.assertTrue(high / 2 <= got <= high, (percent, want, got))
                fleet.say(f"p{percent} of all hosts: {want:.4f} s in truth; {by_site:.4f} at the site, {above:.4f} above")
            self.assertEqual({one["metric"]["site"] for one in world.query("site:hosts_up")}, {"north"})

            fleet.say(f"{len(webs)} hosts: mmash {pages[0].memory():.1f} MB, {pages[0].processor_time():.2f} s each; collectd "
                      f"{agents[0].memory():.1f} MB; Prometheus {site.daemon.memory():.0f} MB, {site.daemon.processor_time():.2f} s; "
                      f"above {world.daemon.memory():.0f} MB, {world.daemon.processor_time():.2f} s since its start; some {bytes_each:.0f} bytes a value")
            fleet.say(f"{webs[0].name} was cut off for {cut_ended - cut_began:.1f} s: {lost} of {total} scrapes lost, all of it; Prometheus "
                      f"was gone for {back - killed:.1f} s; too late for this machine: {late or 'none'}; every total is right afterwards")


if __name__ == "__main__":
    fleet.main()
