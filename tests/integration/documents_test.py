"""Every example of the manual pages, of README.md and of the pages that it leads to, run as a reader would: word for word,
on a machine that has what the build installs. RULES says what runs which block; a block that no rule knows fails the test, and has to get one.

The machine is this one in name spaces of its own: an empty /run, hosts of the examples' names, the fixed ports.
"""

import contextlib
import fcntl
import fnmatch
import glob
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import unittest

import daemons
import documents
import yaml

BUILD = os.environ["MMSTATS_BUILD"]
SOURCE = os.path.abspath(documents.SOURCE)
DOCUMENTS = [*sorted(f"packaging/man/{name}" for name in os.listdir(f"{SOURCE}/packaging/man")),
             "README.md", "core/doc/publish.md", "core/doc/look.md", "core/doc/deploy.md", "plugin_collectd/README.md",
             "plugin_pinba/README.md", "packaging/prometheus/README.md", "packaging/fleet/README.md",
             "core/tools/mmash/metrics.md", "plugin_collectd/mapping.md"]  # fmt: skip
INSIDE = "MMSTATS_READER"
# What collectd -T says of a configuration without mistakes, where the files of the example are not there.
NO_MISTAKE = "successfully loaded|reads /|matched no label|files match now|does not exist; its files are read as soon"

# What an application of the examples publishes.
APPLICATION = """
import sys, mmstats

class Stats(mmstats.MmStats):
    role = mmstats.StaticTextField("role", value="front")
    total = mmstats.CounterField("app.requests")
    requests = mmstats.CounterField("web.requests")
    in_progress = mmstats.IntField("web.in_progress", shared=True)
    missing = mmstats.CounterField("web.status.404")
    responses = mmstats.FamilyField(mmstats.CounterField("web.responses"), ["method", "status"])
    latency = mmstats.HistogramField("web.latency", unit="seconds")

stats = Stats(label_prefix="")
for field in stats.total, stats.requests, stats.missing:
    field.incr(7)
for method, status in ("GET", 200), ("PUT", 200), ("PUT", 404):
    stats.responses.with_(method, status).incr(3)
stats.latency.add(0.25)
stats.in_progress = 2
print("ready", flush=True)
sys.stdin.read()
"""


class Reason(str):
    """Why a block is not run."""


def read(path):
    with open(f"{SOURCE}/{path}", encoding="utf-8") as file:
        return file.read()


