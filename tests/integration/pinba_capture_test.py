"""pinba-dump with captures: of an interface, in files, recorded and replayed, and what it says of loss."""

import contextlib
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest

import daemons
from pinba_tools_test import DUMP, SECONDS, Process, Receiver, data, dump, send

IS_ROOT = os.geteuid() == 0
TCPDUMP = shutil.which("tcpdump")
STRACE = shutil.which("strace")
SOL_UDP, UDP_SEGMENT = 17, 103
PACKET = data("php-timers.bin")
LINK = {"null": 0, "ethernet": 1, "raw": 101, "loop": 108, "cooked": 113, "cooked2": 276}


def udp(payload, port=30002, source=40000):
    """UDP in IPv4, from 10.0.0.1 to 10.0.0.2."""
    datagram = struct.pack(">HHHH", source, port, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    return head + datagram


def udp6(payload, port=30002):
    """The same in IPv6, behind an extension header, from ::1 to ::2."""
    datagram = struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload
    ends = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in ("::1", "::2"))
    return struct.pack(">IHBB", 6 << 28, 8 + len(datagram), 60, 64) + ends + bytes([17, 0, 1, 4, 0, 0, 0, 0]) + datagram


def record(frame, when=(1700000000, 123456), missing=0, order="<"):
    return struct.pack(order + "IIII", *when, len(frame), len(frame) + missing) + frame


def pcap(link, *records, order="<", magic=0xA1B2C3D4):
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, LINK[link]) + b"".join(records)


def pcapng(link, *frames):
    def block(kind, body):
        size = 12 + len(body)
        return struct.pack("<II", kind, size) + body + struct.pack("<I", size)

    text = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", LINK[link], 0, 0))
    for frame in frames:
        time = 1700000000123456
        padded = frame + bytes(-len(frame) % 4)
        text += block(6, struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame)) + padded)
    return text


def request(number, script=b"/x"):
    """A small packet with this request_count."""

    def varint(value):
        head = bytearray()
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        return bytes(head + bytearray([value]))

    packet = b"\x0a\x01h\x12\x01s\x1a" + varint(len(script)) + script + b"\x20" + varint(number) + b"\x28\x00\x30\x00"
    return packet + b"".join(bytes([field << 3 | 5, 0, 0, 0, 0]) for field in (7, 8, 9))


@contextlib.contextmanager
def capture(port, *options):
    """A pinba-dump that captures a port of the loopback interface."""
    with Process(DUMP, "-i", "lo", "--listen", f":{port}", *options) as process:
        line = process.stderr.readline()
        assert line == b"pinba-dump: capturing port %d on lo\n" % port, line
        yield process


