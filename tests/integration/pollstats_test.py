"""pollstats in columns, as people and scripts meet it: exact lines, streams, exit status."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import daemons
import mmstats_writer as writer

POLLSTATS = os.environ["MMSTATS_POLLSTATS"]
NUMBER = r"[-.\d]+"


def run(*arguments, **environment):
    """Runs it with an empty environment but for `environment`."""
    return subprocess.run(
        [POLLSTATS, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=daemons.PATIENCE,
        check=False,
        text=True,
    )


class Polling:
    """A pollstats whose lines are read as they come."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [POLLSTATS, *arguments],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def line(self):
        while b"\n" not in self.got:
            ready, _, _ = select.select([self.process.stdout], [], [], daemons.PATIENCE)
            assert ready, "no line came"
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, f"it ended: {self.process.stderr.read()}"
            self.got += more
        line, self.got = self.got.split(b"\n", 1)
        return line.decode()

    def numbers(self):
        """The next line that is no header, as a list of texts."""
        while True:
            cells = [cell.strip() for cell in self.line().split("|")]
            if all(re.fullmatch(NUMBER, cell) for cell in cells):
                return cells

    def next_change(self):
        """The next line whose first column is not 0."""
        while True:
            numbers = self.numbers()
            if numbers[0] != "0":
                return numbers

    def fields(self):
        """The fields of the next line of JSON."""
        return json.loads(self.line())["fields"]

    def end(self, sent):
        self.process.send_signal(sent)
        code = self.process.wait(daemons.PATIENCE)
        return code, self.process.stderr.read().decode()


