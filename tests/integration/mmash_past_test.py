"""mmash's page opens with a past: what the server saw before it."""

import os
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import PICTURES, Mmash, PageTest, label_key

INTERVAL = 0.1  # seconds, of the server's history: an hour is long for a test


class MmashPastTest(PageTest):
    def serve_past(self, *options):
        self.serve("--history-interval", str(INTERVAL), *options, os.path.join(self.folder, "*.mmstats"))

    def history(self, *keys):
        """The server's answer for the series of these keys, in this order."""
        return self.js(
            """(async (keys) => {
              const { series } = await (await fetch("/live/series")).json();
              const ids = keys.map((key) => series.find((one) => `${one.kind}:${one.label}` === key).id);
              const answer = await (await fetch(`/live/history?ids=${ids.join()}`)).json();
              return { ...answer, totals: ids.map((id) => answer.totals[id] ?? null) };
            })(arguments[0])""",
            keys,
        )

    def wait_for_past(self, key, samples):
        return daemons.wait_until(
            lambda: (lambda answer: answer if len(answer["times"]) >= samples else None)(self.history(key)), f"{samples} samples"
        )

    def test_a_plot_opens_with_the_past_and_a_reload_keeps_it(self):
        file = self.publish("app", writer.gauge("level", 5.0), writer.counter("requests", 100))
        self.serve_past()
        self.view()  # nothing is plotted yet
        self.wait_for_past("gauge:level", 5)
        for level in (7.5, 2.25):
            file.set("level", level)
            file.incr("requests", 1000)
            seen = len(self.history("gauge:level")["times"])
            self.wait_for_past("gauge:level", seen + 3)
        view = f"rate=200&history=500&plot=auto;{label_key('level', 'gauge')}&plot=auto;{label_key('requests')}"
        for opened in ("at first", "again"):
            self.view(view)
            daemons.wait_until(lambda: {5.0, 7.5, 2.25} <= {value for _, value in self.points()}, f"the past of the gauge {opened}")
            seen = [value for _, value in self.points()]
            changes = [value for at, value in enumerate(seen) if at == 0 or seen[at - 1] != value]
            self.assertEqual(changes, [5.0, 7.5, 2.25])
            # Rates times time are what was counted.
            self.assertAlmostEqual(self.counted(1), 2000, delta=1)
            # No gap where the past ends and the page begins, but where neither looked for long.
            rows = self.js("mmash.plots.plots[1].rows")
            around = [later[0] - before[0] for before, row, later in zip(rows, rows[1:], rows[2:]) if row[1] is None]
            self.assertEqual([milliseconds for milliseconds in around if milliseconds <= 2500 * INTERVAL], [])

    def test_a_series_that_is_plotted_later_has_a_past_in_the_slots_of_the_page(self):
        self.publish("app", writer.gauge("level", 5.0))
        late = self.publish("late", writer.counter("requests", 100), *writer.distribution("time", [0.5], powers=(-2,)))
        self.serve_past()
        self.view(f"rate=100&history=1000&search=level&plot=auto;{label_key('level', 'gauge')}")
        self.wait_for_past("counter:requests", 2)
        start = self.js("mmash.history.length")
        late.incr("requests", 50)
        late.add("time", [0.25] * 40)
        self.wait(f"mmash.history.length > {start + 8}", "more slots")
        slots = len(self.points())  # without gaps, as a machine that stood still leaves them
        self.js("mmash.plots.add({keys: ['counter:requests']})")
        self.js("mmash.plots.add({keys: ['histogram:time']})")
        self.wait("mmash.history.of(mmash.live.find('counter:requests'))?.pastFrom < 1e12 && mmash.history.of(mmash.live.find('histogram:time'))?.pastFrom < 1e12", "its past is there")
        daemons.wait_until(lambda: len(self.points(1)) >= slots - 2, "the slots from before it was plotted are filled")
        self.assertGreaterEqual(self.js("mmash.history.length"), slots)
        self.assertAlmostEqual(self.counted(1), 50, delta=1)
        # All values are in the heatmap, whole ones.
        self.wait("mmash.plots.plots[2].heatmap.columns.length > 0", "its heatmap")
        cells = self.js("mmash.plots.plots[2].heatmap.columns.flatMap((column) => [...column.cells])")
        self.assertEqual(sum(cells), 40)
        self.assertTrue(all(cell == int(cell) for cell in cells))

    def test_a_server_that_was_started_again_begins_anew(self):
        file = self.publish("app", writer.gauge("level", 5.0))
        self.serve_past()
        self.view()
        self.wait_for_past("gauge:level", 5)
        port = self.mmash.port
        self.stop_serving()
        file.set("level", 8.0)
        self.start(Mmash(self.folder, ("--history-interval", str(INTERVAL), os.path.join(self.folder, "*.mmstats")), port))
        self.view(f"rate=100&plot=auto;{label_key('level', 'gauge')}")
        daemons.wait_until(lambda: len(self.points()) >= 5, "its values")
        self.assertEqual({value for _, value in self.points()}, {8.0})

    def test_without_a_history_the_page_begins_empty(self):
        self.publish("app", writer.gauge("level", 5.0))
        self.serve_past("--history", "0")
        self.view(f"rate=50&history=1000&plot=auto;{label_key('level', 'gauge')}")
        opened = self.js("mmash.history.timeAt(mmash.history.order()[0])")
        self.wait("mmash.history.length > 5", "it goes on")
        self.assertEqual(self.js("mmash.history.timeAt(mmash.history.order()[0])"), opened)
        self.assertIsNone(self.js("mmash.past.interval"))
        self.assertEqual(self.js("performance.getEntriesByType('resource').filter(({ name }) => name.includes('/live/history')).length"), 1)

    def test_how_far_plots_look_back_is_one_choice_and_is_in_the_link(self):
        self.publish("app", writer.gauge("level", 5.0))
        self.serve_past()
        self.view(f"plot=auto;{label_key('level', 'gauge')}")
        text = "document.getElementById('range').selectedOptions[0].text"
        self.assertEqual(self.js(text), "3 min 20 s")
        for at, rate, history, want in ((1, 5000, 180, "15 min"), (2, 5000, 720, "1 h"), (0, 2000, 100, "3 min 20 s")):
            self.js("((select) => { select.selectedIndex = arguments[0]; select.dispatchEvent(new Event('change')); })(document.getElementById('range'))", at)
            self.assertEqual(self.js("[mmash.settings.rate, mmash.settings.history, mmash.history.slots]"), [rate, history, history])
            self.assertEqual(self.js(text), want)
            self.wait(f"location.hash.includes('history={history}') === {str(history != 100).lower()}", "it is in the link")
        # What is set otherwise is told, too.
        self.view("rate=50&history=1000")
        self.assertEqual(self.js(text), "50 s")
        self.assertEqual(self.js("document.getElementById('range').selectedOptions.length"), 1)
        for seconds, want in ((5, "5 s"), (2.5, "2.5 s"), (200, "3 min 20 s"), (3600, "1 h"), (10_000, "2 h 46 min 40 s")):
            self.assertEqual(self.imported("range.js", "m.spanText(args[0])", seconds), want)

    def test_a_longer_range_is_filled_by_the_server(self):
        file = self.publish("app", writer.gauge("level", 5.0))
        self.serve_past()
        self.view()
        self.wait_for_past("gauge:level", 25)
        file.set("level", 6.0)
        seen = len(self.history("gauge:level")["times"])
        self.wait_for_past("gauge:level", seen + 15)
        self.view(f"rate=100&history=10&plot=auto;{label_key('level', 'gauge')}")
        self.wait("mmash.history.length === 10", "the short one is full")
        daemons.wait_until(lambda: {value for _, value in self.points()} == {6.0}, "only the last second")
        self.js("((input) => { input.value = 500; input.dispatchEvent(new Event('change')); })(document.getElementById('history'))")
        daemons.wait_until(lambda: {value for _, value in self.points()} == {5.0, 6.0}, "what came before")
        # There is no room beside the page's own samples: they give way.
        self.view(f"rate=100&history=10&plot=auto;{label_key('level', 'gauge')}")
        self.wait("mmash.history.length === 10", "the short one is full")
        # Anew, as twenty seconds are all that it will have.
        file.set("level", 7.0)
        daemons.wait_until(lambda: {value for _, value in self.points()} == {7.0}, "only the last second")
        self.js("((input) => { input.value = 2000; input.dispatchEvent(new Event('change')); })(document.getElementById('rate'))")
        daemons.wait_until(lambda: {6.0, 7.0} <= {value for _, value in self.points()}, "what came before")
        # Back again: as short as it says.
        self.js("((input) => { input.value = 100; input.dispatchEvent(new Event('change')); })(document.getElementById('rate'))")
        self.js("((input) => { input.value = 10; input.dispatchEvent(new Event('change')); })(document.getElementById('history'))")
        daemons.wait_until(lambda: {value for _, value in self.points()} == {7.0}, "only the last second")

    def test_a_shorter_range_takes_nothing_from_what_stands(self):
        self.publish("app", writer.gauge("level", 5.0))
        self.serve_past("--history", "0")
        self.view(f"rate=50&history=30&plot=auto;{label_key('level', 'gauge')}")
        self.wait("mmash.history.length === 30", "it is full")
        self.js("document.getElementById('pause').click()")
        self.wait("mmash.live.state === 'paused'", "it stands")
        self.wait_for_drawing()
        seen = self.points()
        self.assertGreater(len(seen), 10)
        self.js("((input) => { input.value = 10; input.dispatchEvent(new Event('change')); })(document.getElementById('history'))")
        self.wait_for_drawing()
        self.assertEqual(self.points(), seen)
        self.js("document.getElementById('pause').click()")
        self.wait("mmash.history.slots === 10 && mmash.plots.plots[0].rows.length === 10", "it goes on")

    def test_a_longer_range_takes_nothing_that_a_server_of_before_saw(self):
        self.serve()
        self.view(wait_for=None)
        kept = self.imported(
            "past.js",
            """(async () => {
              const { History } = await import("/static/history.js");
              const series = { key: "k", kind: "gauge" };
              const lengths = [];
              for (const epoch of ["first", "second"]) {
                const history = new History(10), settings = { rate: 1000, history: 20 };
                const answer = { epoch: "first", interval: 5, times: [5, 10], readings: [[series, [1, 1], null]] };
                const live = { epoch: "first", past: async () => answer };
                const past = new m.Past(live, history, settings, { wanted: () => ({ plots: [series], rows: [] }), filled: () => {}, isOwn: () => false });
                for (let time = 100; time < 110; time++) history.tick(time, [[series, 1]], 1);
                await past.ask();
                live.epoch = epoch;
                settings.history = 50;
                history.resize(50);
                past.rangeChanged();
                lengths.push(history.length);
              }
              return lengths;
            })()""",
        )
        self.assertEqual(kept, [0, 10])

    # ---- how samples of the server become slots

    def filled(self, kind, ticks, times, items, interval=5, step=2, slots=100, total=None):
        """[time, value, rate] by slot, or of a histogram [time, {bucket: count}, seconds]."""
        return self.browser.execute_async_script(
            """const args = [...arguments], done = args.pop();
            Promise.all([import("/static/past.js"), import("/static/history.js")]).then(([past, { History }]) => {
              const [kind, ticks, times, items, interval, step, slots, total] = args;
              const history = new History(slots), series = { key: "k", kind };
              for (const [time, value] of ticks) history.tick(time, value === "away" ? [] : [[series, value]], step);
              past.fill(history, { from: -Infinity, step, interval, times, readings: [[series, items, total]] });
              const track = history.track("k");
              const known = (number) => (Number.isNaN(number) ? null : number);
              done(history.order().map((slot) => {
                const column = track.columns?.[slot];
                const counts = column && Object.fromEntries([...column.buckets].map((bucket, at) => [bucket, column.counts[at]]));
                return [history.timeAt(slot), ...(kind === "histogram" ? [counts, known(track.seconds[slot])] : [known(track.values[slot]), known(track.rates[slot])])];
              }));
            }).catch((error) => done(String(error)));""",
            kind, ticks, times, items, interval, step, slots, total,
        )

    def test_samples_of_the_server_become_slots_before_the_first_tick(self):
        self.serve()
        self.view(wait_for=None)
        # The page's own first look ends the server's last interval.
        self.assertEqual(
            self.filled("counter", [[112, 160], [114, 170]], [95, 100, 105, 110], [100, 110, 130, 150]),
            [[95, 100, None], [100, 110, 2], [105, 130, 4], [110, 150, 4], [112, 160, 5], [114, 170, 5]],
        )
        # A total that falls has no rate; neither has a series that was not there.
        self.assertEqual(
            self.filled("counter", [[112, 15]], [95, 100, 105, 110], [None, 110, 3, 13]),
            [[95, None, None], [100, 110, None], [105, 3, None], [110, 13, 2], [112, 15, 1]],
        )
        self.assertEqual(
            self.filled("gauge", [[112, 2]], [100, 105, 110], [4, None, 3]),
            [[100, 4, None], [105, None, None], [110, 3, None], [112, 2, -0.5]],
        )
        # A machine that slept: a gap, and the rate of all of it at its end.
        self.assertEqual(
            self.filled("counter", [[162, 400]], [100, 105, 155, 160], [0, 10, 110, 300]),
            [[100, 0, None], [105, 10, 2], [130, None, None], [155, 110, 2], [160, 300, 38], [162, 400, 50]],
        )
        # No more than there is room for, and none closer than ticks are.
        self.assertEqual([row[0] for row in self.filled("gauge", [[112, 2]], [100, 105, 110], [4, 5, 3], slots=3)], [105, 110, 112])
        self.assertEqual(
            self.filled("counter", [[112, 24]], list(range(100, 112)), [2 * at for at in range(12)], interval=1, step=4),
            [[100, 0, None], [104, 8, 2], [108, 16, 2], [112, 24, 2]],
        )

    def test_samples_of_the_server_fill_slots_that_are_there(self):
        self.serve()
        self.view(wait_for=None)
        ticks = [[at, "away"] for at in range(100, 112, 2)] + [[112, 36], [114, 40]]
        self.assertEqual(
            self.filled("counter", ticks, [99, 104, 109], [0, 10, 30], slots=8),
            [[100, 0, 2], [102, 0, 2], [104, 10, 2], [106, 10, 4], [108, 10, 4], [110, 30, 3], [112, 36, 2], [114, 40, 2]],
        )

    def test_buckets_of_the_server_are_spread_over_slots_that_are_there(self):
        self.serve()
        self.view(wait_for=None)
        self.assertEqual(
            self.filled("histogram", [[112, [5, 10, 9, 4]]], [100, 105, 110], [None, [], [5, 3, 7, 1]], total=[5, 7, 9, 4]),
            [[100, None, None], [105, {}, 5], [110, {"5": 3, "7": 1}, 5], [112, {"5": 3}, 2]],
        )
        ticks = [[at, "away"] for at in range(100, 112, 2)] + [[112, [5, 10]]]
        rows = self.filled("histogram", ticks, [100, 105, 110], [None, [5, 1000, 7, 1], [8, 2, 9, 1]], total=[5, 10], slots=7)
        self.assertEqual([row[0] for row in rows], [100, 102, 104, 106, 108, 110, 112])
        counts = {}
        for _, column, _ in rows:
            for bucket, count in (column or {}).items():
                self.assertEqual(count, int(count))
                counts[bucket] = counts.get(bucket, 0) + count
        self.assertEqual(counts, {"5": 1000, "7": 1, "8": 2, "9": 1})
        self.assertEqual([row[2] for row in rows], [None, 2, 2, 2, 2, 2, 2])
        self.assertAlmostEqual(rows[1][1]["5"], 400, delta=1)
        self.assertAlmostEqual(rows[3][1]["5"], 200, delta=1)
        # A gap ends with all that came in it.
        self.assertEqual(
            self.filled("histogram", [[152, [5, 9]]], [100, 105, 150], [None, [5, 1], [5, 8]], total=[5, 9]),
            [[100, None, None], [105, {"5": 1}, 5], [127.5, None, None], [150, {"5": 8}, 45], [152, {}, 2]],
        )

    def test_an_hour_with_a_gap_can_be_seen(self):
        """No test can wait for an hour: the page is given answers that are as long, in the place of the server's."""
        self.publish(
            "app",
            writer.counter("requests", 5_000_000),
            *writer.distribution("latency", [0.01], powers=range(-12, 2)),
            *writer.family("responses", ["status"], {("200",): 5_000_000, ("404",): 5_000_000, ("500",): 5_000_000}),
        )
        self.serve_past()
        script = self.browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument",
            {
                "source": """(() => {
              const real = window.fetch;
              const kinds = new Map();
              window.fetch = async (path, ...options) => {
                const answer = await real(path, ...options);
                const text = await answer.text();
                const told = JSON.parse(text);
                if (path.startsWith("/live/series")) for (const one of told.series) kinds.set(one.id, one.kind);
                if (!path.startsWith("/live/history")) return new Response(text, { status: answer.status });
                // An hour, of which it slept for five minutes, and had an incident at its middle.
                const now = Date.now() / 1000;
                const ticks = Array.from({ length: 721 }, (_, at) => at).filter((at) => at < 500 || at > 560);
                const load = (at) => 1 + 0.3 * Math.sin(at / 60) + 0.05 * Math.sin(at * 1.7) + (at > 340 && at < 400 ? 2 : 0);
                const ids = new URL(path, location).searchParams.get("ids").split(",").flatMap((range) => {
                  const [first, last] = range.split("-").map(Number);
                  return Array.from({ length: (last ?? first) - first + 1 }, (_, at) => first + at);
                });
                const numbers = (id) => {
                  let total = 0;
                  const totals = ticks.map((at) => (total += Math.round((500 * load(at)) / (1 + (id % 5)))));
                  return totals.map((one) => one + 5_000_000 - total);
                };
                const buckets = () => ticks.map((at) => Array.from({ length: 40 }, (_, bucket) => [700 + 6 * bucket + Math.round(60 * load(at)), Math.round(40 * Math.exp(-bucket / 6))]).filter(([, count]) => count > 0).flat());
                const histogram = (id) => kinds.get(id) === "histogram";
                const body = { ...told, interval: 5, times: ticks.map((at) => now - 5 * (720 - at) - 1), totals: {}, values: ids.map((id) => (histogram(id) ? buckets() : numbers(id))) };
                return new Response(JSON.stringify(body), { status: 200 });
              };
            })()"""
            },
        )
        try:
            self.view(f"rate=5000&history=720&plot=auto;{label_key('requests')}&plot=auto;histogram:latency&family=auto;counter:responses{{status}};by=status")
            self.wait("mmash.plots.plots.length === 3 && mmash.plots.plots.every((plot) => plot.rows.length > 600)", "an hour in all plots")
            self.assertEqual(self.js("document.getElementById('range').selectedOptions[0].text"), "1 h")
            for plot in range(3):
                rows = self.js("mmash.plots.plots[arguments[0]].rows.map((row) => row.slice(0, 2))", plot)
                self.assertGreater(rows[-1][0] - rows[0][0], 3500e3)
                gap = [at for at, row in enumerate(rows) if at > 2 and row[1] is None]
                self.assertEqual(len([at for at in gap if at < len(rows) - 3]), 1, "it slept once")
                self.assertGreater(rows[gap[0] + 1][0] - rows[gap[0] - 1][0], 290e3)
            self.wait("mmash.plots.plots[1].heatmap.columns.length > 50", "its heatmap")
            self.wait_for_drawing()
            self.picture("history-hour")
            self.view("rate=5000&history=720&table=counter:responses{status}")
            self.wait("document.querySelector('.family-table, table') !== null && mmash.history.length > 600", "a table of an hour")
            self.wait_for_drawing()
            self.picture("history-hour-table")
        finally:
            self.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script["identifier"]})


if __name__ == "__main__":
    unittest.main()
