"""The programs in core/python/doc/: both of a page do the same, each judged by what its users look at. And those in
README.md and core/doc/publish.md."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import unittest

import daemons
from mmash_test import OPEN_METRICS, Mmash

SOURCE = os.path.join(daemons.HERE, "..", "..")
PAGES = os.path.join(SOURCE, "core", "python", "doc")


def blocks(page, language):
    with open(os.path.join(PAGES, page)) as file:
        fenced = re.findall(r"^```(\w*)\n(.*?)^```$", file.read(), re.M | re.S)
    return [text for of, text in fenced if of == language]


@contextlib.contextmanager
def runs(program, tail="", **environment):
    """Runs a program to its end, and keeps its process until the `with` is over. Gives what `tail` printed."""
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", f"{program}\n{tail}\nprint('ready', flush=True)\ninput()"],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        printed = []
        for line in process.stdout:
            if line == "ready\n":
                break
            printed.append(line)
        else:
            raise AssertionError(f"the program ended early, and printed: {''.join(printed)}")
        yield "".join(printed)
        process.communicate("\n", daemons.PATIENCE)
    assert process.returncode == 0, f"the program ended with {process.returncode}"


def samples(text):
    """name and labels -> value, of Prometheus' text format."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, _, value in lines}


class PagesTest(unittest.TestCase):
    def setUp(self):
        self.workspace = self.enterContext(daemons.workspace())
        self.files = os.path.join(self.workspace, "files")
        os.mkdir(self.files)
        self.mmash = self.enterContext(Mmash(self.workspace, globs=(self.files + "/*.mmstats",)))

    def metrics(self):
        status, _, body = self.mmash.get("/metrics", accept=OPEN_METRICS)
        self.assertEqual(status, 200)
        return samples(body.decode())

    def test_prometheus_client_and_mmstats_show_the_same(self):
        theirs, ours = blocks("from_prometheus_client.md", "python")
        (shown,) = blocks("from_prometheus_client.md", "")
        theirs = theirs.replace("8000", str(daemons.free_port()))
        tail = "import prometheus_client; print(prometheus_client.generate_latest().decode())"
        with runs(theirs, tail) as printed:
            in_theirs = samples(printed)
        with runs(ours, MMSTATS_PATH=self.files):
            in_ours = self.metrics()
        self.assertEqual(len(samples(shown)), 6)
        for name, value in samples(shown).items():
            self.assertEqual(in_ours.get(name), value, name)
            self.assertEqual(in_theirs.get(name), value, name)
        names = {name.partition("{")[0] for name in in_theirs if name.startswith("app_") and "_created" not in name}
        self.assertLessEqual(names, {name.partition("{")[0] for name in in_ours})

    def test_statsd_and_mmstats_count_the_same(self):
        theirs, ours, at_run_time = blocks("from_statsd.md", "python")
        with socket.socket(type=socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(daemons.PATIENCE)
            theirs = theirs.replace("localhost", "127.0.0.1").replace("8125", str(server.getsockname()[1]))
            with runs(theirs):
                packets = [server.recv(1000).decode() for _ in range(30)]
        with runs(ours, MMSTATS_PATH=self.files):
            metrics = self.metrics()
        for kind in "mail", "print":
            counted = packets.count(f"app.jobs.{kind}:1|c")
            self.assertEqual(counted, 5)
            self.assertEqual(metrics[f'app_jobs_total{{kind="{kind}"}}'], counted)
        gauges = [packet for packet in packets if packet.startswith("app.queue:")]
        self.assertEqual(gauges[-1], f"app.queue:{metrics['app_queue']:.0f}|g")
        timings = [packet for packet in packets if packet.startswith("app.duration:")]
        self.assertEqual(metrics["app_duration_seconds_count"], len(timings))

        # Another application, so that its counters do not come on top.
        folder = os.path.join(self.workspace, "run-time")
        os.mkdir(folder)
        mmash = self.enterContext(Mmash(self.workspace, globs=(folder + "/*.mmstats",), name="second"))
        with runs(at_run_time, MMSTATS_PATH=folder):
            _, _, body = mmash.get("/metrics", accept=OPEN_METRICS)
        metrics = samples(body.decode())
        self.assertEqual([metrics["app_jobs_mail_total"], metrics["app_jobs_print_total"]], [2, 1])

    def test_what_the_readme_shows_publishes(self):
        (program,) = blocks("../../../README.md", "python")
        with runs(program, MMSTATS_PATH=self.files):
            metrics = self.metrics()
        want = ["web_requests_total", 'web_responses_total{method="GET",status="200"}', "web_latency_seconds_count"]
        self.assertEqual([metrics.get(name) for name in want], [1, 1, 1])

    def test_what_the_page_on_publishing_shows_publishes(self):
        model, use, middleware = blocks("../../doc/publish.md", "python")
        before = """
body = b"answer"

def app(environ, start_response):
    start_response("200 OK", [])
    return [body]
"""
        serve = """
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "a", "wsgi.url_scheme": "http"}
print(b"".join(app(environ, lambda *_: None)))
"""
        program = "\n".join([model, before, use, middleware])
        with runs(program, serve, MMSTATS_PATH=self.files) as printed:
            metrics = self.metrics()
        self.assertEqual(printed, "b'answer'\n")
        want = {
            "web_requests_total": 1,
            'web_responses_total{method="GET",status="200"}': 1,
            "web_bytes_sent_bytes_total": 6,
            "web_latency_seconds_count": 1,
            "web_in_progress": 1,
            'shop_http_requests_total{method="GET",status="200",route="unknown"}': 1,
        }
        self.assertEqual({name: metrics.get(name) for name in want}, want)


if __name__ == "__main__":
    unittest.main()
