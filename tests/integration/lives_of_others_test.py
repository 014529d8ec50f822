"""Lives that are not what they seem: workers in containers, with clocks of their own, that execute other
programs, rename, grow or lose their files. The real daemon counts each once, and sends gauges of the living."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
import unittest

import daemons
import mmstats_writer as writer

RECHECK = 30  # seconds after which it is known at the latest who writes a file that stands still
OTHER_USER = 65534
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
if os.getuid() != 0:
    CONTAINER += ["--user", "--map-root-user"]


def publish(path, ready, answer, clock=0):
    """A worker that writes the format by itself; its clock is wrong by `clock` seconds."""
    fields = [writer.counter("requests", 5), writer.gauge("ready", 1, "I")]
    file = writer.MmstatsFile(path, fields, created=time.time() + clock)
    ready()
    for order in answer:
        if order == "exec":
            os.execvp("sleep", ["sleep", "3600"])
        file.incr("requests", int(order))
        ready()


def publish_and_fork(path, ready, answer):
    """A worker that ends before a child of it, which then writes once into its file."""
    file = writer.MmstatsFile(path, [writer.counter("requests", 5), writer.gauge("ready", 4, "I")])
    ready()
    next(answer)
    end, held = os.pipe()
    if os.fork() == 0:
        os.close(held)
        os.read(end, 1)  # nothing, once the parent is gone
        file.incr("requests", 10)
    os._exit(0)


def publish_90_days_ago(path, ready, answer):
    publish(path, ready, answer, -90 * 86400)


def publish_by_library(folder, ready, answer):
    """A worker of our own library, whose file grows."""
    from binding_test import DOUBLE, GAUGE, Library

    library = Library()
    model = library.model_new(None)
    library.model_set_path(model, folder.encode())
    library.counter_new(model, b"requests", None, None)
    counters = [library.counter_new(model, b"requests.%023d" % number, None, None) for number in range(4000)]
    library.number_set_double(library.number_new(model, DOUBLE, GAUGE, b"ready", None, None), 1)
    for counter in counters:
        library.counter_incr(counter, 100)
    ready()
    for order in answer:
        library.counter_incr(library.counter_new(model, order.encode(), None, None), 7)
        ready()


WORKERS = (publish, publish_and_fork, publish_90_days_ago, publish_by_library)


class Worker:
    """A process of this file, under `prefix`, which publishes and obeys until it is killed."""

    def __init__(self, how, path, prefix=()):
        argv = [*prefix, "/usr/bin/python3", "-B", os.path.abspath(__file__), how.__name__, path]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _wait(self):
        assert self.process.stdout.readline() == "ready\n", "a worker died"

    def order(self, what, answers=True):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        if answers:
            self._wait()

    def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()


class LivesOfOthersTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace(mappings_matter=True)
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def folder(self, name):
        path = os.path.join(self.workspace, name)
        os.mkdir(path)
        return path

    def worker(self, *args):
        worker = Worker(*args)
        self.addCleanup(worker.kill)
        return worker

    @contextlib.contextmanager
    def collectd(self, blocks, **options):
        """`blocks`: name -> options, each of a folder of that name unless they have a Path."""
        text = ""
        for name, lines in blocks.items():
            path = "" if "Path " in lines else f'Path "{self.workspace}/{name}/*.mmstats"\n'
            text += f'<Files "{name}">\n{path}{lines}\n</Files>\n'
        config = daemons.mmstats_block(self.workspace, text)
        with daemons.Collectd(self.workspace, config, 0.2, **options) as self.agent:
            yield

    def samples(self, block, name):
        return self.agent.samples(f"mmstats-{block}/{name}")

    def wait_for_last(self, block, name, want):
        self.agent.wait_for(f"mmstats-{block}/{name}", want)

    def wait_for_looks(self, block, count=3):
        """Until so many looks began and ended."""
        since = time.time()
        daemons.wait_until(
            lambda: sum(when > since for when, _ in self.samples(block, "derive-requests")) >= count,
            f"{block} was looked at {count} times",
        )

    def scans(self, block, name):
        """When the worker's counter was sent, as it is at each scan, without the last: that is being written."""
        counter = name.replace("gauge-ready", "derive-requests")
        return daemons.wait_until(lambda: [when for when, _ in self.samples(block, counter)][:-1], f"two scans of {block}")

    def is_sent(self, block, name):
        scans = self.scans(block, name)
        return any(when >= scans[-1] for when, _ in self.samples(block, name))

    def lines(self, text):
        return [line for line in self.agent.log().splitlines() if text in line]

    def skip_without_containers(self):
        if subprocess.run([*CONTAINER, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("no pid namespaces here")

    def test_gauges_go_with_a_container_or_a_program_and_stay_with_a_clock_that_is_wrong(self):
        self.skip_without_containers()
        names = ["ours", "theirs", "executes", "clock", "idle"]
        paths = {name: os.path.join(self.folder(name), "a.mmstats") for name in names}
        blocks = {name: 'Stale "remove"' for name in names}
        blocks["slots"] = 'Aggregate "none"'
        self.folder("slots")
        with self.collectd(blocks):
            ours = self.worker(publish_by_library, os.path.dirname(paths["ours"]), CONTAINER)
            theirs = self.worker(publish, paths["theirs"], CONTAINER)
            executes = self.worker(publish, paths["executes"])
            in_clock = self.worker(publish_90_days_ago, paths["clock"])
            self.worker(publish_90_days_ago, paths["idle"], CONTAINER)
            slots = [
                self.worker(publish, os.path.join(self.workspace, "slots", f"{number}.mmstats"), CONTAINER)
                for number in range(3)
            ]
            for name in names:
                self.wait_for_last(name, "gauge-ready", 1)
            for slot in range(3):
                self.wait_for_last("slots", f"derive-requests-{slot}", 5)
            self.assertEqual(self.samples("slots", "derive-requests-3"), [])
            slots[1].order("10")
            daemons.wait_until(
                lambda: sorted(self.agent.last(f"mmstats-slots/derive-requests-{slot}") for slot in range(3))
                == [5, 5, 15],
                "one worker counted in its own slot",
            )

            # Beyond the first questions, nobody dies who stands still.
            living = time.time()
            for worker in (ours, theirs, in_clock):
                worker.kill()
            executes.order("exec", answers=False)
            daemons.wait_until(
                lambda: not any(self.is_sent(name, "gauge-ready") for name in names[:4]),
                "gauges of the dead are not sent",
                3 * RECHECK,
            )
            daemons.wait_until(
                lambda: not any(os.listdir(os.path.dirname(paths[name])) for name in names[:4]),
                "files of the dead are removed",
            )
            daemons.wait_until(lambda: time.time() > living + RECHECK, "all were asked about", RECHECK)
            for name in names[:4]:
                self.assertFalse(self.is_sent(name, "gauge-ready"), name)
            scans = self.scans("idle", "gauge-ready")
            daemons.wait_until(
                lambda: set(scans) <= {when for when, _ in self.samples("idle", "gauge-ready")},
                "the gauge of the idle one is sent at each scan",
            )
            for slot in range(3):
                daemons.wait_until(lambda: self.is_sent("slots", f"gauge-ready-{slot}"), "each slot is sent")
            told = [line for line in self.lines("<Files ") if " every " not in line and " match now" not in line]
            self.assertEqual(told, [])

    def test_cleanstats_removes_what_a_killed_container_left_if_the_file_says_that_it_was_mapped(self):
        self.skip_without_containers()
        folder = self.folder("run")
        theirs = os.path.join(folder, "theirs.mmstats")
        workers = [self.worker(publish_by_library, folder, CONTAINER), self.worker(publish, theirs, CONTAINER)]

        def clean():
            paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
            done = subprocess.run(
                [os.environ["MMSTATS_CLEANSTATS"], *paths], capture_output=True, text=True, check=True
            )
            return done.stdout

        clean()
        self.assertEqual(len(os.listdir(folder)), 2)
        for worker in workers:
            worker.kill()
        told = ""

        # The namespace ends a moment later than its unshare.
        def is_cleaned():
            nonlocal told
            told = clean()
            return os.listdir(folder) == ["theirs.mmstats"]

        daemons.wait_until(is_cleaned, "the library's file is removed, and the other is not")
        self.assertIn("does not map the file any more", told)

    def test_a_life_goes_on_when_each_update_is_published_by_rename_or_changes_a_type(self):
        fields = [writer.gauge("ready", 1, "I"), writer.counter("requests", 100)]
        path = os.path.join(self.folder("renames"), "a.mmstats")
        typed = os.path.join(self.folder("types"), "a.mmstats")
        created = time.time()
        with self.collectd({"renames": "", "types": '<Metric "requests">\nKind "counter"\n</Metric>'}):
            for value in range(100, 160):
                writer.MmstatsFile(path, [fields[0], writer.counter("requests", value)], created=created).close()
                type_ = "QdIQ"[value % 4]
                number = writer.Field("requests", type_, True, value)
                writer.MmstatsFile(typed, [number], in_place=True, created=created).close()
                if value % 10 == 0:
                    self.wait_for_last("renames", "derive-requests", value)
                    self.wait_for_last("types", "derive-requests", value)
            for name in ("renames", "types"):
                self.wait_for_last(name, "derive-requests", 159)
                self.wait_for_looks(name)
                totals = [value for _, value in self.samples(name, "derive-requests")]
                self.assertEqual(totals, sorted(totals))
                self.assertEqual(totals[-1], 159)
            self.assertEqual({value for _, value in self.samples("renames", "gauge-ready")}, {1})
            # A new sys.created is a new life.
            writer.MmstatsFile(path, [writer.counter("requests", 3)], created=created + 1).close()
            self.wait_for_last("renames", "derive-requests", 162)

    def test_a_folder_that_cannot_be_listed_for_a_while_ends_no_life(self):
        outer = self.folder("denied")
        paths = [os.path.join(outer, name, "stats.mmstats") for name in ("a", "b")]
        for path in paths:
            os.mkdir(os.path.dirname(path))
            file = writer.MmstatsFile(path, [writer.counter("requests", 750)])
            self.addCleanup(file.close)
        self.addCleanup(os.chmod, outer, 0o755)
        options = {"user": OTHER_USER} if os.getuid() == 0 else {}
        if options:
            os.chown(outer, OTHER_USER, OTHER_USER)
        lines = f'Path "{outer}/*/stats.mmstats"\nReportSelf true'
        with self.collectd({"denied": lines}, **options):
            self.wait_for_last("denied", "derive-requests", 1500)
            for _ in range(2):
                os.chmod(outer, 0)
                daemons.wait_until(
                    lambda: self.agent.last("mmstats-denied/count-unreadable_folders"), "it cannot be listed"
                )
                self.wait_for_looks("denied")
                os.chmod(outer, 0o755)
                self.wait_for_last("denied", "count-unreadable_folders", 0)
                self.wait_for_looks("denied")
            self.assertEqual({value for _, value in self.samples("denied", "derive-requests")}, {1500})
            # Once for each time that it began.
            told = self.lines(f"{outer}: cannot list the folder")
            self.assertEqual(len(told), 2, told)

    def test_a_file_of_the_library_that_grows_counts_nothing_again_and_keeps_its_slot(self):
        folder = self.folder("sum")
        apart = f'Path "{folder}/*"\nInclude "requests.*0001"\nAggregate "none"'
        rule = '<Metric "requests.*">\nTypeInstance "requests"\n</Metric>'
        with self.collectd({"sum": rule, "apart": apart}):
            workers = [self.worker(publish_by_library, folder) for _ in range(2)]
            self.wait_for_last("sum", "derive-requests", 800_000)
            for label in ("more", "most"):
                for worker in workers:
                    worker.order(label)
                self.wait_for_last("sum", f"derive-{label}", 14)
                self.wait_for_looks("sum")
            self.assertEqual(self.agent.last("mmstats-sum/derive-requests"), 800_000)
            name = "derive-requests." + "1".zfill(23)
            self.assertEqual([self.agent.last(f"mmstats-apart/{name}-{slot}") for slot in range(3)], [100, 100, None])

    def test_files_are_removed_once_the_slowest_block_has_counted_them(self):
        folder = self.folder("fast")
        slow = f'Path "{folder}/*.mmstats"\nInterval 3'
        with self.collectd({"fast": 'Stale "remove"', "slow": slow}):
            total = 0
            for number in range(2):
                worker = self.worker(publish, os.path.join(folder, f"{number}.mmstats"))
                total += 5
                self.wait_for_last("fast", "derive-requests", total)
                worker.kill()
                daemons.wait_until(lambda: not os.listdir(folder), "the file is removed")
                self.wait_for_last("slow", "derive-requests", total)
            self.assertEqual(self.agent.last("mmstats-fast/derive-requests"), total)

    def test_the_dead_leave_room_for_the_living(self):
        folder = self.folder("full")
        with subprocess.Popen(["true"]) as process:
            dead = process.pid
        for number in range(12):
            path = os.path.join(folder, f"{number}.mmstats")
            writer.MmstatsFile(path, [writer.counter("requests", 1)], pid=dead).close()
        with self.collectd({"full": "MaxFiles 5\nReportSelf true"}):
            self.wait_for_last("full", "derive-requests", 12)
            fields = [writer.counter("requests", 1000), writer.gauge("ready", 1, "I")]
            file = writer.MmstatsFile(os.path.join(folder, "z.mmstats"), fields)
            self.addCleanup(file.close)
            self.wait_for_last("full", "derive-requests", 1012)
            self.wait_for_looks("full", 5)
            self.assertEqual(self.agent.last("mmstats-full/derive-requests"), 1012)
            self.assertTrue(self.is_sent("full", "gauge-ready"))
            left_out = [value for _, value in self.samples("full", "count-left_out_files")]
            self.assertGreater(max(left_out), 0)
            self.assertEqual(left_out[-1], 0)

    def test_gauges_of_the_dead_are_out_at_once_whoever_wrote_last(self):
        """Each worker writes right before its end: the file changed since the last scan."""
        folder = self.folder("kills")
        forked = os.path.join(self.folder("forked"), "a.mmstats")
        with self.collectd({"kills": "", "forked": ""}):
            # The file of a parent that ends, and then its child writes once more.
            parent = self.worker(publish_and_fork, forked)
            workers = [self.worker(publish, os.path.join(folder, f"{number}.mmstats")) for number in range(9)]
            self.wait_for_last("kills", "gauge-ready", 9)
            self.wait_for_last("forked", "gauge-ready", 4)
            bounds = []
            for living in range(8, -1, -1):
                worker = workers.pop()
                worker.order("10")
                worker.kill()
                bounds.append((time.time(), living))
                self.wait_for_looks("kills", 1)
            self.wait_for_looks("kills")
            for died, living in bounds:
                late = [value for when, value in self.samples("kills", "gauge-ready") if when > died]
                self.assertLessEqual(max(late, default=0), living)
            self.assertEqual(self.agent.last("mmstats-kills/derive-requests"), 9 * 15)

            parent.order("end", answers=False)
            self.wait_for_last("forked", "derive-requests", 15)
            daemons.wait_until(lambda: not self.is_sent("forked", "gauge-ready"), "the child's gauge is not sent")
            parent.kill()

    def test_files_that_are_renamed_all_the_time_count_once(self):
        folder = self.folder("storm")
        count = 500
        for number in range(count):
            fields = [writer.counter("requests", 1)]
            writer.MmstatsFile(os.path.join(folder, f"{number}.a.mmstats"), fields).close()
        with self.collectd({"storm": "ReportSelf true"}):
            self.wait_for_last("storm", "derive-requests", count)
            began = time.time()
            ends = ["a", "b"]
            while sum(when > began for when, _ in self.samples("storm", "derive-requests")) < 12:
                for number in range(count):
                    old, new = (os.path.join(folder, f"{number}.{end}.mmstats") for end in ends)
                    os.rename(old, new)
                ends.reverse()
            self.wait_for_looks("storm")
            self.assertEqual({value for _, value in self.samples("storm", "derive-requests")}, {count})

    def test_what_is_no_sum_is_not_sent_and_labels_that_meet_are_told(self):
        folder = self.folder("odd")
        files = []
        for number, odd in enumerate((math.inf, -math.inf)):
            fields = [writer.gauge("odd", odd), writer.gauge("even", 2.0), writer.counter("requests", 1)]
            fields += [writer.counter("shop.x", 3), writer.counter("x", 4), writer.counter("shop.y", 5)]
            files.append(writer.MmstatsFile(os.path.join(folder, f"{number}.mmstats"), fields))
        with self.collectd({"odd": 'StripPrefix "shop"\nAggregate "sum"'}):
            self.wait_for_last("odd", "gauge-even", 4)
            self.wait_for_looks("odd")
            self.assertEqual([value for _, value in self.samples("odd", "gauge-odd")], [])
            self.assertEqual(self.agent.last("mmstats-odd/derive-y"), 10)
            told = self.lines("with the prefix that is stripped and without it")
            self.assertEqual(len(told), 1, told)
            self.assertIn('label "x"', told[0])
        for file in files:
            file.close()

    def test_a_file_that_is_deleted_while_its_writer_lives_is_told_once(self):
        path = os.path.join(self.folder("deleted"), "a.mmstats")
        file = writer.MmstatsFile(path, [writer.counter("requests", 7)])
        with self.collectd({"deleted": ""}):
            self.wait_for_last("deleted", "derive-requests", 7)
            os.unlink(path)
            daemons.wait_until(lambda: self.lines("was deleted while a process writes it"), "it is told")
            self.wait_for_looks("deleted", 5)
            self.assertEqual(len(self.lines(path)), 1)
        file.close()

    def test_the_default_aggregate_does_not_depend_on_which_file_is_seen_first(self):
        values = [("I", 10), ("I", 10), ("d", 2.0)]
        blocks = {"first": "", "last": ""}
        for name, order in (("first", values), ("last", values[::-1])):
            self.folder(name)
        files = []
        with self.collectd(blocks):
            for name, order in (("first", values), ("last", values[::-1])):
                for number, (type_, value) in enumerate(order):
                    path = os.path.join(self.workspace, name, f"{number}.mmstats")
                    fields = [writer.gauge("load", value, type_), writer.counter("requests")]
                    files.append(writer.MmstatsFile(path, fields))
                    self.wait_for_looks(name)
            for name in blocks:
                self.assertAlmostEqual(self.agent.last(f"mmstats-{name}/gauge-load"), 22 / 3, 3, name)
                self.assertEqual(len(self.lines(f'"{name}">: label "load" has different types')), 1, self.agent.log())
        for file in files:
            file.close()

    def test_a_gauge_of_a_dead_process_does_not_come_back_with_a_counter_that_is_no_number(self):
        path = os.path.join(self.folder("nan"), "a.mmstats")
        with subprocess.Popen(["sleep", "3600"]) as owner:
            fields = [
                writer.counter("requests", 5),
                writer.gauge("ratio", math.nan),
                writer.gauge("ready", 1, "I"),
            ]
            file = writer.MmstatsFile(path, fields, pid=owner.pid)
            with self.collectd({"nan": '<Metric "ratio">\nKind "counter"\n</Metric>'}):
                self.wait_for_last("nan", "gauge-ready", 1)
                owner.send_signal(signal.SIGKILL)
                owner.wait()
                died = time.time()
                self.wait_for_looks("nan", 10)
                self.assertLess(self.samples("nan", "gauge-ready")[-1][0], died)
            file.close()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {one.__name__: one for one in WORKERS}[sys.argv[1]](
            sys.argv[2], lambda: print("ready", flush=True), (line.rstrip("\n") for line in sys.stdin)
        )
    else:
        unittest.main()
