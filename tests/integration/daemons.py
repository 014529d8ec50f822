"""Debian's own daemons, each private to one test: loopback only, own folders, stopped by pid.

All are context managers. Starting waits until the daemon answers; leaving stops it and asserts a
clean exit, or, if the test failed, prints its log.
"""

import atexit
import contextlib
import glob
import grp
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = "testhost"
# Slow machines and instrumented programs need longer, never differently.
TIME_SCALE = float(os.environ.get("MMSTATS_TEST_TIME_SCALE", "1"))
# Seconds to wait for what is sure to come. On a busy machine, with daemons ahead of it, a test may get a
# fiftieth of a processor.
PATIENCE = 60 * TIME_SCALE
COLLECTD_MODULES = os.environ.get("COLLECTD_MODULES", "/usr/lib/collectd")
COLLECTD_TYPES = "/usr/share/collectd/types.db"


def wait_until(condition, what, seconds=120):
    """Polls until condition() gives something true, and returns that."""
    deadline = time.monotonic() + seconds * TIME_SCALE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * TIME_SCALE:g} s in vain: {what}")
        time.sleep(0.02)


def is_quick(seconds, took, tries=5):
    """Whether what `took()` does, and says how long that took, can be done in less than so many seconds. A busy machine
    may make a single try late; what waits for something that it should not wait for does so each time."""
    return any(took() < seconds * TIME_SCALE for _ in range(tries))


def free_port():
    """A loopback TCP port that no other running test gets.

    The daemon binds it later, so the choice must be kept from others until then: an abstract Unix
    socket is a reservation that dies with this process. Below the range of outgoing connections.
    """
    for port in range(20000 + os.getpid() % 1000 * 10, 32000):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0mmstats-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        return port
    raise AssertionError("no free port")


_reservations = []


def tells_mappings(folder):
    """Whether the file system tells who has a file mapped (core/format/lease.h)."""
    command = ["stat", "--file-system", "--format=%T", folder]
    kind = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return kind in ("tmpfs", "ext2/ext3", "xfs", "btrfs")


@contextlib.contextmanager
def workspace(mappings_matter=False):
    """A private folder. Its path is short: a Unix socket's must stay below 108 bytes, and collectd cuts
    a longer one silently. `mappings_matter`: in a container, whose /tmp is an overlay, it is in memory, for the
    library to tell whose files are abandoned; there are but 64 MB of that."""
    parent = tempfile.gettempdir()
    if mappings_matter and not tells_mappings(parent) and tells_mappings("/dev/shm"):
        parent = "/dev/shm"
    path = tempfile.mkdtemp(prefix="mmt", dir=parent if len(parent) < 60 else "/tmp")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def with_hosts(folder, hosts):
    """The beginning of a command that finds names of hosts as this text, a file /etc/hosts, has them; None where
    we may not arrange that."""
    path = os.path.join(folder, "hosts")
    with open(path, "w") as file:
        file.write(hosts)
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', path]
    return inside if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode == 0 else None


# A name as localhost is on most machines, where many a server has the IPv4 address alone.
BOTH_HOSTS = "::1 both.test\n127.0.0.1 both.test\n"


def read_log(path):
    if not os.path.exists(path):
        return ""
    with open(path, errors="replace") as log:
        return log.read()


# Newer versions end by the SIGTERM, once they have stopped in good order.
UVICORN_EXIT_CODES = (0, -signal.SIGTERM)


