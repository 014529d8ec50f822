"""The dashboards that are shipped, in the real programs: every graph of packaging/graphite/dashboard.json has points in
Graphite-web, and every query of packaging/prometheus/grafana.json has a value in Prometheus, which scrapes mmash. Grafana
itself is not in Debian: the shape of its file is judged here."""

import contextlib
import json
import math
import os
import re
import statistics
import subprocess
import sys
import unittest
import urllib.parse

import daemons
from graphite_test import decode_png, write_graphite
from mmash_test import Mmash

PACKAGING = os.path.join(daemons.HERE, "../../packaging")
PICTURES = os.environ.get("MMSTATS_PICTURES")

# A service as the README's, and one that the middleware counts.
SHOP = '''
class ShopStats(mmstats.MmStats):
    requests = mmstats.CounterField()
    responses = mmstats.FamilyField(mmstats.CounterField(), ["method", "status"])
    bytes_sent = mmstats.CounterField(unit="bytes")
    latency = mmstats.HistogramField(unit="seconds")
    in_progress = mmstats.IntField(shared=True)
    lost = mmstats.CounterField("workers.lost")

stats = ShopStats(label_prefix="shop.")
stats.in_progress = 3
step = itertools.count()
def count():
    turn = next(step)
    status = (200, 200, 200, 301, 404, 503)[turn % 6]
    stats.requests.incr()
    stats.responses.with_("GET", status).incr()
    stats.bytes_sent.incr(1000)
    stats.latency.add(0.01 * (1 + turn % 20))
    stats.lost.incr(turn % 3 == 0)
'''
PAGES = '''
import mmstats.wsgi
step = itertools.count()
def answer(environ, start_response):
    start_response(("200 OK", "302 Found", "404 Not Found", "500 Oh")[next(step) % 4], [])
    return [b"page"]
application = mmstats.wsgi.Middleware(answer, prefix="pages.", route=lambda environ: "/")
def count():
    answered = application({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    list(answered)
    if hasattr(answered, "close"):
        answered.close()
'''
WRITER = '''
import itertools, select, sys
import mmstats
exec(sys.argv[1])
count()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    count()
'''


