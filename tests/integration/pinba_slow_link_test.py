"""mmstats-pinba when the network is slower than what it has to say: the socket is full again and again. In a
network of its own, whose loopback is throttled."""

import os
import subprocess
import sys
import time
import unittest

import daemons
import mmstats_writer as writer
from pinba_forward_test import Forwarder
from pinba_packets import Server

INSIDE = "MMSTATS_TEST_INSIDE_NETWORK"
KBIT = 800  # a second: some 100 kB
LABELS = 4000


class SlowLinkTest(unittest.TestCase):
    def test_what_waits_for_a_full_socket_arrives_whole_and_blocks_nothing(self):
        with daemons.workspace() as workspace:
            os.mkdir(os.path.join(workspace, "run"))
            app = writer.MmstatsFile(os.path.join(workspace, "run", "app.mmstats"),
                                     [writer.counter(f"some.rather.long.label.of.a.counter.number.{number}") for number in range(LABELS)])
            with Server() as server, Forwarder(workspace, server.address, interval=0.1) as forwarder:
                began = time.monotonic()
                for number in range(LABELS):
                    app.incr(f"some.rather.long.label.of.a.counter.number.{number}", number + 1)
                truth = LABELS * (LABELS + 1) // 2
                daemons.wait_until(lambda: sum(t.hits for p in server.packets() for t in p.timers) == truth, "all hits")
                # It could not have been sent at once: the queue held it.
                self.assertGreater(time.monotonic() - began, 1)
                self.assertNotIn("lost", forwarder.log())
                forwarder.stop()
            app.close()


def main():
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", f"{KBIT}kbit", "burst", "4kb", "latency", "60s"], check=True)
        unittest.main()
    unshare = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
    os.execvpe(unshare[0], [*unshare, sys.executable, "-B", *sys.argv], {**os.environ, INSIDE: "1"})


if __name__ == "__main__":
    main()