class Case(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.glob = os.path.join(self.folder, "*.mmstats")

    def publish(self, name, *fields, **options):
        file = writer.MmstatsFile(os.path.join(self.folder, name + ".mmstats"), fields, **options)
        self.addCleanup(file.close)
        return file


class LinesTest(Case):
    def test_a_line_has_the_totals_and_later_ones_the_changes_in_the_original_s_shape(self):
        web = self.publish("a", writer.counter("web.hits", 40), writer.counter("web.misses", 7))
        self.publish("b", writer.counter("web.hits", 2))
        with Polling("-d", "0.05", "-p", "web.", "hits,misses", self.glob) as polling:
            self.assertEqual(polling.line(), "        hits        |       misses       ")
            self.assertEqual(polling.line(), "                 42 |                  7 ")
            web.incr("web.hits", 1234)
            self.assertEqual(polling.next_change(), ["1234", "0"])
            web.incr("web.hits", 5)
            self.assertEqual(polling.next_change(), ["5", "0"])

    def test_workers_that_come_and_go_break_nothing_and_lose_nothing(self):
        first = self.publish("a", writer.counter("hits", 100))
        with Polling("-d", "0.05", "hits", self.glob) as polling:
            self.assertEqual(polling.numbers(), ["100"])
            second = writer.MmstatsFile(os.path.join(self.folder, "b.mmstats"), [writer.counter("hits", 50)])
            self.assertEqual(polling.next_change(), ["50"])
            # What it counted last is read after its file went.
            second.incr("hits", 5)
            second.remove()
            self.assertEqual(polling.next_change(), ["5"])
            first.incr("hits", 3)
            self.assertEqual(polling.next_change(), ["3"])

    def test_files_named_one_by_one_may_go_too(self):
        first = self.publish("[a]", writer.counter("hits", 1))
        second = writer.MmstatsFile(os.path.join(self.folder, "b.mmstats"), [writer.counter("hits", 2)])
        self.publish("other", writer.counter("hits", 1000))
        with Polling("-d", "0.05", "hits", first.path, second.path) as polling:
            self.assertEqual(polling.numbers(), ["3"])
            second.remove()
            first.incr("hits", 4)
            self.assertEqual(polling.next_change(), ["4"])

    def test_every_field_has_its_column_whichever_files_lack_it(self):
        self.publish("a", writer.counter("hits", 5), writer.gauge("level", 0.25), writer.gauge("busy", 3, "i"))
        self.publish("b", writer.gauge("level", 0.75), writer.gauge("busy", 4, "i"), writer.counter("misses", 1))
        result = run("-c", "1", "-n", "0", "hits,nosuch,level,misses,busy", self.glob)
        self.assertEqual((result.returncode, result.stderr), (0, "pollstats: nosuch: no file has it as a value over time\n"))
        cells = result.stdout.split("\n")[1].split("|")
        self.assertEqual([cell.strip() for cell in cells], ["5", "-", "0.5", "1", "7"])
        self.assertEqual({len(cell) for cell in cells}, {20})

    def test_patterns_have_a_column_for_each_series_and_more_when_more_come(self):
        self.publish("a", *(writer.counter(f"status.{code}", code) for code in (404, 200)), writer.counter("x", 1))
        with Polling("-d", "0.05", "status.*", self.glob) as polling:
            self.assertEqual(polling.line().split("|"), ["     status.200     ", "     status.404     "])
            self.assertEqual(polling.line().split(), ["200", "|", "404"])
            self.publish("b", writer.counter("status.301", 3))
            while "status" not in (header := polling.line()):
                pass
            self.assertEqual(header.replace(" ", ""), "status.200|status.301|status.404")
            self.assertEqual(polling.line().split(), ["0", "|", "3", "|", "0"])

    def test_families_are_grouped_and_filtered_by_dimensions(self):
        self.publish("web", *writer.family("web.hits", ["method", "status"], {("GET", "200"): 5, ("GET", "404"): 2, ("a.b", "404"): 1}))
        self.publish("old", writer.counter("old.status.404", 7))
        glob = self.glob

        def shown(*arguments):
            result = run("-c", "1", *arguments, glob)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            header, line = result.stdout.splitlines()
            return dict(zip([cell.strip() for cell in header.split("|")], [cell.strip() for cell in line.split("|")]))

        self.assertEqual(shown("web.hits"), {"web.hits.GET.200": "5", "web.hits.GET.404": "2", "web.hits.a%2Eb.404": "1"})
        self.assertEqual(shown("--by", "status", "web.hits"), {"web.hits.200": "5", "web.hits.404": "3"})
        self.assertEqual(shown("--by", "", "web.hits,old.*"), {"web.hits": "8", "old.status.404": "7"})
        self.assertEqual(shown("--by", "status", "--where", "method=G*", "*"), {"web.hits.200": "5", "web.hits.404": "2"})
        labels = r"old\.status\.(?P<status>\d+)"
        self.assertEqual(shown("--labels", labels, "--where", "status=404", "--by", "status", "*"),
                         {"old.status.404": "7", "web.hits.404": "3"})
        result = run("--json", "-c", "1", "--by", "method", "--where", "status=4*", "web.*", glob)
        fields = json.loads(result.stdout)["fields"]
        self.assertEqual(sorted(fields), ["web.hits.GET", "web.hits.a%2Eb"])
        field = fields["web.hits.a%2Eb"]
        self.assertEqual((field["value"], field["family"], field["dimensions"]), (1, "web.hits", {"method": "a.b"}))

    def test_a_dimension_that_no_file_has_is_told_and_shows_nothing(self):
        self.publish("a", *writer.family("web.hits", ("method",), {("GET",): 5}), writer.counter("plain", 1))
        glob = self.glob
        for pattern in ("*", "4*"):
            result = run("-c", "1", "--where", f"staus={pattern}", "web.*,plain", glob)
            self.assertEqual(result.stderr, "pollstats: --where: no file has the dimension staus\n")
            self.assertEqual([cell.strip() for cell in result.stdout.splitlines()[1].split("|")], ["-", "-"])
        result = run("-c", "1", "--where", "method=*", "*", glob)
        self.assertEqual((result.stderr, result.stdout.split()[0]), ("", "web.hits.GET"))

    def test_a_text_is_shown_as_missing_and_told(self):
        self.publish("a", writer.text("name", "x"), writer.counter("hits", 1))
        result = run("-c", "1", "hits,name,sys.pid,nosuch", self.glob)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout.split("\n")[1].split(), ["1", "|", "-", "|", "-", "|", "-"])
        self.assertRegex(result.stderr, r"(?m)^pollstats: name is a text, or written once")
        self.assertRegex(result.stderr, r"(?m)^pollstats: sys\.pid is a text, or written once")
        self.assertRegex(result.stderr, r"(?m)^pollstats: nosuch: no file has it")

    def test_a_prefix_needs_no_dot_and_a_misspelt_label_is_told_with_those_that_are_near(self):
        self.publish("a", writer.counter("web.stats.status.2XX", 5), writer.counter("web.stats.requests", 1))
        result = run("-c", "1", "-n", "0", "-p", "web.stats.status", "2XX", self.glob)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual([line.strip() for line in result.stdout.splitlines()], ["2XX", "5"])
        result = run("-c", "1", "-n", "0", "-p", "web.stats.", "request,nosuch", self.glob)
        self.assertEqual(result.stdout.split("\n")[1].split(), ["-", "|", "-"])
        self.assertEqual(result.stderr, "pollstats: web.stats.request: no file has it; near: web.stats.requests\n"
                                        "pollstats: web.stats.nosuch: no file has it as a value over time\n")

    def test_rates_stand_beside_changes(self):
        web = self.publish("a", writer.counter("hits", 40))
        with Polling("--rate", "-d", "0.2", "hits", self.glob) as polling:
            self.assertEqual(polling.line().split(), ["hits", "|", "hits/s"])
            self.assertEqual(polling.line().split(), ["40", "|", "-"])

            def rate():
                web.incr("hits", 1000)
                change, rate = polling.next_change()
                self.assertEqual(change, "1000")
                self.assertGreater(float(rate), 0)
                return float(rate)

            # A look after one that was late is sooner, and the rate is more.
            self.assertTrue(any(rate() <= 1000 / 0.15 for _ in range(5)))

    def test_gauges_have_no_rate_and_a_counter_that_comes_late_gets_one(self):
        self.publish("a", writer.counter("hits", 40), writer.gauge("level", 1.5))
        with Polling("--rate", "-d", "0.1", "-n", "0", "hits,level,late", self.glob) as polling:
            self.assertEqual(polling.line().split(), ["hits", "|", "hits/s", "|", "level", "|", "late"])
            self.assertEqual(polling.line().split(), ["40", "|", "-", "|", "1.5", "|", "-"])
            self.publish("b", writer.counter("late", 3))
            while "late/s" not in (line := polling.line()):
                self.assertEqual(len(line.split()), 7)
            self.assertEqual(line.split(), ["hits", "|", "hits/s", "|", "level", "|", "late", "|", "late/s"])
            self.assertEqual(len(polling.line().split()), 9)

    def test_the_header_comes_again_and_it_ends_after_so_many_lines(self):
        self.publish("a", writer.counter("hits", 1))
        for headers, want in (("2", "hnnhnnhn"), ("20", "hnnnnn"), ("0", "hnnnnn")):
            result = run("-c", "5", "-d", "0.01", "-n", headers, "hits", self.glob)
            self.assertEqual(result.returncode, 0)
            shape = "".join("h" if "hits" in line else "n" for line in result.stdout.splitlines())
            self.assertEqual(shape, want)

    def test_lines_come_at_multiples_of_the_delay(self):
        self.publish("a", writer.counter("hits", 1))
        delay = 0.25
        with Polling("--json", "-d", str(delay), "hits", self.glob) as polling:
            look = lambda: json.loads(polling.line())["time"]
            before = [look() for _ in range(5)]
            polling.process.send_signal(signal.SIGSTOP)
            time.sleep(1.5 * delay)  # so that one comes late, by half a delay
            polling.process.send_signal(signal.SIGCONT)
            late = [look() for _ in range(2)]
            after = [look() for _ in range(5)]
        # A busy machine delays single lines, but what is late now makes no later one late: some before are in step with some
        # after.
        times = [*before, *late, *after]
        apart = lambda pair: abs((times[pair[1]] - times[pair[0]] + delay / 2) % delay - delay / 2)
        first, last = best = min(((one, other) for one in range(5) for other in range(7, 12)), key=apart)
        self.assertLess(apart(best), 0.06 * daemons.TIME_SCALE)
        self.assertGreaterEqual(round((times[last] - times[first]) / delay), last - first)


