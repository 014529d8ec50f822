"""Agents, a central collectd, Carbon: packaging/fleet/1-network. One host is cut off; nothing else is lost, and the totals
are right afterwards."""

import unittest

import daemons
import fleet

SERIES = len(fleet.series()) + 6  # with the percentiles
PASSWORD = "correct horse battery staple"


class NetworkTest(unittest.TestCase):
    def test_a_cut_loses_the_values_of_the_cut_alone(self):
        with fleet.Fleet() as machines:
            central = machines.machine("central")
            webs = machines.web_machines()
            marks = {"CENTRAL": central.address, "PASSWORD": PASSWORD}
            for machine in (central, *webs):
                machine.place("fleet/collectd.conf", "/etc/collectd/collectd.conf", 0o600)
                machine.observe()
            for web in webs:
                web.place("fleet/mmstats.conf", "/etc/collectd/collectd.conf.d/mmstats.conf")
                web.place("fleet/1-network/send.conf", "/etc/collectd/collectd.conf.d/send.conf", 0o600, **marks)
            central.place("fleet/1-network/receive.conf", "/etc/collectd/collectd.conf.d/receive.conf", **marks)
            central.place("graphite/write_graphite.conf", "/etc/collectd/collectd.conf.d/write_graphite.conf")
            central.write("/etc/collectd/passwd", "".join(
                fleet.filled("fleet/1-network/passwd", {"HOST": web.name, **marks}) for web in webs), 0o600)

            carbon = machines.start(fleet.carbon(central))
            server = machines.start(central.collectd())
            applications = machines.applications()
            agents = [machines.start(web.collectd()) for web in webs]
            began = fleet.now()

            def wait_for_samples(number, since):
                """Of each agent at the server; the cut one's at the agent."""
                for web in webs:
                    place = web if web is cut and severed else central
                    daemons.wait_until(lambda: sum(when > since for when in place.samples("mmstats-shop/derive-requests", web.name)) >= number,
                                       f"samples of {web.name}", 60 + 10 * fleet.INTERVAL)

            cut, severed = webs[0], False
            wait_for_samples(3, began)
            # Before this, Carbon may have had no file of the series yet.
            since = fleet.now()
            bytes_before = central.received()
            wait_for_samples(3, since)
            # As many of each, but for one that is on its way.
            bytes_each = (central.received() - bytes_before) / (3 * len(webs) * SERIES)
            # Per series: what waits to be sent is lost in the cut, too.
            before = {name: max(central.samples(f"mmstats-shop/{name}", cut.name)) for name in fleet.series()}
            cut_began = fleet.now()
            cut.cut_off()
            severed = True
            wait_for_samples(6, cut_began)
            cut.connect()
            cut_ended = fleet.now()
            severed = False
            wait_for_samples(4, cut_ended)
            until = fleet.now()
            applications.stop()

            for number, web in enumerate(webs, 1):
                for counter in range(fleet.COUNTERS):
                    name = f"mmstats-shop/{fleet.counter_name(counter)}"
                    want = applications.total(number, counter)
                    daemons.wait_until(lambda: list(central.samples(name, web.name).values())[-1] == want,
                                       f"{name} of {web.name} is {want}", 60 + 10 * fleet.INTERVAL)
            tell = f"{len(agents)} agents, {agents[0].memory():.1f} MB each; server {server.memory():.1f} MB, " \
                   f"{server.processor_time():.2f} s of processor time, Carbon {carbon.processor_time():.2f} s; " \
                   f"some {bytes_each:.0f} bytes a value; {central.dropped()} packets dropped by the kernel"
            # What was taken before `until` is at the server, and Carbon has it.
            for web in webs:
                for name in fleet.series():
                    daemons.wait_until(lambda: max(central.samples(f"mmstats-shop/{name}", web.name)) > until, f"more of {web.name}")
            machines.stop(agents)
            machines.stop([server])
            machines.stop([carbon])

            values = lost = 0
            for web in webs:
                taken = {when for when in web.samples("mmstats-shop/derive-requests") if since < when < until}
                for name in fleet.series():
                    with self.subTest(host=web.name, series=name):
                        arrived = central.samples(f"mmstats-shop/{name}", web.name)
                        self.assertTrue(taken)
                        missing = sorted(taken - set(arrived))
                        values += len(taken)
                        lost += len(missing)
                        if web is cut:
                            self.assertTrue(missing)
                            self.assertGreater(min(missing), before[name])
                            self.assertLess(max(missing), cut_ended)
                        else:
                            self.assertFalse(missing)
                        stored = fleet.stored(fleet.whisper_path(central, web.name, name), since, until)
                        kept = sorted(taken & set(arrived))
                        self.assertFalse({fleet.slot(when) for when in kept} - set(stored))
                        if name == "derive-requests":
                            # Each rate tells what was counted since the last value that arrived, also over the cut. On a slow
                            # machine two samples may have the same second. The times here are cut to milliseconds.
                            slots = [fleet.slot(when) for when in kept]
                            for last, when in zip(kept, kept[1:]):
                                if slots.count(fleet.slot(when)) == 1:
                                    counted = arrived[when] - arrived[last]
                                    told = stored[fleet.slot(when)] * (when - last)
                                    self.assertAlmostEqual(told, counted, delta=counted * (0.0001 + 0.0015 / (when - last)))
            fleet.say(tell)
            fleet.say(f"{cut.name} was cut off for {cut_ended - cut_began:.1f} s: {lost} of {values} values lost, all of its; "
                      f"every counter is right again with its first sample")


if __name__ == "__main__":
    fleet.main()
