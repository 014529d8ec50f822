"""The examples of pynba's documents, each in a process of its own, and what the documents say of modules and
threads."""

import contextvars
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
import threading
import unittest

import pynba_served
from pynba_served import PinbaServer, hello, serve
import pynba as package
from pynba import PynbaMiddleware, pynba

PAGE = os.path.join(pynba_served.HERE, "..", "..", "plugin_pinba", "README.md")


def examples():
    """(name, text) of each example."""
    for module in pkgutil.iter_modules(package.__path__, "pynba."):
        if not module.ispkg:
            yield from examples_of(importlib.import_module(module.name))
    yield from examples_of(package)
    with open(PAGE, encoding="utf-8") as file:
        blocks = re.findall(r"^```python\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)
        for i, block in enumerate(blocks):
            yield f"plugin_pinba/README.md {i}", block


def examples_of(module):
    for i, block in enumerate(re.findall(r"\n\n((?:    .*\n|\n)+)", module.__doc__ or "")):
        if "import" in block or "MIDDLEWARE" in block:
            yield f"{module.__name__} {i}", textwrap.dedent(block)


def run(text):
    return subprocess.run(
        [sys.executable, "-B", "-c", text],
        capture_output=True,
        text=True,
        timeout=pynba_served.daemons.PATIENCE,
    )


class Examples(unittest.TestCase):
    def test_run_as_they_are(self):
        server = self.enterContext(PinbaServer())
        found = dict(examples())
        self.assertGreaterEqual(len(found), 10, list(found))
        for name, text in found.items():
            with self.subTest(example=name):
                text = text.replace("pinba.example.com", "127.0.0.1").replace("30002", str(server.port))
                result = run(f"from unittest.mock import MagicMock\napp = MagicMock()\n{text}")
                self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_find_modules_wherever_they_look(self):
        for text in (
            "import pynba; pynba.routes.flask; pynba.asgi.PynbaMiddleware; pynba.core.Reporter",
            "import pynba; pynba.asgi.monitor; pynba.wsgi.monitor; pynba.util.ScriptMonitor",
            "from pynba import pynba, routes, asgi; assert not pynba.enabled",
            "import pynba.routes; from pynba import pynba; pynba.timer(a='b')(print)",
        ):
            with self.subTest(text=text):
                result = run(text)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(run("import sys, pynba; print('pynba.routes' in sys.modules)").stdout, "False\n")

    def test_tell_the_package_from_the_request(self):
        with self.assertRaisesRegex(AttributeError, "no attribute 'timer'.*from pynba import pynba"):
            package.timer(a="b")
        with self.assertRaisesRegex(RuntimeError, "the module is `from pynba import routes`"):
            pynba.routes.flask
        with self.assertRaisesRegex(AttributeError, "no attribute 'nonsense'$"):
            package.nonsense


class Threads(unittest.TestCase):
    def test_that_a_request_starts_are_outside_unless_they_have_its_context(self):
        @pynba.timer(group="work")
        def work():
            pass

        def app(environ, start_response):
            def outside():
                with self.assertRaises(RuntimeError):
                    work()
                seen.append(pynba.enabled)

            context = contextvars.copy_context()
            for target in (outside, lambda: context.run(work)):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
            return hello(environ, start_response)

        seen = []
        with PinbaServer() as server:
            serve(PynbaMiddleware(app, server.pair))
            self.assertEqual(server.one().timer(group="work").hits, 1)
        self.assertEqual(seen, [False])


if __name__ == "__main__":
    unittest.main()
