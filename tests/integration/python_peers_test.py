"""Services in Python under the servers that Python has: clients count the answers that they get, while workers are
killed and replaced. What collectd and mmash have in the end is what the clients counted."""

import http.client
import os
import random
import re
import signal
import threading
import time
import unittest
from collections import Counter

import daemons
from mmash_test import OPEN_METRICS, Mmash

SEED = int(os.environ.get("MMSTATS_PEERS_SEED") or random.SystemRandom().randrange(2**32))
INTERVAL = 0.1
CLIENTS = 4
WORKERS = 2
REQUESTS = 160  # of all clients, in a round
MOST_REQUESTS = 40  # of a worker: then it is replaced
SETTLED = "the totals are what the clients counted"

KINDS = (
    ("GET", "/items/{}"),
    ("GET", "/items/{}"),
    ("POST", "/items/{}"),
    ("GET", "/missing/{}"),
    ("GET", "/fail/{}"),
    ("GET", "/stream/{}"),
)
# The names of routes as a service has them.
PLAIN = {"items": "/items", "fail": "/fail", "stream": "/stream"}
FLASK = {route: f"/{route}/<int:number>" for route in ("items", "fail", "stream")}
STARLETTE = {route: f"/{route}/{{number:int}}" for route in ("items", "fail", "stream")}


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


