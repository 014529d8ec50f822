"""What collectd's own pinba plugin, and pinba-server, make of the packets of programs that use pynba."""

import asyncio
import os
import unittest

from pynba_served import ask, daemons, pinba_packets, serve
import pynba.asgi
from pynba import PynbaMiddleware, ScriptMonitor, pynba as current

ROUNDS = 20


def app(environ, start_response):
    for op in ("select", "insert"):
        with current.timer(group="mysql", op=op, table=["orders", "items"]):
            pass
    status = "404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK"
    start_response(status, [])
    return [b"x" * 100]


async def asgi_app(scope, receive, send):
    with current.timer(group="http"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"y" * 50})


def run_programs(address):
    """ROUNDS requests of each kind, and as many scripts: what they took, in seconds."""
    web = PynbaMiddleware(app, address, prefix="shop")
    loop = pynba.asgi.PynbaMiddleware(asgi_app, address, prefix="loop")
    script = ScriptMonitor(address, hostname="box", scriptname="nightly", servername="jobs")
    for _ in range(ROUNDS):
        serve(web, "/cart")
        serve(web, "/none")
        asyncio.run(ask(loop, "/news"))
        with script.timer(group="disk"):
            pass
        script.collector.memory_peak = 5 << 20
        script.send()
        for middleware in (web, loop):
            middleware.reporter.flush(60)
        script.reporter.flush(60)


class Collectd(unittest.TestCase):
    def test_counts_requests_by_script_host_and_server(self):
        port = pinba_packets.free_udp_port()
        blocks = f"""\
LoadPlugin pinba
<Plugin pinba>
  Address "127.0.0.1"
  Port "{port}"
  <View "all">
  </View>
  <View "cart">
    Script "shop/cart"
  </View>
  <View "none">
    Script "shop/none"
    Host "web1"
    Server "shop.example.com"
  </View>
  <View "loop">
    Script "loop/news"
  </View>
  <View "jobs">
    Host "box"
    Server "jobs"
    Script "nightly"
  </View>
</Plugin>
"""
        with daemons.workspace() as folder, daemons.Collectd(folder, blocks) as collectd:
            run_programs(("127.0.0.1", port))
            collectd.wait_for("pinba-all/total_requests", 4 * ROUNDS)
            for view, size in (("cart", 100), ("none", 100), ("loop", 50), ("jobs", 0)):
                collectd.wait_for(f"pinba-{view}/total_requests", ROUNDS)
                collectd.wait_for(f"pinba-{view}/total_bytes", ROUNDS * size)
            daemons.wait_until(
                lambda: collectd.last("pinba-jobs/memory-peak") == 5 << 20, "the most memory that was told"
            )


NEEDED = {"MMSTATS_PINBA_SERVER", "MMSTATS_MMASH"}


@unittest.skipUnless(NEEDED <= os.environ.keys(), "pinba-server is not built")
class PinbaServer(unittest.TestCase):
    def test_reports_requests_and_timers(self):
        from pinba_reports import Front, PinbaServer

        with (
            daemons.workspace() as folder,
            PinbaServer(folder) as server,
            Front(folder, server.files) as front,
        ):
            run_programs(server.address)
            front.wait_for(4 * ROUNDS, "pinba_receiver_packets_total")
            for name in ("pinba_receiver_lost_packets_total", "pinba_receiver_refused_packets_total"):
                self.assertEqual(front.value(name), 0, name)
            self.assertEqual(
                front.sums("pinba_script_requests_total", "script"),
                {"shop/cart": ROUNDS, "shop/none": ROUNDS, "loop/news": ROUNDS, "nightly": ROUNDS},
            )
            self.assertEqual(
                front.sums("pinba_script_bytes_total", "script"),
                {"shop/cart": 100 * ROUNDS, "shop/none": 100 * ROUNDS, "loop/news": 50 * ROUNDS}
                | {"nightly": 0},
            )
            self.assertEqual(
                front.sums("pinba_status_requests_total", "status"), {"200": 3 * ROUNDS, "404": ROUNDS}
            )
            self.assertEqual(
                front.sums("pinba_timer_seconds_count", "group"),
                {"mysql": 4 * ROUNDS, "http": ROUNDS, "disk": ROUNDS},
            )
            self.assertEqual(
                front.sums("pinba_timer_seconds_count", "op"), {"select": 2 * ROUNDS, "insert": 2 * ROUNDS}
            )


if __name__ == "__main__":
    unittest.main()
