"""One unprivileged user who does to an agent what he can. Each attack is a process of his, which goes on until
it is killed. What they do has numbers of its own: the worst that was found, not the most that is possible."""

import ctypes
import errno
import fcntl
import mmap
import os
import random
import re
import signal
import stat
import struct
import sys
import time
import traceback

import mmstats_writer as writer

UID = 64123  # the attacker's: nobody else has it
MEGABYTE = 1 << 20
LIMIT = 4 * MEGABYTE  # a larger file is not read
DEAD = (1 << 22) + 1  # no process has this pid, or can have it
SECRET = "secret.value"
PR_SET_PDEATHSIG = 1
RENAME_EXCHANGE = 2
AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)

ATTACKS = {}


def attack(function):
    ATTACKS[function.__name__] = function
    return function


# ---- files as only an attacker writes them ----


def field(label, type, value, buffered=True):
    """One field; `value` is the bytes of it."""
    label = label if isinstance(label, bytes) else label.encode()
    head = struct.pack("<H", len(label)) + label + struct.pack("<H", len(type)) + type.encode()
    return head + (b"\x00" + 2 * value if buffered else b"\xff" + value)


def sys_fields(pid=None):
    pid = os.getpid() if pid is None else pid
    created = struct.pack("<d", time.time() - (1000 if pid == DEAD else 0))
    return field("sys.pid", "I", struct.pack("<I", pid), False) + field("sys.created", "d", created, False)


def file_of(fields, pid=None):
    return b"\x01" + b"".join(fields) + sys_fields(pid) + bytes(2)


def counters(labels, pid=None):
    value = struct.pack("<Q", 1)
    return file_of([field(label, "Q", value) for label in labels], pid)


def write(path, data):
    """As the library does: it appears complete."""
    building = os.path.join(os.path.dirname(path), "." + os.path.basename(path))
    with open(building, "wb") as file:
        file.write(data)
    os.rename(building, path)


def forever(step, seconds=0.05):
    """Does step(number) again and again; what is in the way of one does not stop it."""
    number = 0
    while True:
        try:
            step(number)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EEXIST, errno.EAGAIN, errno.EMFILE, errno.ENFILE):
                raise
        number += 1
        time.sleep(seconds)


def wait():
    while True:
        signal.pause()


# ---- labels that meet in a hash table of libstdc++ ----

_MASK = 2**64 - 1
_MUL = 0xC6A4A7935BD1E995
_INVERSE = pow(_MUL, -1, 2**64)


def _shift_mix(value):
    return value ^ (value >> 47)


def colliding(count, before=b""):
    """Labels whose std::hash<std::string> is the same where `before`, of four bytes or none, stands before
    them: each chooses one block freely, and the next so that it undoes the difference."""
    size = len(before) + (8 - len(before) % 8) % 8 + 8
    labels = []
    for number in range(count):
        free = b"%0*x" % (8 - len(before), number)
        (block,) = struct.unpack("<Q", before + free)
        state = 0xC70F6907 ^ (size * _MUL & _MASK)
        state = (state ^ (_shift_mix(block * _MUL & _MASK) * _MUL & _MASK)) * _MUL & _MASK
        mixed = (state ^ 0x1122334455667788) * _INVERSE & _MASK
        labels.append(free + struct.pack("<Q", _shift_mix(mixed) * _INVERSE & _MASK))
    return labels


# ---- the attacks: each is given a folder in which everybody may write, with a folder `users` in it, and yields
# once when all is there that it begins with ----


@attack
def metadata(folder, _):
    """Descriptions that are looked for once for each field."""
    for name, count in (("small", 8000), ("large", 60000)):
        labels = [f"m{number:05}" for number in range(count)]
        # The last is looked for first.
        text = "".join(f"{label}\tgauge\t\t\n" for label in reversed(labels)).encode()
        head = field("sys.metadata", f"{len(text)}s", text, False)
        value = struct.pack("<Q", 1)
        write(f"{folder}/metadata_{name}.mmstats", file_of([head, *(field(one, "Q", value) for one in labels)]))
    # Another file at each scan: nothing that was learned of the last one helps.
    yield
    forever(lambda number: write(f"{folder}/metadata_new.mmstats", _described(number)), 0.5)


