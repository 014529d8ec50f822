"""Histograms on mmash's page, in a real browser: percentiles and heatmaps."""

import math
import random
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import PageTest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


class MmashHeatmapTest(PageTest):
    def test_a_distribution_of_each_interval_is_the_difference_of_what_there_ever_was(self):
        self.serve()
        self.view(wait_for=None)
        ticks = """(() => {
          const history = new m.History(10), series = { key: "k", kind: "histogram" };
          return args[0].map(([time, value]) => {
            history.tick(time, [[series, value]]);
            const { figures, columns } = { figures: history.of(series).figures(), columns: history.of(series).columns };
            const last = columns[(history.first + history.length - 1) % 10];
            return [figures, last && [[...last.buckets], [...last.counts]]];
          });
        })()"""
        middle = lambda bucket: 2.0 ** (bucket // 32 - 30) * (1 + (bucket % 32 + 0.5) / 32)
        of = lambda name, bucket: (name, middle(bucket))
        first, second, third, idle, fell, after = self.imported("history.js", ticks, [
            [1, [900, 5, 960, 1]],
            [2, [900, 5, 930, 98, 960, 2, 990, 1]],
            [4, [900, 5, 930, 98, 960, 2, 990, 5]],
            [5, [900, 5, 930, 98, 960, 2, 990, 5]],
            [6, [900, 1]],
            [7, [900, 3]],
        ])
        # Of what was there before anybody looked nobody knows when it came.
        self.assertEqual(first, [{}, None])
        figures, column = second
        self.assertEqual(column, [[930, 960, 990], [98, 1, 1]])
        want = dict([of("min", 930), of("p50", 930), of("p90", 930), of("p99", 960), of("p999", 990), of("max", 990)])
        self.assertEqual({name: figures[name] for name in want}, want)
        self.assertEqual(figures["rate"], 100)
        self.assertAlmostEqual(figures["mean"], (98 * middle(930) + middle(960) + middle(990)) / 100)
        self.assertEqual((third[0]["p50"], third[0]["rate"], third[1]), (middle(990), 2, [[990], [4]]))
        # No value is no zero: a gap.
        self.assertEqual(idle, [{"rate": 0}, [[], []]])
        self.assertEqual(fell, [{}, None])
        self.assertEqual(after[1], [[900], [2]])
        # Over several samples: the percentile of all values, not a mean of percentiles.
        together = """(() => {
          const history = new m.History(4), series = { key: "k", kind: "histogram" }, p99 = { key: "g", kind: "gauge", of: series, part: "p99" };
          args[0].forEach((value, time) => history.tick(time, [[series, value]]));
          const of = (one, samples) => history.order().map((slot) => String(history.line(one, false, samples)[slot]));
          return [of(series, 1), of(series, 2), of(p99, 2)];
        })()"""
        alone, two, part = self.imported("history.js", together, [[], [900, 1000], [900, 1000, 960, 5], [900, 1000, 960, 5], [900, 1000, 960, 6]])
        texts = lambda *buckets: [float(text) if text != "NaN" else None for text in buckets]
        self.assertEqual(texts(*alone), [middle(900), middle(960), None, middle(960)])
        self.assertEqual(texts(*two), [middle(900), middle(900), middle(960), middle(960)])
        self.assertEqual(part, two)

    def histogram(self, index=0):
        """Texts of the plot of a distribution, by part."""
        return self.js(
            """Object.fromEntries([...mmash.plots.plots[arguments[0]].element.querySelectorAll("[data-part]")]
            .map((line) => [line.dataset.part, line.querySelector(".line-value").textContent.replaceAll("\u202f", " ")]))""",
            index,
        )

    def test_a_histogram_is_drawn_as_percentiles_of_all_workers_and_as_a_heatmap(self):
        powers = range(-8, 2)
        slow = self.publish("slow", *writer.distribution("web.latency", [3.0], powers=powers, help="From accept to answer"))
        idle = [self.publish(f"idle{at}", *writer.distribution("web.latency", [0.01], powers=powers)) for at in range(3)]
        self.serve()
        self.view("rate=50&history=1000&open=web")
        daemons.wait_until(lambda: "latency" in " ".join(self.names()), "the histogram's row")
        # What the server computes of its own intervals is not listed; how many there ever were is.
        self.assertEqual([name for name in self.names() if name in ("p50", "p99", "p999", "min", "max")], [])
        self.press("/")
        self.press("latency", Keys.ENTER, Keys.ENTER)
        self.wait("mmash.plots.plots[0]?.dygraph != null", "its plot")
        self.wait("location.hash.includes('plot=auto;histogram:web.latency&')", "the link names it")
        daemons.wait_until(lambda: self.histogram()["rate"] == "0 /s", "an interval without values")
        self.assertEqual({self.histogram()[part] for part in ("p50", "p99", "max", "mean")}, {"–"})
        # Nearly all requests are those of the slow worker: its times are the percentiles, however idle the others
        # are. The mean of the workers' percentiles would be a quarter of them.
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused'", "no tick comes between")
        slow.add("web.latency", [1.0] * 900 + [2.0] * 97)
        for file in idle:
            file.add("web.latency", [0.01])
        self.wait_for_server("counter:web.latency.count", 1004)
        self.js("(mmash.live.paused = false)")
        find = "mmash.history.of(mmash.live.find('histogram:web.latency')).columns.findIndex((column) => column?.total > 0)"
        self.wait(f"{find} >= 0", "the interval with all values")
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused' && !mmash.plots.drawing", "it stands")
        self.wait("mmash.plots.plots[0].heatmap.most === 900", "it is drawn")
        self.assertEqual(self.js("mmash.plots.plots[0].heatmap.element.dataset.most"), "900")
        # One column has values, at three bands.
        self.assertEqual(
            self.js("mmash.plots.plots[0].heatmap.columns.filter(({total}) => total > 0).map(({cells}) => [...cells].filter((count) => count > 0))"),
            [[3, 900, 97]],
        )
        # A pixel in the middle of the cell has the colour that the legend gives its count.
        colours = self.js(
            """(() => {
              const {heatmap} = mmash.plots.plots[0];
              const canvas = heatmap.element.querySelector("canvas");
              const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
              copy.drawImage(canvas, 0, 0);
              const column = heatmap.columns.find(({total}) => total > 0);
              return [...column.cells].flatMap((count, at) => count === 0 ? [] : [[count,
                "#" + [...copy.getImageData((column.left + column.right) / 2, (heatmap.bands[at].top + heatmap.bands[at].bottom) / 2, 1, 1).data]
                  .slice(0, 3).map((part) => part.toString(16).padStart(2, "0")).join("")]]);
            })()"""
        )
        heat = lambda level: self.js("getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()", f"--heat-{level}")
        self.assertEqual(colours, [[3, heat(1)], [900, heat(5)], [97, heat(3)]])
        self.assertEqual(self.js("[...document.querySelectorAll('.heat-legend li')].map((item) => item.textContent)"), ["1–2", "3–9", "10–31", "32–99", "100–315", "316–1,000"])
        # By keys: its numbers, and the time's percentiles.
        said = lambda: self.js("document.querySelector('.heat-cell').textContent.replaceAll('\u202f', ' ')")
        self.js("[document.querySelector('.heat-drawing').focus()] && 1")
        self.press(Keys.END)
        steps = self.js("mmash.plots.plots[0].heatmap.columns.length - 1 - mmash.plots.plots[0].heatmap.columns.findIndex(({total}) => total > 0)")
        self.press(*[Keys.ARROW_LEFT] * steps)
        while "900 of" not in said():
            before = said()
            self.press(Keys.ARROW_UP)
            self.assertNotEqual(said(), before, "a band with 900 values")
        self.assertRegex(said(), r"^\d\d:\d\d:\d\d( to \d\d:\d\d:\d\d)? · 1 s to 1.25 s · 900 of 1,000 values · 90.0%$")
        self.assertEqual(self.js("document.querySelector('.heat-cell').getAttribute('aria-live')"), "polite")
        parts = self.histogram()
        self.assertEqual(
            {part: parts[part] for part in ("p50", "p90", "p99", "p999", "max", "min")},
            {"p50": "1.02 s", "p90": "1.02 s", "p99": "2.03 s", "p999": "2.03 s", "max": "2.03 s", "min": "9.89 ms"},
        )
        self.press(Keys.ARROW_UP)
        self.assertIn("· 0 of 1,000 values · 0.0%", said())
        self.js("document.activeElement.blur()")
        self.assertEqual(said(), "")
        # By the pointer: the same.
        canvas = self.browser.find_element(By.CLASS_NAME, "heat-drawing")
        x, y = self.js(
            """(({heatmap}) => { const column = heatmap.columns.find(({total}) => total > 0), band = heatmap.bands[[...column.cells].indexOf(97)];
            const box = heatmap.element.querySelector("canvas").getBoundingClientRect();
            return [(column.left + column.right) / 2 - box.width / 2, (band.top + band.bottom) / 2 - box.height / 2]; })(mmash.plots.plots[0])"""
        )
        ActionChains(self.browser).move_to_element_with_offset(canvas, round(x), round(y)).perform()
        daemons.wait_until(lambda: "97 of 1,000 values · 9.7%" in said(), "the cell at the pointer")

    def test_a_chosen_cell_whose_time_is_over_is_let_go(self):
        file = self.publish("app", *writer.distribution("latency", [], powers=(0,)))
        self.serve()
        self.view("rate=50&history=60&plot=auto;histogram:latency")
        self.wait("mmash.plots.plots[0].heatmap.columns.length > 2", "columns")
        # The page itself stops with it: until we could, its time may be over.
        self.js(
            """mmash.live.addEventListener("values", globalThis.stop = () => {
              if (mmash.history.of(mmash.live.find("histogram:latency")).columns.some((column) => column?.total > 0)) mmash.live.paused = true;
            })"""
        )
        file.add("latency", [1.0])
        self.wait("mmash.plots.plots[0].heatmap.most === 1 && mmash.live.state === 'paused'", "a value")
        self.js("document.querySelector('.heat-drawing').focus()")
        self.press(Keys.END)
        self.wait("document.querySelector('.heat-cell').textContent !== ''", "a cell is chosen")
        self.js("(mmash.live.removeEventListener('values', stop), mmash.live.paused = false)")
        self.wait("mmash.plots.pointed === null && document.querySelector('.heat-cell').textContent === 'No values in this time'", "all is as at the end")

    def test_bands_and_colours_of_a_heatmap(self):
        self.serve()
        self.view(wait_for=None)
        bands = lambda buckets, height: self.imported("heatmap.js", "m.bandsOf(args[0], args[1]).map(({first, end, bottom, top}) => [first, end, bottom, top])", buckets, height)
        self.assertEqual(bands([], 100), [])
        for buckets, powers, each in (([900], 3, 8), ([900, 1100], 7, 4), ([33, 2559], 79, 1), ([32], 3, 8), ([2559], 3, 8)):
            all_bands = bands(buckets, 160)
            self.assertEqual(len(all_bands), powers * each, buckets)
            for one, next in zip(all_bands, all_bands[1:]):
                self.assertEqual((one[1], one[3]), (next[0], next[2]))  # no gap
            self.assertEqual((all_bands[0][2], all_bands[-1][3]), (164, 4))
            self.assertTrue(all(any(first <= bucket < end for first, end, _, _ in all_bands) for bucket in buckets))
        # What may be zero has a band of its own at the bottom, so that the others have room.
        lowest, *others = bands([0, 960, 970], 160)
        self.assertEqual((lowest[:3], lowest[3]), ([0, 1, 164], others[0][2]))
        self.assertEqual(len(others), 24)
        self.assertEqual(len(bands([0], 160)), 1)
        self.assertEqual([one[:2] for one in bands([0, 5], 160)][:3], [[0, 1], [1, 4], [4, 8]])
        for most, firsts in ((1, [1]), (2, [1, 2]), (5, [1, 2, 3, 4, 5]), (1000, [1, 3, 10, 32, 100, 316])):
            self.assertEqual(self.imported("heatmap.js", "m.levelsOf(args[0])", most), firsts)

    def test_links_to_percentiles_of_before_show_those_of_the_page(self):
        file = self.publish("app", *writer.distribution("web.latency", [3.0], powers=range(-8, 2)), writer.gauge("load", 0.5))
        self.serve()
        self.view("rate=50&history=1000&plot=auto;gauge:web.latency.p99&plot=auto;histogram:web.latency&plot=auto;gauge:load;histogram:web.latency")
        self.wait("mmash.plots.plots.every((plot) => plot.dygraph) && mmash.history.of(mmash.live.find('histogram:web.latency'))?.rate === 0", "all are drawn")
        self.assertEqual(self.points(0), [])
        # Somebody else who asks takes nothing away.
        url = f"http://127.0.0.1:{self.mmash.port}/metrics"
        file.add("web.latency", [1.0])
        self.js("fetch(arguments[0]).then(() => 1)", url)
        middle = 1 + 1 / 64
        daemons.wait_until(lambda: middle in [value for _, value in self.points(0)], "the percentile as a line")
        daemons.wait_until(lambda: middle in [value for _, value in self.points(2, 2)], "and beside another series")
        # A plot that gets company, or loses it, is of the other sort.
        kinds = "mmash.plots.plots.map((plot) => plot.heatmap !== undefined)"
        self.assertEqual(self.js(kinds), [False, True, False])
        self.js("[mmash.plots.drop(mmash.plots.plots[2], 'gauge:load')] && 1")
        self.assertEqual(self.js(kinds), [False, True, True])
        self.js("[mmash.plots.join(['gauge:load'])] && 1")
        self.assertEqual(self.js(kinds), [False, True, False])
        self.assertEqual(self.js("mmash.plots.plots.map((plot) => plot.plain.keys)")[2], ["histogram:web.latency", "gauge:load"])

    def test_a_link_may_name_a_histogram_without_its_kind_and_before_it_is_there(self):
        self.publish("app", writer.gauge("load", 0.5))
        self.serve()
        self.view("rate=50&history=1000&plot=auto;latency&plot=auto;load")
        heatmaps = "mmash.plots.plots.map((plot) => plot.heatmap !== undefined)"
        self.wait("mmash.plots.plots[1].dygraph != null", "the gauge's plot")
        self.assertEqual(self.js(heatmaps), [False, False])
        file = self.publish("late", *writer.distribution("latency", [], powers=(0,)))
        self.wait("mmash.plots.plots[0].heatmap !== undefined", "the histogram is drawn as one")
        self.wait("mmash.history.track('histogram:latency') !== undefined", "it is looked at")
        file.add("latency", [1.0])
        self.wait("mmash.plots.plots[0].heatmap.most === 1", "its value")
        self.assertEqual(self.js(heatmaps), [True, False])

    def test_a_heatmap_can_be_read_in_light_and_dark(self):
        file = self.publish("app", *writer.distribution("web.latency", [], powers=range(-10, 3), help="From accept to answer"))
        self.serve()
        chance = random.Random(7)
        for scheme in ("light", "dark"):
            self.media(scheme)
            self.view("rate=50&history=60&open=web&plot=auto;histogram:web.latency")
            for tick in range(60):
                at = self.js("mmash.history.now") or 0
                if not 20 < tick < 26:
                    centre = 0.03 * (1 + tick / 40)
                    file.add("web.latency", [min(7.9, max(0.001, chance.lognormvariate(math.log(centre if chance.random() < 0.93 else 0.9), 0.35))) for _ in range(400)])
                self.wait(f"mmash.history.now > {at}", "a tick")
            self.js("(mmash.live.paused = true)")
            self.wait("mmash.live.state === 'paused' && !mmash.plots.drawing", "it stands")
            self.assertGreater(self.js("+document.querySelector('.heat').dataset.columns"), 20)
            self.js("[document.querySelector('.heat-drawing').focus()] && 1")
            self.press(Keys.END, Keys.ARROW_LEFT)
            self.picture(f"heatmap-{scheme}")


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
