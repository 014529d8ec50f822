"""Scripts, reporters, forks, and servers that are not there."""

import contextlib
import gc
import multiprocessing
import os
import socket
import sys
import threading
import time
import unittest
import weakref

import pynba_served
from pynba_served import PinbaServer, run_script
from pynba import ScriptMonitor, pynba
from pynba.core import DataCollector, Reporter, logger
from pynba.reporter import servers_of


class Scripts(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(PinbaServer())

    def test_are_sent_with_their_timers(self):
        monitor = ScriptMonitor(self.server.pair, tags={"job": "nightly"})
        timer = monitor.timer(tag1="bar")
        timer.start()
        timer.stop()

        @monitor.timer(tag1="baz")
        def work():
            pass

        work()
        with monitor.timer(tag1="qux"):
            pass
        monitor.send()
        packet = self.server.one()
        self.assertEqual([packet.timer(tag1=tag).hits for tag in ("bar", "baz", "qux")], [1, 1, 1])
        self.assertEqual(packet.hostname, socket.gethostname())
        self.assertEqual(packet.server_name, socket.gethostname())
        self.assertEqual(packet.script_name, " ".join(sys.argv))
        self.assertEqual((packet.tags, packet.status), ((("job", "nightly"),), 200))

    def test_have_the_names_that_they_are_given(self):
        monitor = ScriptMonitor(self.server.pair, "host", "script", "srv")
        monitor.collector.document_size = 5
        monitor.tags["late"] = "tag"
        monitor.send()
        packet = self.server.one()
        self.assertEqual((packet.hostname, packet.script_name, packet.server_name), ("host", "script", "srv"))
        self.assertEqual((packet.document_size, packet.tags), (5, (("late", "tag"),)))

    def test_have_the_names_that_they_are_set_to_later(self):
        monitor = ScriptMonitor(self.server.pair)
        monitor.scriptname, monitor.hostname, monitor.servername = "nightly", "h1", "s1"
        self.assertEqual((monitor.scriptname, monitor.hostname, monitor.servername), ("nightly", "h1", "s1"))
        monitor.send()
        with monitor:
            pynba.scriptname = "[2] " + pynba.scriptname  # where the code knows of no monitor
        monitor.collector = DataCollector().start()
        monitor.send()
        monitor.scriptname = None
        monitor.send()
        packets = self.server.wait(4)
        self.assertEqual(
            [packet.script_name for packet in packets], ["nightly", "[2] nightly", "nightly", "<empty>"]
        )
        self.assertEqual({(packet.hostname, packet.server_name) for packet in packets}, {("h1", "s1")})

    def test_that_fail_have_status_500(self):
        monitor = ScriptMonitor(self.server.pair, scriptname="job")

        wanted = []

        def run(error, status):
            monitor.collector.status = status
            with monitor:
                if error is not None:
                    raise error

        for error, status, want in (
            (None, None, 200),
            (SystemExit(3), None, 500),
            (SystemExit("no such table"), None, 500),
            (SystemExit(0), None, 200),
            (SystemExit(), None, 200),
            (KeyError("k"), None, 500),
            (KeyboardInterrupt(), None, 500),
            (GeneratorExit(), None, 200),
            (KeyError("k"), 503, 503),
            (None, None, 200),  # what failed before is forgotten
        ):
            wanted.append(want)
            with self.subTest(error=error, status=status):
                with contextlib.nullcontext() if error is None else self.assertRaises(type(error)):
                    run(error, status)
                self.assertEqual([packet.status for packet in self.server.wait(len(wanted))], wanted)

    def test_start_when_they_are_told_to(self):
        monitor = ScriptMonitor(self.server.pair, autostart=False)
        self.assertEqual((monitor.started, monitor.elapsed, monitor.ru_utime), (False, None, None))
        for misuse in (monitor.stop, monitor.send):
            with self.assertRaises(RuntimeError):
                misuse()
        self.assertIs(monitor.start(), monitor)
        with self.assertRaises(RuntimeError):
            monitor.start()
        self.assertIs(monitor.stop(), monitor)
        elapsed = monitor.elapsed
        self.assertGreater(elapsed, 0)
        self.assertIsNotNone(monitor.ru_stime)
        monitor.send()
        self.assertAlmostEqual(self.server.one().request_time, elapsed, places=5)

    def test_forget_at_a_flush_and_start_over_after_sending(self):
        monitor = ScriptMonitor(self.server.pair)
        monitor.timer(tag1="foo").start()
        self.assertEqual(len(monitor.collector.timers), 1)
        monitor.flush()
        self.assertEqual(len(monitor.collector.timers), 0)
        self.assertIsNone(monitor.ru_utime)
        monitor.timer(part="1").start()
        monitor.send()
        monitor.timer(part="2").start()
        monitor.send()
        first, second = self.server.wait(2)
        self.assertEqual([len(first.timers), len(second.timers)], [1, 1])
        self.assertEqual(second.timer(part="2").hits, 1)
        self.assertLess(second.request_count - first.request_count, 2)

    def test_are_current_within_a_with_block(self):
        with ScriptMonitor(self.server.pair, scriptname="job"):
            with pynba.timer(a="b"):
                pass
        self.assertEqual(self.server.one().timer(a="b").hits, 1)
        self.assertIs(pynba.enabled, False)

    def test_call_a_reporter_as_the_original_did(self):
        calls = []

        def reporter(*names, **more):
            calls.append((names, more))

        monitor = ScriptMonitor(("127.0.0.1", 3002), "h", "s", "v", reporter)
        monitor.timer(a="b")
        timer = monitor.timer(a="b").start()
        monitor.send()
        ((servername, hostname, scriptname, _, timers), more) = calls[0]
        self.assertEqual((servername, hostname, scriptname, timers), ("v", "h", "s", [timer]))
        self.assertIsNotNone(more["ru_utime"])

    def test_never_fail_for_a_reporter(self):
        def broken(*_, **__):
            raise KeyError("mine")

        with self.assertLogs(logger):
            ScriptMonitor(None, reporter=broken).send()

    def test_whose_server_is_a_name_are_sent_although_they_end_at_once(self):
        run_script(
            """
            import sys
            import pynba.reporter
            from pynba.util import ScriptMonitor
            pynba.reporter._AT_EXIT = 60.0  # however busy the machine is
            ScriptMonitor(("localhost", int(sys.argv[1])), scriptname="short").send()
            """,
            self.server.port,
        )
        self.assertEqual(self.server.one().script_name, "short")

    def test_whose_server_refuses_at_its_first_address_reach_the_next(self):
        """Though they end once the packet has gone to the first, and nobody lets go of the reporter."""
        with pynba_served.daemons.workspace() as folder:
            inside = pynba_served.daemons.with_hosts(folder, pynba_served.daemons.BOTH_HOSTS)
            if inside is None:
                self.skipTest("needs a name space with other hosts in it")
            run_script(
                """
                import sys, threading, time
                import pynba.reporter
                from pynba.util import ScriptMonitor
                pynba.reporter._AT_EXIT = 60.0  # however busy the machine is
                sent = threading.Event()
                def work():
                    reporter = pynba.reporter.Reporter(("both.test", int(sys.argv[1])))
                    ScriptMonitor(None, scriptname="only", reporter=reporter).send()
                    while not reporter.counts["sent"]:
                        time.sleep(0.001)
                    sent.set()
                    threading.Event().wait()
                threading.Thread(target=work, daemon=True).start()
                sent.wait()
                """,
                self.server.port,
                inside=inside,
            )
        self.assertEqual(self.server.one().script_name, "only")

    def test_that_come_one_after_the_other_keep_no_reporters(self):
        from pynba.reporter import _left

        _left.clear()
        for _ in range(3):
            ScriptMonitor(("localhost", self.server.port), scriptname="short").send()
        self.server.wait(3)

        def forgotten():
            Reporter(self.server.pair)
            return not _left

        pynba_served.daemons.wait_until(forgotten, "what waited is sent")
        with self.assertLogs(logger):
            for _ in range(20):
                ScriptMonitor(("no-such-host.invalid", 30002)).send()
            logger.warning("one at least")
        self.assertLessEqual(len(_left), 16)
        _left.clear()

    def test_are_named_as_their_command_line(self):
        run_script(
            """
            import sys; from pynba import ScriptMonitor
            ScriptMonitor(("127.0.0.1", int(sys.argv[1]))).send()
            """,
            self.server.port,
            "--verbose",
        )
        self.assertEqual(self.server.one().script_name, f"-c {self.server.port} --verbose")

    def test_import_in_no_time(self):
        result = run_script("import logging, sys; before = set(sys.modules); import pynba; "
                            "print(*sorted(set(sys.modules) - before))")  # fmt: skip
        for slow in ("asyncio", "inspect", "typing", "socket", "dataclasses"):
            self.assertNotIn(slow, result.stdout.split())


class Reporters(unittest.TestCase):
    def test_read_addresses(self):
        for address, want in (
            (("127.0.0.1", 30002), ["127.0.0.1:30002"]),
            (("web", "30002"), ["web:30002"]),
            (("::1", 30002), ["[::1]:30002"]),
            (("::1", 30002, 0, 0), ["[::1]:30002"]),
            ("web", ["web"]),
            ("web:1,other:2 third", ["web:1", "other:2", "third"]),
            (b"web:1", ["web:1"]),
            ([("a", 1), "b:2"], ["a:1", "b:2"]),
            (("a:1", "b:2"), ["a:1", "b:2"]),
            (("a", "b:2"), ["a", "b:2"]),
            (["a", "b"], ["a", "b"]),
            (("a", "b", "c"), ["a", "b", "c"]),
        ):
            self.assertEqual(servers_of(address), want)

    def test_refuse_options_that_they_do_not_know(self):
        for options in (
            {"spread": "some"},
            {"classic": "old"},
            {"equal_timers": None},
            {"linger": -1},
            {"linger": float("nan")},
            {"max_datagram": "x"},
            {"max_datagram": 2**70},
            {"linger": "x"},
        ):
            with self.subTest(options=options):
                with self.assertRaises((ValueError, TypeError, OverflowError)):
                    Reporter("127.0.0.1", True, **options)
                with self.assertLogs(logger, "ERROR"):
                    Reporter("127.0.0.1", **options)("s", "h", "n", 1.0, [])

    def test_merge_equal_timers_as_they_are_told_to(self):
        from pynba.core import Timer

        timers = [Timer({"a": "b"}).start().stop() for _ in range(50)]
        for option, want in (("separate", 50), ("one", 1)):
            with PinbaServer() as server:
                reporter = Reporter(server.pair, equal_timers=option, continue_timers=False)
                reporter("s", "h", "n", 1.0, timers)
                self.assertEqual(len(server.one().timers), want)
                self.assertEqual(server.hits(a="b"), 50)

    def test_send_packets_as_they_are(self):
        with PinbaServer() as server:
            reporter = Reporter(server.address)
            message = Reporter.prepare("s", "h", "n", 1.0, [])
            self.assertEqual(reporter.send(message), len(message))
            self.assertEqual(server.one().script_name, "n")
            self.assertEqual(server.datagrams(), [message])
            self.assertEqual((reporter.counts["sent"], reporter.counts["bytes"]), (1, len(message)))
            for odd in (b"", b"x" * 70_000, "text", None):
                with self.assertLogs(logger):
                    self.assertIsNone(reporter.send(odd))
            reporter.raise_on_fail = True
            with self.assertRaises(OSError):
                reporter.send(b"")
            with self.assertRaises(TypeError):
                reporter.send(None)

    def test_wait_for_company_if_told_to(self):
        with PinbaServer() as server:
            reporter = Reporter(server.pair, linger=60)
            reporter("s", "h", "n", 1.0, [])
            self.assertEqual(reporter.counts["queued"], 1)
            self.assertTrue(reporter.flush(60))
            server.one()

    def test_never_wait_for_a_name(self):
        with self.assertLogs(logger) as told:
            logger.warning("one at least")
            reporter = Reporter(("no-such-host.invalid", 30002))
            begin = time.thread_time()
            for _ in range(100):
                reporter("s", "h", "n", 1.0, [])
            self.assertLess(time.thread_time() - begin, 5)
            self.assertEqual(reporter.counts["sent"], 0)
            self.assertFalse(reporter.flush(0))
            with self.assertRaises(ValueError):
                reporter.flush(-1)
            del reporter
            gc.collect()
        del told

    def test_end_with_their_last_reference(self):
        reporter = Reporter(("127.0.0.1", 30002))
        gone = weakref.ref(reporter)
        del reporter
        gc.collect()
        self.assertIsNone(gone())


class Processes(unittest.TestCase):
    def test_that_are_forked_send_their_own(self):
        with PinbaServer() as server:
            monitor = ScriptMonitor(server.pair, scriptname="parent")
            monitor.send()
            children = []
            for i in range(4):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        monitor.collector.scriptname = f"child {i}"
                        monitor.timer(child=i).start()
                        monitor.send()
                        code = 0 if monitor.reporter.flush(60) and monitor.reporter.counts["sent"] == 1 else 2
                    finally:
                        os._exit(code)
                children.append(child)
            for child in children:
                self.assertEqual(os.waitpid(child, 0)[1], 0)
            monitor.send()
            packets = server.wait(6)
            self.assertEqual(
                {(p.script_name, len(p.timers)) for p in packets},
                {("parent", 0), *((f"child {i}", 1) for i in range(4))},
            )

    def test_may_fork_while_threads_send(self):
        with PinbaServer() as server:
            reporter = Reporter(server.pair)
            end = threading.Event()

            def work():
                while not end.is_set():
                    reporter("s", "h", "thread", 1.0, [])
                    end.wait(0.001)

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(20):
                    child = os.fork()
                    if child == 0:
                        try:
                            reporter("s", "h", "child", 1.0, [])
                        finally:
                            os._exit(0 if reporter.flush(60) else 1)
                    self.assertEqual(os.waitpid(child, 0)[1], 0)
            finally:
                end.set()
                for thread in threads:
                    thread.join()
            pynba_served.daemons.wait_until(
                lambda: sum(packet.script_name == "child" for packet in server.packets()) == 20, "20 children"
            )

    def test_of_multiprocessing_send(self):
        for method in ("fork", "spawn"):
            with PinbaServer() as server:
                context = multiprocessing.get_context(method)
                worker = context.Process(target=send_one, args=(server.pair, method))
                worker.start()
                worker.join()
                self.assertEqual(worker.exitcode, 0)
                self.assertEqual(server.one().script_name, method)

    def test_end_well_with_daemon_threads_and_requests_that_run(self):
        result = run_script(
            """
            import sys, threading
            from pynba import Reporter, ScriptMonitor, Timer
            reporter = Reporter(("127.0.0.1", int(sys.argv[1])))
            begun = threading.Event()
            def work():
                while True:
                    reporter("s", "h", "n", 1.0, [Timer({"a": "b"}).start().stop()])
                    begun.set()
            threading.Thread(target=work, daemon=True).start()
            left = ScriptMonitor(("127.0.0.1", int(sys.argv[1])))
            left.__enter__()
            begun.wait()
            print("end")
            """,
            pynba_served.pinba_packets.free_udp_port(),
        )
        self.assertEqual(result.stdout, "end\n")

    @unittest.skipUnless(sys.version_info[:2] >= (3, 11), "needs heap types")
    def test_of_several_interpreters_have_each_their_own(self):
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            self.skipTest("no interpreters in this Python")
        with PinbaServer() as server:
            for i in range(3):
                made = interpreters.create()
                interpreters.run_string(
                    made,
                    f"import sys; sys.path[:] = {sys.path!r}\n"
                    f"from pynba import ScriptMonitor\n"
                    f"with ScriptMonitor({server.pair!r}, scriptname='in {i}') as monitor:\n"
                    f"    from pynba import pynba\n"
                    f"    with pynba.timer(a='b'): pass\n"
                    f"monitor.reporter.flush(60)\n",
                )
                interpreters.destroy(made)
            self.assertEqual({packet.script_name for packet in server.wait(3)}, {"in 0", "in 1", "in 2"})


def send_one(address, name):
    monitor = ScriptMonitor(address, scriptname=name)
    with monitor.timer(a="b"):
        pass
    monitor.send()


if __name__ == "__main__":
    unittest.main()
