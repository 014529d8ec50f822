"""pinba-run and pinba-dump as people and scripts meet them, and beside real clients and servers."""

import contextlib
import glob
import json
import os
import pty
import re
import resource
import shutil
import signal
import socket
import subprocess
import textwrap
import time
import unittest
import urllib.error
import urllib.request

import daemons
import pinba_packets
from graphite_test import write_graphite

RUN = os.environ["MMSTATS_PINBA_RUN"]
DUMP = os.environ["MMSTATS_PINBA_DUMP"]
WEB = os.environ["MMSTATS_PINBA_WEB"]
DATA = os.path.join(daemons.HERE, "..", "data", "pinba")
SECONDS = daemons.PATIENCE


def python(text):
    """The command that runs a Python program."""
    return ["/usr/bin/python3", "-IS", "-c", textwrap.dedent(text)]


def shown(text):
    """What pinba-dump should say of a message, from its text as protobuf writes that."""
    kinds = {name: (wire, repeated) for name, wire, repeated in pinba_packets.FIELDS.values()}
    convert = {pinba_packets.BYTES: json.loads, pinba_packets.VARINT: int, pinba_packets.FLOAT: float}
    want, lists = {}, {name: [] for name, (_, repeated) in kinds.items() if repeated}
    for line in text.splitlines():
        name, value = line.split(": ", 1)
        wire, repeated = kinds[name]
        if repeated:
            lists[name].append(convert[wire](value))
        else:
            want[name] = convert[wire](value)
    words = lists["dictionary"]

    def tags(names, values):
        return [[words[name], words[value]] for name, value in zip(names, values, strict=True)]

    want["tags"] = tags(lists["tag_name"], lists["tag_value"])
    want["timers"] = []
    timer_tags = tags(lists["timer_tag_name"], lists["timer_tag_value"])
    for index, count in enumerate(lists["timer_tag_count"]):
        timer = {"tags": [timer_tags.pop(0) for _ in range(count)]}
        for name in ("hit_count", "value", "ru_utime", "ru_stime"):
            timer[name] = (lists["timer_" + name] or [0] * 100)[index]
        want["timers"].append(timer)
    return want


def php_can_send():
    """Debian 12 has the extension, 13 has not."""
    if not shutil.which("php"):
        return False
    folder = subprocess.run(["php", "-n", "-r", "echo ini_get('extension_dir');"], capture_output=True, text=True, check=True)
    return os.path.exists(os.path.join(folder.stdout, "pinba.so"))


