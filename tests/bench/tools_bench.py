#!/usr/bin/python3
"""What the tools cost over many files, as ratios to reading the files.

    tools_bench.py BUILD-FOLDER [FILES]

10,000 files of 100 fields on tmpfs. The processor time of whole processes, the median of several, in turns:
cat, which opens, reads and writes to /dev/null all of them, is the floor. Then pollstats' further lines, from
the difference of 1 and 21 of them; their floor is a pread of each file on an open descriptor, in this process.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import mmstats_writer as writer  # noqa: E402

RUNS = 5
FIELDS = 100
LINES = 20


def spent(command, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "MMSTATS_GLOB": f"{folder}/*.mmstats"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def pread_all(folder):
    """Seconds of a pread of each file."""
    descriptors = [os.open(entry.path, os.O_RDONLY) for entry in os.scandir(folder)]
    buffer = bytearray(65536)
    begin = time.process_time()
    for descriptor in descriptors:
        os.preadv(descriptor, [buffer], 0)
    seconds = time.process_time() - begin
    for descriptor in descriptors:
        os.close(descriptor)
    return seconds


def main():
    build = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    # This process holds all files for the second floor.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    slurpstats = os.path.join(build, "core/tools/slurpstats")
    pollstats = os.path.join(build, "core/tools/pollstats/pollstats")
    folder = tempfile.mkdtemp(prefix="mmstats-bench-", dir="/dev/shm")
    try:
        fields = [
            writer.counter(f"web.stats.requests.kind{i}", i) if i % 2 else writer.gauge(f"web.stats.level.kind{i}", i)
            for i in range(FIELDS)
        ]
        for number in range(count):
            writer.MmstatsFile(f"{folder}/worker-{number:05}.mmstats", fields).close()
        names = sorted(os.listdir(folder))
        commands = {
            "cat": ["cat", *names],
            "slurpstats": [slurpstats],
            "slurpstats --json": [slurpstats, "--json"],
            "pollstats -c 1 FIELD": [pollstats, "-c", "1", "web.stats.requests.kind1"],
            "pollstats -c 1 FIELD, each file named": [pollstats, "-c", "1", "web.stats.requests.kind1", *names],
            "pollstats -c 1 '*'": [pollstats, "-c", "1", "*"],
            f"pollstats -c {LINES + 1} '*'": [pollstats, "-c", str(LINES + 1), "-d", "0.01", "*"],
        }
        times = {name: [] for name in commands}
        preads = []
        for _ in range(RUNS):
            for name, command in commands.items():
                times[name].append(spent(command, folder))
            preads.append(pread_all(folder))
        floor = statistics.median(times["cat"])
        print(f"{count} files of {FIELDS} fields")
        for name, seconds in times.items():
            seconds = statistics.median(seconds)
            print(f"{name:40} {seconds * 1000:8.1f} ms {seconds / floor:6.2f} x cat")
        several, one = (statistics.median(times[f"pollstats -c {lines} '*'"]) for lines in (LINES + 1, 1))
        line, pread = (several - one) / LINES, statistics.median(preads)
        print(f"{'a further line of all fields':40} {line * 1000:8.1f} ms {line / pread:6.2f} x a pread of each file")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
