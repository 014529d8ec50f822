"""pinba-server with real clients and packets: what mmash, slurpstats and collectd read of its files is what was sent."""

import collections
import contextlib
import glob
import json
import math
import mmap
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import threading
import unittest

import daemons
import mmstats_writer as writer
import pinba_packets
from pinba_forward_test import Notify
from pinba_forward_test import run as forward
from pinba_php_test import PHP, send_ours, send_php, why_php_cannot_send
from pinba_reports import SERVER, Front, PinbaServer, Sender, faults_of, packet, random_requests, requests_of

RUN = os.environ["MMSTATS_PINBA_RUN"]
SLURPSTATS = os.environ["MMSTATS_SLURPSTATS"]
CLEANSTATS = os.environ["MMSTATS_CLEANSTATS"]
DATA = os.path.join(daemons.HERE, "..", "data", "pinba")
SECONDS = daemons.PATIENCE
SEED = int(os.environ.get("MMSTATS_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
LOST = ("pinba_receiver_lost_packets_total", "pinba_receiver_refused_packets_total")


def run(*options):
    return subprocess.run([SERVER, *options], capture_output=True, text=True, timeout=SECONDS, check=False)


def is_sanitized():
    with open(SERVER, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        return any(program.find(name) >= 0 for name in (b"__asan_init", b"__tsan_init"))


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def percentile(values, part):
    """(least, largest) that a percentile may be told as: a bucket of 1/32 of a power of two is taken for its middle."""
    at = part * len(values)
    low, high = math.floor(at) - 1, min(math.ceil(at), len(values) - 1)
    return sorted(values)[max(low, 0)] * (1 - 1 / 64), sorted(values)[high] * (1 + 1 / 64)


class PinbaServerTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.files = os.path.join(self.workspace, "files")
        os.mkdir(self.files)

    def server(self, config="", **more):
        return PinbaServer(self.workspace, config, **more)

    def front(self, **more):
        return Front(self.workspace, self.files, **more)

    def wait_for_packets(self, front, want):
        front.wait_for(want, "pinba_receiver_packets_total")
        for name in LOST:
            self.assertEqual(front.value(name), 0, name)

    # ---- what is counted

    def assert_same(self, front, requests):
        """The default reports have what these Requests have."""
        keys = {"script": lambda r: r.script, "server": lambda r: r.server, "host": lambda r: r.host,
                "status": lambda r: str(r.status)}
        for key, value in keys.items():
            counts, sums = collections.Counter(), collections.defaultdict(collections.Counter)
            for request in requests:
                counts[value(request)] += 1
                for name in ("seconds", "user", "system", "size"):
                    sums[name][value(request)] += getattr(request, name)
            self.assertEqual(front.sums(f"pinba_{key}_requests_total", key), counts)
            self.assertEqual(front.sums(f"pinba_{key}_seconds_count", key), counts)
            for name, sample in (("seconds", "seconds_sum"), ("user", "user_seconds_total"),
                                 ("system", "system_seconds_total"), ("size", "bytes_total")):
                got = front.sums(f"pinba_{key}_{sample}", key)
                for text, want in sums[name].items():
                    self.assertAlmostEqual(got[text], want, delta=1e-9 + 1e-6 * want, msg=(key, name, text))
        hits, seconds, having = collections.Counter(), collections.Counter(), collections.Counter()
        for request in requests:
            sets = set()
            for timer in request.timers:
                labels = frozenset((name.replace(".", "_"), text) for name, text in timer.tags.items() if text)
                sets.add(labels)
                hits[labels] += timer.hits
                seconds[labels] += timer.seconds
            having.update(sets)
        samples = front.samples()
        for sample, want in (("pinba_timer_seconds_count", hits), ("pinba_timer_requests_total", having)):
            self.assertEqual({labels: count for (name, labels), count in samples.items() if name == sample}, dict(want))
        for labels, want in seconds.items():
            self.assertAlmostEqual(samples["pinba_timer_seconds_sum", labels], want, delta=1e-9 + 1e-6 * want)

    def test_what_real_clients_send_is_what_reports_have(self):
        """The truth is what another server is passed on, which checks every packet."""
        with (pinba_packets.Server() as judge, self.server(f'forward = "{judge.address}"') as server,
              self.front() as front):
            sent = 0
            for number in range(5):
                subprocess.run([RUN, "--server", server.address, "--script", f"job{number % 2}", "--tag", "kind=night", "--",
                                "sh", "-c", f"exit {number % 2}"], check=False, timeout=SECONDS)
                sent += 1
            for _ in range(3):
                send_ours(server.port)
                sent += 1
            reason = why_php_cannot_send()
            for _ in range(0 if reason else 3):
                send_php(server.port, PHP)
                sent += 1
            self.wait_for_packets(front, sent)
            daemons.wait_until(lambda: len(judge.packets()) == sent, "all is passed on")
            self.assertEqual(front.value("pinba_receiver_faults_requests_total"), 0)
            requests = [request for one in judge.datagrams() for request in requests_of(one)]
            self.assertEqual(len(requests), sent)
            self.assert_same(front, requests)
            front.wait_for(sent, "pinba_receiver_forwarded_packets_total")
            self.assertEqual(front.value("pinba_receiver_forward_lost_packets_total"), 0)
            if reason:
                print(f"skipped: packets of PHP: {reason}", flush=True)

    def test_counts_seconds_and_percentiles_are_those_of_what_was_sent(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        dice = random.Random(SEED)
        config = 'threads = 3\n[[report]]\nname = "all"\nkind = "packet"\n'
        with self.server(config) as server, self.front() as front:
            datagrams = list(random_requests(dice, 3000))
            for part in range(6):
                # Each from a port of its own, so that all threads get some.
                with Sender(server.address) as sender:
                    sender.send(*datagrams[part * 500 : (part + 1) * 500])
            self.wait_for_packets(front, len(datagrams))
            requests = [request for one in datagrams for request in requests_of(one)]
            self.assert_same(front, requests)
            self.assertEqual(front.value("pinba_all_requests_total"), len(requests))

            times = collections.defaultdict(list)
            for request in requests:
                times[request.script].append(request.seconds)
            groups = front.groups("pinba.script.seconds", "script")
            self.assertEqual({values: group["value"] for values, group in groups.items()},
                             {(script,): len(values) for script, values in times.items()})
            for (script,), group in groups.items():
                for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
                    least, largest = percentile(times[script], part)
                    self.assertTrue(least <= group[name] <= largest, (script, name, group[name], least, largest))
            # Of several rows together, from their buckets.
            (all_together,) = front.groups("pinba.script.seconds").values()
            least, largest = percentile([request.seconds for request in requests], 0.99)
            self.assertTrue(least <= all_together["p99"] <= largest, (all_together, least, largest))

            of_timers = collections.defaultdict(list)
            for request in requests:
                for timer in request.timers:
                    if "group" in timer.tags:
                        of_timers[timer.tags["group"]] += [timer.seconds / timer.hits] * timer.hits
            for (group,), told in front.groups("pinba.timer.@group@server.seconds", "group").items():
                self.assertEqual(told["value"], len(of_timers[group]))
                least, largest = percentile(of_timers[group], 0.9)
                self.assertTrue(least <= told["p90"] <= largest, (group, told, least, largest))

            # Prometheus' buckets hold what is no more than their bound.
            for (name, labels), count in front.samples().items():
                if name == "pinba_script_seconds_bucket":
                    bound = dict(labels)["le"]
                    below = sum(value < float(bound) for value in times[dict(labels)["script"]])
                    self.assertEqual(count, below, labels)

    def test_slurpstats_shows_the_same_and_everybody_may_read(self):
        with self.server() as server, Sender(server.address) as sender, self.front() as front:
            sender.send(*[packet(script="/a", memory=1000)] * 3, packet(script="/b", memory=5000))
            self.wait_for_packets(front, 4)
            paths = glob.glob(os.path.join(self.files, "pinba-server-*.mmstats"))
            shown = json.loads(subprocess.run([SLURPSTATS, "--json", *paths], capture_output=True, check=True).stdout)
            text = json.dumps(shown)
            self.assertIn("pinba.script.requests./a", text)
            self.assertEqual(front.sums("pinba_script_memory_bytes", "script"), {"/a": 1000, "/b": 5000})
            for path in paths:
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o444, 0o444, path)

    def test_packets_of_every_kind_are_used_as_far_as_they_are_good(self):
        datagrams = []
        for name in sorted(os.listdir(DATA)):
            if not name.endswith(".txt"):
                with open(os.path.join(DATA, name), "rb") as file:
                    datagrams.append(file.read())
        shapes = {"many tags": packet(tags={f"t{i}": i for i in range(100)}),
                  "a timer of many tags": packet(timers=[(1, 0.5, {f"t{i}": i for i in range(100)}), (2, 1.0, {"a": "b"})]),
                  "a timer without tags": packet(timers=[(3, 0.75, {})]),
                  "nested": packet(script="/outer", requests=[packet(script="/inner", timers=[(1, 0.25, {"a": "c"})])] * 3),
                  "a large one": packet(timers=[(1, 0.001, {"a": str(i % 10)}) for i in range(3000)]),
                  "many nested ones": packet(script="/outer") + b"\x92\x01\x00" * 2000,
                  "the longest texts": packet(script="x" * 60_000),
                  "none": b""}
        datagrams += shapes.values()
        with self.server() as server, self.front() as front:
            with Sender(server.address) as sender:
                sender.send(*datagrams)
            self.wait_for_packets(front, len(datagrams))
            requests = [request for one in datagrams for request in requests_of(one) or ()]
            self.assertGreater(len(requests), 30)
            samples = front.samples()
            got = {dict(labels)["reason"]: number for (name, labels), number in samples.items()
                   if name == "pinba_receiver_faults_requests_total"}
            self.assertEqual(got, dict(faults_of(datagrams)))
            self.assertEqual(front.value("pinba_receiver_requests_total"), len(requests))
            timers = [timer for request in requests for timer in request.timers]
            self.assertEqual(front.value("pinba_receiver_timers_total"), len(timers))
            self.assertEqual(front.of_timers("seconds_count"), sum(timer.hits for timer in timers))
            self.assertAlmostEqual(front.of_timers("seconds_sum"), math.fsum(timer.seconds for timer in timers),
                                   delta=1e-3)
            for key in ("script", "server", "host", "status"):
                self.assertEqual(front.total(f"pinba_{key}_requests_total"), len(requests), key)
                self.assertAlmostEqual(front.total(f"pinba_{key}_seconds_sum"),
                                       math.fsum(request.seconds for request in requests), delta=1e-3)
                self.assertEqual(front.total(f"pinba_{key}_bytes_total"), sum(request.size for request in requests))

    def test_damaged_packets_harm_nobody_and_all_are_counted(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        dice = random.Random(SEED)
        good = [packet(script="/cart", seconds=0.1, timers=[(1, 0.1, {"group": "db"})], tags={"a": "b"})]
        good.append(packet(requests=good * 3, timers=[(2, 0.5, {"x": "y", "z": "w"})] * 5))
        with self.server("slow = 0\nmax_all_rows = 300\nmax_rows = 50") as server, self.front() as front:
            def damaged():
                data = bytearray(dice.choice(good))
                for _ in range(dice.randrange(1, 4)):
                    how = dice.randrange(3)
                    at = dice.randrange(len(data) or 1)
                    if how == 0 and data:
                        data[at] = dice.randrange(256)
                    elif how == 1:
                        del data[at:]
                    else:
                        data[at:at] = dice.randbytes(dice.randrange(8))
                return bytes(data)

            with Sender(server.address) as sender:
                sender.send(*(damaged() for _ in range(20_000)))
                sender.send(*[packet(script="/after", host="after")] * 3)
            self.wait_for_packets(front, 20_003)
            self.assertTrue(server.running())
            self.assertLessEqual(front.value("pinba_receiver_rows"), 300)

    # ---- reports of one's own

    def test_reports_have_the_keys_filters_and_rewrites_of_the_configuration(self):
        config = r"""
[[rewrite]]
key = "~script"
match = '/user/\d+'
to = '/user/:id'
[[report]]
name = "api"
kind = "request"
keys = ["~script", "~status", "+version"]
where = { "~server" = 'api\d+', "~script" = '\Q/user/:id\E|/(a|b)' }
[[report]]
name = "queries"
kind = "timer"
keys = ["~script", "@group", "+version"]
where = { "@group" = "mysql|redis" }
min_time = 0.25
max_time = 1
"""
        def request(number, server="api1", version="7", **more):
            tags = {"version": version} if version else {}
            return packet(script=f"/user/{number}", server=server, status=200, tags=tags, **more)

        with self.server(config) as server, Sender(server.address) as sender, self.front() as front:
            sender.send(request(1), request(22), request(3, server="api12", version="8"),
                        request(4, server="www"), request(5, server="api1x"), request(6, version=None),
                        packet(script="/a", server="api1", tags={"version": "7"}),
                        packet(script="/c", server="api1", tags={"version": "7"}),
                        request(7, server="db", timers=[(2, 0.5, {"group": "mysql"}), (2, 0.25, {"group": "mysql"}),
                                                        (1, 2.0, {"group": "mysql"}), (1, 1.0, {"group": "redis", "x": "y"}),
                                                        (1, 0.5, {"group": "http"}), (1, 0.5, {"op": "mysql"})]))
            self.wait_for_packets(front, 9)
            samples = front.samples()

            def rows(name):
                return {tuple(sorted(labels)): number for (sample, labels), number in samples.items() if sample == name}

            self.assertEqual(rows("pinba_api_requests_total"), {
                (("script", "/user/:id"), ("status", "200"), ("version", "7")): 2,
                (("script", "/user/:id"), ("status", "200"), ("version", "8")): 1,
                (("script", "/a"), ("status", "0"), ("version", "7")): 1})
            self.assertEqual(rows("pinba_queries_seconds_count"), {
                (("group", "mysql"), ("script", "/user/:id"), ("version", "7")): 2,
                (("group", "redis"), ("script", "/user/:id"), ("version", "7")): 1})
            # Before anything is counted: in other reports, too.
            self.assertEqual(front.value("pinba_script_requests_total", script="/user/:id"), 7)

    def test_a_configuration_is_checked_without_being_used(self):
        path = os.path.join(self.workspace, "c.toml")
        for text, code, want in (("slow = -1\nthreads = 0\n", 1, f"{path}:1: slow: -1 is not possible"),
                                 ("slow = 1\n", 0, "")):
            with open(path, "w") as file:
                file.write(text)
            result = run("--check-config", "--config", path)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(want, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 2 * code, result.stderr)
        self.assertIn("no mistakes; 4 reports, and timers by their tags, listening on 127.0.0.1:30002", result.stdout)
        self.assertEqual(run("--check-config", "--config", path + "x").returncode, 1)
        result = run("--check-config", "--config", path, "--listen", "1.2.3.4:x")
        self.assertEqual(result.returncode, 2)
        self.assertIn('--listen: "1.2.3.4:x" is not possible', result.stderr)
        with open(path, "w") as file:
            file.write('forward = "127.0.0.1:4"\n')
        self.assertEqual(run("--check-config", "--config", path).returncode, 0)
        result = run("--check-config", "--config", path, "--listen", ":4")
        self.assertEqual(result.returncode, 1)
        self.assertIn('forward: "127.0.0.1:4" is where this server listens', result.stderr)
        for wrong in (["--foo"], ["extra"], ["--check-config", "--explain"], ["--listen"]):
            self.assertEqual(run(*wrong).returncode, 2, wrong)
        result = run("--version")
        self.assertRegex(result.stdout, r"^pinba-server \d")

    def test_an_address_in_use_is_told_and_ends_the_server(self):
        with self.server() as server:
            second = run("--config", server.config, "--listen", server.address)
            self.assertEqual(second.returncode, 1)
            self.assertIn(f"cannot listen on {server.address}: Address already in use", second.stderr.replace(" (", ": "))

    # ---- signals

    def test_a_changed_configuration_loses_no_packet_and_no_total(self):
        configs = ['[[report]]\nname = "api"\nkind = "request"\nkeys = ["~script", "~host"]\n',
                   "max_rows = 400\n",  # all rows are made anew
                   "slow = -1\n",  # a mistake
                   "default_reports = true\nslow = 0.5\n",
                   "max_rows = 300\nmax_tag_sets = 10\n[[rewrite]]\nkey = '~host'\nmatch = 'x'\nto = 'y'\n",
                   ""]
        with self.server() as server, self.front() as front:
            ends, sent = threading.Event(), collections.Counter()

            def send():
                with Sender(server.address) as sender:
                    while not ends.is_set():
                        for script in ("/a", "/b"):
                            sender.send(packet(script=script, seconds=1.0, timers=[(2, 0.5, {"group": "db"})]))
                            sent[script] += 1
                    sender.drain()

            def seen():
                """The readers have found the files that there are now."""
                want = sent["/b"]
                daemons.wait_until(lambda: front.value("pinba_script_requests_total", script="/b") >= want, "it is counted")

            thread = threading.Thread(target=send)
            thread.start()
            try:
                daemons.wait_until(lambda: sent["/b"] > 100, "packets are sent")
                seen()
                for config in configs:
                    server.write(config)
                    said = server.reload()
                    self.assertEqual("keeping the previous configuration" in said, "-1" in config, said)
                    if "-1" in config:
                        self.assertIn("slow: -1 is not possible", said)
                    seen()
            finally:
                ends.set()
                thread.join()
            total = sum(sent.values())
            self.wait_for_packets(front, total)
            print(f"{total} packets, {len(configs)} configurations", flush=True)
            for script, count in sent.items():
                front.wait_for(count, "pinba_script_requests_total", script=script)
                self.assertEqual(front.value("pinba_script_seconds_count", script=script), count)
                self.assertEqual(front.value("pinba_script_seconds_sum", script=script), count)
            self.assertEqual(front.value("pinba_status_requests_total", status="0"), total)
            self.assertEqual(front.value("pinba_timer_seconds_count", group="db"), 2 * total)

    def test_a_changed_configuration_loses_no_count_of_slow_and_forwarded_packets(self):
        with contextlib.ExitStack() as stack:
            sinks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
            for sink in sinks:
                sink.bind(("127.0.0.1", 0))
            configs = [f'slow = 0\nforward = "127.0.0.1:{sink.getsockname()[1]}"\n' for sink in sinks]
            server = stack.enter_context(self.server(configs[0]))
            front = stack.enter_context(self.front())
            ends, sent = threading.Event(), [0]

            def send():
                with Sender(server.address) as sender:
                    while not ends.is_set():
                        sender.send(*[packet(script="/a", seconds=0.5)] * 50)
                        sent[0] += 50
                    sender.drain()

            thread = threading.Thread(target=send)
            thread.start()
            try:
                for turn in range(20):
                    server.write(configs[turn % 2])
                    server.reload()
            finally:
                ends.set()
                thread.join()
            self.wait_for_packets(front, sent[0])
            front.wait_for(sent[0], "pinba_receiver_slow_requests_total")
            daemons.wait_until(lambda: front.value("pinba_receiver_forwarded_packets_total") +
                               front.value("pinba_receiver_forward_lost_packets_total") == sent[0], "all are counted")

    @unittest.skipIf(is_sanitized(), "its allocator ends a program that has no memory")
    def test_a_server_without_memory_counts_on(self):
        with self.server() as server, self.front() as front, Sender(server.address) as sender:
            sender.send(packet(script="/a"))
            self.wait_for_packets(front, 1)
            server.write("# " + 3_000_000 * "x" + "\n")
            for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
                resource.prlimit(server.pid, limit, (1 << 20, resource.prlimit(server.pid, limit)[1]))
            self.assertIn("there is not enough memory: keeping the previous configuration", server.reload())
            sender.send(packet(script="/a"))
            front.wait_for(2, "pinba_script_requests_total", script="/a")
            for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
                most = resource.prlimit(server.pid, limit)[1]
                resource.prlimit(server.pid, limit, (most, most))
            self.assertIn("read again", server.reload())

    def test_what_waits_when_it_is_told_to_end_is_counted(self):
        with self.server() as server, Sender(server.address) as sender, self.front() as front:
            sender.send(packet(script="/first"))
            self.wait_for_packets(front, 1)
            server.process.send_signal(signal.SIGSTOP)
            for _ in range(90):
                sender.throw(packet(script="/first", seconds=0.5))
            self.assertGreater(len(glob.glob(os.path.join(self.files, "*"))), 0)
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGCONT)
            server.stop()
            self.assertEqual(glob.glob(os.path.join(self.files, "*")), [])
            self.wait_for_packets(front, 91)
            self.assertEqual(front.value("pinba_script_requests_total", script="/first"), 91)
            self.assertEqual(front.value("pinba_script_seconds_sum", script="/first"), 45)

    def test_two_servers_add_up_though_one_is_killed_and_started_again(self):
        ports = [pinba_packets.free_udp_port() for _ in range(2)]
        places = [f"127.0.0.1:{port}" for port in ports]
        # As clients do that spread by script: each script goes to one of them.
        of_script = {"/a": 0, "/b": 1, "/c": 0, "/d": 1}
        sent = collections.Counter()
        with self.front() as front, self.server(listen=[places[1]], name="other"):
            senders = [Sender(place) for place in places]
            for one in senders:
                self.addCleanup(one.__exit__)

            def send(count):
                for script, index in of_script.items():
                    senders[index].send(*[packet(script=script, seconds=0.25 * (1 + index))] * count)
                    senders[index].drain()
                    sent[script] += count

            def check():
                for script, count in sent.items():
                    front.wait_for(count, "pinba_script_requests_total", script=script)
                    self.assertEqual(front.value("pinba_script_seconds_count", script=script), count)
                    self.assertEqual(front.value("pinba_script_seconds_sum", script=script),
                                     count * 0.25 * (1 + of_script[script]))
                front.wait_for(sum(sent.values()), "pinba_host_requests_total", host="web1")

            with self.server(listen=[places[0]], name="first") as first:
                send(100)
                check()
                send(50)
                # All that it got is in its files; whether anybody has looked does not matter.
                daemons.wait_until(lambda: self.counted(first.pid) == 2 * 150, "all is taken")
                first.kill()
            check()
            with self.server(listen=[places[0]], name="again"):
                send(30)
                check()
                # What the first one left behind may be cleaned away, and stays counted.
                subprocess.run([CLEANSTATS, *glob.glob(os.path.join(self.files, "*.mmstats"))], capture_output=True, check=True)
                self.assertEqual([path for path in os.listdir(self.files) if f"-{first.pid}-" in path], [])
                send(20)
                check()

    def counted(self, pid):
        """Packets in the files of one server."""
        total = 0
        for path in glob.glob(os.path.join(self.files, f"pinba-server-{pid}-*.mmstats")):
            shown = subprocess.run([SLURPSTATS, path], capture_output=True, text=True, check=False).stdout
            for line in shown.splitlines():
                words = line.split()
                if words[:1] == ["pinba.receiver.packets"]:
                    total += int(words[-1])
        return total

    def test_systemd_is_told_of_start_reload_life_and_end(self):
        with Notify(self.workspace) as notify:
            env = {"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "200000"}
            with self.server(env=env) as server:
                daemons.wait_until(lambda: notify.heard("READY=1"), "it is ready")
                ready = notify.count("READY=1")
                daemons.wait_until(lambda: notify.count("WATCHDOG=1") > 2, "it lives")
                server.reload()
                daemons.wait_until(lambda: notify.heard("RELOADING=1") and notify.count("READY=1") > ready, "it was reloaded")
            daemons.wait_until(lambda: notify.heard("STOPPING=1"), "it ends")

    # ---- bad and slow packets

    def test_bad_packets_are_kept_and_explained(self):
        with self.server() as server, Sender(server.address) as sender, self.front() as front:
            self.assertIn("no such file", run("--explain", "--config", server.config).stderr.lower())
            sender.send(b"\x1b[2Jno packet", packet(seconds=float("nan"), script="\x1b]0;title\x07", timers=[(0, 1.0, {"a": "b"})]))
            self.wait_for_packets(front, 2)
            self.assertEqual(front.sums("pinba_receiver_faults_requests_total", "reason"),
                             {"no_message": 1, "bad_number": 1, "no_hits": 1})
            daemons.wait_until(lambda: len(server.lines("bad.jsonl")) == 2, "they are kept")
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(server.state, "bad.jsonl")).st_mode), 0o640)
            kept = [json.loads(line) for line in server.lines("bad.jsonl")]
            self.assertEqual([one["faults"] for one in kept], [["no_message"], ["bad_number", "no_hits"]])
            self.assertEqual(bytes.fromhex(kept[0]["hex"]), b"\x1b[2Jno packet")
            explained = run("--explain", "--config", server.config)
            self.assertEqual((explained.returncode, explained.stderr), (0, ""))
            for words in ("from 127.0.0.1:", "no_hits: a timer has no hits", "Pinba2: dropped", "|.[2Jno packet|"):
                self.assertIn(words, explained.stdout)
            self.assertNotIn("\x1b", explained.stdout)

            before = len(server.log())
            server.process.send_signal(signal.SIGUSR1)
            daemons.wait_until(lambda: "Pinba2: dropped" in server.log()[before:], "they are in the log")
            said = server.log()[before:]
            self.assertNotIn("\x1b", said)
            self.assertTrue(all(line.startswith("pinba-server: ") for line in said.splitlines()), said)

    def test_slow_requests_are_kept_with_their_tags_and_timers(self):
        with self.server("slow = 1.0") as server, Sender(server.address) as sender, self.front() as front:
            sender.send(packet(seconds=0.999), packet(script="/slow<script>\n", host="web1", status=503, seconds=1.5, size=77,
                                                      tags={"app": "shop"},
                                                      timers=[(1, 0.25, {"group": "a"}), (2, 1.25, {"group": "b"})]))
            daemons.wait_until(lambda: server.lines("slow.jsonl"), "it is kept")
            (line,) = server.lines("slow.jsonl")
            kept = json.loads(line)
            self.assertEqual((kept["script"], kept["host"], kept["status"], kept["seconds"], kept["bytes"], kept["tags"]),
                             ("/slow<script>\n", "web1", 503, 1.5, 77, {"app": "shop"}))
            # What took longest comes first.
            self.assertEqual([(timer["hits"], timer["seconds"], timer["tags"]) for timer in kept["timers"]],
                             [(2, 1.25, {"group": "b"}), (1, 0.25, {"group": "a"})])
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(server.state, "slow.jsonl")).st_mode), 0o640)
            slow = 1

            def too_many():
                """In a second, which a slow machine may need for fewer."""
                nonlocal slow
                sender.send(*[packet(seconds=2.0)] * 300)
                slow += 300
                self.wait_for_packets(front, 1 + slow)
                front.wait_for(slow, "pinba_receiver_slow_requests_total")
                return front.value("pinba_receiver_slow_left_out_requests_total")

            left_out = daemons.wait_until(too_many, "some are left out")
            daemons.wait_until(lambda: len(server.lines("slow.jsonl")) == slow - left_out, "the others are kept")
        # They outlive a restart.
        with (self.server("slow = 1.0", name="again", state=server.state) as again, Sender(again.address) as sender):
            sender.send(packet(script="/again", seconds=3.0))
            daemons.wait_until(lambda: len(again.lines("slow.jsonl")) == slow + 1 - left_out, "they are kept, and one more")

    def test_a_file_that_cannot_be_written_is_told_once_and_written_when_it_can_be(self):
        with Notify(self.workspace) as notify:
            with (self.server("slow = 0\n", env={"NOTIFY_SOCKET": notify.path}) as server,
                  Sender(server.address) as sender):
                os.rmdir(server.state)
                sender.send(packet())
                daemons.wait_until(lambda: "slow.jsonl: cannot be written" in server.log(), "it is told")
                ticks = notify.count("STATUS=")
                daemons.wait_until(lambda: notify.count("STATUS=") >= ticks + 3, "it has tried again")
                self.assertEqual(server.log().count("slow.jsonl: cannot be written"), 1, server.log())
                os.mkdir(server.state)
                daemons.wait_until(lambda: server.lines("slow.jsonl"), "it is written")

    # ---- from whom, and to whom

    def test_packets_are_passed_on_to_another_server(self):
        with self.server(name="second", files=os.path.join(self.workspace, "files2")) as second:
            dead = f"127.0.0.1:{pinba_packets.free_udp_port()}"
            config = f'forward = ["{second.address}", "{dead}"]\n'
            with (self.server(config) as server, self.front() as front, Sender(server.address) as sender,
                  Front(self.workspace, second.files, name="mmash2") as other):
                bad = b"no packet"
                for number in range(200):
                    sender.send(packet(script=f"/{number % 3}", seconds=0.5, timers=[(1, 0.1, {"group": "db"})]), bad)
                self.wait_for_packets(front, 400)
                # As it came, also what is bad: that is the other one's to judge.
                self.wait_for_packets(other, 400)
                for name in ("pinba_script_requests_total", "pinba_script_seconds_sum"):
                    self.assertEqual(other.sums(name, "script"), front.sums(name, "script"))
                self.assertEqual(other.value("pinba_receiver_faults_requests_total", reason="no_message"), 200)
                daemons.wait_until(lambda: front.value("pinba_receiver_forward_lost_packets_total") > 0, "the dead one's come back")

    def test_only_who_is_allowed_is_counted(self):
        with self.server('allow = ["127.0.0.2", "10.0.0.0/8"]') as server, self.front() as front:
            with Sender(server.address) as stranger, Sender(server.address, "127.0.0.2") as friend:
                stranger.send(*[packet(script="/evil")] * 5)
                friend.send(*[packet(script="/good")] * 3)
            front.wait_for(3, "pinba_receiver_packets_total")
            front.wait_for(5, "pinba_receiver_refused_packets_total")
            self.assertEqual(front.sums("pinba_script_requests_total", "script"), {"/good": 3})
            # A changed list holds at once.
            server.write('allow = "127.0.0.1"')
            server.reload()
            with Sender(server.address) as stranger, Sender(server.address, "127.0.0.2") as friend:
                stranger.send(packet(script="/evil"))
                friend.send(packet(script="/good"))
            front.wait_for(1, "pinba_script_requests_total", script="/evil")
            front.wait_for(6, "pinba_receiver_refused_packets_total")

    @unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
    def test_ipv6_is_as_good_as_ipv4(self):
        port = pinba_packets.free_udp_port()
        config = 'allow = ["::1", "127.0.0.1"]\nslow = 0\n'
        with self.server(config, listen=["[::1]:0", f":{port}"]) as server, self.front() as front:
            one, every = server.addresses()
            self.assertRegex(one, r"^\[::1\]:\d+$")
            self.assertEqual(every, f"[::]:{port}")
            for place, script in ((one, "/6"), (f"[::1]:{port}", "/any6"), (f"127.0.0.1:{port}", "/any4")):
                with Sender(place) as sender:
                    sender.send(packet(script=script))
            self.wait_for_packets(front, 3)
            self.assertEqual(front.sums("pinba_script_requests_total", "script"), {"/6": 1, "/any6": 1, "/any4": 1})
            daemons.wait_until(lambda: len(server.lines("slow.jsonl")) == 3, "they are kept")
            hosts = {json.loads(line)["script"]: json.loads(line)["from"].rpartition(":")[0] for line in server.lines("slow.jsonl")}
            self.assertEqual(hosts, {"/6": "[::1]", "/any6": "[::1]", "/any4": "127.0.0.1"})

    def test_a_flood_of_one_sender_hides_nobody(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        dice = random.Random(SEED)
        config = "max_rows = 100\nmax_all_rows = 600\nmax_tag_sets = 32\nslow = 1.0\nslow_bytes = 65536\n"
        with self.server(config) as server, self.front() as front:
            def random_packet():
                def text():
                    return f"{dice.getrandbits(64):x}"

                timers = [(1, 0.1, {text(): text()}), (1, 0.1, {"group": text()})]
                return packet(script=text(), host=text(), server=text(), status=dice.randrange(1000), seconds=2.0,
                              timers=timers)

            flood = 4000
            with Sender(server.address, "127.0.0.2") as attacker:
                attacker.send(*(random_packet() for _ in range(flood)))
            honest = [packet(script=f"/honest{number % 5}", host="web", server="shop", status=1200, seconds=1.5,
                             timers=[(1, 0.5, {"group": f"db{number % 2}"}), (1, 0.5, {"query": "select"})])
                      for number in range(50)]
            with Sender(server.address) as sender:
                sender.send(*honest)
            self.wait_for_packets(front, flood + len(honest))
            scripts = front.sums("pinba_script_requests_total", "script")
            self.assertEqual({script: count for script, count in scripts.items() if script.startswith("/honest")},
                             {f"/honest{number}": 10 for number in range(5)})
            self.assertGreater(scripts["other"], flood / 2)
            self.assertEqual(front.value("pinba_host_requests_total", host="web"), 50)
            self.assertEqual(front.value("pinba_status_requests_total", status="1200"), 50)
            samples = front.samples()
            for labels, count in (({"group": "db0"}, 25), ({"group": "db1"}, 25), ({"query": "select"}, 50)):
                self.assertEqual(samples.get(("pinba_timer_seconds_count", frozenset(labels.items()))), count, labels)
            # Nothing is lost of the sums, and nothing is without a bound.
            for key in ("script", "host", "server", "status"):
                self.assertEqual(front.total(f"pinba_{key}_requests_total"), flood + len(honest), key)
            self.assertEqual(front.of_timers("seconds_count"), 2 * (flood + len(honest)))
            self.assertLessEqual(front.value("pinba_receiver_rows"), 600)
            self.assertLess(server.most_memory(), 250 << 20)
            # Nor does it drive out what is kept of others.
            daemons.wait_until(lambda: any('"/honest' in line for line in server.lines("slow.jsonl")), "honest ones are kept")
            self.assertLessEqual(os.path.getsize(os.path.join(server.state, "slow.jsonl")), 65536)

    def test_rows_that_nobody_uses_leave_and_totals_stay(self):
        with self.server("expire = 5") as server, Sender(server.address) as sender, self.front() as front:
            sender.send(*[packet(script=f"/{number}") for number in range(10)])
            self.wait_for_packets(front, 10)
            sent = 0

            def in_files():
                paths = glob.glob(os.path.join(self.files, "*.mmstats"))
                shown = subprocess.run([SLURPSTATS, *paths], capture_output=True, text=True, check=False).stdout
                return {number for number in range(10) if f"pinba.script.requests./{number}" in shown}

            def gone():
                nonlocal sent
                sender.send(packet(script="/0"))
                sent += 1
                front.samples()
                return in_files() == {0}

            daemons.wait_until(gone, "the others leave the files", 30)
            front.wait_for(1 + sent, "pinba_script_requests_total", script="/0")
            # Readers keep what they know; who comes back goes on.
            sender.send(packet(script="/7"))
            front.wait_for(2, "pinba_script_requests_total", script="/7")
            self.assertEqual(front.total("pinba_script_requests_total"), 10 + sent + 1)

    # ---- the circle

    def test_the_way_through_pinba_gives_the_counts_of_the_direct_way(self):
        own = os.path.join(self.workspace, "run")
        os.mkdir(own)
        dice = random.Random(SEED)
        times = [dice.lognormvariate(-3, 1) for _ in range(500)]
        responses = {("GET", "200"): 5, ("GET", "404"): 2, ("PUT", "200"): 12345}
        for name, fields in (("one", [writer.counter("hits", 5), *writer.family("responses", ["method", "status"], responses)]),
                             ("two", [writer.counter("hits", 37), *writer.distribution("latency", times)])):
            self.addCleanup(writer.MmstatsFile(os.path.join(own, f"{name}.mmstats"), fields).close)
        with self.server() as server, self.front() as front, Front(self.workspace, own, name="direct") as direct:
            result = forward("--once", "--server", server.address, env={"MMSTATS_PATH": own})
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            front.wait_for(direct.value("hits_total"), "pinba_timer_seconds_count", metric="hits")
            for (method, status), count in responses.items():
                self.assertEqual(direct.value("responses_total", method=method, status=status), count)
                front.wait_for(count, "pinba_timer_seconds_count", metric="responses", method=method, status=status)
            front.wait_for(len(times), "pinba_timer_seconds_count", metric="latency")
            self.assertAlmostEqual(front.value("pinba_timer_seconds_sum", metric="latency"), math.fsum(times), delta=0.02 * math.fsum(times))
            told = front.groups("pinba.timer.@metric.seconds", "metric")[("latency",)]
            for name, part in (("p50", 0.5), ("p99", 0.99)):
                # The forwarder's entries are within 2 %.
                least, largest = percentile(times, part)
                self.assertTrue(0.98 * least <= told[name] <= 1.02 * largest, (name, told, least, largest))
            for name in LOST + ("pinba_receiver_faults_requests_total",):
                self.assertEqual(front.total(name), 0, name)


if __name__ == "__main__":
    unittest.main()
