"""Agents, carbon-c-relay, three stores, and Graphite-web over them: packaging/fleet/2-relay. One host is cut off, one
store killed, the relay restarted: nothing else is lost. Percentiles over all hosts are those of all values, to a bucket."""

import json
import math
import os
import statistics
import unittest

import daemons
import fleet
from graphite_histogram_test import expressions

REQUESTS = "mmstats-shop/derive-requests"


class Stores:
    """The three, and what they have together."""

    def __init__(self, machines):
        self.machines = machines

    def copies(self, host, name):
        return [store for store in self.machines if os.path.exists(fleet.whisper_path(store, host, name))]

    def points(self, host, name, since, until):
        points = {}
        for store in self.copies(host, name):
            points.update(fleet.stored(fleet.whisper_path(store, host, name), since, until))
        return points

    def newest(self, host, name, since):
        return max(self.points(host, name, since, fleet.now()), default=0)


class RelayTest(unittest.TestCase):
    def setUp(self):
        fleet.need(carbon_c_relay="carbon-c-relay", gunicorn="gunicorn")

    def test_a_store_may_die_and_nothing_is_lost(self):
        with fleet.Fleet() as machines:
            relay, front = machines.machine("relay"), machines.machine("front")
            stores = Stores([machines.machine(f"store{letter}") for letter in "abc"])
            webs = machines.web_machines()
            marks = {f"STORE_{letter}": store.address for letter, store in zip("ABC", stores.machines)}
            for store in stores.machines:
                store.carbon = fleet.carbon(store, store.address)
            machines.start(*(store.carbon for store in stores.machines),
                           *(fleet.graphite_web(store, "store_settings.py") for store in stores.machines),
                           fleet.graphite_web(front, "front_settings.py", **marks))
            relay.place("fleet/2-relay/carbon-c-relay.conf", "/etc/carbon-c-relay.conf", **marks)
            relay.place("fleet/2-relay/carbon-c-relay", "/etc/default/carbon-c-relay")
            options = relay.default_options("/etc/default/carbon-c-relay", "DAEMON_ARGS")
            log = os.path.join(relay.folder, "relay.log")
            starts = 0

            def relay_is_up():
                return daemons.read_log(log).count("starting carbon-c-relay") > starts

            # Its file is at a path of its own: that in /etc may not be there to be hidden.
            options[options.index("-f") + 1] = relay.root + "/etc/carbon-c-relay.conf"
            relaying = machines.start(relay.daemon("relay", [daemons.program("carbon-c-relay"), *options], ready=relay_is_up))
            starts = 1

            for web in webs:
                web.place("fleet/collectd.conf", "/etc/collectd/collectd.conf", 0o600)
                web.place("fleet/mmstats.conf", "/etc/collectd/collectd.conf.d/mmstats.conf")
                web.place("graphite/write_graphite.conf", "/etc/collectd/collectd.conf.d/write_graphite.conf")
                web.observe()
                path = web.root + "/etc/collectd/collectd.conf.d/write_graphite.conf"
                with open(path) as file:
                    text = file.read()
                assert text.count('Host "127.0.0.1"') == 1
                with open(path, "w") as file:
                    file.write(text.replace('Host "127.0.0.1"', f'Host "{relay.address}"'))
            applications = machines.applications()
            agents = [machines.start(web.collectd()) for web in webs]

            names = fleet.series()
            seconds = 60 + 10 * fleet.INTERVAL

            def wait_for_samples(number, since, *hosts):
                for web in hosts:
                    daemons.wait_until(lambda: sum(when > since for when in web.samples(REQUESTS)) >= number, f"samples of {web.name}", seconds)

            def wait_for_arrival(since, *hosts):
                """What they sample after it is in the stores."""
                for web in hosts:
                    for name in names:
                        daemons.wait_until(lambda: stores.newest(web.name, name, since) > since + fleet.INTERVAL, f"{name} of {web.name}", seconds)

            def newest(hosts, since):
                return {(web.name, name): stores.newest(web.name, name, since) for web in hosts for name in names}

            wait_for_arrival(fleet.now(), *webs)
            since = fleet.now()
            bytes_before = relay.received()
            wait_for_samples(3, since, *webs)
            bytes_each = (relay.received() - bytes_before) / (3 * len(webs) * (len(names) + 6))

            # A host is cut off.
            cut, others = webs[0], webs[1:]
            before_cut = newest([cut], since)
            cut_began = fleet.now()
            cut.cut_off()
            wait_for_samples(5, cut_began, cut)
            cut.connect()
            cut_ended = fleet.now()
            wait_for_arrival(cut_ended, *webs)

            # A store is killed.
            dead = stores.machines[1]
            killed = fleet.now()
            dead.carbon.kill()
            wait_for_samples(5, killed, *webs)
            dead.carbon.restart()
            back = fleet.now()
            in_dead = [(web, name) for web in webs for name in names if dead in stores.copies(web.name, name)]
            for web, name in in_dead:
                path = fleet.whisper_path(dead, web.name, name)
                daemons.wait_until(lambda: max(fleet.stored(path, back, fleet.now()), default=0) > back, f"{name} in the store", seconds)

            # Percentiles of all hosts, while nothing else happens.
            wait_for_samples(2, fleet.now(), *webs)
            percentile = expressions()[0].replace("mmstats-web", "mmstats-shop")
            quiet = (int(back) + 2 * fleet.INTERVAL, int(fleet.now()) - 2 * fleet.INTERVAL)
            percentiles = {}
            for percent in (50, 75, 95, 99):
                answer = json.loads(fleet.fetch(front.address, 8080, "/render", target=percentile.replace("99)", f"{percent})"),
                                                format="json", **{"from": int(back) - 3 * fleet.INTERVAL, "until": quiet[1]}))
                values = [value for one in answer for value, _ in one["datapoints"] if value is not None]
                self.assertTrue(values, str(answer)[:1000])
                percentiles[percent] = statistics.median(values)

            # The relay is restarted.
            before_relay = newest(webs, since)
            relay_ended = fleet.now()
            relaying.stop()
            relaying.restart()
            relay_back = fleet.now()
            wait_for_arrival(relay_back, *webs)
            again = fleet.now()
            wait_for_samples(2, again, *webs)
            wait_for_arrival(again, *webs)
            until = again
            applications.stop()

            # What people see: all series, at the front, at once.
            asked = fleet.now()
            answer = json.loads(fleet.fetch(front.address, 8080, "/render", target=[f"collectd.web*.mmstats-shop.{levels}" for levels in ("*", "*.*", "*.*.*")], format="json",
                                            noNullPoints="true", **{"from": int(since) - 2 * fleet.INTERVAL, "until": int(until) + 2 * fleet.INTERVAL}))
            answered = fleet.now()
            seen = {one["target"]: {when for value, when in one["datapoints"]} for one in answer}
            tell = (f"{len(agents)} agents, {agents[0].memory():.1f} MB each; relay {relaying.memory():.1f} MB; Carbons "
                    + ", ".join(f"{store.carbon.memory():.0f} MB {store.carbon.processor_time():.2f} s" for store in stores.machines)
                    + f" since their starts; some {bytes_each:.0f} bytes a value to the relay")
            machines.stop(agents)
            machines.stop([relaying])
            machines.stop([store.carbon for store in stores.machines])

            total = lost_in_cut = lost_by_relay = lost_in_copy = in_copy = 0
            for web in webs:
                taken = {fleet.slot(when) for when in web.samples(REQUESTS) if since < when < until}
                for name in names:
                    with self.subTest(host=web.name, series=name):
                        self.assertTrue(taken)
                        total += len(taken)
                        copies = stores.copies(web.name, name)
                        self.assertEqual(len(copies), 2)
                        points = stores.points(web.name, name, since, until)
                        missing = sorted(taken - set(points))
                        of_cut = [when for when in missing if web is cut and before_cut[web.name, name] < when < cut_ended + fleet.INTERVAL]
                        of_relay = [when for when in missing if before_relay[web.name, name] < when]
                        self.assertFalse(set(missing) - set(of_cut) - set(of_relay))
                        # One hole, which ends once the relay is back.
                        ordered = sorted(taken)
                        if of_relay:
                            self.assertEqual(ordered.index(of_relay[-1]) - ordered.index(of_relay[0]), len(of_relay) - 1)
                        lost_in_cut += len(of_cut)
                        lost_by_relay += len(of_relay)
                        for store in copies:
                            gone = taken - set(fleet.stored(fleet.whisper_path(store, web.name, name), since, until)) - set(missing)
                            if store is dead:
                                in_copy += len(taken)
                                lost_in_copy += len(gone)
                                # One that Carbon had not written before it died, or that was on the way then.
                                self.assertFalse([when for when in gone if when > back + fleet.INTERVAL])
                            else:
                                self.assertFalse(gone)
                        self.assertFalse((taken & set(points)) - seen[f"collectd.{web.name}.mmstats-shop.{name}"])
            for percent, got in percentiles.items():
                want = applications.percentile(percent)
                fleet.say(f"p{percent} of all hosts: {want:.4f} s in truth, {got:.4f} by Graphite")
                self.assertLess(max(got / want, want / got), math.sqrt(2) + 0.01)
            fleet.say(tell)
            fleet.say(f"{total} values. {cut.name} was cut off for {cut_ended - cut_began:.1f} s: {lost_in_cut} lost, all of its. A store was killed for "
                      f"{back - killed:.1f} s: {lost_in_copy} of {in_copy} lost in its copies, none in the union. The relay was restarted, "
                      f"{relay_back - relay_ended:.1f} s: {lost_by_relay} lost, {lost_by_relay / len(webs) / len(names):.1f} of each series")
            fleet.say(f"The front answered with {len(seen)} series in {answered - asked:.2f} s")


if __name__ == "__main__":
    fleet.main()