class FilterTest(Case):
    def setUp(self):
        super().setUp()
        self.publish("a", writer.counter("hits", 1), writer.text("role", "front"), pid=11)
        self.publish("b", writer.counter("hits", 20), writer.text("role", "back"), pid=12)
        self.publish("c", writer.counter("hits", 300), writer.counter("special", 1), pid=13)

    def total(self, *arguments, **environment):
        result = run("-c", "1", *arguments, **environment)
        total = result.stdout.split("\n")[1].strip()
        missing = "pollstats: hits: no file has it as a value over time\n" if total == "-" else ""
        self.assertEqual((result.returncode, result.stderr), (0, missing))
        return total

    def test_files_are_kept_by_the_beginning_of_a_label_or_a_label_and_its_value(self):
        for filters, want in (
            (["-f", "spec"], "300"),
            (["-f", "role"], "21"),
            (["-f", "role=front"], "1"),
            (["-f", "role=front", "-f", "sys.pid=13"], "301"),
            (["-f", "role=front", "sys.pid=13", "-d", "1"], "301"),
            (["-f", "role=fron"], "-"),
            (["-f", "hits=20"], "20"),
        ):
            with self.subTest(filters):
                self.assertEqual(self.total(*filters, "hits", self.glob), want)
        self.assertEqual(self.total("hits", self.glob, "-f", "role=front", "role=back"), "21")

    def test_without_files_it_reads_what_mmstats_glob_names(self):
        self.assertEqual(self.total("hits", MMSTATS_GLOB=self.glob), "321")
        self.assertEqual(self.total("hits", MMSTATS_PATH=self.folder), "321")

    def test_a_file_that_cannot_be_read_is_told_and_the_others_count(self):
        path = os.path.join(self.folder, "bad.mmstats")
        with open(path, "w") as file:
            file.write("hello")
        result = run("-c", "2", "-d", "0.01", "hits", self.glob)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout.split("\n")[1].strip(), "321")
        self.assertEqual(result.stderr.count(path), 1)

    def test_that_there_are_no_files_is_told_and_it_waits_for_some(self):
        other = os.path.join(self.folder, "*.other")
        with Polling("-d", "0.05", "hits", other) as polling:
            polling.line()
            self.assertEqual(polling.line().strip(), "-")
            new = writer.MmstatsFile(os.path.join(self.folder, "a.other"), [writer.counter("hits", 9)])
            self.addCleanup(new.close)
            while (line := polling.line().strip()) == "-":
                pass
            self.assertEqual(line, "9")
            self.assertIn(other, polling.end(signal.SIGINT)[1])


