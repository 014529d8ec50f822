"""Agents that write to Kafka: packaging/fleet/4-kafka, against the broker that librdkafka has in it. The broker is down
for a while; nothing is lost."""

import json
import subprocess
import unittest

import daemons
import fleet
from kafka_broker import KafkaBroker

REQUESTS = "mmstats-shop/derive-requests"
# The broker keeps five megabytes of each partition.
HOSTS = min(fleet.HOSTS, 20)


class KafkaTest(unittest.TestCase):
    def setUp(self):
        fleet.need(librdkafka1="/usr/lib/*/librdkafka.so.1", libyajl2="/usr/lib/*/libyajl.so.2", kcat="kcat")

    def test_messages_wait_for_the_broker(self):
        with fleet.Fleet() as machines, KafkaBroker() as broker:
            webs = [machines.local(f"web{number}") for number in range(1, HOSTS + 1)]
            for web in webs:
                web.place("fleet/collectd.conf", "/etc/collectd/collectd.conf", 0o600)
                web.place("fleet/mmstats.conf", "/etc/collectd/collectd.conf.d/mmstats.conf")
                web.place("fleet/4-kafka/write_kafka.conf", "/etc/collectd/collectd.conf.d/write_kafka.conf", BROKERS=broker.address)
                web.observe()
            applications = machines.applications(HOSTS)
            agents = [machines.start(web.collectd()) for web in webs]

            def wait_for_samples(number, since):
                for web in webs:
                    daemons.wait_until(lambda: sum(when > since for when in web.samples(REQUESTS)) >= number,
                                       f"samples of {web.name}", 60 + 10 * fleet.INTERVAL)

            def messages():
                """(host, series) -> {time: value}, and the bytes of all."""
                output = subprocess.run(["kcat", "-C", "-e", "-q", "-b", broker.address, "-t", "mmstats", "-o", "beginning"],
                                        check=True, stdout=subprocess.PIPE, timeout=60 * daemons.TIME_SCALE).stdout
                result = {}
                for line in output.splitlines():
                    for one in json.loads(line):
                        name = f"{one['plugin']}-{one['plugin_instance']}/{one['type']}-{one['type_instance']}"
                        # To the millisecond, as in the agent's own record.
                        result.setdefault((one["host"], name), {})[one["time"]] = one["values"][0]
                return result, len(output)

            wait_for_samples(3, fleet.now())
            down = fleet.now()
            broker.go_down()
            wait_for_samples(4, down)
            broker.come_up()
            up = fleet.now()
            wait_for_samples(2, up)
            applications.stop()
            end = fleet.now()
            wait_for_samples(2, end)

            def arrived():
                have, _ = messages()
                return all(max(have.get((web.name, f"mmstats-shop/{name}"), {0: 0})) > end for web in webs for name in fleet.series())

            daemons.wait_until(arrived, "messages of the end")
            have, size = messages()
            total = sum(len(values) for values in have.values())
            fleet.say(f"{HOSTS} agents, {agents[0].memory():.1f} MB each, {agents[0].processor_time():.2f} s of processor time; the broker was "
                      f"down for {up - down:.1f} s: nothing lost of {total} values, {size / total:.0f} bytes each")
            for number, web in enumerate(webs, 1):
                for name in fleet.series():
                    with self.subTest(host=web.name, series=name):
                        taken = {when for when in web.samples(f"mmstats-shop/{name}") if when < end}
                        self.assertTrue(taken)
                        self.assertFalse(taken - set(have[web.name, f"mmstats-shop/{name}"]))
                for counter in range(fleet.COUNTERS):
                    values = have[web.name, f"mmstats-shop/{fleet.counter_name(counter)}"]
                    self.assertEqual(values[max(values)], applications.total(number, counter))


if __name__ == "__main__":
    fleet.main()
