"""Another language publishes: Python, by ctypes alone, with the shared library loaded late by dlopen."""

import ctypes
import glob
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from mmstats_reader import read

LIBRARY = os.environ["MMSTATS_LIBRARY"]
DOUBLE, GAUGE = ord("d"), 2

HANDLE = ctypes.c_void_p
TEXT = ctypes.c_char_p
ON_ERROR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, TEXT)
SIGNATURES = {
    "version": (TEXT, []),
    "model_new": (HANDLE, [TEXT]),
    "model_set_path": (ctypes.c_int, [HANDLE, TEXT]),
    "model_set_remove_at_exit": (ctypes.c_int, [HANDLE, ctypes.c_bool]),
    "model_set_on_error": (ctypes.c_int, [HANDLE, ON_ERROR, ctypes.c_void_p]),
    "model_open": (ctypes.c_int, [HANDLE, TEXT, ctypes.c_size_t]),
    "model_free": (None, [HANDLE]),
    "counter_new": (HANDLE, [HANDLE, TEXT, TEXT, TEXT]),
    "shared_counter_new": (HANDLE, [HANDLE, TEXT, TEXT, TEXT]),
    "counter_incr": (None, [HANDLE, ctypes.c_uint64]),
    "counter_value": (ctypes.c_uint64, [HANDLE]),
    "number_new": (HANDLE, [HANDLE, ctypes.c_int, ctypes.c_int, TEXT, TEXT, TEXT]),
    "number_set_double": (None, [HANDLE, ctypes.c_double]),
    "string_new": (HANDLE, [HANDLE, TEXT, ctypes.c_size_t, TEXT]),
    "string_set": (None, [HANDLE, TEXT]),
    "histogram_new": (HANDLE, [HANDLE, TEXT, TEXT, TEXT]),
    "histogram_add": (None, [HANDLE, ctypes.c_double]),
}


class Library:
    """The functions of mmstats.h without their prefix."""

    def __init__(self):
        library = ctypes.CDLL(LIBRARY)
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(library, "mmstats_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)


def values(folder):
    """What each file in `folder` publishes, by label."""
    files = []
    for path in glob.glob(os.path.join(folder, "*.mmstats")):
        with open(path, "rb") as file:
            files.append({field["label"]: field["value"] for field in read(file.read())})
    return files


def publish_and_end(how):
    """What a child process does: publishes in the folder that the environment names, and ends."""
    library = Library()
    model = library.model_new(None)
    library.model_set_remove_at_exit(model, how != "keep")
    counter = library.counter_new(model, b"hits", None, None)
    library.counter_incr(counter, 5)
    # A thread that ended, too: its file must go as well.
    thread = threading.Thread(target=library.counter_incr, args=(counter, 7))
    thread.start()
    thread.join()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


class BindingTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.mmstats = Library()

    def new_model(self, prefix=b""):
        model = self.mmstats.model_new(prefix)
        self.assertEqual(self.mmstats.model_set_path(model, self.folder.name.encode()), 0)
        return model

    def test_threads_publish(self):
        mmstats, model = self.mmstats, self.new_model(b"app")
        own = mmstats.counter_new(model, b"own", b"requests", "Requests of caf\u00e9s".encode())
        shared = mmstats.shared_counter_new(model, b"shared", None, None)
        level = mmstats.number_new(model, DOUBLE, GAUGE, b"level", None, None)
        text = mmstats.string_new(model, b"text", 20, None)
        latency = mmstats.histogram_new(model, b"latency", b"seconds", None)
        threads, times = 4, 500
        together = threading.Barrier(threads + 1, timeout=60)

        def work(number):
            for _ in range(times):
                mmstats.counter_incr(own, number)
                mmstats.counter_incr(shared, 1)
                mmstats.histogram_add(latency, number)
            mmstats.number_set_double(level, number / 4)
            mmstats.string_set(text, f"caf\u00e9 {number}".encode())
            together.wait()
            together.wait()  # what a thread has of the moment ends with it

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        tids = {worker.native_id for worker in workers}
        together.wait()
        files = values(self.folder.name)
        together.wait()
        for worker in workers:
            worker.join()

        self.assertEqual(mmstats.counter_value(shared), threads * times)
        self.assertEqual(len(files), threads + 1)
        self.assertEqual({file["app.sys.pid"] for file in files}, {os.getpid()})
        self.assertEqual([file["app.shared"] for file in files if "app.shared" in file], [threads * times])
        files = [file for file in files if "app.own" in file]
        self.assertEqual({file["app.sys.tid"] for file in files}, tids)
        for file in files:
            number = file["app.own"] // times
            self.assertEqual(file["app.own"], number * times)
            self.assertEqual(file["app.level"], number / 4)
            self.assertEqual(file["app.text"], f"caf\u00e9 {number}")
            self.assertEqual(file["app.latency.count"], times)
            self.assertEqual(file["app.latency.p99"], number)
            lines = file["app.sys.metadata"].split("\n")
            self.assertIn("app.sys.writer\tproperty\t\tmaps the file while it lives", lines)
            self.assertIn("app.own\tcounter\trequests\tRequests of caf\u00e9s", lines)
        mmstats.model_free(model)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_what_is_wrong_is_told_to_a_callback(self):
        mmstats, model, told = self.mmstats, self.mmstats.model_new(None), []
        on_error = ON_ERROR(lambda context, message: told.append(message.decode()))
        mmstats.model_set_on_error(model, on_error, None)
        mmstats.model_set_path(model, b"/nonexistent")
        counter = mmstats.counter_new(model, b"hits", None, None)
        mmstats.counter_incr(counter, 3)
        self.assertEqual(mmstats.counter_value(counter), 3)
        self.assertEqual(len(told), 1)
        self.assertIn("No such file or directory", told[0])
        reason = ctypes.create_string_buffer(200)
        self.assertNotEqual(mmstats.model_open(model, reason, len(reason)), 0)
        self.assertEqual(reason.value.decode(), told[0])
        mmstats.model_free(model)

    def test_files_go_when_the_process_exits_unless_they_are_kept(self):
        for how, status, hits in (("exit", 0, []), ("keep", 0, [5, 7]), ("kill", -signal.SIGKILL, [5, 7])):
            with self.subTest(how), tempfile.TemporaryDirectory() as folder:
                child = subprocess.run(
                    [sys.executable, "-B", __file__, "--publish", how],
                    env={**os.environ, "MMSTATS_PATH": folder},
                    check=False,
                )
                self.assertEqual(child.returncode, status)
                self.assertEqual(sorted(file["hits"] for file in values(folder)), hits)
                self.assertEqual(len(os.listdir(folder)), len(hits))


if __name__ == "__main__":
    if "--publish" in sys.argv:
        publish_and_end(sys.argv[-1])
    else:
        unittest.main()
