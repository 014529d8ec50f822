"""The extension module is used in every wrong way, and never crashes: only exceptions may come of it."""

import unittest

import native_files

# Runs by itself, so that a crash is a failure and no end of all tests.
PROGRAM = r'''
import gc, itertools, random, sys, threading
from mmstats import _native

class Bad:
    """Raises at everything, sometimes after a collection."""
    def _raise(self, *args, **kwargs):
        gc.collect()
        raise random.choice([KeyError, ValueError, MemoryError, RecursionError])("bad")
    __index__ = __float__ = __int__ = __bool__ = __str__ = __repr__ = __len__ = __iter__ = __hash__ = __eq__ = _raise
    __call__ = __getitem__ = keys = items = __fspath__ = __bytes__ = _raise

class Deleting:
    """Lets go of what it is given to, while it is used."""
    def __init__(self, holder):
        self.holder = holder
    def _delete(self, *args, **kwargs):
        for name in list(vars(self.holder)):
            delattr(self.holder, name)
        gc.collect()
        return 1
    __index__ = __float__ = _delete
    def __bool__(self):
        return bool(self._delete())
    def __str__(self):
        self._delete()
        return "x"
    def __call__(self):
        return self._delete() * 1.0

class Holder:
    pass

class IntLike(int): pass
class StrLike(str): pass
class Endless(dict):
    def items(self):
        return [(1, 2, 3), None, ("a",)]

ODD = [None, True, 0, -1, 1, 2**31, 2**63, -2**63 - 1, 2**64, 10**400, 0.0, 1.5, -0.0, float("nan"), float("inf"), 1e308,
       "", "a", "a\0b", "\udcff", "ä" * 70000, b"", b"\xff", bytearray(b"x"), memoryview(b"x"), (), (1, 2), [], [1], {},
       {"a": 1}, {1: 2}, set(), object(), type, int, len, lambda: 1, lambda *a, **k: 1.0, Bad(), IntLike(5), StrLike("s"),
       Ellipsis, NotImplemented, 1j, range(3), Endless(a=1), _native, _native.CounterField, _native.CounterField(),
       _native.IntField(), iter([])]

def arguments(rng):
    return [rng.choice(ODD) for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4, 7]))], \
        {rng.choice(NAMES): rng.choice(ODD) for _ in range(rng.choice([0, 0, 0, 1, 2]))}

NAMES = ["label", "amount", "n", "unit", "help", "shared", "size", "seconds", "precision", "timer", "field", "dimensions",
         "max_series", "expire_after", "texts", "initial", "kind", "value", "path", "filename", "label_prefix", "mode",
         "system_fields", "remove_at_exit", "max_file_bytes", "on_error", "open", "async_", "data", "settle", "a", "b"]
FIELDS = [getattr(_native, name) for name in dir(_native) if name.endswith("Field")]
FINE = [_native.CounterField("c"), _native.SharedCounterField("sc"), _native.IntField("i"), _native.DoubleField("d", shared=True),
        _native.BoolField(label="b"), _native.StringField(label="s"), _native.AverageField("a"), _native.MovingAverageField(3, "m"),
        _native.WindowAverageField(5, "w"), _native.TimerField(label="t"), _native.TimerField(Bad(), 3, "tb"),
        _native.HistogramField("h", precision=4), _native.MovingHistogramField(5, "mh", precision=4),
        _native.WindowHistogramField(5, "wh", precision=4), _native.InfoField({"a": 1}, "info"),
        _native.FamilyField(_native.CounterField(), ["a", "b"], "fam", max_series=5),
        _native.FamilyField(_native.TimerField(Bad()), ["a"], "famt", expire_after=1)]

def attempt(act, *args, **kwargs):
    try:
        return act(*args, **kwargs)
    except Exception:
        return None

def use(obj, rng):
    for name in dir(obj):
        if name in ("__class__", "__subclasshook__", "__init_subclass__"):
            continue
        member = attempt(getattr, obj, name)
        if rng.random() < 0.5 and name not in ("__dict__", "__doc__", "__setattr__", "__delattr__", "__setstate__"):
            attempt(setattr, obj, name, rng.choice(ODD))
            attempt(delattr, obj, name)
        if callable(member) and name not in ("__setattr__", "__delattr__", "__sizeof__"):
            for _ in range(3):
                args, kwargs = arguments(rng)
                got = attempt(member, *args, **kwargs)
                if name in ("time", "__enter__") and got is not None:
                    attempt(got.stop), attempt(got.cancel)

def main(folder, seed):
    rng = random.Random(seed)
    sys.unraisablehook = lambda what: None
    for round in range(int(sys.argv[3])):
        for cls in FIELDS:
            args, kwargs = arguments(rng)
            field = attempt(cls, *args, **kwargs)
            if field is not None:
                attempt(field.__init__, *arguments(rng)[0])
                use(field, rng)
        names = {f"f{i}": rng.choice(FINE) for i in range(6)}
        stats_class = attempt(type, "Stats", (_native.Model,), names)
        stats = attempt(stats_class, folder, "odd-{PID}-{TID}.mmstats", on_error=rng.choice([None, Bad(), lambda line: 1 / 0, print and (lambda line: None)]))
        if stats is None:
            continue
        for field in FINE:
            handle = attempt(stats.add, field)
            if handle is not None:
                use(handle, rng)
                thread = threading.Thread(target=use, args=(handle, random.Random(seed)))
                if rng.random() < 0.05:
                    thread.start()
                    thread.join()
        for name in names:
            holder = Holder()
            holder.stats, holder.handle = stats, attempt(getattr, stats, name)
            for value in (*rng.sample(ODD, 8), Deleting(holder)):
                attempt(setattr, stats, name, value)
            for method in ("incr", "add", "set", "with_"):
                holder.stats, holder.handle = stats, attempt(stats.add, names[name])
                bound = attempt(getattr, holder.handle, method)
                if bound:
                    attempt(bound, Deleting(holder))
        for _ in range(3):
            args, kwargs = arguments(rng)
            kwargs.pop("path", None), kwargs.pop("max_file_bytes", None)
            attempt(stats_class, folder, *args[1:], **kwargs)
        use(stats, rng)
        args, kwargs = arguments(rng)
        reader = attempt(_native.Reader, *args, **kwargs)
        attempt(_native.Reader.from_path, *arguments(rng)[0])
        reader = _native.Reader(b"\x01" + rng.randbytes(rng.randrange(200)))
        attempt(list, reader)
        use(reader, rng)
        gc.collect()

main(sys.argv[1], int(sys.argv[2]))
print("fine")
'''


