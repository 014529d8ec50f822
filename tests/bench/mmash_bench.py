#!/usr/bin/python3
"""What mmash costs: answers per second over 1,000 files of 100 fields, how much of that is the fold, and a page that
is kept open.

    mmash_bench.py BUILD-FOLDER

An answer of /stats/ contains a scan: mmash's own reading of the same files, in another process that does nothing else
(`scan` and `scan, settled` of stats_bench.cc, which defines them). One of /metrics contains the fold, whose time
mmash tells itself, and is shown against the first of these scans, too.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import daemons  # noqa: E402
import mmstats_writer as writer  # noqa: E402

FILES = 1000
FIELDS = 100
SECONDS = 5
PAGE = os.path.join(daemons.HERE, "..", "..", "core", "tools", "mmash", "page")


def processor_seconds(pid):
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


class Server:
    def __init__(self, build, folder):
        argv = [os.path.join(build, "core/tools/mmash/mmash"), "--page", PAGE, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(argv, env={"MMSTATS_PATH": folder}, stdout=subprocess.PIPE, text=True)
        port = int(self.process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def get(self, target):
        self.connection.request("GET", target)
        return self.connection.getresponse().read()

    def end(self):
        self.process.terminate()
        self.process.wait()

    def measure(self, name, targets, scan=None):
        """As many answers as it can give. `scan`: seconds of what each contains."""
        self.get(targets[0])
        answers = size = 0
        busy = processor_seconds(self.process.pid)
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            size += len(self.get(targets[answers % len(targets)]))
            answers += 1
        spent = time.monotonic() - began
        busy = processor_seconds(self.process.pid) - busy
        print(
            f"{name:32} {answers / spent:7.0f} answers/s {busy / answers * 1e3:7.2f} ms of processor each "
            f"{size / answers / 1024:8.0f} KiB each" + (f", {busy / answers / scan:.2f} times its scan" if scan else "")
        )
        return busy / answers


def scan_seconds(build, folder):
    """Of one reading, and of a settled one."""
    text = subprocess.run(
        [os.path.join(build, "tests/bench/stats_bench"), folder], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    print(text, end="")
    return [float(re.search(rf"^{name} +([0-9.]+) ms", text, re.M).group(1)) / 1e3 for name in ("scan", "scan, settled")]


def look_seconds(server):
    for line in server.get("/metrics").decode().splitlines():
        if line.startswith("mmash_look_seconds "):
            return float(line.split()[1])
    raise AssertionError("no mmash_look_seconds")


def main(build):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        fields = [
            writer.counter(f"web.stats.requests.kind{i}", 1) if i % 2 else writer.gauge(f"web.stats.requests.kind{i}", 1.0)
            for i in range(FIELDS)
        ]
        files = [writer.MmstatsFile(f"{folder}/web-{i}.mmstats", fields) for i in range(FILES)]
        files.append(writer.MmstatsFile(f"{folder}/job.mmstats", [writer.counter(f"job{i}", 1) for i in range(100)]))
        once, settled = scan_seconds(build, folder)
        server = Server(build, folder)
        server.measure("/stats/", ["/stats/"], once)
        server.measure("/stats/web (all values)", ["/stats/web"], settled)
        server.measure(
            "/stats/...kind7?exact=1&aggr=sum", ["/stats/web.stats.requests.kind7?exact=1&aggr=sum"], settled
        )
        server.measure("/metrics, looks shared for 50 ms", ["/metrics"])
        server.measure("/live/processes, shared for 1 s", ["/live/processes"])
        # One look for each answer: not before the last one is too old to be shared.
        looks = []
        busy = processor_seconds(server.process.pid)
        for _ in range(40):
            time.sleep(0.055)
            looks.append(look_seconds(server))
        busy = (processor_seconds(server.process.pid) - busy) / len(looks)
        look = sum(looks) / len(looks)
        print(f"{'/metrics, a look for each':32} {busy * 1e3:7.2f} ms of processor each, the fold {look * 1e3:.2f} ms: "
              f"{look / busy:.0%}; {busy / once:.2f} times a scan")
        series = json.loads(server.get("/live/series"))["series"]
        ids = ",".join(str(one["id"]) for one in series[:200])
        busy, began = processor_seconds(server.process.pid), time.monotonic()
        for second in range(10):
            for file in files[:-1]:
                file.incr("web.stats.requests.kind1")
            server.get(f"/live/values?ids={ids}")
            if second % 5 == 0:
                server.get("/live/processes")
            time.sleep(max(0, began + second + 1 - time.monotonic()))
        spent = time.monotonic() - began
        print(f"a page with {min(200, len(series))} plots, a request a second: "
              f"{(processor_seconds(server.process.pid) - busy) / spent:.2%} of a core")
        with open(f"/proc/{server.process.pid}/status") as status:
            print([line.split(":")[1].strip() for line in status if line.startswith("VmHWM")][0], "at most")
        server.end()


def families(build):
    """As many series with dimensions as without: what /metrics takes for each, and whether that is linear."""
    for count in (1000, 10_000):
        plain = [writer.counter(f"web.responses.method{at % 10}.{at // 10}", at) for at in range(count)]
        values = {(f"method{at % 10}", str(at // 10)): at for at in range(count)}
        family = writer.family("web.responses", ("method", "status"), values, "counter", "responses", "Responses sent")
        for name, fields in (("plain", plain), ("of a family", family)):
            with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
                file = writer.MmstatsFile(f"{folder}/web.mmstats", fields)
                server = Server(build, folder)
                server.measure(f"/metrics, {count:,} {name}", ["/metrics"])
                server.measure(f"/live/values of {count:,} {name}", [f"/live/values?ids=0-{count - 1}"])
                if name != "plain":
                    server.measure(f"/series by status of {count:,}", ["/series/web.responses?by=status&top=10"])
                server.end()
                file.close()


if __name__ == "__main__":
    main(sys.argv[1])
    families(sys.argv[1])