class Daemon:
    """A process in the foreground, with all it prints in one log."""

    clean_exit_codes = (0,)

    def __init__(self, name, argv, folder, env=None, user=None):
        os.makedirs(folder, exist_ok=True)
        self.name = name
        # Should this test be killed, the daemon goes with it. Its environment is set last: a preloaded
        # library is for the daemon alone.
        privileges = []
        if user is not None:
            privileges = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
            shutil.chown(folder, user, user)
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        # Ahead of the compilers that may run beside the tests, where we may: that what is measured is not
        # how busy the machine is.
        ahead = ["nice", "-n", "-10"] if os.getuid() == 0 else []
        self.argv = [*ahead, "setpriv", "--pdeathsig", "KILL", *privileges, "env", *settings, *argv]
        self.log_paths = [os.path.join(folder, f"{name}.log")]
        self.process = None

    def ready(self):
        return True

    def __enter__(self):
        with open(self.log_paths[0], "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            # Should it not come up, it ends, which is seen at once; on a busy machine some take long.
            wait_until(self._ready_or_dead, f"{self.name} answers", 300)
        except BaseException:
            self._abandon()
            raise
        return self

    def _ready_or_dead(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode} while it started")
        return self.ready()

    def __exit__(self, failure, *_):
        if failure:
            self._abandon()
            return
        try:
            self.stop()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self):
        self.process.kill()
        self.process.wait()
        for path in self.log_paths:
            print(f"---- end of {path} ----\n{read_log(path)[-10000:]}----", file=sys.stderr)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def log(self):
        return "".join(map(read_log, self.log_paths))

    def stop(self, seconds=60):
        """Stops the daemon and asserts that it ended by itself, cleanly. May be called again."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds * TIME_SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not stop within {seconds * TIME_SCALE:g} s") from None
        assert code in self.clean_exit_codes, f"{self.name} ended with {code}"


def port_answers(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def open_page(port, target):
    # No proxy, whatever the environment says: loopback only.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(f"http://127.0.0.1:{port}{target}", timeout=PATIENCE)


def program(name):
    """Daemons live in sbin, which is not in everybody's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin")
    assert path, f"{name} is not installed"
    return path


def collectd_config(folder, blocks, interval=1, user=None, host=HOST):
    """A collectd.conf of a private daemon that says what it does in its log, on a Unix socket and in CSV
    files. `blocks` come last."""
    return f"""\
Hostname "{host}"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
PluginDir "{COLLECTD_MODULES}"
TypesDB "{COLLECTD_TYPES}"
Interval {interval}
# What is written is written in its order, and no file is made twice. On a machine that stands still nothing is forgotten.
WriteThreads 1
Timeout 1000
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{folder}/messages"
  Timestamp true
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{folder}/s"
  SocketGroup "{grp.getgrgid(os.getgid() if user is None else user).gr_name}"
  SocketPerms "0666"
  DeleteSocket true
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates false
</Plugin>
{blocks}
"""


# A plugin of its own, that collectd reads at each interval.
HEARTBEAT = "LoadPlugin uptime\n"


def mmstats_block(folder, block="", module=None):
    """Loads the module that the build made, or `module`, with `block` inside its <Plugin> block.

    collectd takes modules from one folder at a time, and refuses links: so a copy of ours.
    """
    modules = os.path.join(folder, "modules")
    os.makedirs(modules, exist_ok=True)
    if os.statvfs(modules).f_flag & os.ST_NOEXEC:  # as of a container's memory
        modules = tempfile.mkdtemp(prefix="mmstats-modules-")
        os.chmod(modules, 0o755)
        atexit.register(shutil.rmtree, modules, ignore_errors=True)
    shutil.copy(module or os.environ["MMSTATS_PLUGIN"], os.path.join(modules, "mmstats.so"))
    text = f'PluginDir "{modules}"\nLoadPlugin mmstats\nPluginDir "{COLLECTD_MODULES}"\n'
    return text + (f"<Plugin mmstats>\n{block}\n</Plugin>\n" if block else "")