class CaptureCase(unittest.TestCase):
    def setUp(self):
        self.files = 0
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def path(self):
        self.files += 1
        return os.path.join(self.folder, f"{self.files}.pcap")

    def file(self, content):
        path = self.path()
        with open(path, "wb") as file:
            file.write(content)
        return path

    def run_dump(self, *arguments, code=0, **options):
        result = subprocess.run([DUMP, *arguments], capture_output=True, timeout=SECONDS, check=False, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def read(self, content, *options, code=0):
        """The packets that --read finds in such a file, and what it says beside them."""
        result = self.run_dump("--json", "--read", self.file(content), *options, code=code)
        return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.decode()


class ReadTest(CaptureCase):
    def test_captures_of_every_kind_are_read(self):
        ip, ip6 = udp(PACKET), udp6(PACKET)
        ethernet = bytes(12) + b"\x08\x00" + ip
        vlan = bytes(12) + b"\x81\x00\x00\x64\x86\xdd" + ip6
        for content in (
            pcap("ethernet", record(ethernet), record(vlan)),
            pcap("cooked", record(bytes(14) + b"\x08\x00" + ip), record(bytes(14) + b"\x86\xdd" + ip6)),
            pcap("cooked2", record(b"\x08\x00" + bytes(18) + ip), record(b"\x86\xdd" + bytes(18) + ip6)),
            pcap("raw", record(ip), record(ip6)),
            pcap("null", record(b"\x02\0\0\0" + ip), record(b"\0\0\0\x1e" + ip6)),
            pcap("loop", record(b"\0\0\0\x02" + ip), record(b"\0\0\0\x18" + ip6)),
            pcap("raw", record(ip, order=">"), record(ip6, order=">"), order=">"),
            pcap("raw", *(record(packet, (1700000000, 123456789)) for packet in (ip, ip6)), magic=0xA1B23C4D),
            pcapng("ethernet", ethernet, vlan),
        ):
            packets, told = self.read(content)
            self.assertEqual([(packet["from"], packet["to"]) for packet in packets],
                             [("10.0.0.1:40000", "10.0.0.2:30002"), ("[::1]:40000", "[::2]:30002")])
            for packet in packets:
                self.assertEqual((packet["script_name"], packet["bytes"], packet["time"]),
                                 ("/cart", len(PACKET), 1700000000.123))
            self.assertTrue(told.startswith("pinba-dump: 2 packets, 0 damaged, 0 unsafe for some server\n"), told)
        text = self.run_dump("--read", self.file(pcap("raw", record(ip)))).stdout
        self.assertRegex(text, rb"==> 10\.0\.0\.1:40000 > 10\.0\.0\.2:30002, 188 bytes, 2023-11-1[45] \d\d:\d\d:20\.123\n")

    def test_the_port_and_the_filters_choose(self):
        content = pcap("raw", record(udp(PACKET)), record(udp(request(1), port=9)), record(udp(request(2), source=30002, port=10)))
        self.assertEqual([p["script_name"] for p in self.read(content)[0]], ["/cart"])
        self.assertEqual([p["request_count"] for p in self.read(content, "--listen", ":9")[0]], [1])
        self.assertEqual([p["request_count"] for p in self.read(content, "--listen", "10.9.9.9:10")[0]], [2])
        packets, told = self.read(content, "--script", "/other")
        self.assertEqual((packets, told.count("1 packet, ")), ([], 1))

    def test_what_cannot_be_shown_is_told(self):
        first = bytearray(udp(PACKET))
        first[6] = 0x20
        later = bytearray(udp(PACKET))
        later[7] = 4
        wrong = bytearray(udp(PACKET))
        wrong[25] += 1
        whole = record(udp(PACKET))
        for records, line in (
            ((record(bytes(first)), record(bytes(later))), "1 packet not shown: in fragments"),
            ((record(udp(PACKET)[:60], missing=160), record(udp(PACKET)[:20], missing=196)), "2 packets not shown: cut by the capture"),
            ((record(bytes(wrong)),), "1 packet not shown: with wrong lengths"),
        ):
            packets, told = self.read(pcap("raw", *records, whole), code=1)
            self.assertEqual(len(packets), 1)
            self.assertEqual(told.splitlines()[-1], "pinba-dump: " + line)

    def test_a_damaged_file_is_named_with_the_byte(self):
        good = pcap("raw", record(udp(PACKET)))
        one = len(good)
        for content, byte, shown in (
            (b"", 0, 0),
            (b"\xd4\xc3\xb2\xa1", 0, 0),
            (b"no capture at all, but a text that is long enough", 0, 0),
            (good[:20], 0, 0),
            (good[:-1], 24, 0),
            (good + b"1234567", one, 1),
            (good + good[24:60], one, 1),
            (good + struct.pack("<IIII", 0, 0, 0x7FFFFFFF, 0x7FFFFFFF) + b"x" * 100, one, 1),
            (pcapng("raw", udp(PACKET)) + b"\6\0\0\0\xff\xff\xff\xff" + b"x" * 100, len(pcapng("raw", udp(PACKET))), 1),
        ):
            path = self.file(content)
            for name, stdin in ((path, None), ("-", path)):
                with open(stdin or os.devnull, "rb") as source:
                    result = self.run_dump("--json", "--read", name, stdin=source, code=1)
                self.assertEqual(result.stdout.count(b"\n"), shown)
                self.assertRegex(result.stderr.decode(), rf"\Apinba-dump: {re.escape(name)}: byte {byte}: \w")
        strange = bytearray(good)
        strange[20] = 105
        self.assertIn("its link type 105 (", self.read(bytes(strange), code=1)[1])
        self.assertIn(b"No such file", self.run_dump("--read", self.folder + "/none", code=1).stderr)
        self.assertIn(b"Is a directory", self.run_dump("--read", self.folder, code=1).stderr)

    def test_files_damaged_in_every_way_end_it_in_an_orderly_way(self):
        good = pcap("raw", record(udp(PACKET)), record(udp6(request(3))))
        for bit in range(0, 8 * len(good), 5):
            flipped = bytearray(good)
            flipped[bit // 8] ^= 1 << bit % 8
            result = subprocess.run([DUMP, "--read", "-"], input=flipped, capture_output=True, timeout=SECONDS, check=False)
            self.assertIn(result.returncode, (0, 1), (bit, result.stderr))

    def test_a_pipe_is_shown_as_it_comes_and_ended_by_a_signal(self):
        content = pcap("raw", record(udp(PACKET)))
        for end in (signal.SIGINT, signal.SIGTERM, None):
            with self.subTest(end), Process(DUMP, "--json", "--read", "-", stdin=subprocess.PIPE) as process:
                process.stdin.write(content + b"part")
                process.stdin.flush()
                self.assertEqual(json.loads(process.stdout.readline())["script_name"], "/cart")
                if end is None:
                    process.stdin.close()
                    self.assertEqual(process.wait(SECONDS), 1)  # cut in a record
                    self.assertIn(b"-: byte %d: " % len(content), process.stderr.read())
                else:
                    process.send_signal(end)
                    self.assertEqual(process.wait(SECONDS), 0)
                    self.assertTrue(process.stderr.read().startswith(b"pinba-dump: 1 packet, "))
        # Before there is even a header.
        with Process(DUMP, "--read", "-", "--timeout", "0.1", stdin=subprocess.PIPE) as process:
            self.assertEqual(process.wait(SECONDS), 0)
            self.assertTrue(process.stderr.read().startswith(b"pinba-dump: 0 packets, "))

    def test_a_reader_that_leaves_ends_it_quietly(self):
        with Process(DUMP, "--read", "-", stdin=subprocess.PIPE) as process:
            process.stdout.close()
            process.stdin.write(pcap("raw"))
            process.stdin.flush()
            self.assertEqual(process.wait(SECONDS), -signal.SIGPIPE)
            self.assertEqual(process.stderr.read(), b"")
            process.stdout = None

    def test_a_count_ends_it(self):
        content = pcap("raw", *(record(udp(request(number))) for number in range(5)))
        self.assertEqual(len(self.read(content, "--count", "3")[0]), 3)
        self.assertEqual(len(self.read(content, "--count", "6", code=1)[0]), 5)

    def test_options_that_do_not_go_together_are_refused(self):
        file = self.file(b"")
        for options in (
            ["--read", file, file],
            ["-i", "lo", file],
            ["-i", "lo", "--read", file],
            ["-i", "lo", "--forward", "127.0.0.1:9"],
            ["--write", file, file],
            ["--forward", "127.0.0.1:9", file],
            ["--read", file, "--speed", "1"],
            ["--forward", "127.0.0.1:9", "--speed", "1"],
            ["--read", file, "--forward", "127.0.0.1:9", "--speed", "-1"],
            ["--read", file, "--listen", ":0"],
            ["--read", file, "--listen", "[::1"],
        ):
            self.run_dump(*options, code=2)


class TotalsTest(CaptureCase):
    def test_it_sums_up_what_there_was(self):
        bad = data("pynba-timers.bin")
        packets = [PACKET, bad, b"damaged", request(0)]
        packets, told = self.read(pcap("raw", *(record(udp(packet)) for packet in packets)), code=1)
        counts = {}
        for packet in packets:
            for finding in packet["findings"]:
                effects = counts.setdefault(finding["server"], {})
                effects[finding["effect"]] = effects.get(finding["effect"], 0) + 1
        lines = told.splitlines()
        unsafe = sum(1 for packet in packets if packet["findings"])
        size = sum(packet["bytes"] for packet in packets)
        timers = sum(len(packet.get("timers", ())) for packet in packets)
        self.assertGreater(timers, 2)
        self.assertEqual(lines[:2], [f"pinba-dump: 4 packets, 1 damaged, {unsafe} unsafe for some server",
                                     f"pinba-dump: {size} bytes, 3 requests, {timers} timers"])
        said = {}
        for line in lines[2:]:
            server, effects = re.fullmatch("pinba-dump: problems with (.*): (.*)", line).groups()
            said[server] = {effect: int(number) for number, effect in (text.split(" ", 1) for text in effects.split(", "))}
        self.assertEqual(said, counts)

    def test_requests_that_are_missing_are_told(self):
        numbers = [7, 8, 9, 13, 14, 16, 15]
        content = pcap("raw", *(record(udp(request(number))) for number in numbers))
        packets, told = self.read(content)
        self.assertEqual([packet.get("missing") for packet in packets], [None, None, None, 3, None, 1, None])
        self.assertIn("pinba-dump: 3 requests missing, by the numbers of 1 sender\n", told)
        text = self.run_dump("--read", self.file(content)).stdout
        self.assertIn(b"  missing: 3 requests of this sender before this one\n", text)
        # Each port is a sender, and PHP numbers nothing.
        apart = pcap("raw", *(record(udp(request(number), source=number)) for number in numbers), *[record(udp(PACKET))] * 5)
        packets, told = self.read(apart)
        self.assertFalse([packet for packet in packets if "missing" in packet])
        self.assertNotIn("missing", told)

    def test_it_tells_what_is_missing_when_it_listens_too(self):
        with dump("--json", "--count", "4") as (process, port):
            send(port, *(request(number) for number in (1, 2, 3, 5)))
            out, err = process.communicate(timeout=SECONDS)
            self.assertEqual([json.loads(line).get("missing") for line in out.splitlines()], [None, None, None, 1])
            self.assertIn(b"1 request missing, by the numbers of 1 sender", err)


class WriteTest(CaptureCase):
    def recorded(self, path):
        result = self.run_dump("--json", "--read", path, "--listen", f":{self.port}", code=1)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def listen(self, where, packets):
        """Records what a sender sends; what was shown, and the file."""
        path = self.path()
        with Process(DUMP, "--json", "--listen", where, "--write", path, "--count", str(len(packets))) as process:
            line = process.stderr.readline().decode().strip()
            self.port = int(line.rsplit(":", 1)[1])
            family = socket.AF_INET6 if where.startswith("[") else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                for packet in packets:
                    client.sendto(packet, ("::1" if family == socket.AF_INET6 else "127.0.0.1", self.port))
                self.source = client.getsockname()[1]
            shown = [json.loads(line) for line in process.stdout]
            process.wait(SECONDS)
        return shown, path

    def test_what_it_records_it_reads_again(self):
        packets = [PACKET, b"damaged", b"", request(1), b"\x0a" * 65507]
        for where in ("127.0.0.1:0", "[::1]:0", ":0"):
            shown, path = self.listen(where, packets)
            again = self.recorded(path)
            self.assertEqual(len(again), len(packets))
            for one, other in zip(shown, again, strict=True):
                to = other.pop("to")
                self.assertEqual(to.rsplit(":", 1)[1], str(self.port))
                self.assertEqual(other["from"].rsplit(":", 1)[1], str(self.source))
                if where == ":0":
                    self.assertEqual((other.pop("from").rsplit(":", 1)[0], to.rsplit(":", 1)[0]), ("127.0.0.1", "0.0.0.0"))
                    one.pop("from")
                self.assertEqual(one, other)

    @unittest.skipUnless(TCPDUMP, "there is no tcpdump here")
    def test_tcpdump_reads_it(self):
        packets = [PACKET, request(1), b"odd"]
        for where, begin, end in (("127.0.0.1:0", "127.0.0.1.", "IP"), ("[::1]:0", "::1.", "IP6")):
            _, path = self.listen(where, packets)
            result = subprocess.run([TCPDUMP, "-nvv", "-X", "-r", path], capture_output=True, text=True, check=True)
            text = re.sub(r"\n\s+(?!0x)", " ", result.stdout)
            lines = [line for line in text.splitlines() if not line.startswith("\t")]
            self.assertEqual(len(lines), len(packets), text)
            for line, packet in zip(lines, packets, strict=True):
                self.assertRegex(line, rf"\d {end} .*{re.escape(begin)}{self.source} > {re.escape(begin)}{self.port}: "
                                       rf"\[udp sum ok\] UDP, length {len(packet)}$")
                self.assertNotIn("bad", line)

    def test_packets_for_the_port_are_taken_out_of_a_capture(self):
        path = self.path()
        content = pcap("ethernet", record(bytes(12) + b"\x08\x00" + udp(PACKET)), record(bytes(12) + b"\x08\x00" + udp(b"x", port=53)))
        packets, _ = self.read(content, "--write", path)
        with open(path, "rb") as file:
            again, _ = self.read(file.read())
        self.assertEqual((packets, len(again)), (again, 1))

    def test_a_file_that_is_read_is_not_overwritten_nor_one_when_nothing_can_be_read(self):
        content = pcap("raw", record(udp(PACKET)))
        path = self.file(content)
        link = self.path()
        os.link(path, link)
        self.assertIn(b"is the file that is read", self.run_dump("--read", path, "--write", link, code=1).stderr)
        with open(path, "rb") as source:
            self.run_dump("--read", "-", "--write", link, stdin=source, code=1)
        self.run_dump("--read", self.folder + "/none", "--write", path, code=1)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), content)

    def test_a_disk_that_is_full_is_told_and_the_file_ends_with_a_whole_packet(self):
        content = pcap("raw", *[record(udp(PACKET))] * 3)
        path = self.path()

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) - 1,) * 2)

        result = self.run_dump("--read", self.file(content), "--write", path, code=1, preexec_fn=limit)
        self.assertIn(f"{path}: cannot be written: File too large".encode(), result.stderr)
        with open(path, "rb") as file:
            self.assertEqual(len(self.read(file.read())[0]), 2)
        self.assertIn(b"No space left", self.run_dump("--read", self.file(content), "--write", "/dev/full", code=1).stderr)


