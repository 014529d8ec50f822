"""What a program has published, judged by a reader that shares no code with the product."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "integration"))

import mmstats_reader  # noqa: E402


def fields(path):
    """The fields of one file: label -> the field."""
    with open(path, "rb") as file:
        data = file.read()
    # Room for fields to come is no field.
    found = [field for field in mmstats_reader.read(data) if not field["label"].endswith("sys.room")]
    # Of what fields say of themselves there may be more than one.
    labels = [field["label"] for field in found if not field["label"].endswith("sys.metadata")]
    assert len(set(labels)) == len(labels), f"a label is there twice: {labels}"
    return {field["label"]: {**field, "type": field["type"].strip()} for field in found}


def values(path):
    """label -> value."""
    return {label: field["value"] for label, field in fields(path).items()}


def total(paths, label):
    """The sum over all files that have the field."""
    return sum(values(path).get(label, 0) for path in paths)


def python(program, *arguments, run_in=(), **environment):
    """Runs a program in a process of its own; what it printed. `run_in`: a command that runs another one."""
    done = subprocess.run(
        [*run_in, sys.executable, "-B", *(arguments or ("-c", textwrap.dedent(program)))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestCase(unittest.TestCase):
    """A test with a folder of its own, self.folder."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mmstats-python-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def files(self):
        """The paths of all files in the folder that a glob of readers matches."""
        names = [name for name in os.listdir(self.folder) if name.endswith(".mmstats") and name[0] != "."]
        return sorted(os.path.join(self.folder, name) for name in names)

    @contextlib.contextmanager
    def environment(self, **changes):
        """With these in os.environ; None takes one out."""
        before = dict(os.environ)
        try:
            for name, value in changes.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