class Reader(unittest.TestCase):
    """The machine, and what can be done with a block. Each of these functions takes the block, and the text of its document."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(daemons.workspace())
        installed = f"{cls.folder}/installed"
        subprocess.run(["cmake", "--install", BUILD], env=os.environ | {"DESTDIR": installed}, stdout=subprocess.DEVNULL, check=True)
        mounts = f"""
            mount --bind {installed}/usr/local /usr/local
            mount -t tmpfs tmpfs /run
            mkdir -m 1777 /run/mmstats
            mount -t tmpfs tmpfs /var/lib
            mkdir /var/lib/job
            echo 127.0.0.1 localhost pinba.example pinba.example.com test >{cls.folder}/hosts
            mount --bind {cls.folder}/hosts /etc/hosts
            ip link set lo up
        """
        subprocess.run(["sh", "-ec", mounts], check=True)
        os.environ["PATH"] = "/usr/local/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin"
        os.environ["LD_LIBRARY_PATH"] = "/usr/local/lib"
        for name in ("MMSTATS_PATH", "MMSTATS_GLOB", "PINBA_SERVER", "http_proxy", "https_proxy"):
            os.environ.pop(name, None)
        env = os.environ | {"MMSTATS_FILES": "web-{PID}-{TID}.mmstats"}
        cls.application = subprocess.Popen(["/usr/bin/python3", "-B", "-c", APPLICATION], env=env, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.application.wait)
        cls.addClassCleanup(cls.application.stdin.close)
        assert cls.application.stdout.readline() == "ready\n"
        for path in glob.glob("/run/mmstats/web-*"):
            shutil.copy(path, "/var/lib/job/")
        mmash = daemons.Daemon("mmash", ["mmash", "--javascript", "/usr/share/javascript"], f"{cls.folder}/mmash")
        mmash.ready = lambda: daemons.port_answers(5002)
        cls.enterClassContext(mmash)

    def place(self):
        """A folder to work in."""
        folder = os.path.join(self.folder, "place")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        return folder

    def shell(self, text, folder=None, code=0):
        # Some of it is compiled.
        result = subprocess.run(["bash", "-c", text], cwd=folder or self.folder, capture_output=True, text=True,
                                timeout=5 * daemons.PATIENCE, check=False)
        self.assertEqual(result.returncode, code, f"{text}\n{result.stdout}\n{result.stderr}")
        return result.stdout + result.stderr

    def until(self, text, wanted, meanwhile=lambda: None, key=b"\x03"):
        """Runs on a terminal what ends only when it is told to, until its output has `wanted`; then the `key` ends it, by
        default Ctrl-C. `meanwhile` is done again and again. Gives the status."""
        ours, its = pty.openpty()
        # The terminal is its own: so Ctrl-C is a signal.
        process = subprocess.Popen(["setsid", "--ctty", "bash", "-c", text], stdin=its, stdout=its, stderr=its, cwd=self.place(),
                                   env=os.environ | {"TERM": "xterm"})
        os.close(its)
        shown = b""

        def read():
            nonlocal shown
            with contextlib.suppress(OSError):  # that nobody has the terminal any more
                while select.select([ours], [], [], 0)[0]:
                    shown += os.read(ours, 10000)
            return process.poll() is not None

        def told():
            meanwhile()
            return read() or wanted in shown

        try:
            daemons.wait_until(told, f"{text} prints {wanted}")
            os.write(ours, key)
            daemons.wait_until(read, f"{text} ends")
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        self.assertIn(wanted, shown, text)
        return process.returncode

    def server(self):
        """The Pinba server with its defaults, while the test lasts."""
        os.makedirs("/run/pinba-server", exist_ok=True)
        server = daemons.Daemon("pinba-server", ["/usr/local/sbin/pinba-server"], f"{self.folder}/server")
        server.ready = lambda: "listens on" in server.log()
        return server

    # --- what a rule may name

    def commands(self, block, _):
        self.shell(block)

    def with_server(self, block, _):
        """While the Pinba server has counted a packet. What asks for it does so until it is there."""
        with self.server():
            subprocess.run(["pinba-run", "--wait", "1", "true"], check=True)
            self.shell(re.sub(r"^curl (.*)$", r"until curl -f \1; do sleep 0.1; done", block, flags=re.MULTILINE))

    def screen(self, block, _):
        """A program of a terminal: when it has drawn its keys, it is ended by one."""
        self.assertEqual(self.until(block, b"Quit", key=b"q"), 0)

    def screen_with_server(self, block, _):
        with self.server():
            subprocess.run(["pinba-run", "--wait", "1", "true"], check=True)
            daemons.wait_until(lambda: glob.glob("/run/mmstats/pinba-server-*"), "the server publishes")
            self.screen(block, _)

    def columns(self, block, _):
        """A program that goes on until it is interrupted."""
        self.until(block, b"requests")

    def packets(self, block, _):
        """Something that shows packets: one is sent until it is shown."""
        def send():
            subprocess.run(["pinba-run", "--script", "long", "--", "sleep", "1.1" if "> 1" in block else "0"], check=True)

        self.until(block, b"long", send)

    def pinba_file(self, block, _):
        self.checked(block, "pinba-server" if re.search(r"\[\[(report|rewrite)", block) else "mmstats-pinba")

    def checked(self, block, program):
        path = os.path.join(self.place(), "checked.toml")
        with open(path, "w") as file:
            file.write(block)
        self.shell(f"{program} --check-config --config {path}")

    def collectd(self, block, _):
        """As it is, or as a part of what it belongs into. That files and labels are not there is no mistake."""
        if re.match("LoadPlugin pinba", block):
            config = block
        else:
            inside = re.sub(r"\A.*?<Plugin mmstats>\n(.*)</Plugin>\n\Z", r"\1", block, flags=re.DOTALL)
            if not inside.startswith(("<Files", " ")):
                inside = f'<Files "part">\nPath "/run/mmstats/*.mmstats"\n{inside}</Files>\n'
            config = daemons.mmstats_block(self.place(), inside)
        folder = os.path.join(self.folder, "place", "collectd")
        os.makedirs(folder)
        with open(f"{folder}/collectd.conf", "w") as file:
            file.write(daemons.collectd_config(folder, config))
        said = self.shell(f"collectd -T -C {folder}/collectd.conf") + daemons.read_log(f"{folder}/messages")
        mistakes = [line for line in said.splitlines() if re.search(r"mmstats|pinba|[Ee]rror|[Uu]nknown", line)
                    and not re.search(NO_MISTAKE, line)]
        self.assertEqual(mistakes, [])

    def tmpfiles(self, block, _):
        """The line of tmpfiles.d, with users of these names."""
        folder = self.place()
        os.makedirs(f"{folder}/etc")
        for name in ("passwd", "group"):
            with open(f"{folder}/etc/{name}", "w") as file:
                file.write("root:x:0:0::/:/bin/sh\nweb:x:1001:1001::/:/bin/sh\ncollectd:x:1002:1002::/:/bin/sh\n"
                           if name == "passwd" else "root:x:0:\nweb:x:1001:\ncollectd:x:1002:\n")
        with open(f"{folder}/mmstats.conf", "w") as file:
            file.write(block.partition("\n")[0] + "\n")
        self.shell(f"systemd-tmpfiles --create --clean --root={folder} {folder}/mmstats.conf")
        first, _, rest = block.partition("\n\n")
        if first.startswith("d "):
            self.assertTrue(os.path.isdir(folder + first.split()[1]))
        if "<Files" in rest:
            self.collectd(rest[rest.index("<Files") :], "")

    def prometheus(self, block, _):
        folder = self.place()
        text = block.replace("/etc/prometheus", f"{SOURCE}/packaging/prometheus")
        with open(f"{folder}/prometheus.yml", "w") as file:
            file.write(text)
        rules = read("packaging/prometheus/mmstats.rules.yml").count("- alert:")
        self.assertIn(f"{rules} rules found", self.shell(f"promtool check config {folder}/prometheus.yml"))

    def queries(self, block, _):
        """Each begins at the beginning of a line."""
        rules = [{"record": "x", "expr": expr} for expr in re.split(r"\n(?=\w)", block)]
        with open(f"{self.place()}/rules.yml", "w") as file:
            json.dump({"groups": [{"name": "queries", "rules": rules}]}, file)
        self.shell(f"promtool check rules {file.name}")

    def tried(self, block, _):
        """A server that goes on until it is ended. Its folder is that of all who run this test."""
        with open("/tmp/mmstats-documents.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree("/tmp/try", ignore_errors=True)
            try:
                self.until(block, b"listens on")
            finally:
                shutil.rmtree("/tmp/try")


# --- What a rule may make


def keys(command, without=(), unnamed=()):
    """The keys of a JSON text that shows its form: the command prints them, but for those `without`. All that it prints are
    on the page, but for those that are `unnamed`."""

    def check(self, block, page):
        # A damaged file makes the status 1.
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=SOURCE, check=False)
        # Those of dimensions are of the application.
        real = set(re.findall(r'"(\w+)":', result.stdout)) - {"method", "status", *unnamed}
        page = page.replace("\\(dq", '"')
        shown = set(re.findall(r'"(\w+)":', block))
        self.assertEqual(shown - set(without) - real, set(), result.stderr)
        self.assertEqual({name for name in real - shown if not re.search(rf"\b{name}\b", page)}, set())

    return check


def declared(*headers):
    """A list of members: each is in the headers."""

    def check(self, block, _):
        text = "".join(read(f"core/include/{name}") for name in headers)
        names = set(re.findall(r"(\w+)\(", block)) | set(re.findall(r"\bset_\w+", block))
        self.assertEqual({name for name in names if not re.search(rf"\b{name}\b", text)}, set())

    return check


def program(language, before, main, after="", libraries="mmstats"):
    """Lines of a program: with what a reader puts around them they compile, without warnings, and run. `before` may
    have HEAD, where the block's own #include lines and structs go."""

    def check(self, block, _):
        head = "".join(re.findall(r"^#include .*\n|^struct .*?^};\n", block, re.MULTILINE | re.DOTALL))
        rest = re.sub(r"^#include .*\n|^struct .*?^};\n", "", block, flags=re.MULTILINE | re.DOTALL)
        folder = self.place()
        suffix, compiler = {"c": ("c", "cc"), "cpp": ("cc", "g++ -std=c++20")}[language]
        with open(f"{folder}/program.{suffix}", "w") as file:
            file.write(f"{before}\n{head}\n{main}\n{rest}\n{after}\nreturn 0;\n}}\n")
        self.shell(f"{compiler} -Wall -Wextra -Werror -Wno-unused-variable program.{suffix} -o program "
                   f"$(pkg-config --cflags --libs {libraries}) && "
                   f"MMSTATS_PATH={folder} ./program", folder)

    return check