class ReplayTest(CaptureCase):
    def capture_of(self, packets, seconds):
        """A capture with so many seconds between its packets."""
        return self.file(pcap("raw", *(record(udp(packet), (1700000000 + i * seconds, 0)) for i, packet in enumerate(packets))))

    def test_packets_are_sent_as_they_are(self):
        packets = [PACKET, b"damaged", request(1)]
        for speed, seconds in (("0", 3600), ("1000000", 3600), ("1", 0)):
            path = self.capture_of(packets, seconds)
            with Receiver() as one, Receiver("::1") as other:
                self.run_dump("--read", path, "--forward", f"{one.address},{other.address}", "--speed", speed, code=1)
                for server in (one, other):
                    self.assertEqual([server.receive_bytes() for _ in packets], packets)
                    self.assertTrue(server.is_empty())

    def test_they_keep_the_times_of_the_capture(self):
        with Receiver() as server, Process(DUMP, "--json", "--read", self.capture_of([PACKET, request(1)], 3600),
                                           "--forward", server.address) as process:
            self.assertEqual(server.receive_bytes(), PACKET)
            self.assertTrue(process.stdout.readline())
            # The second one is due in an hour.
            self.assertTrue(server.is_empty())
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
            self.assertEqual((process.returncode, out), (0, b""))
            self.assertTrue(err.startswith(b"pinba-dump: 1 packet, "), err)
            self.assertTrue(server.is_empty())

    @unittest.skipUnless(STRACE, "there is no strace here")
    def test_bursts_have_pauses_between_them(self):
        packets = [request(number) for number in range(100)]
        with Receiver() as server:
            trace = self.path()
            self.run_dump("--read", self.capture_of(packets, 0), "--forward", server.address, "--speed", "0",
                          traced=trace)
            with open(trace) as file:
                times = [float(line.split()[1]) for line in file if re.search(r" send(to|msg|mmsg)\(", line) and "resumed" not in line]
            self.assertEqual([server.receive_bytes() for _ in packets], packets)
        self.assertEqual(len(times), len(packets))
        for before, after in ((31, 32), (63, 64), (95, 96)):
            self.assertGreaterEqual(times[after] - times[before], 0.001)

    def test_a_server_that_takes_nothing_is_told(self):
        path = self.capture_of([PACKET, PACKET], 0)
        result = self.run_dump("--read", path, "--forward", "127.0.0.1:1", code=1)
        self.assertRegex(result.stderr, rb"127\.0\.0\.1:1: 2 packets sent on, [12] came back, 0 could not be sent\n")

    def run_dump(self, *arguments, traced=None, **options):
        if traced is None:
            return super().run_dump(*arguments, **options)
        argv = [STRACE, "-f", "-ttt", "-e", "trace=sendto,sendmsg,sendmmsg", "-o", traced, DUMP, *arguments]
        return subprocess.run(argv, capture_output=True, check=True, timeout=SECONDS)