class JsonTest(Case):
    def test_a_line_is_an_object_with_all_of_each_field(self):
        web = self.publish("a", writer.counter("web.hits", 2**63 + 1), writer.gauge("web.level", 0.5))
        with Polling("--json", "-d", "0.05", "-p", "web.", "hits,nosuch,lev*,zz*", self.glob) as polling:
            first = json.loads(polling.line())
            self.assertAlmostEqual(first["time"], time.time(), delta=30 * daemons.TIME_SCALE)
            self.assertEqual(
                first["fields"],
                {
                    "web.hits": {"kind": "counter", "value": 2**63 + 1, "change": None, "rate": None},
                    "web.nosuch": None,
                    "web.level": {"kind": "gauge", "value": 0.5, "change": None, "rate": None},
                },
            )
            web.incr("web.hits", 3)
            while (hits := polling.fields()["web.hits"])["change"] == 0:
                pass
            self.assertEqual((hits["value"], hits["change"]), (2**63 + 4, 3))
            self.assertGreater(hits["rate"], 0)
            web.set("web.level", -1.5)
            while (level := polling.fields()["web.level"])["change"] == 0:
                pass
            self.assertEqual(level, {"kind": "gauge", "value": -1.5, "change": -2, "rate": None})


class TerminalTest(Case):
    def on_terminal(self, *arguments, columns=80, **environment):
        """What it writes to a terminal so wide."""
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [POLLSTATS, *arguments], env={"TERM": "xterm", **environment}, stdin=side, stdout=side, stderr=side
        )
        os.close(side)
        output = b""
        try:
            while piece := os.read(main, 65536):
                output += piece
        except OSError:  # the other end is closed
            pass
        os.close(main)
        self.assertEqual(process.wait(daemons.PATIENCE), 0)
        return output.decode().replace("\r\n", "\n")

    def test_colour_is_for_terminals_and_never_under_no_color(self):
        self.publish("a", writer.counter("hits", 1))
        arguments = ("-c", "1", "hits", self.glob)
        coloured = self.on_terminal(*arguments)
        self.assertIn("\033[1m", coloured)
        self.assertIn("\033[33m", coloured)
        plain = "        hits        \n                  1 \n"
        self.assertEqual(re.sub(r"\033\[\d+m", "", coloured), plain)
        self.assertEqual(self.on_terminal(*arguments, NO_COLOR="1"), plain)
        self.assertEqual(self.on_terminal(*arguments, TERM="dumb"), plain)
        self.assertEqual(run(*arguments).stdout, plain)

    def test_columns_share_the_terminal_s_width(self):
        self.publish("a", *(writer.counter(f"a.long.name.of.status.{code}", 10**9) for code in range(200, 206)))
        for columns in (60, 80, 200):
            output = self.on_terminal("-c", "1", "a.*", self.glob, columns=columns, NO_COLOR="1")
            header, line = output.splitlines()
            self.assertEqual(len(header), len(line))
            self.assertLessEqual(len(header), columns)
            for code in range(200, 206):
                self.assertIn(f".{code}", header)
        self.assertIn("a.long.name.of.status.205", header)
        self.assertIn("1000000000", line)