class Server(daemons.Daemon):
    """A server for Python, with one of the services in python_peers/."""

    def __init__(self, workspace, command):
        self.files = os.path.join(workspace, "files")
        self.door = os.path.join(workspace, "door")
        for folder in (self.files, self.door):
            os.makedirs(folder)
        self.port = daemons.free_port()
        here = [os.path.join(daemons.HERE, "python_peers"), daemons.HERE]
        super().__init__(
            "server",
            [word.format(port=self.port) for word in command],
            os.path.join(workspace, "server"),
            {
                "MMSTATS_PATH": self.files,
                "MMSTATS_FILES": "peer-{PID}-{TID}.mmstats",
                "PEER_DOOR": self.door,
                "PYTHONPATH": os.pathsep.join([*here, os.environ["PYTHONPATH"]]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )

    def ready(self):
        return daemons.port_answers(self.port)


class Usher:
    """Opens the door to threads whose file collectd and mmash have read: see python_peers/peer.py."""

    def __init__(self, folder, seen_since):
        self._folder, self._seen_since = folder, seen_since
        self._over = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _run(self):
        try:
            while not self._over.wait(0.02):
                waiting = os.listdir(self._folder)
                if waiting:
                    self._seen_since(time.time())
                for name in waiting:
                    os.unlink(os.path.join(self._folder, name))
        except BaseException as failure:
            self._failure = failure


class Load:
    """Clients, and what they were answered."""

    def __init__(self, port, routes, kinds, dice):
        self._port, self._routes, self._kinds, self._dice = port, routes, kinds, dice
        self._lock = threading.Lock()
        self.answers = Counter()  # (method, status, route)
        self.failures = 0  # requests without an answer
        self.workers = set()  # the pids of those who answered

    def ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120 * daemons.TIME_SCALE)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            # Of a worker that was killed, or ended before it read the request.
            with self._lock:
                self.failures += 1
            return
        finally:
            connection.close()
        route = self._routes.get(path.split("/")[1], "unknown")
        with self._lock:
            self.answers[method, str(answer.status), route] += 1
            if worker := answer.headers["X-Worker"]:
                self.workers.add(int(worker))

    def asked(self):
        return self.answers.total() + self.failures

    def round(self, meanwhile=None):
        """Sends requests; calls `meanwhile` when half of them are answered. Returns when all are."""
        work = [self._kinds[number % len(self._kinds)] for number in range(REQUESTS)]
        self._dice.shuffle(work)
        half = self.asked() + REQUESTS // 2

        def client(share):
            for number, (method, path) in enumerate(share):
                self.ask(method, path.format(number))

        clients = [threading.Thread(target=client, args=(work[first::CLIENTS],)) for first in range(CLIENTS)]
        for one in clients:
            one.start()
        try:
            if meanwhile:
                daemons.wait_until(lambda: self.asked() >= half, "half of the requests are answered", 120)
                meanwhile()
        finally:
            for one in clients:
                one.join()


class PeersTest(unittest.TestCase):
    def serve(self, command, routes, kinds=KINDS):
        """Starts all daemons. `kinds`: the requests that the service is sent."""
        print(f"MMSTATS_PEERS_SEED={SEED}", flush=True)
        self.dice = random.Random(SEED)
        workspace = self.enterContext(daemons.workspace(mappings_matter=True))
        self.server = Server(workspace, command)
        block = f"""
            <Files "peers">
              Path "{self.server.files}/*.mmstats"
              StripPrefix "peer"
              ReportSelf true
              <Family "http.requests">
                Drop "route"
                TypeInstance "requests.%{{method}}.%{{status}}"
              </Family>
            </Files>"""
        self.collectd = self.enterContext(
            daemons.Collectd(workspace, daemons.mmstats_block(workspace, block), INTERVAL)
        )
        self.mmash = self.enterContext(Mmash(workspace, globs=(self.server.files + "/*.mmstats",)))
        self.enterContext(Usher(self.server.door, self.seen_since))
        self.enterContext(self.server)
        self.load = Load(self.server.port, routes, kinds, self.dice)
        self.killed = set()  # pids
        self.lost = 0  # answers whose worker was killed so soon that it may not have counted them

    def seen_since(self, when):
        """Waits until collectd and mmash have read everything as it was then."""
        name = "mmstats-peers/count-files"
        daemons.wait_until(
            lambda: sum(at > when for at, _ in self.collectd.samples(name)) >= 2, "collectd looked twice"
        )
        self.metrics()

    def metrics(self):
        """name and labels -> value."""
        status, _, body = self.mmash.get("/metrics", accept=OPEN_METRICS)
        self.assertEqual(status, 200)
        samples = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def in_mmash(self):
        """(method, status, route) -> requests"""
        result = {}
        for name, value in self.metrics().items():
            if name.startswith("peer_http_requests_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
                result[labels["method"], labels["status"], labels["route"]] = int(value)
        return result

    def in_collectd(self):
        """(method, status) -> requests"""
        prefix = "mmstats-peers/derive-requests."
        names = [name for name in self.collectd.names() if name.startswith(prefix)]
        # It knows a value a moment before that is written.
        return {tuple(name.removeprefix(prefix).split(".")): self.collectd.last(name) or 0 for name in names}

    def agrees(self, totals, answers):
        """Whether all that was answered is counted, and no more than that and what had no answer."""
        both = {*totals, *answers}
        missing = sum(max(0, answers.get(key, 0) - totals.get(key, 0)) for key in both)
        extra = sum(max(0, totals.get(key, 0) - answers.get(key, 0)) for key in both)
        return missing <= self.lost and extra <= self.load.failures

    def settle(self):
        """Waits until all totals are what the clients counted."""
        by_status = Counter()
        for (method, status, _), count in self.load.answers.items():
            by_status[method, status] += count

        # In the order of what is quicker to ask.
        views = ((self.in_mmash, self.load.answers), (self.in_collectd, by_status))
        for view, answers in views:
            try:
                daemons.wait_until(lambda view=view, answers=answers: self.agrees(view(), answers), SETTLED)
            except AssertionError as failure:
                raise AssertionError(f"{failure}: answered {dict(answers)}, counted {view()}") from None
        answered = self.load.answers.total()
        least, most = answered - self.lost, answered + self.load.failures
        for label in ("http.latency.count", "answers", "shared_answers"):
            name = f"mmstats-peers/derive-{label}"
            daemons.wait_until(lambda name=name: least <= (self.collectd.last(name) or 0) <= most, f"{name} is {most}")
        metrics = self.metrics()
        for name in ("peer_http_latency_seconds_count", "peer_answers_total", "peer_shared_answers_total"):
            self.assertTrue(least <= metrics[name] <= most, f"{name} is {metrics[name]}, not {least} to {most}")
        daemons.wait_until(
            lambda: self.metrics().get("peer_http_in_flight_requests", 0) == 0, "no request is in flight"
        )

    def wait_for_workers(self):
        """Until there are as many as there should be: none that was killed, none that is to come."""
        daemons.wait_until(
            lambda: len(set(children(self.server.pid)) - self.killed) == WORKERS, "there are all workers", 60
        )

    def kill_one(self):
        victim = self.dice.choice(children(self.server.pid))
        os.kill(victim, signal.SIGKILL)
        self.killed.add(victim)

    def kill_between_requests(self):
        """A worker that has counted all that it answered."""
        self.wait_for_workers()
        self.kill_one()
        self.load.round()
        self.settle()

    def kill_in_requests(self, at_once):
        """`at_once`: requests that a worker answers at the same time."""
        # A client may have an answer, a stream above all, before the worker counts it.
        self.load.round(meanwhile=self.kill_one)
        self.lost += at_once
        self.settle()

    def reload(self):
        before = set(children(self.server.pid))
        self.server.process.send_signal(signal.SIGHUP)
        daemons.wait_until(
            lambda: not before & set(children(self.server.pid)), "all workers are replaced", 120
        )
        daemons.wait_until(self.server.ready, "it answers again")
        self.load.round()
        self.settle()

    def end(self, least_workers):
        self.server.stop(120)
        if self.server.process.returncode < 0:
            self.killed.add(self.server.pid)  # by its own hand: daemons.UVICORN_EXIT_CODES
        self.seen_since(time.time())
        self.settle()
        # gunicorn kills, too, on a reload: with a signal that Python does not heed any more while it ends.
        # Its versions have two ways to say so.
        said = r"Worker (?:with pid |\(pid:)(\d+)\)? was (?:terminated due to signal|sent SIG)"
        by_gunicorn = re.findall(said, self.server.log())
        left = {int(name.split("-")[1]) for name in os.listdir(self.server.files)}
        self.assertLessEqual(left, self.killed | set(map(int, by_gunicorn)), "only who was killed leaves files")
        for label in ("http.latency.count", "answers", "shared_answers"):
            totals = [value for _, value in self.collectd.samples(f"mmstats-peers/derive-{label}")]
            self.assertEqual(totals, sorted(totals), f"{label} fell")
        workers, load = self.load.workers, self.load
        print(f"{load.answers.total()} answers of {len(workers)} workers, {load.failures} requests without one")
        self.assertGreaterEqual(len(workers), least_workers)
        self.assertGreaterEqual({status for _, status, _ in load.answers}, {"200", "201", "404"})
        # Else the test has shown nothing: a kill costs what one worker has taken in.
        self.assertLess(load.failures, load.answers.total() / 20)

    def see_workers_off(self, command, routes, at_once, kinds=KINDS, least_workers=None):
        """A server that replaces its workers: after so many requests, when they are killed, and when it is told."""
        self.serve(command, routes, kinds)
        self.load.round()
        self.settle()
        for _ in range(2):
            self.kill_between_requests()
        self.reload()
        for _ in range(2):
            self.kill_in_requests(at_once)
        # Some servers look only now and then at how many requests there were.
        self.wait_for_workers()
        self.end(least_workers or self.load.answers.total() // (2 * MOST_REQUESTS))

    def gunicorn(self, *options):
        # No worker is killed for being slow: it may be the machine.
        return [
            daemons.program("gunicorn"), "--bind", "127.0.0.1:{port}", "--workers", str(WORKERS), "--timeout", "0",
            "--graceful-timeout", "120", "--max-requests", str(MOST_REQUESTS), "--worker-tmp-dir", "/dev/shm", *options,
        ]  # fmt: skip

    def test_gunicorn_with_one_thread_a_worker(self):
        self.see_workers_off(self.gunicorn("plain:application"), PLAIN, at_once=1)

    def test_gunicorn_with_threads_and_flask_made_before_the_fork(self):
        command = self.gunicorn("--worker-class", "gthread", "--threads", "3", "--preload", "flask_peer:application")
        self.see_workers_off(command, FLASK, at_once=3)

    def uwsgi(self, *options):
        # It closes the connection without an answer if the application raises: such requests are left out.
        kinds = [kind for kind in KINDS if "fail" not in kind[1]]
        command = [
            daemons.program("uwsgi"), "--plugin", "python3", "--http-socket", "127.0.0.1:{port}", "--master",
            "--processes", str(WORKERS), "--need-app", "--die-on-term", "--no-orphans", "--module", "plain", *options,
        ]  # fmt: skip
        return command, kinds

    def test_uwsgi_with_one_thread_a_worker(self):
        command, kinds = self.uwsgi("--max-requests", str(MOST_REQUESTS), "--min-worker-lifetime", "0")
        self.see_workers_off(command, PLAIN, at_once=1, kinds=kinds)

    def test_uwsgi_with_threads(self):
        # Its workers with threads do not end by themselves after so many requests, but are killed a minute later: so only
        # those that die, and a reload, are replaced, and not each of these comes to answer.
        command, kinds = self.uwsgi("--threads", "2", "--enable-threads")
        self.see_workers_off(command, PLAIN, at_once=2, kinds=kinds, least_workers=3)

    def test_uvicorn_in_workers_of_gunicorn_with_starlette(self):
        command = self.gunicorn("--worker-class", "uvicorn.workers.UvicornWorker", "starlette_peer:application")
        self.see_workers_off(command, STARLETTE, at_once=CLIENTS)

    def test_uvicorn_alone_with_starlette(self):
        command = [daemons.program("uvicorn"), "--host", "127.0.0.1", "--port", "{port}", "starlette_peer:application"]
        self.serve(command, STARLETTE)
        self.server.clean_exit_codes = daemons.UVICORN_EXIT_CODES
        self.load.round()
        self.settle()
        self.end(least_workers=1)


if __name__ == "__main__":
    unittest.main()
