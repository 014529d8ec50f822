"""A folder that everybody may write into, and somebody did: all that is no good mmstats file, or hardly."""

import ctypes
import os
import random
import signal
import socket
import stat

import mmstats_writer as writer

PR_SET_PDEATHSIG = 1
TEBIBYTE = 1 << 40

# Labels of fields that are sound; their values count.
LABELS = [
    b"nul\0inside",
    b"line\nfeed",
    b"sl/ash",
    b"../../../../tmp/up",
    b"quo\"te'd",
    b"back\\slash",
    b"\xff\xfe\x80 no utf-8",
    b"%s%n$(id)`id`",
    b".",
    b"..",
    b" ",
    b"A" * 65535,
    b"A" * 65534 + b"B",
]


def make(folder):
    """Fills the folder. Returns what could not be made here, with the reason."""
    left_out = {}

    def path(name):
        return os.path.join(folder, name + ".mmstats")

    def write(name, data):
        with open(path(name), "wb") as file:
            file.write(data)

    good, _ = writer.encode([writer.counter("never.reported", 1)])
    dice = random.Random(4711)

    os.mkfifo(path("fifo"))
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path("socket"))
    try:
        # /dev/zero: a reader that trusts it reads for ever.
        os.mknod(path("device"), stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError as error:
        left_out["device"] = error.strerror
    outside = os.path.join(folder, "outside")
    with open(outside, "wb") as file:
        file.write(good)
    os.symlink(outside, path("link"))
    os.symlink(path("loop_b"), path("loop_a"))
    os.symlink(path("loop_a"), path("loop_b"))
    os.symlink("nowhere", path("dangling"))
    os.mkdir(path("folder"))
    write("empty", b"")
    write("zeros", bytes(writer.PAGE))
    write("random", dice.randbytes(100_000))
    for number in range(20):
        write(f"random{number}", b"\x01" + dice.randbytes(5000))
    write("text", b"hello, world\n")
    with open(path("sparse"), "wb") as file:
        file.write(good)
        file.truncate(TEBIBYTE)
    write("denied", good)
    os.chmod(path("denied"), 0)
    write("labels", writer.encode([writer.Field(label, "Q", True, 1) for label in LABELS])[0])
    # Sizes that promise more than there is.
    write("cut", good[:9])
    write("long_label", b"\x01\xff\xff" + bytes(10))
    write("huge_type", b"\x01\x01\x00a\x16\x00" + b"9" * 21 + b"d\x00")
    write("no_type", b"\x01\x01\x00a\x00\x00\x00")
    write("newline\nin its name", b"hello")
    return left_out


class Vandal:
    """A process that without end truncates and refills one file in place, and makes one name mean a file, a
    FIFO and a link in turn: what a reader found out about it may be wrong when it opens it."""

    def __init__(self, folder):
        self._cut = os.path.join(folder, "truncated.mmstats")
        self._swapped = os.path.join(folder, "swapped.mmstats")
        self._next = os.path.join(folder, ".next")
        fields = [writer.gauge(f"cut.field{number}", 1.0) for number in range(500)]
        self._data = bytes(writer.encode(fields)[0])
        self._pid = None

    def _run(self):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.nice(15)
        descriptor = os.open(self._cut, os.O_RDWR | os.O_CREAT, 0o644)
        dice = random.Random(4711)
        makers = [os.mkfifo, lambda path: os.symlink("outside", path), lambda path: os.link(self._cut, path)]
        while True:
            for make in makers:
                make(self._next)
                os.rename(self._next, self._swapped)
                # Renaming one name of a file to another of it does nothing.
                if os.path.lexists(self._next):
                    os.unlink(self._next)
                for _ in range(50):
                    os.ftruncate(descriptor, dice.randrange(len(self._data)))
                    os.pwrite(descriptor, self._data, 0)

    def __enter__(self):
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._run()
            finally:
                os._exit(1)
        return self

    def __exit__(self, *_):
        assert os.waitpid(self._pid, os.WNOHANG) == (0, 0), "the vandal died"
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
