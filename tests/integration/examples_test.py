"""The example web service counts every answer, even those of workers that are killed, and ends cleanly."""

import glob
import http.client
import os
import signal
import subprocess
import unittest
from collections import Counter

from daemons import PATIENCE, free_port, wait_until, workspace
from mmstats_reader import read

WEB_SERVICE = os.environ["MMSTATS_WEB_SERVICE"]


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


class WebServiceTest(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(workspace())
        self.port = free_port()
        environment = os.environ | {"MMSTATS_PATH": self.folder}
        self.service = subprocess.Popen([WEB_SERVICE, str(self.port)], env=environment)
        self.addCleanup(self.service.wait)
        self.addCleanup(self.service.terminate)
        wait_until(lambda: self.ask("/nowhere"), "the service answers")

    def ask(self, path):
        """Status and size of the answer; None if nobody is there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, len(answer.read())
        except OSError:
            return None
        finally:
            connection.close()

    def files(self):
        return glob.glob(self.folder + "/*")

    def total(self, label):
        total = 0
        for path in self.files():
            with open(path, "rb") as file:
                total += sum(field["value"] for field in read(file.read()) if field["label"] == label)
        return total

    def test_every_answer_is_counted_over_the_death_of_a_worker(self):
        got = Counter({404: 1})
        size = 0
        for turn in range(120):
            if turn == 60:
                # An answer is counted when it has been sent.
                wait_until(lambda: self.total("web.latency.count") == got.total(), "the first half is counted")
                victim = children(self.service.pid)[0]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda: self.total("web.workers.lost") == 1, "the death is noticed")
            answer = self.ask(["/items/1000", "/items/10", "/search", "/nowhere"][turn % 4])
            # The victim's share of the connections is lost with it.
            if answer:
                got[answer[0]] += 1
                size += answer[1]
        self.assertGreater(got.total(), 100)
        wait_until(lambda: self.total("web.latency.count") == got.total(), f"{got.total()} requests are counted")
        self.assertEqual(self.total("web.requests"), got.total())
        for status in 200, 404, 500:
            self.assertEqual(self.total(f"web.responses.GET.{status}"), got[status])
        self.assertEqual(self.total("web.bytes_sent"), size)

        left = [path for path in self.files() if f"-{victim}-" in path]
        self.service.terminate()
        self.assertEqual(self.service.wait(PATIENCE), 0)
        # Only who was killed could not take its files away.
        self.assertEqual(sorted(self.files()), sorted(left))
        self.assertTrue(left)

    def test_no_worker_outlives_the_supervisor(self):
        workers = children(self.service.pid)
        self.service.kill()
        try:
            wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in workers), "the workers end")
        except AssertionError:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            raise
        self.assertFalse([path for path in self.files() for pid in workers if f"-{pid}-" in path])


if __name__ == "__main__":
    unittest.main()
