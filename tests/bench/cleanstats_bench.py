#!/usr/bin/python3
"""What cleanstats costs over 10,000 files of 100 fields on tmpfs, against cat(1), which does nothing but read them.

    cleanstats_bench.py BUILD-FOLDER

Processor time, the median of several runs. `alive`: all files belong to one living process; `other lives`: to
one that began after they were made, with --dry-run, so that each is asked for and none goes; `dead`: to
processes that are gone, and are removed, against cat and rm(1) together.
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


def main():
    program = os.path.join(sys.argv[1], "core", "tools", "cleanstats")
    folder = tempfile.mkdtemp(dir="/dev/shm", prefix="mmstats-bench-")
    try:
        for name, pid, created, options in (
            ("alive", os.getpid(), time.time(), []),
            ("other lives", os.getpid(), 1.0, ["--dry-run"]),
            ("dead", dead_pid(), time.time(), []),
        ):
            ours, floor = [], []
            for _ in range(RUNS):
                paths = fill(folder, pid, created)
                seconds = processor_seconds(["cat", *paths])
                if name == "dead":
                    seconds += processor_seconds(["rm", *paths])
                    fill(folder, pid, created)
                floor.append(seconds)
                ours.append(processor_seconds([program, *options], MMSTATS_PATH=folder))
                assert len(os.listdir(folder)) == (0 if name == "dead" else FILES)
            mine, least = statistics.median(ours), statistics.median(floor)
            print(f"{name}: {1e6 * mine / FILES:.1f} us a file, {1e6 * least / FILES:.1f} just to read it"
                  f"{' and remove it' if name == 'dead' else ''}, ratio {mine / least:.2f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