class Receiver:
    """A port that takes packets, and checks each; for any address of this machine."""

    def __init__(self, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive_bytes(self):
        """The next packet as it came; it is waited for."""
        self.socket.settimeout(SECONDS)
        return self.socket.recv(65536)

    def receive(self):
        """The same, read."""
        return pinba_packets.read(self.receive_bytes())

    def is_empty(self):
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            return not self.socket.recv(65536)
        return True


class Process:
    """A tool that runs, with its streams."""

    def __init__(self, *argv, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        self.process = subprocess.Popen(argv, **options)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


@contextlib.contextmanager
def dump(*options):
    """A pinba-dump that listens on a free port; with its process and that port."""
    with Process(DUMP, "--listen", "127.0.0.1:0", *options) as process:
        yield process, int(re.fullmatch(rb"pinba-dump: listening on 127.0.0.1:(\d+)\n", process.stderr.readline())[1])


def send(port, *packets):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for packet in packets:
            client.sendto(packet, ("127.0.0.1", port))


def data(name):
    with open(os.path.join(DATA, name), "rb") as file:
        return file.read()


class DumpTest(unittest.TestCase):
    def setUp(self):
        self.files = 0
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def run_dump(self, *arguments, stdin=b"", code=0):
        result = subprocess.run([DUMP, *arguments], input=stdin, capture_output=True, timeout=SECONDS, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def file(self, content):
        self.files += 1
        path = os.path.join(self.folder, f"{self.files}.bin")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_packets_of_real_clients_are_what_their_texts_say(self):
        paths = sorted(glob.glob(os.path.join(DATA, "*.bin")))
        self.assertEqual(len(paths), 3)
        lines = self.run_dump("--json", *paths).stdout.decode("ascii").splitlines()
        for path, line in zip(paths, lines, strict=True):
            with open(path[:-3] + "txt") as file:
                want = shown(file.read())
            got = json.loads(line)
            self.assertEqual(got.pop("file"), path)
            self.assertEqual(got.pop("bytes"), os.path.getsize(path))
            got.pop("findings")
            self.assertEqual(got, want)

    def test_the_text_has_every_value(self):
        text = self.run_dump(os.path.join(DATA, "php-timers.bin")).stdout.decode()
        for part in ("188 bytes", "web2", "shop.example.com", "/cart", "https", "0.004808 s", "2097152 bytes",
                     "2277376 bytes", "app=shop", "2 x, 0.004528 s, 2.3e-05 s user", "group=mysql, op=insert"):
            self.assertIn(part, text)
        self.assertNotIn("classic", text)

    def test_standard_input_is_a_packet_too(self):
        (line,) = self.run_dump("--json", "-", stdin=data("pynba-minimal.bin")).stdout.splitlines()
        self.assertEqual(json.loads(line)["script_name"], "/index")

    def test_what_servers_do_wrong_with_a_packet_is_said(self):
        timers = data("pynba-timers.bin")
        # The tag value "select", index 10, made one that the dictionary does not have.
        index = timers.index(b"\x70\x0a\x7a")
        beyond = timers[: index + 1] + b"\x7f" + timers[index + 2 :]
        rows = [
            (beyond, {("Pinba2", "crash"), ("classic", "partly lost")}),
            (timers[:30], {("Pinba2", "dropped"), ("classic", "crash"), ("collectd", "dropped")}),
            (b"", {("Pinba2", "dropped"), ("classic", "crash"), ("collectd", "dropped")}),
            (os.urandom(8) + b"\xff" * 20, {("classic", "crash")}),
        ]
        for content, want in rows:
            path = self.file(content)
            (line,) = self.run_dump("--json", path, code=1).stdout.splitlines()
            packet = json.loads(line)
            self.assertLessEqual(want, {(f["server"], f["effect"]) for f in packet["findings"]})
            self.assertTrue(packet["damage"]["message"])
            self.assertLessEqual(packet["damage"]["offset"], len(content))
            text = self.run_dump(path, code=1).stdout.decode()
            self.assertIn("  damaged: byte ", text)
            for server, effect in want:
                self.assertRegex(text, f"  {server}: {effect}, byte ")

    def test_packets_damaged_in_every_way_are_shown_or_refused(self):
        for name in ("php-timers", "pynba-minimal", "pynba-timers"):
            packet = data(name + ".bin")
            damaged = [packet[:size] for size in range(len(packet))]
            for bit in range(8 * len(packet)):
                flipped = bytearray(packet)
                flipped[bit // 8] ^= 1 << bit % 8
                damaged.append(bytes(flipped))
            paths = [self.file(content) for content in damaged]
            for options in ([], ["--json"]):
                result = self.run_dump(*options, *paths, code=1)
                self.assertEqual(result.stderr, b"")
                self.assertNotRegex(result.stdout, rb"[\x00-\x09\x0b-\x1f\x7f]")
            packets = [json.loads(line) for line in result.stdout.splitlines()]
            self.assertEqual([packet["file"] for packet in packets], paths)
            for packet in packets:
                self.assertEqual("damage" in packet, "hostname" not in packet)
                self.assertTrue(packet["findings"] or "damage" not in packet)

    def test_texts_of_strangers_cannot_command_the_terminal(self):
        packet = data("pynba-minimal.bin").replace(b"web1.example.com", b"\x1b[2J\r\x7f\xc2\x9b\xff\n12345\0")
        path = self.file(packet)
        turning = data("pynba-minimal.bin").replace(b"web1.example.com", "a\u202eb\u2066\u200f.....".encode())
        shown = self.run_dump(self.file(turning)).stdout
        self.assertIn(b"a\\xE2\\x80\\xAEb\\xE2\\x81\\xA6\\xE2\\x80\\x8F", shown)
        self.assertNotIn(b"\xe2", shown)
        self.assertNotRegex(self.run_dump(path).stdout, rb"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f\xff]")
        line = self.run_dump("--json", path).stdout
        self.assertNotRegex(line, rb"[^\x20-\x7e\n]")
        self.assertEqual(json.loads(line)["hostname"], "\x1b[2J\r\x7f\x9b\ufffd\n12345\0")

    def test_files_that_are_no_datagrams_are_reported_and_the_others_shown(self):
        large = self.file(b"\x0a" * 65508)
        missing = os.path.join(self.folder, "missing")
        result = self.run_dump(large, missing, self.folder, os.path.join(DATA, "php-timers.bin"), code=1)
        self.assertEqual(result.stderr.count(b"\n"), 3)
        self.assertIn(f"{missing}: cannot be opened: No such file or directory\n".encode(), result.stderr)
        self.assertIn(b"/cart", result.stdout)
        # The largest that there can be is none, but it could be one.
        self.assertEqual(self.run_dump(self.file(b"\x0a" * 65507), code=1).stderr, b"")

    def test_it_shows_packets_at_once_and_sums_up_when_it_is_ended(self):
        size = sum(len(data(name)) for name in ("php-timers.bin", "pynba-timers.bin"))
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), dump("--json") as (process, port):
                for name in ("php-timers", "pynba-timers"):
                    send(port, data(name + ".bin"))
                    packet = json.loads(process.stdout.readline())
                    self.assertRegex(packet["from"], r"^127\.0\.0\.1:\d+$")
                    self.assertAlmostEqual(packet["time"], time.time(), delta=SECONDS)
                process.send_signal(number)
                out, err = process.communicate(timeout=SECONDS)
                self.assertEqual((process.returncode, out), (0, b""))
                self.assertEqual(err, b"pinba-dump: 2 packets, 0 damaged, 1 unsafe for some server, 0 lost\n"
                                      b"pinba-dump: %d bytes, 2 requests, 4 timers\n"
                                      b"pinba-dump: problems with Pinba2: 1 wrong\n"
                                      b"pinba-dump: problems with classic: 1 wrong\n" % size)

    def test_it_shows_the_packets_that_are_asked_for(self):
        paths = [os.path.join(DATA, name) for name in ("php-timers.bin", "pynba-timers.bin", "pynba-minimal.bin")]
        damaged = self.file(b"damaged")

        def names(*options):
            out = self.run_dump("--json", *options, *paths, damaged, code=1).stdout
            return [os.path.basename(json.loads(line)["file"]) for line in out.splitlines()]

        every = json.loads(self.run_dump("--json", paths[0]).stdout)
        self.assertEqual(len(names()), 4)
        for option, field in (("--script", "script_name"), ("--host", "hostname"), ("--server-name", "server_name")):
            self.assertIn("php-timers.bin", names(option, every[field]))
            self.assertEqual(names(option, "no such"), [])
        self.assertEqual(names("--script", every["script_name"], "--host", "no such"), [])
        both = every["timers"][0]["tags"][0]
        timers = json.loads(self.run_dump("--json", paths[1]).stdout)["timers"]
        self.assertTrue(any(both in timer["tags"] for timer in timers))
        name, value = next(tag for timer in every["timers"] for tag in timer["tags"]
                           if not any(tag in timer["tags"] for timer in timers))
        self.assertEqual(names("--tag", "=".join(both)), ["php-timers.bin", "pynba-timers.bin"])
        self.assertEqual(names("--tag", f"{name}={value}"), ["php-timers.bin"])
        self.assertEqual(names("--tag", "env=prod"), ["pynba-timers.bin"])  # of the request
        self.assertEqual(names("--tag", f"{name}={value}", "--tag", "no=such"), [])
        self.assertEqual(names("--tag", f"{name}={value}x"), [])
        self.assertEqual(names("--findings"), ["pynba-timers.bin", "pynba-minimal.bin", os.path.basename(damaged)])
        self.run_dump("--tag", "x", paths[0], code=2)

    def test_it_sends_packets_on_as_they_came(self):
        packets = [data("php-timers.bin"), b"damaged", data("pynba-timers.bin")]
        with Receiver() as one, Receiver() as other, dump("--forward", f"{one.address},{other.address}") as (process, port):
            for packet in packets:
                send(port, packet)
                self.assertEqual(one.receive_bytes(), packet)
                self.assertEqual(other.receive_bytes(), packet)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
            self.assertEqual(out.count(b"==> "), 3)
            self.assertRegex(out, rb"==> 127\.0\.0\.1:\d+, \d+ bytes, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\n")
            # The summary alone: packets, sizes, and the problems of three servers.
            self.assertEqual((err.count(b"\n"), err.count(b"problems with "), err.count(b"sent on")), (5, 3, 0), err)
        with dump("--forward", "127.0.0.1:1") as (process, port):
            send(port, packets[0])
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            self.assertIn(b"127.0.0.1:1: 1 packets sent on, 1 came back", process.communicate(timeout=SECONDS)[1])
        for wrong in ("a;b", "a,a", "[::1"):
            result = subprocess.run([DUMP, "--forward", wrong], capture_output=True, timeout=SECONDS, check=False)
            self.assertEqual(result.returncode, 2, wrong)

    def test_it_counts_what_the_system_had_no_room_for(self):
        def dropped():
            """As the system itself counts."""
            with open("/proc/net/udp") as file:
                return next(int(line.split()[-1]) for line in file if f":{port:04X} 00000000:0000 " in line)

        packet = data("php-timers.bin")
        sent = lost = 0
        with dump("--json") as (process, port):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            while lost == 0 and sent < 1_000_000:
                send(port, *[packet] * 500)
                sent += 500
                lost = dropped()
            process.send_signal(signal.SIGCONT)
            self.assertGreater(lost, 0)
            for _ in range(sent - lost):
                self.assertTrue(process.stdout.readline())
            # It is told with the next packet.
            send(port, packet)
            self.assertTrue(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
            self.assertEqual(out, b"")
            self.assertIn(b"pinba-dump: %d packets, " % (sent - lost + 1), err)
            self.assertIn(b" %d lost\n" % lost, err)

    def test_it_ends_after_a_count_or_a_time(self):
        with dump("--count", "2") as (process, port):
            send(port, data("php-timers.bin"), b"bad", data("php-timers.bin"))
            out, err = process.communicate(timeout=SECONDS)
            self.assertEqual((process.returncode, out.count(b"==>")), (1, 2))
            self.assertIn(b"2 packets, 1 damaged", err)
        with dump("--timeout", "0.2") as (process, _):
            self.assertEqual(process.wait(SECONDS), 0)
        with dump("--timeout", "0.2", "--count", "1") as (process, _):
            self.assertEqual(process.wait(SECONDS), 1)
        with dump("--json", "--timeout", "1", "--count", "2") as (process, port):
            send(port, data("php-timers.bin"))
            self.assertEqual(process.wait(SECONDS), 1)

    def test_a_reader_that_leaves_ends_it_quietly_even_if_nothing_comes(self):
        for packets in ((), (data("php-timers.bin"),) * 3):
            with self.subTest(len(packets)), dump() as (process, port):
                process.stdout.close()
                send(port, *packets)
                self.assertEqual(process.wait(SECONDS), -signal.SIGPIPE)
                self.assertEqual(process.stderr.read(), b"")
                process.stdout = None

    def test_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                [DUMP, os.path.join(DATA, "php-timers.bin")], stdout=full, stderr=subprocess.PIPE, check=False
            )
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"No space left", result.stderr)

    def test_addresses_of_every_kind(self):
        for where, want, target in (
            ("[::1]:0", r"\[::1\]:(\d+)", "::1"),
            ("localhost:0", r".*:(\d+)", None),
            (":0", r"\[::\]:(\d+)", "127.0.0.1"),
            ("127.0.0.1:0", r"127.0.0.1:(\d+)", "127.0.0.1"),
        ):
            with self.subTest(where), Process(DUMP, "--count", "1", "--listen", where) as process:
                line = process.stderr.readline().decode()
                port = int(re.fullmatch(f"pinba-dump: listening on {want}\n", line)[1])
                if target:
                    family = socket.AF_INET6 if ":" in target else socket.AF_INET
                    with socket.socket(family, socket.SOCK_DGRAM) as client:
                        client.sendto(data("php-timers.bin"), (target, port))
                    self.assertEqual(process.wait(SECONDS), 0)
        with Receiver() as other:
            for where in (other.address, "1.2.3.4:9"):
                result = self.run_dump("--listen", where, code=1)
                self.assertIn(f"pinba-dump: cannot listen on {where}: ".encode(), result.stderr)
        for where in ("[::1", "[::1]x", "127.0.0.1:http", "127.0.0.1:99999999"):
            result = self.run_dump("--listen", where, code=2)
            self.assertIn(f'pinba-dump: --listen: "{where}" is not possible: '.encode(), result.stderr)

    def test_a_wrong_command_line_is_told_from_bad_packets(self):
        for options in (["--no-such"], ["--count", "0"], ["--count", "-1"], ["--count", "x"], ["--timeout", "-1"],
                        ["--speed", "-1", "--read", "x", "--forward", "127.0.0.1:1"]):
            said = self.run_dump(*options, code=2).stderr
            self.assertIn(b"pinba-dump: ", said)
            if len(options) > 1:
                self.assertIn(f'{options[0]}: "{options[1]}" is not possible, it takes a '.encode(), said)
        for option in ("--help", "--version"):
            self.assertTrue(self.run_dump(option).stdout)

    @unittest.skipUnless(php_can_send(), "there is no php-pinba here")
    def test_php_sends_to_it(self):
        program = """
            pinba_script_name_set("/naïve"); pinba_schema_set("https"); pinba_tag_set("app", "shop");
            for ($i = 0; $i < 3; ++$i) { pinba_timer_stop(pinba_timer_start(["group" => "mysql", "op" => "get"])); }
            pinba_timer_add(["group" => "cache"], 0.25);
            pinba_flush();
        """
        with dump("--json", "--count", "1") as (process, port):
            subprocess.run(
                ["php", "-n", "-d", "extension=pinba.so", "-d", "pinba.enabled=1", "-d",
                 f"pinba.server=127.0.0.1:{port}", "-r", program],
                check=True, timeout=SECONDS,
            )
            packet = json.loads(process.stdout.readline())
            self.assertEqual(process.wait(SECONDS), 0)
        self.assertNotIn("damage", packet)
        self.assertEqual((packet["script_name"], packet["schema"]), ("/naïve", "https"))
        self.assertEqual(packet["hostname"], socket.gethostname())
        self.assertEqual(packet["tags"], [["app", "shop"]])
        timers = {tuple(map(tuple, timer["tags"])): timer for timer in packet["timers"]}
        self.assertEqual(timers[("group", "mysql"), ("op", "get")]["hit_count"], 3)
        self.assertEqual(timers[(("group", "cache"),)]["value"], 0.25)


class RunTest(unittest.TestCase):
    def setUp(self):
        self.server = Receiver()
        self.addCleanup(self.server.__exit__)

    def run_tool(self, *command, options=(), stdin=b"", server=None, **keywords):
        where = ["--server", server or self.server.address]
        return subprocess.run(
            [RUN, *where, *options, "--", *command], input=stdin, capture_output=True, timeout=SECONDS, check=False,
            **keywords,
        )

    def run_command(self, *command, **keywords):
        """What came of it: the finished process and the one packet."""
        result = self.run_tool(*command, **keywords)
        message = self.server.receive()
        self.assertTrue(self.server.is_empty())
        return result, message

    def start(self, *command, **keywords):
        """pinba-run with a command that says when it is ready, in its first line."""
        running = Process(RUN, "--server", self.server.address, "--", *command, **keywords)
        self.addCleanup(running.__exit__)
        self.assertEqual(running.process.stdout.readline(), b"ready\n")
        return running.process

    def test_a_packet_tells_what_the_command_took(self):
        # It tells itself how long it computed, and how long it was there.
        program = """
            import time
            begin = time.monotonic()
            held = bytearray(80 << 20)
            end = time.process_time() + 0.3
            while time.process_time() < end: pass
            computed = time.process_time()
            while time.monotonic() - begin < computed + 0.2: time.sleep(0.01)
            print(computed, time.monotonic() - begin)
        """
        before = time.monotonic()
        result, message = self.run_command(
            *python(program),
            options=["--tag", "job=nightly", "--tag", "formula=a=b", "--script", "/jobs/naïve", "--host", "box",
                     "--server-name", "shop"],
        )
        took = time.monotonic() - before
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        computed, was_there = map(float, result.stdout.split())
        self.assertEqual((message.hostname, message.server_name), ("box", "shop"))
        self.assertEqual((message.script_name, message.status), ("/jobs/naïve", 200))
        self.assertEqual(
            list(message.tags), [("exit", "0"), ("formula", "a=b"), ("job", "nightly")]
        )
        self.assertGreaterEqual(message.request_time, 0.5)
        self.assertGreaterEqual(message.request_time, was_there * 0.999)  # a packet's numbers have 24 bits
        self.assertLessEqual(message.request_time, took)
        self.assertGreaterEqual(message.ru_utime + message.ru_stime, 0.29)
        self.assertGreaterEqual(message.ru_utime + message.ru_stime, computed * 0.95)  # some systems count in ticks
        self.assertLessEqual(message.ru_utime + message.ru_stime, message.request_time)
        for name in ("memory_peak", "memory_footprint"):
            self.assertGreaterEqual(getattr(message, name), 80 << 20)
            self.assertLess(getattr(message, name), 160 << 20)

    def test_names_have_defaults(self):
        _, message = self.run_command("/bin/true")
        self.assertEqual(message.hostname, socket.gethostname())
        self.assertEqual((message.server_name, message.script_name), ("script", "true"))

    def test_the_exit_status_is_the_commands(self):
        rows = [
            (["true"], 0, 200, {"exit": "0"}),
            (["sh", "-c", "exit 3"], 3, 500, {"exit": "3"}),
            (["sh", "-c", "exit 255"], 255, 500, {"exit": "255"}),
            (["sh", "-c", "kill -TERM $$"], 143, 500, {"exit": "143", "signal": "TERM"}),
            (["sh", "-c", "kill -KILL $$"], 137, 500, {"exit": "137", "signal": "KILL"}),
            (["sh", "-c", "kill -INT $$"], 130, 500, {"exit": "130", "signal": "INT"}),
            (["sh", "-c", "kill -40 $$"], 168, 500, {"exit": "168", "signal": "40"}),
            (["no such command"], 127, 500, {"exit": "127"}),
            (["/no/such/command"], 127, 500, {"exit": "127"}),
            (["/etc/passwd"], 126, 500, {"exit": "126"}),
            (["/"], 126, 500, {"exit": "126"}),
        ]
        for command, code, status, tags in rows:
            with self.subTest(command):
                result, message = self.run_command(*command)
                self.assertEqual(result.returncode, code)
                self.assertEqual(result.stdout, b"")
                own = b"pinba-run: " + command[0].encode() + b": " if code in (126, 127) else b""
                self.assertEqual(result.stderr[: len(own) or 1], own)
                self.assertEqual(message.status, status)
                self.assertEqual(dict(message.tags), tags)

    def test_a_tag_that_is_given_replaces_its_own(self):
        _, message = self.run_command("false", options=["--tag", "exit=mine", "--tag", "empty="])
        self.assertEqual(list(message.tags), [("empty", "<empty>"), ("exit", "mine")])

    def test_streams_and_arguments_reach_the_command_as_they_are(self):
        content = os.urandom(300_000)
        result, _ = self.run_command("sh", "-c", "cat; echo error >&2", stdin=content)
        self.assertEqual((result.stdout, result.stderr), (content, b"error\n"))
        arguments = ["", "--help", "--", "a b", "'\"$x", "--server", "x", "\xff"]
        for dashes in (["--"], []):
            result = subprocess.run(
                [RUN, "--server", self.server.address, *dashes, "printf", "%s\\n", *arguments],
                capture_output=True, timeout=SECONDS, check=True,
            )
            self.assertEqual(result.stdout.decode().split("\n")[:-1], arguments)

    def test_the_command_runs_as_if_started_by_the_caller(self):
        """Signal masks and dispositions, descriptors, group, session, limits, environment."""
        program = """
            import json, os, resource, signal
            status = {line.split(":")[0]: line.split()[1] for line in open("/proc/self/status") if line.startswith("Sig")}
            print(json.dumps([{k: status[k] for k in ("SigBlk", "SigIgn")}, sorted(os.listdir("/proc/self/fd"))[:-1],
                              os.getpgid(0), os.getsid(0), resource.getrlimit(resource.RLIMIT_CORE), dict(os.environ),
                              os.getcwd()]))
        """

        def prepare():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

        command, environment = python(program), {"LC_ALL": "C", "A": "b"}
        keywords = {"capture_output": True, "timeout": SECONDS, "check": True, "env": environment}
        direct = subprocess.run(command, preexec_fn=prepare, **keywords)
        through = subprocess.run([RUN, "--server", self.server.address, *command], preexec_fn=prepare, **keywords)
        self.assertEqual(json.loads(through.stdout), json.loads(direct.stdout))
        self.assertEqual(self.server.receive().status, 200)

    def test_signals_are_passed_on_once(self):
        program = """
            import os, signal, sys
            names = "HUP INT QUIT USR1 USR2 TERM CONT WINCH ALRM ABRT TSTP".split()
            numbers = {getattr(signal, "SIG" + name) for name in names} | {signal.SIGRTMIN + 3}
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
            print("ready", flush=True)
            while True:
                info = signal.sigwaitinfo(numbers)
                print(info.si_signo, flush=True)
                if info.si_signo == signal.SIGTERM: sys.exit(7)
        """
        process = self.start(*python(program))
        names = "HUP INT QUIT USR1 USR2 CONT WINCH ALRM ABRT TSTP".split()
        numbers = [getattr(signal, "SIG" + name) for name in names] + [signal.SIGRTMIN + 3, signal.SIGTERM]
        for number in numbers:
            process.send_signal(number)
            self.assertEqual(int(process.stdout.readline()), number)
        self.assertEqual((process.wait(SECONDS), process.stdout.read()), (7, b""))
        self.assertEqual(dict(self.server.receive().tags), {"exit": "7"})

    def test_a_signal_that_the_command_sends_to_its_group_does_not_come_back(self):
        # Of signals that wait, the lower one is taken first: so what USR2 brings comes after all that USR1 brought.
        program = """
            import os, signal
            both = {signal.SIGUSR1, signal.SIGUSR2}
            signal.pthread_sigmask(signal.SIG_BLOCK, both)
            tool = os.getppid()
            os.killpg(0, signal.SIGUSR1)
            got = [signal.sigwait(both)]
            child = os.fork()
            if child == 0:
                os.kill(tool, signal.SIGUSR2)  # from somebody else, so it is passed on
                os._exit(0)
            os.waitpid(child, 0)
            while got[-1] != signal.SIGUSR2: got.append(signal.sigwait(both))
            print(*[number.name for number in got])
        """
        result, _ = self.run_command(*python(program), start_new_session=True)
        self.assertEqual((result.returncode, result.stdout), (0, b"SIGUSR1 SIGUSR2\n"), result.stderr)

    def test_an_alarm_of_the_caller_reaches_the_command(self):
        for seconds in (0.1, 1, 10):
            result = self.run_tool("sleep", "60", preexec_fn=lambda after=seconds: signal.setitimer(signal.ITIMER_REAL, after))
            # Otherwise it came before the tool was ready for it, on a slow machine.
            if result.returncode != -signal.SIGALRM:
                break
        message = self.server.receive()
        self.assertEqual(result.returncode, 128 + signal.SIGALRM)
        self.assertLess(message.request_time, 30)

    def test_a_command_that_stops_itself_stops_nobody_else(self):
        """By SIGSTOP, that is: whoever sends that to it continues it alone, too."""
        program = """
            import os, signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
            print("ready", flush=True)
            print(os.getpid(), flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            print(signal.sigwait({signal.SIGWINCH}).name)
        """
        process = self.start(*python(program))
        command = int(process.stdout.readline())

        def status(key):
            with open(f"/proc/{command}/status") as file:
                return next(line.split()[1] for line in file if line.startswith(key + ":"))

        daemons.wait_until(lambda: status("State") == "T", "the command has stopped")
        # The lower one of signals is taken first: that a child has stopped, and then this one, which is passed on.
        process.send_signal(signal.SIGWINCH)
        pending = 1 << (signal.SIGWINCH - 1)
        daemons.wait_until(lambda: int(status("ShdPnd"), 16) & pending, "a signal is passed on meanwhile")
        os.kill(command, signal.SIGCONT)
        out, _ = process.communicate(timeout=SECONDS)
        self.assertEqual((process.returncode, out), (0, b"SIGWINCH\n"))

    def test_killing_it_kills_the_command(self):
        process = self.start("sh", "-c", "echo ready; exec sleep 100")
        process.kill()
        # The command holds the other end: it closes when that is gone.
        self.assertEqual(process.communicate(timeout=SECONDS), (b"", b""))
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def test_descendants_count_also_those_whose_parent_has_gone(self):
        spin = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
        program = f"""
            import os, sys, time
            reader, writer = os.pipe()
            if os.fork() == 0:
                if os.fork() == 0:
                    os.write(writer, str(os.getpid()).encode())
                    held = bytearray(60 << 20)
                    exec({spin!r})
                    os._exit(0)
                os._exit(0)
            os.wait()
            grandchild = os.read(reader, 100).decode()
            while True:  # until it has ended, or is even gone
                try:
                    with open(f"/proc/{{grandchild}}/stat") as file:
                        if file.read().rsplit(") ", 1)[1][0] == "Z": break
                except (FileNotFoundError, ProcessLookupError):
                    break
                time.sleep(0.01)
            print(time.process_time())
        """
        result, message = self.run_command(*python(program))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreaterEqual(message.ru_utime + message.ru_stime, 0.29 + 0.95 * float(result.stdout))
        self.assertGreaterEqual(message.memory_peak, 60 << 20)

    def test_it_does_not_wait_for_daemons(self):
        """A grandchild that stays is neither waited for nor ended."""
        with daemons.workspace() as folder:
            fifo = os.path.join(folder, "fifo")
            os.mkfifo(fifo)
            before = time.monotonic()
            result, message = self.run_command(
                "sh", "-c",
                f"setsid sh -c 'read line < {fifo}; echo $line > {folder}/said' < /dev/null > /dev/null 2>&1 & exit 4",
            )
            self.assertLess(time.monotonic() - before, SECONDS / 2)
            self.assertEqual((result.returncode, dict(message.tags)), (4, {"exit": "4"}))
            with open(fifo, "w") as file:
                file.write("alive\n")
            said = os.path.join(folder, "said")
            daemons.wait_until(lambda: daemons.read_log(said) == "alive\n", "the daemon goes on")

    def test_children_that_were_there_before_are_not_counted(self):
        """A shell that ends with exec leaves its own, and what they took."""
        spin = "end=$(($(date +%s%N) + 400000000)); while [ $(date +%s%N) -lt $end ]; do :; done"
        script = f'{spin}; date +%s.%N; exec "$0" --server "$1" true'
        result = subprocess.run(
            ["sh", "-c", script, RUN, self.server.address], check=True, timeout=SECONDS, stdout=subprocess.PIPE
        )
        since_then = time.time() - float(result.stdout)
        message = self.server.receive()
        self.assertLess(message.request_time, since_then)
        self.assertLess(message.ru_utime + message.ru_stime, 0.1)

    def test_every_server_gets_the_packet(self):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Receiver(host)) for host in ("127.0.0.1", "::1", "127.0.0.2")]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
                unused.bind(("127.0.0.1", 0))
                absent = unused.getsockname()[1]
            options = [f"--server={server.address}" for server in servers] + [f"--server=127.0.0.1:{absent}"]
            result, first = self.run_command("false", options=options)
            self.assertEqual((result.returncode, result.stderr), (1, b""))
            for server in servers:
                self.assertEqual(server.receive(), first)
                self.assertTrue(server.is_empty())

    def test_a_name_with_addresses_of_both_kinds_is_reached(self):
        with daemons.workspace() as folder:
            inside = daemons.with_hosts(folder, daemons.BOTH_HOSTS)
            if inside is None:
                self.skipTest("needs a name space with other hosts in it")
            subprocess.run([*inside, RUN, "--server", f"both.test:{self.server.port}", "true"], check=True, timeout=SECONDS)
            self.server.receive()

    def test_servers_come_from_the_environment_unless_they_are_given(self):
        with Receiver() as other:
            for both in (f" {self.server.address}  {other.address} ", f"{self.server.address},{other.address}"):
                subprocess.run([RUN, "true"], env={**os.environ, "PINBA_SERVER": both}, check=True, timeout=SECONDS)
                self.server.receive()
                other.receive()
                subprocess.run([RUN, "--server", both, "true"], check=True, timeout=SECONDS)
                self.server.receive()
                other.receive()
            self.run_command("true", env={**os.environ, "PINBA_SERVER": other.address})
            self.assertTrue(other.is_empty())

    def test_a_server_that_cannot_be_reached_changes_nothing(self):
        rows = [
            (["--server", "no-such-host.invalid"], {}),
            (["--server", "no-such-host.invalid", "--wait", "0"], {}),
            (["--server", "127.0.0.1:1"], {}),
            ([], {"PINBA_SERVER": "no-such-host.invalid"}),
            ([], {"PINBA_SERVER": "[not an address"}),
            ([], {"PINBA_SERVER": ""}),
        ]
        for options, environment in rows:
            with self.subTest(options=options, environment=environment):
                for verbose in ([], ["--verbose"]):

                    def took():
                        before = time.monotonic()
                        result = subprocess.run(
                            [RUN, *options, *verbose, "sh", "-c", "echo out; exit 5"], env={**os.environ, **environment},
                            capture_output=True, timeout=SECONDS, check=False,
                        )
                        after = time.monotonic()
                        self.assertEqual((result.returncode, result.stdout), (5, b"out\n"))
                        self.assertEqual(result.stderr.count(b"\n"), len(verbose))
                        self.assertEqual(result.stderr[:11], b"pinba-run: " if verbose else b"")
                        return after - before

                    self.assertTrue(daemons.is_quick(2, took))

    def test_verbose_says_that_nobody_listens(self):
        result = subprocess.run([RUN, "--verbose", "--server", "127.0.0.1:1", "true"], capture_output=True, timeout=SECONDS, check=True)
        self.assertRegex(result.stderr, rb"^pinba-run: exit 0, .*: nobody listens at 127\.0\.0\.1:1\n$")

    def test_more_tags_than_fit_do_not_count_the_command_twice(self):
        tags = [f"--tag=name{number}={'x' * 100}{number}" for number in range(100)]
        _, message = self.run_command("true", options=tags)
        self.assertGreater(len(message.tags), 5)

    def test_tags_and_names_of_every_kind_make_a_safe_packet(self):
        _, message = self.run_command(
            "true", options=["--tag", b"t\xffn=v\xfe\x01", "--script", b"\xc3(", "--host", "h" * 3000]
        )
        self.assertIn(("t\\xFFn", "v\\xFE\x01"), message.tags)
        self.assertEqual(message.script_name, "\\xC3(")

    def test_a_wrong_command_line_runs_nothing(self):
        for options in ([], ["--"], ["--no-such", "true"], ["--tag", "x", "true"], ["--tag", "=x", "true"],
                        ["--wait", "-1", "true"], ["--server", "[::1", "true"], ["--server", "h:x", "true"],
                        ["--server", "h;i", "true"], ["--server", ",", "true"], ["--server", "h,h", "true"]):
            result = subprocess.run([RUN, *options], capture_output=True, timeout=SECONDS, check=False)
            self.assertEqual(result.returncode, 125, options)
            self.assertTrue(result.stderr)
        for option in ("--help", "--version"):
            result = subprocess.run([RUN, option], capture_output=True, timeout=SECONDS, check=True)
            self.assertTrue(result.stdout)

    def test_nothing_can_be_started_is_its_own_failure(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to be somebody who may have no process")

        def prepare():
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
            os.setgroups([])
            os.setgid(64321)
            os.setuid(64321)

        with daemons.workspace() as workspace:
            # Where others can run it, too: the build may be root's own.
            program = shutil.copy(RUN, workspace)
            result = subprocess.run(
                [program, "true"], capture_output=True, preexec_fn=prepare, timeout=SECONDS, check=False
            )
        self.assertEqual(result.returncode, 125)
        self.assertIn(b"cannot start a process", result.stderr)


class TerminalTest(unittest.TestCase):
    """Job control, as a shell with a terminal sees it."""

    def setUp(self):
        self.server = Receiver()
        self.addCleanup(self.server.__exit__)

    def on_terminal(self, *command):
        """Starts a session with a terminal of its own, and a command in its foreground; the terminal's other
        end. An interactive shell has job control."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(command[0], command)
        self.addCleanup(os.close, terminal)
        self.addCleanup(self.end, pid)
        self.said = b""
        return terminal

    @staticmethod
    def end(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def expect(self, terminal, text):
        """Waits for the text; what came before it."""
        def arrived():
            ready = text in self.said
            if not ready:
                os.set_blocking(terminal, False)
                with contextlib.suppress(BlockingIOError):
                    self.said += os.read(terminal, 4096)
            return ready

        try:
            daemons.wait_until(arrived, f"{text} in the terminal")
        except AssertionError as error:
            raise AssertionError(f"{error}; it said {self.said}") from None
        before, _, self.said = self.said.partition(text)
        return before

    def shell(self):
        terminal = self.on_terminal("/bin/bash", "--norc", "--noprofile", "-i")
        os.write(terminal, b"PS1='pro''mpt '; stty -echo; echo begin''ning\n")
        self.expect(terminal, b"beginning")
        self.expect(terminal, b"prompt ")
        return terminal

    def type(self, terminal, text):
        os.write(terminal, text.encode())

    def test_a_stopped_command_is_a_stopped_job_and_goes_on(self):
        terminal = self.shell()
        self.type(terminal, f"{RUN} --server {self.server.address} sh -c 'echo started; read x; echo got $x; exit 9'\n")
        self.expect(terminal, b"started")
        self.type(terminal, "\x1a")
        self.expect(terminal, b"Stopped")
        self.expect(terminal, b"prompt ")
        self.type(terminal, "fg; echo status $?\n")
        self.expect(terminal, b"sh -c")
        self.type(terminal, "word\n")
        self.expect(terminal, b"got word")
        self.expect(terminal, b"status 9")
        self.assertEqual(dict(self.server.receive().tags), {"exit": "9"})

    def test_reading_in_the_background_stops_the_job(self):
        terminal = self.shell()
        self.type(terminal, f"{RUN} --server {self.server.address} sh -c 'read x; echo got $x' &\n")
        self.expect(terminal, b"prompt ")
        def stopped():
            self.type(terminal, "jobs\n")
            return b"Stopped" in self.expect(terminal, b"prompt ")

        daemons.wait_until(stopped, "the job is stopped")
        self.type(terminal, "fg\n")
        self.type(terminal, "word\n")
        self.expect(terminal, b"got word")
        self.assertEqual(self.server.receive().status, 200)

    def test_an_interrupt_reaches_the_command_once_and_ends_the_callers_loop(self):
        terminal = self.shell()
        program = (
            "import os, select, signal, time; n = 0; r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w); "
            "signal.signal(2, lambda *_: None)\n"
            "for i in range(10): print(\"waits\", flush=True); select.select([r], [], []); time.sleep(0.05); "
            "n += len(os.read(r, 100))\n"
            "print(\"interrupts\", n, flush=True)"
        )
        run = f"{RUN} --server {self.server.address}"
        self.type(terminal, f"{run} /usr/bin/python3 -c '{program}'\n")
        # Two of them that meet before the command runs are one, so it is not tried only once.
        for _ in range(10):
            self.expect(terminal, b"waits")
            self.type(terminal, "\x03")
        self.expect(terminal, b"interrupts 10\r\n")
        self.assertEqual(self.server.receive().status, 200)
        self.expect(terminal, b"prompt ")
        self.type(terminal, f"bash -c 'while :; do {run} sh -c \"echo started; exec sleep 60\"; done'\n")
        self.expect(terminal, b"started")
        self.type(terminal, "\x03")
        self.expect(terminal, b"prompt ")
        self.type(terminal, "echo status $?\n")
        self.expect(terminal, b"status 130")
        self.assertEqual(dict(self.server.receive().tags), {"exit": "130", "signal": "INT"})


class CollectdTest(unittest.TestCase):
    """collectd's own pinba plugin counts what we send, and its values come back from it and from Graphite."""

    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.port = pinba_packets.free_udp_port()

    @contextlib.contextmanager
    def collectd(self, views):
        """With these views; and the Graphite that it writes to."""
        carbon = daemons.Carbon(self.folder)
        blocks = f"""\
LoadPlugin pinba
<Plugin pinba>
  Address "127.0.0.1"
  Port "{self.port}"
{textwrap.indent(textwrap.dedent(views), "  ")}
</Plugin>
{write_graphite(carbon.line_port)}"""
        with daemons.GraphiteWeb(self.folder, carbon) as web, carbon, daemons.Collectd(self.folder, blocks) as collectd:
            yield collectd, web

    def wait_for_drawn(self, web, name, drawn):
        """Until Graphite draws the value so: a function of the points' values."""
        target = f"collectd.{daemons.HOST}.{name.replace('/', '.')}"
        daemons.wait_until(lambda: drawn([value for _, value in web.points(target)]), f"Graphite draws {name}")

    def test_what_pinba_run_sends(self):
        views = """\
            <View "jobs">
              Server "nightly"
            </View>
            <View "backup">
              Host "box"
              Server "nightly"
              Script "backup"
            </View>
            """
        with self.collectd(views) as (collectd, web):
            for script, program in (("backup", "import time; time.sleep(0.5)"), ("rotate", "held = bytearray(100 << 20)")):
                subprocess.run(
                    [RUN, "--server", f"127.0.0.1:{self.port}", "--server-name", "nightly", "--host", "box",
                     "--script", script, *python(program)],
                    check=True, timeout=SECONDS,
                )
            # Each value is written by itself: the next one may be of the interval before.
            collectd.wait_for("pinba-jobs/total_requests", 2)
            collectd.wait_for("pinba-backup/total_requests", 1)

            def time_of(view):
                return collectd.last(f"pinba-{view}/total_time_in_ms") or 0

            daemons.wait_until(lambda: time_of("backup") >= 500, "the time of one is there")
            daemons.wait_until(lambda: time_of("jobs") >= time_of("backup"), "the time of both is there")
            self.assertLess(time_of("jobs"), SECONDS * 1000)
            daemons.wait_until(lambda: self.get(collectd, "pinba-jobs/memory-peak") > 100 << 20, "the peak is there")
            self.assertEqual(self.get(collectd, "pinba-backup/total_bytes"), 0)
            self.wait_for_drawn(web, "pinba-jobs/memory-peak", lambda values: max(values, default=0) > 100 << 20)

    def test_what_a_program_with_our_client_sends(self):
        views = """\
            <View "carts">
              Script "shop/cart/USER"
            </View>
            <View "others">
              Script "shop/<404>"
            </View>
            """
        with self.collectd(views) as (collectd, web), Process(WEB, f"127.0.0.1:{self.port}", "0") as process:
            address = process.stdout.readline().decode().strip()
            collectd.wait_for("pinba-carts/total_requests", 0)
            sizes = 0
            for user in ("ann", "bob", "claire"):
                with urllib.request.urlopen(f"{address}/cart/{user}", timeout=SECONDS) as answer:
                    sizes += len(answer.read())
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{address}/nothing", timeout=SECONDS)
            collectd.wait_for("pinba-carts/total_requests", 3)
            collectd.wait_for("pinba-carts/total_bytes", sizes)
            collectd.wait_for("pinba-others/total_requests", 1)
            self.wait_for_drawn(web, "pinba-carts/total_bytes", lambda values: sum(values) > 0)
            # A rate: 0 again when the next interval is over.
            self.assertGreaterEqual(self.get(collectd, "pinba-carts/total_bytes"), 0)

    def get(self, collectd, name):
        """A value as collectdctl shows it."""
        result = subprocess.run(
            [daemons.program("collectdctl"), "-s", collectd.socket_path, "getval", f"{daemons.HOST}/{name}"],
            capture_output=True, text=True, check=True, timeout=SECONDS,
        )
        return float(result.stdout.split("=")[1])


if __name__ == "__main__":
    unittest.main()