@unittest.skipUnless(IS_ROOT, "only root may capture")
class InterfaceTest(CaptureCase):
    def test_it_looks_while_a_server_holds_the_port(self):
        with Receiver() as server, capture(server.port, "--json", "--count", "3") as process:
            send(server.port, PACKET)
            packet = json.loads(process.stdout.readline())
            self.assertEqual((packet["script_name"], packet["to"]), ("/cart", server.address))
            send(server.port, request(1), b"damaged")
            out, err = process.communicate(timeout=SECONDS)
            self.assertEqual((process.returncode, out.count(b"\n")), (1, 2))
            self.assertTrue(err.startswith(b"pinba-dump: 3 packets, 1 damaged, 2 unsafe for some server, 0 lost\n"), err)
            self.assertEqual([server.receive_bytes() for _ in range(3)], [PACKET, request(1), b"damaged"])
        with Receiver("::1") as server, capture(server.port, "--json") as process:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
                client.sendto(PACKET, ("::1", server.port))
            self.assertEqual(json.loads(process.stdout.readline())["to"], server.address)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(SECONDS), 0)

    def test_every_interface_is_one_too(self):
        with Receiver() as server, Process(DUMP, "--json", "-i", "any", "--listen", server.address) as process:
            self.assertEqual(process.stderr.readline(), b"pinba-dump: capturing port %d on any\n" % server.port)
            send(server.port, PACKET)
            self.assertEqual(json.loads(process.stdout.readline())["to"], server.address)

    def test_packets_that_left_in_one_piece_are_shown_one_by_one(self):
        packets = [request(number, b"/script") for number in range(1, 6)]
        with Receiver() as server, capture(server.port, "--json", "--count", "5") as process:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setsockopt(SOL_UDP, UDP_SEGMENT, len(packets[0]))
                client.sendto(b"".join(packets), ("127.0.0.1", server.port))
            shown = [json.loads(line) for line in process.stdout]
            self.assertEqual([packet["request_count"] for packet in shown], [1, 2, 3, 4, 5])
            self.assertEqual([server.receive_bytes() for _ in packets], packets)

    def test_it_counts_what_the_system_had_no_room_for(self):
        packet = request(1, b"x" * 60000)
        with Receiver() as server, capture(server.port, "--json", "--script", "/end") as process:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            sent = 3000  # ten times what the buffer holds
            for _ in range(sent):
                send(server.port, packet)
            process.send_signal(signal.SIGCONT)
            # The first one that is seen is behind all that was kept, so there is room for one more. That one is waited
            # for: a signal ends the tool at once, and what waits to be read then is neither seen nor lost.
            deadline = time.monotonic() + SECONDS
            while not select.select([process.stdout], [], [], 0.05)[0]:
                self.assertLess(time.monotonic(), deadline)
                send(server.port, request(1, b"/end"))
                sent += 1
            send(server.port, request(2, b"/end"))
            sent += 1
            self.assertTrue(any(json.loads(line)["request_count"] == 2 for line in process.stdout))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=SECONDS)
            seen, lost = map(int, re.match(rb"pinba-dump: (\d+) packets?, .*, (\d+) lost\n", err).groups())
            self.assertGreater(lost, 0)
            self.assertEqual(seen + lost, sent)

    @unittest.skipUnless(TCPDUMP, "there is no tcpdump here")
    def test_a_capture_of_tcpdump_is_read_as_it_comes(self):
        with Receiver() as server, Process(TCPDUMP, "-i", "lo", "-U", "-w", "-", "udp", "port", str(server.port)) as tcpdump:
            with Process(DUMP, "--json", "--read", "-", "--listen", server.address, stdin=tcpdump.stdout) as process:
                while b"listening on lo" not in (line := tcpdump.stderr.readline()):
                    self.assertTrue(line)
                send(server.port, PACKET)
                self.assertEqual(json.loads(process.stdout.readline())["script_name"], "/cart")
                tcpdump.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(SECONDS), 0)

    def test_an_interface_that_there_is_not_is_told(self):
        result = self.run_dump("-i", "nothere0", code=1)
        self.assertEqual(result.stderr, b"pinba-dump: cannot capture on nothere0: there is no such interface\n")


class NobodyTest(CaptureCase):
    def test_who_may_not_capture_is_told_so(self):
        def become_nobody():
            if IS_ROOT:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)

        if IS_ROOT:
            program = os.path.join(self.folder, "pinba-dump")
            shutil.copy(DUMP, program)
            os.chmod(self.folder, 0o755)
        else:
            program = DUMP
        try:
            result = subprocess.run([program, "-i", "lo"], capture_output=True, timeout=SECONDS, preexec_fn=become_nobody, check=False)
        except PermissionError:
            self.skipTest("nobody cannot reach the build")
        self.assertEqual((result.returncode, result.stderr),
                         (1, b"pinba-dump: cannot capture on lo: only root, and who has CAP_NET_RAW, may capture\n"))


if __name__ == "__main__":
    unittest.main()
