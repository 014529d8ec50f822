"""The interpreter ends while a daemon thread is in foreign code that the extension module called: the process ends well."""

import glob
import os
import re
import unittest

import native_files

# The thread waits in block(), without the GIL, until the interpreter ends, and is then ended by it.
PROGRAM = r'''
import fcntl, gc, os, sys, termios, threading, time
from mmstats import _native

folder = sys.argv[1]
receive, send = os.pipe()
threads = []

def block(*args, threads=threads, read=os.read, thread=threading.get_native_id, receive=receive):
    threads.append(thread())
    read(receive, 1)

class Stats(_native.Model):
    info = _native.InfoField()
    timer = _native.TimerField()
    hits = _native.CounterField()
    latency = _native.HistogramField()
    number = _native.IntField()
    text = _native.StringField()

stats = Stats(folder, on_error=lambda line: None)

class Late:
    """Lets the thread go on when the interpreter ends, and waits until it rests or has gone."""
    def __del__(self, send=send, receive=receive, threads=threads, write=os.write, read=os.read, open_=os.open,
                close=os.close, ioctl=fcntl.ioctl, unread=termios.FIONREAD, sleep=time.sleep, now=time.monotonic,
                OSError=OSError):
        deadline = now() + 60
        write(send, b"x")
        while ioctl(receive, unread, b"\0\0\0\0") != b"\0\0\0\0" and now() < deadline:
            sleep(0.005)
        rests, before = 0, None
        while rests < 20 and now() < deadline:
            try:
                file = open_(f"/proc/self/task/{threads[0]}/syscall", 0)
                call = read(file, 100)
                close(file)
            except OSError:
                break
            rests = rests + 1 if call == before and not call.startswith(b"running") else 0
            before = call
            sleep(0.005)

%s

threading.Thread(target=work, daemon=True).start()
deadline = time.monotonic() + 60
while not threads:
    assert time.monotonic() < deadline, "no foreign code was called"
    time.sleep(0.005)
sys.modules["late"] = Late()  # goes before other modules do
'''

# Each calls block() from foreign code.
FOREIGN = {
    "a path": """
        class Path:
            def __fspath__(self): block(); return "/x"
        def work(): _native.Reader.from_path(Path())
        """,
    "a truth": """
        class Truth:
            def __bool__(self): block(); return True
        def work(): _native.CounterField(shared=Truth())
        """,
    "a size": """
        class Size:
            def __index__(self): block(); return 1
        def work(): _native.StringField(Size())
        """,
    "an argument of a model": """
        class Truth:
            def __bool__(self): block(); return True
        def work(): _native.Model(folder, system_fields=Truth())
        """,
    "a number": """
        class Number:
            def __index__(self): block(); return 1
        def work(): stats.number = Number()
        """,
    "how many of a value": """
        class Number:
            def __index__(self): block(); return 1
        def work(): stats.latency.add(1, Number())
        """,
    "the items of a mapping": """
        class Mapping:
            def items(self): block(); return []
        def work(): stats.info.set(Mapping())
        """,
    "the key of a text": """
        class Key(str):
            def __hash__(self): block(); return 1
        def work(): stats.info.set(type("Mapping", (), {"items": lambda self: [(Key("a"), 1)]})())
        """,
    "the end of a value": """
        class Value:
            def __str__(self): return "x"
            def __del__(self): block()
        class Mapping:
            def items(self): return [("a", Value())]
        def work(): stats.info.set(Mapping())
        """,
    "the end of a clock": """
        class Clock:
            def __call__(self): return 1.0
            def __del__(self): block()
        def work():
            model = _native.Model(folder)
            model.add(_native.TimerField(Clock()), "x")
            del model
        """,
    "the label of a field": """
        class Label(str):
            def __hash__(self): block(); return 1
        class Other(_native.Model):
            hits = _native.CounterField(Label("x"))
        def work(): Other(folder)
        """,
    "what an exception says of a value": """
        class Word(str):
            def __repr__(self): block(); return "x"
        def work(): _native.IntField(kind=Word("x"))
        """,
    "a function that is to be timed": """
        class Function:
            def __call__(self): pass
            def __getattr__(self, name): block(); raise AttributeError(name)
        def work(): stats.timer(Function())
        """,
    "the hook for what cannot be raised": """
        def bad(line): raise ValueError(line)
        other_model = _native.Model(folder, on_error=bad)
        other = other_model.add(_native.CounterField(), "x")
        sys.unraisablehook = block
        def work(): other.incr(-1)
        """,
    "a finalizer that a collection runs": """
        class Cycle:
            def __init__(self): self.itself, self.thread = self, threading.get_native_id()
            def __del__(self, thread=threading.get_native_id):
                # Newer Pythons collect between two instructions, and then maybe those of the main thread, which must end.
                if thread() == self.thread: block()
        timer = stats.timer
        def work():
            gc.disable()
            Cycle()
            gc.set_threshold(1)
            gc.enable()
            with timer:
                pass
            block()  # where allocations run no collection
        """,
}

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "core", "python", "native")
# What runs no Python code, ever: the rest is called through call<>().
HARMLESS = re.compile(
    r"Py_(TYPE|REFCNT|IS_TYPE|NewRef|XNewRef|INCREF|VISIT)|Py\w+_(Check|CheckExact|CHECK_INTERNED|IS_COMPACT_ASCII)|"
    r"Py\w+_(GET_SIZE|GET_ITEM|SET_ITEM|GET_LENGTH|AS_STRING|AS_DOUBLE|1BYTE_DATA|NARGS)|PyObject_TypeCheck|"
    r"Py(Long|Float|Bool)_From\w+|Py(Bytes|Unicode)_FromStringAndSize|PyUnicode_InternFromString|"
    r"PyUnicode_Compare(WithASCIIString)?|PyLong_AsLongLongAndOverflow|PyLong_AsUnsignedLongLongMask|"
    r"PyErr_(Occurred|ExceptionMatches|Fetch)|PyType_(HasFeature|Modified|GetModuleState)|PyModule_GetState|"
    r"PyInterpreterState_(Get|Main)|Py_AddPendingCall|PyObject_(New|GC_Track|GC_UnTrack)|PySys_GetObject|PyModuleDef_Init|PyInit__native|"
    # Nothing of ours is left on the stack.
    r"PyObject_GenericGetAttr")


class ExitTests(native_files.TestCase):
    def test_a_thread_in_foreign_code_does_not_crash_the_process_that_ends(self):
        for what, work in FOREIGN.items():
            with self.subTest(what):
                native_files.run(PROGRAM % native_files.textwrap.dedent(work), self.folder)

    def test_all_that_may_run_python_code_is_called_so_that_its_thread_may_be_ended(self):
        sources = [path for path in glob.glob(os.path.join(SOURCES, "*.*"))
                   if not os.path.basename(path).startswith(("pynba", "object.h"))]
        self.assertGreater(len(sources), 20)
        for path in sources:
            with open(path, encoding="utf-8") as file:
                code = re.sub(r"//.*", "", file.read())
            bare = {name for name in re.findall(r"\b(_?Py\w+|tp_\w+)\(", code) if not HARMLESS.fullmatch(name)}
            self.assertEqual(bare, set(), os.path.basename(path))


if __name__ == "__main__":
    unittest.main()
