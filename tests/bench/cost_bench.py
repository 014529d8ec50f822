#!/usr/bin/python3
"""What one scan costs against its size: files, fields of a file, series. Prints a table, and draws it.

    cost_bench.py BUILD-FOLDER [PICTURE]     PICTURE: cost.svg beside this script

It takes a minute or two. The figures are cost_bench's, medians of processor time; `slope` is that of the line from the
size before, in a plot of logarithms: 1 is linear. `ratio`: the busy and the idle scan over the floor.
"""

import collections
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

Point = collections.namedtuple("Point", "size files fields opened busy idle floor")

CURVES = {
    "files": ("Files of the same 10 fields", "files"),
    "fields": ("100 files of the same fields", "fields of each file, as many series"),
    "series": ("Files of 100 fields of their own", "fields of all files, as many series"),
}
LINES = (("busy", "all values moved"), ("idle", "no value moved"), ("floor", "reading alone"))


def measured(build):
    """Lists of points by curve, as the benchmark prints them; it must not share its processor."""
    program = os.path.join(build, "tests", "bench", "cost_bench")
    curves = collections.defaultdict(list)
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            curve, *numbers = line.split("\t")
            curves[curve].append(Point(*map(int, numbers[:4]), *map(float, numbers[4:])))
            print_row(curve, curves[curve])
    if child.returncode != 0:
        sys.exit(f"{program} ended with {child.returncode}")
    return curves


def slope(points, line):
    """Of the last two sizes."""
    before, last = points[-2:]
    return math.log(getattr(last, line) / getattr(before, line)) / math.log(last.size / before.size)


def print_row(curve, points):
    point = points[-1]
    if len(points) == 1:
        print(f"\n{curve}: {CURVES[curve][0]}")
        print(f"{curve:>9}     busy ms  ns a value  slope     idle ms  ns a value  slope    floor ms   ratio   ratio")
    cells = [f"{point.size:9,}"]
    for line in ("busy", "idle"):
        milliseconds = getattr(point, line)
        per_value = milliseconds * 1e6 / point.files / point.fields
        shown = f"{slope(points, line):5.2f}" if len(points) > 1 else "     "
        cells.append(f"{milliseconds:11.4f} {per_value:11.1f}  {shown}")
    cells.append(f"{point.floor:11.4f} {point.busy / point.floor:7.1f} {point.idle / point.floor:7.1f}")
    opened = f"  {point.opened:,} opened each time" if point.opened else ""
    print(" ".join(cells) + opened, flush=True)


# ---- the picture

WIDTH, HEIGHT = 330, 400  # of one plot with its texts
LEFT, RIGHT, TOP, BOTTOM = 54, 18, 64, 48
STYLE = """
  .paper { fill: #ffffff } .frame { fill: none; stroke: #8c959f } .grid { stroke: #d8dee4 }
  text { font: 12px sans-serif; fill: #1f2328 } .title { font-weight: bold; font-size: 13px } .small { font-size: 11px }
  .busy { stroke: #cf222e } .idle { stroke: #0969da } .floor { stroke: #57606a; stroke-dasharray: 5 3 }
  .dot.busy { fill: #cf222e } .dot.idle { fill: #0969da } .dot.floor { fill: #57606a; stroke-dasharray: none }
  .line { fill: none; stroke-width: 2 } .limit { stroke: #9a6700; stroke-dasharray: 2 3 } text.limit { stroke: none; fill: #9a6700 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .frame { stroke: #656c76 } .grid { stroke: #2a3038 } text { fill: #e6edf3 }
    .busy { stroke: #ff7b72 } .idle { stroke: #58a6ff } .floor { stroke: #9198a1 }
    .dot.busy { fill: #ff7b72 } .dot.idle { fill: #58a6ff } .dot.floor { fill: #9198a1 }
    .limit { stroke: #d29922 } text.limit { fill: #d29922 }
  }
"""


def decades(values):
    """The powers of ten around them."""
    return math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)


def number(value):
    for unit, name in ((1_000_000, " M"), (1_000, " k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


class Plot:
    """One curve's axes, at `left` in the picture; what it draws is in `parts`."""

    def __init__(self, left, sizes, milliseconds):
        self.left = left
        self.sizes = decades(sizes)
        self.milliseconds = decades(milliseconds)
        self.parts = []

    def x(self, size):
        first, last = self.sizes
        share = (math.log10(size) - first) / (last - first)
        return self.left + LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, milliseconds):
        first, last = self.milliseconds
        share = (math.log10(milliseconds) - first) / (last - first)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def text(self, x, y, text, anchor="middle", kind="small"):
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>')

    def segment(self, kind, x1, y1, x2, y2):
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def axes(self, title, label):
        right, bottom = self.left + WIDTH - RIGHT, HEIGHT - BOTTOM
        for power in range(self.sizes[0], self.sizes[1] + 1):
            x = self.x(10**power)
            self.segment("grid", x, TOP, x, bottom)
            self.text(x, bottom + 16, number(10**power))
        for power in range(self.milliseconds[0], self.milliseconds[1] + 1):
            y = self.y(10.0**power)
            self.segment("grid", self.left + LEFT, y, right, y)
            self.text(self.left + LEFT - 5, y + 4, number(10.0**power), "end")
        self.parts.append(f'<rect class="frame" x="{self.left + LEFT}" y="{TOP}" '
                          f'width="{WIDTH - LEFT - RIGHT}" height="{bottom - TOP}"/>')
        self.text(self.left + LEFT, TOP - 10, title, "start", "title")
        self.text((self.left + LEFT + right) / 2, bottom + 36, label, kind="")

    def line(self, name, points):
        places = [(self.x(point.size), self.y(getattr(point, name))) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        self.parts.append(f'<polyline class="line {name}" points="{path}"/>')
        self.parts += [f'<circle class="dot {name}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places]

    def limit(self, size, texts):
        """A bend, with what it is."""
        x = self.x(size)
        self.segment("limit", x, TOP, x, HEIGHT - BOTTOM)
        for row, text in enumerate(texts):
            self.text(x - 5, HEIGHT - BOTTOM - 24 + 14 * row, text, "end", "small limit")


def picture(curves):
    everything = [value for points in curves.values() for point in points for value in point[-3:]]
    width = WIDTH * len(curves)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}">',
             "<title>Processor time of one scan against its size</title>", f"<style>{STYLE}</style>",
             f'<rect class="paper" width="{width}" height="{HEIGHT}"/>']
    for index, (curve, points) in enumerate(curves.items()):
        plot = Plot(WIDTH * index, [point.size for point in points], everything)
        plot.axes(*CURVES[curve])
        for held in [point.files - point.opened for point in points if point.opened][:1]:
            plot.limit(held, [f"{held:,} descriptors:", "more are opened each time"])
        for name, _ in LINES:
            plot.line(name, points)
        parts += plot.parts
    plot = Plot(0, [1, 10], [1, 10])
    plot.text(LEFT, 22, "Milliseconds of processor time of one scan", "start", "title")
    x = width - 430
    for name, text in LINES:
        plot.segment(f"line {name}", x, 18, x + 26, 18)
        plot.text(x + 32, 22, text, "start", "")
        x += 150
    return "\n".join([*parts, *plot.parts, "</svg>", ""])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    drawing = picture(measured(sys.argv[1]))
    with open(sys.argv[2] if len(sys.argv) == 3 else os.path.join(HERE, "cost.svg"), "w", encoding="utf-8") as file:
        file.write(drawing)


if __name__ == "__main__":
    main()
