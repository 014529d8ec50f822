"""cleanstats as people and scripts meet it: what it removes and what it keeps, its lines, its exit status."""

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import time
import unittest

import daemons
import mmstats_writer as writer
import own_pids

NOBODY = 65534
# What packaging/systemd/mmstats-clean.service leaves root.
SERVICE_CAPABILITIES = ("lease", "fowner", "dac_read_search")


def dead_pid():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def may_trace():
    """Whether strace can stop a program here; some containers forbid it."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class CleanstatsTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.folder = os.path.join(self.workspace, "run")
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o1777)
        # Where other users can run it, too.
        self.program = shutil.copy(os.environ["MMSTATS_CLEANSTATS"], self.workspace)

    def publish(self, name, **options):
        """A file that nobody maps; returns its path."""
        path = os.path.join(self.folder, f"{name}.mmstats")
        writer.MmstatsFile(path, [writer.counter("requests", 42)], prefix="app.", **options).close()
        return path

    def run_it(self, *arguments, status=0, wrapper=(), **environment):
        """The lines that it prints, with an empty environment but for `environment`."""
        result = subprocess.run([*wrapper, self.program, *arguments], env={"PATH": "/usr/bin:/bin", **environment},
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                timeout=daemons.PATIENCE)
        self.assertEqual((result.returncode, result.stderr), (status, ""), result.stdout)
        return result.stdout.splitlines()

    def run_json(self, *arguments, **options):
        """What it tells as JSON: path -> object."""
        return {entry["file"]: entry for entry in json.loads("\n".join(self.run_it("--json", *arguments, **options)))}

    def names(self):
        return sorted(os.listdir(self.folder))

    def test_the_lines_are_the_originals(self):
        pid = dead_pid()
        dead = self.publish("dead", pid=pid)
        alive = [self.publish(f"alive{number}") for number in range(2)]
        nameless = self.publish("nameless", with_sys=False)
        invalid = os.path.join(self.folder, "invalid.mmstats")
        pathlib.Path(invalid).write_text("hello")
        folder = os.path.join(self.folder, "folder.mmstats")
        os.mkdir(folder)
        self.assertEqual(
            self.run_it(folder, invalid, alive[0], nameless, dead, alive[1]),
            [
                f"Invalid file: {invalid}",
                f"File has no sys.pid entry: {nameless}",
                f"PID {pid} not found. Deleting {dead}",
                "Removed 1  -  2 alive",
            ],
        )
        self.assertEqual(self.names(), ["alive0.mmstats", "alive1.mmstats", "folder.mmstats", "invalid.mmstats", "nameless.mmstats"])

    def test_a_folder_and_a_pattern_stand_for_the_files_in_it(self):
        pid = dead_pid()
        for argument in (self.folder, self.folder + "/", os.path.join(self.folder, "*.mmstats")):
            dead = self.publish("dead", pid=pid)
            self.assertEqual(self.run_it("-n", argument), [f"PID {pid} not found. Would delete {dead}", "Would remove 1  -  0 alive"])
            self.assertEqual(self.run_it(argument), [f"PID {pid} not found. Deleting {dead}", "Removed 1  -  0 alive"])
        result = subprocess.run([self.program, "-n", self.folder], capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, f"cleanstats: no mmstats files match {self.folder}/*.mmstats\n"))

    def test_without_arguments_it_cleans_where_readers_look(self):
        pid = dead_pid()
        paths = [self.publish(name, pid=pid) for name in ("b", "a")]
        other = self.publish("other", pid=pid)
        os.rename(other, os.path.join(self.folder, "other.txt"))
        glob = os.path.join(self.folder, "*.mmstats")
        self.assertEqual(
            self.run_it(MMSTATS_GLOB=glob),
            [f"PID {pid} not found. Deleting {path}" for path in sorted(paths)] + ["Removed 2  -  0 alive"],
        )
        self.assertEqual(self.names(), ["other.txt"])
        result = subprocess.run([self.program], env={"MMSTATS_PATH": self.folder}, capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, "Removed 0  -  0 alive\n"))
        self.assertEqual(result.stderr, f"cleanstats: no mmstats files match {glob}\n")

    def test_what_a_killed_writer_was_making_is_removed_and_nothing_like_it(self):
        pid = dead_pid()
        hour = 3600

        def put(name, content=b"\x01", age=hour):
            path = pathlib.Path(self.folder, name)
            path.write_bytes(content)
            os.utime(path, (time.time() - age,) * 2)
            return str(path)

        alive = self.publish("alive")
        begun = put(f".web-7.mmstats.{pid}-123456789", b"\x01" + bytes(100))
        empty = put(f".web-8.mmstats.{pid}-5", b"")
        kept = [put(f".young.mmstats.{pid}-1", age=5), put(f".alive.mmstats.{os.getpid()}-1", age=0),
                put(f".web.mmstats.{pid}-", age=hour), put(f".web.mmstats.-{pid}"), put(f".web.mmstats.{pid}-1x"),
                put(f"web.mmstats.{pid}-1"), put(f".web.log.{pid}-1"), put(f".letter.mmstats.{pid}-1", b"Dear"),
                put(".web.mmstats.0-1"), put(".web.mmstats.99999999999999999999-1")]
        written = put(f".written.mmstats.{pid}-1")
        # A process that began after the file was changed is another one.
        recycled = put(f".recycled.mmstats.{os.getpid()}-1", age=30 * 24 * hour)
        with open(written, "r+b"):
            told = self.run_json("--dry-run", MMSTATS_PATH=self.folder, status=0)
            self.assertEqual({path: entry["action"] for path, entry in told.items() if path != recycled},
                             {alive: "kept", begun: "would_remove", empty: "would_remove", written: "kept"})
            lines = self.run_it(MMSTATS_PATH=self.folder)
        self.assertIn(f"PID {pid} not found. Deleting {begun}", lines)
        self.assertEqual(self.names(), sorted(os.path.basename(path) for path in [alive, *kept, written]))

    def test_a_recycled_pid_is_not_taken_for_the_old_process(self):
        old = self.publish("old", created=time.time() - 3600 * 24 * 365 * 30)
        new = self.publish("new")
        self.assertEqual(self.run_it(old, new), [f"PID {os.getpid()} is another process now. Deleting {old}",
                                                 "Removed 1  -  1 alive"])
        self.assertEqual(self.names(), ["new.mmstats"])

    def test_a_zombie_is_dead(self):
        child = subprocess.Popen(["true"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        path = self.publish("zombie", pid=child.pid, created=time.time() + 1)
        self.assertEqual(self.run_it(path), [f"PID {child.pid} has ended. Deleting {path}", "Removed 1  -  0 alive"])
        child.wait()

    def test_a_file_that_a_process_still_writes_is_kept_whatever_its_pid_says(self):
        pid = dead_pid()
        path = os.path.join(self.folder, "mapped.mmstats")
        mapped = writer.MmstatsFile(path, [writer.counter("requests")], pid=pid)
        for arguments in ([], ["--dry-run"]):
            self.assertEqual(self.run_it(*arguments, path)[0],
                             f"PID {pid} not found, but {path} is still mapped by some process, skipping.")
        mapped.incr("requests")
        mapped.close()
        self.assertEqual(self.run_it(path)[-1], "Removed 1  -  0 alive")

    def test_who_cannot_be_known_is_kept_and_listed(self):
        """A process that is there, and a file that does not say when it was made."""
        path = os.path.join(self.folder, "undated.mmstats")
        writer.MmstatsFile(path, [writer.Field("sys.pid", "I", False, os.getpid())], with_sys=False).close()
        impossible = self.publish("impossible", pid=2**32 - 1)
        self.assertEqual(
            self.run_it(path, impossible),
            [f"PID {os.getpid()} may be another process by now, skipping {path}",
             f"File has no sys.pid entry: {impossible}",
             "Removed 0  -  0 alive"],
        )
        self.assertEqual([entry["state"] for entry in self.run_json(path, impossible).values()], ["unknown"] * 2)

    def test_nothing_but_regular_files_is_touched(self):
        pid = dead_pid()
        victim = self.publish("victim", pid=pid)
        os.rename(victim, victim := os.path.join(self.workspace, "victim"))
        made = {
            "fifo": os.mkfifo,
            "link": lambda path: os.symlink(victim, path),
            "dangling": lambda path: os.symlink("nowhere", path),
            "socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
        }
        for name, make in made.items():
            make(os.path.join(self.folder, f"{name}.mmstats"))
        before = self.names()
        dead = self.publish("zz-dead", pid=pid)
        lines = self.run_it(MMSTATS_PATH=self.folder)
        self.assertEqual(lines[-2:], [f"PID {pid} not found. Deleting {dead}", "Removed 1  -  0 alive"])
        self.assertEqual(self.names(), before)
        self.assertTrue(os.path.exists(victim))
        for line in lines[:-2]:
            self.assertRegex(line, f"^Skipping {self.folder}/[a-z]+[.]mmstats: is (a|not a) ")

    def test_bad_files_hide_no_others_and_fail_nothing(self):
        """A stranger's file in a folder for everybody must not make a timer fail."""
        pid = dead_pid()
        bad = os.path.join(daemons.HERE, "..", "data", "bad")
        for name in os.listdir(bad):
            shutil.copy(os.path.join(bad, name), self.folder)
        with open(os.path.join(self.folder, "huge.mmstats"), "wb") as huge:
            huge.write(b"\1")
            huge.truncate(2**40)
        kept = self.names()
        dead = [self.publish(name, pid=pid) for name in ("aa", "mm", "zz")]
        lines = self.run_it(MMSTATS_PATH=self.folder)
        for path in dead:
            self.assertIn(f"PID {pid} not found. Deleting {path}", lines)
        self.assertEqual(lines[-1], "Removed 3  -  0 alive")
        self.assertEqual(len(lines), len(kept) + 4)
        self.assertEqual(self.names(), kept)

    def test_a_damaged_file_is_judged_by_what_precedes_the_damage(self):
        pid = dead_pid()
        data, _ = writer.encode([*writer.sys_fields(pid=pid), writer.counter("cut")])
        path = os.path.join(self.folder, "damaged.mmstats")
        pathlib.Path(path).write_bytes(data[: data.index(b"cut") + 5])
        self.assertEqual(self.run_it(path)[0], f"PID {pid} not found. Deleting {path}")

    def test_files_that_vanish_are_no_error(self):
        path = os.path.join(self.folder, "gone.mmstats")
        self.assertEqual(self.run_it(path), [f"File not found: {path}", "Removed 0  -  0 alive"])
        self.assertEqual(self.run_json(path)[path]["action"], "gone")

    def test_dry_run_says_all_and_removes_nothing(self):
        pid = dead_pid()
        dead = self.publish("dead", pid=pid)
        self.publish("alive")
        before = self.names()
        for option in ("-n", "--dry-run"):
            self.assertEqual(self.run_it(option, MMSTATS_PATH=self.folder),
                             [f"PID {pid} not found. Would delete {dead}", "Would remove 1  -  1 alive"])
        self.assertEqual(self.run_json("-n", dead)[dead]["action"], "would_remove")
        self.assertEqual(self.names(), before)

    def test_older_than_keeps_what_was_made_or_changed_since(self):
        pid = dead_pid()
        rows = [  # sys.created and the time stamp, seconds ago; DURATION; removed?
            (7300, 7300, "2h", True),
            (7300, 7300, "120min", True),
            (7300, 7300, "2.5h", False),
            (7300, 60, "2h", False),  # changed since
            (60, 7300, "2h", False),  # made since, as the time stamps of copies and clocks that were set show it
            (60, 60, "59", True),
            (60, 60, "0", True),
            (0, 0, "10min", False),
            (-3600, -3600, "1s", False),  # the clock was set back
            (86400 * 8, 86400 * 8, "1w", True),
            (86400 * 8, 86400 * 8, "9 days", False),
        ]
        for created, modified, duration, removed in rows:
            with self.subTest(created=created, modified=modified, duration=duration):
                now = time.time()
                path = self.publish("a", pid=pid, created=now - created)
                os.utime(path, (now - modified, now - modified))
                for options in (["--dry-run"], []):
                    action = self.run_json(*options, "--older-than", duration, path)[path]["action"]
                    self.assertEqual(action, ("would_remove" if options else "removed") if removed else "kept")
                self.assertEqual(os.path.exists(path), not removed)
        path = self.publish("a", pid=pid)
        self.assertEqual(self.run_it("--older-than", "10min", path)[0],
                         f"PID {pid} not found, but {path} is younger than 600 s, skipping.")
        for wrong in ("", "min", "-5", "5 parsecs", "nan", "inf", "1e3", "5min 3s", "0x10"):
            with self.subTest(wrong):
                result = subprocess.run([self.program, f"--older-than={wrong}", path], capture_output=True, text=True, check=False)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn("--older-than", result.stderr)
        self.assertEqual(self.names(), ["a.mmstats"])

    def test_json_tells_all_of_each_file(self):
        pid = dead_pid()
        dead = self.publish("d\u00e9ad \"1\"", pid=pid, created=1234567890.25)
        alive = self.publish("alive", created=(born := time.time()))
        invalid = os.path.join(self.folder, "invalid.mmstats")
        pathlib.Path(invalid).write_text("hello")
        self.assertEqual(
            self.run_json(MMSTATS_PATH=self.folder),
            {
                dead: {"file": dead, "pid": pid, "created": 1234567890.25, "state": "dead", "action": "removed",
                       "reason": "not_found", "message": f"PID {pid} not found. Deleting {dead}"},
                alive: {"file": alive, "pid": os.getpid(), "created": born, "state": "alive", "action": "kept",
                        "reason": "alive", "message": None},
                invalid: {"file": invalid, "pid": None, "created": None, "state": "unknown", "action": "kept",
                          "reason": "invalid", "message": f"Invalid file: {invalid}"},
            },
        )
        os.remove(invalid)
        os.remove(alive)
        self.assertEqual(self.run_json("--quiet", self.folder), {})
        odd = self.publish("odd", pid=pid, created=float("nan"))
        os.rename(odd.encode(), odd := os.fsencode(self.folder) + b"/\xff\n.mmstats")
        (entry,) = self.run_json("--older-than", "0", odd).values()
        self.assertEqual((entry["file"], entry["created"], entry["action"]), (f"{self.folder}/\ufffd\n.mmstats", None, "removed"))

    def test_text_cannot_command_the_terminal(self):
        path = self.publish("\x1b[2Jx", pid=dead_pid())
        (line, _) = self.run_it(path)
        self.assertIn("/\\x1B[2Jx.mmstats", line)
        path = self.publish("\u202ex", pid=dead_pid())
        result = subprocess.run([self.program, "--dry-run", "--json", path], capture_output=True, check=True,
                                timeout=daemons.PATIENCE)
        self.assertNotRegex(result.stdout, rb"[^\n -~]")
        self.assertEqual(json.loads(result.stdout)[0]["file"], path)
        (line, _) = self.run_it(path)
        self.assertIn("/\\xE2\\x80\\xAEx.mmstats", line)

    def test_quiet_tells_of_removals_and_failures_alone(self):
        pid = dead_pid()
        self.publish("alive")
        self.publish("nameless", with_sys=False)
        pathlib.Path(self.folder, "invalid.mmstats").write_text("hello")
        dead = self.publish("dead", pid=pid)
        self.assertEqual(self.run_it("-q", MMSTATS_PATH=self.folder), [f"PID {pid} not found. Deleting {dead}"])
        self.assertEqual(self.run_it("--quiet", MMSTATS_PATH=self.folder), [])
        self.assertEqual(self.run_it("--quiet", MMSTATS_PATH=os.path.join(self.workspace, "nowhere")), [])

    def as_nobody(self):
        """What runs a program as another user, if we may."""
        wrapper = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if os.getuid() != 0 or subprocess.run([*wrapper, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("we cannot become another user")
        return wrapper

    def test_files_of_other_users_are_left_to_them_and_to_root(self):
        wrapper = self.as_nobody()
        pid = dead_pid()
        alive = self.publish("alive")
        self.assertEqual(self.run_it(alive, wrapper=wrapper),
                         [f"PID {os.getpid()} is alive but owned by another user, skipping.", "Removed 0  -  0 alive"])

        dead = self.publish("dead", pid=pid)
        private = self.publish("private", pid=pid)
        os.chmod(private, 0o600)
        own = self.publish("own", pid=pid)
        os.chown(own, NOBODY, NOBODY)
        self.assertEqual(
            self.run_it(private, dead, own, wrapper=wrapper, status=1),
            [f"Permission denied: {private}",
             f"PID {pid} not found. Deleting {dead}",
             f"Could not remove {dead}: only root or its owner may ask whether some process still writes it: "
             "Permission denied",
             f"PID {pid} not found. Deleting {own}",
             "Removed 1  -  0 alive"],
        )
        entries = self.run_json("--dry-run", private, dead, wrapper=wrapper, status=1)
        self.assertEqual([(entry["action"], entry["reason"]) for entry in entries.values()],
                         [("failed", "denied"), ("failed", "may_be_mapped")])
        # In a folder where nobody may remove anything, one's own files stay, too.
        locked = os.path.join(self.workspace, "locked")
        os.mkdir(locked, 0o755)
        kept = os.path.join(locked, "a.mmstats")
        os.rename(self.publish("a", pid=pid), kept)
        os.chown(kept, NOBODY, NOBODY)
        self.assertEqual(self.run_it(kept, wrapper=wrapper, status=1)[1], f"Could not remove {kept}: Permission denied")
        self.assertEqual(self.run_it("-n", kept, wrapper=wrapper, status=1),
                         [f"PID {pid} not found, but {kept} could not be removed: Permission denied", "Would remove 0  -  0 alive"])

    def test_root_needs_no_more_than_the_service_leaves_it(self):
        self.as_nobody()
        allowed = ",".join(f"+{name}" for name in SERVICE_CAPABILITIES)
        wrapper = ["setpriv", f"--bounding-set=-all,{allowed}", "--inh-caps=-all", "--no-new-privs"]
        pid = dead_pid()
        for number in range(3):
            path = self.publish(f"dead{number}", pid=pid)
            os.chmod(path, 0o600)
            os.chown(path, NOBODY, NOBODY)
        child = subprocess.Popen(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "sleep", "1000"])
        try:
            self.publish("alive", pid=child.pid, created=time.time() + 5)
            lines = self.run_it(MMSTATS_PATH=self.folder, wrapper=wrapper)
        finally:
            child.kill()
            child.wait()
        self.assertEqual((self.names(), lines[-1]), (["alive.mmstats"], "Removed 3  -  0 alive"))
        with open(os.path.join(daemons.HERE, "..", "..", "packaging", "systemd", "mmstats-clean.service")) as unit:
            (left,) = [line for line in unit if line.startswith("CapabilityBoundingSet=")]
        self.assertEqual(left.split("=")[1].lower().replace("cap_", "").split(), list(SERVICE_CAPABILITIES))

    def test_a_file_that_a_writer_has_locked_to_replace_it_is_kept(self):
        pid = dead_pid()
        path = self.publish("a", pid=pid)
        with open(path, "rb") as writers:
            fcntl.flock(writers, fcntl.LOCK_EX)
            for options in ([], ["--dry-run"]):
                entry = self.run_json(*options, path)[path]
                self.assertEqual((entry["action"], entry["reason"]), ("kept", "mapped"))
        self.assertEqual(self.run_json(path)[path]["action"], "removed")

    def test_a_file_that_is_replaced_between_check_and_removal_is_kept(self):
        if not may_trace():
            self.skipTest("strace may not trace here")
        pid = dead_pid()
        for name, replace in {"by a live one": lambda: {}, "by one that is dead, too": lambda: {"pid": pid}}.items():
            with self.subTest(name):
                path = self.publish("a", pid=pid)
                # It is stopped when it asks for the owner: the file was read, and is not removed yet.
                log = os.path.join(self.workspace, "strace.log")
                tracer = subprocess.Popen(
                    ["strace", "-f", "-o", log, "-e", "trace=kill", "-e", "inject=kill:signal=SIGSTOP:when=1",
                     self.program, path], stdout=subprocess.PIPE, text=True)
                stopped = daemons.wait_until(
                    lambda: re.search(r"^([0-9]+) +--- stopped by SIGSTOP", daemons.read_log(log), re.M), "cleanstats stops")
                with open(self.publish("b", **replace()), "rb") as new:
                    os.rename(new.name, path)
                    os.kill(int(stopped[1]), signal.SIGCONT)
                    lines = tracer.communicate(timeout=daemons.PATIENCE)[0].splitlines()
                    self.assertEqual(lines, [f"PID {pid} not found, but {path} is another file by now, skipping.",
                                             "Removed 0  -  0 alive"])
                    self.assertTrue(os.path.samestat(os.stat(path), os.stat(new.fileno())))
                os.remove(log)

    def test_a_reader_that_leaves_or_a_full_disk_ends_the_telling_and_not_the_cleaning(self):
        pid = dead_pid()
        for number in range(3000):  # far more lines than a pipe holds
            self.publish(f"{'long' * 30}{number}", pid=pid)
        reader, pipe = os.pipe()
        os.close(reader)
        result = subprocess.run([self.program], env={"MMSTATS_PATH": self.folder}, stdout=pipe, stderr=subprocess.PIPE, check=False)
        os.close(pipe)
        self.assertEqual((result.returncode, result.stderr), (-signal.SIGPIPE, b""))
        self.assertEqual(self.names(), [])
        path = self.publish("a", pid=pid)
        with open("/dev/full", "wb") as full:
            result = subprocess.run([self.program, path], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"No space left", result.stderr)
        self.assertEqual(self.names(), [])

    def test_help_and_version_are_answers_and_an_unknown_option_is_not(self):
        for option in ("--help", "--version"):
            self.assertTrue(self.run_it(option))
        result = subprocess.run([self.program, "--no-such-option"], capture_output=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (2, b""))
        self.assertIn(b"--no-such-option", result.stderr)


if __name__ == "__main__":
    own_pids.enter()
    unittest.main()
