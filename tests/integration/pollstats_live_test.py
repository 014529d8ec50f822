"""pollstats' live view in a real terminal: a tmux of its own."""

import os
import signal
import subprocess
import unittest

import daemons
import mmstats_writer as writer

POLLSTATS = os.environ["MMSTATS_POLLSTATS"]


class Terminal:
    """A shell in a tmux server that nothing else uses."""

    def __init__(self, workspace, width=80, height=24):
        self._tmux = ["tmux", "-S", os.path.join(workspace, "tmux"), "-f", "/dev/null"]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "HOME": workspace}
        subprocess.run([*self._tmux, "new-session", "-d", "-x", str(width), "-y", str(height), "/bin/sh"], env=environment, check=True)
        # Which sign of readiness a shell has depends on who runs it.
        self.keys("PS1='$ '; clear", "Enter")
        daemons.wait_until(lambda: self.lines() == ["$"], "a shell")

    def tmux(self, *arguments):
        return subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True).stdout

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def lines(self):
        """The screen, without blanks at the ends of lines and empty lines at its end."""
        return [line.rstrip() for line in self.tmux("capture-pane", "-p").rstrip("\n").split("\n")]

    def flag(self, name):
        return self.tmux("display-message", "-p", f"#{{{name}}}").strip()

    def wait_for(self, condition, what):
        """Waits until condition(lines) holds, and returns these."""
        try:
            return daemons.wait_until(lambda: (lines := self.lines()) and condition(lines) and lines, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n" + "\n".join(self.lines())) from None

    def close(self):
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


def row(lines, label):
    """The words of the row with that label."""
    return next((line.split() for line in lines if line.split()[:1] == [label]), [])


class LiveTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.folder = os.path.join(self.workspace, "mm")
        os.mkdir(self.folder)
        self.terminal = Terminal(self.workspace)
        self.addCleanup(self.terminal.close)

    def publish(self, name, *fields, **options):
        file = writer.MmstatsFile(os.path.join(self.folder, f"{name}.mmstats"), fields, **options)
        self.addCleanup(file.close)
        return file

    def start(self, *options):
        """Runs it, and waits until it shows series."""
        self.terminal.keys(f"stty -a >{self.workspace}/before; MMSTATS_PATH={self.folder} {POLLSTATS} -d 0.1 {' '.join(options)}; "
                           f"echo ended with $?; stty -a >{self.workspace}/after", "Enter")
        self.terminal.wait_for(lambda lines: lines[0].startswith("pollstats ") and lines[1].startswith("LABEL"), "the view")
        self.assertEqual(self.terminal.flag("alternate_on"), "1")

    def assert_terminal_is_as_it_was(self, status):
        lines = self.terminal.wait_for(lambda lines: f"ended with {status}" in lines and lines[-1] == "$", "the shell again")
        self.assertEqual(self.terminal.flag("alternate_on"), "0")
        self.assertEqual(self.terminal.flag("cursor_flag"), "1")
        # What was on the screen before is there again, and nothing of the view.
        self.assertTrue(lines[0].startswith("$ stty"), lines)
        self.assertFalse(any("LABEL" in line for line in lines), lines)
        with open(f"{self.workspace}/before", encoding="utf-8") as before, open(f"{self.workspace}/after", encoding="utf-8") as after:
            self.assertEqual(before.read(), after.read())

    def process(self):
        """The pid of the view."""
        shell = self.terminal.flag("pane_pid")
        children = f"/proc/{shell}/task/{shell}/children"

        def child():
            with open(children, encoding="utf-8") as file:
                return file.read().split()

        return int(daemons.wait_until(child, "the view's process")[0])

    def some_series(self):
        return self.publish("a", writer.counter("web.requests", 1000), writer.counter("web.errors", 3),
                            writer.gauge("db.pool", 8, "i"), writer.counter("db.queries", 500))

    def test_it_shows_series_that_move_and_leaves_no_trace(self):
        file = self.some_series()
        self.start()
        lines = self.terminal.wait_for(lambda lines: row(lines, "web.requests")[1:2] == ["1,000"], "a value")
        self.assertEqual([line.split()[0] for line in lines[2:6]], ["db.pool", "db.queries", "web.errors", "web.requests"])
        self.assertIn("q Quit", lines[-1])
        file.incr("web.requests", 234)
        self.terminal.wait_for(lambda lines: row(lines, "web.requests")[1:2] == ["1,234"], "the new value")
        self.terminal.keys("q")
        self.assert_terminal_is_as_it_was(0)

    def test_keys_sort_filter_and_scroll(self):
        self.some_series()
        self.start()
        self.terminal.keys("v")
        self.terminal.wait_for(lambda lines: [line.split()[0] for line in lines[2:6]]
                               == ["web.requests", "db.queries", "db.pool", "web.errors"], "sorted by value")
        self.terminal.keys("/")
        self.terminal.keys("db")
        self.terminal.wait_for(lambda lines: lines[-1].startswith("Filter: db") and not row(lines, "web.errors")
                               and row(lines, "db.pool"), "what passes the filter alone")
        self.terminal.keys("Escape")
        self.terminal.wait_for(lambda lines: row(lines, "web.errors"), "all again")
        self.publish("many", *(writer.counter(f"many.s{number:03}") for number in range(300)))
        self.terminal.keys("n")
        self.terminal.wait_for(lambda lines: row(lines, "many.s000"), "the new series")
        self.terminal.keys("End")
        self.terminal.wait_for(lambda lines: row(lines, "web.requests") and not row(lines, "db.pool"), "the end of the list")
        self.terminal.keys("Home")
        self.terminal.wait_for(lambda lines: row(lines, "db.pool") and not row(lines, "web.requests"), "its beginning")

    def test_a_pause_holds_what_is_shown(self):
        file = self.some_series()
        self.start()
        self.terminal.keys("Space")
        self.terminal.wait_for(lambda lines: "PAUSED" in lines[0], "a pause")
        file.incr("db.queries", 77)
        self.terminal.keys("j")  # drawn anew, and of the old look
        self.terminal.wait_for(lambda lines: lines[-2].startswith("db.queries"), "the next row")
        self.assertEqual(row(self.terminal.lines(), "db.queries")[1], "500")
        self.terminal.keys("Space")
        self.terminal.wait_for(lambda lines: row(lines, "db.queries")[1:2] == ["577"], "the new value")

    def test_a_chosen_process_counts_alone(self):
        self.publish("web-1-1", writer.counter("hits", 1))
        self.publish("job", writer.counter("hits", 10), pid=os.getppid())
        self.start()
        self.terminal.wait_for(lambda lines: row(lines, "hits")[1:2] == ["11"], "the sum")
        self.terminal.keys("p")
        lines = self.terminal.wait_for(lambda lines: "2 processes" in lines[0], "the processes")
        wanted = next(number for number, line in enumerate(lines[2:]) if f" {os.getppid()} " in line)
        self.terminal.keys(*["Down"] * wanted, "Enter")
        self.terminal.wait_for(lambda lines: row(lines, "hits")[1:2] == ["10"], "the chosen one's value")
        self.terminal.keys("p")
        self.terminal.wait_for(lambda lines: "2 processes" in lines[0], "the processes")
        self.terminal.keys("a", "Enter")
        self.terminal.wait_for(lambda lines: row(lines, "hits")[1:2] == ["11"], "the sum again")

    def test_the_screen_may_have_any_size(self):
        self.some_series()
        self.start()
        for width, height, row_of in ((200, 50, "db.pool"), (40, 10, "db.pool"), (20, 5, "db.pool"), (3, 2, None), (80, 24, "db.pool")):
            self.terminal.tmux("resize-window", "-x", str(width), "-y", str(height))
            self.terminal.wait_for(lambda lines: len(lines) <= height and max(map(len, lines)) <= width
                                   and (row_of is None or row(lines, row_of)), f"{width}x{height}")
        self.terminal.wait_for(lambda lines: row(lines, "web.requests")[1:2] == ["1,000"] and "q Quit" in lines[-1], "all of it")
        self.terminal.keys("q")
        self.assert_terminal_is_as_it_was(0)

    def test_no_label_commands_the_terminal(self):
        self.publish("evil", writer.counter(b"\x1b[2J\x1b]0;owned\x07label", 5), writer.counter(b"a\nb", 6), writer.counter(b"\xff\xfe", 7))
        self.start()
        lines = self.terminal.wait_for(lambda lines: any("label" in line for line in lines), "the label")
        self.assertIn("\\x1B[2J\\x1B]0;owned\\x07label", "\n".join(lines))
        self.assertIn("a\\x0Ab", "\n".join(lines))
        self.assertNotEqual(self.terminal.flag("pane_title"), "owned")

    def test_it_can_be_stopped_and_goes_on(self):
        self.some_series()
        self.start()
        self.terminal.keys("C-z")
        self.terminal.wait_for(lambda lines: lines[0].startswith("$ stty") and not any("LABEL" in line for line in lines), "the shell")
        self.assertEqual(self.terminal.flag("alternate_on"), "0")
        self.terminal.keys("fg", "Enter")
        self.terminal.wait_for(lambda lines: row(lines, "web.requests"), "the view again")
        self.terminal.keys("q")
        self.terminal.wait_for(lambda lines: lines[-1] == "$" and not any("LABEL" in line for line in lines), "the shell again")

    def test_every_end_gives_the_terminal_back(self):
        self.some_series()
        for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131),
                               (signal.SIGSEGV, 139), (signal.SIGABRT, 134)):
            with self.subTest(number.name):
                self.terminal.keys("ulimit -c 0; clear", "Enter")
                self.terminal.wait_for(lambda lines: lines == ["$"], "a clear screen")
                self.start()
                os.kill(self.process(), number)
                self.assert_terminal_is_as_it_was(status)
        for key in ("C-c", "C-d", "q"):
            with self.subTest(key):
                self.terminal.keys("clear", "Enter")
                self.terminal.wait_for(lambda lines: lines == ["$"], "a clear screen")
                self.start()
                self.terminal.keys(key)
                self.assert_terminal_is_as_it_was(0)


if __name__ == "__main__":
    unittest.main()