def _described(number):
    labels = [f"n{number}.{one:05}" for one in range(8000)]
    text = "".join(f"{label}\tgauge\t\t\n" for label in reversed(labels)).encode()
    head = field("sys.metadata", f"{len(text)}s", text, False)
    return file_of([head, *(field(one, "Q", bytes(8)) for one in labels)])


@attack
def bools(folder, _):
    """Four million values in a file."""
    values = bytes(1024)
    fields = [field(f"b{number}", "1024?", values, False) for number in range(LIMIT // 1050)]
    data = file_of(fields)
    for number in range(8):
        write(f"{folder}/bools{number}.mmstats", data + bytes([number]))
    yield
    forever(lambda number: write(f"{folder}/bools_new.mmstats", data + struct.pack("<I", number)), 0.5)


@attack
def shrinking(folder, _):
    """Files that were large when they were seen first."""
    small = counters(["shrunk"])
    large = counters([f"s{number}" for number in range(20000)])
    paths = [f"{folder}/shrinking{number}.mmstats" for number in range(200)]
    for path in paths:
        write(path, large)

    def step(number):
        path = paths[number % len(paths)]
        with open(path, "r+b") as file:
            file.write(small.ljust(4096, b"\0"))
            file.truncate(4096)

    yield
    forever(step, 0.02)


@attack
def folders(folder, _):
    for number in range(30000):
        os.makedirs(f"{folder}/users/empty{number}/mm", exist_ok=True)
    yield
    wait()


@attack
def sparse(folder, _):
    """One text of four megabytes for each file, of which the disk has a page."""
    size = LIMIT - 100
    head = b"\x01" + sys_fields() + struct.pack("<H", 4) + b"text" + struct.pack("<H", len(f"{size}s"))
    head += f"{size}s".encode() + b"\xff"
    for number in range(1000):
        path = f"{folder}/.sparse"
        with open(path, "wb") as file:
            file.write(head)
            file.write(b"%d" % number)
            file.truncate(LIMIT)
        os.rename(path, f"{folder}/sparse{number}.mmstats")
    yield
    wait()


@attack
def links(folder, secret):
    """Names that are now a file or a folder of his, and now a link to what only root may see. What has the
    same name there is a file of somebody dead, which an agent would remove."""
    _libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

    def swap(one, other):
        _libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE)

    users = f"{folder}/users"
    pairs = []
    # The last folder, one above it, and the file itself.
    os.makedirs(f"{users}/evil/mm")
    os.symlink(f"{secret}/mm", f"{users}/evil/link")
    pairs.append((f"{users}/evil/mm", f"{users}/evil/link"))
    os.makedirs(f"{users}/bad/mm")
    os.symlink(secret, f"{users}/.link")
    pairs.append((f"{users}/bad", f"{users}/.link"))
    os.symlink(f"{secret}/mm/dead.mmstats", f"{folder}/.link")
    write(f"{folder}/dead.mmstats", counters(["evil.steps"], DEAD))
    pairs.append((f"{folder}/dead.mmstats", f"{folder}/.link"))
    os.makedirs(f"{users}/fixed")
    os.symlink(f"{secret}/mm", f"{users}/fixed/mm")
    os.symlink(secret, f"{users}/planted")

    def step(number):
        for one, other in pairs:
            swap(one, other)
        if number % 40 == 0:  # the agent removes them
            data = counters(["evil.steps"], DEAD)
            for path in (f"{users}/evil/mm", f"{users}/evil/link", f"{users}/bad/mm", f"{users}/.link/mm"):
                if not os.path.islink(path) and os.path.isdir(path):
                    try:
                        write(f"{path}/dead.mmstats", data)
                    except OSError:
                        pass  # it is the secret now

    yield
    forever(step, 0.0005)


@attack
def collisions(folder, _):
    for name, before in (("labels", b""), ("series", b"\0-1c")):
        labels = colliding(40000, before)
        write(f"{folder}/collisions_{name}.mmstats", counters(labels))
    yield
    wait()


@attack
def series(folder, _):
    """More labels than there may be, and then others."""

    def step(number):
        for part in range(6):
            labels = [f"l{number}.{part}.{one}" for one in range(35000)]
            write(f"{folder}/series{part}.mmstats", counters(labels))

    yield
    forever(step, 3)


@attack
def files(folder, _):
    data = counters(["many"])
    for number in range(45000):
        with open(f"{folder}/many{number}.mmstats", "wb") as file:
            file.write(data)
    # The folder changes all the time, so that it is listed at each scan.
    yield
    forever(lambda number: write(f"{folder}/many_new{number % 7}.mmstats", data), 0.1)


@attack
def symlinks(folder, _):
    for number in range(200000):
        os.symlink("nowhere", f"{folder}/symlink{number}.mmstats")

    def step(number):
        os.unlink(f"{folder}/symlink{number % 200000}.mmstats")
        os.symlink("nowhere", f"{folder}/symlink{number % 200000}.mmstats")

    yield
    forever(step, 0.1)


@attack
def renames(folder, _):
    """One file under names that change all the time."""
    data = counters(["renamed"])
    for number in range(50):
        write(f"{folder}/renamed{number}_0.mmstats", data)

    def step(number):
        for one in range(50):
            os.rename(f"{folder}/renamed{one}_{number}.mmstats", f"{folder}/renamed{one}_{number + 1}.mmstats")

    yield
    forever(step, 0.001)


@attack
def odd_names(folder, _):
    """FIFOs, sockets of names with line feeds, files that nobody may read, several names of one file."""
    for number in range(1000):
        os.mkfifo(f"{folder}/fifo{number}.mmstats")
        write(f"{folder}/denied\n{number} <Files> is fine\x1b[2J.mmstats", counters(["denied"]))
        os.chmod(f"{folder}/denied\n{number} <Files> is fine\x1b[2J.mmstats", 0)
        write(f"{folder}/damaged\r\n{number}.mmstats", b"\x01\xff\xff" + b"%d" % number)
    write(f"{folder}/several.mmstats", counters(["several"]))
    for number in range(1000):
        os.link(f"{folder}/several.mmstats", f"{folder}/several{number}.mmstats")

    def step(number):
        path = f"{folder}/fifo{number % 1000}.mmstats"
        os.unlink(path)
        os.mkfifo(path)

    yield
    forever(step, 0.001)


@attack
def truncated(folder, _):
    """Files that are cut and refilled while they are read."""
    dice = random.Random(4711)
    data = counters([f"t{number}" for number in range(500)])
    opened = [os.open(f"{folder}/truncated{number}.mmstats", os.O_RDWR | os.O_CREAT) for number in range(20)]

    def step(number):
        for file in opened:
            os.ftruncate(file, dice.randrange(len(data)))
            os.pwrite(file, data, 0)

    yield
    forever(step, 0.001)


@attack
def stopped(folder, _):
    """Writers that stand still, or never get on."""
    for number in range(20):
        child = os.fork()
        if child == 0:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            path = f"{folder}/stopped{number}.mmstats"
            write(path, counters([f"stopped{number}"]))
            file = os.open(path, os.O_RDWR)
            fcntl.flock(file, fcntl.LOCK_EX)
            os.kill(os.getpid(), signal.SIGSTOP)
            wait()
    yield
    wait()


@attack
def leases(folder, _):
    """The dead one's files, on which a living one has a lease or a lock: who opens or removes one waits."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    held = []

    def step(number):
        path = f"{folder}/leased{number % 200}.mmstats"
        write(path, counters(["leased"], DEAD))
        file = os.open(path, os.O_RDWR if number % 2 else os.O_RDONLY)
        if number % 4 < 2:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(file)
        if len(held) > 200:
            os.close(held.pop(0))

    yield
    forever(step, 0.01)


@attack
def openers(folder, _):
    """Dead files that are opened for writing all the time, while the agent asks who has them open."""
    data = counters(["opened"], DEAD)

    def step(number):
        path = f"{folder}/opened{number % 100}.mmstats"
        if number % 300 < 100 or not os.path.exists(path):
            write(path, data)
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    yield
    forever(step, 0.0005)


@attack
def lives(folder, _):
    """Processes, as it seems, that come and go without end."""

    def step(number):
        for one in range(20):
            data = counters([f"life{number % 100}"], DEAD + number * 20 + one)
            write(f"{folder}/life{one}.mmstats", data)

    yield
    forever(step, 0.005)


@attack
def same_owner(folder, _):
    """Thousands of files that say that they are of one process and moment, and are replaced all the time."""
    data = b"\x01" + field("same", "Q", struct.pack("<Q", 1))
    data += field("sys.pid", "I", struct.pack("<I", 1), False)
    data += field("sys.created", "d", struct.pack("<d", 1e9), False) + bytes(2)
    for number in range(10000):
        write(f"{folder}/same{number}.mmstats", data)
    yield
    forever(lambda number: write(f"{folder}/same{number % 10000}.mmstats", data), 0.00001)


@attack
def twin_names(folder, _):
    """Files with two names, of which one changes all the time."""
    data = counters(["twin"])
    for number in range(10000):
        write(f"{folder}/twin_z{number}.mmstats", data)
        os.link(f"{folder}/twin_z{number}.mmstats", f"{folder}/twin_0_{number}.mmstats")

    def step(number):
        one, turn = number % 10000, number // 10000
        os.rename(f"{folder}/twin_{turn}_{one}.mmstats", f"{folder}/twin_{turn + 1}_{one}.mmstats")

    yield
    forever(step, 0.00001)


@attack
def unsettled(folder, _):
    """Values of large files that change in every reading."""
    maps = []
    for number in range(30):
        path = f"{folder}/unsettled{number}.mmstats"
        write(path, counters([f"u{one}" for one in range(20000)]))
        with open(path, "r+b") as file:
            maps.append(mmap.mmap(file.fileno(), 0))
    value = re.compile(rb"Q\x00")
    places = [found.end() for found in value.finditer(maps[0])][::50]
    yield

    def step(number):
        data = struct.pack("<Q", number)
        for memory in maps:
            for place in places:
                memory[place + 8 : place + 16] = data

    forever(step, 0)


@attack
def folder_storm(folder, _):
    """Folders behind a wildcard that change places, become files and links, and lose their rights."""
    users = f"{folder}/users"
    for number in range(200):
        os.makedirs(f"{users}/storm{number}/mm")
        write(f"{users}/storm{number}/mm/a.mmstats", counters(["storm"]))

    def step(number):
        one, other = f"{users}/storm{number % 200}", f"{users}/storm{number * 7 % 200}"
        if one == other:
            return
        os.rename(one, f"{users}/.storm")
        os.rename(other, one)
        os.rename(f"{users}/.storm", other)
        os.chmod(one, 0o755 if number % 2 else 0)
        os.chmod(other, 0o755)

    yield
    forever(step, 0.001)


class User:
    """Runs attacks at once, each in a process of its own, as the user that has UID."""

    def __init__(self, names, folder, secret):
        self._pids = {}
        self._preparing = {}
        for name in names:
            readable, writable = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    become(UID)
                    going = ATTACKS[name](folder, secret)
                    next(going)
                    os.write(writable, b"p")
                    os.nice(15)
                    next(going)
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(1)
            os.close(writable)
            os.set_blocking(readable, False)
            self._pids[name] = pid
            self._preparing[name] = readable

    def is_prepared(self):
        """Whether all of them go on now."""
        for name, readable in list(self._preparing.items()):
            try:
                assert os.read(readable, 1) == b"p", f"{name} ended by itself"
            except BlockingIOError:
                continue
            os.close(readable)
            del self._preparing[name]
        return not self._preparing

    def dead(self):
        """Names of attacks that ended by themselves, which none does."""
        ended = [name for name, pid in self._pids.items() if os.waitpid(pid, os.WNOHANG) != (0, 0)]
        for name in ended:
            del self._pids[name]
        return ended

    def stop(self):
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._pids = {}
        for readable in self._preparing.values():
            os.close(readable)
        self._preparing = {}


def become(uid):
    """What a child of root does first: it is another user from now on, and ends with its parent."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.umask(0o022)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def remove_what_is_his(folder):
    for root, names, others in os.walk(folder, topdown=False):
        for name in names + others:
            path = os.path.join(root, name)
            try:
                status = os.lstat(path)
                if status.st_uid == UID:
                    (os.rmdir if stat.S_ISDIR(status.st_mode) else os.unlink)(path)
            except FileNotFoundError:
                pass  # the agent was faster
