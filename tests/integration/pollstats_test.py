"""pollstats as scripts meet it: columns, their header, JSON, and how it ends."""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import fcntl
import termios
import time
import unittest

import daemons
import mmstats_writer as writer

POLLSTATS = os.environ["MMSTATS_POLLSTATS"]
EMPTY = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


class PollstatsTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.glob = os.path.join(self.folder, "*.mmstats")

    def publish(self, name, *fields, **options):
        file = writer.MmstatsFile(os.path.join(self.folder, f"{name}.mmstats"), fields, **options)
        self.addCleanup(file.close)
        return file

    def run_it(self, *arguments, status=0, **environment):
        result = subprocess.run([POLLSTATS, *arguments], env={**EMPTY, **environment}, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False, timeout=60 * daemons.TIME_SCALE)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout.splitlines(), result.stderr

    def start(self, *arguments, **options):
        process = subprocess.Popen([POLLSTATS, *arguments], env=EMPTY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   text=True, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_a_header_and_a_line_of_changes_as_the_original_prints_them(self):
        file = self.publish("a", writer.counter("web.hits", 42), writer.counter("web.misses", 7), writer.gauge("web.depth", 3, "i"))
        lines, errors = self.run_it("-c", "1", "-p", "web.", "hits,misses", file.path)
        self.assertEqual(errors, "")
        self.assertEqual(lines, [f"{'hits':^20}|{'misses':^20}", f"{42:>19} |{7:>19} "])
        # What the original added to every line: nothing but numbers, if it is not a terminal.
        lines, _ = self.run_it("-c", "1", "web.depth,web.hits", file.path)
        self.assertEqual(lines[1], f"{3:>19} |{42:>19} ")

    def test_the_first_line_is_the_total_and_each_later_one_the_change(self):
        files = [self.publish(name, writer.counter("hits", 10)) for name in "ab"]
        process = self.start("-d", "0.05", "--json", "hits", self.glob)
        first = json.loads(process.stdout.readline())["fields"]["hits"]
        self.assertEqual(first, {"kind": "counter", "value": 20, "change": None, "rate": None})
        files[0].incr("hits", 5)
        changed = self.next_with(process, lambda fields: fields["hits"]["value"] == 25)
        self.assertEqual(changed["hits"]["change"], 5)
        self.assertGreater(changed["hits"]["rate"], 5)
        files[1].incr("hits", 3)
        changed = self.next_with(process, lambda fields: fields["hits"]["value"] == 28)
        self.assertEqual(changed["hits"]["change"], 3)
        self.assertEqual(self.next_with(process, lambda fields: True)["hits"]["change"], 0)

    def next_with(self, process, wanted):
        """The fields of the next line for which `wanted` holds."""
        deadline = time.monotonic() + 20 * daemons.TIME_SCALE
        while time.monotonic() < deadline:
            fields = json.loads(process.stdout.readline())["fields"]
            if wanted(fields):
                return fields
        raise AssertionError("waited in vain for a line")

    def test_workers_come_and_go_and_no_count_is_lost(self):
        first = self.publish("a", writer.counter("hits", 10))
        process = self.start("-d", "0.05", "--json", "hits,errors", self.glob)
        self.next_with(process, lambda fields: fields["hits"]["value"] == 10)
        first.incr("hits", 4)
        os.unlink(first.path)
        fields = self.next_with(process, lambda fields: fields["hits"]["value"] == 14)
        self.assertIsNone(fields["errors"])
        self.publish("b", writer.counter("hits", 100), writer.counter("errors", 1))
        fields = self.next_with(process, lambda fields: fields["hits"]["value"] == 114)
        self.assertEqual((fields["hits"]["change"], fields["errors"]["value"]), (100, 1))

    def test_a_column_that_no_file_has_is_a_dash_and_one_that_some_lack_is_their_sum(self):
        self.publish("a", writer.counter("hits", 1))
        self.publish("b", writer.counter("hits", 2), writer.counter("rare", 5))
        lines, _ = self.run_it("-c", "1", "hits,rare,none", self.glob)
        self.assertEqual(lines[1], f"{3:>19} |{5:>19} |{'-':>19} ")

    def test_filters_keep_files_by_a_label_or_by_a_value(self):
        self.publish("a", writer.counter("hits", 1), writer.text("role", "main"), writer.counter("a.x", 0))
        self.publish("b", writer.counter("hits", 20), writer.text("role", "standby"))
        for filters, want in (
            (["-f", "role=main"], 1),
            (["-f", "role=standby"], 20),
            (["-f", "role=stand"], "-"),
            (["-f", "hits=20"], 20),
            (["-f", "a."], 1),
            (["-f", "a.", "role=standby", "-n", "0"], 21),
            (["-f", "a.", "-f", "role=standby"], 21),
            (["-f", "nothing"], "-"),
        ):
            with self.subTest(filters):
                lines, _ = self.run_it("-c", "1", *filters, "hits", self.glob)
                self.assertEqual(lines[1], f"{want:>19} ")
        lines, _ = self.run_it("-c", "1", "hits", self.glob, "-f", "role=main")
        self.assertEqual(lines[1], f"{1:>19} ")

    def test_a_pattern_has_a_column_for_each_series_that_matches(self):
        self.publish("a", *(writer.counter(f"status.{code}", code) for code in (404, 200)), writer.counter("other", 1))
        lines, _ = self.run_it("-c", "1", "status.*", self.glob)
        self.assertEqual(lines, [f"{'status.200':^20}|{'status.404':^20}", f"{200:>19} |{404:>19} "])
        lines, _ = self.run_it("-c", "1", "-p", "status.", "[24]0?", self.glob)
        self.assertEqual(lines[0], f"{'200':^20}|{'404':^20}")
        lines, _ = self.run_it("-c", "1", "nothing.*", self.glob)
        self.assertEqual(lines[1], f"{'-':>19} ")

    def test_rates_stand_beside_the_changes(self):
        file = self.publish("a", writer.counter("hits", 1), writer.gauge("load", 0.5))
        process = self.start("-d", "0.1", "--rate", "hits,load", file.path)
        self.assertEqual(process.stdout.readline().rstrip("\n"), "|".join(f"{name:^20}" for name in ("hits", "hits/s", "load", "load/s")))
        self.assertEqual(process.stdout.readline().rstrip("\n"), f"{1:>19} |{'-':>19} |{'0.5':>19} |{'-':>19} ")
        file.incr("hits", 10)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            change, rate, load, none = process.stdout.readline().split("|")
            if change.strip() == "10":
                break
        # Ten within the tenth of a second, about.
        self.assertTrue(20 < float(rate) < 130, rate)
        self.assertEqual((load.strip(), none.strip()), ("0.5", "-"))

    def test_headers_come_again(self):
        file = self.publish("a", writer.counter("hits"))
        lines, _ = self.run_it("-c", "5", "-d", "0.01", "-n", "2", "hits", file.path)
        self.assertEqual(["hits" in line for line in lines], [True, False, False, True, False, False, True, False])
        lines, _ = self.run_it("-c", "3", "-d", "0.01", "-n", "0", "hits", file.path)
        self.assertEqual(sum("hits" in line for line in lines), 1)

    def test_lines_come_in_step_whatever_one_takes(self):
        file = self.publish("a", writer.counter("hits"))
        lines, _ = self.run_it("-c", "11", "-d", "0.1", "--json", "hits", file.path)
        times = [json.loads(line)["time"] for line in lines]
        self.assertAlmostEqual(times[-1] - times[0], 1, delta=0.09)

    def test_bad_files_hide_no_good_one(self):
        self.publish("good", writer.counter("hits", 3))
        bad = os.path.join(self.folder, "bad.mmstats")
        with open(bad, "wb") as file:
            file.write(b"\x07 no mmstats")
        os.mkfifo(os.path.join(self.folder, "fifo.mmstats"))
        lines, errors = self.run_it("-c", "1", "hits", self.glob)
        self.assertEqual(lines[1], f"{3:>19} ")
        self.assertIn(f"pollstats: {bad}: ", errors)
        self.assertIn("FIFO", errors)

    def test_texts_have_no_columns_and_it_says_so(self):
        file = self.publish("a", writer.counter("hits"), writer.text("role", "main"))
        lines, errors = self.run_it("-c", "1", "role,sys.pid,hits", file.path)
        self.assertEqual(lines[1], f"{'-':>19} |{'-':>19} |{0:>19} ")
        self.assertIn("role is a text", errors)
        self.assertIn("sys.pid is a text, or written once", errors)

    def test_what_is_wrong_with_the_arguments_is_said(self):
        file = self.publish("a", writer.counter("hits"))
        for arguments, said in (
            ([], "name fields"),
            (["hits,,misses", file.path], "empty name"),
            (["-d", "0", "hits", file.path], "--delay"),
            (["-c", "0", "hits", file.path], "--count"),
            (["--json"], "--json"),
            ([file.path], "is a file"),
            (["--bogus", "hits"], "--bogus"),
        ):
            with self.subTest(arguments):
                lines, errors = self.run_it(*arguments, status=2, MMSTATS_PATH=self.folder)
                self.assertEqual(lines, [])
                self.assertIn(said, errors)
        _, errors = self.run_it("-c", "1", "hits", os.path.join(self.folder, "no*"))
        self.assertIn("no mmstats files match", errors)

    def test_an_interrupt_ends_it_well_and_a_reader_who_leaves_quietly(self):
        file = self.publish("a", writer.counter("hits"))
        process = self.start("-d", "60", "hits", file.path, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20 * daemons.TIME_SCALE), 0)
        self.assertEqual(process.stderr.read(), "")
        # In the middle of a wait, too.
        process = self.start("-d", "60", "hits", file.path, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        process.stdout.readline(), process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(20 * daemons.TIME_SCALE), -signal.SIGPIPE)
        self.assertEqual(process.stderr.read(), "")

    def on_terminal(self, *arguments, width=80, **environment):
        """What it writes to a terminal of that width."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        process = subprocess.Popen([POLLSTATS, *arguments], env={**EMPTY, "TERM": "xterm", **environment}, stdin=slave, stdout=slave)
        os.close(slave)
        said = b""
        deadline = time.monotonic() + 20 * daemons.TIME_SCALE
        while time.monotonic() < deadline and select.select([master], [], [], 20)[0]:
            try:
                said += os.read(master, 65536)
            except OSError:  # nobody has the other end any more
                break
        os.close(master)
        self.assertEqual(process.wait(20 * daemons.TIME_SCALE), 0)
        return said.decode().replace("\r\n", "\n").splitlines()

    def test_a_terminal_gets_colour_and_columns_of_its_width(self):
        file = self.publish("a", writer.counter("hits", 5), writer.counter("a.very.long.name.of.a.counter", 6))
        fields = "hits,a.very.long.name.of.a.counter"
        lines = self.on_terminal("-c", "1", fields, file.path, width=41)
        self.assertIn("\033[1m", lines[0])
        self.assertIn("\033[33m", lines[1])
        plain = [re.sub("\033\\[[0-9;]*m", "", line) for line in lines]
        self.assertEqual([len(line) for line in plain], [41, 41])
        self.assertTrue(plain[0].endswith(".name.of.a.counter"), plain)
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            lines = self.on_terminal("-c", "1", fields, file.path, **environment)
            self.assertNotIn("\033", "".join(lines))


if __name__ == "__main__":
    unittest.main()