def builds(source, name):
    """A command of a compiler, beside the source that it names."""

    def check(self, block, _):
        folder = self.place()
        with open(f"{folder}/{name}", "w") as file:
            file.write(source)
        self.shell(block.strip() + " -o built && test -x built", folder)

    return check


def cmake(source, project="CXX"):
    def check(self, block, _):
        folder = self.place()
        suffix = {"C": "c", "CXX": "cc"}[project]
        with open(f"{folder}/program.{suffix}", "w") as file:
            file.write(source)
        with open(f"{folder}/CMakeLists.txt", "w") as file:
            file.write(f"cmake_minimum_required(VERSION 3.25)\nproject(x {project})\nset(CMAKE_CXX_STANDARD 20)\n"
                       f"add_executable(program program.{suffix})\n{block}")
        self.shell("cmake -B build . && cmake --build build", folder)

    return check


# The program of pinba(3) itself.
SHOP = f"""#include <pinba/pinba.h>
static void query(void) {{}}
int main(void) {{
{documents.blocks("packaging/man/pinba.3")[0]}
return 0;
}}
"""
ANSWER = "[[maybe_unused]] static void answer(int) {}\n[[maybe_unused]] static int request;"
# Of files whose names match, a block that matches, and what is done with it. The first that matches decides.
RULES = [
    ("cleanstats.1", r'\[\{"file"', keys("cleanstats -n --json")),
    ("cleanstats.1", "cleanstats ", Reader.commands),
    ("slurpstats.1", r'\[\{"file"', keys("slurpstats --json /run/mmstats tests/data/bad", {"offset", "message"})),
    ("slurpstats.1", "slurpstats ", Reader.commands),
    ("pollstats.1", r'\{"time"', keys("pollstats --json -c 1 web.requests")),
    ("pollstats.1", r"pollstats\n", Reader.screen),
    ("pollstats.1", "pollstats --json -c", Reader.commands),
    ("pollstats.1", "pollstats ", Reader.columns),
    ("mmash.8", r'\{"families": \[\{\.\.\., "aggregate"', keys("curl -s 'http://127.0.0.1:5002/series/web.responses?by=status'")),
    ("mmash.8", r'\{"families": \[\{\.\.\., "seconds"', keys("curl -s http://127.0.0.1:5002/table/web.responses")),
    ("mmash.8", "server {", Reason("mmash_test.py runs nginx with it")),
    ("mmash.8", "mmash --listen", lambda self, block, _: self.until(block, b"http://")),
    ("mmash.8", "curl .*pinba", Reader.with_server),
    ("mmash.8", "curl ", Reader.commands),
    ("*", "(rule_files:|scrape_configs:)", Reader.prometheus),
    ("mmstats-pinba.8", "", Reader.with_server),
    ("*.toml.5", "pinba_api_requests_total", Reason("shows lines of /metrics; pinba_server_test.py compares such")),
    ("*.toml.5", "", Reader.pinba_file),
    ("collectd-mmstats.5", r'LoadPlugin mmstats\n<Plugin mmstats>\n *<Files "name">\n *Path "glob" \.\.\.',
     Reason("the form of a block, not one")),
    ("collectd-mmstats.5", r'<Metric "status\[\.\]\(\?P<code>\[0-9\]\+\)">\n\Z',
     lambda self, block, _: self.collectd(block + "</Metric>\n", "")),
    ("collectd-mmstats.5", "(asPercent|exp)[(]", lambda self, block, _: self.assertIn(
        re.sub(r"\s", "", block), re.sub(r"\s", "", read("plugin_collectd/mapping.md")))),  # which is run
    ("collectd-mmstats.5", "[dx] /", Reader.tmpfiles),
    ("collectd-mmstats.5", r"\[Service\]", Reason("a part of a unit; needs systemd")),
    ("collectd-mmstats.5", "cd /usr/share/doc/collectd-mmstats/examples/graphite", Reason("boards_test.py does it, with Graphite-web")),
    ("collectd-mmstats.5", "(<|LoadPlugin)", Reader.collectd),
    ("mmstats++.3", "struct WebStats", program("cpp", f"#include <mmstats/fields.h>\n{ANSWER}", "int main() {")),
    ("mmstats++.3", r"Model\(ModelOptions", declared("mmstats/model.h")),
    ("mmstats++.3", "Family<Counter>", program(
        "cpp", "#include <mmstats/family.h>\n#include <mmstats/fields.h>\nusing namespace mmstats;", "int main() { Model model;")),
    ("mmstats++.3", r"g\+\+ ", builds(read("core/examples/publish/procedural.cc"), "program.cc")),
    ("mmstats++.3", "find_package", cmake(read("core/examples/publish/procedural.cc"))),
    ("mmstats.3", "mmstats_model ", program("c", "#include <mmstats/mmstats.h>", "int main(void) {")),
    ("mmstats.3", "cc ", builds(read("core/examples/publish/counter.c"), "counter.c")),
    ("mmstats.3", "find_package", cmake(read("core/examples/publish/counter.c"), "C")),
    ("mmstats_average.3", "", program(
        "c", "#include <mmstats/mmstats.h>\nstatic int request; static void answer(int r) { (void)r; }",
        'int main(void) { mmstats_average *latency = mmstats_average_new(mmstats_model_new("web"), "latency", "seconds", NULL);')),
    ("mmstats_family.3", "", program(
        "c", "#include <mmstats/mmstats.h>", 'int main(void) { mmstats_model *model = mmstats_model_new("web");')),
    ("pinba++.3", "const auto client", program("cpp", "#include <pinba/monitor.h>", "int main() {", libraries="mmstats-pinba")),
    ("pinba++.3", "", declared("pinba/monitor.h")),
    ("pinba.3", "pinba_client ", program(
        "c", "#include <pinba/pinba.h>\nstatic void query(void) {}", "int main(void) {", libraries="mmstats-pinba")),
    ("pinba.3", "cc ", builds(SHOP, "shop.c")),
    ("pinba.3", "find_package", cmake(SHOP, "C")),
    ("pinba-dump.1", "Pinba2: dropped", Reason("a line of its output; pinba_tools_test.py compares such")),
    ("pinba-dump.1", r'\{"time"', keys("pinba-dump --json $(find tests/data/pinba -type f)",
                                              {"time", "from", "to", "missing", "requests"},
                                     {"server_name", "schema", "document_size", "memory_peak", "memory_footprint"})),
    ("pinba-dump.1", "pinba-dump -i eth0", Reason("takes an hour; pinba_capture_test.py does it on lo, in seconds")),
    ("pinba-dump.1", r"pinba-dump .*\.findings", Reason("shows what is wrong; pinba_tools_test.py sends such packets")),
    ("pinba-dump.1", "pinba-dump", Reader.packets),
    ("pinba-run.1", "PINBA_SERVER=", lambda self, block, _: self.shell(
        re.sub(r"\n0 3 \* \* \* ", " ", block.replace("/usr/local/bin/backup /srv", "true")))),
    # Again and again, until the first line is ready.
    ("pinba-run.1", "pinba-dump --count 1 &", lambda self, block, _: self.shell(
        block.replace("pinba-run make", "while kill -0 $! 2>/dev/null; do pinba-run true; done"))),
    ("pinba-server.8", "<Files", Reader.collectd),
    ("pinba-server.8", "pollstats", Reader.screen_with_server),
    ("pinba-server.8", r"(pinba_script_requests_total|mmstats-pinba/|\{\"time\")",
     Reason("shows output; pinba_server_test.py compares such")),
    ("pinba-server.8", "sum by", Reader.queries),
    ("pinba-server.8", "COMMENT=", Reason("is of another server")),
    ("pinba-server.8", r"\[\[report", Reader.pinba_file),
    ("pinba-server.8", "pinba-run ", Reader.with_server),
    ("pinba-server.8", "mkdir /tmp/try", Reader.tried),
    ("pinba-server.8", "extension=", Reason("of PHP; pinba_php_test.py has it, where there is the extension")),
    ("pinba-server.8", "adduser", Reason("changes users and services of the machine")),
    ("mapping.md", " label|A-Z  a-z|\"-\" and", Reason("a drawing, or what a name is made of")),
    ("mapping.md", "(asPercent|exp)[(]", Reason("graphite_histogram_test.py runs them")),
    ("*.md", "sum by|histogram_quantile", Reader.queries),
    ("*.md", "apt-get .*collectd-mmstats_.*libgcrypt20", Reason("the tests of fleet place these files on machines")),
    ("*.md", r"1  collectd --network", Reason("a drawing")),
    # Markdown: by what a block is, as its text changes more often.
    ("*.md", r"(?s).*[|+]-{5,}|base  <-  format|pollstats  11 series", Reason("a drawing")),
    ("*.md", "packaging/|tests/run|apt-get .*packaging/out",
     Reason("tests/install/fresh_demo and tests/install/packages do it on fresh machines")),
    ("*.md", "cp .*/usr/share|ln -s .*/etc/", Reason("tests/install/minimal_agent does it, on a minimal Debian; needs systemd")),
    ("*.md", "collectd -T; journalctl", Reason("needs the journal of systemd")),
    ("*.md", "python3 -m venv", Reason("tests/install/packages does it, on a fresh machine")),
    ("*.md", "import mmstats|stats = WebStats|app = mmstats", Reason("python_pages_test.py runs them all")),
    ("*.md", "(from|import) pynba", Reason("test_pynba_documents.py runs them all")),
    ("*.md", "(?s)#include .*int main", lambda self, block, page: program("cpp", block, "", "int more() {")(self, "", page)),
    ("*.md", "#include <mmstats/family.h>", program("cpp", "", "int main() { WebStats stats;")),
    ("publish.md", "WebStats stats;", program("cpp", documents.blocks("core/doc/publish.md")[0], "", "int main() { answered(1, 0.5);")),
    ("*.md", "mmstats_model ", program("c", "#include <mmstats/mmstats.h>", "int main(void) {")),
    ("*.md", "(// #include.*\n)?const auto client = pinba", program(
        "cpp", "#include <pinba/monitor.h>\nstatic void load_cart() {}", "int main() {", libraries="mmstats-pinba")),
    ("*.md", r"\$ pollstats", lambda self, block, _: self.until(
        re.sub(r"/var/tmp/mmstats-demo\S*", "/run/mmstats", block.partition("\n")[0][2:]), b"requests/s")),
    ("*.md", r"(LoadPlugin|<Plugin|<Files|<Metric|<Family)", Reader.collectd),
    ("*.md", r"(server = |\[\[)", Reader.pinba_file),
    ("*.md", "pinba_script_requests_total", Reason("output of the commands above it")),
    ("deploy.md", r"\[Service\]", Reason("a part of a unit; needs systemd")),
    ("deploy.md", "docker run", Reason("needs docker")),
    # Without a cluster it can be no more than YAML.
    ("deploy.md", r"# (In each pod|The agent)", lambda self, block, _: self.assertTrue(list(yaml.safe_load_all(block)))),
    ("deploy.md", "while sleep 600; do cleanstats ", lambda self, block, _: self.shell(re.search("do (.*); done", block)[1])),
]  # fmt: skip


