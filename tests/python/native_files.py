"""What the extension module has written, judged by a reader that shares no code with the product."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
sys.path.insert(0, os.path.join(TESTS, "integration"))

import mmstats_reader  # noqa: E402

from mmstats import _native  # noqa: E402


def fields(path):
    """label -> the field, of one file. Of metadata, which may be several fields, the whole; rooms are left out."""
    with open(path, "rb") as file:
        found = mmstats_reader.read(file.read())
    by_label = {}
    for field in found:
        label = field["label"]
        if label.endswith("sys.room"):
            continue
        if label in by_label:
            assert label.endswith("sys.metadata"), f"a label is there twice: {label}"
            field = {**field, "value": by_label[label]["value"] + field["value"]}
        by_label[label] = {**field, "type": field["type"].strip()}
    return by_label


def values(path):
    """label -> value, of one file."""
    return {label: field["value"] for label, field in fields(path).items()}


def run(program, *arguments, **environment):
    """What a Python program of its own prints. It fails if the program does, and is killed if that crashes."""
    done = subprocess.run(
        [sys.executable, "-B", "-X", "faulthandler", "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


class TestCase(unittest.TestCase):
    """Has a folder of its own."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mmstats-native-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.told = []

    def files(self):
        return sorted(glob.glob(os.path.join(self.folder, "*.mmstats")))

    def model(self, cls=_native.Model, **options):
        """One that publishes in the folder, and tells the test what goes wrong."""
        return cls(self.folder, options.pop("filename", "test-{PID}-{TID}.mmstats"), options.pop("label_prefix", None),
                   **{"on_error": self.told.append, "system_fields": False, **options})

    def total(self, label):
        """The sum over all files."""
        return sum(values(path).get(label, 0) for path in self.files())
