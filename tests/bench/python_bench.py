#!/usr/bin/python3
"""What mmstats costs a Python program, against what it could have called instead. All ratios are of one run.

    PYTHONPATH=BUILD-FOLDER/core/python/site python_bench.py [WORD...]

Each line: nanoseconds of one statement, the statement of the floor, how many times ours is the floor, and how many times
the peers (prometheus_client in multiprocess mode, statsd's client to a UDP socket) are ours. Words choose lines. A floor
is the least that a C type's method, attribute or context manager can cost when it is used the same way. A loop's own
cost is in none of them: ten statements are a round of it. Figures are processor time, the least of many short runs that
take turns, as the machine does other things as well.
"""

import itertools
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "integration"))

import mmstats_reader

import mmstats

TURNS = 25
TURN_NS = 2_000_000  # of each statement
FILES, FIELDS = 1000, 100


class Stats(mmstats.MmStats):
    hits = mmstats.CounterField()
    all_hits = mmstats.SharedCounterField()
    queue = mmstats.IntField()
    load = mmstats.DoubleField()
    text = mmstats.StringField()
    average = mmstats.AverageField()
    timer = mmstats.TimerField()
    latency = mmstats.HistogramField(unit="seconds")
    responses = mmstats.FamilyField(mmstats.CounterField(), ["method", "status"])


class Nothing:
    def __init__(self):
        self.number = 7
        self.values = ()
        self.table = {}
        self.known = {("GET", "200"): self.number}
        self.lock = threading.Lock()


class Member(Exception):
    """__suppress_context__ is a member of a C struct, which a C type has among its descriptors."""