class EndTest(Case):
    def setUp(self):
        super().setUp()
        self.publish("a", writer.counter("hits", 1))

    def test_sigint_ends_it_cleanly(self):
        for delay in ("0.01", "3600"):
            with Polling("-d", delay, "hits", self.glob) as polling:
                polling.line()
                polling.line()
                self.assertEqual(polling.end(signal.SIGINT), (0, ""))

    def test_a_reader_that_leaves_ends_it_quietly_and_at_once(self):
        for delay in ("0.01", "3600"):
            with Polling("-d", delay, "hits", self.glob) as polling:
                polling.line()
                polling.line()
                polling.process.stdout.close()
                self.assertEqual(polling.process.wait(daemons.PATIENCE), -signal.SIGPIPE)
                self.assertEqual(polling.process.stderr.read(), b"")

    def test_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([POLLSTATS, "hits", self.glob], stdout=full, stderr=subprocess.PIPE,
                                    timeout=daemons.PATIENCE, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"No space left", result.stderr)

    def test_mistakes_are_told_with_what_to_do(self):
        path = os.path.join(self.folder, "a.mmstats")
        for arguments, want in (
            ([], "name fields"),
            (["-f", "x"], "name fields"),
            (["--json"], "name fields"),
            ([path], "name fields"),  # it is a file
            ([os.path.join(self.folder, "*.mmstats")], "name fields"),
            (["a,,b", path], "an empty name"),
            (["", path], "an empty name"),
            (["[z-a]", path], "[z-a]"),
            (["-d", "0", "hits"], "-d"),
            (["-d", "x", "hits"], "-d"),
            (["-c", "0", "hits"], "pollstats: --count: \"0\" is not possible, it takes a whole number from 1 to "),
            (["-c", "-1", "hits"], "--count: \"-1\" is not possible"),
            (["-c", "1.5", "hits"], "--count: \"1.5\" is not possible"),
            (["-c", "18446744073709551616", "hits"], "--count: \"18446744073709551616\" is not possible"),
            (["-n", "-1", "hits"], "--headers: \"-1\" is not possible"),
            (["-d", "1e99", "hits"], "pollstats: --delay: \"1e99\" is not possible, it takes a number from 0.01 to 31536000\n"),
            (["-d", "nan", "hits"], "--delay: \"nan\" is not possible"),
            (["-f"], "-f"),
            (["--nosuch"], "--nosuch"),
        ):
            with self.subTest(arguments):
                result = run(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(want, result.stderr)

    def test_help_and_version_are_answers(self):
        for option in ("--help", "--version"):
            result = run(option)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("pollstats", result.stdout)


if __name__ == "__main__":
    unittest.main()
