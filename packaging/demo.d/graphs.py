#!/usr/bin/python3
"""The graphs of packaging/demo, those of packaging/graphite/dashboard.json: waits until Graphite has something to draw,
draws it, and saves a dashboard of each service.

    graphs.py wait URL POINTS SECONDS    until every graph has POINTS points, at most SECONDS
    graphs.py dashboards URL             saves the dashboards: URL/dashboard/web, URL/dashboard/pages
    graphs.py draw URL FILE SECONDS      one picture of the first graphs of "web", over the last SECONDS at most

URL is that of Graphite-web.
"""

import io
import json
import pathlib
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import cairocffi

DASHBOARD = pathlib.Path(__file__).resolve().parents[1] / "graphite/dashboard.json"
SERVICES = "web", "pages"
DRAWN = 4  # graphs in the picture: the first is as wide as all others


def dashboard(service):
    return json.loads(DASHBOARD.read_text().replace("@SERVICE@", service))


def graphs():
    """What Graphite-web's /render takes, of each graph of the first service."""
    state = dashboard(SERVICES[0])
    found = [state["defaultGraphParams"] | params for _, params, _ in state["graphs"]]
    # In the first one also when a worker of the other service is lost, in another colour.
    (lost,) = [target for target in found[0]["target"] if "workers.lost" in target]
    for ours, its in ("mmstats-web", "mmstats-pages"), ("a worker is lost", "one in Python"), ("#0969da", "#8250df"):
        assert ours in lost, ours
        lost = lost.replace(ours, its)
    found[0]["target"].append(lost)
    return found


def render(url, params):
    query = urllib.parse.urlencode(params, doseq=True)
    with urllib.request.urlopen(f"{url}/render?{query}", timeout=20) as answer:
        return answer.read()


def points(url, seconds):
    """Of each graph, the times at which Graphite has a value, within the last `seconds`. Of its series, that with the most:
    some statuses are rare."""
    found = []
    for graph in graphs():
        answer = render(url, {"target": graph["target"], "from": f"-{seconds}s", "format": "json"})
        series = [[at for value, at in one["datapoints"] if value is not None] for one in json.loads(answer)]
        found.append(max(series, key=len, default=[]))
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
            fewest = min(map(len, points(url, 2 * seconds)))
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"Graphite-web at {url} does not answer: {error}")
        if fewest >= wanted:
            progress(str(fewest), last=True)
            break
        if time.monotonic() > deadline:
            sys.exit(f"only {fewest} points in each graph after {seconds} s, not {wanted}")
        if fewest // 10 > shown // 10 or (fewest > shown and sys.stdout.isatty()):
            shown = fewest
            progress(f"{fewest} of {wanted}", last=False)
        time.sleep(0.5)


def save_dashboards(url):
    for service in SERVICES:
        state = dashboard(service)
        # The demo is minutes old, and has a value each second.
        state["timeConfig"] |= {"relativeStartQuantity": "2", "relativeStartUnits": "minutes"}
        state["defaultGraphParams"]["from"] = "-2minutes"
        state["refreshConfig"]["interval"] = 2000
        form = urllib.parse.urlencode({"state": json.dumps(state)}).encode()
        with urllib.request.urlopen(f"{url}/dashboard/save/{service}", data=form, timeout=20) as answer:
            said = json.load(answer)
        if "success" not in said:
            sys.exit(f"Graphite-web did not save the dashboard {service}: {said}")


def draw(url, path, seconds):
    # A graph that reaches beyond its points would end in a flat line or begin with nothing.
    times = points(url, seconds)
    start = max(at[0] for at in times)
    end = min(at[-1] for at in times)
    width, high, low = 900, 280, 210
    small = width // (DRAWN - 1)
    picture = cairocffi.ImageSurface(cairocffi.FORMAT_RGB24, width, high + low)
    context = cairocffi.Context(picture)
    context.set_source_rgb(1, 1, 1)
    context.paint()
    for number, graph in enumerate(graphs()[:DRAWN]):
        size = {"width": small, "height": low} if number else {"width": width, "height": high}
        answer = render(url, graph | size | {"from": start, "until": end, "format": "png"})
        panel = cairocffi.ImageSurface.create_from_png(io.BytesIO(answer))
        context.set_source_surface(panel, small * (number - 1) if number else 0, high if number else 0)
        context.paint()
    picture.write_to_png(path)


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command, *arguments = sys.argv[1:]
    if command == "wait":
        wait(arguments[0], int(arguments[1]), int(arguments[2]))
    elif command == "dashboards":
        save_dashboards(arguments[0])
    elif command == "draw":
        draw(arguments[0], arguments[1], int(arguments[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
