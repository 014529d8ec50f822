"""Programs as they are written for the original packages, in Python 3's syntax: all names and uses of their
documents, under both names of the package."""

import functools
import importlib
import logging
import threading
import unittest
import urllib.request
import wsgiref.simple_server

import pynba_served
from pynba_served import PinbaServer, serve


class Names(unittest.TestCase):
    def test_are_where_programs_look_for_them(self):
        for module, names in (
            ("pynba", "monitor pynba PynbaMiddleware RequestContext ScriptMonitor DataCollector Timer"),
            ("pynba.wsgi", "monitor pynba PynbaMiddleware RequestContext"),
            ("pynba.util", "ScriptMonitor"),
            ("pynba.core", "DataCollector Timer Reporter flattener logger"),
            ("pynba.stacked", "LOCAL_STACK LocalProxy"),
            ("iscool_e.pynba", "monitor pynba PynbaMiddleware"),
            ("iscool_e.pynba.util", "ScriptMonitor"),
            ("iscool_e.pynba.collector", "DataCollector Timer"),
            ("iscool_e.pynba.ctx", "RequestContext"),
            ("iscool_e.pynba.globals", "pynba"),
            ("iscool_e.pynba.middleware", "PynbaMiddleware"),
            ("iscool_e.pynba.reporter", "Reporter flattener"),
        ):
            found = importlib.import_module(module)
            for name in names.split():
                self.assertTrue(hasattr(found, name), f"{module}.{name}")

    def test_are_the_same_under_both_names(self):
        import iscool_e.pynba
        import iscool_e.pynba.globals
        import pynba.wsgi

        self.assertIs(iscool_e.pynba.pynba, pynba.wsgi.pynba)
        self.assertIs(iscool_e.pynba.globals.pynba, pynba.wsgi.pynba)
        self.assertIs(iscool_e.pynba.PynbaMiddleware, pynba.wsgi.PynbaMiddleware)

    def test_the_logger_is_called_pynba(self):
        import pynba.core

        self.assertEqual(pynba.core.logger.name, "pynba")


def under_each_name(test):
    """Runs test(self, module of monitor and pynba, module of ScriptMonitor, server) for each name of it."""

    @functools.wraps(test)
    def run(self):
        for package, util in (
            ("pynba", "pynba.util"),
            ("pynba.wsgi", "pynba.util"),
            ("iscool_e.pynba", "iscool_e.pynba.util"),
        ):
            with self.subTest(package=package), PinbaServer() as server:
                test(self, importlib.import_module(package), importlib.import_module(util), server)

    return run


class Document(unittest.TestCase):
    """The document of both packages, from its first line of code to its last."""

    @under_each_name
    def test_decorates_the_main_application(self, module, util, server):
        monitor = module.monitor

        @monitor(server.pair)
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"..."]

        self.assertEqual(serve(app).body, b"...")
        self.assertEqual((server.one().script_name, server.one().tags), ("/cart", ()))

    @under_each_name
    def test_tags_the_process(self, module, util, server):
        monitor = module.monitor

        @monitor(server.pair, tags={"foo": "bar"})
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"..."]

        serve(app)
        self.assertEqual(server.one().tags, (("foo", "bar"),))

    @under_each_name
    def test_measures_particular_parts_of_the_code(self, module, util, server):
        monitor, pynba = module.monitor, module.pynba

        @monitor(server.pair)
        def app(environ, start_response):
            start_response("200 OK", [])
            timer = pynba.timer(foo="bar")
            timer.start()
            timer.stop()
            return [b"..."]

        serve(app)
        (timer,) = server.one().timers
        self.assertEqual((timer.hits, timer.tags), (1, (("foo", "bar"),)))

    @under_each_name
    def test_supervises_simple_scripts(self, module, util, server):
        ScriptMonitor = util.ScriptMonitor

        monitor = ScriptMonitor(server.pair, tags={"foo": "bar"})
        timer = monitor.timer(foo="bar")
        timer.start()
        timer.stop()
        monitor.send()
        self.assertEqual(server.one().tags, (("foo", "bar"),))
        self.assertEqual(server.one().timer(foo="bar").hits, 1)

    @under_each_name
    def test_logs_to_the_logger_pynba(self, module, util, server):
        lines = []

        class Handler(logging.Handler):
            def emit(self, record):
                lines.append(record.getMessage())

        logger = logging.getLogger("pynba")
        before, handler = logger.level, Handler()
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        try:
            lines.clear()
            self.assertFalse(module.pynba.enabled)
            serve(module.PynbaMiddleware(lambda environ, start_response: [], None))
            self.assertTrue(any("nothing will be sent" in line for line in lines), lines)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)

    @under_each_name
    def test_raises_on_errors_only_if_the_reporter_is_told_to(self, module, util, server):
        def hello(environ, start_response):
            start_response("200 OK", [])
            return [b"..."]

        PynbaMiddleware, monitor, ScriptMonitor = module.PynbaMiddleware, module.monitor, util.ScriptMonitor
        nowhere = ""
        with self.assertLogs("pynba"):
            monitored_app = PynbaMiddleware(hello, nowhere)

            @monitor(nowhere)
            def app(environ, start_response):
                return hello(environ, start_response)

            script = ScriptMonitor(nowhere)
        self.assertEqual((serve(monitored_app).body, serve(app).body, script.send()), (b"...", b"...", None))
        for reporter in (monitored_app.reporter, app.reporter, script.reporter):
            self.assertIs(reporter.raise_on_fail, False)
            reporter.raise_on_fail = True
        for fails in (lambda: serve(monitored_app), lambda: serve(app), script.send):
            with self.assertRaises(OSError):
                fails()

    @under_each_name
    def test_sets_what_cannot_be_known(self, module, util, server):
        monitor, pynba = module.monitor, module.pynba

        @monitor(server.pair)
        def app(environ, start_response):
            start_response("200 OK", [])
            pynba.document_size = 2048
            pynba.memory_peak = 4096
            pynba.memory_footprint = 8192
            return [b"..."]

        serve(app)
        packet = server.one()
        self.assertEqual((packet.document_size, packet.memory_peak), (2048, 4096))
        self.assertEqual(packet.memory_footprint, 8192)

    @under_each_name
    def test_populates_four_values_for_three_tags(self, module, util, server):
        monitor, pynba = module.monitor, module.pynba

        @monitor(server.pair)
        def app(environ, start_response):
            start_response("200 OK", [])
            with pynba.timer(foo="bar", baz=["seq1", "seq2"], qux={"map1": "val1"}):
                pass
            return [b"..."]

        serve(app)
        self.assertEqual(
            set(server.one().timers[0].tags),
            {("foo", "bar"), ("baz", "seq1"), ("baz", "seq2"), ("qux.map1", "val1")},
        )

    @under_each_name
    def test_has_examples_that_a_real_server_serves(self, module, util, server):
        PynbaMiddleware, pynba = module.PynbaMiddleware, module.pynba

        def app(environ, start_response):
            status = "200 OK"
            headers = [("Content-type", "text/plain")]
            start_response(status, headers)
            timer = pynba.timer(tag1="foo", tag2="bar")
            timer.start()
            timer.stop()
            with pynba.timer(tag3="foo", tag4="bar"):
                pass

            @pynba.timer(tag5="foo", tag6={"bar": "baz"})
            def long_process():
                pass

            long_process()
            return [
                """
                Type
                    SELECT * FROM  `request`
                on MySQL to found the current request {scriptname}.
                """.format(scriptname=pynba.scriptname).encode()
            ]

        class Quiet(wsgiref.simple_server.WSGIRequestHandler):
            def log_message(self, *_):
                pass

        monitored_app = PynbaMiddleware(app, server.pair)
        with wsgiref.simple_server.make_server("127.0.0.1", 0, monitored_app, handler_class=Quiet) as httpd:
            thread = threading.Thread(target=httpd.handle_request)
            thread.start()
            with urllib.request.urlopen(f"http://127.0.0.1:{httpd.server_port}/some/page") as answer:
                self.assertIn(b"the current request /some/page.", answer.read())
            thread.join()
        packet = server.one()
        self.assertEqual((packet.script_name, packet.status, packet.schema), ("/some/page", 200, "http"))
        for tags in ({"tag1": "foo", "tag2": "bar"}, {"tag3": "foo", "tag4": "bar"},
                     {"tag5": "foo", "tag6.bar": "baz"}):  # fmt: skip
            self.assertEqual(packet.timer(**tags).hits, 1, tags)


