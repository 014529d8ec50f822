"""Series by process on mmash's page, in a real browser: which worker is sick, and that one alone."""

import os
import subprocess
import time
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import PageTest, label_key
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


class MmashProcessTest(PageTest):
    def process(self):
        """One that lives until the test ends, or ends earlier."""
        process = subprocess.Popen(["sleep", "infinity"])

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def workers(self, count, command="gunicorn"):
        """[(process, its file)], each with requests, a queue and a histogram."""
        made = []
        for _ in range(count):
            process = self.process()
            fields = [
                writer.counter("web.requests", 100),
                writer.gauge("web.queue", 2.0),
                *writer.distribution("web.latency", [0.01], powers=(-1, 1)),
                writer.text("sys.metadata", "web.requests\tcounter\t\tRequests that were answered\n", 200),
            ]
            file = self.publish(f"{command}-{process.pid}", *fields, pid=process.pid, created=time.time() + 1)
            made.append((process, file))
        return made

    def legend(self, plot=0):
        """[name, value] of each line, in the order in which they are shown; the last one is what there is to say."""
        return self.js(
            """[...mmash.plots.plots[arguments[0]].element.querySelectorAll(".legend li")]
            .map((line) => [line.querySelector(".line-name")?.textContent ?? line.textContent, line.querySelector(".line-value")?.textContent ?? ""])""",
            plot,
        )

    def names(self, plot=0):
        return [name for name, _ in self.legend(plot)[:-1]]

    def processes(self):
        """(command, pid) of each row of the list, in order."""
        return self.js(
            """[...document.querySelectorAll("#processes .sizer .row:not([hidden])")].sort((a, b) => a.dataset.at - b.dataset.at)
            .map((row) => [row.querySelector(".command").textContent, row.querySelector(".pid").textContent])"""
        )

    def choose(self, pid):
        self.wait(f"[...document.querySelectorAll('#processes .sizer .row:not([hidden]) .pid')].some((one) => one.textContent === '{pid}')", "its row")
        self.js(f"[...document.querySelectorAll('#processes .sizer .row:not([hidden])')].find((row) => row.querySelector('.pid').textContent === '{pid}').click()")

    def chip(self):
        return self.js("document.getElementById('only').hidden ? '' : document.getElementById('only').textContent")

    def keep_working(self, workers, sick, quick=1, slow=50):
        for at, (_, file) in enumerate(workers):
            file.incr("web.requests", slow if at == sick else quick)
            file.set("web.queue", 40.0 if at == sick else 2.0 + at)
            file.add("web.latency", [2.5 if at == sick else 0.5])

    def test_the_worst_of_many_workers_is_named_first_by_its_rate_its_gauge_and_its_histogram(self):
        workers = self.workers(12)
        sick = 7
        name = f"gunicorn {workers[sick][0].pid}"
        self.serve()
        self.view("rate=100&open=web")
        # By the key in the tree, and by the button of a plot.
        self.wait("mmash.live.series.length > 2", "series")
        self.js("mmash.tree.restore(['web'], '')")
        self.js("document.getElementById('tree').focus()")
        row = self.js("[...document.querySelectorAll('#tree .sizer .row:not([hidden])')].findIndex((row) => row.querySelector('.text').textContent === 'requests')")
        self.assertGreaterEqual(row, 0)
        daemons.wait_until(lambda: "requests" in [one[0] for one in self.rows()], "the row of the counter")
        self.press(Keys.HOME)
        for _ in range(20):
            if self.js("document.querySelector('#detail .label').textContent") == "web.requests":
                break
            self.press(Keys.ARROW_DOWN)
        self.press("b")
        self.wait("mmash.plots.plots.length === 1 && location.hash.includes('byprocess=auto;counter:web.requests')", "the plot, which is in the link")
        self.js("mmash.plots.add({ keys: ['gauge:web.queue'] })")
        self.browser.find_element(By.CSS_SELECTOR, "#plots .plot:nth-child(2) .mode[title^='Show each process']").click()
        # Names keep their places under a pointer.
        ActionChains(self.browser).move_to_element(self.browser.find_element(By.ID, "host")).perform()
        self.js("mmash.plots.showByProcess('histogram:web.latency')")
        self.js("mmash.plots.remove(mmash.plots.plots[1])")

        def worst():
            self.keep_working(workers, sick)
            return [self.names(plot)[:1] for plot in range(3)] == [[name]] * 3

        daemons.wait_until(worst, "the sick one is the first of all three")
        self.assertEqual(self.js("mmash.plots.plots.map((plot) => plot.element.querySelector('.plot-title').textContent)"),
                         ["web.requests by process", "web.queue by process", "web.latency by process"])
        # Eight have a line, and the others one together, which is the last.
        self.assertEqual([len(self.names(plot)) for plot in range(3)], [9, 9, 9])
        self.assertEqual([self.names(plot)[-1] for plot in range(3)], ["other"] * 3)
        self.assertIn("12 processes", self.legend()[-1][0])
        # Together they are what the series is.
        sums = """((plot, key) => {
          const { history } = mmash, row = plot.rows[plot.rows.length - 1], slot = history.order().find((slot) => history.timeAt(slot) * 1000 === row[0]);
          return [row.slice(1).reduce((sum, one) => sum + one, 0), history.track(key).values[slot]];
        })(mmash.plots.plots[0], "counter:web.requests")"""
        self.js("mmash.plots.plots[0].element.querySelector('.modes .mode:nth-child(2)').click()")
        self.wait_for_drawing()
        # One of them is asked a moment later; but nothing comes any more.
        daemons.wait_until(lambda: len(set(self.js(sums))) == 1, "the processes' sum is that of the series")
        self.js("mmash.plots.plots[0].element.querySelector('.modes .mode:nth-child(1)').click()")
        # Where a small value is the bad one.
        slowest = f"gunicorn {workers[0][0].pid}"
        self.js("((order) => { order.value = 'least'; order.dispatchEvent(new Event('change')); })(mmash.plots.plots[1].element.querySelector('[aria-label=\"Which come first\"]'))")

        def least():
            self.keep_working(workers, sick)
            return self.names(1)[:1] == [slowest]

        daemons.wait_until(least, "the one with the least is the first")
        self.wait("location.hash.includes('byprocess=auto;gauge:web.queue;order=least')", "the order is in the link")
        for theme in ("light", "dark"):
            self.media(theme)
            for _ in range(20):
                self.keep_working(workers, sick)
                self.wait_for_drawing()
            self.picture(f"by-process-{theme}")
        # The link is the view.
        self.browser.refresh()
        self.wait("globalThis.mmash?.plots.plots.length === 3 && mmash.live.state === 'live'", "the view is back")
        daemons.wait_until(least, "the one with the least is the first again")
        self.assertEqual(self.js("mmash.plots.plots.map(({ plain }) => [plain.byProcess, plain.family, plain.least])"),
                         [[True, "counter:web.requests", False], [True, "gauge:web.queue", True], [True, "histogram:web.latency", False]])

    def test_one_request_a_tick_asks_for_the_plots_in_sight(self):
        self.workers(3)
        self.serve()
        plots = "&".join(f"byprocess=auto;{key}" for key in ("counter:web.requests", "gauge:web.queue", "histogram:web.latency"))
        self.view(f"rate=100&{plots}")
        self.js("""(() => {
          const before = globalThis.fetch;
          globalThis.asked = [];
          globalThis.fetch = (path, ...more) => { asked.push(String(path)); return before(path, ...more); };
        })()""")
        ask = lambda: self.js("asked.splice(0)")
        ids = lambda: self.js("mmash.plots.plots.filter((plot) => plot.inSight).map((plot) => mmash.live.find(plot.plain.family).id).sort((a, b) => a - b)")
        self.wait("mmash.plots.plots.every((plot) => plot.rows.length > 2)", "all of them are drawn")
        ask()
        self.wait("asked.filter((path) => path.startsWith('/live/by_process')).length > 3", "more ticks")
        paths = ask()
        by_process = [path for path in paths if path.startswith("/live/by_process")]
        self.assertLessEqual(abs(len(by_process) - sum(path.startswith("/live/values") for path in paths)), 1)
        self.assertEqual(len(ids()), 3)
        # None is in sight.
        self.size(1400, 300)
        self.js("document.getElementById('plots').style.paddingTop = '5000px'")
        self.wait("mmash.plots.plots.every((plot) => !plot.inSight)", "no plot is in sight")
        self.wait("(asked.splice(0), true)", "what was under way")
        self.wait("asked.filter((path) => path.startsWith('/live/values')).length > 4", "more ticks")
        self.assertEqual([path for path in ask()[2:] if path.startswith("/live/by_process")], [])

    def test_what_is_known_by_process_outlives_other_ids_and_other_names_of_a_series(self):
        self.serve()
        self.view(wait_for=None)
        told = self.imported(
            "by_process.js",
            """(async () => {
              const { sourcesOf } = await import("/static/means.js");
              let series = { key: "counter:a", label: "a", kind: "counter", unit: "", help: "", id: 3 };
              const byProcess = new m.ByProcess({ wanted: () => ["gauge:a"], find: () => series, slots: () => 10 });
              const answer = (epoch, ...pids) => JSON.stringify({ epoch, time: 1, processes: pids.map((pid) => ({ id: `${pid}.1`, command: "web", pid, state: "alive", values: [pid] })) });
              const asked = () => byProcess.family("gauge:a").members.map((one) => [one.byProcess.id, ...sourcesOf(one).map(({ id }) => id)]);
              await byProcess.ask(async () => answer("first", 1, 2), "first");
              const first = asked();
              await byProcess.ask(async () => answer("first", 1), "first"); // the other one has ended
              series = { ...series, id: 7 };
              const again = asked();
              await byProcess.ask(async () => answer("second", 1), "second");
              return [first, again, asked()];
            })()""",
        )
        self.assertEqual(told, [[["1.1", 3], ["2.1", 3]], [["1.1", 7], ["2.1", 7]], [["1.1", 7], ["2.1", 7]]])

    def test_a_longer_range_takes_nothing_that_the_page_alone_has_seen(self):
        workers = self.workers(2)
        self.serve("--history-interval", "0.1", os.path.join(self.folder, "*.mmstats"))
        key = label_key("web.requests")
        for plot, only in ((f"plot=value;{key}", workers[0][0].pid), (f"byprocess=value;{key}", None)):
            self.view(f"rate=100&history=10&{plot}")
            self.wait("mmash.past.interval !== null", "the server has a past")
            if only is not None:
                self.choose(only)
                self.wait("location.hash.includes('only=')", "it is chosen")
            self.wait("mmash.history.length === 10 && mmash.plots.plots[0].rows.length === 10", "the short one is full")
            had = len(self.points())  # a machine that stood still leaves gaps
            seen = self.js("""((input) => {
              input.value = 2000;
              input.dispatchEvent(new Event("change"));
              return mmash.history.now;
            })(document.getElementById("rate"))""")
            self.wait(f"mmash.history.now > {seen} + 1", "it goes on")
            self.wait_for_drawing()
            self.assertGreaterEqual(len([when for when, _ in self.points() if when <= seen]), had - 2, plot)

    def test_a_process_that_ends_is_marked_and_keeps_its_line(self):
        (first, one), (_, other) = self.workers(2)
        self.serve()
        self.view("rate=100&history=1000&byprocess=value;counter:web.requests&byprocess=auto;gauge:web.queue")
        name = f"gunicorn {first.pid}"
        one.set("web.requests", 700)
        daemons.wait_until(lambda: [name, "700"] in self.legend(), "its value")
        colour = "[...document.querySelectorAll('#plots .plot:first-child .legend li')].find((line) => line.textContent.startsWith(arguments[0])).querySelector('.swatch').className"
        before = self.js(colour, name)
        first.kill()
        first.wait()
        one.close()  # nobody maps it
        daemons.wait_until(lambda: [f"{name} (ended)", "700"] in self.legend(), "it is marked, and what it counted stays")
        self.assertEqual(self.js(colour, name), before)
        daemons.wait_until(lambda: [line[1] for line in self.legend(1) if line[0].startswith(name)] in (["–"], [""]), "its gauge has no value")
        # Its file goes, too: what was seen of it stays in the plot until that is out of the window.
        os.unlink(one.path)
        self.wait("mmash.plots.plots[0].rows.length > 3", "rows")
        self.assertIn(f"{name} (ended)", self.names())

    def test_a_gauge_says_that_its_processes_have_ended(self):
        ((process, file),) = self.workers(1)
        self.publish("alive", writer.gauge("web.other", 1.0), writer.gauge("web.none", float("nan")))
        self.serve()
        self.view("rate=100&open=web&plot=auto;gauge:web.queue")
        daemons.wait_until(lambda: ["queue", "2", ""] in self.rows(), "its value")
        process.kill()
        process.wait()
        file.close()
        daemons.wait_until(lambda: ["queue", "ended", ""] in self.rows(), "the row says so")
        self.assertNotIn(["none", "ended", ""], self.rows())
        self.wait("document.querySelector('#plots .line-facts').textContent.includes('its processes have ended')", "and the plot")
        at = [row[0] for row in self.rows()].index("queue")
        self.js("document.getElementById('tree').focus()")
        self.press(Keys.HOME, *[Keys.ARROW_DOWN] * at)
        self.wait("document.querySelector('#detail .facts').textContent.includes('its processes have ended')", "and the details")
        self.picture("ended")

    def test_a_click_on_a_process_filters_everything_by_it(self):
        workers = self.workers(4)
        for at, (_, file) in enumerate(workers):
            file.set("web.requests", 1000 * (at + 1))
            file.set("web.queue", 10.0 + at)
        self.publish("alone", writer.counter("job.done", 5))
        self.serve()
        key = label_key("web.requests")
        self.view(f"rate=100&open=web&plot=value;{key}&plot=auto;gauge:web.queue&byprocess=value;{key}")
        daemons.wait_until(lambda: self.last() == 10000 and self.last(1) == 11.5, "the sums")
        self.js("document.getElementById('tree').focus()")
        self.press(Keys.HOME, *[Keys.ARROW_DOWN] * [row[0] for row in self.rows()].index("requests"))
        facts = "document.querySelector('#detail .facts').textContent"
        self.wait(f"{facts}.includes('what files held when mmash began, and all since')", "which total it is")
        pid = workers[2][0].pid
        self.choose(pid)
        self.wait(f"{facts}.includes('what its files hold now')", "which one it is of a process")
        daemons.wait_until(lambda: self.last() == 3000 and self.last(1) == 12, "the plots are of this one")
        self.assertEqual({value for _, value in self.points()}, {3000})
        daemons.wait_until(lambda: {"requests", "queue"} <= {one[0] for one in self.rows()} and ["queue", "12", ""] in self.rows(), "so is the tree")
        self.assertEqual(self.chip(), f"only gunicorn {pid} ×")
        daemons.wait_until(lambda: self.names(2) == [f"gunicorn {pid}"], "and the plot by process")
        self.assertEqual(self.js("[...document.querySelectorAll('#processes .row.chosen .pid')].map((one) => one.textContent)"), [str(pid)])
        self.wait(f"location.hash.includes('only={pid}.')", "it is in the link")
        for theme in ("light", "dark"):
            self.media(theme)
            self.wait_for_drawing()
            self.picture(f"filtered-{theme}")
        self.browser.refresh()
        self.wait("globalThis.mmash?.live.state === 'live'", "the view is back")
        daemons.wait_until(lambda: self.last() == 3000 and self.chip() == f"only gunicorn {pid} ×", "it is still this one")
        # Escape, the button, and the row again take it away.
        self.press(Keys.ESCAPE)
        daemons.wait_until(lambda: self.last() == 10000 and self.chip() == "", "the sum again")
        self.wait("!location.hash.includes('only=')", "it is not in the link")
        self.js("document.getElementById('processes').focus()")
        self.press(Keys.HOME, Keys.ENTER)
        daemons.wait_until(lambda: self.chip() != "", "another one, by its key")
        self.browser.find_element(By.ID, "only").click()
        daemons.wait_until(lambda: self.chip() == "" and self.last() == 10000, "the sum again")
        self.choose(pid)
        daemons.wait_until(lambda: self.last() == 3000, "this one")
        # In a pause there would be nothing of it.
        self.press(Keys.ESCAPE)
        self.press("p")
        self.wait("mmash.live.state === 'paused'", "it stands")
        self.choose(pid)
        self.wait("mmash.live.state === 'live'", "it goes on")
        daemons.wait_until(lambda: self.last() == 3000, "this one")
        # One that ends, and one that is gone, say so.
        process, file = workers[2]
        process.kill()
        process.wait()
        file.close()
        daemons.wait_until(lambda: self.chip() == f"only gunicorn {pid}, which has ended ×", "it has ended")
        os.unlink(file.path)
        daemons.wait_until(lambda: self.chip() == f"only gunicorn {pid}, which is gone ×", "it is gone")
        self.view("rate=100&only=1.1")
        daemons.wait_until(lambda: self.chip() == "only process 1, which is gone ×", "a link to nobody says so")
        self.view("rate=100&only=%3Cscript%3E")
        self.assertEqual(self.chip(), "")

    def test_what_tells_names_apart_is_not_cut_and_the_bar_stays_together(self):
        workers = self.workers(2, command="a_command_with_a_name_that_is_too_long_for_a_line_of_the_legend")
        self.publish("queue", *writer.family("web.responses", ("status",), {("200",): 1}, "counter", "responses"))
        self.publish("unit", writer.gauge("web.waiting", 1.0), writer.text("sys.metadata", "web.waiting\tgauge\trequests\tWaiting\n", 200))
        self.publish("broken", writer.counter("web.broken", 1))
        with open(os.path.join(self.folder, "broken.mmstats"), "r+b") as file:
            file.write(b"\x77")
        self.size(1280, 800)
        self.serve()
        self.view("rate=2000&open=web&byprocess=auto;counter:web.requests&family=auto;counter:web.responses{status}responses;by=status&plot=auto;gauge:web.queue&plot=auto;counter:web.requests")
        self.wait("document.querySelectorAll('#plots .name-end').length === 2", "both lines")
        ends = self.js("[...document.querySelectorAll('#plots .name-end')].map((end) => [end.textContent, end.getBoundingClientRect().right <= end.closest('.line-toggle').getBoundingClientRect().right])")
        self.assertEqual(sorted(ends), sorted([f" {process.pid}", True] for process, _ in workers))
        self.assertEqual(self.js("[...document.querySelectorAll('.plot-title')].filter((title) => title.scrollWidth > title.clientWidth).map((title) => title.textContent)"), [])
        self.assertIn("web.responses by status", self.js("[...document.querySelectorAll('.plot-title')].map((title) => title.textContent)"))
        self.wait("[...document.querySelectorAll('#tree .unit')].some((unit) => unit.textContent === 'requests')", "a long unit")
        # No half of a word beside a number.
        self.assertEqual(self.js("[...document.querySelectorAll('#tree .unit')].filter((unit) => getComputedStyle(unit).clipPath === 'none' && unit.scrollWidth > unit.clientWidth).map((unit) => unit.textContent)"), [])
        fits = """((select) => {
          const pen = document.createElement("canvas").getContext("2d");
          pen.font = getComputedStyle(select).font;
          return pen.measureText(select.selectedOptions[0].text).width < select.clientWidth - 12;
        })(document.getElementById("range"))"""
        self.assertTrue(self.js(fits), "all of the range is seen")
        self.assertEqual(self.js("[...document.querySelectorAll('#settings input')].filter((input) => input.scrollWidth > input.clientWidth).map(({ id }) => id)"), [])
        self.choose(workers[0][0].pid)
        self.wait("!document.getElementById('only').hidden && !document.getElementById('problems').hidden", "all that may be in the bar")
        middles, right = self.js(
            "[['settings', 'pause', 'help'].map((id) => { const { top, bottom } = document.getElementById(id).getBoundingClientRect(); return Math.round((top + bottom) / 2); }), innerWidth - document.getElementById('help').getBoundingClientRect().right]"
        )
        self.assertLessEqual(max(middles) - min(middles), 1)
        self.assertLess(right, 40)

    def test_processes_are_sorted_by_their_heads(self):
        workers = self.workers(3)
        pids = sorted(process.pid for process, _ in workers)
        self.publish(f"gunicorn-{pids[1]}-more", writer.counter("hits"), pid=pids[1], created=time.time() + 1)
        self.publish("another", writer.counter("hits"), with_sys=False)
        self.serve()
        self.view("rate=100")
        daemons.wait_until(lambda: len(self.processes()) == 4, "all of them")
        # Those that live first, by name and pid.
        usual = [["gunicorn", str(pid)] for pid in pids] + [["another", "–"]]
        self.assertEqual(self.processes(), usual)
        head = lambda name: self.browser.find_element(By.CSS_SELECTOR, f"#processes .heading .{name} button")
        sort = lambda name: self.js(f"document.querySelector('#processes .heading .{name}').getAttribute('aria-sort')")
        head("command").click()
        self.assertEqual(self.processes(), [usual[3], *usual[:3]])
        self.assertEqual(sort("command"), "ascending")
        head("command").click()
        self.assertEqual(self.processes()[-1], usual[3])
        self.assertEqual(sort("command"), "descending")
        head("files").click()
        self.assertEqual((self.processes()[0], sort("command")), (usual[1], None))
        head("pid").click()
        head("pid").click()
        self.assertEqual(self.processes(), [*reversed(usual[:3]), usual[3]])
        # It stays so at the next look; a head chooses no process.
        self.wait("(globalThis.looks ??= mmash.live.requests) && mmash.live.requests > looks + 30", "more looks")
        self.assertEqual(self.processes(), [*reversed(usual[:3]), usual[3]])
        self.assertEqual(self.chip(), "")

    def test_where_a_sum_and_a_count_are_there_the_mean_of_each_interval_is_a_series_too(self):
        file = self.publish("app", writer.counter("job.time.sum", 500), writer.counter("job.time.count", 100), writer.counter("job.other.count", 1), with_sys=False)
        self.publish("told", *writer.distribution("job.latency", [0.5]), writer.counter("job.latency.sum", 1), with_sys=False)
        self.serve()
        self.view("rate=100&open=job&open=job.time&open=job.latency&plot=auto;mean:job.time")
        daemons.wait_until(lambda: "mean" in [row[0] for row in self.rows()], "the row beside sum and count")
        # Not where a histogram tells more.
        self.assertEqual(self.js("mmash.live.means.map((one) => one.label)"), ["job.time.mean"])
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused'", "it stands")
        file.incr("job.time.sum", 60)
        file.incr("job.time.count", 3)
        seen = lambda: {round(value, 6) for _, value in self.points()}
        before = seen()
        self.js("(mmash.live.paused = false)")
        daemons.wait_until(lambda: seen() - before == {20}, "what came to 20 each")
        # Where nothing was counted there is no mean.
        daemons.wait_until(lambda: [row for row in self.rows() if row[0] == "mean" and row[1] == "–"], "no value in the next interval")
        self.assertEqual(seen(), {20})
        self.wait("location.hash.includes('plot=auto;mean:job.time')", "it is in the link")
        self.js("document.getElementById('tree').focus()")
        self.js("(globalThis.before = mmash.plots.plots.length)")
        self.press(Keys.HOME, *[Keys.ARROW_DOWN] * [row[0] for row in self.rows()].index("mean"), "b")
        self.assertEqual(self.js("mmash.plots.plots.length - before"), 0)

    def test_names_of_processes_are_text_and_break_no_answer(self):
        evil = '<img src=x onerror="document[`title`]=1">, 12345678901234567890, "x'.replace("/", "")
        self.publish(evil, writer.counter("hits", 2**60 + 1), with_sys=False)
        self.publish("good", writer.counter("hits", 2**60 + 2), with_sys=False)
        self.serve()
        self.view("rate=100&byprocess=value;counter:hits")
        daemons.wait_until(lambda: sorted(self.names()) == sorted([evil, "good"]), "both")
        self.choose("–")
        self.wait("document.getElementById('only').textContent.startsWith('only ')", "one of them")
        daemons.wait_until(lambda: len(self.names()) == 1, "it alone")
        self.assertEqual(self.js("[document.querySelectorAll('main img').length, mmash.live.state]"), [0, "live"])


if __name__ == "__main__":
    unittest.main()
