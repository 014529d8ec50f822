#!/usr/bin/python3
"""What the plugin costs the agent: processor time of a real collectd for each interval, against
modules that it could have loaded instead. All ratios are of one run.

    agent_bench.py BUILD-FOLDER

100,000 series: our plugin, no two workers put together, against a module that dispatches as many
constants of the same types and names. 1,000 workers of 100 metrics put together: our plugin, against
collectd's own statsd plugin that is sent the 100,000 updates which the workers make. What collectd takes
without any of them, and to dispatch 100 constants, is told beside it.

Memory is told as collectd has it: how long its queue of values became is in it, which is another each time.
What our plugin takes is told by memory_bench.
"""

import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import daemons  # noqa: E402

INTERVAL = 2  # seconds
SCANS = 8
ROUNDS = 1


class Agent(daemons.Daemon):
    def __init__(self, folder, modules, blocks, write_threads, env=None):
        os.makedirs(folder)
        config = os.path.join(folder, "collectd.conf")
        self.log_file = os.path.join(folder, "messages")
        with open(config, "w") as file:
            file.write(
                f"""\
Hostname "bench"
FQDNLookup false
BaseDir "{folder}"
TypesDB "{daemons.COLLECTD_TYPES}"
Interval {INTERVAL}
WriteThreads {write_threads}
PluginDir "{daemons.COLLECTD_MODULES}"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{self.log_file}"
</Plugin>
PluginDir "{modules}"
LoadPlugin null_writer
{blocks}
"""
            )
        super().__init__("collectd", [daemons.program("collectd"), "-f", "-C", config], folder, env)

    def ready(self):
        return os.path.exists(self.log_file)

    def processor_ns(self):
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        return total

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def measure(self):
        """Milliseconds of processor time for each interval, and MB resident."""
        time.sleep(3 * INTERVAL)  # the first scans make the series known
        before = self.processor_ns()
        time.sleep(SCANS * INTERVAL)
        return (self.processor_ns() - before) / 1e6 / SCANS, self.resident_bytes() / 1e6


def ours(glob, options):
    return f"""\
LoadPlugin mmstats
<Plugin mmstats>
  <Files "bench">
    Path "{glob}"
    {options}
  </Files>
</Plugin>"""


def measured(workspace, name, modules, blocks, write_threads=5, env=None):
    with Agent(os.path.join(workspace, name), modules, blocks, write_threads, env) as agent:
        return agent.measure()


def load(build, *arguments):
    return subprocess.Popen([os.path.join(build, "tests/bench/agent_load"), *map(str, arguments)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def main():
    build = os.path.abspath(sys.argv[1])
    with daemons.workspace() as workspace:
        # Modules of several folders: collectd looks in one at a time, so they are put together.
        modules = os.path.join(workspace, "modules")
        os.makedirs(modules)
        for module in ("tests/bench/null_writer.so", "tests/bench/constants.so", "plugin_collectd/mmstats.so"):
            with open(os.path.join(build, module), "rb") as source, \
                    open(os.path.join(modules, os.path.basename(module)), "wb") as copy:
                copy.write(source.read())

        workers = load(build, "files", 1000, 100, INTERVAL / 4)
        glob = workers.stdout.readline().strip()
        for threads in (1, 5):
            ratios = []
            for round_number in range(ROUNDS):
                name = f"{threads}-{round_number}"
                floor, floor_mb = measured(workspace, f"constants-{name}", modules, "LoadPlugin constants",
                                           threads, {"MMSTATS_BENCH_SERIES": "100000"})
                mine, mine_mb = measured(workspace, f"mmstats-{name}", modules, ours(glob, 'Aggregate "none"'), threads)
                ratios.append(mine / floor)
                print(f"100,000 series, {threads} write threads: ours {mine:.0f} ms {mine_mb:.0f} MB, "
                      f"constants {floor:.0f} ms {floor_mb:.0f} MB, ratio {mine / floor:.3f}", flush=True)
            print(f"  median ratio {statistics.median(ratios):.3f}")

        idle, _ = measured(workspace, "idle", modules, "")
        constants, _ = measured(workspace, "constants-100", modules, "LoadPlugin constants",
                                env={"MMSTATS_BENCH_SERIES": "100"})
        mine, _ = measured(workspace, "summed", modules, ours(glob, ""))
        workers.stdin.close()
        workers.wait()
        port = daemons.free_port()
        statsd_updates = load(build, "statsd", port, 100, 100000, INTERVAL)
        statsd, _ = measured(workspace, "statsd", modules, f"""\
PluginDir "{daemons.COLLECTD_MODULES}"
LoadPlugin statsd
<Plugin statsd>
  Host "127.0.0.1"
  Port "{port}"
</Plugin>""")
        assert statsd_updates.poll() is None, "the sender ended early"
        statsd_updates.kill()
        statsd_updates.wait()
        print(f"1,000 workers x 100 metrics as 100 series: ours {mine:.2f} ms an interval, statsd {statsd:.0f} ms, "
              f"{statsd / mine:.0f} times as much; of ours {constants:.2f} ms is what 100 constants take, and "
              f"{idle:.2f} ms what collectd takes without any")


if __name__ == "__main__":
    main()
