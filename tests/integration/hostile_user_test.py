"""The daemon as root against one unprivileged user who does what hurts, all at once: what others publish
arrives at every interval, nothing grows without bound, and nothing is read or removed that is none of his.

    hostile_user_test.py [--only ATTACK,...|all]     the seconds of an attack: MMSTATS_HOSTILE_SECONDS

prints a line for each run: which number an attack breaks is seen when it runs alone.
"""

import ctypes
import glob
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest

import daemons
import hostile_user
from binding_test import DOUBLE, GAUGE, Library

SECONDS = float(os.environ.get("MMSTATS_HOSTILE_SECONDS", "16"))
INTERVAL = 2
MEGABYTE = 1 << 20
BUDGET = 256 * MEGABYTE  # MaxMemory's default
SERIES = 20_000  # that what collectd spends on sending the attacker's is not what is measured
LEFT_TO_HOST = 200  # descriptors
LINES_PER_MINUTE = 31  # one of which says how many wait
BLOCK = "mmstats-all"
# Who publishes: name -> user ID, folder.
HONEST = {
    "alice": (64201, "."),
    "bob": (64202, "users/bob/mm"),
    "carol": (64203, "."),
    "root": (0, "."),
    "admin": (0, "users/admin/mm"),
}
LATE = {"late": (64204, "."), "later": (64201, "users/later/mm")}
# The default run: what takes a steady part of the bound, so that a busy machine does not decide. "all" is every
# attack at once, best for a minute, as the first scans are the dearest.
HELD = [
    "renames",
    "odd_names",
    "truncated",
    "stopped",
    "leases",
    "openers",
    "lives",
    "folder_storm",
    "links",
    "bools",
    "sparse",
    "folders",
]
# Seconds of processor time that so many looks at a folder take on a machine of 2026 where nothing else runs.
PACE, PACE_CALLS = 0.00042, 200
LABELS = 5  # counters of each, beside a gauge
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
IN_OPEN, IN_ACCESS, IN_DELETE, IN_MOVED_FROM = 0x20, 0x1, 0x200, 0x40