def names(folder):
    """What the statements use."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read when the package is imported
    space = {"nothing": Nothing(), "member": Member(), "now": time.perf_counter}
    space["empty"] = space["nothing"].number.conjugate
    space["stats"] = stats = Stats(path=folder)
    space["incr"] = stats.hits.incr
    space["get200"] = stats.responses.with_("GET", "200")
    space["timed"] = mmstats.timed(stats.latency)(empty_function)
    space["plain"] = empty_function
    try:
        import prometheus_client as prometheus

        space["prometheus"] = types.SimpleNamespace(
            hits=prometheus.Counter("hits", "x"),
            queue=prometheus.Gauge("queue", "x"),
            latency=prometheus.Histogram("latency", "x"),
            responses=prometheus.Counter("responses", "x", ["method", "status"]),
        )
    except ImportError:
        pass
    try:
        import statsd

        # Nobody reads there: packets are dropped once its buffer is full.
        space["socket"] = receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        space["statsd"] = statsd.StatsClient("127.0.0.1", receiver.getsockname()[1])
    except ImportError:
        pass
    return space


def empty_function():
    pass


# Ours, the floor and the most that ours may be of it, prometheus_client's and the least that it must be of ours, statsd's.
LINES = (
    ("stats.hits.incr()", "nothing.number.conjugate()", 1.5, "prometheus.hits.inc()", 12, "statsd.incr('hits')"),
    ("incr()", "empty()", None, "prometheus.hits.inc()", None, None),
    ("stats.hits.incr(5)", "nothing.values.count(5)", None, "prometheus.hits.inc(5)", None, "statsd.incr('hits', 5)"),
    ("stats.all_hits.incr()", "nothing.number.conjugate()", None, "prometheus.hits.inc()", None, None),
    ("stats.queue = 7", "member.__suppress_context__ = True", None, "prometheus.queue.set(7)", None,
     "statsd.gauge('queue', 7)"),
    ("stats.load = 0.5", "member.__suppress_context__ = True", None, "prometheus.queue.set(0.5)", None, None),
    ("stats.queue", "member.__suppress_context__", None, None, None, None),
    ("stats.text = 'some text'", "member.__suppress_context__ = True", None, None, None, "statsd.set('text', 'some text')"),
    ("stats.average.add(0.25)", "nothing.values.count(0.25)", None, None, None, None),
    ("stats.latency.add(0.25)", "nothing.values.count(0.25)", None, "prometheus.latency.observe(0.25)", 12,
     "statsd.timing('latency', 250)"),
    ("stats.responses.with_('GET', '200')", "nothing.table.get('GET', '200')", None,
     "prometheus.responses.labels('GET', '200')", None, None),
    ("stats.responses.with_('GET', 200).incr()", "nothing.known['GET', '200'].conjugate()", None,
     "prometheus.responses.labels('GET', '200').inc()", 12, "statsd.incr('responses.GET.200')"),
    ("get200.incr()", "nothing.number.conjugate()", None, None, None, None),
    ("with stats.timer: pass", "now(); now(); l = nothing.lock\nwith l: pass", None,
     "with prometheus.latency.time(): pass", None, "with statsd.timer('latency'): pass"),
    ("with stats.latency: pass", "now(); now(); l = nothing.lock\nwith l: pass", None,
     "with prometheus.latency.time(): pass", None, "with statsd.timer('latency'): pass"),
    ("timed()", "now(); now(); plain()", None, None, None, None),
)  # fmt: skip


class Statement:
    """A statement, and the least nanoseconds that it took."""

    def __init__(self, text, space):
        body = "\n".join(["    for _ in repeat(None, count):", *[f"        {line}" for line in text.split("\n")] * 10])
        made = {}
        # Names are local variables, which a program's are at best.
        used = ", ".join(sorted(set(re.findall(r"[a-z_0-9]+", text)) & set(space)))
        exec(f"def run(count, repeat, {used}):\n{body}", made)
        arguments = {name: space[name] for name in used.split(", ")}
        self.run = lambda count: made["run"](count, itertools.repeat, **arguments)
        self.count = 1
        while self.spent() < TURN_NS:
            self.count *= 2
        self.ns = float("inf")

    def spent(self):
        begin = time.thread_time_ns()
        self.run(self.count)
        return time.thread_time_ns() - begin

    def turn(self):
        self.ns = min(self.ns, self.spent() / self.count / 10)


def there(text, space):
    return text is not None and all(peer in space for peer in ("prometheus", "statsd") if text.find(peer + ".") >= 0)


def verdict(value, goal, most):
    if goal is None:
        return ""
    return f" ({'at most' if most else 'at least'} {goal}{'' if (value <= goal if most else value >= goal) else ', missed'})"


def show_statements(space, words):
    lines = [line for line in LINES if not words or any(word in line[0] for word in words)]
    texts = {text for line in lines for text in (line[0], line[1], line[3], line[5]) if there(text, space)}
    statements = {text: Statement(text, space) for text in texts}
    for _ in range(TURNS):
        for statement in statements.values():
            statement.turn()
    for ours, floor, most, prometheus, least, statsd in lines:
        ns = statements[ours].ns
        ratio = ns / statements[floor].ns
        shown = f"{ours:42} {ns:7.1f} ns, {ratio:5.2f} of {floor.splitlines()[0]!r} {statements[floor].ns:.1f}"
        shown += verdict(ratio, most, True)
        for name, peer in (("prometheus", prometheus), ("statsd", statsd)):
            if peer in statements:
                ratio = statements[peer].ns / ns
                shown += f"; {name} {ratio:.1f} times{verdict(ratio, least, False) if name == 'prometheus' else ''}"
        print(shown, flush=True)


def show_reading(folder):
    """Nanoseconds a field: 1,000 files of 100 counters; against a reader that is written in Python."""
    cls = type("Many", (mmstats.MmStats,), {f"counter_{i}": mmstats.CounterField() for i in range(FIELDS - 7)})
    model = cls(path=folder, filename="many.mmstats")
    paths = [os.path.join(folder, f"{i}.file") for i in range(FILES)]
    for path in paths:
        shutil.copy(model.filename, path)

    def with_ours():
        count = 0
        for path in paths:
            for _label, _value in mmstats.MmStatsReader.from_mmap(path):
                count += 1
        return count

    def with_python():
        count = 0
        for path in paths[:50]:
            with open(path, "rb") as file:
                count += len(mmstats_reader.read(file.read()))
        return count

    def with_read():
        for path in paths:
            file = os.open(path, os.O_RDONLY)
            os.read(file, os.fstat(file).st_size)
            os.close(file)
        return FILES * FIELDS

    least = dict.fromkeys((with_ours, with_python, with_read), float("inf"))
    for _, act in itertools.product(range(7), least):
        begin = time.thread_time_ns()
        fields = act()
        least[act] = min(least[act], (time.thread_time_ns() - begin) / fields)
    ours = least[with_ours]
    print(f"MmStatsReader, {FILES} files of {FIELDS} fields: {ours:.0f} ns a field, to open and read the files alone "
          f"{least[with_read]:.0f}; a reader in Python {least[with_python] / ours:.1f} times; the original's 3,000 ns "
          f"{3000 / ours:.0f} times{verdict(3000 / ours, 20, False)}")  # fmt: skip


def show_import():
    """Milliseconds, when the compiled files are there."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        taken = []
        for _ in range(12):
            told = subprocess.run([sys.executable, "-X", "importtime", "-c", "import mmstats"], env=environment,
                                  capture_output=True, text=True, check=True).stderr  # fmt: skip
            taken.append(int(re.search(r"(\d+) \| mmstats$", told, re.MULTILINE)[1]) / 1000)
    taken = taken[1:]  # the first one compiles
    print(f"import mmstats: {min(taken):.1f} ms, median {statistics.median(taken):.1f}{verdict(min(taken), 10, True)}")


def show_middleware(folder):
    """Nanoseconds that a request costs more."""

    def hello(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    wrapped = mmstats.wsgi.Middleware(hello, mmstats.MmStats(path=folder))
    space = {"hello": hello, "wrapped": wrapped, "start": lambda status, headers: None}
    bare = Statement("hello({'REQUEST_METHOD': 'GET'}, start)", space)
    counted = Statement("wrapped({'REQUEST_METHOD': 'GET'}, start)", space)
    for _ in range(TURNS):
        bare.turn()
        counted.turn()
    print(f"mmstats.wsgi.Middleware: {counted.ns - bare.ns:.0f} ns a request")


def main():
    words = sys.argv[1:]
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        show_statements(names(folder), words)
        for name, show in (("reader", show_reading), ("middleware", show_middleware)):
            if not words or name in words:
                show(folder)
        if not words or "import" in words:
            show_import()


if __name__ == "__main__":
    main()