class OddTests(native_files.TestCase):
    def test_no_object_and_no_argument_crashes_it(self):
        for seed in range(4):
            with self.subTest(seed=seed):
                self.assertEqual(native_files.run("import logging; logging.disable()\n" + PROGRAM, self.folder, str(seed), "3")
                                 .splitlines()[-1], "fine")

    def test_it_crashes_nowhere_where_memory_ends(self):
        """Each allocation of the interpreter fails once."""
        try:
            import _testcapi
        except ImportError:
            self.skipTest("no _testcapi here")
        del _testcapi
        out = native_files.run(r'''
            import sys, _testcapi
            from mmstats import _native
            class Stats(_native.Model):
                hits = _native.CounterField()
                number = _native.DoubleField()
                text = _native.StringField()
                timer = _native.TimerField()
                fact = _native.StaticTextField(value="x")
                info = _native.InfoField({"a": "b"})
                family = _native.FamilyField(_native.CounterField(), ["a"])
            def use(folder):
                stats = Stats(folder, "m.mmstats")
                stats.hits.incr(2**40)
                stats.number = 2**70
                stats.text = "x" * 100
                stats.number, stats.text, stats.hits.value
                with stats.timer as scope:
                    scope.elapsed
                stats.timer.start()
                stats.timer.stop()
                stats.info.set(b=1.5)
                stats.info.value
                stats.family.with_(1.5).incr()
                stats.filename, stats.size
                list(_native.Reader.from_path(stats.filename))
            use(sys.argv[1])
            failed = 0
            for start in range(1, 400):
                try:
                    _testcapi.set_nomemory(start, start + 1)
                    use(sys.argv[1])
                except MemoryError:
                    failed += 1
                except Exception:
                    pass
                finally:
                    _testcapi.remove_mem_hooks()
            print(failed > 20)
            ''', self.folder)
        self.assertEqual(out.split()[-1], "True")


if __name__ == "__main__":
    unittest.main()
