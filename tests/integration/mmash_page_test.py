"""mmash's page in a real browser: what somebody sees, presses and shares."""

import json
import os
import socket
import subprocess
import tempfile
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import PICTURES, Mmash, PageTest, label_key, start_browser
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CORPUS = os.path.join(daemons.HERE, "..", "data", "corpus")


class MmashPageTest(PageTest):
    def test_it_loads_from_its_own_server_alone_and_shows_processes_series_and_values(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        self.publish("mine", writer.counter("requests", 1234567), writer.gauge("load", 0.25), prefix="shop.")
        # What nobody maps any more.
        self.publish("gone", writer.counter("requests", 1), prefix="shop.", pid=gone.pid).close()
        self.serve()
        self.view("rate=100")
        self.wait("document.querySelectorAll('#processes .sizer .row:not([hidden])').length === 2", "two processes")
        processes = lambda: self.js(
            """Object.fromEntries([...document.querySelectorAll("#processes .sizer .row:not([hidden])")]
            .map((row) => [row.querySelector(".pid").textContent, row.querySelector(".state").textContent]))"""
        )
        states = {str(os.getpid()): "alive", str(gone.pid): "dead"}
        daemons.wait_until(lambda: processes() == states, "whose owner is alive and whose is not")
        daemons.wait_until(lambda: ["requests", "1,234,568", "0"] in self.rows(), "the sum over both files")
        self.assertIn(["load", "0.25", ""], self.rows())
        # Every file came from the server itself.
        foreign = self.js("performance.getEntriesByType('resource').map((r) => r.name).filter((name) => !name.startsWith(location.origin))")
        self.assertEqual(foreign, [])

    def test_a_plot_draws_what_is_published_and_moves(self):
        file = self.publish("app", writer.gauge("level", 5.0), writer.counter("requests", 100))
        self.serve()
        self.view(f"rate=200&history=1000&plot=auto;{label_key('level', 'gauge')}&plot=auto;{label_key('requests')}")
        published = [5.0]
        daemons.wait_until(lambda: self.last() == 5.0, "the first value")
        pictures = {self.pixels()}
        for level in (7.5, 2.25, 1e6):
            file.set("level", level)
            file.incr("requests", 1000)
            published.append(level)
            daemons.wait_until(lambda want=level: self.last() == want, f"{level} is drawn")
            pictures.add(self.pixels())
        self.assertEqual(len(pictures), 4)
        seen = [value for _, value in self.points()]
        changes = [value for at, value in enumerate(seen) if at == 0 or seen[at - 1] != value]
        self.assertEqual(changes, published)
        # A counter is drawn as its rate: over all scans, rates times time are what was counted.
        daemons.wait_until(lambda: self.last(1) == 0, "the last change is over")
        self.assertAlmostEqual(self.counted(1), 3000, delta=0.01)

    def test_hostile_labels_are_text_and_nothing_else(self):
        evil = '<img src=x onerror="document[`title`]=1">'
        labels = [".", "...", "a..b", ".a", "a.", "." * 60000, "x" * 60000, evil, "a.b\x00\x1b[31m", "\u202eright", "a", "same", "a.__proto__.constructor"]
        metadata = "".join(f"{label}\tgauge\t{evil[:20]}\t{evil}\n" for label in ("a", "same"))
        self.publish("hostile", *[writer.gauge(label.encode(), at) for at, label in enumerate(labels)], with_sys=False)
        self.publish("other", writer.counter("same", 3), writer.text("sys.metadata", metadata, 1024))
        self.publish("histogram", *writer.distribution(evil, [1.0], unit=evil, help=evil), with_sys=False)
        self.serve(os.path.join(self.folder, "*.mmstats"), os.path.join(CORPUS, "odd_values.mmstats"))
        self.view("rate=100")
        series = self.js("mmash.live.series.map((one) => one.label)")
        script = 'quote"<script>alert(1)</script>;\t'
        self.assertTrue(set(labels) | {script} <= set(series), [label[:40] for label in series])
        # All of them are opened, plotted and found.
        self.js("mmash.live.series.forEach((one) => mmash.plots.toggle(one.key))")
        self.js("mmash.plots.add({keys: mmash.live.series.map((one) => one.key)})")
        self.wait("mmash.plots.plots.every((plot) => !plot.inSight || plot.dygraph)", "all plots are drawn")
        self.js("document.querySelector('.stage').scrollTo(0, 1e6)")
        self.wait("mmash.plots.plots[mmash.plots.plots.length - 1].dygraph !== null", "the last plot is drawn")
        search = self.browser.find_element(By.ID, "search")
        for words, found in (("<script>", 'quote"<script>alert(1)</script>;\\t'), ("onerror", evil), ("[31m", "b\\u0000\\u001b[31m")):
            search.clear()
            search.send_keys(words)
            daemons.wait_until(lambda want=found: want in self.names(), f"{found} is shown as it is")
            search.send_keys(Keys.ARROW_DOWN)  # its details are shown
            self.wait("document.querySelector('#detail .label').textContent !== ''", "its details")
        self.assertEqual(self.js("[document.querySelectorAll('script').length, document.querySelectorAll('main img').length, document.title]"), [3, 0, f"{socket.gethostname()} · mmash"])
        # The view with all of them is a link, and the link is such a view.
        self.wait("location.hash.includes('%3Cscript%3E')", "the link names the label")
        count = self.js("mmash.plots.plots.length")
        self.browser.refresh()
        self.wait(f"globalThis.mmash?.plots.plots.length === {count}", "the view is back")
        self.wait("mmash.live.state === 'live'", "live again")
        self.assertEqual(self.js("mmash.plots.plots.flatMap((plot) => plot.keys).filter((key) => !mmash.live.find(key))"), [])

    def test_no_foreign_text_turns_what_stands_beside_it(self):
        turning = "".join(map(chr, [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
        label = f"web.{turning}a"
        metadata = f"{label}\tcounter\t{turning[:4]}u\thelp{turning}\n"
        self.publish(f"cmd{turning}-{os.getpid()}", writer.counter(label, 2), writer.gauge(f"{turning}.b"), writer.text("sys.metadata", metadata, 1024), prefix="")
        self.serve()
        self.view("rate=100")
        histogram = self.publish("histogram", *writer.distribution(f"{turning}time", [1.0], unit=f"{turning[:3]}s", help=turning))
        daemons.wait_until(lambda: self.js("mmash.live.series.some((one) => one.kind === 'histogram')"), "the histogram")
        self.js("mmash.plots.toggle(mmash.live.series.find((one) => one.kind === 'histogram').key)")
        self.wait("mmash.plots.plots[0].dygraph !== null", "its plot")
        histogram.add(f"{turning}time", [1.0])
        self.wait("mmash.plots.plots[0].heatmap.most === 1", "its cell")
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused'", "it stands")
        self.js("document.querySelector('.heat-drawing').focus()")
        self.press(Keys.END)
        self.wait("document.querySelector('.heat-cell').textContent.includes('values')", "its cell in words")
        self.js("(mmash.live.paused = false)")
        key = self.js("mmash.live.series.find((one) => one.label === arguments[0]).key", label)
        self.assertEqual(self.js("mmash.live.find(arguments[0]).help", key), f"help{turning}")
        self.js("mmash.plots.toggle(arguments[0])", key)
        self.js("mmash.plots.add({keys: mmash.live.series.map((one) => one.key), mode: 'rate'})")
        self.wait("mmash.plots.plots.every((plot) => !plot.inSight || plot.dygraph)", "all plots are drawn")
        self.js("mmash.tree.restore(['web'], '')")
        daemons.wait_until(lambda: any(name.startswith("\\u061c") and name.endswith("a") for name in self.names()), "the row")
        self.browser.find_element(By.ID, "tree").click()
        self.press(Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        self.wait("document.querySelectorAll('#processes .sizer .row:not([hidden])').length > 0", "processes")
        # Neither as text nor in an attribute; those of the fragment are the browser's to show.
        found = """(() => {
          const bad = /[\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]/;
          const found = [];
          const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
          for (let node = walk.currentNode; node; node = walk.nextNode()) {
            if (node.nodeType === Node.TEXT_NODE) { if (bad.test(node.data)) found.push(node.data); continue; }
            for (const { name, value } of node.attributes) if (bad.test(value)) found.push(`${node.className} ${name}: ${value}`);
          }
          return [document.body.textContent.includes("\\\\u202e"), found, bad.test(document.title)];
        })()"""
        self.assertEqual(self.js(found), [True, [], False])

    def test_texts_are_cut_between_letters(self):
        self.serve()
        self.view(wait_for=None)
        for expression, want in (
            ("m.cut('a'.repeat(9), 9)", "a" * 9),
            ("m.cut('a'.repeat(10), 9)", "a" * 9 + "…"),
            ("m.cut('a'.repeat(8) + '🎉b', 9)", "a" * 8 + "…"),
            ("m.cut('a'.repeat(7) + '🎉b', 9)", "a" * 7 + "🎉…"),
            ("m.inWords(3, 'a'.repeat(10) + '🎉b')", "3\u202f" + "a" * 10 + "…"),
            ("m.exact(3, 'a'.repeat(39) + '🎉b')", "3 " + "a" * 39 + "…"),
        ):
            self.assertEqual(self.imported("format.js", expression), want, expression)
        self.assertEqual(self.imported("labels.js", "m.shown('a'.repeat(199) + '🎉b')"), "a" * 199 + "…")

    def test_a_total_that_falls_and_a_clock_set_back_are_a_gap_and_no_rate(self):
        self.serve()
        self.view(wait_for=None)
        ticks = """(() => {
          const history = new m.History(10), series = { key: "k", kind: args[0] };
          for (const [time, value] of args[1]) history.tick(time, [[series, typeof value === "string" ? BigInt(value) : value]]);
          const track = history.track("k");
          return history.order().map((slot) => [history.timeAt(slot), String(track.values[slot]), String(track.rates[slot])]);
        })()"""
        for kind, given, want in (
            ("counter", [[1, 10], [2, 15], [3, 4], [4, 6]], [[1, "10", "NaN"], [2, "15", "5"], [3, "4", "NaN"], [4, "6", "2"]]),
            # It is a counter's total that cannot fall; a gauge may.
            ("gauge", [[1, 10], [2, 4]], [[1, "10", "NaN"], [2, "4", "-6"]]),
            # Beyond the doubles' whole numbers, too, and from there to below.
            ("counter", [[1, "9007199254740993"], [2, "9007199254740996"], [3, "9007199254740995"], [4, 7]],
             [[1, "9007199254740992", "NaN"], [2, "9007199254740996", "3"], [3, "9007199254740996", "NaN"], [4, "7", "NaN"]]),
            # A value that was away: the counter's rate is over all of that time, another's begins anew.
            ("counter", [[1, 10], [2, None], [3, 14]], [[1, "10", "NaN"], [2, "NaN", "NaN"], [3, "14", "2"]]),
            ("gauge", [[1, 10], [2, None], [3, 14]], [[1, "10", "NaN"], [2, "NaN", "NaN"], [3, "14", "NaN"]]),
            # Set back: what was seen is of times that are yet to come.
            ("counter", [[100, 10], [101, 20], [50, 30], [51, 31]], [[50, "30", "NaN"], [51, "31", "1"]]),
            ("gauge", [[100, 10], [50, 30]], [[50, "30", "NaN"]]),
            # The same scan twice.
            ("counter", [[1, 10], [2, 15], [2, 15], [3, 16]], [[1, "10", "NaN"], [2, "15", "5"], [3, "16", "1"]]),
        ):
            self.assertEqual(self.imported("history.js", ticks, kind, given), want, (kind, given))
        # Between two ticks, and in another life of the server.
        more = """(() => {
          const history = new m.History(10), series = { key: "k", kind: "counter" };
          const rates = [];
          const note = () => rates.push(String(history.track("k").rate));
          history.tick(1, [[series, 10]]); note();
          history.glance(3, [[series, 14]]); note();
          history.glance(2, [[series, 90]]); note();
          history.tick(4, [[series, 15]]); note();
          history.breakRates(); note();
          history.tick(5, [[series, 99]]); note();
          history.tick(6, [[series, 100]]); note();
          return [rates, history.length];
        })()"""
        self.assertEqual(self.imported("history.js", more), [["NaN", "2", "2", "1", "NaN", "NaN", "1"], 4])

    def test_a_tick_that_is_early_is_no_interval_and_one_that_is_late_ends_a_gap(self):
        self.serve()
        self.view(wait_for=None)
        ticks = """(() => {
          const history = new m.History(10), one = { key: "one", kind: args[0] }, two = { key: "two", kind: args[0] };
          for (const [time, ...values] of args[1]) history.tick(time, values.map((value, at) => [[one, two][at], value]), 2);
          const lines = (key) => history.order().map((slot) => [history.timeAt(slot), String(history.track(key).values[slot]), String(history.track(key).rates[slot])]);
          return [lines("one"), lines("two")];
        })()"""
        given = [[1, 10], [3, 14], [3.5, 40, 7], [5.5, 24, 9], [10.5, 30, 9], [16, 41, 20]]
        one = [
            [1, "10", "NaN"], [3, "14", "2"],
            [5.5, "24", "4"],  # over all 2.5 seconds, whatever came between
            [10.5, "30", "1.2"], [13.25, "NaN", "NaN"], [16, "41", "2"],
        ]
        two = [
            [1, "NaN", "NaN"], [3, "7", "NaN"],  # what is new is seen at once
            [5.5, "9", "1"], [10.5, "9", "0"], [13.25, "NaN", "NaN"], [16, "20", "2"],
        ]
        for kind in ("counter", "gauge"):
            self.assertEqual(self.imported("history.js", ticks, kind, given), [one, two], kind)

    def test_a_pause_is_a_gap_in_the_plot(self):
        self.publish("app", writer.gauge("level", 1.0))
        # The server's samples are further apart, and what is between two of them is no gap.
        self.serve("--history", "0", os.path.join(self.folder, "*.mmstats"))
        self.view("rate=50&history=1000&plot=value;gauge:level")
        daemons.wait_until(lambda: self.last() == 1.0, "a value")
        self.press("p")
        self.wait("mmash.live.state === 'paused'", "paused")
        self.browser.execute_async_script("setTimeout(arguments[0], 500)")
        seen = self.js("mmash.history.now")
        self.press("p")
        daemons.wait_until(lambda: self.points()[-1][0] > seen + 0.1, "it goes on")
        rows = self.js("((g) => Array.from({length: g.numRows()}, (_, at) => [g.getValue(at, 0), g.getValue(at, 1)]))(mmash.plots.plots[0].dygraph)")
        steps = [(row, later) for row, later in zip(rows, rows[1:]) if later[0] - row[0] > 125]
        self.assertTrue(steps)
        self.assertEqual([step for step in steps if step[0][1] is not None and step[1][1] is not None], [])

    def test_a_link_by_the_name_of_a_label_marks_the_series_that_has_it(self):
        self.publish("app", *writer.family("hits", ["status"], {("200",): 3, ("404",): 1}), with_sys=False)
        self.serve()
        self.view("plot=auto;counter:hits.200")
        key = self.js("mmash.live.series.find((one) => one.label === 'hits.200').key")
        self.assertNotEqual(key, "counter:hits.200")
        self.assertTrue(self.js("mmash.plots.has(arguments[0])", key))
        self.js("mmash.plots.toggle(arguments[0])", key)
        self.assertEqual(self.js("mmash.plots.plots.length"), 0)

    def test_what_is_wrong_with_files_is_told_as_long_as_it_is(self):
        bad = os.path.join(self.folder, "bad.mmstats")
        with open(bad, "wb") as file:
            file.write(b"no mmstats file")
        os.mkfifo(os.path.join(self.folder, "pipe.mmstats"))
        self.serve()
        self.view("rate=100", wait_for=None)
        self.wait("document.getElementById('problems').textContent === '2 problems'", "how many problems")
        self.assertIn("bad.mmstats", self.js("document.getElementById('blank-problems').innerText"))
        self.browser.find_element(By.ID, "problems").click()
        self.assertIn("bad.mmstats", self.js("document.getElementById('problem-texts').innerText"))
        self.assertIn("pipe.mmstats", self.js("document.getElementById('problem-texts').innerText"))
        self.browser.save_screenshot(os.path.join(PICTURES, "problems.png"))
        self.browser.find_element(By.ID, "problem-close").click()
        os.remove(bad)
        self.publish("good", writer.counter("hits", 1))
        self.wait("document.getElementById('problems').textContent === '1 problem'", "one is mended")
        os.remove(os.path.join(self.folder, "pipe.mmstats"))
        self.wait("document.getElementById('problems').hidden", "all are")

    def test_a_plot_tells_its_lines_apart_and_says_what_it_leaves_out(self):
        self.publish("app", *[writer.gauge(f"level.{at:02}", at) for at in range(40)], with_sys=False)
        self.serve()
        self.view("rate=100&plot=auto;" + ";".join(label_key(f"level.{at:02}", "gauge") for at in range(40)))
        self.wait("mmash.plots.plots[0].dygraph !== null", "it is drawn")
        self.assertIn("16 more are not drawn", self.js("document.querySelector('.legend').innerText"))
        # Where it is seen.
        self.assertTrue(self.js("((note, legend) => note.bottom <= legend.bottom && note.right <= legend.right)(document.querySelector('.left-out').getBoundingClientRect(), document.querySelector('.legend').getBoundingClientRect())"))
        swatches = self.js("[...document.querySelectorAll('.legend .swatch')].map((swatch) => swatch.className)")
        self.assertEqual((len(swatches), len(set(swatches))), (24, 24))
        self.browser.save_screenshot(os.path.join(PICTURES, "many_lines.png"))

    def test_values_between_2_to_53_and_10_to_20_are_exact(self):
        self.serve()
        self.view(wait_for=None)
        numbers = [2**53 - 1, 2**53, 2**53 + 1, 9999999999999999, 10**16, 10**16 + 1, 10**19, 2**64 - 1, 10**20 - 1, 10**20 + 1]
        text = json.dumps({"epoch": "9007199254740993", "time": 1700000000.5, "series": 3, "values": [*numbers, *(-n for n in numbers), None, 0.5, 1e16]})
        said = self.imported("live.js", "m.parseValues(args[0]).values.map(String)", text)
        self.assertEqual(said, [str(n) for n in numbers] + [str(-n) for n in numbers] + ["null", "0.5", "10000000000000000"])
        exact = self.imported("format.js", "args[0].map((digits) => m.exact(BigInt(digits)))", [str(n) for n in numbers])
        self.assertEqual(exact, [f"{n:,}" for n in numbers])

    def test_search_narrows_the_tree_and_escape_clears_it(self):
        self.publish("app", *[writer.counter(f"web.status.{code}", code) for code in (200, 404, 500)], writer.gauge("db.pool.size", 4))
        self.serve()
        self.view("rate=200")
        self.press("/")
        self.press("STATUS 4")
        daemons.wait_until(lambda: self.names() == ["web", "status", "404"], "one series and its branches are left")
        self.wait("document.getElementById('found').textContent === '1 of 4'", "how many were found")
        daemons.wait_until(lambda: self.rows()[-1][1] == "404", "with its value")
        self.press(Keys.ESCAPE)
        daemons.wait_until(lambda: self.names() == ["db", "web"], "the tree as before")
        self.press("nothing like this")
        daemons.wait_until(lambda: self.names() == [], "nothing is found")

    def test_the_keyboard_alone_opens_a_branch_plots_and_pauses(self):
        self.publish("app", writer.counter("web.requests", 5), writer.gauge("web.time.p50", 0.01), writer.gauge("web.time.p99", 0.09), writer.gauge("disk", 1))
        self.serve()
        self.view("rate=100")
        for _ in range(20):
            if self.js("document.activeElement.id") == "tree":
                break
            self.press(Keys.TAB)
        self.assertEqual(self.js("document.activeElement.id"), "tree")
        active = "document.getElementById(document.getElementById('tree').getAttribute('aria-activedescendant'))"
        self.wait(f"{active}?.querySelector('.text').textContent === 'disk'", "the first row is active")
        self.press(Keys.ARROW_DOWN)
        self.assertEqual(self.js(f"{active}.getAttribute('aria-expanded')"), "false")
        self.press(Keys.ARROW_RIGHT)
        self.assertEqual(self.js(f"{active}.getAttribute('aria-expanded')"), "true")
        self.assertEqual(self.names(), ["disk", "web", "requests", "time"])
        self.press(Keys.ARROW_RIGHT, Keys.ENTER)
        self.assertEqual(self.js("mmash.plots.plots.map((plot) => plot.keys)"), [["counter:web.requests"]])
        self.assertEqual(self.js(f"[{active}.getAttribute('aria-selected'), {active}.getAttribute('aria-level')]"), ["true", "2"])
        self.press(Keys.ARROW_DOWN)
        self.shift_enter()  # a branch's series, in one plot
        self.assertEqual(self.js("mmash.plots.plots[1].keys"), ["gauge:web.time.p50", "gauge:web.time.p99"])
        self.press(Keys.ARROW_LEFT)  # it is closed: to its parent
        self.assertEqual(self.js(f"{active}.querySelector('.text').textContent"), "web")
        self.press(Keys.END, Keys.HOME, Keys.ENTER)
        self.assertEqual(self.js("mmash.plots.plots.length"), 3)
        self.press(Keys.ENTER)
        self.assertEqual(self.js("mmash.plots.plots.length"), 2)
        self.press("p")
        self.wait("mmash.live.state === 'paused'", "paused")
        self.press("?")
        self.wait("document.getElementById('help-dialog').open", "help")
        self.press(Keys.ESCAPE)
        self.wait("!document.getElementById('help-dialog').open", "no help")

    def test_pause_stops_everything_and_goes_on(self):
        file = self.publish("app", writer.gauge("level", 1.0))
        self.serve()
        self.view("rate=50&plot=value;gauge:level")
        daemons.wait_until(lambda: self.last() == 1.0, "a value")
        self.press("p")
        self.wait("mmash.live.state === 'paused' && !mmash.plots.drawing", "paused")
        requests, picture = self.js("mmash.live.requests"), self.pixels()
        file.set("level", 2.0)
        # Timers of a page fire in the order of their times: ten scans would have come before this one.
        self.browser.execute_async_script("setTimeout(arguments[0], 500)")
        self.assertEqual((self.js("mmash.live.requests"), self.pixels(), self.last()), (requests, picture, 1.0))
        self.press("p")
        daemons.wait_until(lambda: self.last() == 2.0, "it goes on")

    def test_a_shared_link_restores_the_view_in_another_browser(self):
        self.publish("app", writer.counter("web.requests", 5), writer.gauge("web.time.p50", 0.01), writer.gauge("web.time.p99", 0.09), writer.gauge("disk/a b&c;d,e:f=#1", 1))
        self.serve()
        self.view("rate=100")
        self.js("mmash.tree.restore(['web', 'web.time'], 'e')")
        self.js("[mmash.plots.add({keys: ['counter:web.requests'], mode: 'value', zero: true}) && 1]")
        self.js("[mmash.plots.add({keys: ['gauge:web.time.p50', 'gauge:web.time.p99']}) && 1]")
        self.js("[mmash.plots.add({keys: ['gauge:disk/a b&c;d,e:f=#1'], mode: 'rate', zero: false}) && 1]")
        for name, value in (("rate", 250), ("history", 50), ("average", 3)):
            self.js("((input) => { input.value = arguments[1]; input.dispatchEvent(new Event('change')); })(document.getElementById(arguments[0]))", name, value)
        self.browser.find_element(By.ID, "link").click()
        state = "[mmash.plots.plots.map((plot) => plot.plain), {...mmash.settings}, mmash.tree.search, [...mmash.tree.open], mmash.live.rateMs, mmash.history.slots]"
        wanted = self.js(state)
        self.assertEqual(wanted[1:], [{"rate": 250, "history": 50, "average": 3}, "e", ["web", "web.time"], 250, 50])
        link = self.js("location.href")
        rows = self.names()
        with tempfile.TemporaryDirectory(prefix="mmb", dir="/tmp", ignore_cleanup_errors=True) as folder:
            first, self.browser = self.browser, start_browser(folder)
            try:
                self.size(1400, 900)
                self.browser.get(link)
                self.wait("globalThis.mmash?.live.state === 'live'", "the other page is live")
                self.assertEqual(self.js(state), wanted)
                self.assertEqual(self.names(), rows)
                self.wait("mmash.plots.plots.every((plot) => plot.dygraph)", "its plots are drawn")
                self.assertEqual(self.complaints(), [])
            finally:
                self.browser.quit()
                self.browser = first
        # Another link, pasted into the page that is open, is taken as well.
        self.js("void (location.hash = '#rate=500&plot=value;counter:web.requests&paused')")
        self.wait("mmash.plots.plots.length === 1 && mmash.live.state === 'paused' && mmash.live.rateMs === 500", "the pasted link")

    def test_nonsense_in_a_link_is_left_out(self):
        self.publish("app", writer.gauge("level", 1.0))
        self.serve()
        self.view("rate=-5&history=1e9&average=x&plot=&plot=odd;gauge:a&plot=value&plot=value;%E0%A4%A&open=%ZZ&constructor=1&__proto__=2&&=&plot=value,fit;level")
        self.assertEqual(self.js("{...mmash.settings}"), {"rate": 50, "history": 1000, "average": 1})
        # By hand, a label is enough.
        self.assertEqual(self.js("mmash.plots.plots.map((plot) => plot.plain)"), [{"keys": ["gauge:level"], "mode": "value", "zero": False}])
        daemons.wait_until(lambda: self.last() == 1.0, "the label's value")

    def test_ten_thousand_series_cost_no_more_than_what_is_in_sight(self):
        self.publish("big", *[writer.counter(f"shop{at % 10}.part{at // 10 % 10}.metric{at}", at) for at in range(10_000)])
        self.serve()
        self.view("rate=50")
        self.assertEqual(self.js("mmash.live.series.length"), 10_000)
        self.js("mmash.live.series.slice(0, 4000).filter((_, at) => at % 100 === 0).forEach((one) => mmash.plots.toggle(one.key))")
        with self.standing():
            before = self.work()
            self.js(
                """((box) => { box.value = "metric"; box.dispatchEvent(new Event("input")); })
                (document.getElementById("search"))"""
            )
            self.assertLess(self.work() - before, self.work_of_drawing(5_000))
        self.wait("document.getElementById('found').textContent === '10,000 of 10,000'", "all are found")
        self.js("document.getElementById('tree').scrollTo(0, 1e9)")
        daemons.wait_until(lambda: self.names()[-1:] == ["metric9999"], "the last row")
        daemons.wait_until(lambda: self.rows()[-1][1] == "9,999", "the last row's value")
        self.assertLess(self.js("document.querySelectorAll('*').length"), 2500)
        # One request a scan, however many plots and rows; and one where rows came into sight, which on a slow machine may
        # be still to come. The page itself stops counting: until we could, there would be further scans.
        glances, asked, seconds = self.browser.execute_async_script(
            """const done = arguments[0], began = performance.now(); let scans = 0; let glances = 0;
            performance.clearResourceTimings();
            mmash.live.addEventListener("values", ({detail}) => {
              if (detail.glance) ++glances;
              else if (++scans === 20) done([glances, performance.getEntriesByType("resource").map((one) => one.name.slice(location.origin.length)), (performance.now() - began) / 1000]);
            });"""
        )
        values = [path for path in asked if path.startswith("/live/values?")]
        self.assertLess(glances, 10)
        self.assertLessEqual(len(values), 22 + glances)
        # And every other second one for the processes, however long a scan takes.
        self.assertLessEqual(len(asked), 24 + glances + seconds / 2)
        self.assertLess(max(map(len, asked)), 8000)
        # What is out of sight is forgotten, and what is in sight is little.
        self.assertLess(self.js("mmash.history.tracked"), 150)
        for top in range(0, 200_000, 20_000):
            self.js("document.getElementById('tree').scrollTo(0, arguments[0])", top)
            self.browser.execute_async_script("requestAnimationFrame(() => arguments[0]())")
        self.wait("mmash.history.tracked < 150", "history of rows in sight and plots alone")

    def test_it_says_calmly_that_the_server_is_gone_and_recovers_with_its_history(self):
        file = self.publish("app", writer.counter("requests", 1000), writer.gauge("level", 1.0))
        self.serve()
        self.view("rate=200&history=1000&plot=auto;counter:requests&plot=auto;gauge:level")
        daemons.wait_until(lambda: len(self.points(1)) > 5, "some history")
        before = self.points(1)[0]
        self.stop_serving()
        self.wait("mmash.live.state === 'lost'", "the page sees it")
        self.wait("!document.getElementById('notice').hidden && document.getElementById('notice').textContent.includes('does not answer')", "and says it")
        # The new server knows another series first, so that ids are others; and its totals have nothing to do
        # with those before.
        self.publish("a-first", writer.gauge("another", 7))
        file.set("requests", 50_000)
        file.set("level", 2.0)
        port = self.mmash.port
        self.start(Mmash(self.folder, [os.path.join(self.folder, "*.mmstats")], port))
        self.wait("mmash.live.state === 'live'", "it goes on by itself")
        daemons.wait_until(lambda: self.last(1) == 2.0, "new values")
        self.assertEqual(self.points(1)[0], before)
        self.assertTrue(self.js("document.getElementById('notice').hidden"))
        self.assertEqual([value for _, value in self.points(0) if value != 0], [])
        daemons.wait_until(lambda: "another" in self.names(), "the new series")

    def test_rates_and_values_are_exact_beyond_the_doubles_whole_numbers(self):
        start = 2**64 - 1_000_000
        file = self.publish("app", writer.counter("huge", start))
        self.serve()
        self.view("rate=50&history=1000&plot=auto;counter:huge")
        daemons.wait_until(lambda: len(self.points()) > 2, "the first rates")
        self.assertEqual({value for _, value in self.points()}, {0})
        file.incr("huge", 7)
        daemons.wait_until(lambda: self.js("String(mmash.history.track('counter:huge').latest)") == str(start + 7), "every digit")
        daemons.wait_until(lambda: any(value > 0 for _, value in self.points()) and self.last() == 0, "a rate")
        self.assertAlmostEqual(self.counted(), 7, delta=0.001)
        title = "[...document.querySelectorAll('#tree .row .value')].map((cell) => cell.title)"
        daemons.wait_until(lambda: f"{start + 7:,}" in self.js(title), "every digit where one points at the number")

    def test_values_that_end_leave_a_gap_and_the_page_tells(self):
        file = self.publish("app", writer.gauge("level", 1.0))
        self.publish("rest", writer.counter("requests", 1))
        self.serve()
        self.view("rate=50&plot=value;gauge:level")
        daemons.wait_until(lambda: self.last() == 1.0, "a value")
        os.unlink(file.path)
        daemons.wait_until(lambda: ["level", "–", ""] in self.rows(), "no value any more")
        self.assertTrue(all(value == 1.0 for _, value in self.points()))

    def test_a_page_out_of_sight_asks_rarely_and_without_plots_not_at_all(self):
        self.publish("app", writer.gauge("level", 1.0))
        self.serve()
        self.view("rate=50")
        # What a browser tells a page in a tab behind another one.
        hide = "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true}), document.dispatchEvent(new Event('visibilitychange'))"
        self.js(hide, True)
        self.wait("mmash.live.state === 'away'", "nobody looks")
        requests = self.js("mmash.live.requests")
        self.browser.execute_async_script("setTimeout(arguments[0], 300)")  # as above
        self.assertEqual(self.js("mmash.live.requests"), requests)
        self.js(hide, False)
        self.wait("mmash.live.state === 'live'", "somebody looks")
        self.wait(f"mmash.live.requests > {requests} + 3", "at the rate again")

    def test_an_empty_page_tells_where_it_looks(self):
        self.serve()
        self.view("rate=50")
        self.wait("document.getElementById('no-series').checkVisibility()", "the advice")
        self.wait("document.getElementById('paths').textContent !== ''", "the processes' answer")
        self.assertEqual(self.js("document.getElementById('paths').textContent"), f"{self.folder}/*.mmstats")
        self.assertEqual(self.js("document.title"), f"{socket.gethostname()} · mmash")
        self.picture("empty")
        self.publish("app", writer.gauge("level", 1.0))
        self.wait("mmash.live.series.length === 1 && !document.getElementById('no-series').checkVisibility()", "it finds what comes later")

    def test_light_and_dark_follow_the_system_and_the_switch_and_can_be_read(self):
        self.publish("app", writer.counter("web.requests", 5), writer.gauge("web.time.p50", 0.01))
        self.serve()
        contrast = """(() => {
          const style = getComputedStyle(document.documentElement);
          const light = (name) => {
            const [r, g, b] = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/g).map((hex) => parseInt(hex, 16) / 255)
              .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = ["--ink", "--soft", "--muted", "--accent", "--bad"].flatMap((ink) => ["--panel", "--ground", "--raised"].map((paper) => [ink, paper, 4.5]));
          pairs.push(["--accent", "--accent-soft", 4.5], ["--ink", "--accent-soft", 4.5], ["--bad", "--bad-soft", 4.5]);
          for (let at = 0; at < 8; at++) pairs.push([`--series-${at}`, "--panel", 3]);
          // Borders of controls, the pointer's line, and the line of all others.
          for (const paper of ["--panel", "--ground", "--raised"]) pairs.push(["--edge", paper, 3]);
          pairs.push(["--hairline", "--panel", 3], ["--rest", "--panel", 3]);
          // A single value can be told from none, and each level from the one below.
          pairs.push(["--heat-0", "--panel", 1.5], ["--heat-5", "--panel", 7]);
          for (let at = 1; at < 6; at++) pairs.push([`--heat-${at}`, `--heat-${at - 1}`, 1.25]);
          return pairs.map(([ink, paper, least]) => {
            const [dim, bright] = [light(ink), light(paper)].sort((a, b) => a - b);
            return [ink, paper, (bright + 0.05) / (dim + 0.05), least];
          }).filter(([, , ratio, least]) => ratio < least);
        })()"""
        pictures = {}
        ground = "getComputedStyle(document.body).backgroundColor"
        for scheme in ("light", "dark"):
            self.media(scheme)
            self.view("rate=100&history=1000&open=web&plot=auto;counter:web.requests&plot=auto;gauge:web.time.p50")
            daemons.wait_until(lambda: len(self.points(1)) > 3, "some values")
            self.assertEqual(self.js(contrast), [], scheme)
            edges = "new Set([...document.querySelectorAll('.bar button:not(#problems), .bar input, #search, .family-tools select')].map((one) => getComputedStyle(one).borderTopColor))"
            edge = "getComputedStyle(Object.assign(document.body.appendChild(document.createElement('i')), {style: 'color: var(--edge)'})).color"
            self.assertEqual(self.js(f"[...{edges}]"), [self.js(edge)])
            pictures[scheme] = self.picture(scheme), self.js(ground)
        self.assertNotEqual(pictures["light"], pictures["dark"])
        self.press("t")  # system -> light, and kept
        self.wait(f"{ground} === {json.dumps(pictures['light'][1])}", "light where the system is dark")
        self.browser.refresh()
        self.wait(f"globalThis.mmash && {ground} === {json.dumps(pictures['light'][1])}", "still light")

    def test_a_phone_shows_all_of_it_without_scrolling_aside(self):
        self.publish("app", writer.counter("web.requests", 5), writer.gauge("x" * 300, 0.01))
        self.serve()
        self.size(390, 844)
        self.view("rate=100&plot=auto;counter:web.requests")
        daemons.wait_until(lambda: len(self.points()) > 3, "some values")
        self.assertLessEqual(self.js("document.documentElement.scrollWidth"), 390)
        self.picture("phone")

    def test_numbers_are_written_for_people(self):
        self.serve()
        self.view(wait_for=None)
        for value, unit, options, want in (
            (0, "", {}, "0"),
            (12.3456, "", {}, "12.3"),
            (1234567, "", {}, "1,234,567"),
            (-1500.4, "", {}, "−1,500"),
            (2500000000, "", {}, "2.5 G"),
            (0.000123, "", {}, "0.000123"),
            (1e-9, "", {}, "1.00e-9"),
            (1.8446744e19, "", {}, "1.84e19"),
            (999, "bytes", {}, "999 B"),
            (999.9, "bytes", {}, "1 kB"),
            (1536, "bytes", {}, "1.54 kB"),
            (999999, "bytes", {}, "1 MB"),
            (2.5e9, "bytes", {"perSecond": True}, "2.5 GB/s"),
            (0.0421, "seconds", {}, "42.1 ms"),
            (0.0000421, "seconds", {}, "42.1 µs"),
            (0.9999, "seconds", {}, "1,000 ms"),
            (90, "seconds", {}, "90 s"),
            (5400, "seconds", {}, "1.5 h"),
            (200000, "seconds", {}, "2.31 d"),
            (0.5, "seconds", {"perSecond": True}, "0.5 s/s"),
            (42.5, "percent", {}, "42.5%"),
            (3, "a very long unit", {}, "3 a very long…"),
            (float("nan"), "bytes", {}, "–"),
        ):
            said = self.imported("format.js", "m.inWords(args[0] ?? NaN, args[1], args[2])", None if value != value else value, unit, options)
            self.assertEqual(said.replace("\u202f", " "), want, (value, unit, options))
        for ids, want in (([], ""), ([0], "0"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8")):
            self.assertEqual(self.imported("live.js", "m.idRanges(args[0])", ids), want)
        # Ids without neighbours: no list is longer than a URL may be, and none gets lost.
        ids = list(range(100_000, 130_000, 2))
        lists = self.imported("live.js", "m.batches(args[0]).map((ids) => [m.idRanges(ids).length, ids])", ids)
        self.assertLess(max(length for length, _ in lists), 7001)
        self.assertEqual([one for _, part in lists for one in part], ids)


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
