"""pinba-server as a process, packets for it, and what its reports have to be: a second implementation of
pinba-server(8), on top of protobuf's own reader."""

import collections
import contextlib
import math
import os
import re
import signal
import socket
import time
import urllib.parse
import warnings
from dataclasses import dataclass, field

import google.protobuf.message

import daemons
from mmash_test import OPEN_METRICS, Mmash
from pinba_packets import message_type

SERVER = os.environ["MMSTATS_PINBA_SERVER"]
MOST_TAGS = 64
MOST_NESTED = 1024
DEEPEST = 16


class PinbaServer(daemons.Daemon):
    """`config`: TOML. Its mmstats files are in <workspace>/files."""

    def __init__(self, workspace, config="", listen=("127.0.0.1:0",), name="server", files=None, state=None,
                 env=None):
        folder = os.path.join(workspace, name)
        self.files = files or os.path.join(workspace, "files")
        self.state = state or os.path.join(folder, "state")
        for made in (folder, self.files, self.state):
            os.makedirs(made, exist_ok=True)
        self.config = os.path.join(folder, "server.toml")
        self.write(config)
        listens = [word for place in listen for word in ("--listen", place)]
        super().__init__(name, [SERVER, "--config", self.config, *listens], folder, env)

    def write(self, config):
        # As an editor does: whoever reads it has all of it.
        with open(self.config + ".new", "w") as file:
            file.write(f'path = "{self.files}"\nstate_folder = "{self.state}"\n{config}')
        os.rename(self.config + ".new", self.config)

    def addresses(self):
        said = re.findall(r"^pinba-server: listens on (.*)$", self.log(), re.M)
        return said[-1].split(", ") if said else []

    @property
    def address(self):
        return self.addresses()[0]

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    def ready(self):
        return bool(self.addresses())

    def reload(self):
        """SIGHUP, and what the log says to it."""
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        ends = (": read again\n", "keeping the previous configuration\n")
        return daemons.wait_until(lambda: any(end in self.log()[before:] for end in ends) and self.log()[before:],
                                  "the configuration was read again")

    def kill(self):
        """As the kernel does to whom there is no memory for."""
        self.clean_exit_codes = (-signal.SIGKILL,)
        self.process.kill()
        self.process.wait()

    def lines(self, name):
        """Of slow.jsonl or bad.jsonl."""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.state, name)) as file:
            return file.read().splitlines()
        return []

    def most_memory(self):
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) << 10


def waiting(port):
    """Bytes of packets that wait in sockets at the port."""
    total = 0
    for name in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(FileNotFoundError), open(name) as table:
            for line in table.read().splitlines()[1:]:
                words = line.split()
                if int(words[1].rpartition(":")[2], 16) == port:
                    total += int(words[4].rpartition(":")[2], 16)
    return total