class Collectd(Daemon):
    """A collectd of its own. `user`, a number, may be given by root alone."""

    def __init__(self, workspace, blocks, interval=1, name="collectd", env=None, user=None, host=HOST):
        self.host = host
        self.folder = os.path.join(workspace, name)
        os.makedirs(self.folder)
        self.socket_path = os.path.join(self.folder, "s")
        assert len(self.socket_path) < 108, f"too long for a socket: {self.socket_path}"
        config = os.path.join(self.folder, "collectd.conf")
        with open(config, "w") as file:
            file.write(collectd_config(self.folder, blocks, interval, user, host))
        super().__init__(name, [program("collectd"), "-f", "-C", config], self.folder, env, user)
        self.log_paths.append(os.path.join(self.folder, "messages"))

    def ready(self):
        try:
            self.command("LISTVAL")
        except OSError:
            return False
        return True

    def command(self, line):
        """The answer's lines to one line of the unixsock protocol, the status left out."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.socket_path)
            stream = connection.makefile("rw", errors="surrogateescape")
            stream.write(line + "\n")
            stream.flush()
            status = stream.readline().rstrip("\n")
            count, _, message = status.partition(" ")
            if not count or int(count) < 0:
                raise OSError(f"collectd says to {line!r}: {message or 'nothing'}")
            return [stream.readline().rstrip("\n") for _ in range(int(count))]

    def names(self):
        """Identifiers of all values that it knows, without the host."""
        return {line.split(" ", 1)[1].split("/", 1)[1] for line in self.command("LISTVAL")}

    def value(self, name):
        """The last value, a rate for counters; None if there is none."""
        try:
            answer = self.command(f'GETVAL "{self.host}/{name}"')
        except OSError:
            return None
        return float(answer[0].partition("=")[2])

    def samples(self, name):
        """All that was dispatched under the name so far: (time, value), counters raw."""
        result = []
        # A file for each day: the test may run over midnight.
        for path in sorted(glob.glob(f"{glob.escape(os.path.join(self.folder, 'csv', self.host, name))}-????-??-??")):
            with open(path) as file:
                lines = file.read().split("\n")[1:-1]  # no header, no line that is being written
            for line in lines:
                when, value = line.split(",")
                result.append((float(when), float(value) if "." in value or "n" in value else int(value)))
        # Blocks are read by several threads, of which one may overtake another.
        return sorted(result, key=lambda sample: sample[0])

    def last(self, name):
        samples = self.samples(name)
        return samples[-1][1] if samples else None

    def most_beats_between(self, times):
        """How often it read HEARTBEAT between two of these times, at the most: what it missed, and not what a machine that
        stood still kept from it."""
        beats = [when for when, _ in self.samples("uptime/uptime")]
        assert beats, "it has no heart"
        return max(sum(last < beat < when for beat in beats) for last, when in zip(times, times[1:]))

    def wait_for(self, name, want, seconds=120):
        """Waits until the last raw value is `want`."""
        wait_until(lambda: self.last(name) == want, f"{name} is {want}", seconds)


class Carbon(Daemon):
    # Twisted ends by raising the signal again.
    clean_exit_codes = (0, -signal.SIGTERM, 128 + signal.SIGTERM)

    def __init__(self, workspace):
        folder = os.path.join(workspace, "carbon")
        conf = os.path.join(folder, "conf")
        os.makedirs(conf)
        self.storage = os.path.join(folder, "storage")
        self.whisper = os.path.join(self.storage, "whisper")
        self.line_port, self.pickle_port, self.query_port = free_port(), free_port(), free_port()
        config = os.path.join(conf, "carbon.conf")
        with open(config, "w") as file:
            file.write(
                f"""\
[cache]
STORAGE_DIR = {self.storage}
LOCAL_DATA_DIR = {self.whisper}
CONF_DIR = {conf}
LOG_DIR = {folder}/log
PID_DIR = {folder}
USER =
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {self.line_port}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {self.pickle_port}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {self.query_port}
CARBON_METRIC_INTERVAL = 0
WHISPER_AUTOFLUSH = True
WHISPER_FALLOCATE_CREATE = False
ENABLE_TAGS = False
"""
            )
        with open(os.path.join(conf, "storage-schemas.conf"), "w") as file:
            file.write("[test]\npattern = .*\nretentions = 1s:10m\n")
        os.makedirs(self.whisper)
        argv = [program("carbon-cache"), f"--config={config}", "--nodaemon", "start"]
        super().__init__("carbon", argv, folder, {"PYTHONDONTWRITEBYTECODE": "1"})

    def ready(self):
        return port_answers(self.line_port) and port_answers(self.query_port)


class GraphiteWeb(Daemon):
    clean_exit_codes = (0, -signal.SIGTERM)

    def __init__(self, workspace, carbon):
        folder = os.path.join(workspace, "web")
        os.makedirs(os.path.join(folder, "log"))
        self.folder = folder
        self.port = None
        with open(os.path.join(folder, "graphite_test_settings.py"), "w") as file:
            file.write(
                f"""\
