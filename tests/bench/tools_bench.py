#!/usr/bin/python3
"""What the tools cost over 10,000 files of 100 fields on tmpfs, against cat(1), which does nothing but read them.

    tools_bench.py BUILD-FOLDER [WORD...]

Words choose the rows whose names hold them. Processor time, the median of several runs. cleanstats, `alive`: all files belong to one living process; `other
lives`: to one that began after they were made, with --dry-run, so that each is asked for and none goes; `dead`:
to processes that are gone, and are removed, against cat and rm(1) together.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

import mmstats_writer as writer  # noqa: E402

FILES = 10_000
FIELDS = 100
RUNS = 7


def processor_seconds(argv, **environment):
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", **environment})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"{argv[0]} ended with {child.returncode}"
    return usage.ru_utime + usage.ru_stime


def fill(folder, pid, created):
    fields = [writer.counter(f"web.stats.requests.kind{index}", index) for index in range(FIELDS)]
    data = bytes(writer.encode(fields + writer.sys_fields(pid=pid, created=created))[0])
    paths = [os.path.join(folder, f"worker-{number}.mmstats") for number in range(FILES)]
    for path in paths:
        with open(path, "wb") as file:
            file.write(data)
    return paths


def dead_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def case(name, folder, command, pid, created, floor=("cat",), left=FILES):
    """Prints the ratio of `command` to the programs of the floor, with all files as arguments."""
    if not all(word in name for word in sys.argv[2:]):
        return
    ours, least = [], []
    for _ in range(RUNS):
        paths = fill(folder, pid, created)
        least.append(sum(processor_seconds([program, *paths]) for program in floor))
        if left != FILES:
            fill(folder, pid, created)
        ours.append(processor_seconds(command, MMSTATS_PATH=folder))
        assert len(os.listdir(folder)) == left
    mine, lowest = statistics.median(ours), statistics.median(least)
    print(f"{name}: {1e6 * mine / FILES:.1f} us a file, {' and '.join(floor)} {1e6 * lowest / FILES:.1f}, ratio {mine / lowest:.2f}")


def main():
    tools = os.path.join(sys.argv[1], "core", "tools")
    cleanstats, slurpstats, pollstats = (os.path.join(tools, name, name) for name in ("cleanstats", "slurpstats", "pollstats"))
    alive, now = os.getpid(), time.time()
    folder = tempfile.mkdtemp(dir="/dev/shm", prefix="mmstats-bench-")
    try:
        case("slurpstats", folder, [slurpstats], alive, now)
        case("slurpstats --json", folder, [slurpstats, "--json"], alive, now)
        case("pollstats, one line of one field", folder, [pollstats, "-c", "1", "web.stats.requests.kind7"], alive, now)
        case("pollstats, one line of all", folder, [pollstats, "-c", "1", "*"], alive, now)
        case("cleanstats, alive", folder, [cleanstats], alive, now)
        case("cleanstats, other lives", folder, [cleanstats, "--dry-run"], alive, 1.0)
        case("cleanstats, dead", folder, [cleanstats], dead_pid(), now, floor=("cat", "rm"), left=0)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
