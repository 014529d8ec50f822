"""Many machines on one network, each in a network namespace, with the files of packaging/fleet in their places.

A test file of a recipe ends with fleet.main(), which runs it in namespaces of its own: nothing that it
mounts, and no interface that it makes, is seen outside. How many machines there are, and how often they
are read, is in MMSTATS_FLEET_HOSTS and MMSTATS_FLEET_INTERVAL.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
import urllib.parse
import urllib.request

import daemons

PACKAGING = os.path.join(daemons.HERE, "..", "..", "packaging")
INSIDE = "MMSTATS_TEST_INSIDE_FLEET"
HOSTS = int(os.environ.get("MMSTATS_FLEET_HOSTS", "3"))
INTERVAL = int(os.environ.get("MMSTATS_FLEET_INTERVAL", "1"))
WORKERS = 20 if HOSTS > 10 else 4
COUNTERS, GAUGES, BUCKETS = 20, 6, 16  # of fleet_writer.cc, and of `Buckets true`
# Folders that a machine has for itself, if it has anything in them.
PRIVATE = ("/etc/collectd", "/etc/carbon", "/etc/graphite", "/etc/prometheus", "/var/lib/collectd", "/var/lib/graphite",
           "/var/lib/prometheus", "/var/log/carbon", "/var/log/graphite")


def main():
    if os.environ.get(INSIDE):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "fleet", "/run"], check=True)
        unittest.main()
        return
    unshare = ["unshare", "--net", "--mount", "--propagation", "private", "--"]
    if os.getuid() != 0:
        unshare.insert(1, "--map-root-user")
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "fleet", "/run"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: no namespaces of networks and mounts can be made here", file=sys.stderr)
        sys.exit(77)
    again = [sys.executable, "-B", os.path.join(daemons.HERE, "run_file.py"), *sys.argv]
    os.execvpe(unshare[0], [*unshare, *again], {**os.environ, INSIDE: "1"})


def need(**programs):
    """Skips the test if there is no such program or library; by package."""
    for package, path in programs.items():
        if not (glob.glob(path) or shutil.which(path, path="/usr/sbin:/usr/bin:/sbin:/bin")):
            raise unittest.SkipTest(f"{path} is not there: install {package.replace('_', '-')}")


def run(*argv):
    subprocess.run(argv, check=True)


def say(text):
    """What was measured: told whether or not the test passes."""
    print("  " + text, file=sys.stderr, flush=True)


def filled(path, marks):
    """The text of a file of packaging/, with values in place of its marks, at the test's interval."""
    with open(os.path.join(PACKAGING, path)) as file:
        text = file.read()
    for name, value in marks.items():
        text = text.replace(f"@{name}@", str(value))
    left = re.findall(r"@[A-Z_]+@", text)
    assert not left, (path, left)
    text = re.sub(r"Interval 10\b", f"Interval {INTERVAL}", text)
    text = re.sub(r"_interval: 10s", f"_interval: {INTERVAL}s", text)
    # As long as a slow machine takes.
    text = re.sub(r"(_TIMEOUT = |--timeout )[0-9.]+", r"\g<1>600", text)
    return text.replace("10s:1d,1m:14d,10m:2y", f"{INTERVAL}s:{3600 * INTERVAL}s")