class Programs(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(PinbaServer())

    def test_name_their_scripts_and_leave_requests_out(self):
        from pynba.wsgi import monitor, pynba

        @pynba.timer(outsider=["bar", "foo"])
        def outside():
            return

        @monitor(self.server.pair, prefix="[foo]")
        def app(environ, start_response):
            pynba.scriptname = "[lol]" + pynba.scriptname
            if environ.get("PATH_INFO", None) == "/favicon.ico":
                pynba.enabled = False
            pynba.timer(foo=["foo", "foo2"], bar=["bar", "bar2"], baz="baz")
            pynba.timer(multi_bar=["multi1", "multi2"], baz="baz").start()
            with pynba.timer(context_bar="bar", context_baz="baz"):
                pass

            @pynba.timer(decorator_bar="bar", decorator_baz="baz")
            def again():
                return "foo"

            for _ in range(5):
                again()
            outside()
            outside()
            start_response("200 OK", [("Content-type", "text/plain")])
            return [("%s: %s\n" % (key, value)).encode() for key, value in environ.items()]

        serve(app, "/favicon.ico")
        serve(app, "/x")
        packet = self.server.one()
        self.assertEqual(packet.script_name, "[foo][lol]/x")
        self.assertEqual(len(packet.timers), 9)
        self.assertEqual(self.server.hits(decorator_bar="bar"), 5)
        self.assertEqual(self.server.hits(outsider="foo"), 2)
        self.assertEqual(self.server.hits(multi_bar="multi1"), 1)
        self.assertEqual(self.server.hits(bar="bar2"), 0)

    def test_wrap_their_application_by_hand(self):
        from iscool_e.pynba import PynbaMiddleware, pynba

        def app(environ, start_response):
            with pynba.timer(foo="bar"):
                start_response("200 OK", [])
            return [b"foo", b"bar"]

        monitored = PynbaMiddleware(app, self.server.pair)
        monitored.reporter.raise_on_fail = True
        with monitored.request_context(pynba_served.environ("/by/hand")):
            pynba.timer(by="hand").start()
        self.assertEqual(serve(monitored).body, b"foobar")
        by_hand, packet = self.server.wait(2)
        self.assertEqual((by_hand.script_name, by_hand.timer(by="hand").hits), ("/by/hand", 1))
        self.assertEqual(packet.timer(foo="bar").hits, 1)

    def test_monitor_their_scripts(self):
        from iscool_e.pynba.util import ScriptMonitor

        monitor = ScriptMonitor(self.server.pair)
        timer = monitor.timer(tag1="bar")
        timer.start()
        timer.stop()

        @monitor.timer(tag1="bar")
        def baz():
            pass

        baz()
        with monitor.timer(tag1="baz"):
            pass
        monitor.send()
        self.server.one()
        self.assertEqual((self.server.hits(tag1="bar"), self.server.hits(tag1="baz")), (2, 1))


if __name__ == "__main__":
    unittest.main()
