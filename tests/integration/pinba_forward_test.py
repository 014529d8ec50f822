"""mmstats-pinba against a server that checks every packet, against collectd's own pinba plugin, and through that
into Graphite."""

import contextlib
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import daemons
import mmstats_writer as writer
import own_pids
from chaos_test import Worker
from graphite_test import write_graphite
from pinba_packets import Server, free_udp_port
from series_names import fnv1a

DAEMON = os.environ["MMSTATS_PINBA"]
DATA = os.path.join(daemons.HERE, "..", "data")
SECONDS = float(os.environ.get("MMSTATS_CHAOS_SECONDS", "10"))
SEED = int(os.environ.get("MMSTATS_CHAOS_SEED") or random.SystemRandom().randrange(2**32))


class Forwarder(daemons.Daemon):
    """`config`: TOML; none: all defaults, for the files in <workspace>/run. `inside`: a command that runs it."""

    def __init__(self, workspace, server, config="", interval=0.1, name="forwarder", env=None, options=(), inside=()):
        folder = os.path.join(workspace, name)
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "pinba.toml")
        self.write(config)
        argv = [*inside, DAEMON, "--config", self.config, "--server", server, "--interval", str(interval), *options]
        super().__init__(name, argv, folder, {"MMSTATS_PATH": os.path.join(workspace, "run"), **(env or {})})

    def write(self, config):
        with open(self.config, "w") as file:
            file.write(config)

    def ready(self):
        return ": sends " in self.log()

    def reload(self):
        """SIGHUP, and what the log says to it."""
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)

        def told():
            # A scan may have told something since.
            log = self.log()[before:]
            return any(end in log for end in (": read again\n", ": keeping the previous configuration\n")) and log

        return daemons.wait_until(told, "the configuration was read again")

    def resident(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Notify:
    """What the daemon tells systemd: a socket in the folder, and the messages. They are read at once, as systemd does:
    who tells it something waits for that."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.told = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(0.05)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self._socket.close()

    def _run(self):
        while not self._end.is_set():
            with contextlib.suppress(socket.timeout):
                self.told.append(self._socket.recv(4096).decode())

    def count(self, word):
        return sum(word in message for message in self.told)

    def heard(self, word):
        return self.count(word) > 0


def run(*options, env=None):
    return subprocess.run([DAEMON, *options], capture_output=True, text=True, timeout=daemons.PATIENCE, env={**os.environ, **(env or {})},
                          check=False)


class PinbaForwardTest(unittest.TestCase):
    def setUp(self):
        workspace = daemons.workspace()
        self.workspace = workspace.__enter__()
        self.addCleanup(workspace.__exit__, None, None, None)
        self.folder = os.path.join(self.workspace, "run")
        os.mkdir(self.folder)

    def file(self, name, *fields, **options):
        return writer.MmstatsFile(os.path.join(self.folder, f"{name}.mmstats"), fields, **options)

    def wait_for_hits(self, server, want, **tags):
        daemons.wait_until(lambda: server.hits(**tags) >= want, f"{want} hits of {tags}")
        self.assertEqual(server.hits(**tags), want)

    def test_without_configuration_every_metric_has_a_timer_with_its_label(self):
        with Server() as server, Forwarder(self.workspace, server.address):
            self.file("one", writer.counter("hits", 5), writer.gauge("queue", 3.5), writer.Field("ready", "?", False, True))
            self.file("two", writer.counter("hits", 7), writer.gauge("queue", 4.5), writer.counter("errors", 1))
            self.wait_for_hits(server, 12, metric="hits")
            self.wait_for_hits(server, 1, metric="errors")
            packet = server.packets()[-1]
            self.assertEqual(packet.timer(metric="queue").value, 4)
            self.assertEqual(packet.timer(metric="queue").hits, 1)
            self.assertEqual(packet.timer(metric="ready").value, 1)
            self.assertEqual((packet.server_name, packet.script_name), ("mmstats", "mmstats"))
            self.assertEqual(packet.hostname, socket.gethostname())

    def test_without_configuration_the_reports_of_a_pinba_server_are_not_sent_back_to_it(self):
        with Server() as server, Forwarder(self.workspace, server.address):
            self.file("server", writer.counter("pinba.script.requests.x", 5), writer.counter("pinba.receiver.bytes", 9),
                      writer.counter("pinball", 2))
            self.file("app", writer.counter("hits", 7))
            self.wait_for_hits(server, 7, metric="hits")
            self.wait_for_hits(server, 2, metric="pinball")
            sent = {value for packet in server.packets() for timer in packet.timers for _, value in timer.tags}
            self.assertEqual({metric for metric in sent if metric.startswith("pinba.")}, set())

    def test_what_was_there_before_the_daemon_is_not_sent(self):
        old = self.file("old", writer.counter("hits", 1000), writer.gauge("level", 1.0))
        with Server() as server:
            for _ in range(2):  # nor is it when the daemon was restarted
                began = time.time()
                with Forwarder(self.workspace, server.address):
                    daemons.wait_until(lambda: server.hits(since=began, metric="level") > 2, "some scans")
                    old.incr("hits", 3)
                    daemons.wait_until(lambda: server.hits(since=began, metric="hits") == 3, "the new hits arrive")
            self.assertEqual(server.hits(metric="hits"), 6)

    def test_every_increment_of_workers_that_are_killed_and_replaced_arrives_once(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        dice = random.Random(SEED)
        truth, lives, serial = 0, 0, 0
        with Server() as server, Forwarder(self.workspace, server.address) as forwarder:

            def looks(since):
                return sum(packet.timer(metric="chaos.alive") is not None for packet in server.packets(since))

            def hire():
                nonlocal lives, serial
                lives += 1
                serial += 1
                return Worker(os.path.join(self.folder, f"worker-{serial}.mmstats"), dice)

            workers = [hire() for _ in range(5)]
            try:
                deadline = time.monotonic() + SECONDS
                reloads = 0
                # On a slow machine for longer.
                while time.monotonic() < deadline or lives <= len(workers):
                    index = dice.randrange(len(workers))
                    worker = workers[index]
                    # A life that nobody looked at is not known: the product's condition.
                    if looks(worker.life.began) >= 2:
                        how = dice.choice(["anew", "unlink", "exit", "kill"])
                        if how == "anew":
                            lives += 1
                            truth += worker.anew().counted()[0]
                        else:
                            truth += worker.end(how).counted()[0]
                            workers[index] = hire()
                    elif dice.random() < 0.02 and reloads < 5:
                        reloads += 1
                        forwarder.process.send_signal(signal.SIGHUP)
                    time.sleep(0.01)
                for worker in workers:
                    daemons.wait_until(lambda: looks(worker.life.began) >= 2, "the last lives are seen")
                    truth += worker.end(dice.choice(["unlink", "exit", "kill"])).counted()[0]
                workers = []
            finally:
                for worker in workers:
                    os.kill(worker.pid, signal.SIGKILL)
                    os.waitpid(worker.pid, 0)
            print(f"{lives} lives, {truth} requests", flush=True)
            self.wait_for_hits(server, truth, metric="chaos.requests")
            forwarder.stop()
            self.wait_for_hits(server, truth, metric="chaos.requests")

    def test_a_mapping_makes_statuses_tags_and_fields_of_labels(self):
        config = f"""\
[[group]]
name = "shop"
files = "{self.folder}/shop-*.mmstats"
strip_prefix = "com.shop"
server_name = "shop.example"
script_name = "/shop"
hostname = "web-1"
schema = "https"
tags = {{ dc = "fra" }}
request_tags = {{ app = "shop" }}
[[group.metric]]
match = 'status\\.(\\d+)'
status = '\\1'
tags = {{ metric = "status" }}
[[group.metric]]
match = 'bytes'
as = "request_field"
field = "document_size"
[[group.metric]]
match = 'secret'
as = "ignore"
[[group.metric]]
match = '(.*)\\.latency_ms'
scale = 0.001
hits = '\\1.calls'
"""
        with Server() as server, Forwarder(self.workspace, server.address, config):
            fields = [writer.counter("status.404"), writer.counter("status.200"), writer.counter("bytes"),
                      writer.counter("secret", 9), writer.counter("db.calls"), writer.gauge("db.latency_ms", 250.0)]
            shop = self.file("shop-1", *fields, prefix="com.shop.")
            self.file("other", writer.counter("hits", 3))
            daemons.wait_until(lambda: server.hits(metric="db.latency_ms") == 0 and server.packets(), "a scan")
            shop.incr("status.404", 5)
            shop.incr("status.200", 50)
            shop.incr("bytes", 12345)
            shop.incr("db.calls", 8)
            self.wait_for_hits(server, 55, metric="status")
            self.wait_for_hits(server, 8, metric="db.latency_ms", dc="fra")
            self.assertEqual(server.seconds(metric="db.latency_ms"), 2.0)
            daemons.wait_until(lambda: sum(p.document_size for p in server.packets()) == 12345, "the bytes")
            by_status = {}
            for packet in server.packets():
                self.assertEqual((packet.server_name, packet.script_name, packet.hostname, packet.schema, packet.tags),
                                 ("shop.example", "/shop", "web-1", "https", (("app", "shop"),)))
                for timer in packet.timers:
                    if ("metric", "status") in timer.tags:
                        by_status[packet.status] = by_status.get(packet.status, 0) + timer.hits
            self.assertEqual(by_status, {404: 5, 200: 50})
            self.assertEqual(server.hits(metric="secret"), 0)
            self.assertEqual(server.hits(metric="hits"), 0)

    def test_labels_of_every_kind_arrive_as_texts_of_their_own(self):
        labels = ["a/b", "a_b", 'quo"te', "new\nline", b"nul\0byte", b"nul\\x00byte", b"\xff\xfe", b"\\xFF\\xFE",
                  "<empty>", "caf\u00e9 \u2603", "x" * 60000 + "1", "x" * 60000 + "2", "hash-0123456789ab"]
        shutil.copy(os.path.join(DATA, "corpus", "odd_values.mmstats"), self.folder)
        made = [label if isinstance(label, bytes) else label.encode() for label in labels]
        self.file("odd", *[writer.Field(label, "Q", True, number + 1) for number, label in enumerate(made)])
        with Server() as server:
            result = run("--once", "--server", server.address, env={"MMSTATS_PATH": self.folder})
            self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
            daemons.wait_until(server.packets, "a packet")
            got = {}
            for packet in server.packets():
                for timer in packet.timers:
                    (name, text), = timer.tags
                    self.assertEqual(name, "metric")
                    self.assertNotIn(text, got)
                    got[text] = timer.hits
            for number, label in enumerate(made):
                full = fnv1a(label)
                ending = f"-{(full ^ full >> 48) % 2**48:012x}"
                found = [text for text in got if text.encode() == label or text.endswith(ending)]
                self.assertEqual([got[text] for text in found], [number + 1], label[:40])
            self.assertEqual(got["m\u00e9trique.\u2603.total"], 7)

    def test_once_sends_what_the_files_hold_and_ends(self):
        self.file("job", writer.counter("rows", 42), writer.gauge("level", 2.5))
        with Server() as server:
            result = run("--once", "--server", server.address, env={"MMSTATS_PATH": self.folder})
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
            self.wait_for_hits(server, 42, metric="rows")
            self.assertEqual(server.packets()[0].timer(metric="level").value, 2.5)

    def test_a_histogram_arrives_with_its_buckets(self):
        parts = [97] + 15 * [0] + [3] + 15 * [0]
        self.file(
            "web",
            writer.counter("latency.count", 100),
            writer.Field("latency.sum", "d", True, 103.0),
            writer.gauge("latency.p99", 1.5),
            writer.text("sys.metadata", "latency\thistogram\tseconds\t\tlog-linear 32 -30 50\nlatency.sum\tcounter\n"),
            writer.Field("latency.buckets.0", "32Q", False, parts),
        )
        with Server() as server:
            result = run("--once", "--server", server.address, env={"MMSTATS_PATH": self.folder})
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
            self.wait_for_hits(server, 100, metric="latency")
            entries = [(timer.hits, timer.value / timer.hits) for packet in server.packets() for timer in packet.timers]
            self.assertEqual(entries, [(97, 1 + 1 / 64), (3, 1.5 + 1 / 64)])

    def test_families_arrive_with_a_tag_for_each_dimension_or_as_requests(self):
        responses = {("GET", "200"): 5, ("GET", "404"): 2, ("a.b %\u2603", "404"): 1}
        self.file("web", *writer.family("web.responses", ["method", "status"], responses))
        self.file("db", *writer.family("db.time", ["query"], {("a",): [1.0] * 3, ("b",): [64.0]}, kind="histogram"))
        self.file("old", writer.counter("old.status.404", 7))
        env = {"MMSTATS_PATH": self.folder}
        with Server() as server:
            self.assertEqual(run("--once", "--server", server.address, env=env).stderr, "")
            for (method, status), hits in responses.items():
                self.wait_for_hits(server, hits, metric="web.responses", method=method, status=status)
            self.wait_for_hits(server, 3, metric="db.time", query="a")
            self.wait_for_hits(server, 1, metric="db.time", query="b")
            self.wait_for_hits(server, 7, metric="old.status.404")
        config = os.path.join(self.workspace, "pinba.toml")
        with open(config, "w") as file:
            file.write(r"""
[[group]]
name = "shop"
[[group.metric]]
family = '.*\.responses'
where = { method = '[A-Z]+' }
status = '%{status}'
tags = { status = '' }
[[group.metric]]
match = 'old\.status\.(?P<code>\d+)'
[[group.metric]]
match = '.*'
keep = []
""")
        with Server() as server:
            self.assertEqual(run("--once", "--config", config, "--server", server.address, env=env).stderr, "")
            self.wait_for_hits(server, 7, metric="web.responses", method="GET")
            self.wait_for_hits(server, 8, metric="web.responses")
            self.wait_for_hits(server, 4, metric="db.time")
            self.assertEqual(server.hits(query="a"), 0)
            self.wait_for_hits(server, 7, metric="old.status", code="404")
            of_status = {}
            for packet in server.packets():
                for timer in packet.timers:
                    if ("metric", "web.responses") in timer.tags and ("method", "GET") in timer.tags:
                        of_status[packet.status] = of_status.get(packet.status, 0) + timer.hits
            self.assertEqual(of_status, {200: 5, 404: 2})

    def test_once_fails_where_a_name_is_not_found_though_there_is_nothing_to_send(self):
        for server in ("name.invalid", "name.invalid,127.0.0.1"):
            result = run("--once", "--server", server, env={"MMSTATS_PATH": self.folder})
            self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
            self.assertEqual(result.stderr.count("server name.invalid: its name is not found"), 1, result.stderr)

    def test_the_daemon_tells_at_once_of_a_server_that_refuses_packets(self):
        self.file("job", writer.gauge("level", 42.0))
        place = f"127.0.0.1:{free_udp_port()}"
        with Forwarder(self.workspace, place, interval=3600) as forwarder:
            daemons.wait_until(lambda: f"server {place}: packets are lost: 1 came back" in forwarder.log(), "it is told")
        with Forwarder(self.workspace, "name.invalid", interval=3600, name="other") as forwarder:
            daemons.wait_until(lambda: "server name.invalid: its name is not found" in forwarder.log(), "it is told")

    def test_once_fails_where_nothing_can_be_sent(self):
        for fields in (1, 2000):
            self.file("job", *[writer.counter(f"rows.{number}", 42) for number in range(fields)])
            for server in ("name.invalid", f"127.0.0.1:{free_udp_port()}"):
                result = run("--once", "--server", server, env={"MMSTATS_PATH": self.folder})
                self.assertEqual((result.returncode, result.stdout), (1, ""), (server, result.stderr))
                self.assertIn("packets", result.stderr)
        # However many complaints came before it.
        for number in range(50):
            with open(os.path.join(self.folder, f"bad{number}.mmstats"), "wb") as file:
                file.write(b"no mmstats")
        result = run("--once", "--server", f"127.0.0.1:{free_udp_port()}", env={"MMSTATS_PATH": self.folder})
        self.assertEqual(result.returncode, 1)
        self.assertIn("packets are lost", result.stderr)
        result = run("--once", "--dry-run", "--server", "name.invalid", env={"MMSTATS_PATH": self.folder})
        self.assertEqual(result.returncode, 0)

    def test_a_dry_run_prints_what_would_be_sent_and_sends_nothing(self):
        self.file("job", writer.counter("rows", 42), writer.gauge("level", 2.5))
        with Server() as server:
            result = run("--once", "--dry-run", "--server", server.address, env={"MMSTATS_PATH": self.folder})
            lines = result.stdout.splitlines()
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertRegex(lines[0], r"^request hostname=\S+ server_name=mmstats script_name=mmstats \(\d+ bytes in 1 datagram\)$")
            self.assertEqual(lines[1:], ["  timer hits=42 value=0 metric=rows", "  timer hits=1 value=2.5 metric=level"])
            # What is sent afterwards arrives afterwards: it is the only one.
            result = run("--once", "--server", server.address, env={"MMSTATS_PATH": self.folder})
            self.assertEqual(result.returncode, 0, result.stderr)
            daemons.wait_until(server.packets, "a packet")
            self.assertEqual([packet.timer(metric="rows").hits for packet in server.packets()], [42])

    def test_a_dry_run_of_nothing_says_why(self):
        config = os.path.join(self.workspace, "c.toml")
        groups = {
            "none": "none-*.mmstats", "texts": "texts.mmstats", "zeros": "zeros-*.mmstats", "ignored": "job.mmstats", "good": "job.mmstats",
        }
        with open(config, "w") as file:
            for name, pattern in groups.items():
                file.write(f'[[group]]\nname = "{name}"\nfiles = "{self.folder}/{pattern}"\n')
                if name == "ignored":
                    file.write("ignore = '.*'\n")
        self.file("texts", writer.text("name", "shop"))
        for number in range(2):
            self.file(f"zeros-{number}", writer.counter("rows", 0), writer.counter("errors", 0))
        self.file("job", writer.counter("rows", 42))
        result = run("--once", "--dry-run", "--config", config, "--server", "127.0.0.1:1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("timer hits=42", result.stdout)
        self.assertEqual(result.stderr.splitlines(), [
            f'mmstats-pinba: group "none": nothing to send: no file matches {self.folder}/none-*.mmstats',
            f'mmstats-pinba: group "texts": nothing to send: 1 file for {self.folder}/texts.mmstats, and no label of '
            "them is a metric: they are texts, are written once, or are ignored",
            f'mmstats-pinba: group "zeros": nothing to send: 2 files for {self.folder}/zeros-*.mmstats, with 2 series, '
            "all of which are 0 or become nothing by this configuration",
            f'mmstats-pinba: group "ignored": nothing to send: 1 file for {self.folder}/job.mmstats, and no label of '
            "them is a metric: they are texts, are written once, or are ignored",
        ])
        # Who sends for real is not told each time.
        with Server() as server:
            self.assertEqual(run("--once", "--config", config, "--server", server.address).stderr, "")

    def test_lines_have_priorities_for_the_journal_alone(self):
        """Whose device and inode systemd tells in the environment."""
        path = os.path.join(self.workspace, "log")
        arguments = [DAEMON, "--once", "--dry-run", "--server", "127.0.0.1:1"]
        line = f'group "mmstats": nothing to send: no file matches {self.folder}/*.mmstats\n'
        for told, want in (("", "mmstats-pinba: " + line), ("0", "<5>" + line), ("1", "mmstats-pinba: " + line)):
            with open(path, "w") as log:
                info = os.fstat(log.fileno())
                stream = f"{info.st_dev}:{info.st_ino + int(told)}" if told else ""
                subprocess.run(arguments, stderr=log, check=True, timeout=daemons.PATIENCE,
                               env={"MMSTATS_PATH": self.folder, **({"JOURNAL_STREAM": stream} if stream else {})})
            with open(path) as log:
                self.assertEqual(log.read(), want, told)

    def test_a_configuration_is_checked_without_being_used(self):
        path = os.path.join(self.workspace, "c.toml")
        with open(path, "w") as file:
            file.write('[[group]]\nname = "a"\nfiles = "x"\nfoo = 1\n')
        result = run("--check-config", "--config", path)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual([line.split(", ")[0] for line in result.stderr.splitlines()],
                         [f'{path}:3: [[group]] "a"', f'{path}:4: [[group]] "a"'])
        with open(path, "w") as file:
            file.write('[[group]]\nname = "a"\n')
        result = run("--check-config", "--config", path)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("no mistakes; 1 group", result.stdout)
        self.assertEqual(run("--check-config", "--config", path + "x").returncode, 1)
        for wrong in (["--interval", "0"], ["--foo"], ["--once", "--check-config"], ["extra"],
                      ["--check-config", "--server", "h:0x"], ["--server", "[::1"],
                      ["--check-config", "--server", "[::1"], ["--check-config", "--server", "a;b"],
                      ["--check-config", "--server", "a,a"], ["--check-config", "--server", "a", "--server", "A:30002"]):
            self.assertEqual(run(*wrong).returncode, 2, wrong)
        for wrong in ("0", "-1", "x", "1e99"):
            self.assertIn(f'mmstats-pinba: --interval: "{wrong}" is not possible, it takes a number from 0.001 to 1000000000\n',
                          run("--interval", wrong).stderr)

    def test_sighup_takes_a_new_mapping_and_loses_and_repeats_nothing(self):
        group = f'[[group]]\nname = "g"\nfiles = "{self.folder}/*.mmstats"\n'
        app = self.file("app", writer.counter("hits", 100), writer.gauge("level", 1.0))
        with Server() as server, Forwarder(self.workspace, server.address, group) as forwarder:
            app.incr("hits", 3)
            self.wait_for_hits(server, 3, metric="hits")
            forwarder.write(group + 'tags = { dc = "fra" }\nserver_name = "new"\n')
            app.incr("hits", 4)
            self.assertIn("read again", forwarder.reload())
            app.incr("hits", 5)
            self.wait_for_hits(server, 12, metric="hits")
            daemons.wait_until(lambda: server.packets()[-1].server_name == "new", "the new name")

            forwarder.write(group + "tags = 1\n")
            said = forwarder.reload()
            self.assertIn(f"mmstats-pinba: {forwarder.config}:4: [[group]] \"g\", tags: 1 is not possible", said)
            self.assertIn("keeping the previous configuration", said)
            app.incr("hits", 6)
            self.wait_for_hits(server, 18, metric="hits")
            self.assertEqual(server.packets()[-1].server_name, "new")

            # Other series: what the old ones counted is sent, and the new ones begin here.
            forwarder.write(group + "[[group.metric]]\nmatch = 'hits'\nscale = 1\nkind = 'counter'\ntags = { x = 'y' }\n")
            app.incr("hits", 7)
            forwarder.reload()
            self.wait_for_hits(server, 25, metric="hits")
            app.incr("hits", 8)
            self.wait_for_hits(server, 8, metric="hits", x="y")
            self.wait_for_hits(server, 33, metric="hits")

    def test_sigterm_sends_what_is_pending(self):
        app = self.file("app", writer.counter("hits"))
        with Server() as server:
            with Forwarder(self.workspace, server.address, interval=3600) as forwarder:
                app.incr("hits", 9)
                forwarder.stop()
            self.wait_for_hits(server, 9, metric="hits")

    def test_a_server_that_is_absent_or_restarted_is_told_and_missed(self):
        self.file("app", writer.gauge("level", 1.0))
        port = free_udp_port()
        with Forwarder(self.workspace, f"127.0.0.1:{port}", interval=0.05) as forwarder:
            for number in (1, 2):
                daemons.wait_until(lambda: forwarder.log().count("packets are lost") == number, "the loss is told")
                with Server(port) as server:
                    daemons.wait_until(lambda: server.hits(metric="level") > 3, "packets arrive")
                    daemons.wait_until(lambda: forwarder.log().count("takes packets again") == number, "that is told")
            self.assertLess(len(forwarder.log().splitlines()), 8)

    def test_ten_thousand_files_arrive_whole_and_memory_stays(self):
        files = 10_000
        with Server() as server, Forwarder(self.workspace, server.address, interval=0.5) as forwarder:
            for number in range(files):
                content, _ = writer.encode([writer.counter("hits", number), writer.counter(f"own.{number}", 1),
                                            *writer.sys_fields()])
                path = os.path.join(self.folder, f"w{number}")
                with open(path, "wb") as file:
                    file.write(content)
                os.rename(path, path + ".mmstats")
            truth = files * (files - 1) // 2
            daemons.wait_until(lambda: server.hits(metric="hits") == truth, "all hits")
            # Those of "hits" are sent in each scan that finds more of them.
            own_timers = lambda: [t for p in server.packets() for t in p.timers if t.tags[0][1].startswith("own.")]
            daemons.wait_until(lambda: len(own_timers()) >= files, "all labels")
            own = own_timers()
            self.assertEqual((len(own), {timer.hits for timer in own}), (files, {1}))
            before = forwarder.resident()
            with open(os.path.join(self.folder, "w1.mmstats"), "r+b") as file:
                _, offsets = writer.encode([writer.counter("hits", 1)])
                for value in range(2, 12):
                    file.seek(offsets["hits"])
                    file.write(bytes([1]) + value.to_bytes(8, "little"))
                    file.flush()
                    self.wait_for_hits(server, truth + value - 1, metric="hits")
            self.assertLess(forwarder.resident(), before + (1 << 20))

    def test_complaints_are_limited(self):
        with Server() as server, Forwarder(self.workspace, server.address, interval=0.05) as forwarder:
            for number in range(500):
                with open(os.path.join(self.folder, f"bad{number}.mmstats"), "wb") as file:
                    file.write(b"no mmstats")
            self.file("good", writer.counter("hits", 1))
            self.wait_for_hits(server, 1, metric="hits")
            self.assertLess(len(forwarder.log().splitlines()), 40)
            self.assertIn("bad", forwarder.log())

    def test_systemd_is_told_how_it_goes(self):
        with Notify(self.workspace) as systemd:
            env = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "100000"}
            with Server() as server, Forwarder(self.workspace, server.address, interval=3600, env=env) as forwarder:
                daemons.wait_until(lambda: systemd.heard("READY=1"), "READY")
                daemons.wait_until(lambda: systemd.heard("STATUS=0 files"), "STATUS")
                for _ in range(3):
                    systemd.told.clear()
                    daemons.wait_until(lambda: systemd.heard("WATCHDOG=1"), "WATCHDOG, though the interval is long")
                systemd.told.clear()
                forwarder.reload()
                daemons.wait_until(lambda: systemd.heard("RELOADING=1\nMONOTONIC_USEC=") and systemd.heard("READY=1"),
                                   "RELOADING")
                forwarder.stop()
                daemons.wait_until(lambda: systemd.heard("STOPPING=1"), "STOPPING")

    def test_what_was_counted_waits_for_a_name_that_nobody_knows_yet(self):
        hosts = os.path.join(self.workspace, "hosts")
        order = os.path.join(self.workspace, "nsswitch.conf")
        open(hosts, "w").close()
        with open(order, "w") as file:
            file.write("hosts: files\n")
        inside = ["unshare", "--mount", "sh", "-c",
                  'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"', hosts, order]
        if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("needs a name space with other hosts in it")
        app = self.file("app", writer.counter("hits", 100))
        with Notify(self.workspace) as systemd, Server() as server:
            with Forwarder(self.workspace, f"pinba.test:{server.port}", inside=inside,
                           env={"NOTIFY_SOCKET": systemd.path}) as forwarder:
                for scans in range(1, 6):
                    app.incr("hits", 7)
                    # One that began before the hits may have ended after them.
                    seen = systemd.count("sent 1 requests")
                    daemons.wait_until(lambda: systemd.count("sent 1 requests") > seen, f"scan {scans}")
                self.assertEqual(server.packets(), [])
                missing = f"mmstats-pinba: server pinba.test:{server.port}: its name is not found; "
                daemons.wait_until(lambda: missing in forwarder.log(), "the log tells that the name is not found")
                with open(hosts, "w") as file:
                    file.write("127.0.0.1 pinba.test\n")
                self.wait_for_hits(server, 35, metric="hits")
                app.incr("hits", 1)
                self.wait_for_hits(server, 36, metric="hits")
                self.assertNotIn("packets are lost", forwarder.log())
                found = f"mmstats-pinba: server pinba.test:{server.port}: its name is found again"
                daemons.wait_until(lambda: found in forwarder.log(), "the log tells that it is found")
                self.assertEqual((forwarder.log().count(missing), forwarder.log().count(found)), (1, 1))

    def test_a_clock_that_steps_loses_and_repeats_nothing(self):
        (library,) = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        offset = os.path.join(self.workspace, "offset")

        def step(seconds):
            with open(offset + ".new", "w") as file:
                file.write(f"{seconds:+d}\n")
            os.rename(offset + ".new", offset)

        step(0)
        env = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1",
               "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        config = "[[group]]\nname = 'g'\n[[group.metric]]\nmatch = 'last'\nkind = 'timestamp'\n"
        truth = 0
        with Server() as server, Forwarder(self.workspace, server.address, config, env=env):
            app = self.file("app", writer.counter("hits"), writer.gauge("last", time.time() - 7200))
            for number, seconds in enumerate((0, -3600, 3600, -86400)):
                step(seconds)
                began = time.time()
                want = max(0, 7200 + seconds)

                def age_follows():
                    ages = [packet.timer(metric="last") for packet in server.packets(began)]
                    return any(timer and want <= timer.value < want + 600 for timer in ages)

                daemons.wait_until(age_follows, f"the daemon's clock is {seconds} s away")
                app.incr("hits", 5)
                self.file(f"new-{number}", writer.counter("hits", 7))
                truth += 12
                self.wait_for_hits(server, truth, metric="hits")

    def test_a_soak_leaves_no_memory_and_no_descriptor_behind(self):
        """All that can happen to the daemon, again and again, while valgrind watches it."""
        found = os.path.join(self.workspace, "valgrind.log")
        valgrind = ["valgrind", "--quiet", f"--log-file={found}", "--error-exitcode=99", "--leak-check=full",
                    "--num-callers=40", f"--suppressions={os.path.join(daemons.HERE, 'valgrind.supp')}"]
        group = f'[[group]]\nname = "all"\nfiles = "{self.folder}/*.mmstats"\n'
        configs = [
            group,
            group + 'tags = { dc = "fra" }\nscript_name = "/x"\n',
            group + "[[group.metric]]\nmatch = 'level-(.*)'\ntags = { level = '\\1' }\nstatus = '\\1'\n",
            group + "tags = 1\n",
        ]
        port = free_udp_port()
        truth, rounds, descriptors = 0, 0, None
        with open(os.path.join(self.folder, "bad.mmstats"), "wb") as file:
            file.write(b"no mmstats")
        shutil.copy(os.path.join(DATA, "corpus", "odd_values.mmstats"), self.folder)
        with Server(port) as server, Notify(self.workspace) as systemd:
            with Forwarder(self.workspace, f"localhost:{port}", group, interval=0.05, inside=valgrind,
                           env={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "1000000"}) as forwarder:
                deadline = time.monotonic() + SECONDS / 2
                while time.monotonic() < deadline or rounds < len(configs):
                    forwarder.write(configs[rounds % len(configs)])
                    forwarder.reload()
                    app = self.file("app", writer.counter("hits", 3), writer.gauge(f"level-{rounds % 5}", 1.0))
                    other = self.file(f"other-{rounds}", writer.counter("hits", 4), writer.gauge("level-x", 1.0))
                    truth += 7
                    self.wait_for_hits(server, truth, metric="hits")
                    app.incr("hits", 2)
                    truth += 2
                    os.unlink(other.path)
                    self.wait_for_hits(server, truth, metric="hits")
                    rounds += 1
                    if rounds == len(configs):
                        descriptors = len(os.listdir(f"/proc/{forwarder.pid}/fd"))
                self.assertLessEqual(len(os.listdir(f"/proc/{forwarder.pid}/fd")), descriptors + 2)
                forwarder.log_paths.append(found)
                forwarder.stop(60)
                self.assertEqual(daemons.read_log(found), "")
                print(f"{rounds} rounds", flush=True)

    def test_the_road_from_a_file_over_collectds_pinba_plugin_to_graphite(self):
        config = f"""\
server_kind = "collectd"
[[group]]
name = "shop"
files = "{self.folder}/*.mmstats"
[[group.metric]]
match = 'bytes'
as = "request_field"
field = "document_size"
[[group.metric]]
match = 'busy'
kind = "counter"
as = "request_field"
field = "request_time"
[[group.metric]]
match = 'rss'
as = "request_field"
field = "memory_peak"
"""
        port = free_udp_port()
        carbon = daemons.Carbon(self.workspace)
        web = daemons.GraphiteWeb(self.workspace, carbon)
        blocks = f"""\
LoadPlugin pinba
<Plugin pinba>
  Address "127.0.0.1"
  Port "{port}"
  <View "shop">
    Server "shop"
  </View>
  <View "other">
    Server "another"
  </View>
</Plugin>
{write_graphite(carbon.line_port)}"""
        with web, carbon, daemons.Collectd(self.workspace, blocks) as collectd:
            with Forwarder(self.workspace, f"127.0.0.1:{port}", config):
                app = self.file("app", writer.counter("bytes", 5000), writer.gauge("busy", 1.5),
                                writer.gauge("rss", 4096, "I"))
                def named(*words):
                    """The name of a value of the view; it knows them one after the other."""
                    return daemons.wait_until(
                        lambda: next((name for name in collectd.names()
                                      if name.startswith("pinba-shop/") and any(word in name for word in words)), None),
                        f"collectd knows the view's {words[0]}")

                sizes, memory, requests = named("size", "bytes"), named("memory"), named("requests")
                collectd.wait_for(sizes, 5000)
                collectd.wait_for(memory, 4096)
                for _ in range(10):
                    app.incr("bytes", 700)
                collectd.wait_for(sizes, 12000)
                daemons.wait_until(lambda: (collectd.last(requests) or 0) > 3, "requests")
                other = [name for name in collectd.names() if name.startswith("pinba-other/") and "requests" in name]
                self.assertEqual([collectd.last(name) for name in other], [0])
                shown = subprocess.run(["collectdctl", "-s", collectd.socket_path, "getval", f"{daemons.HOST}/{memory}"],
                                       capture_output=True, text=True, check=True)
                self.assertEqual(float(shown.stdout.split("=")[1]), 4096)

                def drawn():
                    target = "collectd.testhost." + memory.replace("/", ".")
                    return {value for _, value in web.points(target)} - {0.0} == {4096.0}

                daemons.wait_until(drawn, "Graphite draws the memory")

                def added_up():
                    points = web.points("collectd.testhost." + sizes.replace("/", "."))
                    return sum(value for _, value in points) > 6000

                daemons.wait_until(added_up, "Graphite draws the sizes")


if __name__ == "__main__":
    own_pids.enter()
    unittest.main()
