"""Our own writers, end to end: processes and threads of the library count, are killed, end and are replaced, and
collectd's total is what they counted in truth. As in chaos_test.py each life is seen by a scan before it ends."""

import array
import os
import random
import signal
import subprocess
import time
import unittest

import daemons
from mmstats_reader import read

SECONDS = float(os.environ.get("MMSTATS_LIVES_SECONDS", "10"))
SEED = int(os.environ.get("MMSTATS_LIVES_SEED") or random.SystemRandom().randrange(2**32))
INTERVAL = 0.1
WORKERS = 3
FILES = 6  # of a worker: in each of two processes two threads', and the one that they share
THREADS = 4


class Worker:
    """Two processes from their first files to their last increments."""

    def __init__(self, folder, name, truth):
        # Held open until this worker has its own files: no new one can get the inode of one that it replaces.
        held = [os.open(entry.path, os.O_RDONLY) for entry in os.scandir(folder)]
        known = {os.fstat(file).st_ino for file in held}
        self.truth = truth
        self.process = subprocess.Popen(
            [os.environ["MMSTATS_COUNTING_WORKER"], folder, name, truth],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout.read(2) == b"rr", "a worker died while it was born"
        self.files = []

        def born():
            self.files += [
                os.open(entry.path, os.O_RDONLY)
                for entry in os.scandir(folder)
                if entry.name.endswith(".mmstats") and entry.inode() not in known and not known.add(entry.inode())
            ]
            return len(self.files) >= FILES

        daemons.wait_until(born, "a worker has all its files")
        for file in held:
            os.close(file)
        assert len(self.files) == FILES, f"a worker has {len(self.files)} files"
        self.began = time.time()

    def end(self, how):
        """Returns what its threads counted, what all shared, and how many sizes there were."""
        if how == "kill":
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdin.close()
        status = self.process.wait(daemons.PATIENCE)
        # The other process keeps this open to its end.
        assert self.process.stdout.read() == b""
        self.process.stdout.close()
        assert status == (-signal.SIGKILL if how == "kill" else 0), f"a worker ended with {status}"
        counted = shared = sizes = 0
        for file in self.files:
            values = {field["label"]: field["value"] for field in read(os.pread(file, 1 << 20, 0))}
            os.close(file)
            counted += values.get("work.requests", 0)
            shared += values.get("work.shared", 0)
            sizes += sum(sum(value) for label, value in values.items() if label.startswith("work.sizes.buckets."))
        with open(self.truth, "rb") as file:
            truth = sum(array.array("Q", file.read()))
        # Killed between an increment and the note of it.
        assert truth <= counted <= truth + (THREADS if how == "kill" else 0), f"{counted} counted, {truth} in truth"
        return counted, shared, sizes


class LivesTest(unittest.TestCase):
    def test_the_total_is_what_all_processes_and_threads_counted(self):
        print(f"MMSTATS_LIVES_SEED={SEED}", flush=True)
        self.dice = random.Random(SEED)
        with daemons.workspace() as workspace:
            self.folder = os.path.join(workspace, "lives")
            self.truths = os.path.join(workspace, "truth")
            os.mkdir(self.folder)
            os.mkdir(self.truths)
            self.lives = self.requests = self.shared = self.sizes = 0
            block = f'<Files "lives">\n  Path "{self.folder}/*.mmstats"\n</Files>'
            with daemons.Collectd(workspace, daemons.mmstats_block(workspace, block), INTERVAL) as self.collectd:
                self.workers = [self.hire(f"worker-{index}") for index in range(WORKERS)]
                try:
                    self.live()
                finally:
                    for worker in self.workers:
                        if worker.process.poll() is None:
                            os.killpg(worker.process.pid, signal.SIGKILL)
                            worker.process.wait()

    def samples(self, label):
        return self.collectd.samples(f"mmstats-lives/derive-work.{label}")

    def hire(self, name):
        self.lives += 1
        return Worker(self.folder, name, os.path.join(self.truths, str(self.lives)))

    def end(self, worker, how):
        requests, shared, sizes = worker.end(how)
        self.requests += requests
        self.shared += shared
        self.sizes += sizes

    def wait_for_looks(self, since):
        daemons.wait_until(
            lambda: sum(when > since for when, _ in self.samples("requests")) >= 2, "collectd looked twice"
        )

    def live(self):
        deadline = time.monotonic() + SECONDS
        # On a slow machine for longer: each worker is to have had some before it.
        while time.monotonic() < deadline or self.lives < 3 * WORKERS:
            index = self.dice.randrange(WORKERS)
            self.wait_for_looks(self.workers[index].began)
            self.end(self.workers[index], self.dice.choice(["kill", "kill", "exit"]))
            self.workers[index] = self.hire(f"worker-{index}")
        self.wait_for_looks(max(worker.began for worker in self.workers))
        while self.workers:
            self.end(self.workers.pop(), self.dice.choice(["kill", "exit"]))
        self.wait_for_looks(time.time())
        print(f"{self.lives} lives of {THREADS} threads, {self.requests} requests", flush=True)
        for label, truth in (("requests", self.requests), ("shared", self.shared)):
            totals = [value for _, value in self.samples(label)]
            self.assertEqual(totals[-1], truth, f"{label} at the end")
            self.assertEqual(totals, sorted(totals), f"{label} fell")
        self.assertEqual(self.collectd.last("mmstats-lives/derive-work.sizes.count"), self.sizes)
        # No name but those of the workers: each found the dead one's free.
        numbers = ["", *(f".{number}" for number in range(1, FILES))]
        names = {f"worker-{index}{number}.mmstats" for index in range(WORKERS) for number in numbers}
        self.assertLessEqual(set(os.listdir(self.folder)), names)


if __name__ == "__main__":
    unittest.main()