def mount_memory(folder):
    """Gives this process and its children a file system in memory there, as /run is, if they may have one."""
    libc = ctypes.CDLL(None)
    if libc.unshare(CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0:
        return libc.mount(b"none", folder.encode(), b"tmpfs", 0, b"size=2g,nr_inodes=1m,mode=1777") == 0
    return False


class Application:
    """A process of a user that publishes by our library and counts until it is killed."""

    def __init__(self, library, folder, name, uid, bulk=0):
        self.name = name
        readable, writable = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(readable)
                hostile_user.become(uid)
                self._publish(library, folder, writable, bulk)
            finally:
                os._exit(1)
        os.close(writable)
        with open(readable, "rb") as answer:
            assert answer.read(1) == b"r", f"{name} did not begin"
        self.began = time.time()

    def _publish(self, library, folder, ready, bulk):
        model = library.model_new(None)
        library.model_set_path(model, folder.encode())
        number = library.number_new(model, DOUBLE, GAUGE, f"honest.{self.name}.ready".encode(), None, None)
        for one in range(bulk):
            library.counter_new(model, f"bulk.{self.name}.{one}".encode(), None, None)
        counters = [
            library.counter_new(model, f"honest.{self.name}.{one}".encode(), None, b"Honestly")
            for one in range(LABELS)
        ]
        library.number_set_double(number, 1)
        while True:
            for counter in counters:
                library.counter_incr(counter, 1)
            if ready is not None:
                os.write(ready, b"r")
                os.close(ready)
                ready = None
            time.sleep(0.05)

    def series(self):
        counters = [f"{BLOCK}/derive-honest.{self.name}.{one}" for one in range(LABELS)]
        return [*counters, f"{BLOCK}/gauge-honest.{self.name}.ready"]

    def kill(self):
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class Watched:
    """What the kernel tells of the use of folders that nobody may use. (Python has no inotify of its own.)"""

    def __init__(self, *folders):
        self._libc = ctypes.CDLL(None)
        self._queue = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for folder in folders:
            mask = IN_OPEN | IN_ACCESS | IN_DELETE | IN_MOVED_FROM
            assert self._libc.inotify_add_watch(self._queue, folder.encode(), mask) > 0

    def events(self):
        try:
            data = os.read(self._queue, 1 << 16)
        except BlockingIOError:
            return []
        found = []
        while data:
            _, mask, _, size = struct.unpack_from("iIII", data)
            found.append((hex(mask), data[16 : 16 + size].rstrip(b"\0").decode()))
            data = data[16 + size :]
        return found

    def close(self):
        os.close(self._queue)


class Meter(threading.Thread):
    """Looks at the daemon all the time: memory, descriptors, processor time of the threads that read. And how
    slow the machine is with all that runs on it now: a thread's processor time grows with that."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.descriptors = 0
        self._paces = []
        self.memory_before = self._status("VmRSS")
        with open(f"/proc/{pid}/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        self.processor_before = self.processor()
        self.start()

    def _status(self, name):
        with open(f"/proc/{self._pid}/status") as file:
            return int(re.search(rf"^{name}:\s+(\d+) kB$", file.read(), re.M)[1]) * 1024

    def processor(self):
        """Seconds."""
        total = 0
        for path in glob.glob(f"/proc/{self._pid}/task/*/comm"):
            with open(path) as file:
                if not file.read().startswith("reader#"):
                    continue
            with open(path.replace("comm", "schedstat")) as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def run(self):
        while not self._ended.wait(0.05):
            began = time.thread_time()
            for _ in range(PACE_CALLS):
                os.stat("/tmp")
            self._paces.append(time.thread_time() - began)
            try:
                self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{self._pid}/fd")))
            except FileNotFoundError:
                return  # it is dead, which others tell

    def finish(self):
        self._ended.set()
        self.join()
        self.memory = self._status("VmHWM")
        self.processor_spent = self.processor() - self.processor_before
        self.slowness = max(1, sum(self._paces) / len(self._paces) / PACE)


class HostileUserTest(unittest.TestCase):
    attacks = HELD

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("only root can be one user and the agent of all")
        context = daemons.workspace()
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.library = Library()
        self.folder = os.path.join(self.workspace, "run")
        self.secret = os.path.join(self.workspace, "secret")
        os.mkdir(self.folder)
        if mount_memory(self.folder):
            self.addCleanup(subprocess.run, ["umount", self.folder], check=True)
        for path in (self.folder, os.path.join(self.folder, "users")):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o1777)
        # Of somebody dead, so that it would be removed.
        data = hostile_user.counters([hostile_user.SECRET], hostile_user.DEAD)
        os.makedirs(os.path.join(self.secret, "mm"))
        os.chmod(self.secret, 0o700)
        self.secrets = [os.path.join(self.secret, *where, "dead.mmstats") for where in ([], ["mm"])]
        for path in self.secrets:
            hostile_user.write(path, data)
        self.watched = Watched(self.secret, os.path.join(self.secret, "mm"))
        self.addCleanup(self.watched.close)

    def application(self, name, uid, where, **options):
        folder = os.path.join(self.folder, where)
        if not os.path.isdir(folder):
            os.makedirs(folder)
            os.chown(folder, uid, uid)
        application = Application(self.library, folder, name, uid, **options)
        self.addCleanup(application.kill)
        return application

    def collectd(self):
        block = f"""\
<Files "all">
  Path "{self.folder}/*.mmstats" "{self.folder}/users/*/mm/*.mmstats"
  Stale "remove"
  ReportSelf true
  MaxSeries {SERIES}
</Files>"""
        # What is not asked for is not written: the disk is not what is attacked here.
        chain = """\
LoadPlugin match_regex
PostCacheChain "PostCache"
<Chain "PostCache">
  <Rule "asked_for">
    <Match "regex">
      TypeInstance "honest|secret|^files$|^series$|^scan$"
    </Match>
    <Target "write">
      Plugin "csv"
    </Target>
  </Rule>
  <Rule "heartbeat">
    <Match "regex">
      Plugin "^uptime$"
    </Match>
    <Target "write">
      Plugin "csv"
    </Target>
  </Rule>
  Target "stop"
</Chain>"""
        blocks = daemons.HEARTBEAT + daemons.mmstats_block(self.workspace, block)
        return daemons.Collectd(self.workspace, blocks + chain, INTERVAL)

    def scans(self, since):
        """When they were, and how long they took."""
        return [sample for sample in self.agent.samples(f"{BLOCK}/duration-scan") if sample[0] >= since]

    def wait_for_all(self, application, when):
        for name in application.series():
            what = f"{name} is sent {when}"
            daemons.wait_until(lambda name=name: self.agent.last(name) is not None, what)

    def test_others_are_served_whatever_one_does(self):
        applications = [self.application(name, *how) for name, how in HONEST.items()]
        with self.collectd() as self.agent:
            for application in applications:
                self.wait_for_all(application, "before the attack")
            lines = self.agent.log().count("\n")
            meter = Meter(self.agent.pid)
            user = hostile_user.User(self.attacks, self.folder, self.secret)
            try:
                began = time.time()
                daemons.wait_until(user.is_prepared, "the attack begins", 300)
                end = time.time() + SECONDS
                applications += [self.application(name, *how) for name, how in LATE.items()]
                daemons.wait_until(lambda: time.time() > end or user.dead(), "the attack", 2 * SECONDS)
                for application in applications[-len(LATE) :]:
                    self.wait_for_all(application, "while the attack goes on")
                self.assertEqual(user.dead(), [], "an attack ended by itself")
                self.assertTrue(self.agent.running(), "the daemon is dead")
                ended = time.time()
                meter.finish()
                scans = self.scans(began)
                missing = self.missing(applications, scans)
                lines = self.agent.log().count("\n") - lines
                first = [self.agent.samples(one.series()[0])[0][0] for one in applications[-len(LATE) :]]
                late = max(first) - applications[-1].began
                self.show(meter, scans, ended - began, missing, lines, late)
            finally:
                user.stop()
            events = self.watched.events()
            hostile_user.remove_what_is_his(self.folder)
            self.check(meter, scans, began, ended, missing, lines, events)
            self.check_after()

    def missing(self, applications, scans):
        """How many values of honest series were not sent at a scan after the first that had them. The last scan
        may be on its way to the disk."""
        missing = {}
        for application in applications:
            for name in application.series():
                sent = {when for when, _ in self.agent.samples(name)}
                due = [when for when, _ in scans if when > min(sent, default=0)][:-1]
                count = sum(when not in sent for when in due)
                if count:
                    missing[name.split("/")[1]] = count
        return missing

    def show(self, meter, scans, seconds, missing, lines, late):
        longest = max((value for _, value in scans), default=float("nan"))
        of_one = meter.processor_spent / max(len(scans), 1)
        name = self.attacks[0] if len(self.attacks) == 1 else f"{len(self.attacks)} at once"
        print(
            f"{'attack':<14}{'scans':>8}{'scan ms':>9}{'cpu ms':>9}{'MB rss':>8}{'before':>7}{'fds':>7}"
            f"{'missing':>8}{'lines':>6}{'late s':>7}{'slow':>6}\n"
            f"{name:<14}{len(scans):>5}/{seconds / INTERVAL:<2.0f}{longest * 1000:>9.0f}{of_one * 1000:>9.0f}"
            f"{meter.memory / MEGABYTE:>8.0f}{meter.memory_before / MEGABYTE:>7.0f}{meter.descriptors:>7}"
            f"{sum(missing.values()):>8}{lines:>6}{late:>7.1f}"
            f"{meter.slowness:>6.2f}",
            flush=True,
        )

    def check(self, meter, scans, began, ended, missing, lines, events):
        self.assertEqual(missing, {})
        # A slow machine may be late; what counts is the processor time that a scan takes.
        times = [began, *(when for when, _ in scans), ended]
        self.assertLessEqual(self.agent.most_beats_between(times), 3 * daemons.TIME_SCALE, "a scan came late")
        most = INTERVAL / 10 * daemons.TIME_SCALE * meter.slowness
        self.assertLess(meter.processor_spent / len(scans), most)
        self.assertLess(meter.memory, meter.memory_before + BUDGET)
        with open(f"/proc/{self.agent.pid}/limits") as file:
            limit = int(re.search(r"^Max open files\s+(\d+)", file.read(), re.M)[1])
        self.assertLess(meter.descriptors, limit - LEFT_TO_HOST)
        minutes = 1 + (ended - began) // 60 + 1
        self.assertLessEqual(lines, minutes * LINES_PER_MINUTE, self.agent.log()[-5000:])
        self.assertEqual(events, [], "what only root may see was used")
        for path in self.secrets:
            self.assertTrue(os.path.exists(path), path)
        self.assertNotRegex(self.agent.log(), r"[\x00-\x09\x0b-\x1f\x7f]", "the log is for a terminal")
        secrets = glob.glob(os.path.join(self.agent.folder, "csv", "*", "*", "*secret*"))
        self.assertEqual(secrets, [])

    def check_after(self):
        """There is room for another user, also while the attacker's series are kept for ten minutes more: his
        are three quarters of all, and of the rest anybody may have as much."""
        application = self.application("fresh", 64205, ".", bulk=SERIES * 3 // 16 - 100)
        self.wait_for_all(application, "after the attack")


if __name__ == "__main__":
    if "--only" in sys.argv:
        at = sys.argv.index("--only")
        wanted = sys.argv[at + 1]
        HostileUserTest.attacks = list(hostile_user.ATTACKS) if wanted == "all" else wanted.split(",")
        del sys.argv[at : at + 2]
    unittest.main()