class Sender:
    """Sends datagrams to HOST:PORT, never more than its socket has room for."""

    def __init__(self, address, source=None):
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self.port = int(port)
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        if source:
            self._socket.bind((source, 0))
        self._socket.connect((host, self.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, *datagrams):
        room = 0
        for datagram in datagrams:
            # Each takes some more in the system; the buffer may have no more than 208 KiB.
            if (room := room - len(datagram) - 1500) < 0:
                self.drain()
                room = 100_000
            self.throw(datagram)

    def throw(self, datagram):
        """Whether there is room or not."""
        self._socket.send(datagram)

    def drain(self):
        """Waits until all is taken."""
        deadline = time.monotonic() + daemons.PATIENCE
        while waiting(self.port):
            assert time.monotonic() < deadline, "packets are not taken"


def packet(script="/", host="web1", server="srv", seconds=0.0, user=0.0, system=0.0, size=0, memory=0, status=None,
           schema=None, tags=None, timers=(), requests=()):
    """A datagram. `timers`: (hits, seconds, {name: value}). protobuf makes it."""
    message = message_type()(hostname=host, server_name=server, script_name=script, request_count=0, document_size=size,
                             memory_peak=0, request_time=seconds, ru_utime=user, ru_stime=system, memory_footprint=memory)
    words = {}

    def word(text):
        return words.setdefault(str(text), len(words))

    for hits, value, timer_tags in timers:
        message.timer_hit_count.append(hits)
        message.timer_value.append(value)
        message.timer_tag_count.append(len(timer_tags))
        message.timer_tag_name.extend(word(name) for name in timer_tags)
        message.timer_tag_value.extend(word(text) for text in timer_tags.values())
    for name, text in (tags or {}).items():
        message.tag_name.append(word(name))
        message.tag_value.append(word(text))
    message.dictionary.extend(words)
    if status is not None:
        message.status = status
    if schema is not None:
        message.schema = schema
    for inner in requests:
        message.requests.add().ParseFromString(inner)
    return message.SerializeToString()


def random_requests(dice, count):
    """Datagrams of requests as a shop has them."""
    for _ in range(count):
        timers = [(dice.choice([1, 1, 1, 5]), dice.lognormvariate(-6, 1), {"group": group, "server": f"{group}{dice.randrange(2)}"})
                  for group in dice.sample(["mysql", "redis", "http"], dice.randrange(4))]
        if dice.random() < 0.2:
            timers.append((1, dice.random(), {"template": dice.choice(["cart", "item"])}))
        yield packet(script=dice.choice(["/cart.php", "/item.php", "/"]), host=dice.choice(["web1", "web2"]),
                     server="shop.example.com", seconds=dice.lognormvariate(-3, 1), user=dice.random() / 100,
                     system=dice.random() / 1000, size=dice.randrange(100_000), memory=dice.randrange(1 << 24),
                     status=dice.choice([200, 200, 200, 404, 500]), tags={"app": "shop"}, timers=timers)


# ---- what has to come of packets

@dataclass
class Timer:
    hits: int
    seconds: float
    tags: dict


@dataclass
class Request:
    script: str
    server: str
    host: str
    status: int
    seconds: float
    user: float
    system: float
    size: int
    memory: int
    tags: dict
    timers: list
    faults: set = field(default_factory=set)


def _first_field(data):
    key = shift = 0
    for byte in data[:10]:
        key |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return key >> 3
    return 0


def requests_of(data):
    """The Requests in a datagram; None if it is no Pinba message."""
    message = message_type()()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            message.MergeFromString(data)
        except google.protobuf.message.DecodeError:
            return None
    # Of what is behind a part that it cannot read.
    if warned:
        return None
    if not 1 <= _first_field(data) <= 23 or _depth(message) > DEEPEST:
        return None
    return list(_requests_of(message, [MOST_NESTED]))


def _depth(message):
    return max((1 + _depth(inner) for inner in message.requests), default=0)


def _requests_of(message, left):
    """`left`: how many nested ones may still come."""
    faults = set()

    def amount(value):
        if math.isfinite(value) and value >= 0:
            return value
        faults.add("bad_number")
        return 0.0

    def tags_of(pairs, most):
        """None if one of them cannot be used and `most` is not given."""
        tags = {}
        if len(pairs) > MOST_TAGS:
            faults.add("many_tags")
            if most is None:
                return None
        for name, value in pairs[:most]:
            if max(name, value) >= len(message.dictionary):
                faults.add("bad_index")
                if most is None:
                    return None
                continue
            name, value = message.dictionary[name], message.dictionary[value]
            if name in tags:
                faults.add("repeated_tag")
            tags.setdefault(name, value)
        return tags

    required = ("hostname", "server_name", "script_name", "request_count", "document_size", "memory_peak", "request_time",
                "ru_utime", "ru_stime")
    # The number of requests is used by nobody.
    if any(not message.HasField(name) for name in required if name != "request_count"):
        faults.add("missing_field")
    times = [amount(message.request_time), amount(message.ru_utime), amount(message.ru_stime)]
    tags = {}
    if len(message.tag_name) == len(message.tag_value):
        tags = tags_of(list(zip(message.tag_name, message.tag_value)), MOST_TAGS)
    else:
        faults.add("uneven_tags")

    count, timers = len(message.timer_hit_count), []
    even = (len(message.timer_value) == len(message.timer_tag_count) == count
            and all(len(usage) in (0, count) for usage in (message.timer_ru_utime, message.timer_ru_stime))
            and len(message.timer_tag_name) == len(message.timer_tag_value) == sum(message.timer_tag_count))
    if not even:
        faults.add("uneven_timers")
    at = 0
    for index in range(count if even else 0):
        end = at + message.timer_tag_count[index]
        timer_tags = tags_of(list(zip(message.timer_tag_name[at:end], message.timer_tag_value[at:end])), None)
        at = end
        for usage in (message.timer_ru_utime, message.timer_ru_stime):
            if usage:
                amount(usage[index])
        hits, value = message.timer_hit_count[index], message.timer_value[index]
        amount(value)
        if hits == 0:
            faults.add("no_hits")
        if timer_tags is not None and hits > 0 and math.isfinite(value) and value >= 0:
            timers.append(Timer(hits, value, timer_tags))

    memory = message.memory_footprint if message.HasField("memory_footprint") else message.memory_peak
    yield Request(message.script_name, message.server_name, message.hostname, message.status, *times,
                  message.document_size, memory, tags, timers, faults)
    for inner in message.requests:
        if left[0] == 0:
            faults.add("many_requests")
            return
        left[0] -= 1
        yield from _requests_of(inner, left)


def faults_of(datagrams):
    """reason -> requests in which that is wrong."""
    counts = collections.Counter()
    for data in datagrams:
        requests = requests_of(data)
        if requests is None:
            counts["no_message"] += 1
        for request in requests or ():
            counts.update(request.faults)
    return counts


# ---- what came of them

SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?')


class Front:
    """mmash over the files of servers: what it says of their reports."""

    def __init__(self, workspace, files, name="mmash"):
        self.mmash = Mmash(workspace, globs=[os.path.join(files, "*.mmstats")], name=name)

    def __enter__(self):
        self.mmash.__enter__()
        self.samples()
        return self

    def __exit__(self, *failure):
        return self.mmash.__exit__(*failure)

    def samples(self):
        """{(name, frozenset of (label, value)): number}, of /metrics."""
        status, _, body = self.mmash.get("/metrics", Accept=OPEN_METRICS)
        assert status == 200, body
        found = {}
        for line in body.decode().splitlines():
            if line.startswith("#"):
                continue
            name, labels, number = SAMPLE.match(line).groups()
            pairs = LABEL.findall(labels or "")
            assert "".join(f'{label}="{text}",' for label, text in pairs) == (labels or "") + ("," if labels else ""), line
            escapes = {r"\n": "\n", r"\"": '"', r"\\": "\\"}
            texts = frozenset((label, re.sub(r"\\.", lambda sign: escapes[sign[0]], text)) for label, text in pairs)
            assert (name, texts) not in found, line
            found[name, texts] = float(number)
        return found

    def value(self, name, **labels):
        """Of one sample; 0 if there is none."""
        return self.samples().get((name, frozenset(labels.items())), 0)

    def sums(self, name, by):
        """Of all samples of a name that have the label: {its value: sum}."""
        found = collections.Counter()
        for (sample, labels), number in self.samples().items():
            if sample == name and by in dict(labels):
                found[dict(labels)[by]] += number
        return found

    def total(self, name):
        return sum(number for (sample, _), number in self.samples().items() if sample == name)

    def of_timers(self, sample):
        """Over all timers, also those without tags and of too many sets of tags."""
        return sum(self.total(f"pinba_timer_{part}{sample}") for part in ("", "untagged_", "other_tags_"))

    def groups(self, label, *by):
        """{values: what /series says of the group}."""
        query = urllib.parse.urlencode([("by", name) for name in by])
        families = self.mmash.json(f"/series/{urllib.parse.quote(label)}?{query}")["families"]
        assert len(families) == 1, families
        return {tuple(group["values"]): group for group in families[0]["groups"]}

    def wait_for(self, want, name, seconds=120, **labels):
        """Waits until the sample is `want`, and not more."""
        got = []

        def reached():
            got[:] = [self.value(name, **labels)]
            return got[0] >= want

        try:
            daemons.wait_until(reached, f"{name} {labels} is {want}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: it is {got}") from None
        assert got[0] == want, f"{name} {labels} is {got[0]}, not {want}"
