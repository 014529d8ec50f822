#!/usr/bin/python3
"""What reading as many values costs other readers of files that workers publish: PCP's agent for memory
mapped values, and prometheus' Python client in multiprocess mode.

    peers.py BUILD-FOLDER

1,000 files of 100 values on tmpfs, written by the peer's own library. Processor time of one reading of all
of them, the median of several; ours is a scan in which all values changed. All figures are of one run.
Packages: pcp, libpcp-mmv1 and python3-prometheus-client; a peer that is not installed is left out.
"""

import ctypes
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

FILES = 1000
VALUES = 100
READINGS = 7


class NotInstalled(Exception):
    pass


def median_ns_per_value(read):
    """The first reading, which opens all files, does not count. `read` returns how many values it got."""
    times = []
    for _ in range(READINGS + 1):
        begin = time.thread_time_ns()
        values = read()
        times.append(time.thread_time_ns() - begin)
        assert values == FILES * VALUES, f"{values} values read"
    return statistics.median(times[1:]) / (FILES * VALUES)


def label(index):
    return f"web.stats.requests.kind{index}"


def library(name):
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise NotInstalled(error) from error


class Pcp:
    """libpcp and libpcp_mmv, as far as they are needed; names and numbers are those of their headers."""

    DOMAIN = 70
    TYPE_U64, TYPE_DOUBLE = 3, 5
    SEM_COUNTER, SEM_INSTANT = 1, 3
    NO_INSTANCES = -1
    CONTEXT_LOCAL = 3

    class ValueSet(ctypes.Structure):
        _fields_ = [("pmid", ctypes.c_uint32), ("numval", ctypes.c_int)]

    class Result(ctypes.Structure):
        pass

    Result._fields_ = [
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("numpmid", ctypes.c_int),
        ("vset", ctypes.POINTER(ValueSet) * (FILES * VALUES)),
    ]

    def __init__(self):
        self.pcp, self.mmv = library("libpcp.so.3"), library("libpcp_mmv.so.1")
        self.pcp.pmGetConfig.restype = ctypes.c_char_p
        self.pcp.pmErrStr.restype = ctypes.c_char_p
        self.specify = getattr(self.pcp, "__pmSpecLocalPMDA")
        self.specify.restype = ctypes.c_char_p
        self.mmv.mmv_stats_registry.restype = ctypes.c_void_p
        self.mmv.mmv_stats_start.restype = ctypes.c_void_p
        self.mmv.mmv_stats_start.argtypes = [ctypes.c_void_p]
        self.mmv.mmv_stats_add_metric.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_uint32,
            ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p,
        ]
        self.agent = os.path.join(self.pcp.pmGetConfig(b"PCP_PMDASADM_DIR").decode(), "mmv/pmda_mmv.so")
        if not os.path.exists(self.agent):
            raise NotInstalled(f"{self.agent} is missing: package pcp")

    def publish(self):
        labels = [label(i).encode() for i in range(VALUES)]
        for file in range(FILES):
            name = f"worker{file}".encode()
            registry = self.mmv.mmv_stats_registry(name, file + 1, 0)
            for i in range(VALUES):
                kind, semantics = (
                    (self.TYPE_U64, self.SEM_COUNTER) if i % 2 == 0 else (self.TYPE_DOUBLE, self.SEM_INSTANT)
                )
                status = self.mmv.mmv_stats_add_metric(
                    registry, labels[i], i + 1, kind, semantics, 0, self.NO_INSTANCES, b"one line", b"help"
                )
                assert status >= 0
            assert self.mmv.mmv_stats_start(registry)

    def reader(self):
        for line in ("clear", f"add,{self.DOMAIN},{self.agent},mmv_init"):
            problem = self.specify(line.encode())
            assert problem is None, problem
        context = self.pcp.pmNewContext(self.CONTEXT_LOCAL, None)
        assert context >= 0, self.pcp.pmErrStr(context)
        ids = [
            self.DOMAIN << 22 | (file + 1) << 10 | (i + 1) for file in range(FILES) for i in range(VALUES)
        ]
        wanted = (ctypes.c_uint32 * len(ids))(*ids)
        result = ctypes.POINTER(self.Result)()
        checked = []

        def read():
            status = self.pcp.pmFetch(len(ids), wanted, ctypes.byref(result))
            assert status >= 0, self.pcp.pmErrStr(status)
            values = result.contents.numpmid
            if not checked:
                assert all(values.contents.numval == 1 for values in result.contents.vset)
                checked.append(True)
            self.pcp.pmFreeResult(result)
            return values

        return read


def pcp(folder):
    """PCP: the agent pmdammv as a library in this process, so that no pipe is paid for; one pmFetch."""
    os.environ["PCP_TMP_DIR"] = folder
    os.mkdir(os.path.join(folder, "mmv"))
    peer = Pcp()
    peer.publish()
    return median_ns_per_value(peer.reader())


def prometheus(folder):
    """prometheus' Python client: MultiProcessCollector over files of counters, summed over processes."""
    try:
        from prometheus_client import CollectorRegistry, mmap_dict, multiprocess
    except ImportError as error:
        raise NotInstalled(error) from error
    for file in range(FILES):
        values = mmap_dict.MmapedDict(os.path.join(folder, f"counter_{file + 1}.db"))
        for i in range(VALUES):
            name = label(i).replace(".", "_")
            values.write_value(mmap_dict.mmap_key(name, name + "_total", [], [], "help"), 1.0)
        values.close()
    collector = multiprocess.MultiProcessCollector(CollectorRegistry(), folder)

    def read():
        return int(sum(sample.value for metric in collector.collect() for sample in metric.samples))

    return median_ns_per_value(read)


def in_process_of_its_own(measure):
    """What `measure` returns, or why there is nothing. A process, as libraries keep what they read."""

    def work(pipe, folder):
        try:
            pipe.send(measure(folder))
        except NotInstalled as error:
            pipe.send(error)

    folder = tempfile.mkdtemp(prefix="mmstats-peer-", dir="/dev/shm")
    try:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=work, args=(theirs, folder))
        process.start()
        theirs.close()
        answer = ours.recv()
        process.join()
        return answer
    finally:
        shutil.rmtree(folder)


def our_tick(build):
    output = subprocess.run(
        [os.path.join(build, "tests/bench/scan_bench"), "--benchmark_filter=^busy/1000/", "--benchmark_format=json"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ).stdout
    return json.loads(output)["benchmarks"][0]["ns_per_value"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    before = our_tick(sys.argv[1])
    peers = [(peer.__doc__, in_process_of_its_own(peer)) for peer in (pcp, prometheus)]
    ours = (before + our_tick(sys.argv[1])) / 2
    print(f"ours: {ours:.0f} ns a value")
    for name, answer in peers:
        if isinstance(answer, NotInstalled):
            print(f"{name}\n    left out: {answer}")
        else:
            print(f"{name}\n    {answer:.0f} ns a value, {answer / ours:.0f} times as much")


if __name__ == "__main__":
    main()