@contextlib.contextmanager
def service(folder, name, source):
    """A process that counts, some twenty times a second."""
    env = os.environ | {"MMSTATS_PATH": folder, "MMSTATS_FILES": name + "-{PID}-{TID}.mmstats"}
    with subprocess.Popen([sys.executable, "-B", "-c", WRITER, source], env=env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.stdin.close()
    assert process.returncode == 0, process.returncode


def without(wanted, there):
    """Those that are not there in the end."""
    missing = wanted

    def all_there():
        nonlocal missing
        missing = [one for one in missing if not there(one)]
        return not missing

    with contextlib.suppress(AssertionError):  # what is missing is told by who asks
        daemons.wait_until(all_there, "all is there")
    return missing


class GraphiteTest(unittest.TestCase):
    def setUp(self):
        self.workspace = self.enterContext(daemons.workspace())
        self.folder = os.path.join(self.workspace, "run")
        os.mkdir(self.folder)

    def block(self, name, options=""):
        return (f'<Files "{name}">\nPath "{self.folder}/{name}-*.mmstats"\nStripPrefix "{name}"\nReportSelf true\n{options}\n</Files>\n')

    def save(self, name):
        """As packaging/graphite/README says, word for word. Gives what the dashboard's page then gets."""
        with open(f"{PACKAGING}/graphite/README") as file:
            (command,) = re.findall(r"^ +(sed .*dashboard\.json.*)$", file.read(), re.MULTILINE)
        command = command.replace("http://GRAPHITE", f"http://127.0.0.1:{self.web.port}").replace("shop", name)
        result = subprocess.run(command, shell=True, cwd=f"{PACKAGING}/graphite", capture_output=True, text=True,
                                check=False, env=os.environ | {"no_proxy": "*"})
        self.assertIn("success", result.stdout, result.stderr)
        return json.loads(self.web.get(f"/dashboard/load/{name}"))["state"]

    def targets(self, name):
        return [(graph[1]["title"], target) for graph in self.save(name)["graphs"] for target in graph[1]["target"]]

    def test_every_target_has_points_for_any_service(self):
        carbon = daemons.Carbon(self.workspace)
        self.web = daemons.GraphiteWeb(self.workspace, carbon)
        # The second with names of its own for the same, as the demo has.
        named = ('<Family "requests">\nKeep "status"\nType "http_response_codes"\nTypeInstance "%{status}"\n</Family>\n'
                 '<Metric "latency[.]p[0-9]+">\nType "response_time"\nScale 1000\n</Metric>')
        blocks = self.block("shop") + self.block("pages") + self.block("named", named)
        blocks = write_graphite(carbon.line_port) + daemons.mmstats_block(self.workspace, blocks)
        with (
            carbon,
            self.web,
            service(self.folder, "shop", SHOP),
            service(self.folder, "pages", PAGES),
            service(self.folder, "named", PAGES.replace("pages.", "named.")),
            daemons.Collectd(self.workspace, blocks),
        ):
            # The middleware counts no bytes and no workers.
            middleware = ("derive-bytes_sent", "derive-workers.lost")
            none = {"shop": (), "pages": middleware, "named": middleware}
            wanted = []
            for name, lacks in none.items():
                targets = self.targets(name)
                self.assertGreater(len(targets), 12)
                for title, target in targets:
                    self.assertIn(f"mmstats-{name}.", target)
                    self.assertNotIn("@", target)
                    if not any(part in target for part in lacks):
                        wanted.append((title, target))
            self.assertEqual(without(wanted, lambda of: len(self.web.points(of[1])) >= 2), [])
            self.assertFalse([target for _, target in self.targets("nobody") if self.web.points(target)])
            self.check_values()
            self.check_pictures()

    def check_values(self):
        """Those that are known from how the service counts: shares do not depend on the pace."""
        errors = [target for title, target in self.targets("shop") if title.endswith("% of the answers")]
        self.assertEqual(len(errors), 2)

        def sixths():
            # But for the ends of intervals: the more points, the less these matter.
            shares = [statistics.mean([value for _, value in self.web.points(target)] or [0]) for target in errors]
            return all(12 < share < 22 for share in shares)

        daemons.wait_until(sixths, "a sixth of the answers is 4xx, and a sixth 5xx")

    def check_pictures(self):
        state = self.save("shop")
        for number, (_, params, _) in enumerate(state["graphs"]):
            query = state["defaultGraphParams"] | params | {"from": "-40s", "format": "png"}
            with daemons.open_page(self.web.port, "/render?" + urllib.parse.urlencode(query, doseq=True)) as answer:
                png = answer.read()
            width, height, _ = decode_png(png)
            self.assertEqual((width, height), (600, 300))
            if PICTURES:
                os.makedirs(PICTURES, exist_ok=True)
                with open(f"{PICTURES}/graphite-{number}.png", "wb") as file:
                    file.write(png)


def board():
    with open(f"{PACKAGING}/prometheus/grafana.json") as file:
        return json.load(file)


def queries():
    """(title, letter of the query, expression)"""
    return [(panel["title"], target["refId"], target["expr"]) for panel in board()["panels"] for target in panel.get("targets", [])]


class GrafanaTest(unittest.TestCase):
    def test_every_query_has_a_value_in_prometheus(self):
        workspace = self.enterContext(daemons.workspace())
        folder = os.path.join(workspace, "run")
        os.mkdir(folder)
        self.enterContext(service(folder, "shop", SHOP))
        self.enterContext(service(folder, "pages", PAGES))
        mmash = self.enterContext(Mmash(workspace, globs=(folder + "/*.mmstats",)))
        self.prometheus = self.enterContext(daemons.Prometheus(workspace, mmash))

        # Variables are filled as Grafana does that: from the answers to their queries, then by a pattern.
        found = {}
        for variable in board()["templating"]["list"]:
            if variable["type"] != "query":
                continue
            query = self.fill(variable["query"]["query"], found)
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
            pattern = variable["regex"].strip("/") or "(.*)"

            def values():
                values = self.prometheus.ask(f"label/{label}/values", **{"match[]": selector})
                return sorted(match[1] for match in (re.search(pattern, value) for value in values) if match)

            found[variable["name"]] = daemons.wait_until(values, f"values of {query}")
        self.assertEqual(found, {"job": ["mmash"], "instance": [f"127.0.0.1:{mmash.port}"], "service": ["pages", "shop"]})

        lacks = {"shop": (), "pages": ("bytes_sent", "workers_lost")}
        wanted = []
        for name in found["service"]:
            for title, _, expr in queries():
                query = self.fill(expr, found | {"service": [name]})
                if not any(part in query for part in lacks[name]):
                    wanted.append((title, query))
        self.assertEqual(without(wanted, lambda of: self.finite(of[1])), [])
        # What a name that is wrong gives: so the test above finds it.
        self.assertEqual(self.finite(self.fill(queries()[0][2], found | {"service": ["nobody"]})), [])
        query = self.fill(self.expression("Share of errors, by status"), found | {"service": ["shop"]})
        # But for the ends of the interval.
        daemons.wait_until(lambda: [0.12 < share < 0.22 for share in self.prometheus.values(query).values()] == [True, True],
                           "a sixth of the answers is 404, and a sixth 503")

    def expression(self, title):
        (expr,) = [expr for of, _, expr in queries() if of == title]
        return expr

    def fill(self, text, values):
        for name, of in values.items():
            text = re.sub(r"\$(\{" + name + r"\}|" + name + r"\b)", "|".join(of), text)
        text = text.replace("$__rate_interval", "10s")
        self.assertNotIn("$", text)
        return text

    def finite(self, query):
        return [value for value in self.prometheus.values(query).values() if math.isfinite(value)]

    def test_it_has_the_shape_that_grafana_reads(self):
        dashboard = board()
        for key, kind in {"title": str, "uid": str, "schemaVersion": int, "version": int, "panels": list, "templating": dict,
                          "time": dict, "tags": list, "refresh": str, "editable": bool}.items():  # fmt: skip
            self.assertIsInstance(dashboard[key], kind, key)
        # Of a number that a database has given it would replace another dashboard.
        self.assertIsNone(dashboard["id"])
        panels = dashboard["panels"]
        ids = [panel["id"] for panel in panels]
        self.assertEqual(len(ids), len(set(ids)))
        taken = set()
        for panel in panels:
            with self.subTest(panel=panel["title"]):
                self.assertIn(panel["type"], ("row", "timeseries", "heatmap"))
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24)
                cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
                self.assertFalse(cells & taken)
                taken |= cells
                if panel["type"] == "row":
                    self.assertEqual(panel["panels"], [])
                    continue
                self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
                letters = [target["refId"] for target in panel["targets"]]
                self.assertEqual(letters, sorted(set(letters)))
                for target in panel["targets"]:
                    self.assertEqual(target["datasource"], panel["datasource"])
                    self.assertTrue(target["legendFormat"])
        # No hole: the rows of cells are full.
        self.assertEqual(len(taken), 24 * (max(y for _, y in taken) + 1))
        variables = dashboard["templating"]["list"]
        names = {variable["name"] for variable in variables}
        self.assertEqual(names, {"datasource", "job", "instance", "service"})
        used = set(re.findall(r"\$\{?(\w+)", json.dumps([panels, variables])))
        self.assertLessEqual(used, names | {"__rate_interval", "__all"})
        self.assertLessEqual(names, used)


if __name__ == "__main__":
    unittest.main()