class Machine:
    def __init__(self, fleet, name, address):
        self.fleet = fleet
        self.name = name
        self.address = address
        self.folder = os.path.join(fleet.folder, name)
        # Of the switch; a machine without one has the loopback of the test.
        self.port = None if address == "127.0.0.1" else f"p{address.rpartition('.')[2]}"
        os.makedirs(os.path.join(self.folder, "run"), exist_ok=True)
        os.chmod(os.path.join(self.folder, "run"), 0o1777)
        self.root = os.path.join(self.folder, "root")

    def place(self, source, target, mode=0o644, **marks):
        """Copies a file of packaging/ to where it says, with values in place of its marks."""
        self.write(target, filled(source, {"HOST": self.name, "ADDRESS": self.address, **marks}), mode)

    def write(self, target, text, mode=0o644):
        path = self.root + target
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)

    def default_options(self, target, name):
        """Words that a service's file in /etc/default gives it."""
        with open(self.root + target) as file:
            return re.search(rf'^{name}="(.*)"$', file.read(), re.M)[1].split()

    def command(self, *argv):
        """Runs a program on the machine: with its network, and with its files in their places."""
        os.makedirs(self.root + "/run/mmstats", exist_ok=True)
        binds = [(self.fleet.modules, "/usr/lib/collectd"), (self.root + "/run", "/run"),
                 (os.path.join(self.folder, "run"), "/run/mmstats")]
        for target in PRIVATE:
            os.makedirs(self.root + target, exist_ok=True)
            if os.path.isdir(target):
                binds.append((self.root + target, target))
        script = "".join(f"mount --bind '{source}' '{target}' && " for source, target in binds) + 'exec "$@"'
        network = ["nsenter", f"--net=/run/netns/{self.name}"] if self.port else []
        return [*network, "unshare", "--mount", "--propagation", "private",
                "sh", "-c", script, "sh", *argv]

    def daemon(self, name, argv, env=None, ready=None, codes=(0,)):
        return MachineDaemon(self, name, argv, env, ready, codes)

    def collectd(self):
        return self.daemon("collectd", [daemons.program("collectd"), "-f", "-C", "/etc/collectd/collectd.conf"],
                           ready=lambda: "Initialization complete" in daemons.read_log(self.messages))

    @property
    def messages(self):
        return os.path.join(self.folder, "messages")

    def observe(self, csv=True):
        """Has collectd log, and write down all that it gets, besides what the recipe says."""
        # As daemons.collectd_config().
        text = "WriteThreads 1\n"
        text += f'LoadPlugin logfile\n<Plugin logfile>\n  LogLevel info\n  File "{self.messages}"\n</Plugin>\n'
        if csv:
            text += f'LoadPlugin csv\n<Plugin csv>\n  DataDir "{self.folder}/csv"\n  StoreRates false\n</Plugin>\n'
        self.write("/etc/collectd/collectd.conf.d/zz-test.conf", text)

    def mmash(self):
        """With the options of its service's file."""
        options = self.default_options("/etc/default/mmash", "MMASH_OPTIONS")
        page = os.path.join(PACKAGING, "..", "core", "tools", "mmash", "page")
        return self.daemon("mmash", [os.environ["MMSTATS_MMASH"], "--page", page, *options], {"MMSTATS_PATH": "/run/mmstats"},
                           lambda: "mmash: serves " in daemons.read_log(os.path.join(self.folder, "mmash.log")))

    def samples(self, series, host=None):
        """{time: raw value} of all that its collectd got."""
        result = {}
        for path in glob.glob(f"{self.folder}/csv/{host or self.name}/{glob.escape(series)}-????-??-??"):
            with open(path) as file:
                for line in file.read().split("\n")[1:-1]:
                    when, _, value = line.partition(",")
                    # Two threads of collectd may make the file at once, and each cut the other's line.
                    if len(when) > len("1234567890"):
                        result[when] = float(value)
        return {float(when): value for when, value in result.items()}

    def received(self):
        """Bytes that the switch has sent it, with all headers."""
        output = subprocess.run(["ip", "-s", "-j", "link", "show", "dev", self.port], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(output)[0]["stats64"]["tx"]["bytes"]

    def dropped(self):
        """Packets for which its receive buffers had no room, by the kernel."""
        output = subprocess.run(self.command("cat", "/proc/net/snmp"), check=True, stdout=subprocess.PIPE, text=True).stdout
        names, numbers = (line.split() for line in output.splitlines() if line.startswith("Udp:"))
        return int(numbers[names.index("RcvbufErrors")])

    def cut_off(self):
        """As if somebody pulled the cable, at the switch: the machine does not notice."""
        run("bridge", "link", "set", "dev", self.port, "state", "0")

    def connect(self):
        run("bridge", "link", "set", "dev", self.port, "state", "3")


class MachineDaemon(daemons.Daemon):
    def __init__(self, machine, name, argv, env, ready, codes):
        self.is_ready = ready or (lambda: True)
        self.waits = True
        self.clean_exit_codes = codes
        super().__init__(name, machine.command(*argv), machine.folder, env)
        self.log_paths.append(machine.messages)

    def ready(self):
        return not self.waits or self.is_ready()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        """Once it has ended: the same anew."""
        self.__enter__()

    def __exit__(self, failure, *rest):
        if not failure and self.process.returncode == -signal.SIGKILL:
            return
        super().__exit__(failure, *rest)

    def memory(self):
        """MB that it has."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) / 1000

    def processor_time(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Fleet(contextlib.ExitStack):
    """Machines, a switch between them, and applications on those named web1, web2 ..."""

    def __enter__(self):
        try:
            self.set_up()
        except BaseException:
            super().__exit__(*sys.exc_info())
            raise
        return self

    def set_up(self):
        self.folder = self.enter_context(daemons.workspace())
        self.machines = []
        self.daemons = []
        self.graphite_database = None
        self.modules = os.path.join(self.folder, "modules")
        shutil.copytree("/usr/lib/collectd", self.modules)
        shutil.copy(os.environ["MMSTATS_PLUGIN"], os.path.join(self.modules, "mmstats.so"))
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "switch", "type", "bridge")
        run("ip", "address", "add", "198.51.100.254/24", "dev", "switch")
        run("ip", "link", "set", "switch", "up")
        self.callback(run, "ip", "link", "del", "switch")

    def machine(self, name):
        machine = Machine(self, name, f"198.51.100.{len(self.machines) + 1}")
        run("ip", "netns", "add", name)
        self.callback(run, "ip", "netns", "del", name)
        run("ip", "link", "add", machine.port, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", machine.port, "master", "switch", "up")
        for words in ("link set lo up", f"address add {machine.address}/24 dev eth0", "link set eth0 up"):
            run("ip", "-n", name, *words.split())
        self.machines.append(machine)
        return machine

    def web_machines(self):
        return [self.machine(f"web{number}") for number in range(1, HOSTS + 1)]

    def start(self, *daemons_to_start):
        """At once; returns when all of them answer. One daemon itself, of several a list."""
        for daemon in daemons_to_start:
            self.daemons.append(daemon)
            daemon.waits = False
            self.enter_context(daemon)
        for daemon in daemons_to_start:
            daemon.waits = True
            daemons.wait_until(daemon._ready_or_dead, f"{daemon.name} answers", 300)
        return daemons_to_start[0] if len(daemons_to_start) == 1 else daemons_to_start

    def stop(self, daemons_to_stop):
        """All at once: one after the other takes a second each."""
        for daemon in daemons_to_stop:
            if daemon.running():
                daemon.process.send_signal(signal.SIGTERM)
        for daemon in daemons_to_stop:
            if daemon.process.returncode != -signal.SIGKILL:
                daemon.stop()

    def __exit__(self, failure, *rest):
        try:
            if not failure:
                self.stop(self.daemons)
        except BaseException:
            super().__exit__(*sys.exc_info())
            raise
        return super().__exit__(failure, *rest)

    def local(self, name):
        """A machine that has its own files, and the network of the test."""
        return Machine(self, name, "127.0.0.1")

    def applications(self, hosts=HOSTS):
        applications = Applications(self.folder, hosts)
        return self.enter_context(applications)


class Applications:
    """fleet_writer.cc: what runs on all machines named web."""

    def __init__(self, folder, hosts):
        self.folder = folder
        self.hosts = hosts
        self.truth = None

    def __enter__(self):
        argv = [os.environ["MMSTATS_FLEET_WRITER"], self.folder, str(self.hosts), str(WORKERS)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        return self

    def stop(self):
        """They count no more, and the truth is known."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.truth = json.loads(self.process.stdout.readline())

    def total(self, host, counter):
        return self.truth["steps"] * (host + counter)

    def percentile(self, percent):
        values = sorted(self.truth["latencies"])
        rank = -(-round(percent * len(values) * 1000) // 100000)
        return values[max(rank, 1) - 1]

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60 * daemons.TIME_SCALE) == 0


def counter_name(number):
    return "derive-requests" if number == 0 else f"derive-counted.{number}"


def series():
    """Names of all series that have a value at each look: not the percentiles, which are not sent while nothing happens."""
    return ([counter_name(number) for number in range(COUNTERS)] + [f"gauge-level.{number}" for number in range(GAUGES)]
            + ["derive-latency.count", "total_time_in_ms-latency.sum"]
            + [f"derive-latency.buckets.{number}" for number in range(20, 20 + BUCKETS)])


def fetch(address, port, path, **query):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    query = urllib.parse.urlencode(query, doseq=True)
    with opener.open(f"http://{address}:{port}{path}?{query}", timeout=600 * daemons.TIME_SCALE) as answer:
        return answer.read()


def slot(when):
    """The time that a sample has in Carbon: collectd sends whole seconds, and Carbon keeps one for each interval."""
    return int(when + 0.5) // INTERVAL * INTERVAL


def carbon(machine, address="127.0.0.1"):
    """Carbon, with the files of the recipes."""
    machine.place("fleet/2-relay/carbon.conf", "/etc/carbon/carbon.conf", STORE=address)
    path = machine.root + "/etc/carbon/carbon.conf"
    with open(path) as file:
        text = file.read()
    # As this user: in a test it may be the only one.
    assert text.count("USER = _graphite\n") == 1
    with open(path, "w") as file:
        file.write(text.replace("USER = _graphite\n", "USER =\n"))
    for name in ("storage-schemas.conf", "storage-aggregation.conf"):
        machine.place(f"graphite/{name}", f"/etc/carbon/{name}")
    argv = ["/usr/bin/carbon-cache", "--config=/etc/carbon/carbon.conf", "--nodaemon", "start"]
    log = os.path.join(machine.folder, "carbon.log")
    ready = lambda: "CarbonReceiverFactory starting on 2003" in daemons.read_log(log)
    # Twisted ends by raising the signal again.
    return machine.daemon("carbon", argv, {"PYTHONDONTWRITEBYTECODE": "1"}, ready, (0, -signal.SIGTERM, 128 + signal.SIGTERM))


def graphite_web(machine, settings, **marks):
    """As its unit says, once the database is made."""
    machine.place(f"fleet/2-relay/{settings}", "/etc/graphite/local_settings.py", SECRET="of a test", **marks)
    machine.place("fleet/2-relay/graphite-web.service", "/etc/systemd/system/graphite-web.service")
    with open(machine.root + "/etc/systemd/system/graphite-web.service") as file:
        unit = dict(re.findall(r"^(Environment|ExecStartPre|ExecStart)=(.*)$", file.read(), re.M))
    env = dict(word.split("=", 1) for word in unit["Environment"].split())
    env.update(PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore")
    # Made once: all begin with the same.
    database = machine.root + "/var/lib/graphite/graphite.db"
    if machine.fleet.graphite_database:
        os.makedirs(os.path.dirname(database), exist_ok=True)
        shutil.copy(machine.fleet.graphite_database, database)
    else:
        settings = [f"{name}={value}" for name, value in env.items()]
        run(*machine.command("env", *settings, *unit["ExecStartPre"].split(), "--verbosity=0", "--skip-checks"))
        machine.fleet.graphite_database = database

    def ready():
        try:
            return fetch(machine.address, 8080, "/render", target="none", format="json") == b"[]"
        except OSError:
            return False

    return machine.daemon("graphite-web", unit["ExecStart"].split(), env, ready, (0, -signal.SIGTERM))


def stored(path, since, until):
    """{time: value} of a whisper file's points."""
    import whisper

    try:
        fetched = whisper.fetch(path, int(since) - 2 * INTERVAL, int(until) + 2 * INTERVAL)
    except whisper.CorruptWhisperFile:
        return {}  # it is just being made
    if not fetched:
        return {}
    (start, end, step), points = fetched
    return {when: value for when, value in zip(range(start, end, step), points) if value is not None}


def whisper_path(store, host, name):
    return f"{store.root}/var/lib/graphite/whisper/collectd/{host}/mmstats-shop/{name.replace('.', '/')}.wsp"


def now():
    return time.time()
