"""Counters are not lost by cleaning: cleanstats runs again and again over the files that collectd and mmstats-pinba
read, while their writers count, are killed and are replaced. In the end both have counted what is true."""

import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

import daemons
import mmstats_writer as writer
import own_pids
from chaos_test import Worker
from mmstats_reader import read
from pinba_forward_test import Forwarder
from pinba_packets import Server

CLEANSTATS = os.environ["MMSTATS_CLEANSTATS"]
COUNTING_WORKER = os.environ["MMSTATS_COUNTING_WORKER"]
SECONDS = float(os.environ.get("MMSTATS_CHAOS_SECONDS", "10"))
SEED = int(os.environ.get("MMSTATS_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
INTERVAL = 0.1


class Cleaning:
    """cleanstats, again and again until this is left."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.argv = [CLEANSTATS, "--json", *options]
        self.runs = 0
        self.removed = []  # pids
        self.problems = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, failure, *_):
        self._end.set()
        self._thread.join()
        if not failure:
            assert not self.problems, self.problems

    def _run(self):
        while not self._end.is_set():
            result = subprocess.run(self.argv, env={"MMSTATS_PATH": self.folder}, capture_output=True, text=True, check=False)
            self.runs += 1
            entries = json.loads(result.stdout)
            if result.returncode != 0:
                self.problems.append((result.returncode, [entry for entry in entries if entry["action"] == "failed"]))
            self.removed += [entry["pid"] for entry in entries if entry["action"] == "removed"]
            self._end.wait(0.01)


class LibraryWorker:
    """Two processes with two threads each, which count with our own library."""

    def __init__(self, folder, name):
        self.process = subprocess.Popen([COUNTING_WORKER, folder, name, os.path.join(os.path.dirname(folder), f"{name}.truth")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout.read(2) == b"rr", "a worker died while it was born"
        names = [f"{name}{number}.mmstats" for number in ("", ".1", ".2", ".3", ".4", ".5")]
        paths = [os.path.join(folder, each) for each in names]
        daemons.wait_until(lambda: all(map(os.path.exists, paths)), "a worker has all its files")
        self.files = [os.open(path, os.O_RDONLY) for path in paths]
        self.began = time.time()

    def kill(self):
        """Returns what its threads counted."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.read()  # the other process keeps it open to its end
        self.process.stdout.close()
        counted = 0
        for file in self.files:
            values = {field["label"]: field["value"] for field in read(os.pread(file, 1 << 20, 0))}
            os.close(file)
            counted += values.get("work.requests", 0)
        return counted


class CleaningTest(unittest.TestCase):
    def setUp(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        context = daemons.workspace()
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.folder = os.path.join(self.workspace, "run")
        os.mkdir(self.folder)
        self.dice = random.Random(SEED)
        block = daemons.mmstats_block(self.workspace, f'<Files "all">\n  Path "{self.folder}/*.mmstats"\n</Files>')
        self.collectd = daemons.Collectd(self.workspace, block, INTERVAL)
        self.server = Server()
        self.forwarder = Forwarder(self.workspace, self.server.address, interval=INTERVAL)

    def samples(self, label):
        return self.collectd.samples(f"mmstats-all/derive-{label}")

    def looked(self, label, since):
        """Whether both agents looked at all files that were there at `since`: the second look began after it."""
        packets = sum(packet.timer(metric=label) is not None for packet in self.server.packets(since))
        return packets >= 2 and sum(when > since for when, _ in self.samples(label)) >= 2

    def check(self, label, truth):
        daemons.wait_until(lambda: self.samples(label)[-1][1] >= truth, f"collectd has counted {truth} {label}")
        daemons.wait_until(lambda: self.server.hits(metric=label) >= truth, f"the forwarder has sent {truth} {label}")
        # Nor do they come to more when all files are gone and they look again.
        daemons.wait_until(lambda: not os.listdir(self.folder), "cleanstats removed the files of the dead")
        gone = time.time()
        daemons.wait_until(lambda: sum(when > gone for when, _ in self.samples(label)) >= 2, "collectd looked again")
        totals = [value for _, value in self.samples(label)]
        self.assertEqual(totals, sorted(totals), f"{label} fell")
        self.assertEqual((totals[-1], self.server.hits(metric=label)), (truth, truth), label)

    def test_totals_stay_right_while_workers_are_killed_and_replaced(self):
        """As everywhere, each life is seen by a scan before it ends."""
        with self.server, self.collectd, self.forwarder, Cleaning(self.folder) as cleaning:
            serial = 0

            def hire(kind):
                nonlocal serial
                serial += 1
                if kind == "library":
                    return kind, LibraryWorker(self.folder, f"lib{serial:03}")
                return kind, Worker(os.path.join(self.folder, f"py{serial:03}.mmstats"), self.dice)

            truth = {"chaos.requests": 0, "work.requests": 0}

            def end(kind, worker):
                if kind == "library":
                    truth["work.requests"] += worker.kill()
                else:
                    truth["chaos.requests"] += worker.end("kill").counted()[0]

            def seen(kind, worker):
                if kind == "library":
                    return self.looked("work.requests", worker.began)
                return self.looked("chaos.requests", worker.life.began)

            workers = [hire(kind) for kind in ("library", "library", "python", "python", "python")]
            try:
                deadline = time.monotonic() + SECONDS
                while time.monotonic() < deadline:
                    index = self.dice.randrange(len(workers))
                    daemons.wait_until(lambda: seen(*workers[index]), "a life is seen by both agents")
                    end(*workers[index])
                    workers[index] = hire(workers[index][0])
                while workers:
                    daemons.wait_until(lambda: seen(*workers[-1]), "the last lives are seen")
                    end(*workers.pop())
            finally:
                for kind, worker in workers:
                    if kind == "library":
                        worker.kill()
                    else:
                        worker.end("kill")
            for label, count in truth.items():
                self.check(label, count)
            print(f"{serial} workers, {truth}, {cleaning.runs} runs of cleanstats removed {len(cleaning.removed)} files")
            self.assertGreater(len(cleaning.removed), 10)

    def test_with_older_than_nothing_is_removed_that_no_agent_has_seen(self):
        """Lives that are over before anybody looks: their files stay until they were looked at."""
        truth = 0
        # A hundred intervals; on a busy machine an agent may miss many.
        with self.server, self.collectd, self.forwarder, Cleaning(self.folder, "--older-than", "10s") as cleaning:
            for number in range(200):
                count = self.dice.randrange(1, 100)
                pid = os.fork()
                if pid == 0:
                    try:
                        path = os.path.join(self.folder, f"short{number}.mmstats")
                        file = writer.MmstatsFile(path, [writer.counter("hits")])
                        for _ in range(count):
                            file.incr("hits")
                    finally:
                        os.kill(os.getpid(), signal.SIGKILL)
                os.waitpid(pid, 0)
                truth += count
            self.check("hits", truth)
            daemons.wait_until(lambda: len(cleaning.removed) >= 200, "the last file is old enough")
            print(f"{truth} hits, {cleaning.runs} runs of cleanstats removed {len(cleaning.removed)} files")
            self.assertEqual(len(cleaning.removed), 200)


if __name__ == "__main__":
    own_pids.enter()
    unittest.main()
