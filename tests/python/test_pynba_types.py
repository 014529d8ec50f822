"""Type hints of pynba: mypy --strict has nothing to say, of the package and of a program that uses it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

import pynba

PROGRAM = '''
import pynba as package
from pynba import DataCollector, Reporter, ScriptMonitor, Timer, flattener, monitor, pynba

@pynba.timer(group="mysql")
def double(number: int) -> int:
    return 2 * number

monitored: float | None = ScriptMonitor(("127.0.0.1", 30002)).elapsed
result: int = double(5)
pairs: list[tuple[str, str]] = flattener({"a": 1})
with pynba.timer(a="b") as timer:
    elapsed: float | None = timer.elapsed
pynba.document_size = 5
pynba.tags["user"] = "guest"
collector: DataCollector = pynba.flush()
Reporter("web:30002", linger=0.5)
Timer({"a": "b"}).start().stop().clone()
double("text")  # E
pynba.scriptname = 5  # E
pynba.script_name = "x"  # E
package.nonsense  # E
package.asgi.nonsense  # E
'''


@unittest.skipIf(importlib.util.find_spec("mypy") is None, "no mypy")
class Types(unittest.TestCase):
    def mypy(self, *arguments):
        packages = os.path.dirname(os.path.dirname(os.path.realpath(pynba.__file__)))
        with tempfile.TemporaryDirectory() as cache:
            result = subprocess.run(
                [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", cache]
                + list(arguments),
                capture_output=True,
                text=True,
                cwd=packages,
                env={**os.environ, "MYPYPATH": packages},
            )
        return result.stdout + result.stderr

    def test_of_the_packages_are_strict(self):
        self.assertEqual(self.mypy("-p", "pynba"), "")
        of_a_namespace = "--namespace-packages", "--explicit-package-bases"
        self.assertEqual(self.mypy(*of_a_namespace, "-p", "iscool_e.pynba"), "")

    def test_tell_a_program_what_is_wrong(self):
        text = textwrap.dedent(PROGRAM)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "program.py")
            with open(path, "w") as file:
                file.write(text)
            told = self.mypy(path)
        wrong = [i for i, line in enumerate(text.splitlines(), 1) if line.endswith("# E")]
        self.assertEqual([int(line.split(":")[1]) for line in told.splitlines()], wrong, told)


if __name__ == "__main__":
    unittest.main()
