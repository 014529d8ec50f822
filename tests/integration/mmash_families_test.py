"""Families of metrics on mmash's page, in a real browser: one row, and plots by a dimension."""

import json
import unittest
import urllib.parse

import daemons
import mmstats_writer as writer
from mmash_browser import PageTest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.keys import Keys

METHODS = ("GET", "PUT")
RESPONSES = "counter:web.responses{method,status}responses"


def responses(counts, help="Responses sent"):
    return writer.family("web.responses", ("method", "status"), counts, "counter", "responses", help)


class MmashFamiliesTest(PageTest):
    def legend(self, plot=0):
        """name -> value of each line, in order."""
        return dict(
            self.js(
                """[...mmash.plots.plots[arguments[0]].element.querySelectorAll(".legend li:not(.facts-line)")]
                .map((line) => [".line-name", ".line-value"].map((part) => line.querySelector(part).textContent.replaceAll("\u202f", " ")))""",
                plot,
            )
        )

    def facts(self, plot=0):
        return self.js("mmash.plots.plots[arguments[0]].element.querySelector('.facts-line').textContent", plot)

    def control(self, label, plot=0):
        return self.js("mmash.plots.plots[arguments[0]].element.querySelector(`[aria-label$=\"${arguments[1]}\"]`)", plot, label)

    def test_a_family_is_one_row_that_opens_to_its_combinations(self):
        self.publish("app", *responses({("GET", "200"): 1, ("GET", "9"): 2, ("PUT", "10"): 3, ("PUT", ""): 4}), writer.counter("web.requests", 9))
        self.serve()
        self.view("rate=100&open=web")
        daemons.wait_until(lambda: self.names()[-2:] == ["requests", "responses4 by method, status"][:1] + ["responses"], "its row")
        row = self.js("[...document.querySelectorAll('#tree .row.branch')].find((row) => row.textContent.startsWith('responses')).textContent")
        self.assertEqual(row, "responses4 by method, status")
        # By the keyboard alone: to the row, open it, and close it again.
        self.js("document.querySelector('#tree').focus()")
        self.press(Keys.END)
        self.wait("document.querySelector('#detail .plot-it').textContent === 'Plot by method'", "its details")
        self.assertEqual(self.js("document.querySelector('#detail .help').textContent"), "Responses sent")
        self.press(Keys.ENTER)
        want = ["GET · 9", "GET · 200", "PUT ·", "PUT · 10"]
        daemons.wait_until(lambda: [name.strip() for name in self.names()][-4:] == want, "combinations, by their values")
        self.wait(f"location.hash.includes('open={RESPONSES.replace('{', '%7B').replace('}', '%7D').replace(',', '%2C').replace(':', '%3A')}')", "the link has it open")
        self.press(Keys.END)
        self.wait("""document.querySelector('#detail .label').textContent === 'web.responses{method="PUT",status="10"}'""", "the details of one")
        self.assertEqual(self.rows()[-1][1], "3responses")
        self.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
        daemons.wait_until(lambda: self.names()[-1] == "responses", "it is closed")
        # Found by its values, too.
        self.press("/")
        self.press("method=put status=10")
        daemons.wait_until(lambda: self.names()[-1] == "PUT · 10", "one is found")
        self.assertEqual(self.js("document.querySelector('#found').textContent.split(' ')[0]"), "1")

    def test_a_family_is_plotted_grouped_filtered_and_limited_by_the_keyboard_alone(self):
        counts = {(method, str(status)): 1000 * at + status for at, method in enumerate(METHODS) for status in (200, 301, 404, 500)}
        file = self.publish("app", *responses(counts))
        self.serve()
        self.view("rate=200&history=1000&open=web")
        daemons.wait_until(lambda: "responses" in self.names(), "its row")
        self.js("document.querySelector('#tree').focus()")
        self.press(Keys.END)
        self.shift_enter()
        self.wait("mmash.plots.plots[0]?.dygraph != null", "its plot")
        self.assertEqual(self.js("mmash.plots.plots[0].element.querySelector('.plot-title').textContent"), "web.responses by method")
        self.assertEqual(list(self.legend()), ["GET", "PUT"])
        daemons.wait_until(lambda: self.legend() == {"GET": "0 /s", "PUT": "0 /s"}, "rates")
        # A rate is that of all its combinations: over all scans, rates times time are what was counted.
        for status, added in (("200", 100), ("404", 20), ("500", 3)):
            file.incr(f"web.responses.GET.{status}", added)
        file.incr("web.responses.PUT.200", 7)
        counted = lambda column: self.counted(column=column)
        daemons.wait_until(lambda: abs(counted(1) - 123) < 0.01 and abs(counted(2) - 7) < 0.01, "what was counted, by method")
        # By another dimension: what was seen is not lost.
        self.control("Grouped by").send_keys("status")
        daemons.wait_until(lambda: list(self.legend()) == ["200", "301", "404", "500"], "by status")
        daemons.wait_until(lambda: abs(counted(1) - 107) < 0.01 and abs(counted(3) - 20) < 0.01, "what was counted, by status")
        # Totals, and only some of them.
        self.js("mmash.plots.plots[0].element.querySelector('[title=\"Show the value\"]').focus()")
        self.press(Keys.ENTER)
        want = {"200": f"{counts['GET', '200'] + 100 + counts['PUT', '200'] + 7:,}", "301": f"{counts['GET', '301'] + counts['PUT', '301']:,}"}
        daemons.wait_until(lambda: {name: self.legend()[name] for name in want} == want, "totals")
        top = self.control("How many have a line of their own")
        top.send_keys(Keys.BACKSPACE * 3, "2", Keys.ENTER)
        daemons.wait_until(lambda: sorted(self.legend())[-1] == "other" and len(self.legend()) == 3, "the greatest two and the rest")
        self.assertEqual(set(self.legend()), {"404", "500", "other"})
        self.assertEqual(self.legend()["other"], f"{sum(counts[method, status] for method in METHODS for status in ('200', '301')) + 107:,}")
        self.assertIn("top 2 of 4", self.facts())
        # Filters: alternatives of one dimension, and what is not there is refused.
        self.control("Only of this dimension").send_keys("status")
        value = self.control("Only this value")
        value.send_keys("999", Keys.ENTER)
        self.assertFalse(self.js("arguments[0].validity.valid", value))
        value.send_keys(Keys.BACKSPACE * 3, "200", Keys.ENTER)
        daemons.wait_until(lambda: list(self.legend()) == ["200"], "one status")
        value.send_keys("301", Keys.ENTER)
        daemons.wait_until(lambda: sorted(self.legend()) == ["200", "301"], "two statuses")
        self.wait("location.hash.includes('where=status:200;where=status:301')", "the link has filters")
        link = self.js("location.hash")
        self.assertIn(";by=status;top=2;", link)
        self.assertIn("family=value;counter:web.responses", link)
        # A name of the legend narrows it to that; a filter is taken back by its button.
        self.js("mmash.plots.plots[0].element.querySelector('[aria-label=\"Show only status 301\"]').focus()")
        self.press(Keys.ENTER)
        daemons.wait_until(lambda: list(self.legend()) == ["301"], "one of them")
        self.js("mmash.plots.plots[0].element.querySelector('.chip').focus()")
        self.press(Keys.ENTER)
        daemons.wait_until(lambda: len(self.legend()) == 3, "all of them")
        # Letters typed into a control are no keys of the page.
        self.control("Grouped by").send_keys("p")
        self.assertFalse(self.js("mmash.live.paused"))
        # The link is such a view.
        self.view(link[1:])
        daemons.wait_until(lambda: sorted(self.legend()) == ["200", "301"], "the view of the link")
        self.assertEqual(self.js("[...mmash.plots.plots[0].element.querySelectorAll('.chip')].map((chip) => chip.textContent)"), ["status = 200 ×", "status = 301 ×"])

    def test_gauges_are_put_together_as_workers_are(self):
        self.publish("app", *writer.family("web.load", ("worker",), {("1",): 0.5, ("2",): 1.5}, "gauge"), *writer.family("web.queue", ("worker",), {("1",): 3, ("2",): 4}, "gauge"))
        self.serve()
        self.view("rate=100&family=auto;gauge:web.load{worker};by=&family=auto;gauge:web.queue{worker};by=")
        daemons.wait_until(lambda: self.legend(0) == {"all": "1"} and self.legend(1) == {"all": "7"}, "a mean of fractions, a sum of numbers")
        self.assertIn("average of the series", self.facts(0))
        self.assertIn("summed", self.facts(1))

    def test_families_that_share_all_but_their_unit_are_two(self):
        family = lambda worker, value, unit: writer.family("web.memory", ("worker",), {(worker,): value}, "gauge", unit)
        self.publish("plain", *family("1", 4, ""))
        self.publish("bytes", *family("2", 100, "bytes"))
        self.publish("percent", *family("3", 7, "% {x}"))
        self.serve()
        self.view("rate=100&open=web" + "".join(f"&family=value;gauge:web.memory{{worker}}{unit};by=" for unit in ("", "bytes", "%2525%2520%257Bx%257D", "none")))
        daemons.wait_until(lambda: [self.legend(at) for at in range(4)] == [{"all": "4"}, {"all": "100 B"}, {"all": "7"}, {}], "each by itself")
        self.assertEqual(self.names().count("memory"), 3)
        self.assertEqual(self.js("mmash.plots.plots[3].element.querySelector('.plot-title').textContent"), "web.memory")
        # The link names them so that they are found again.
        self.js("mmash.plots.clear()")
        self.js("[...new Set(mmash.live.series.map((one) => one.inFamily).filter(Boolean))].forEach((one) => mmash.plots.addFamily({family: one.key, by: '', mode: 'value'}))")
        daemons.wait_until(lambda: sorted(self.legend(at).get("all", "") for at in range(3)) == ["100 B", "4", "7"], "all three")
        self.wait("location.hash.split('family=').length === 4", "the link has them")
        self.browser.refresh()
        self.wait("globalThis.mmash?.plots.plots.length === 3", "the view is back")
        daemons.wait_until(lambda: sorted(self.legend(at).get("all", "") for at in range(3)) == ["100 B", "4", "7"], "they are those of the link")

    def test_series_that_share_a_name_are_told_apart_by_their_dimensions(self):
        self.serve()
        self.view("rate=100")
        told = [
            ("q.x", "counter", "q", {"a": "x"}),
            ("q.x", "counter", "q", {"b": "x"}),
            ("q.x", "counter", None, None),
            ("t.x", "histogram", "t", {"a": "x"}),
            ("t.x", "histogram", "t", {"b": "x"}),
            ("t.x.p99", "gauge", "t.p99", {"b": "x"}),
            ("t.x.p99", "gauge", "t.p99", {"a": "x"}),
            ("t.x.count", "counter", "t.count", {"c": "x"}),
            # Of a pattern that names the whole alone.
            ("u.x", "histogram", "u", {"a": "x"}),
            ("u.x.p50", "gauge", None, None),
        ]
        series = [{"id": at, "label": label, "kind": kind, "unit": "", "help": "", **({"family": family, "dimensions": dimensions} if family else {})} for at, (label, kind, family, dimensions) in enumerate(told)]
        found = self.browser.execute_async_script(
            """const [series, done] = arguments, ask = window.fetch;
            import('/static/live.js').then(({ Live }) => {
              window.fetch = async () => ({ ok: true, text: async () => JSON.stringify({ epoch: "1", series, processes: [] }) });
              const live = new Live(() => [], () => false);
              live.addEventListener("series", () => {
                window.fetch = ask;
                live.paused = true;
                done([live.series.map(({ key }) => key), live.series.map((one) => one.of?.id ?? null), live.series.map((one) => one.hidden ?? false),
                  ["counter:q.x", 'gauge:q{b="x"}', "gauge:u.x.p50", "counter:none"].map((key) => live.find(key)?.id ?? null)]);
              });
              live.wake();
            }).catch((error) => done(String(error)));""",
            series,
        )
        keys, parts_of, hidden, links = found
        self.assertEqual(keys[:5], ['counter:q{a="x"}', 'counter:q{b="x"}', "counter:q.x", 'histogram:t{a="x"}', 'histogram:t{b="x"}'])
        self.assertEqual(len(set(keys)), len(keys))
        self.assertEqual(parts_of, [None] * 5 + [4, 3, None, None, 8])
        self.assertEqual(hidden, [False] * 5 + [True, True, False, False, True])
        self.assertEqual(links, [2, 1, 9, None])

    def test_combinations_that_read_alike_are_lines_of_their_own(self):
        self.publish("app", *writer.family("web.hits", ("a", "b"), {("x · y", "z"): 1, ("x", "y · z"): 2, ("x", "w"): 4}))
        self.serve()
        self.view("rate=100&family=value;counter:web.hits{a,b};by=*&family=value;counter:web.hits{a,b};by=*;top=2")
        values = lambda plot: sorted(self.js("[...mmash.plots.plots[arguments[0]].element.querySelectorAll('.line-value')].map((one) => one.textContent)", plot))
        daemons.wait_until(lambda: values(0) == ["1", "2", "4"], "three lines")
        daemons.wait_until(lambda: values(1) == ["1", "2", "4"], "two and the rest")

    def test_percentiles_of_a_group_are_of_all_its_values(self):
        fast, slow = [0.01] * 999 + [0.02], [3.0]
        fields = lambda values: writer.histogram_family("web.latency", ("method", "region"), values, help="Time to answer")
        powers = {("GET", "eu"): [0.01, 0.02, 3.0], ("GET", "us"): [0.01, 0.02, 3.0], ("PUT", "eu"): [0.01, 0.02, 3.0]}
        file = self.publish("app", *fields(powers))
        self.serve()
        self.view("rate=200&history=1000&family=auto;histogram:web.latency{method,region};by=method;figure=p99&open=web")
        daemons.wait_until(lambda: self.legend() == {"GET": "–", "PUT": "–"}, "no value yet")
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused'", "no tick comes between")
        file.add("web.latency.GET.eu", fast)
        file.add("web.latency.GET.us", slow)
        file.add("web.latency.PUT.eu", slow)
        self.js("(mmash.live.paused = false)")
        shown = lambda column: {round(value, 3) for _, value in self.points(column=column)}
        # The mean of both regions' would be 1.5.
        daemons.wait_until(lambda: any(0.0099 < value < 0.0102 for value in shown(1)), "p99 of all of GET")
        self.assertTrue(all(abs(value - 3) < 0.05 for value in shown(2)), shown(2))
        self.control("Figure of the histograms").send_keys("max")
        daemons.wait_until(lambda: any(2.9 < value < 3.1 for value in shown(1)), "the greatest of GET")
        self.control("Grouped by").send_keys("all")
        self.control("Figure of the histograms").send_keys("p50")
        daemons.wait_until(lambda: any(0.0099 < value < 0.0102 for value in shown(1)), "the median of all")
        self.wait("location.hash.includes(';by=;figure=p50')", "the link has the figure")
        # Its parts are told by it alone.
        daemons.wait_until(lambda: "latency" in self.names(), "its row")
        self.assertEqual(self.names().count("latency"), 1)

    def test_a_family_of_too_many_histograms_says_so_and_is_drawn_when_some_are_chosen(self):
        values = {(f"{at % 2}", f"/p/{at}"): [0.01] for at in range(1030)}
        self.publish("app", *writer.histogram_family("web.latency", ("tenant", "path"), values))
        self.serve()
        self.view("rate=100&family=auto;histogram:web.latency{tenant,path};by=tenant")
        daemons.wait_until(lambda: self.facts().startswith("Not drawn: 1,030 histograms are more than the 1,024"), "it says so")
        colour = lambda selector: self.js("getComputedStyle(document.querySelector(arguments[0])).color", selector)
        self.assertNotEqual(colour(".facts-line"), colour("#found"))
        self.picture("families-too-many")
        self.control("Only this value").send_keys("1", Keys.ENTER)
        daemons.wait_until(lambda: list(self.legend()) == ["1"], "one tenant is drawn")
        self.assertIn("515 series", self.facts())

    def test_groups_of_histograms_add_buckets_over_samples(self):
        self.serve()
        self.view(wait_for=None)
        ticks = """(async () => {
          const { ringOf, weight } = await import("/static/groups.js");
          const history = new m.History(8), all = [0, 1].map((at) => ({ key: `k${at}`, kind: "histogram" }));
          args[0].forEach((values, time) => history.tick(time, values.map((value, at) => [all[at], value])));
          const order = history.order();
          const ring = (members, figure, samples) => order.map((slot) => ringOf(members, history, order, { figure, samples })[slot]);
          return [ring(all, "p50", 1), ring(all, "max", 1), ring(all, "rate", 1), ring(all, "p50", 2), ring(all.slice(1), "p50", 1),
                  all.map((one) => weight([one], history, order, {}))].map((numbers) => numbers.map((number) => Number.isNaN(number) ? null : number));
        })()"""
        middle = lambda bucket: 2.0 ** (bucket // 32 - 30) * (1 + (bucket % 32 + 0.5) / 32)
        answer = self.browser.execute_async_script(
            f"const done = arguments[1], args = [arguments[0]]; import('/static/history.js').then((m) => {ticks}).then(done).catch((e) => done(String(e)));",
            [[[], []], [[900, 10], [960, 1]], [[900, 10], [960, 1]], [[900, 11], [960, 8]]],
        )
        median, most, rate, two, second, weights = answer
        self.assertEqual(median, [None, middle(900), None, middle(960)])
        self.assertEqual(most, [None, middle(960), None, middle(960)])
        self.assertEqual(rate, [None, 11, 0, 8])
        self.assertEqual(two, [None, middle(900), middle(900), middle(960)])
        self.assertEqual(second, [None, middle(960), None, middle(960)])
        self.assertEqual(weights, [11, 8])

    def test_hostile_values_are_text_and_nothing_else(self):
        evil = '<img src=x onerror="document[`title`]=1">'
        values = [evil, "", "a;b&c=d", "%41", "\u202eright", "x" * 255, "__proto__", "constructor", "tab\tline\n", "caf\u00e9 \U0001f4a9"]
        self.publish("app", *writer.family("web.evil", ("__a"[2:], "constructor"), {(value, "1"): at + 1 for at, value in enumerate(values)}, "counter", evil[:20], evil))
        self.serve()
        key = "counter:web.evil{a,constructor}" + urllib.parse.quote(evil[:20], safe="!'()*")
        self.view(f"rate=100&open=web&open={urllib.parse.quote(key)}")
        daemons.wait_until(lambda: len(self.names()) >= len(values), "its rows")
        self.assertEqual(self.js("mmash.live.series.filter((one) => one.family).map((one) => one.dimensions.a).sort()"), sorted(values, key=lambda one: one.encode("utf-16-be")))
        self.js("mmash.plots.addFamily({family: 'counter:web.evil{a,constructor}', by: 'a', top: 24, mode: 'value'})")
        self.js("mmash.plots.addFamily({family: 'counter:web.evil{a,constructor}', by: '*', mode: 'value', where: mmash.live.series.filter((one) => one.family).map((one) => ['a', one.dimensions.a])})")
        self.wait("mmash.plots.plots.every((plot) => plot.dygraph)", "both plots")
        daemons.wait_until(lambda: len(self.legend(0)) == len(values), "a line each")
        self.assertIn(evil, self.legend(0))
        self.assertEqual(len(self.legend(1)), 9)  # and the rest
        self.assertEqual(self.js("[document.querySelectorAll('script').length, document.querySelectorAll('main img').length]"), [3, 0])
        self.assertFalse(self.js("/[\u202e]/.test(document.body.textContent)"))
        self.wait("location.hash.includes('%3Cimg')", "the link has the values")
        self.browser.refresh()
        self.wait("globalThis.mmash?.plots.plots.length === 2 && mmash.plots.plots.every((plot) => plot.dygraph)", "the view is back")
        daemons.wait_until(lambda: len(self.legend(1)) == 9, "its filters are those")

    def test_links_that_make_no_sense_harm_nothing(self):
        self.publish("app", *responses({("GET", "200"): 1}))
        self.serve()
        for what in ("family=", "family=auto", "family=auto;", "family=x;counter:a{b}", "family=auto;%E0", f"family=auto;{RESPONSES};by=nothing;top=1e9;figure=x;where=x;where=:;where=%E0:1;other=1", "family=auto;counter:none{x};by=x"):
            with self.subTest(what):
                self.view(f"rate=100&{what}")
                self.wait_for_drawing()

    def test_ten_thousand_combinations_stay_fluid(self):
        counts = {(f"tenant {at % 100}", f"/p/{at // 100}"): at for at in range(10_000)}
        self.publish("app", *writer.family("big.sent", ("tenant", "path"), counts, "counter", "bytes"))
        self.serve()
        self.view("rate=500&open=big&open=counter:big.sent{tenant,path}bytes&family=value;counter:big.sent{tenant,path};by=tenant;top=5")
        self.wait("mmash.live.series.length >= 10000 && mmash.plots.plots[0].dygraph !== null", "it is there and drawn")
        total = sum(counts.values())
        lines = lambda: [self.last(column=column) or 0 for column in range(1, 7)]
        daemons.wait_until(lambda: sum(lines()) == total, "five tenants and the rest")
        self.assertEqual(max(lines()[:5]), sum(99 + 100 * at for at in range(100)))
        # The document has only rows in sight, and a scan asks a few times.
        self.assertLess(self.js("document.querySelectorAll('#tree .row').length"), 60)
        before = self.js("[mmash.live.requests, mmash.history.now]")
        self.wait(f"mmash.history.now > {before[1]} + 2", "some ticks", 30)
        asked, now = self.js("[mmash.live.requests, mmash.history.now]")
        self.assertLess(asked - before[0], 5 * (now - before[1]) / 0.5 + 10)
        # Keys are answered at once: what a frame waits for is no more than a fraction of a second.
        self.js("document.querySelector('#tree').focus()")
        self.assertLess(self.work_of_a_look(), self.work_of_drawing(5_000))
        self.press(Keys.END)
        daemons.wait_until(lambda: self.names()[-1] == "tenant 99 · /p/99", "the last row")
        self.picture("families-many")

    def test_it_looks_well_in_light_and_dark_and_on_a_phone(self):
        counts = {(method, status): 10 for method in ("GET", "PUT", "POST") for status in ("200", "301", "404", "500", "503")}
        file = self.publish(
            "app",
            *responses(counts),
            *writer.histogram_family("web.latency", ("method",), {("GET",): [0.01, 0.02], ("PUT",): [0.04, 0.05]}, help="Time to answer"),
        )
        self.serve()
        self.view(f"rate=100&open=web&open={RESPONSES}&family=auto;{RESPONSES};by=status;top=3;where=method:GET;where=method:PUT&family=auto;histogram:web.latency{{method}}")
        for step in range(1, 25):
            for at, (method, status) in enumerate(counts):
                file.incr(f"web.responses.{method}.{status}", (step * (at + 3)) % 11)
            file.add("web.latency.GET", [0.01] * step + [0.02])
            file.add("web.latency.PUT", [0.04] * 3 + [0.05])
            now = self.js("mmash.history.now")
            self.wait(f"mmash.history.now !== {json.dumps(now)}", "a tick")
        seen = {self.picture("families-light")}
        self.media("dark")
        self.wait_for_drawing()
        seen.add(self.picture("families-dark"))
        self.media("light")
        self.size(390, 844)
        self.wait_for_drawing()
        self.assertLessEqual(self.js("document.documentElement.scrollWidth"), 390)
        self.js("document.querySelector('.stage').scrollIntoView()")
        self.wait("mmash.plots.plots[0].dygraph !== null", "it is drawn")
        self.assertLessEqual(self.js("Math.max(...[...document.querySelectorAll('.plot, .plot *')].map((one) => one.getBoundingClientRect().right))"), 390)
        seen.add(self.picture("families-phone"))
        self.assertEqual(len(seen), 3)


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
