#!/usr/bin/python3
"""The graphs of packaging/demo: waits until Graphite has something to draw, draws it, and saves
it as a dashboard.

    graphs.py wait URL POINTS SECONDS    until every graph has POINTS points, at most SECONDS
    graphs.py dashboard URL              saves the dashboard "mmstats"
    graphs.py draw URL FILE SECONDS      one picture of all graphs, over the last SECONDS at most

URL is that of Graphite-web.
"""

import io
import json
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import cairocffi

METRICS = "collectd.demo.mmstats-"

LOOK = {
    "bgcolor": "#ffffff",
    "fgcolor": "#30363d",
    "majorGridLineColor": "#d0d7de",
    "minorGridLineColor": "#eef1f4",
    "fontName": "DejaVu Sans",
    "fontSize": 10,
    "lineWidth": 2,
    "yMin": 0,
    "hideLegend": "false",
}


class Graph:
    def __init__(self, title, targets, wide=False, **look):
        """`targets`: (metric below METRICS, colour, function of it or none, name in the legend)."""
        self.title = title
        self.wide = wide
        self.metrics = [metric for metric, *_ in targets]
        self._look = look
        self._targets = []
        for metric, colour, function, name in targets:
            target = METRICS + metric
            for call in function:
                target = call.format(target)
            self._targets.append(f'color(alias({target},"{name}"),"{colour}")')

    def params(self):
        return LOOK | self._look | {"title": self.title, "target": self._targets}


STATUS = "web.http_response_codes-"
# Of all workers and of the moment, from two counters.
MEAN_MS = "scale(divideSeries({}," + METRICS + "web.derive-latency.count),0.001)"
# A line at each moment at which there was one.
AT_MOMENTS = ["removeBelowValue({},0.01)", "drawAsInfinite({})"]
GRAPHS = [
    Graph(
        "Requests per second, by status: all workers together",
        [
            (STATUS + "200", "#2da44e", [], "200"),
            (STATUS + "404", "#d4a72c", [], "404"),
            (STATUS + "500", "#cf222e", [], "500"),
            ("pages.http_response_codes-200", "#9be9a8", [], "200, in Python"),
            ("web.derive-workers.lost", "#0969da", AT_MOMENTS, "a worker is killed"),
            ("pages.derive-workers.lost", "#8250df", AT_MOMENTS, "one in Python"),
        ],
        wide=True,
        areaMode="stacked",
        areaAlpha=0.85,
    ),
    Graph(
        "Latency in ms, of all workers",
        [
            ("web.response_time-latency.p99", "#d29ae0", [], "p99"),
            ("web.derive-latency.sum_us", "#8250df", [MEAN_MS], "mean"),
            ("web.response_time-latency.p50", "#1b7c83", [], "p50"),
            ("pages.response_time-latency.p50", "#9be9a8", [], "p50, in Python"),
        ],
    ),
    Graph(
        "Requests in progress",
        [
            ("web.gauge-in_progress", "#bc4c00", [], "waiting or being answered"),
            ("pages.gauge-in_flight", "#9be9a8", [], "in Python"),
        ],
    ),
    Graph(
        "Threads that are busy",
        [("web.count-threads.busy", "#0969da", ['movingAverage({},"5s")'], "of 16, over 5 s")],
        yMax=16,
        yStep=4,
    ),
]
ALL_METRICS = [METRICS + metric for graph in GRAPHS for metric in graph.metrics]


def render(url, params):
    query = urllib.parse.urlencode(params, doseq=True)
    with urllib.request.urlopen(f"{url}/render?{query}", timeout=20) as answer:
        return answer.read()


def points(url, seconds):
    """Per metric, the times at which Graphite has a value, within the last `seconds`."""
    answer = render(url, {"target": ALL_METRICS, "from": f"-{seconds}s", "format": "json"})
    found = dict.fromkeys(ALL_METRICS, ())
    for series in json.loads(answer):
        found[series["target"]] = [at for value, at in series["datapoints"] if value is not None]
    return found


def progress(text, last):
    """One line in a terminal, written over and over; else a line each."""
    text = f"waiting for points in Graphite: {text}"
    if sys.stdout.isatty():
        print(f"\r{text:<50}", end="\n" if last else "", flush=True)
    else:
        print(text, flush=True)


def wait(url, wanted, seconds):
    deadline = time.monotonic() + seconds
    shown = -1
    while True:
        fewest = 0
        try:
            fewest = min(map(len, points(url, 2 * seconds).values()))
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"Graphite-web at {url} does not answer: {error}")
        if fewest >= wanted:
            progress(str(fewest), last=True)
            break
        if time.monotonic() > deadline:
            sys.exit(f"only {fewest} points of each metric after {seconds} s, not {wanted}")
        if fewest // 10 > shown // 10 or (fewest > shown and sys.stdout.isatty()):
            shown = fewest
            progress(f"{fewest} of {wanted}", last=False)
        time.sleep(0.5)


def dashboard(url):
    state = {
        # A name of its own makes dashboard.js of Debian 12 call a function that it does not have.
        "name": None,
        "timeConfig": {
            "type": "relative",
            "relativeStartQuantity": "2",
            "relativeStartUnits": "minutes",
            "relativeUntilQuantity": "",
            "relativeUntilUnits": "now",
            "startDate": "2000-01-01T00:00:00",
            "startTime": "0:00",
            "endDate": "2000-01-01T00:00:00",
            "endTime": "0:00",
        },
        "refreshConfig": {"enabled": True, "interval": 2000},
        "graphSize": {"width": 600, "height": 300},
        "defaultGraphParams": {"from": "-2minutes", "until": "now", "width": 600, "height": 300},
        "graphs": [],
    }
    for graph in GRAPHS:
        params = graph.params()
        name = urllib.parse.urlencode({"target": params["target"]}, doseq=True)
        state["graphs"].append([name, params, "/render?" + urllib.parse.urlencode(params, doseq=True)])
    form = urllib.parse.urlencode({"state": json.dumps(state)}).encode()
    with urllib.request.urlopen(f"{url}/dashboard/save/mmstats", data=form, timeout=20) as answer:
        said = json.load(answer)
    if "success" not in said:
        sys.exit(f"Graphite-web did not save the dashboard: {said}")


def draw(url, path, seconds):
    # A graph that reaches beyond its points would end in a flat line or begin with nothing.
    times = points(url, seconds).values()
    start = max(at[0] for at in times)
    end = min(at[-1] for at in times)
    width, high, low = 900, 280, 210
    small = width // (len(GRAPHS) - 1)
    picture = cairocffi.ImageSurface(cairocffi.FORMAT_RGB24, width, high + low)
    context = cairocffi.Context(picture)
    context.set_source_rgb(1, 1, 1)
    context.paint()
    left = 0
    for graph in GRAPHS:
        size = {"width": width, "height": high} if graph.wide else {"width": small, "height": low}
        answer = render(url, graph.params() | size | {"from": start, "until": end, "format": "png"})
        panel = cairocffi.ImageSurface.create_from_png(io.BytesIO(answer))
        context.set_source_surface(panel, 0 if graph.wide else left, 0 if graph.wide else high)
        context.paint()
        left += 0 if graph.wide else small
    picture.write_to_png(path)


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command, *arguments = sys.argv[1:]
    if command == "wait":
        wait(arguments[0], int(arguments[1]), int(arguments[2]))
    elif command == "dashboard":
        dashboard(arguments[0])
    elif command == "draw":
        draw(arguments[0], arguments[1], int(arguments[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
