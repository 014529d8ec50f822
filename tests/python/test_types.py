"""Type hints of mmstats: mypy --strict has nothing to say of the package; they fit the extension module; and they tell
a program what is wrong in it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import mmstats

# Of the lines that end with "# E", and of no other, mypy has something to say.
PROGRAM = '''
from collections.abc import AsyncIterator, Iterator
from typing import assert_type
from wsgiref.types import StartResponse, WSGIEnvironment

import mmstats
from mmstats import fields, reader

class Stats(mmstats.MmStats):
    hits = mmstats.CounterField(unit="hits", help="Requests answered")
    all_hits = mmstats.SharedCounterField()
    queue = mmstats.IntField(label="queue.depth")
    load = mmstats.DoubleField()
    ready = mmstats.BoolField(initial=True)
    text = mmstats.StringField(size=10)
    timer = mmstats.TimerField()
    latency = mmstats.HistogramField(unit="seconds")
    responses = mmstats.FamilyField(mmstats.CounterField(), ["method", "status"])
    build = mmstats.InfoField({"commit": "abc"})
    version = mmstats.StaticTextField(value="1.0")
    started = mmstats.StaticDoubleField(value=lambda: 1.5)

stats = Stats(label_prefix="app.", mode=0o640, on_error=print)
assert_type(Stats.hits, fields.CounterField)
assert_type(stats.hits, fields.Counter)
assert_type(stats.all_hits.value, int)
assert_type(stats.queue, int)
assert_type(stats.load, float)
assert_type(stats.ready, bool)
assert_type(stats.text, str)
assert_type(stats.responses.with_("GET", status=200), fields.Counter)
assert_type(stats.version, str)
assert_type(stats.started, float)
assert_type(stats.pid, int)
assert_type(stats.created, float)
assert_type(stats.add(mmstats.CounterField(), "more"), fields.Counter)
assert_type(stats.add(mmstats.FamilyField(mmstats.HistogramField(), ["a"]), "f").with_("x").p99, float)
stats.hits.incr(5)
stats.queue = 7
stats.load = 1
stats.text = "x"
stats.build.set({"a": 1}, b=2)
stats.flush(True)
with stats.timer as scope:
    assert_type(scope.elapsed, float)

@stats.latency
def answer(number: int) -> str:
    return str(number)

@mmstats.timed(stats.timer)
async def later(number: int) -> str:
    return str(number)

@mmstats.timed(stats.latency)
async def many() -> AsyncIterator[int]:
    yield 1

def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    yield b""

wrapped = mmstats.wsgi.Middleware(application, stats, prefix="web.", route=lambda environ: None)
for label, value in reader.MmStatsReader.from_mmap("a.mmstats"):
    assert_type(label, str)
assert_type(answer(1), str)

stats.queue = "7"  # E
stats.version = "2"  # E
stats.hits = 5  # E
stats.hits.incr(1.5)  # E
stats.text = 5  # E
stats.nothing  # E
answer("1")  # E
Stats(label_prefix=5)  # E
mmstats.CounterField(units="x")  # E
mmstats.FamilyField("x", ["a"])  # E
mmstats.wsgi.Middleware(5)  # E
'''

# What the module has for the interpreter alone.
HIDDEN = r"mmstats\._native\.Scope\.__call__"


@unittest.skipIf(importlib.util.find_spec("mypy") is None, "mypy is not installed")
class TypesTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mmstats-types-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # A copy, as an installed package is one: of links mypy thinks that they are second ones.
        shutil.copytree(os.path.dirname(mmstats.__file__), os.path.join(self.folder, "mmstats"))

    def run_module(self, *arguments):
        """What the module says, of the package's copy."""
        environment = {**os.environ, "PYTHONPATH": self.folder}
        environment.pop("MYPYPATH", None)
        done = subprocess.run(
            [sys.executable, "-B", "-m", *arguments],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.stdout + done.stderr

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_the_package_is_strict(self):
        self.assertEqual(self.run_module("mypy", "--strict", "--no-error-summary", "-p", "mmstats"), "")

    def test_they_fit_the_extension_module(self):
        hidden = self.write("hidden", HIDDEN + "\n")
        told = self.run_module("mypy.stubtest", "mmstats._native", "--allowlist", hidden)
        self.assertIn("Success: no issues found", told)

    def test_they_tell_a_program_what_is_wrong(self):
        told = self.run_module("mypy", "--strict", "--no-error-summary", self.write("program.py", PROGRAM))
        wrong = [number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# E")]
        lines = [line for line in told.splitlines() if ": error: " in line]
        self.assertEqual([int(line.split(":")[1]) for line in lines], wrong, told)


if __name__ == "__main__":
    unittest.main()
