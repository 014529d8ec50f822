"""mmash as a server: what it answers over real sockets, to good clients and to bad ones."""

import contextlib
import gzip
import http.client
import json
import math
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest
import urllib.parse
import urllib.request

import daemons
import mmstats_writer as writer

MMASH = os.environ["MMSTATS_MMASH"]
SOURCE = os.path.join(daemons.HERE, "..", "..")
PAGE = os.path.join(SOURCE, "core", "tools", "mmash", "page")
CORPUS = os.path.join(daemons.HERE, "..", "data", "corpus")
SECONDS = daemons.PATIENCE
OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Mmash(daemons.Daemon):
    def __init__(self, folder, *options, globs=(), listen=("127.0.0.1:0",), name="mmash", user=None):
        argv = [MMASH, "--page", PAGE, *options, *(word for one in listen for word in ("--listen", one)), *globs]
        super().__init__(name, argv, os.path.join(folder, name), {"MMSTATS_PATH": folder}, user)
        self.listens = len(listen)

    def ready(self):
        return len(self.urls()) == self.listens

    def urls(self):
        return re.findall(r"^mmash: serves (\S+)$", self.log(), re.M)

    @property
    def port(self):
        return urllib.parse.urlsplit(self.urls()[0]).port

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        connection.settimeout(SECONDS)
        return connection

    def get(self, target, method="GET", **headers):
        """(status, headers in lower case, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(method, target, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()

    def json(self, target):
        status, headers, body = self.get(target)
        assert status == 200, (target, status, body)
        assert headers["content-type"] == "application/json", headers
        return json.loads(body)

    def exchange(self, request):
        """Sends bytes, and returns all that comes until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            return everything(connection)

    def memory(self, what="VmHWM"):
        """Bytes: the most that it ever had, or has now."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(rf"{what}:\s+(\d+) kB", file.read())[1]) << 10

    def processor_time(self):
        """Seconds that it has worked."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waits(self):
        """How often it had nothing to do."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", file.read(), re.M)[1])

    def live(self):
        """label -> value, of all series that have one."""
        series = self.json("/live/series")["series"]
        values = self.json(f"/live/values?ids=0-{len(series)}")["values"]
        return {one["label"]: value for one, value in zip(series, values) if value is not None}


def everything(connection):
    data = b""
    while chunk := connection.recv(1 << 16):
        data += chunk
    return data


class MmashTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def start(self, *options, **more):
        server = Mmash(self.folder, *options, **more)
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def publish(self, name, *fields, **more):
        file = writer.MmstatsFile(os.path.join(self.folder, name), fields, **more)
        self.addCleanup(file.close)
        return file

    # ---- what it answers

    def test_the_corpus_is_told_as_the_original_reader_does(self):
        server = self.start(globs=[os.path.join(CORPUS, "*.mmstats")])
        want = {}
        for path in sorted(pathlib.Path(CORPUS).glob("*.json")):
            for field in json.loads(path.read_text())["fields"]:
                value = None if field["value"] == "nan" else field["value"]  # no value
                want.setdefault(field["label"], []).append(value)
        self.assertEqual(server.get("/stats/")[2].decode(), json.dumps({"stats": sorted(want)}))
        for prefix in ("app.", "every.", "a label", "m\u00e9t", 'quote"<script>', "nan"):
            some = {label: want[label] for label in sorted(want) if label.startswith(prefix)}
            self.assertTrue(some)
            target = "/stats/" + urllib.parse.quote(prefix, safe="")
            self.assertEqual(server.get(target)[2].decode(), json.dumps(some))
        self.assertEqual(server.json("/stats/app.requests?aggr=sum&exact=1"), {"app.requests": sum(want["app.requests"])})
        self.assertEqual(
            server.json("/files/web*"), {"files": [os.path.join(CORPUS, "web.mmstats")]}
        )
        for target in ("/stats/app?aggr=no", "/stats/app?aggr=sum", "/stats/app?glob=../*", "/files/%2Fetc%2F*"):
            status, headers, body = server.get(target)
            self.assertEqual((status, headers["content-type"]), (400, "application/json"), target)
            self.assertEqual(list(json.loads(body)), ["error"])
        self.assertEqual(server.get("/nothing")[0], 404)
        self.assertEqual(server.get("/static/../index.html")[0], 404)
        self.assertEqual(server.get("/stats")[1]["location"], "/stats/")
        self.assertEqual(server.get("/graph/")[1]["location"], "/")

    def test_series_are_the_sum_over_workers_and_processes_are_told(self):
        server = self.start()
        self.publish(f"web-{os.getpid()}-1.mmstats", writer.counter("hits", 2**63), writer.gauge("load", 0.5))
        second = self.publish(f"web-{os.getpid()}-2.mmstats", writer.counter("hits", 5), writer.gauge("load", float("nan")))
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
            self.publish(f"job-{gone.pid}-{gone.pid}.mmstats", writer.counter("done", 3), pid=gone.pid).close()
        self.publish("plain.mmstats", writer.counter("plain", 1), with_sys=False)
        answer = server.json("/live/series")
        self.assertEqual([one["id"] for one in answer["series"]], list(range(len(answer["series"]))))
        self.assertEqual(
            next(one for one in answer["series"] if one["label"] == "hits") | {"id": 0},
            {"id": 0, "label": "hits", "kind": "counter", "unit": "", "help": ""},
        )
        self.assertEqual(server.live(), {"hits": 2**63 + 5, "load": 0.5, "done": 3, "plain": 1})
        processes = server.json("/live/processes")
        self.assertEqual(processes["epoch"], answer["epoch"])
        told = [(one["command"], one["pid"], one["files"], one["state"], one["labels"]) for one in processes["processes"]]
        self.assertCountEqual(
            told,
            [("plain", 0, 1, "unknown", 1), ("web", os.getpid(), 2, "alive", 7), ("job", gone.pid, 1, "dead", 6)],
        )
        # A worker goes, another comes: the total goes on.
        second.remove()
        self.publish(f"web-{os.getpid()}-3.mmstats", writer.counter("hits", 10))
        daemons.wait_until(lambda: server.live()["hits"] == 2**63 + 15, "the total goes on")
        # Ids stay, and more can be asked for alone.
        later = server.json("/live/series")["series"]
        self.assertEqual(later[: len(answer["series"])], answer["series"])
        self.publish("more.mmstats", writer.counter("more", 1))
        more = daemons.wait_until(lambda: server.json(f"/live/series?from={len(later)}")["series"], "a new series")
        self.assertEqual([(one["id"], one["label"]) for one in more], [(len(later), "more")])

    def test_lists_of_ids(self):
        server = self.start()
        self.publish("a.mmstats", writer.counter("a", 1), writer.counter("b", 2), with_sys=False)
        server.json("/live/series")
        for ids, want in {
            "": [],
            "0": [1],
            "0-1": [1, 2],
            "1,0,1": [2, 1, 2],
            "1-3": [2, None, None],
            "18446744073709551615": [None],
        }.items():
            answer = server.json(f"/live/values?ids={ids}")
            self.assertEqual((answer["values"], answer["series"]), (want, 2), ids)
            self.assertLess(abs(answer["time"] - time.time()), 60)
        self.assertEqual(server.json("/live/values")["values"], [])
        for ids in ("a", "1-", "-1", "2-1", "1,", ",1", "1,,2", "0-4000000000", "0-100000", "+1", "0x1", "99999999999999999999"):
            self.assertEqual(server.get(f"/live/values?ids={urllib.parse.quote(ids)}")[0], 400, ids)
        self.assertEqual(server.get("/live/series?from=x")[0], 400)

    def test_it_keeps_a_history_of_every_series(self):
        file = self.publish("a.mmstats", writer.counter("hits", 10), writer.gauge("level", 0.5), *writer.distribution("time", [0.5], powers=(-2,)))
        server = self.start("--history-interval", "0.1")
        ids = {one["label"]: one["id"] for one in server.json("/live/series")["series"]}
        # Nobody asks, and it looks.
        ask = lambda words="": server.json(f"/live/history?ids={ids['hits']},{ids['level']},{ids['time']},4000{words}")
        longer = lambda count: daemons.wait_until(lambda: (lambda answer: answer if len(answer["times"]) > count else None)(ask()), "ticks")
        before = longer(3)
        file.incr("hits", 5)
        file.set("level", 1.5)
        file.add("time", [0.5, 0.5, 0.25])
        answer = longer(len(before["times"]) + 3)
        self.assertEqual(answer["interval"], 0.1)
        self.assertEqual(answer["epoch"], server.json("/live/values")["epoch"])
        times = answer["times"]
        self.assertEqual(times, sorted(set(times)))
        self.assertLess(abs(times[-1] - time.time()), 60)
        hits, level, spread, nothing = answer["values"]
        self.assertEqual({len(hits), len(level), len(spread)}, {len(times)})
        self.assertEqual((hits[0], hits[-1], sorted(hits)), (10, 15, hits))
        self.assertEqual((level[0], level[-1], sorted(level)), (0.5, 1.5, level))
        self.assertIsNone(nothing)
        # What there was at first came at no time that is known; 0.5 is 2^-1, and 0.25 is 2^-2.
        self.assertIsNone(spread[0])
        came = {}
        for gained in spread[1:]:
            for bucket, count in zip(gained[::2], gained[1::2]):
                came[bucket] = came.get(bucket, 0) + count
        self.assertEqual(came, {28 * 32: 1, 29 * 32: 2})
        self.assertEqual(answer["totals"], {str(ids["time"]): [28 * 32, 1, 29 * 32, 3]})
        # From a moment on.
        later = ask(f"&from={times[-2]}")
        self.assertEqual(later["times"][0], times[-2])
        self.assertEqual(later["values"][0], [15] * len(later["times"]))
        self.assertEqual(ask("&from=1e12")["values"], [None] * 4)
        self.assertEqual(server.json("/live/history")["values"], [])
        for words in ("ids=a", "ids=0-100000", "ids=1,", "from=x", "from=", "from=1x", "ids=" + ",".join([str(ids["time"])] * 257)):
            status, _, body = server.get(f"/live/history?{words}")
            self.assertEqual(status, 400, words)
            self.assertIn("ids" if "ids" in words else "from", json.loads(body)["error"])
        metrics = server.get("/metrics")[2].decode()
        self.assertGreater(float(re.search(r"^mmash_history_seconds (\S+)$", metrics, re.M)[1]), 0)
        self.assertGreater(float(re.search(r"^mmash_history_bytes (\S+)$", metrics, re.M)[1]), 0)
        self.assertIn("\nmmash_history_dropped_total 0.0\n", metrics)

    def test_a_long_history_comes_in_pieces_and_in_gzip(self):
        self.publish("a.mmstats", *[writer.counter(f"hits.{at}", 10**15 + at) for at in range(2000)], with_sys=False)
        server = self.start("--history-interval", "0.1")
        daemons.wait_until(lambda: len(server.json("/live/history")["times"]) > 10, "ticks")
        ids = {one["label"]: one["id"] for one in server.json("/live/series")["series"]}
        status, _, body = server.get("/live/history?ids=0-1999")
        self.assertEqual(status, 200)
        self.assertGreater(len(body), 4 * 65536)
        answer = json.loads(body)
        for label, at in ids.items():
            self.assertEqual(answer["values"][at], [10**15 + int(label.partition(".")[2])] * len(answer["times"]))
        _, headers, packed = server.get("/live/history?ids=0-1999", accept_encoding="gzip")
        self.assertEqual(headers["content-encoding"], "gzip")
        self.assertLess(len(packed), len(body) / 10)
        self.assertEqual(len(json.loads(gzip.decompress(packed))["values"]), 2000)

    def test_a_history_that_has_no_room_is_shorter_and_that_is_told_once(self):
        self.publish("a.mmstats", *[writer.gauge(f"level.{at}", at) for at in range(5000)], with_sys=False)
        server = self.start("--history-interval", "0.1", "--history-memory", "1")
        metric = lambda name: float(re.search(rf"^mmash_history_{name} (\S+)$", server.get("/metrics")[2].decode(), re.M)[1])
        # A tick is 40 kB, of which 25 would be a megabyte.
        daemons.wait_until(lambda: metric("dropped_total") > 10, "it drops the oldest")
        answer = server.json("/live/history?ids=0,4999")
        self.assertLessEqual(len(answer["times"]), 25)
        self.assertGreater(len(answer["times"]), 20)
        self.assertNotIn(None, answer["values"])
        self.assertLessEqual(metric("bytes"), 1e6)
        said = [line for line in server.log().splitlines() if "history" in line]
        self.assertEqual(len(said), 1, said)
        self.assertIn("reaches back", said[0])
        self.assertIn("--history-memory", said[0])

    def test_a_history_can_be_switched_off(self):
        server = self.start("--history", "0", "--history-interval", "0.1")
        self.publish("a.mmstats", writer.counter("hits", 10))
        server.json("/live/series")
        answer = server.json("/live/history?ids=0")
        self.assertEqual((answer["interval"], answer["times"], answer["values"]), (None, [], [None]))
        self.assertNotIn("mmash_history", server.get("/metrics")[2].decode())

    def test_a_histogram_is_its_buckets_over_all_workers(self):
        server = self.start()
        slow = self.publish("slow.mmstats", *writer.distribution("web.latency", [0.5, 0.5, 1.25], help="To answer"))
        self.publish("fast.mmstats", *writer.distribution("web.latency", [0.001, 0.5], help="To answer"))
        answer = server.json("/live/series")
        self.assertEqual([one["id"] for one in answer["series"]], list(range(len(answer["series"]))))
        (told,) = [one for one in answer["series"] if one["kind"] == "histogram"]
        self.assertEqual(told | {"id": 0}, {"id": 0, "label": "web.latency", "kind": "histogram", "unit": "seconds", "help": "To answer"})
        ask = lambda: server.json(f"/live/values?ids={told['id']}")["values"][0]
        # 2^-10 is the 20th power from 2^-30, and 0.001 is 2 % above it; 0.5 is 2^-1, and 1.25 is a quarter above 1.
        self.assertEqual(ask(), [20 * 32, 1, 29 * 32, 3, 30 * 32 + 8, 1])
        # Nobody else's interval counts: it is all that ever was.
        self.assertEqual(ask(), ask())
        slow.add("web.latency", [0.5] * 1000)
        daemons.wait_until(lambda: ask() == [20 * 32, 1, 29 * 32, 1003, 30 * 32 + 8, 1], "what came")
        # It is among series in the order of ids, and a later one comes behind it.
        self.publish("more.mmstats", *writer.distribution("size", [], unit="bytes", powers=(3,)), writer.counter("hits", 1))
        more = daemons.wait_until(lambda: server.json(f"/live/series?from={len(answer['series'])}")["series"], "a new one")
        self.assertIn(("size", "histogram", "bytes"), [(one["label"], one["kind"], one["unit"]) for one in more])
        self.assertEqual(server.json("/live/series")["series"], answer["series"] + more)
        values = server.live()
        self.assertEqual((values["size"], values["hits"], values["web.latency.count"]), ([], 1, 1005))
        # The buckets of many would be too much for one answer.
        many = ",".join([str(told["id"])] * 257)
        self.assertEqual(server.get(f"/live/values?ids={many}")[0], 400)
        self.assertEqual(len(server.json(f"/live/values?ids={many.rpartition(',')[0]}")["values"]), 256)

    # ---- by process

    def sleeper(self):
        """A process that lives until the test ends."""
        process = subprocess.Popen(["sleep", "infinity"])

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def ids(self, server):
        return {one["label"]: one["id"] for one in server.json("/live/series")["series"] if one["kind"] in ("counter", "gauge", "histogram")}

    def by_process(self, server, *ids):
        """pid -> (its state, its values), and the whole answer"""
        answer = server.json(f"/live/by_process?ids={','.join(map(str, ids))}")
        return {one["pid"]: (one["state"], one["values"]) for one in answer["processes"]}, answer

    def test_series_by_process_are_what_the_files_of_each_hold_and_grow_as_the_series_does(self):
        server = self.start()
        one, other = self.sleeper(), self.sleeper()
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        soon = time.time() + 1
        publish = lambda name, pid, hits, load, values: self.publish(
            f"{name}.mmstats", writer.counter("hits", hits), writer.gauge("load", load), *writer.distribution("web.latency", values, powers=(-1,)), pid=pid, created=soon
        )
        first = publish(f"web-{one.pid}-1", one.pid, 2**62, 1.0, [0.5])
        second = publish(f"web-{one.pid}-2", one.pid, 5, 3.0, [0.5, 0.75])
        third = publish(f"web-{other.pid}", other.pid, 7, float("nan"), [])
        dead = publish(f"job-{gone.pid}", gone.pid, 9, 8.0, [0.5])
        dead.close()
        self.publish("elsewhere.mmstats", writer.counter("other", 1))
        ids = self.ids(server)
        wanted = [ids["hits"], ids["load"], ids["web.latency"], 4_000_000]
        half, three_quarters = 29 * 32, 29 * 32 + 16
        daemons.wait_until(lambda: self.by_process(server, *wanted)[0].get(gone.pid, [""])[0] == "dead", "who has ended")
        told, answer = self.by_process(server, *wanted)
        self.assertEqual(told, {
            one.pid: ("alive", [2**62 + 5, 2, [half, 2, three_quarters, 1], None]),
            other.pid: ("alive", [7, None, [], None]),
            gone.pid: ("dead", [9, None, [half, 1], None]),
        })
        self.assertLess(abs(answer["time"] - time.time()), 60)
        self.assertEqual(answer["epoch"], server.json("/live/series")["epoch"])
        # The ids are those of the list of processes, and give each alone.
        listed = {process["pid"]: process["id"] for process in server.json("/live/processes")["processes"]}
        self.assertEqual({process["pid"]: process["id"] for process in answer["processes"]}.items() - listed.items(), set())
        alone = server.json(f"/live/values?ids={','.join(map(str, wanted))}&process={listed[one.pid]}")
        self.assertEqual(alone["values"], told[one.pid][1])
        self.assertEqual({name: alone["process"][name] for name in ("id", "command", "pid", "state")}, {"id": listed[one.pid], "command": "web", "pid": one.pid, "state": "alive"})
        nobody = server.json(f"/live/values?ids={ids['hits']}&process=1.1")
        self.assertEqual((nobody["process"], nobody["values"]), (None, [None]))
        # Over an interval the processes gain what the series gains; what went before is in the total alone.
        total = lambda: server.json(f"/live/values?ids={ids['hits']}")["values"][0]
        parts = lambda: sum(values[0] for _, values in self.by_process(server, ids["hits"])[0].values())
        buckets = lambda: server.json(f"/live/values?ids={ids['web.latency']}")["values"][0]
        before, parts_before = total(), parts()
        self.assertEqual(before, parts_before)
        for file, more in ((first, 3), (second, 40), (third, 500)):
            file.incr("hits", more)
            file.add("web.latency", [0.5] * more)
        daemons.wait_until(lambda: total() == before + 543, "what came")
        self.assertEqual(parts(), parts_before + 543)
        of_each = [values[0] for _, values in self.by_process(server, ids["web.latency"])[0].values()]
        self.assertEqual(buckets(), [half, sum(dict(zip(one[::2], one[1::2])).get(half, 0) for one in of_each), three_quarters, 1])
        os.unlink(dead.path)
        third.remove()
        daemons.wait_until(lambda: set(self.by_process(server, ids["hits"])[0]) == {one.pid}, "whose files are gone is not told")
        self.assertEqual((total(), parts()), (before + 543, before + 543 - 9 - 507))

    def test_a_gauge_whose_processes_have_ended_is_told(self):
        server = self.start()
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        self.publish("gone.mmstats", writer.counter("hits", 1), writer.gauge("load", 1.0), writer.gauge("both", 1.0), pid=gone.pid).close()
        self.publish("here.mmstats", writer.gauge("both", float("nan")), writer.gauge("none", float("nan")))
        ids = self.ids(server)
        ask = lambda: server.json(f"/live/values?ids={ids['hits']},{ids['both']},{ids['load']},{ids['none']}")
        daemons.wait_until(lambda: ask().get("ended") == [2], "the gauge that nobody alive has")
        self.assertEqual(ask()["values"], [1, None, None, None])

    def test_series_by_process_follow_rules_of_labels_and_removed_fields(self):
        server = self.start("--labels", r"web\.status\.(?P<status>[0-9]+)")
        file = self.publish("a.mmstats", writer.Field("web.status.404", " Q", True, 3), writer.Field("web.status.200", " Q", True, 4), with_sys=False)
        self.publish("b.mmstats", writer.counter("web.status.200", 5), with_sys=False)
        series = server.json("/live/series")["series"]
        ids = {one["dimensions"]["status"]: one["id"] for one in series}
        ask = lambda: sorted((one["command"], one["values"]) for one in server.json(f"/live/by_process?ids={ids['200']},{ids['404']}")["processes"])
        self.assertEqual(ask(), [("a", [4, 3]), ("b", [5, None])])
        file.set_removed("web.status.404")
        daemons.wait_until(lambda: ask() == [("a", [4, None]), ("b", [5, None])], "it is removed")

    def test_lists_of_ids_by_process_and_ids_of_processes(self):
        server = self.start()
        self.publish("a.mmstats", writer.counter("a", 1))
        server.json("/live/series")
        self.assertEqual(len(server.json("/live/by_process?ids=0-23")["processes"]), 1)
        self.assertEqual(server.json("/live/by_process?ids=18446744073709551615")["processes"], [])
        for query in ("", "?ids=", "?ids=x", "?ids=0-24", "?ids=1,", "?ids=2-1", "?ids=-1", "?ids=99999999999999999999", "?id=0"):
            status, _, body = server.get(f"/live/by_process{query}")
            self.assertEqual((status, json.loads(body)), (400, {"error": "ids is no list like 0-9,12 of 1 to 24 numbers as /live/series has them"}), query)
        for text in ("", "1", "1.", "x.1", "1.2.3", "file.", "file.x", "1.-1", "0" * 100 + ".1", "%00", "..%2F1"):
            status, _, body = server.get(f"/live/values?ids=0&process={text}")
            self.assertEqual((status, json.loads(body)), (400, {"error": "process is no id as /live/processes has them"}), text)

    def test_a_request_by_process_reads_no_file_a_second_time(self):
        server = self.start()
        garbage = random.Random(7)
        for at in range(300):
            self.publish(f"worker-{at}.mmstats", writer.counter("hits", at), writer.gauge("load", 1.0), *writer.distribution("latency", [0.5]), pid=2**22 + 1 + at)
            path = pathlib.Path(self.folder, f"bad-{at}.mmstats")
            path.write_bytes(b"\x01" + garbage.randbytes(garbage.randrange(200)) if at % 2 else pathlib.Path(self.folder, f"worker-{at}.mmstats").read_bytes()[: garbage.randrange(400)])
        ids = self.ids(server)

        def reads(target):
            """System calls that read, of the server, for one request that needs a scan, as scans are shared for a moment."""
            count = lambda: int(re.search(r"^syscr: (\d+)$", pathlib.Path(f"/proc/{server.pid}/io").read_text(), re.M)[1])
            scanned = server.json(target)["time"]
            while True:
                before = count()
                if server.json(target)["time"] != scanned:
                    return count() - before

        wanted = f"{ids['hits']},{ids['load']},{ids['latency']}"
        for _ in range(3):  # until the owners are known
            reads(f"/live/values?ids={wanted}")
        usual = max(reads(f"/live/values?ids={wanted}") for _ in range(3))
        self.assertGreater(usual, 300)
        # But for what asks again who lives.
        self.assertLess(min(reads(f"/live/by_process?ids={wanted}") for _ in range(3)), usual * 1.1)
        self.assertLess(min(reads(f"/live/values?ids={wanted}&process=1.1") for _ in range(3)), usual * 1.1)
        # Of histograms that are too many the others are told together: nothing is lost.
        answer = server.json(f"/live/by_process?ids={wanted}")
        told = [one["values"] for one in answer["processes"] if one["pid"] != 0]  # but for what is left of bad ones
        self.assertEqual(len(told), 300)
        self.assertEqual(sum(values[0] for values in told), sum(range(300)))
        lists = [values[2] for values in told if values[2] is not None]
        self.assertEqual(len(lists), 256)
        rest = answer["rest"]
        self.assertEqual(sum(one[1] for one in [*lists, rest[2]]), 300)
        self.assertEqual(rest[:2], [None, None])

    def test_health(self):
        server = self.start()
        self.publish("a.mmstats", writer.counter("a", 1))
        pathlib.Path(self.folder, "bad.mmstats").write_text("no such thing")
        health = server.json("/healthz")
        self.assertEqual((health["files"], health["damaged"]), (2, 1))
        self.assertGreaterEqual(health["uptime"], 0)

    def test_a_folder_that_cannot_be_listed_is_no_health(self):
        closed = os.path.join(self.folder, "closed")
        os.mkdir(closed, 0o700 if os.getuid() == 0 else 0)
        user = 65534 if os.getuid() == 0 else None
        # Not everybody may read the checkout.
        server = Mmash(self.folder, globs=[os.path.join(closed, "*.mmstats")], user=user)
        shutil.copytree(PAGE, os.path.join(self.folder, "page"))
        program = shutil.copy(MMASH, os.path.join(self.folder, "program"))
        server.argv = [
            {MMASH: program, PAGE: os.path.join(self.folder, "page")}.get(word, word) for word in server.argv
        ]
        with server:
            status, _, body = server.get("/healthz")
            self.assertEqual((status, json.loads(body)), (503, {"error": "no folder can be listed"}))
            self.assertIn("closed: cannot list the folder: Permission denied", server.log())

    def test_the_page_may_load_nothing_from_elsewhere(self):
        server = self.start()
        status, headers, body = server.get("/")
        self.assertEqual(status, 200)
        self.assertIn(b"<html", body)
        self.assertEqual(headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(
            headers["content-security-policy"],
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        status, headers, body = server.get("/static/dygraph.min.js")
        self.assertEqual((status, headers["content-type"]), (200, "text/javascript; charset=utf-8"))
        self.assertIn(b"Dygraph", body)
        status, again, nothing = server.get("/static/dygraph.min.js", If_None_Match=headers["etag"])
        self.assertEqual((status, nothing), (304, b""))
        for target in ("/", "/stats/", "/live/series", "/metrics", "/nothing"):
            headers = server.get(target)[1]
            self.assertEqual(headers["x-content-type-options"], "nosniff", target)
            self.assertEqual(headers["referrer-policy"], "no-referrer", target)
            self.assertEqual(headers["cross-origin-resource-policy"], "same-origin", target)

    def test_labels_that_are_code_are_data(self):
        server = self.start(globs=[os.path.join(CORPUS, "odd_values.mmstats")])
        label = 'quote"<script>alert(1)</script>;\t'
        self.assertEqual(server.live()[label], 2)
        for target in ("/stats/", "/live/series"):
            self.assertEqual(server.get(target)[1]["content-type"], "application/json")
        self.check_metrics(server)
        text = server.get("/metrics")[2].decode()
        self.assertRegex(text, r"(?m)^quote__script_alert_1___script____[0-9a-f]{12}_total 2$")

    def test_numbers_that_are_none_are_told_in_the_words_of_each_format(self):
        gauges = {"not_one": float("nan"), "great": float("inf"), "low": float("-inf"), "zero": 0.0}
        self.publish("a.mmstats", *(writer.gauge(label, value) for label, value in gauges.items()), with_sys=False)
        server = self.start()
        self.check_metrics(server)
        text = server.get("/metrics")[2].decode()
        for line in ("great +Inf", "low -Inf", "zero 0.0"):
            self.assertIn(f"\n{line}\n", text)
        # Over all workers, one that has no number has no value.
        self.assertNotIn("not_one", text)
        self.assertEqual(server.live(), {"zero": 0})
        self.assertEqual(
            server.get("/stats/")[2].decode() + server.get("/stats/not_one")[2].decode(),
            '{"stats": ["great", "low", "not_one", "zero"]}{"not_one": [null]}',
        )

    def test_whole_numbers_beyond_those_of_a_double_are_exact(self):
        numbers = [2**53 - 1, 2**53, 2**53 + 1, 10**16 + 1, 10**18 + 3, 2**63 - 1, 2**63 + 1, 2**64 - 1]
        for i in range(6):
            last = writer.counter("sum", 2**64 - 1 - i)
            fields = [*(writer.counter(f"n{at}", number) for at, number in enumerate(numbers)), writer.Field("low", "q", False, -(2**63) + 1)]
            self.publish(f"{i}.mmstats", last, *(fields if i == 0 else []), with_sys=False)
        server = self.start()
        text = server.get("/stats/n")[2].decode()
        self.assertEqual(text, json.dumps({f"n{at}": [number] for at, number in enumerate(numbers)}))
        for aggregation in ("max", "min", "sum", "nonzero-min", "one"):
            text = server.get(f"/stats/n?aggr={aggregation}")[2].decode()
            self.assertEqual(text, json.dumps({f"n{at}": number for at, number in enumerate(numbers)}), aggregation)
        self.assertEqual(server.get("/stats/low?aggr=sum")[2].decode(), f'{{"low": {-(2**63) + 1}}}')
        # Those that are one number as doubles are told apart.
        for name, one, other in (("x", 2**53, 2**53 + 1), ("y", 2**53 + 1, 2**53)):
            self.publish(f"{name}.mmstats", writer.counter("near.max", one), writer.counter("near.min", other), with_sys=False)
        self.assertEqual(server.json("/stats/near.max?aggr=max"), {"near.max": 2**53 + 1})
        self.assertEqual(server.json("/stats/near.min?aggr=min"), {"near.min": 2**53})
        # More than any one of them can be.
        want = sum(2**64 - 1 - i for i in range(6))
        self.assertGreater(want, 10**20)
        self.assertEqual(server.get("/stats/sum?aggr=sum")[2].decode(), f'{{"sum": {want}}}')
        live = server.live()
        metrics = server.get("/metrics")[2].decode()
        for at, number in enumerate(numbers):
            self.assertEqual(live[f"n{at}"], number)
            self.assertIn(f"\nn{at}_total {number}\n", metrics)

    def test_no_foreign_text_commands_a_terminal_or_turns_a_line(self):
        label = "a\x1b[2J\x7f\x9b\u202eb\u2066\u200f"
        metadata = f"{label}\tcounter\t\u202du\thelp\u2069\n"
        self.publish("odd\u202e.mmstats", writer.counter(label, 7), writer.text("sys.metadata", metadata, 512))
        server = self.start("--access-log")
        # All JSON is ASCII, and has all of it.
        for target in ("/stats/", "/stats/a", "/stats/a?aggr=sum", "/files/", "/live/series", "/live/processes",
                       "/stats/?aggr=%E2%80%AE", "/stats/?glob=%E2%80%AE%2F..%2F", "/files/%E2%80%AE["):
            body = server.get(target)[2]
            self.assertNotRegex(body, rb"[^ -~]", target)
            json.loads(body)
        self.assertEqual(server.live()[label], 7)
        for accept in ("text/plain", OPEN_METRICS):
            body = server.get("/metrics", Accept=accept)[2]
            self.assertNotRegex(body, rb"[^ -~\n]")
            self.assertIn(b"help\\\\xE2\\\\x81\\\\xA9", body)
        # What clients and files write is in the log.
        server.exchange("GET /stats/\u202e HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \u2066\r\nConnection: close\r\n\r\n".encode())
        pathlib.Path(self.folder, "bad\u202e.mmstats").write_text("no such thing")
        server.json("/live/series")
        daemons.wait_until(lambda: "xE2\\x81\\xA6" in server.log() and server.json("/live/series") and "bad\\xE2" in server.log(), "the log")
        self.assertNotRegex(server.log(), r"[^ -~\n]")

    # ---- Prometheus

    def check_metrics(self, server):
        """promtool has nothing to say of them."""
        text = server.get("/metrics")[2]
        result = subprocess.run(
            [daemons.program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False, timeout=SECONDS
        )
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""), text.decode())

    def prometheus(self, *servers):
        """A running Prometheus that scrapes them: wait_for() what it is to have."""
        prometheus = daemons.Prometheus(self.folder, *servers)
        prometheus.__enter__()
        self.addCleanup(prometheus.__exit__, None, None, None)
        return prometheus

    def test_prometheus_adds_histograms_of_four_hosts(self):
        def latency(values):
            told = writer.text("sys.metadata", "web.latency.sum\tcounter\tseconds\n", 64)
            return [*writer.distribution("web.latency", values), writer.gauge("web.latency.sum", sum(values)), told]

        random_ = random.Random(5)
        values = [
            [random_.lognormvariate(mean, deviation) for _ in range(number)]
            for mean, deviation, number in ((-3, 1, 600), (-3, 1, 250), (-6, 0.5, 50), (-1, 0.3, 100))
        ]
        first = [0.001, 8.0]
        truth = sorted(sum(values, len(values) * first))
        for buckets, width in (("4", 0.25), ("all", 1 / 32)):
            servers, files = [], []
            for host in range(len(values)):
                folder = os.path.join(self.folder, f"{buckets}-{host}")
                os.mkdir(folder)
                # First with a value of the range, so that the bounds are there when the others come.
                path = os.path.join(folder, "a.mmstats")
                writer.MmstatsFile(path, latency(first), created=100).close()
                files.append(path)
                server = Mmash(folder, "--buckets", buckets)
                server.__enter__()
                self.addCleanup(server.__exit__, None, None, None)
                servers.append(server)
                self.check_metrics(servers[-1])
            prometheus = self.prometheus(*servers)
            value = prometheus.value
            count = "sum(web_latency_seconds_count)"
            prometheus.wait_for("all hosts are scraped", lambda: value(count) == len(values) * len(first))
            for path, added in zip(files, values):
                writer.MmstatsFile(path, latency(first + added), created=100).close()
            prometheus.wait_for("all values are scraped", lambda: value(count) == len(truth))
            self.assertAlmostEqual(value("sum(web_latency_seconds_sum)"), sum(truth), places=6)
            for percent in (50, 90, 99):
                # Not of a rate: Prometheus extrapolates that for each host by its own scrapes.
                got = value(f"histogram_quantile({percent / 100}, sum by (le) (web_latency_seconds_bucket))")
                exact = truth[math.ceil(len(truth) * percent / 100) - 1]
                self.assertLessEqual(abs(got - exact), width * exact, (buckets, percent, got, exact))
            for server in servers:
                self.check_metrics(server)

    def test_prometheus_scrapes_it(self):
        metadata = "web.requests\tcounter\t\tRequests \"answered\"\nweb.latency\tgauge\tseconds\tFrom accept to \\ answer\n"
        self.publish(
            "web.mmstats",
            writer.counter("web.requests", 2**53 + 7),
            writer.gauge("web.latency", 0.25),
            writer.counter("web.odd label", 9),
            writer.counter("one.two", 1),
            writer.counter("one_two", 2),
            writer.text("sys.metadata", metadata, 256),
        )
        server = self.start()
        self.check_metrics(server)
        prometheus = self.prometheus(server)
        value = prometheus.value
        prometheus.wait_for("Prometheus has the value", lambda: value("web_requests_total") == 2**53 + 8)
        self.assertEqual(value("web_latency_seconds"), 0.25)
        self.assertEqual(value('{__name__=~"web_odd_label_[0-9a-f]{12}_total"}'), 9)
        both = {value("one_two_total"), value('{__name__=~"one_two_[0-9a-f]{12}_total"}')}
        self.assertEqual(both, {1, 2})
        self.assertEqual(value("up"), 1)
        self.assertEqual(value("mmash_files"), 1)
        about = prometheus.ask("metadata")
        self.assertEqual(
            about["web_requests"], [{"type": "counter", "unit": "", "help": 'Requests "answered"'}]
        )
        self.assertEqual(
            about["web_latency_seconds"],
            [{"type": "gauge", "unit": "seconds", "help": "From accept to \\ answer"}],
        )
        targets = lambda: [(one["health"], one["lastError"]) for one in prometheus.ask("targets")["activeTargets"]]
        daemons.wait_until(lambda: targets() == [("up", "")], "the last scrape was a good one")

    def test_prometheus_is_sent_gzip(self):
        told = "".join(f"web.series.{i}\tcounter\t\tWhat this series counts is told at length\n" for i in range(1000))
        counters = [writer.counter(f"web.series.{i}", 2 * i) for i in range(1000)]
        self.publish("web.mmstats", *counters, writer.text("sys.metadata", told, len(told)))
        server = self.start("--access-log")
        plain = len(server.get("/metrics")[2])
        prometheus = self.prometheus(server)
        prometheus.wait_for("Prometheus has the values", lambda: prometheus.value("web_series_999_total") == 1998)
        self.assertEqual(prometheus.value("sum({__name__=~'web_series_.*'})"), sum(2 * i for i in range(1000)))
        scrapes = re.findall(r'"GET /metrics HTTP/1.1" 200 (\d+) .*"Prometheus/', server.log())
        self.assertTrue(scrapes, server.log())
        self.assertLess(max(int(size) for size in scrapes), plain / 4)

    def test_prometheus_asks_families_by_their_dimensions(self):
        odd = 'a.b/c "d" \\ \u00e9%'
        def fields(counts):
            return [
                *writer.family("web.responses", ("method", "status"), counts, "counter", "responses", "Responses sent"),
                *writer.family("web.queue", ("worker",), {("1",): 2.5, (odd,): 4.5}, "gauge"),
                *writer.histogram_family("web.latency", ("method",), {("GET",): [0.25] * 9 + [1.0], ("PUT",): [16.0]}, help="Time to answer"),
            ]

        counts = {("GET", "200"): 7, ("GET", "404"): 2, ("PUT", "200"): 5, ("PUT", ""): 1}
        for name in ("a", "b"):
            self.publish(f"{name}.mmstats", *fields(counts), created=100)
        server = self.start()
        self.check_metrics(server)
        for accept in ("text/plain", OPEN_METRICS):
            body = server.get("/metrics", Accept=accept)[2].decode()
            lines = [line for line in body.splitlines() if "web_" in line]
            for family in ("web_responses", "web_queue", "web_latency_seconds"):
                at = [number for number, line in enumerate(lines) if re.search(rf"\b{family}(_|\b)", line)]
                self.assertEqual(at, list(range(at[0], at[-1] + 1)), body)
                self.assertEqual(sum(line.startswith("# TYPE ") for line in lines if family in line), 1, body)
        prometheus = self.prometheus(server)
        values = prometheus.values
        by_status = "sum by (status) (web_responses_total)"
        prometheus.wait_for("Prometheus has the family", lambda: len(values(by_status)) == 3)
        self.assertEqual(values(by_status), {(("status", "200"),): 24, (("status", "404"),): 4, (): 2})
        self.assertEqual(values("sum(web_responses_total{method='GET'})"), {(): 18})
        self.assertEqual({dict(key)["worker"] for key in values("max by (worker) (web_queue)")}, {"1", odd})
        # Over both methods: the bounds of both are the same.
        median = values("histogram_quantile(0.5, sum by (le) (web_latency_seconds_bucket))")[()]
        self.assertLessEqual(abs(median - 0.25), 0.25 * 0.25)
        most = values("histogram_quantile(0.99, sum by (method, le) (web_latency_seconds_bucket))")
        self.assertLessEqual(abs(most[(("method", "PUT"),)] - 16), 16 * 0.25)
        self.assertEqual(values("sum by (method) (web_latency_seconds_count)"), {(("method", "GET"),): 20, (("method", "PUT"),): 2})
        for name in ("a", "b"):
            counts[("GET", "404")] += 1000
            self.publish(f"{name}.mmstats", *fields(counts), created=100)
        rates = "sum by (status) (rate(web_responses_total[30s]))"
        prometheus.wait_for("the rate of one status", lambda: values(rates).get((("status", "404"),), 0) > 0)
        self.assertEqual(values(rates)[(("status", "200"),)], 0)
        targets = lambda: [(one["health"], one["lastError"]) for one in prometheus.ask("targets")["activeTargets"]]
        daemons.wait_until(lambda: targets() == [("up", "")], "the last scrape was a good one")

    def test_labels_of_old_files_get_dimensions_by_a_pattern(self):
        self.publish("a.mmstats", writer.counter("web.status.404", 3), writer.counter("web.status.200", 4), writer.counter("web.other", 5))
        server = self.start("--labels", r"web\.status\.(?P<status>[0-9]+)")
        self.check_metrics(server)
        body = server.get("/metrics")[2].decode()
        self.assertIn('web_status_total{status="404"} 3\n', body)
        self.assertIn('web_status_total{status="200"} 4\n', body)
        self.assertIn("web_other_total 5\n", body)
        told = {one["label"]: one for one in server.json("/live/series")["series"]}
        self.assertEqual(told["web.status.404"]["dimensions"], {"status": "404"})
        self.assertNotIn("family", told["web.other"])
        for wrong in ("(", "a(b)"):
            result = subprocess.run([MMASH, "--labels", wrong], capture_output=True, check=False, timeout=SECONDS, text=True)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn(f'--labels "{wrong}"', result.stderr)

    def test_the_end_of_open_metrics_is_told(self):
        self.publish("a.mmstats", writer.counter("a", 1))
        server = self.start()
        status, headers, body = server.get("/metrics", Accept=OPEN_METRICS)
        self.assertEqual(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertTrue(body.endswith(b"\na_total 1\n# EOF\n"))
        status, headers, body = server.get("/metrics", Accept="text/plain")
        self.assertEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertTrue(body.endswith(b"\na_total 1\n"))

    # ---- the protocol

    def test_requests_in_one_go_are_answered_in_their_order(self):
        server = self.start()
        with server.connect() as connection:
            connection.sendall(
                b"GET /stats/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
                b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
                b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
                b"GET /files/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                b"GET /files/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            data = everything(connection)
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", data), [b"200", b"200", b"404", b"200"])
        self.assertTrue(data.endswith(b'\r\n\r\n{"files": []}'))

    def test_who_asks_for_gzip_gets_what_others_get_plain(self):
        labels = [f"shop.{word}.of.many.{i}" for i in range(500) for word in ("requests", "responses", "errors")]
        self.publish("a.mmstats", *(writer.counter(label, i * 7919) for i, label in enumerate(labels)))
        server = self.start()
        curl = [daemons.program("curl"), "--silent", "--show-error", "--noproxy", "*"]
        for target in ("/metrics", "/stats/shop", "/stats/", "/live/series", "/live/values?ids=0-1499", "/", "/static/dygraph.min.js"):
            def steady(body):
                return re.sub(rb"(?m)^mmash_.*$|\"time\": [0-9.e+]+", b"", body)

            url = f"http://127.0.0.1:{server.port}{target}"
            status, headers, plain = server.get(target)  # with Accept-Encoding: identity
            self.assertEqual(status, 200)
            self.assertNotIn("content-encoding", headers, target)
            self.assertEqual(headers["vary"], "Accept, Accept-Encoding" if target == "/metrics" else "Accept-Encoding")
            for header in ("gzip", "deflate, gzip;q=0.5", "*"):
                status, told, body = server.get(target, Accept_Encoding=header)
                self.assertEqual((status, told["content-encoding"], told["vary"]), (200, "gzip", headers["vary"]), target)
                self.assertEqual(told["content-type"], headers["content-type"])
                self.assertEqual(told.get("etag"), headers.get("etag"))
                self.assertLess(len(body), len(plain) * 0.6, target)
                self.assertEqual(steady(gzip.decompress(body)), steady(plain), target)
                asked = server.get(target, "HEAD", Accept_Encoding=header)
                self.assertEqual((asked[0], asked[1]["content-encoding"], asked[2]), (200, "gzip", b""), target)
            for header in ("gzip;q=0", "*;q=0", "br", "identity, gzip;q=0.9"):
                status, told, body = server.get(target, Accept_Encoding=header)
                self.assertEqual((status, told.get("content-encoding")), (200, None), (target, header))
                self.assertEqual(steady(body), steady(plain), target)
            for options in ([], ["--http1.0"], ["--header", "Accept-Encoding: br", "--header", "Accept-Encoding: gzip"]):
                result = subprocess.run([*curl, "--compressed", *options, url], capture_output=True, check=True, timeout=SECONDS)
                self.assertEqual(steady(result.stdout), steady(plain), (target, options))
        for small in ("/healthz", "/nothing", "/stats/none"):
            told = server.get(small, Accept_Encoding="gzip")[1]
            self.assertEqual((told.get("content-encoding"), told["vary"]), (None, "Accept-Encoding"), small)
        tag = server.get("/", Accept_Encoding="gzip")[1]["etag"]
        for header in ("gzip", "identity"):
            status, told, nothing = server.get("/", Accept_Encoding=header, If_None_Match=tag)
            self.assertEqual((status, told["vary"], nothing), (304, "Accept-Encoding", b""))

    def test_a_connection_is_kept_and_old_clients_are_served(self):
        server = self.start()
        with server.connect() as connection:
            for _ in range(3):
                connection.sendall(b"GET /stats/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b'{"stats": []}'):
                    answer += connection.recv(4096)
        old = server.exchange(b"GET /stats/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertIn(b"\r\nConnection: close\r\n", old)
        self.assertTrue(old.endswith(b'\r\n\r\n{"stats": []}'))

    def test_head_is_get_without_its_body(self):
        self.publish("a.mmstats", *(writer.counter(f"label.{i}", i) for i in range(3000)))
        server = self.start()
        server.get("/live/series")
        for target in ("/", "/stats/", "/stats/label", "/files/", "/live/series", "/live/values?ids=0", "/live/processes",
                       "/healthz", "/metrics", "/nothing", "/static/dygraph.min.js", "/stats/x?aggr=y"):
            status, headers, _ = server.get(target)
            only, head, body = server.get(target, "HEAD")
            self.assertEqual((only, body), (status, b""), target)
            self.assertEqual(sorted(head), sorted(headers), target)
            self.assertEqual(head["content-type"], headers["content-type"], target)

    def test_only_get_and_head_and_never_a_body(self):
        server = self.start()
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW"):
            answer = server.exchange(f"{method} /stats/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self.assertTrue(answer.startswith(b"HTTP/1.1 405 "), (method, answer))
            self.assertIn(b"\r\nAllow: GET, HEAD\r\n", answer)
            self.assertIn(b'\r\n\r\n{"error": "', answer)
        for body in (b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                     b"Content-Length: 99999999999\r\n\r\n"):
            answer = server.exchange(b"GET /stats/ HTTP/1.1\r\nHost: localhost\r\n" + body)
            self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)

    def test_what_is_no_request_is_refused(self):
        server = self.start()
        for text, status in {
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400,  # TLS
            b"hello\r\n\r\n": 400,
            b"GET /\r\n\r\n": 400,
            b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n": 400,
            b"GET stats HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
            b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20000 + b"\r\n\r\n": 431,
            b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": 431,
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 20000: 431,
        }.items():
            with self.subTest(text=text[:60]):
                answer = server.exchange(text)
                self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:200])
                self.assertIn(b'\r\n\r\n{"error": "', answer)
        self.assertEqual(server.json("/stats/"), {"stats": []})

    def test_a_strangers_name_for_this_machine_is_refused(self):
        server = self.start("--host", "metrics.example")
        for host in ("evil.example", f"evil.example:{server.port}", "", "localhost.evil.example", "127.0.0.2"):
            for target in ("/", "/stats/", "/live/series", "/metrics", "/healthz"):
                status, _, body = server.get(target, Host=host)
                self.assertEqual(status, 421, (host, target))
                self.assertEqual(list(json.loads(body)), ["error"])
        for host in ("localhost", f"127.0.0.1:{server.port}", "metrics.example:8443", "[::1]"):
            self.assertEqual(server.get("/stats/", Host=host)[0], 200, host)
        absolute = server.exchange(b"GET http://evil.example/stats/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertTrue(absolute.startswith(b"HTTP/1.1 421 "), absolute)
        old = server.exchange(b"GET /stats/ HTTP/1.0\r\n\r\n")
        self.assertTrue(old.startswith(b"HTTP/1.1 421 "), old)

    # ---- clients that take their time

    def test_a_head_that_trickles_in_is_cut_off(self):
        server = self.start("--timeout", "1")
        began = time.monotonic()
        with server.connect() as connection:
            connection.settimeout(0.1)
            closed = False
            for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1000:
                try:
                    connection.send(bytes([byte]))
                    closed = connection.recv(100) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    closed = True
                if closed:
                    break
                self.assertLess(time.monotonic() - began, SECONDS)
            self.assertTrue(closed)
        # Nor does who says nothing at all stay.
        with server.connect() as connection:
            self.assertEqual(everything(connection), b"")
        self.assertEqual(server.json("/stats/"), {"stats": []})

    def big_folder(self):
        """Files whose values are an answer of some 60 MB."""
        for i in range(100):
            self.publish(
                f"{i:03}.mmstats", *(writer.text(f"label.{j:02}", "v" * 19990, 20000) for j in range(30)), with_sys=False
            )

    def test_who_takes_nothing_of_a_big_answer_costs_little_and_is_cut_off(self):
        self.big_folder()
        server = self.start("--timeout", "8", "--access-log")  # a busy machine may stop the one that takes it, too
        server.json("/stats/")
        before = server.memory()
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(server.connect()) for _ in range(10)]
            for connection in slow:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.sendall(b"GET /stats/label HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # Meanwhile others are served, and one of them takes all of it.
            self.assertEqual(len(server.json("/stats/label")), 30)
            daemons.wait_until(lambda: server.log().count(" cut off") == 10, "slow clients are cut off")
        # Ten answers of 60 MB each went on at a time.
        self.assertLess(server.memory() - before, 80 << 20)

    def test_who_takes_nothing_of_a_familys_groups_costs_little(self):
        names = [f"name{at:_>251}" for at in range(16)]
        counts = {(*("v" for _ in names[1:]), str(at)): at for at in range(10_000)}
        self.publish("a.mmstats", *writer.family("app", names, counts))
        server = self.start("--timeout", "5")
        target = "/series/app?top=1000&" + "&".join(f"by={name}" for name in names)
        family = server.json(target)["families"][0]
        self.assertEqual((len(family["groups"]), family["by"], family["other"]["groups"]), (1000, names, 9000))
        before = server.memory()
        with contextlib.ExitStack() as stack:
            for connection in [stack.enter_context(server.connect()) for _ in range(20)]:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                # More than what the system keeps for them.
                connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 3)
            self.assertEqual(server.json(f"/series/app?by={names[-1]}&top=1")["families"][0]["series"], 10_000)
        # An answer of all combinations with their names had 40 MB for each of them.
        self.assertLess(server.memory() - before, 20 << 20)

    def test_who_takes_a_big_answer_slowly_gets_all_of_it(self):
        for i in range(20):
            self.publish(f"{i}.mmstats", *(writer.text(f"label.{j:02}", "v" * 9990, 10000) for j in range(20)), with_sys=False)
        server = self.start("--timeout", "8")
        with server.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.sendall(b"GET /stats/label HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            self.assertEqual(answer.getheader("transfer-encoding"), "chunked")
            body = b""
            while piece := answer.read(100_000):
                body += piece
                time.sleep(0.25)  # that is how slow this client is: it takes longer than a piece may take
            self.assertEqual(json.loads(body), {f"label.{j:02}": ["v" * 9990] * 20 for j in range(20)})

    def test_who_leaves_in_the_middle_of_an_answer_harms_nobody(self):
        self.big_folder()
        server = self.start()
        for _ in range(20):
            with server.connect() as connection:
                connection.sendall(b"GET /stats/label HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
                connection.recv(1000)
                # So that the connection is reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.assertEqual(len(server.json("/stats/")["stats"]), 30)

    def test_too_many_connections_are_refused_and_those_there_are_go_on(self):
        server = self.start("--max-connections", "3")
        with contextlib.ExitStack() as stack:
            request = b"GET /stats/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
            kept = [stack.enter_context(server.connect()) for _ in range(3)]
            for connection in kept:
                connection.sendall(request)
                self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 200 "))
            for _ in range(3):
                answer = server.exchange(request)
                self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
                self.assertIn(b"Connection: close\r\n", answer)
            # Who does not even listen to that: closed at once, after so many.
            crowd = [stack.enter_context(server.connect()) for _ in range(40)]
            self.assertEqual([everything(one)[:13] for one in crowd].count(b""), 40 - 16)
            for connection in kept:
                connection.sendall(request)
                self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 200 "))
        daemons.wait_until(lambda: server.get("/stats/")[0] == 200, "there is room again")

    def test_without_descriptors_it_waits_and_serves_again_once_there_are_some(self):
        server = self.start("--history", "0")  # which opens files by itself
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(server.connect())
            kept.sendall(request)
            self.assertTrue(kept.recv(15).startswith(b"HTTP/1.1 200 "))
            # As many as it has: the next one would be the first that is free.
            used = {int(name) for name in os.listdir(f"/proc/{server.pid}/fd")}
            free = next(fd for fd in range(len(used) + 1) if fd not in used)
            before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free, before[1]))
            waiting = [stack.enter_context(server.connect()) for _ in range(3)]
            for connection in waiting:
                connection.sendall(request)
            waits, worked = server.waits(), server.processor_time()
            daemons.wait_until(lambda: server.waits() >= waits + 5, "it tries, and waits, again and again")
            self.assertLess(server.processor_time() - worked, 0.5)
            self.assertEqual(select.select(waiting, [], [], 0)[0], [])
            # Whoever was there is served all the while.
            kept.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answers = b""
            while b"HTTP/1.1 404 " not in answers:
                chunk = kept.recv(1 << 16)
                self.assertTrue(chunk)
                answers += chunk
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
            for connection in waiting:
                self.assertTrue(connection.recv(15).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(server.get("/stats/")[0], 200)

    # ---- the process

    def run_once(self, *arguments):
        return subprocess.run(
            [MMASH, "--page", PAGE, *arguments],
            env={"PATH": "/usr/bin:/bin", "MMSTATS_PATH": self.folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def test_mistakes_on_the_command_line_are_named(self):
        for arguments in (
            ["--listen", "5002"],
            ["--listen", "localhost"],
            ["--listen", "localhost:http"],
            ["--listen", "127.0.0.1:65536"],
            ["--listen", "::1:5002"],
            ["--listen", ":"],
            ["--listen", "[127.0.0.1:5002"],
            ["--listen", "unix:"],
            ["--listen", "unix:" + "x" * 200],
            ["--listen", "no such name.invalid:5002"],
            ["--max-connections", "0"],
            ["--timeout", "0"],
            ["--history", "-1"],
            ["--history", "1441"],
            ["--history-interval", "0"],
            ["--history-memory", "0"],
            ["--history", "nan"],
            ["--history-interval", "nan"],
            ["--history-memory", "nan"],
            ["--nothing"],
        ):
            result = self.run_once(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), (arguments, result))
            self.assertIn(arguments[-1], result.stderr)
        for arguments, takes in ((["--max-connections", "-1"], "a whole number from 1 to 200"),
                                 (["--max-connections", "1e9"], "a whole number from 1 to 200"),
                                 (["--timeout", "-1"], "a number from 0.1 to 3600"),
                                 (["--history", "nan"], "a number from 0 to 1440"),
                                 (["--history-interval", "1s"], "a number from 0.1 to 600"),
                                 (["--history-memory", "0.5"], "a number from 1 to 10000")):
            self.assertIn(f'mmash: {arguments[0]}: "{arguments[1]}" is not possible, it takes {takes}\n',
                          self.run_once(*arguments).stderr)
        self.assertIn('mmash: --listen: "5002" is not possible: the port is missing; write HOST:PORT, [IPV6]:PORT, or :PORT for '
                      "all addresses; or unix:PATH\n", self.run_once("--listen", "5002").stderr)
        self.assertEqual(self.run_once("--version").returncode, 0)

    def test_a_port_that_is_taken_and_a_page_that_is_missing_are_failures(self):
        server = self.start()
        result = self.run_once("--listen", f"127.0.0.1:{server.port}")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(
            result.stderr, f"mmash: 127.0.0.1:{server.port}: cannot listen there: Address already in use\n"
        )
        result = self.run_once("--page", self.folder, "--listen", "127.0.0.1:0")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("index.html: cannot be read; --page names", result.stderr)
        result = self.run_once("--javascript", self.folder, "--listen", "127.0.0.1:0")
        self.assertEqual(result.returncode, 1)
        self.assertIn("install libjs-dygraphs", result.stderr)

    def test_all_addresses_are_listened_on_together_and_warned_of(self):
        for name, where, reached in (("all", ":0", ("127.0.0.1", "::1")), ("four", "0.0.0.0:0", ("127.0.0.1",)),
                                     ("six", "[::]:0", ("::1",))):
            with self.subTest(where), Mmash(self.folder, listen=(where,), name=name) as server:
                for address in reached:
                    connection = http.client.HTTPConnection(address, server.port, timeout=SECONDS)
                    with contextlib.closing(connection):
                        connection.request("GET", "/stats/")
                        self.assertEqual(connection.getresponse().status, 200, address)
                said = [line for line in server.log().splitlines() if "all addresses" in line]
                self.assertEqual(said, ["mmash: listens on all addresses of this machine: who reaches that port can read "
                                        "everything; names that browsers use for this machine need --host: see mmash(8)"])
        self.assertNotIn("all addresses", self.start().log())

    def test_a_socket_file_is_listened_on_replaced_and_removed(self):
        path = os.path.join(self.folder, "s")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        server = Mmash(self.folder, listen=(f"unix:{path}", "127.0.0.1:0", "[::1]:0", "localhost:0"))
        with server:
            self.assertEqual(server.urls()[0], f"unix:{path}")
            self.assertRegex(server.urls()[2], r"^http://\[::1\]:\d+/$")
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                # By a socket file any name may be used, as a proxy does.
                connection.sendall(b"GET /stats/ HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")
                self.assertTrue(everything(connection).endswith(b'{"stats": []}'))
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            for url in server.urls()[1:]:
                with opener.open(url + "stats/", timeout=SECONDS) as answer:
                    self.assertEqual(answer.read(), b'{"stats": []}')
            result = self.run_once("--listen", f"unix:{path}")
            self.assertEqual(result.returncode, 1)
            self.assertIn("Address already in use", result.stderr)
        self.assertFalse(os.path.exists(path))

    def test_it_ends_at_once_whoever_is_connected(self):
        def took(stop):
            with contextlib.ExitStack() as stack:
                server = stack.enter_context(Mmash(self.folder, name=f"mmash{stop}-{time.monotonic()}"))
                silent, idle = (stack.enter_context(server.connect()) for _ in range(2))
                idle.sendall(b"GET /stats/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
                idle.recv(1000)
                silent.sendall(b"GET /")
                began = time.monotonic()
                server.process.send_signal(stop)
                self.assertEqual(server.process.wait(SECONDS), 0)
                return time.monotonic() - began

        for stop in (signal.SIGTERM, signal.SIGINT):
            self.assertTrue(daemons.is_quick(1.5, lambda: took(stop)))

    def test_the_access_log_holds_nothing_but_text(self):
        server = self.start("--access-log")
        server.exchange(
            b"GET /stats/%1b[2J\xc3\xa9\" HTTP/1.1\r\nHost: localhost\r\nReferer: \"quoted\" \\\r\n"
            b"User-Agent: \xff\xfe <script>\r\nConnection: close\r\n\r\n"
        )
        server.exchange(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        lines = daemons.wait_until(lambda: re.findall(r"^127\.0\.0\.1 .*$", server.log(), re.M)[1:] and server.log(), "lines")
        lines = re.findall(r"^127\.0\.0\.1 .*$", lines, re.M)
        time_part = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
        self.assertRegex(
            lines[0],
            rf'^127\.0\.0\.1 - - {time_part} "GET /stats/%1b\[2J\u00e9\\x22 HTTP/1\.1" 200 2 '
            r'"\\x22quoted\\x22 \\" "\\xFF\\xFE <script>"$',
        )
        self.assertRegex(lines[1], rf'^127\.0\.0\.1 - - {time_part} "POST / HTTP/1\.1" 405 \d+ "" ""$')

    # ---- a proxy before it

    def test_nginx_before_it_as_the_manual_says(self):
        page = pathlib.Path(SOURCE, "packaging", "man", "mmash.8").read_text()
        snippet = re.search(r"^server \{\n.*?^\}\n", page, re.M | re.S)[0].replace("\\-", "-").replace("\\e", "\\")
        port = daemons.free_port()
        path = os.path.join(self.folder, "http.sock")
        certificate = os.path.join(self.folder, "cert.pem")
        subprocess.run(
            [daemons.program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=metrics.example",
             "-keyout", certificate + ".key", "-out", certificate],
            check=True, capture_output=True, timeout=daemons.PATIENCE,
        )
        for theirs, ours in {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/certs/metrics.example.pem": certificate,
            "/etc/ssl/private/metrics.example.key": certificate + ".key",
            "/etc/nginx/mmash.passwd": os.path.join(self.folder, "passwd"),
            "/run/mmash/http.sock": path,
        }.items():
            self.assertIn(theirs, snippet)
            snippet = snippet.replace(theirs, ours)
        pathlib.Path(self.folder, "passwd").write_text("joe:{PLAIN}secret\n")
        config = os.path.join(self.folder, "nginx.conf")
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(config, "w") as file:
            file.write(
                f"daemon off; worker_processes 1; pid {self.folder}/nginx.pid; error_log stderr;\n"
                f"events {{ worker_connections 64; }}\n"
                f"http {{ access_log off;\n{temporary}{snippet}}}\n"
            )
        os.chmod(self.folder, 0o755)
        self.publish("a.mmstats", writer.counter("a/b", 7), with_sys=False)
        nginx = daemons.Daemon("nginx", [daemons.program("nginx"), "-e", "stderr", "-c", config],
                               os.path.join(self.folder, "nginx"))
        nginx.ready = lambda: daemons.port_answers(port)
        curl = [daemons.program("curl"), "--silent", "--noproxy", "*", "--cacert", certificate,
                "--resolve", f"metrics.example:{port}:127.0.0.1", "--write-out", " %{http_code}"]

        def ask(target, *options):
            url = f"https://metrics.example:{port}{target}"
            return subprocess.run([*curl, *options, url], check=True, capture_output=True, text=True, timeout=SECONDS).stdout

        with Mmash(self.folder, listen=(f"unix:{path}",)), nginx:
            self.assertTrue(ask("/stats/").endswith(" 401"))
            self.assertEqual(ask("/stats/a%2Fb", "--user", "joe:secret"), '{"a/b": [7]} 200')
            self.assertTrue(ask("/stats/", "--user", "joe:wrong").endswith(" 401"))


if __name__ == "__main__":
    unittest.main()
