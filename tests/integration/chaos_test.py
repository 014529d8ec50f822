"""Restart chaos: workers count, die and are replaced at random moments; not one increment is lost.

Every life is seen by at least one scan, which is the product's condition: what began and ended between
two looks nobody can know. So a life ends only after collectd wrote two samples that are younger than its
file: the second look began after the first had ended. What a life counted in truth is read from its file
when nobody writes it any more.
"""

import ctypes
import os
import random
import select
import signal
import socket
import time
import unittest

import daemons
import mmstats_writer as writer
import own_pids
from mmstats_reader import read

SECONDS = float(os.environ.get("MMSTATS_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("MMSTATS_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
INTERVAL = 0.1
WORKERS = 5  # in each folder
PR_SET_PDEATHSIG = 1

REQUESTS, BYTES, ALIVE = "requests", "bytes", "alive"


def work(path, orders, seed):
    """A worker's process: counts in bursts, and takes orders of one byte between them."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(10)
    dice = random.Random(seed)

    def publish():
        fields = [writer.counter(REQUESTS), writer.counter(BYTES), writer.gauge(ALIVE, 1, "I")]
        return writer.MmstatsFile(path, fields, prefix="chaos.")

    file = publish()
    orders.send(b"r")
    while True:
        for _ in range(dice.randrange(200)):
            file.incr(REQUESTS)
            file.incr(BYTES, dice.randrange(1, 2**20))
        readable, _, _ = select.select([orders], [], [], dice.random() * 0.005)
        if not readable:
            continue
        order = orders.recv(1)
        if order == b"a":  # as a new life of the same process under the same name
            file.remove()
            file = publish()
            orders.send(b"r")
        else:
            if order == b"u":
                file.remove()
            os._exit(0)


class Life:
    """One file from its appearance to its last increment."""

    def __init__(self, path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        self.began = time.time()
        self.ends = None

    def counted(self):
        """What it counted in truth. Only once nobody writes."""
        fields = read(os.pread(self.descriptor, 1 << 16, 0))
        os.close(self.descriptor)
        values = {field["label"]: field["value"] for field in fields}
        return values["chaos." + REQUESTS], values["chaos." + BYTES]


class Worker:
    """A process and its present life."""

    def __init__(self, path, dice, pid=None):
        self.path = path
        self.orders, theirs = socket.socketpair()
        self.orders.settimeout(daemons.PATIENCE)
        seed = dice.randrange(2**32)
        self.pid = os.fork() if pid is None else own_pids.fork_as(pid)
        if self.pid == 0:
            try:
                # Nothing inherited may keep files of earlier lives alive: inodes are to be recycled.
                os.closerange(3, theirs.fileno())
                os.closerange(theirs.fileno() + 1, 4096)
                work(path, theirs, seed)
            finally:
                os._exit(1)
        theirs.close()
        self.life = self._born()

    def _born(self):
        assert self.orders.recv(1) == b"r", "a worker died while it was born"
        return Life(self.path)

    def anew(self):
        """Ends the life and begins another, in the same process, under the same name."""
        ended = self.life
        self.orders.send(b"a")
        self.life = self._born()
        return ended

    def end(self, how):
        if how == "kill":
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.orders.send(b"u" if how == "unlink" else b"x")
        os.waitpid(self.pid, 0)
        self.orders.close()
        return self.life


class Folder:
    """Workers in one folder, and one series of each counter over all of them."""

    def __init__(self, path, collectd, dice, cleans):
        self.path = path
        self.name = os.path.basename(path)
        self.collectd = collectd
        self.dice = dice
        self.cleans = cleans  # whether files of the dead are removed here, not by collectd
        self.serial = 0
        self.lives = 0
        self.recycled = 0  # pids
        self.true_requests = 0
        self.true_bytes = 0
        self.litter = []  # (when to remove, path)
        os.mkdir(path)
        self.workers = []

    def start(self):
        self.workers = [self.hire() for _ in range(WORKERS)]

    def samples(self, label):
        kind = "gauge" if label == ALIVE else "derive"
        return self.collectd.samples(f"mmstats-{self.name}/{kind}-chaos.{label}")

    def hire(self, path=None, pid=None):
        if path is None:
            self.serial += 1
            path = os.path.join(self.path, f"worker-{self.serial}.mmstats")
        self.lives += 1
        worker = Worker(path, self.dice, pid)
        self.recycled += worker.pid == pid
        return worker

    def succeed(self, worker, path=None):
        """A successor of a worker that ended: now and then with its pid, as if pids had wrapped around."""
        return self.hire(path, worker.pid if self.dice.random() < 0.5 else None)

    def settle(self, life):
        requests, number = life.counted()
        self.true_requests += requests
        self.true_bytes += number

    def step(self):
        """Ends lives whose time has come, begins others, removes litter."""
        samples = [when for when, _ in self.samples(REQUESTS)[-20:]]
        now = time.time()
        for index, worker in enumerate(self.workers):
            life = worker.life
            if life.ends is None and sum(when > life.began for when in samples) >= 2:
                life.ends = now + self.dice.random() * 0.5
            if life.ends is not None and now >= life.ends:
                self.workers[index] = self.replace(worker)
        due = [path for when, path in self.litter if when <= now]
        self.litter = [(when, path) for when, path in self.litter if when > now]
        for path in due:
            os.unlink(path)

    def replace(self, worker):
        end = self.dice.choice(["anew", "unlink", "exit", "kill", "kill"])
        if end == "anew":
            self.lives += 1
            self.settle(worker.anew())
            return worker
        self.settle(worker.end(end))
        if end == "unlink":
            return self.succeed(worker, worker.path if self.dice.random() < 0.5 else None)
        # The file of a dead owner is there: replaced by a rename, or removed now, or some time later.
        fate = self.dice.choice(["rename", "remove", "later"])
        if fate == "rename":
            return self.succeed(worker, worker.path)
        if fate == "remove":
            self.unlink(worker.path)
            return self.succeed(worker, worker.path)
        if self.cleans:
            self.litter.append((time.time() + self.dice.random(), worker.path))
        return self.succeed(worker)

    def unlink(self, path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            if self.cleans:
                raise  # only collectd may have been faster, and here it must not

    def end_all(self):
        for worker in self.workers:
            self.settle(worker.end(self.dice.choice(["unlink", "exit", "kill"])))
        self.workers = []

    def kill_all(self):
        for worker in self.workers:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)


class ChaosTest(unittest.TestCase):
    def test_the_total_over_all_lives_is_exact_and_never_falls(self):
        print(f"MMSTATS_CHAOS_SEED={SEED}", flush=True)
        dice = random.Random(SEED)
        with daemons.workspace() as workspace:
            kept, removed = os.path.join(workspace, "kept"), os.path.join(workspace, "removed")
            block = f"""\
<Files "kept">
  Path "{kept}/*.mmstats"
</Files>
<Files "removed">
  Path "{removed}/*.mmstats"
  Stale "remove"
</Files>"""
            blocks = daemons.HEARTBEAT + daemons.mmstats_block(workspace, block)
            with daemons.Collectd(workspace, blocks, INTERVAL) as collectd:
                folders = [
                    Folder(kept, collectd, dice, cleans=True),
                    Folder(removed, collectd, dice, cleans=False),
                ]
                try:
                    self.chaos(folders)
                finally:
                    for folder in folders:
                        folder.kill_all()

    def chaos(self, folders):
        for folder in folders:
            folder.start()
        for folder in folders:
            daemons.wait_until(
                lambda: any(value == WORKERS for _, value in folder.samples(ALIVE)),
                f"all {WORKERS} workers in {folder.name} are counted as alive",
            )
        deadline = time.monotonic() + SECONDS
        enough = SECONDS * WORKERS / 4
        # On a slow machine for longer.
        while time.monotonic() < deadline or any(one.lives <= enough or one.recycled == 0 for one in folders):
            for folder in folders:
                folder.step()
            time.sleep(0.01)
        for folder in folders:
            with self.subTest(folder.name):
                self.settle(folder)

    def settle(self, folder):
        # The last lives must be seen, too.
        began = max(worker.life.began for worker in folder.workers)
        self.wait_for_looks(folder, began)
        folder.end_all()
        ended = time.time()
        self.wait_for_looks(folder, ended)

        lives = f"{folder.lives} lives, {folder.recycled} of them with recycled pids"
        print(f"{folder.name}: {lives}, {folder.true_requests} requests", flush=True)
        for label, truth in ((REQUESTS, folder.true_requests), (BYTES, folder.true_bytes)):
            samples = folder.samples(label)
            totals = [value for _, value in samples]
            self.assertEqual(totals[-1], truth, f"{label} at the end")
            self.assertEqual(totals, sorted(totals), f"{label} fell")
            paused = folder.collectd.most_beats_between([when for when, _ in samples])
            self.assertLess(paused, 20 * daemons.TIME_SCALE, f"{label} paused")

        # Gauges of the dead disappear at once; their files where collectd was told to remove them.
        self.assertLess(folder.samples(ALIVE)[-1][0], ended + 2 * INTERVAL)
        if not folder.cleans:
            daemons.wait_until(lambda: not os.listdir(folder.path), "collectd removed the files of the dead")
            self.assertEqual(folder.samples(REQUESTS)[-1][1], folder.true_requests, "after files were removed")

    def wait_for_looks(self, folder, since):
        daemons.wait_until(
            lambda: sum(when > since for when, _ in folder.samples(REQUESTS)) >= 2,
            f"{folder.name} was looked at twice",
        )


if __name__ == "__main__":
    own_pids.enter()
    unittest.main()
