"""Debian's php-pinba as the judge: what it sends is read by us as by protobuf, and shown like what we send."""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import unittest

import daemons
import pinba_packets

DUMP = os.environ["MMSTATS_PINBA_DUMP"]
LIBRARY = os.environ["MMSTATS_PINBA_LIBRARY"]
SECONDS = daemons.PATIENCE

# The same request in PHP and in C. 0 is what PHP has as the status of the command line.
PHP = """
    pinba_hostname_set("web2"); pinba_server_name_set("shop.example.com"); pinba_script_name_set("/naïve");
    pinba_schema_set("https"); pinba_tag_set("app", "shop"); pinba_tag_set("release", "12");
    pinba_timer_add(["group" => "mysql", "op" => "get"], 0.25);
    pinba_timer_add(["group" => "mysql", "op" => "get"], 0.5);
    pinba_timer_add(["group" => "cache", "size" => 300], 0.125);
"""


def why_php_cannot_send():
    """Debian 12 has the extension, 13 has not. Empty if it is here."""
    if not shutil.which("php"):
        return "php is not installed here, so it cannot judge"
    folder = subprocess.run(["php", "-n", "-r", "echo ini_get('extension_dir');"], capture_output=True, text=True, check=True)
    there = os.path.exists(os.path.join(folder.stdout, "pinba.so"))
    return "" if there else "Debian's php-pinba is not installed here, so it cannot judge"


class Tag(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p)]


def send_php(port, program):
    subprocess.run(
        ["php", "-n", "-d", "extension=pinba.so", "-d", "pinba.enabled=1", "-d", f"pinba.server=127.0.0.1:{port}",
         "-r", program],
        check=True, timeout=SECONDS,
    )


def send_ours(port):
    library = ctypes.CDLL(LIBRARY)
    library.pinba_client_new.restype = library.pinba_request_start.restype = ctypes.c_void_p
    client = ctypes.c_void_p(library.pinba_client_new(f"127.0.0.1:{port}".encode(), None, None, ctypes.c_size_t(0)))
    request = ctypes.c_void_p(library.pinba_request_start(client, "/naïve".encode()))
    library.pinba_request_set_hostname(request, b"web2")
    library.pinba_request_set_server_name(request, b"shop.example.com")
    library.pinba_request_set_schema(request, b"https")
    library.pinba_request_set_status(request, ctypes.c_uint32(0))
    library.pinba_request_add_tag(request, b"app", b"shop")
    library.pinba_request_add_tag(request, b"release", b"12")
    for tags, hits, seconds in (([(b"group", b"mysql"), (b"op", b"get")], 2, 0.75),
                                ([(b"group", b"cache"), (b"size", b"300")], 1, 0.125)):
        array = (Tag * len(tags))(*tags)
        library.pinba_timer_add(request, array, ctypes.c_size_t(len(tags)), ctypes.c_uint64(hits), ctypes.c_double(seconds))
    assert library.pinba_request_send(request) == 1
    library.pinba_client_free(client)


class PhpTest(unittest.TestCase):
    def setUp(self):
        if reason := why_php_cannot_send():
            self.skipTest(reason)

    def datagram(self, send, *arguments):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(SECONDS)
            send(server.getsockname()[1], *arguments)
            return server.recv(1 << 16)

    def shown(self, datagram, *options):
        result = subprocess.run([DUMP, *options, "-"], input=datagram, capture_output=True, timeout=SECONDS, check=True)
        return result.stdout.decode()

    def test_what_php_sends_is_safe_and_read_as_protobuf_reads_it(self):
        datagram = self.datagram(send_php, PHP)
        packet = pinba_packets.read(datagram)  # which asks protobuf, too
        got = json.loads(self.shown(datagram, "--json"))
        self.assertEqual(got["findings"], [])
        for name in ("hostname", "server_name", "script_name", "schema", "status", "request_count", "document_size",
                     "memory_peak", "memory_footprint"):
            self.assertEqual(got[name], getattr(packet, name), name)
        for name in ("request_time", "ru_utime", "ru_stime"):
            self.assertAlmostEqual(got[name], getattr(packet, name), delta=1e-6 * getattr(packet, name))
        self.assertEqual(tuple(sorted(map(tuple, got["tags"]))), packet.tags)
        self.assertEqual(packet.tags, (("app", "shop"), ("release", "12")))
        timers = {tuple(sorted(map(tuple, timer["tags"]))): timer for timer in got["timers"]}
        self.assertEqual({timer.tags: (timer.hits, timer.value) for timer in packet.timers},
                         {tags: (timer["hit_count"], timer["value"]) for tags, timer in timers.items()})
        self.assertEqual(packet.timer(group="mysql", op="get").hits, 2)

    def test_what_php_sends_is_shown_like_what_we_send(self):
        theirs, ours = self.datagram(send_php, PHP), self.datagram(send_ours)
        pinba_packets.read(ours)
        shown = []
        for datagram in (theirs, ours):
            packet = json.loads(self.shown(datagram, "--json"))
            # What was measured, and what only PHP measures.
            for name in ("bytes", "request_time", "ru_utime", "ru_stime", "memory_peak", "memory_footprint"):
                packet.pop(name)
            for timer in packet["timers"]:
                for name in ("ru_utime", "ru_stime"):
                    timer.pop(name)
                timer["tags"].sort()
            packet["timers"].sort(key=lambda timer: timer["tags"])
            packet["tags"].sort()
            shown.append(packet)
        self.assertEqual(*shown)
        self.assertEqual([timer["value"] for timer in shown[0]["timers"]], [0.125, 0.75])
        # As text, too: each line begins alike.
        words = [sorted(line.split()[0] for line in self.shown(datagram).splitlines() if line.strip())
                 for datagram in (theirs, ours)]
        self.assertEqual(*words)


if __name__ == "__main__":
    unittest.main()
