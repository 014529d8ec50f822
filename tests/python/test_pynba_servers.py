"""Under gunicorn, uWSGI and uvicorn, while their workers are replaced, reloaded and killed: the packets are
those of the requests that clients had answers to."""

import collections
import http.client
import importlib.util
import os
import shutil
import signal
import sys
import threading
import unittest

import pynba_served
from pynba_served import PinbaServer, daemons

THREADS = 4
ROUNDS = 25
# path -> (status, bytes, hits of the timers in it)
PATHS = {"/hello": (200, 5, 1), "/none": (404, 4, 1), "/stream": (200, 30, 4), "/file": (200, 5000, 1)}
ASGI_PATHS = {"/hello": (200, 5, 1), "/none": (404, 4, 1)}


class Web(daemons.Daemon):
    """A server at a free port, whose packets go to `pinba`."""

    def __init__(self, folder, pinba, argv):
        self.port = daemons.free_port()
        paths = [pynba_served.HERE, os.environ.get("PYTHONPATH", "")]
        super().__init__(
            "web",
            [word.replace("PORT", str(self.port)) for word in argv],
            folder,
            {"PINBA_TEST_SERVER": pinba.address, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def ready(self):
        return daemons.port_answers(self.port)


class Load:
    """Clients that ask for all paths again and again, one connection a request."""

    def __init__(self, port, paths):
        self.port = port
        self.paths = paths
        self.answers = collections.Counter()  # by path
        self.lost = 0  # requests without an answer
        self.pids = set()
        self.wrong = []
        self._lock = threading.Lock()

    def _ask(self, path):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=daemons.PATIENCE)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            got = answer.status, len(answer.read())
            pid = int(answer.getheader("X-Pid"))
            status, size, _ = self.paths[path]
            if answer.length is None and got[0] == status and got[1] < size:
                # Without a length, what a killed worker had sent looks complete.
                raise http.client.IncompleteRead(b"")
        except (OSError, http.client.HTTPException):
            with self._lock:
                self.lost += 1
            return
        finally:
            client.close()
        with self._lock:
            self.answers[path] += 1
            self.pids.add(pid)
            if got != self.paths[path][:2]:
                self.wrong.append((path, got))

    def _run(self, rounds):
        for _ in range(rounds):
            for path in self.paths:
                self._ask(path)

    def run(self, rounds=ROUNDS, meanwhile=lambda: None):
        threads = [threading.Thread(target=self._run, args=(rounds,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        meanwhile()
        for thread in threads:
            thread.join()


class Servers(unittest.TestCase):
    def setUp(self):
        self.pinba = self.enterContext(PinbaServer())
        self.folder = self.enterContext(daemons.workspace())

    def check(self, load, unsent=0):
        """Each answer has its packet, and of requests without an answer there may be one.

        `unsent`: so many answers may have none, as workers were killed between the answer and the packet."""
        self.assertEqual(load.wrong, [])
        answers = sum(load.answers.values())
        daemons.wait_until(lambda: len(self.pinba.packets()) >= answers - unsent, f"{answers} packets")
        packets = self.pinba.packets()
        self.assertLessEqual(len(packets), answers + load.lost)
        for path, (status, size, hits) in load.paths.items():
            of_path = [packet for packet in packets if packet.script_name == path]
            self.assertGreaterEqual(len(of_path), load.answers[path] - unsent, path)
            if load.lost == unsent == 0:
                self.assertEqual(len(of_path), load.answers[path], path)
                self.assertEqual({packet.document_size for packet in of_path}, {size}, path)
            self.assertEqual({packet.status for packet in of_path}, {status}, path)
            self.assertEqual({sum(timer.hits for timer in packet.timers) for packet in of_path}, {hits}, path)
            self.assertEqual({packet.tags for packet in of_path}, {(("app", "web"),)}, path)

    def serve(self, argv, paths=PATHS, threads=1, loses=False):
        """Some requests, some more while it is reloaded, and some more while its workers are killed.

        `threads`: of a worker. `loses`: the server may lose connections when it replaces a worker."""
        with Web(self.folder, self.pinba, argv) as web:
            load = Load(web.port, paths)
            load.run()
            if not loses:
                self.assertEqual(load.lost, 0)
            self.check(load)
            before = set(load.pids)
            load.run(meanwhile=lambda: web.process.send_signal(signal.SIGHUP))
            self.check(load)
            # A server may answer from old workers until the new ones are there.
            daemons.wait_until(lambda: load.run(1) or load.pids - before, "new workers")

            killed = []

            def kill():
                for pid in sorted(load.pids):
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)
                    except ProcessLookupError:
                        pass

            load.run(meanwhile=kill)
            lost = load.lost
            daemons.wait_until(lambda: load.run(1) or load.lost == lost, "answers again")
            self.check(load, unsent=threads * len(killed))

    @unittest.skipUnless(shutil.which("gunicorn"), "no gunicorn")
    def test_of_gunicorn_whose_workers_are_forked_before_the_application_is_there(self):
        self.serve(["gunicorn", "-b", "127.0.0.1:PORT", "-w", "2", "--max-requests", "40", "pynba_web:app"])

    @unittest.skipUnless(shutil.which("gunicorn"), "no gunicorn")
    def test_of_gunicorn_with_threads_whose_workers_are_forked_from_the_application(self):
        options = ["-w", "2", "-k", "gthread", "--threads", "4", "--preload", "--max-requests", "60"]
        self.serve(["gunicorn", "-b", "127.0.0.1:PORT", *options, "pynba_web:app"], threads=4, loses=True)

    @unittest.skipUnless(shutil.which("uwsgi"), "no uWSGI")
    def test_of_uwsgi(self):
        options = ["--master", "--processes", "2", "--threads", "2", "--max-requests", "50"]
        self.serve(["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:PORT", *options, "--need-app",
                    "--die-on-term", "--module", "pynba_web:app"], threads=2)  # fmt: skip

    @unittest.skipIf(importlib.util.find_spec("uvicorn") is None, "no uvicorn")
    def test_of_uvicorn(self):
        python = [sys.executable, "-B", "-m"]
        argv = ["uvicorn", "--port", "PORT", "--log-level", "warning", "pynba_web:asgi_app"]
        with Web(self.folder, self.pinba, [*python, *argv]) as web:
            web.clean_exit_codes = daemons.UVICORN_EXIT_CODES
            load = Load(web.port, ASGI_PATHS)
            load.run()
            self.assertEqual(load.lost, 0)
            self.check(load)


if __name__ == "__main__":
    unittest.main()