class DocumentsTest(Reader):
    def rule(self, document, block):
        for number, (name, pattern, _) in enumerate(RULES):
            if fnmatch.fnmatch(os.path.basename(document), name) and re.match(pattern, block):
                return number
        return None

    def test_every_example_runs(self):
        used = set()
        counts = {"run": 0, "not run": 0}
        for document in DOCUMENTS:
            page = read(document)
            for block in documents.blocks(document):
                with self.subTest(document=document, block=block[:60]):
                    number = self.rule(document, block)
                    self.assertIsNotNone(number, f"no rule of documents_test.py knows this block:\n{block}")
                    used.add(number)
                    handler = RULES[number][2]
                    counts["not run" if isinstance(handler, Reason) else "run"] += 1
                    if not isinstance(handler, Reason):
                        handler(self, block, page)
        print(counts, file=sys.stderr)
        # A rule that matches nothing is of a block that is gone, or was never right.
        self.assertEqual([rule[:2] for number, rule in enumerate(RULES) if number not in used and "md" not in rule[0]], [])


def enter():
    """Starts this test anew in name spaces of its own."""
    spaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    if os.getuid() != 0 or subprocess.run([*spaces, "true"], capture_output=True, check=False).returncode != 0:
        print("skipped: needs root, and name spaces of its own", file=sys.stderr)
        sys.exit(77)
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*spaces, sys.executable, "-B", os.path.join(daemons.HERE, "run_file.py"), os.path.abspath(__file__)])


if __name__ == "__main__":
    if INSIDE not in os.environ:
        enter()
    unittest.main()