SECRET_KEY = "of a private test server"
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["*"]
LOG_DIR = "{folder}/log"
LOG_ROTATION = False
CONF_DIR = "{folder}"
STORAGE_DIR = "{folder}"
INDEX_FILE = "{folder}/index"
WHISPER_DIR = "{carbon.whisper}"
STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = ["127.0.0.1:{carbon.query_port}"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{folder}/graphite.db"}}}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
            )
        # Django takes its time: it starts beside Carbon, and the database is made in the same process.
        server = os.path.join(folder, "serve.py")
        with open(server, "w") as file:
            file.write(
                f"""\
import os, socketserver
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
import django
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, interactive=False, verbosity=0)
from graphite.wsgi import application
class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
server = make_server("127.0.0.1", 0, application, server_class=Server)
with open("{folder}/port.new", "w") as file:
    file.write(str(server.server_port))
os.rename("{folder}/port.new", "{folder}/port")
server.serve_forever()
"""
            )
        env = {
            "PYTHONPATH": folder,
            "GRAPHITE_SETTINGS_MODULE": "graphite_test_settings",
            "DJANGO_SETTINGS_MODULE": "graphite.settings",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
        }
        super().__init__("graphite-web", ["/usr/bin/python3", server], folder, env)

    def ready(self):
        path = os.path.join(self.folder, "port")
        if not os.path.exists(path):
            return False
        with open(path) as file:
            self.port = int(file.read())
        return True

    def get(self, path, **query):
        with open_page(self.port, f"{path}?{urllib.parse.urlencode(query)}") as answer:
            return answer.read()

    def _series(self, target, since):
        try:
            return json.loads(self.get("/render", target=target, format="json", **{"from": since}))
        except urllib.error.HTTPError as error:
            if error.code != 500:
                raise
            return []  # it cannot read a file that Carbon is just making

    def points(self, target, since="-2min"):
        """(time, value) of a target's points that have a value."""
        series = self._series(target, since)
        return [(when, value) for one in series for value, when in one["datapoints"] if value is not None]

    def last(self, target, since="-2min"):
        """{name: last value} of a target's series."""
        values = {one["target"]: [value for value, _ in one["datapoints"] if value is not None]
                  for one in self._series(target, since)}
        return {name: of_name[-1] for name, of_name in values.items() if of_name}

    def png(self, target, since="-2min"):
        return self.get("/render", target=target, format="png", width=600, height=300, **{"from": since})


SCRAPE_SECONDS = 1


class Prometheus(Daemon):
    """Scrapes what listens at the `port` of each server, once a second."""

    def __init__(self, workspace, *servers):
        self.port = free_port()
        self.moment = None
        folder = os.path.join(workspace, f"prometheus-{self.port}")
        os.makedirs(folder)
        config = os.path.join(folder, "prometheus.yml")
        targets = ", ".join(f'"127.0.0.1:{server.port}"' for server in servers)
        with open(config, "w") as file:
            file.write(
                f"""\
global: {{scrape_interval: {SCRAPE_SECONDS}s, scrape_timeout: {SCRAPE_SECONDS}s}}
scrape_configs:
- job_name: mmash
  static_configs: [{{targets: [{targets}]}}]
"""
            )
        argv = [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{self.port}"]
        super().__init__("prometheus", argv, folder)

    def ready(self):
        try:
            with open_page(self.port, "/-/ready") as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **query):
        """What its API answers."""
        with open_page(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)["data"]

    def wait_for(self, what, holds, seconds=120):
        """Waits until holds() is true of values that have settled, which are given from then on: what a scrape would take
        away that comes too late on a busy machine is there."""

        def settled():
            # Scrapes that had begun then have ended.
            self.moment = time.time() - 2 * SCRAPE_SECONDS
            return holds()

        wait_until(settled, what, seconds)

    def values(self, query):
        """{labels, as sorted pairs: value} of an expression: now, or when wait_for() was satisfied."""
        moment = {} if self.moment is None else {"time": self.moment}
        result = self.ask("query", query=query, **moment)["result"]
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in result}

    def value(self, query):
        """Of the only result; None if there is not one."""
        values = list(self.values(query).values())
        return values[0] if len(values) == 1 else None
