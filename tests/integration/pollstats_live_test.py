"""pollstats' full screen in a real terminal: tmux, with a server of its own."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import unittest

import daemons
import mmstats_writer as writer

POLLSTATS = os.environ["MMSTATS_POLLSTATS"]
HERE = os.path.dirname(os.path.abspath(__file__))
HELP = "q Quit  ? Help  / Filter  n v r c Sort  Enter By process  p Processes"
AGE = r"(\d+m )?\d+s"
HOSTILE = b"evil\x1b[2J\x1b]2;hacked\x07\xc2\x9b\xe2\x80\xae"


class Terminal:
    """A shell in a tmux that nobody else uses. Its socket is in `folder`."""

    def __init__(self, folder, width=80, height=24, locale="C.UTF-8", **environment):
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "TMUX_TMPDIR": folder,
            "LC_ALL": "C.UTF-8",
            "HOME": folder,
            "SHELL": "/bin/sh",
        }
        settings = [f"{name}={value}" for name, value in {"LC_ALL": locale, "PS1": "% ", **environment}.items()]
        shell = shlex.join(["exec", "env", *settings, "bash", "--norc", "--noprofile"])
        self.tmux("-f", "/dev/null", "-u", "new-session", "-d", "-s", "t", "-x", str(width), "-y", str(height), shell)
        daemons.wait_until(lambda: self.text().startswith("%"), "the shell is ready")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            print(f"---- the screen ----\n{self.text()}\n----", file=sys.stderr)
        session, server = self.ask("pane_pid"), int(self.ask("pid"))
        self.tmux("kill-server")

        def empty():
            # Those that run; a zombie waits for init.
            command = ["pgrep", "--runstates", "D,R,S,T", "-s", session]
            return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 1

        daemons.wait_until(empty, "the shell and its children are gone")
        # Until it is gone, it would be asked for the next terminal, too, and end under that.
        daemons.wait_until(lambda: not alive(server), "tmux is gone")

    def tmux(self, *arguments):
        return subprocess.run(
            ["tmux", "-L", "test", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=daemons.PATIENCE,
            check=True,
            text=True,
        ).stdout

    def ask(self, what):
        return self.tmux("display-message", "-p", "-t", "t", f"#{{{what}}}").rstrip("\n")

    def text(self):
        return self.tmux("capture-pane", "-p", "-t", "t").rstrip("\n")

    def lines(self):
        return self.text().split("\n")

    def all_lines(self):
        """With the empty ones at the end."""
        return self.tmux("capture-pane", "-p", "-t", "t").split("\n")[:-1]

    def keys(self, *names):
        self.tmux("send-keys", "-t", "t", *names)

    def type(self, text):
        self.tmux("send-keys", "-l", "-t", "t", text)

    def run(self, command):
        self.type(command)
        self.keys("Enter")

    def resize(self, width, height):
        self.tmux("resize-window", "-t", "t", "-x", str(width), "-y", str(height))

    def wait(self, condition, what):
        """Waits until condition(lines) gives something true, and returns that. A screen that is half drawn may have fewer
        lines and words than the condition looks at."""

        def holds():
            with contextlib.suppress(LookupError):
                return condition(self.lines())
            return None

        try:
            return daemons.wait_until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def wait_for(self, pattern):
        return self.wait(lambda lines: re.search(pattern, "\n".join(lines), re.M), pattern)


def alive(pid):
    """Not even a zombie that nobody waits for."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class LiveTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.glob = os.path.join(self.folder, "*.mmstats")

    def publish(self, name, *fields, **options):
        file = writer.MmstatsFile(os.path.join(self.folder, name + ".mmstats"), fields, **options)
        self.addCleanup(file.close)
        return file

    def web(self):
        return self.publish(
            "a",
            writer.counter("web.requests", 1000),
            writer.counter("web.errors", 5),
            writer.gauge("web.threads", 7, "i"),
            writer.counter("db.queries", 20),
            writer.Field(HOSTILE, "Q", True, 1),
        )

    def terminal(self, *arguments, **options):
        """With pollstats running in it."""
        terminal = Terminal(self.folder, **options)
        try:
            self.chdir(terminal)
            self.start(terminal, *arguments)
        except BaseException:
            terminal.__exit__(True)
            raise
        return terminal

    def start(self, terminal, *arguments, job=False):
        """As a job of the shell, or below another one, which does not mend the terminal's modes behind it."""
        terminal.run("stty -a > before")
        command = shlex.join([POLLSTATS, "-d", "0.1", "--live", *arguments, self.glob])
        script = f"{command}; echo status=$?; stty -a > after"
        terminal.run(command if job else f"sh -c {shlex.quote(script)}")
        terminal.wait_for(r"\d\d:\d\d:\d\d$")

    def labels(self, lines):
        """First words of the rows."""
        start = next((at for at, line in enumerate(lines) if line.startswith("LABEL")), len(lines)) + 1
        rows = []
        for line in lines[start:]:
            if not line:
                break
            rows.append(line.split()[0])
        return rows

    def wait_for_labels(self, terminal, want):
        terminal.wait(lambda lines: self.labels(lines) == want, f"the rows are {want}")

    def pollstats_pid(self, terminal):
        """Of the one that runs in the terminal."""
        command = ["pgrep", "-x", "-s", terminal.ask("pane_pid"), os.path.basename(POLLSTATS)]
        return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    def check_restored(self, terminal, status):
        terminal.wait_for(rf"^status={status}$")
        daemons.wait_until(lambda: os.path.exists(os.path.join(self.folder, "after")), "the shell is back")
        terminal.wait(lambda lines: lines[-1] == "%", "the prompt")
        with open(os.path.join(self.folder, "before")) as before, open(os.path.join(self.folder, "after")) as after:
            self.assertEqual(after.read(), before.read())
        self.assertEqual(terminal.ask("alternate_on"), "0")
        self.assertEqual(terminal.ask("cursor_flag"), "1")
        self.assertEqual(terminal.ask("keypad_flag"), "0")
        # What was on the screen before is there again.
        self.assertIn("stty -a > before", terminal.lines()[1])
        # And what is typed goes to the shell, and is shown.
        terminal.run("echo a''live")
        terminal.wait_for("^alive$")
        os.unlink(os.path.join(self.folder, "after"))

    def chdir(self, terminal):
        # What is typed ahead of a prompt is shown anywhere: so wait for a line that nobody typed.
        terminal.run(f"cd {self.folder}; ulimit -c 0; clear; echo ho''me")
        terminal.wait(lambda lines: lines == ["home", "%"], "an empty screen")

    def test_a_key_groups_families_by_their_dimensions(self):
        combinations = {("GET", "200"): 5, ("GET", "404"): 2, ("PUT", "404"): 1}
        self.publish("a", *writer.family("web.hits", ["method", "status"], combinations), writer.counter("plain", 1))
        every = ["plain", "web.hits.GET.200", "web.hits.GET.404", "web.hits.PUT.404"]
        with self.terminal() as terminal:
            self.wait_for_labels(terminal, every)
            terminal.wait_for(r"  b Group$")
            for title, want in (("by method", ["plain", "web.hits.GET", "web.hits.PUT"]),
                                ("by status", ["plain", "web.hits.200", "web.hits.404"]),
                                ("all together", ["plain", "web.hits"])):
                terminal.keys("b")
                self.wait_for_labels(terminal, want)
                self.assertIn(f"  {title}  ", terminal.lines()[0])
            terminal.keys("b")
            self.wait_for_labels(terminal, every)
            terminal.keys("End")
            terminal.wait_for(r'^web\.hits\{method="PUT",status="404"\}  counter$')
            terminal.keys("q")
            self.check_restored(terminal, 0)
        with self.terminal("--by", "status", "--where", "method=G*") as terminal:
            self.wait_for_labels(terminal, ["web.hits.200", "web.hits.404"])
            terminal.wait_for(r"^web\.hits\.404 +2 ")
            terminal.keys("q")

    def test_series_are_shown_with_what_they_do_and_the_keys(self):
        web = self.web()
        with Terminal(self.folder) as terminal:
            self.chdir(terminal)
            self.start(terminal)
            lines = terminal.wait(lambda lines: lines[-1] == HELP and lines, "the keys")
            self.assertRegex(lines[0], r"^pollstats  5 series  1 file  every 0.1 s +\d\d:\d\d:\d\d$")
            self.assertRegex(lines[1], r"^LABEL▲ +VALUE +RATE/s HISTORY")
            self.assertEqual(len(lines), 24)
            terminal.wait_for(r"^web\.requests +1,000 +0 ▁")
            web.incr("web.requests", 234)
            terminal.wait_for(r"^web\.requests +1,234 ")
            terminal.wait_for(r"^web\.requests +.*█")
            # A label commands nothing.
            terminal.wait_for(r"^evil\\x1B\[2J\\x1….*\\x07\\xC2\\x9B\\xE2\\x80\\xAE ")
            self.assertNotIn("hacked", terminal.ask("pane_title"))
            # A new worker's series appear by themselves.
            self.publish("b", writer.counter("web.late", 3))
            terminal.wait_for(r"^web\.late +3 ")

    def test_rows_are_sorted_and_filtered(self):
        web = self.web()
        with self.terminal() as terminal:
            rows = terminal.wait(lambda lines: len(rows := self.labels(lines)) == 5 and rows, "all rows")
            self.assertEqual([rows[0], *rows[2:]], ["db.queries", "web.errors", "web.requests", "web.threads"])
            terminal.keys("v")
            terminal.wait(lambda lines: self.labels(lines)[0] == "web.requests", "sorted by value")
            terminal.wait_for("VALUE▼")
            terminal.keys("v")
            terminal.wait(lambda lines: self.labels(lines)[-1] == "web.requests", "sorted backwards")
            terminal.keys("n")
            terminal.type("/WEB. r")
            self.wait_for_labels(terminal, ["web.errors", "web.requests", "web.threads"])
            terminal.wait_for("^Filter: WEB. r")
            self.assertEqual(terminal.ask("cursor_flag"), "1")
            terminal.keys("BSpace", "e", "Enter")
            self.wait_for_labels(terminal, ["web.errors", "web.requests", "web.threads"])
            terminal.wait_for("/WEB. e  3 series")
            self.assertEqual(terminal.ask("cursor_flag"), "0")
            terminal.keys("Escape")
            terminal.wait(lambda lines: len(self.labels(lines)) == 5, "all rows again")
            # By rate: what counts now comes first.
            terminal.keys("r")
            def counts_first(lines):
                web.incr("web.errors", 10)
                return self.labels(lines)[0] == "web.errors"
            terminal.wait(counts_first, "sorted by rate")

    def test_processes_can_be_chosen(self):
        self.publish("mine-%d" % os.getpid(), writer.counter("hits", 100))
        other = subprocess.Popen(
            [sys.executable, "-B", "-c", (
                "import os, sys, mmstats_writer as w\n"
                f"w.MmstatsFile(os.path.join({self.folder!r}, f'other-{{os.getpid()}}.mmstats'),"
                " [w.counter('hits', 5)])\n"
                "sys.stdin.read()")],
            stdin=subprocess.PIPE, cwd=HERE,
        )
        self.addCleanup(other.wait)
        self.addCleanup(other.stdin.close)
        with self.terminal() as terminal:
            terminal.wait_for(r"^hits +105 ")
            terminal.keys("p")
            terminal.wait_for(rf"^\[ \] +{os.getpid()} alive +{AGE} +1 mine$")
            terminal.wait_for(rf"^\[ \] +{other.pid} alive +{AGE} +1 other$")
            terminal.keys("Down", "Space")
            terminal.wait_for(rf"^\[x\] +{other.pid} ")
            terminal.keys("Enter")
            terminal.wait_for(r"^hits +5 ")
            terminal.wait_for("1 process  1 series  1 file ")
            terminal.keys("p")
            terminal.wait_for(rf"^\[x\] +{other.pid} ")
            terminal.keys("a")
            terminal.wait_for(r"^hits +105 ")
            other.stdin.close()
            other.wait()
            terminal.keys("p")
            terminal.wait_for(rf"^\[ \] +{other.pid} dead ")

    def test_help_is_shown_over_the_screen_and_any_key_closes_it(self):
        self.web()
        with self.terminal() as terminal:
            for asks in ("?", "h", "F1"):
                terminal.wait(lambda lines: lines[-1] == HELP, "the keys")
                terminal.keys(asks)
                terminal.wait_for("^Any key closes the help$")
                lines = terminal.lines()
                self.assertEqual((len(lines), lines[0]), (24, "pollstats  Help"))
                self.assertTrue(all(lines), "all lines are used")
                terminal.keys("q")
            terminal.wait_for("^LABEL")
            terminal.keys("/", "?")
            terminal.wait_for(r"^Filter: \?")

    def test_the_processes_of_a_series_are_shown(self):
        mine = self.publish("mine-%d" % os.getpid(), writer.counter("hits", 100), writer.gauge("level", 1.0))
        other = subprocess.Popen(
            [sys.executable, "-B", "-c", (
                "import os, sys, mmstats_writer as w\n"
                f"file = w.MmstatsFile(os.path.join({self.folder!r}, f'other-{{os.getpid()}}.mmstats'),"
                " [w.counter('hits', 5)])\n"
                "for line in sys.stdin: file.incr('hits', int(line))")],
            stdin=subprocess.PIPE, cwd=HERE, text=True,
        )
        self.addCleanup(other.wait)
        self.addCleanup(other.stdin.close)
        with self.terminal() as terminal:
            terminal.wait_for(r"^hits +105 ")
            terminal.keys("Enter")
            terminal.wait_for(r"^pollstats  hits  2 processes ")
            terminal.wait_for(rf"^\[ \] +{os.getpid()} alive +{AGE} mine +100 +0 ▁")
            terminal.wait_for(rf"^\[ \] +{other.pid} alive +{AGE} other +5 +0 ▁")

            def worst(pid, count):
                def is_first(lines):
                    count()
                    return lines[2].split()[2] == str(pid)
                terminal.wait(is_first, f"{pid} is the worst")

            def others():
                other.stdin.write("1000\n")
                other.stdin.flush()

            worst(other.pid, others)
            worst(os.getpid(), lambda: mine.incr("hits", 10**6))
            # Only it has the other one.
            terminal.keys("Escape", "Down")
            terminal.wait_for("^level  gauge$")
            terminal.keys("Enter")
            terminal.wait_for(r"^pollstats  level  1 process ")
            terminal.keys("Escape", "Up", "Enter")
            terminal.wait_for(r"^pollstats  hits  2 processes ")
            # The choice of whose files count is made here, too.
            terminal.keys("Home")
            wanted = terminal.wait(lambda lines: lines[2].split()[2], "the first row")
            terminal.keys("n")
            terminal.wait_for("COMMAND▲")
            terminal.keys("End", "Enter")
            terminal.wait_for(r"^pollstats  1 process  1 series  1 file ")
            terminal.keys("p", "a")
            terminal.wait_for(r"^pollstats  2 series  2 files ")
            # One that ends is shown as dead, with what it counted.
            terminal.keys("Enter")
            terminal.wait_for(r"^pollstats  hits  2 processes ")
            other.stdin.close()
            other.wait()
            terminal.wait_for(rf"^\[ \] +{other.pid} dead ")
            self.assertTrue(wanted)

    def test_a_mouse_sorts_selects_and_scrolls(self):
        for number in range(100):
            self.publish(f"w{number}", writer.counter(f"s{number:02}", number))

        def press(button, line, cell):
            """As a terminal tells it: the button, and where, from 1; then that it is up again."""
            def code(button):
                return f"\x1b[M{chr(32 + button)}{chr(32 + cell)}{chr(32 + line)}"
            terminal.type(code(button) + (code(3) if button < 64 else ""))

        with self.terminal() as terminal:
            terminal.wait_for("^pollstats  100 series")
            self.assertEqual(terminal.ask("mouse_any_flag"), "1")
            press(0, 6, 3)
            terminal.wait(lambda lines: lines[-2].startswith("s03 "), "the row is selected")
            value = terminal.lines()[1].index("VALUE") + 1
            press(0, 2, value)
            terminal.wait_for("VALUE▼")
            terminal.wait(lambda lines: lines[2].startswith("s99 "), "the highest first")
            press(0, 2, 1)
            terminal.wait_for("^LABEL▲")
            press(65, 10, 10)
            terminal.wait(lambda lines: lines[2].startswith("s03 ") and lines[-2].startswith("s03 "), "three rows down")
            press(64, 10, 10)
            terminal.wait(lambda lines: lines[2].startswith("s00 "), "and up again")
            terminal.keys("m")
            terminal.wait(lambda lines: terminal.ask("mouse_any_flag") == "0", "the mouse is the terminal's")
            terminal.keys("m")
            terminal.wait(lambda lines: terminal.ask("mouse_any_flag") == "1", "the mouse is ours")
            for leave, status in (("q", 0), (lambda: os.kill(self.pollstats_pid(terminal), signal.SIGSEGV), 139)):
                terminal.keys(leave) if isinstance(leave, str) else leave()
                self.check_restored(terminal, status)
                self.assertEqual(terminal.ask("mouse_any_flag"), "0")
                self.chdir(terminal)
                self.start(terminal)
        # One that knows of no mouse is not asked for it.
        with self.terminal(TERM="vt100") as terminal:
            terminal.wait_for("^pollstats  100 series")
            self.assertEqual(terminal.ask("mouse_any_flag"), "0")
            terminal.keys("v")
            terminal.wait(lambda lines: lines[2].startswith("s99 "), "keys work")

    def test_it_fits_every_size_and_follows_changes(self):
        for number in range(300):
            self.publish(f"w{number}", writer.counter(f"series.{number}.of.many.日本.requests", number))
        with self.terminal() as terminal:
            terminal.wait_for("300 series  300 files")
            for width, height in ((20, 5), (200, 50), (5, 2), (300, 20), (80, 24)):
                terminal.resize(width, height)
                def fits(_):
                    # Where there is no room for a key, the last line is empty.
                    lines = terminal.all_lines()
                    if len(lines) != height or ("Quit" in lines[-1]) != (width >= 20):
                        return False
                    rows = [line for line in lines if line.startswith("s")]
                    # Names are shortened, and not cut, as the terminal does that before it is drawn anew.
                    if width <= 20:
                        return rows and "…" in rows[0]
                    return rows and (width < 200 or "series.1.of.many.日本.requests " in lines[3])
                terminal.wait(fits, f"{width} by {height}")
            terminal.keys("End")
            terminal.wait(lambda lines: lines[-3].startswith("series.299."), "the last row")
            terminal.keys("Home", "NPage", "j")
            terminal.wait(lambda lines: lines[2].startswith("series.20."), "the second page")
            terminal.wait(lambda lines: lines[-2].startswith("series.21."), "the row under the cursor")

    def test_it_can_be_paused(self):
        web = self.web()
        with self.terminal() as terminal:
            terminal.wait_for(r"^web\.requests +1,000 +0")
            terminal.keys("Space")
            terminal.wait_for("PAUSED$")
            web.incr("web.requests", 1)
            terminal.keys("v", "n", "+")  # what is shown can still be looked at
            terminal.wait_for("every 0.2 s")
            # Another one, with the same files and half the delay, sees five scans with the new value.
            subprocess.run([POLLSTATS, "-c", "5", "-d", "0.1", "web.requests", self.glob], stdout=subprocess.DEVNULL,
                           timeout=daemons.PATIENCE, check=True)
            terminal.keys("n")
            terminal.wait_for("^LABEL▼")
            self.assertRegex(terminal.text(), r"(?m)^web\.requests +1,000 ")
            terminal.keys("n", "Space")
            terminal.wait_for(r"^web\.requests +1,001 ")

    def test_every_way_out_leaves_the_terminal_as_it_was(self):
        self.web()
        with Terminal(self.folder) as terminal:
            for name, leave, status in (
                ("q", lambda: terminal.keys("q"), 0),
                ("Ctrl-C", lambda: terminal.keys("C-c"), 0),
                ("Ctrl-D", lambda: terminal.keys("C-d"), 0),
                ("Ctrl-C while typing", lambda: terminal.keys("/", "a", "C-c"), 0),
                ("SIGINT", lambda: os.kill(self.pollstats_pid(terminal), signal.SIGINT), 0),
                ("SIGTERM", lambda: os.kill(self.pollstats_pid(terminal), signal.SIGTERM), 128 + signal.SIGTERM),
                ("SIGHUP", lambda: os.kill(self.pollstats_pid(terminal), signal.SIGHUP), 128 + signal.SIGHUP),
                ("SIGQUIT", lambda: os.kill(self.pollstats_pid(terminal), signal.SIGQUIT), 128 + signal.SIGQUIT),
                ("a crash", lambda: os.kill(self.pollstats_pid(terminal), signal.SIGSEGV), 128 + signal.SIGSEGV),
                ("an abort", lambda: os.kill(self.pollstats_pid(terminal), signal.SIGABRT), 128 + signal.SIGABRT),
            ):
                with self.subTest(name):
                    self.chdir(terminal)
                    self.start(terminal)
                    self.assertEqual(terminal.ask("alternate_on"), "1")
                    leave()
                    self.check_restored(terminal, int(status))

    def test_it_ends_after_as_many_looks_as_it_is_told(self):
        self.web()
        with Terminal(self.folder) as terminal:
            self.chdir(terminal)
            terminal.run("stty -a > before")
            terminal.run(f"{POLLSTATS} -c 3 -d 0.1 --live; echo \"status=$?\"; stty -a > after")
            self.check_restored(terminal, 0)

    def test_it_can_be_stopped_and_continued(self):
        web = self.web()
        with Terminal(self.folder) as terminal:
            self.chdir(terminal)
            self.start(terminal, job=True)
            for stop in (
                lambda: terminal.keys("C-z"),
                lambda: os.kill(self.pollstats_pid(terminal), signal.SIGTSTP),
            ):
                stop()
                terminal.wait_for("Stopped")
                self.assertEqual(terminal.ask("alternate_on"), "0")
                self.assertEqual(terminal.ask("cursor_flag"), "1")
                terminal.run("stty -a > after; cmp before after && echo sa''me")
                terminal.wait_for("^same$")
                web.incr("web.requests", 1)
                terminal.run("clear; fg")
                terminal.wait_for(rf"^web\.requests +{web.get('web.requests'):,} ")
                self.assertEqual(terminal.ask("alternate_on"), "1")
            terminal.keys("q")
            terminal.wait(lambda lines: lines[-1] == "%", "the prompt")

    def test_a_terminal_without_unicode_gets_ascii(self):
        web = self.publish("a", writer.counter("web.日本.hits", 1))
        with self.terminal(locale="C") as terminal:
            def curve(lines):
                web.incr("web.日本.hits", 100)
                return any(re.match(r"web\.\?\?\.hits .*#", line) for line in lines)
            terminal.wait(curve, "a curve of ASCII")
            self.assertTrue(terminal.text().isascii())

    def test_no_color_has_none(self):
        self.web()
        for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            with self.subTest(environment), self.terminal(**environment) as terminal:
                terminal.wait_for(r"^web\.requests")
                escapes = terminal.tmux("capture-pane", "-p", "-e", "-t", "t")
                self.assertEqual(bool(re.search(r"\033\[(\d+;)*3[1-7]", escapes)), coloured)

    def test_keys_come_from_the_terminal_whatever_standard_input_is(self):
        self.web()
        with Terminal(self.folder) as terminal:
            self.chdir(terminal)
            terminal.run("stty -a > before")
            terminal.run(f"{POLLSTATS} --live </dev/null; echo \"status=$?\"; stty -a > after")
            terminal.wait_for(r"\d\d:\d\d:\d\d$")
            terminal.keys("q")
            self.check_restored(terminal, 0)

    def test_a_terminal_of_an_unknown_type_is_told(self):
        with Terminal(self.folder) as terminal:
            terminal.run(f"TERM=no-such {POLLSTATS}; echo \"status=$?\"")
            terminal.wait_for('"no-such" is not known here; set TERM')
            terminal.wait_for("^status=1$")

    def test_it_ends_with_its_terminal(self):
        self.web()
        with self.terminal() as terminal:
            pid = self.pollstats_pid(terminal)
        daemons.wait_until(lambda: not alive(pid), "it ended")

    def test_while_it_is_paused_it_does_nothing(self):
        self.web()
        with self.terminal() as terminal:
            terminal.keys("Space")
            terminal.wait_for("PAUSED$")
            pid = self.pollstats_pid(terminal)

            def switches():
                with open(f"/proc/{pid}/status") as status:
                    return [line for line in status if "ctxt_switches" in line]

            # Ten of its delays without waking up.
            seen = [switches()]
            def still():
                seen.append(switches())
                return len(seen) > 50 and len(set(map(tuple, seen[-50:]))) == 1
            daemons.wait_until(still, "it sleeps")


if __name__ == "__main__":
    unittest.main()
