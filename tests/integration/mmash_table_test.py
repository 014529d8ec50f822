"""A family as a table: on mmash's page, in a real browser, and as JSON and CSV."""

import csv
import io
import json
import unittest
import urllib.error
import urllib.parse
import urllib.request

import daemons
import mmstats_writer as writer
from mmash_browser import PageTest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SECONDS = "histogram:app.seconds{script,server}seconds"
POWERS = [0.004, 0.01, 0.02, 0.04, 0.1, 0.3, 1.0, 2.5]  # so that values of all sizes can be added later


def seconds(scripts, servers=("web1",), help="Time to answer"):
    return writer.histogram_family("app.seconds", ("script", "server"), {(script, server): POWERS for script in scripts for server in servers}, help=help)


def near(value, want, off=1 / 60):
    return abs(value - want) <= off * abs(want)


class MmashTableTest(PageTest):
    def rows_of(self, plot=0):
        """The texts of the cells of each row in sight, in order."""
        return self.js(
            """[...(mmash.plots.plots[arguments[0]]?.element.querySelectorAll(".report .sizer .row:not([hidden])") ?? [])]
            .sort((a, b) => a.dataset.at - b.dataset.at)
            .map((row) => [...row.children].map((cell) => cell.textContent.replaceAll("\\u202f", " ")))""",
            plot,
        )

    def column(self, at, plot=0):
        return [row[at] for row in self.rows_of(plot)]

    def figures(self, plot=0):
        """The exact numbers of each row, by the value of its first dimension."""
        return self.imported(
            "report.js",
            """((family) => {
              const rows = m.rowsOf(family.members, family.names);
              m.measure(rows, family.kind, mmash.history, 0);
              const figures = (row) => Object.fromEntries(m.figuresOfKind(family.kind).map((name) => [name, m.figure(row, name)]));
              return Object.fromEntries(rows.map((row) => [row.values[0], figures(row)]));
            })(mmash.live.findFamily(args[0]))""",
            self.js("mmash.plots.plots[arguments[0]].plain.table", plot),
        )

    def facts(self, plot=0):
        return self.js("mmash.plots.plots[arguments[0]].element.querySelector('.facts-line').textContent.replaceAll('\\u202f', ' ')", plot)

    def heads(self, plot=0):
        """text and aria-sort of each head."""
        return self.js("[...mmash.plots.plots[arguments[0]].element.querySelectorAll('.report [role=columnheader]')].map((one) => [one.textContent, one.getAttribute('aria-sort')])", plot)

    def head(self, text, plot=0):
        return self.js("[...mmash.plots.plots[arguments[0]].element.querySelectorAll('.report [role=columnheader] button')].find((one) => one.textContent === arguments[1])", plot, text)

    def control(self, label, plot=0):
        return self.js("mmash.plots.plots[arguments[0]].element.querySelector(`[aria-label$=\"${arguments[1]}\"]`)", plot, label)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.mmash.port}{path}") as answer:
            return answer.headers, answer.read().decode()

    def link(self, format, plot=0):
        return self.js("[...mmash.plots.plots[arguments[0]].element.querySelectorAll('.plot-tools a')].find((one) => one.textContent === arguments[1])?.getAttribute('href')", plot, format)

    def while_paused(self, add):
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused'", "no tick comes between")
        add()
        self.js("(mmash.live.paused = false)")

    def wait_for_rows(self, column, want, what, plot=0):
        daemons.wait_until(lambda: self.column(column, plot) == want, what)

    def test_a_histogram_is_opened_sorted_and_plotted_by_the_keyboard_alone(self):
        file = self.publish("app", *seconds(("/cart", "/home", "/search")))
        self.serve()
        self.view("rate=200&history=1000&open=app")
        daemons.wait_until(lambda: "seconds" in self.names(), "its row")
        self.js("document.querySelector('#tree').focus()")
        self.press(Keys.END)
        self.wait("document.querySelector('#detail .table-it').hidden === false", "it can be a table")
        self.press(Keys.TAB, Keys.TAB)
        self.wait("document.activeElement.className === 'table-it'", "its button has the focus")
        self.press(Keys.ENTER)
        self.wait_for_rows(0, ["/cart", "/home", "/search"], "its rows")
        self.assertEqual([text for text, _ in self.heads()], ["script", "server", "Rate/s", "Share", "Mean", "p50", "p99", "Trend"])
        self.assertEqual(dict(self.heads())["Share"], "descending")
        daemons.wait_until(lambda: self.facts().startswith("histogram · seconds · 3 rows · over the last"), "facts")
        self.assertTrue(self.facts().endswith("Time to answer"))
        # 10 seconds in all: who took most comes first.
        self.while_paused(lambda: [file.add("app.seconds./cart.web1", [0.01] * 100), file.add("app.seconds./home.web1", [1.0] * 3), file.add("app.seconds./search.web1", [0.1] * 59 + [0.3])])
        daemons.wait_until(lambda: self.column(3)[:1] != ["–"], "there are shares")
        daemons.wait_until(lambda: self.column(0) == ["/search", "/home", "/cart"], "by share")
        got = self.figures()
        self.assertTrue(near(got["/search"]["share"], 6.2 / 10.2, 1 / 30) and near(got["/home"]["share"], 3 / 10.2, 1 / 30) and near(got["/cart"]["share"], 1 / 10.2, 1 / 30), got)
        self.assertTrue(near(sum(one["share"] for one in got.values()), 1, 1e-9))
        self.assertTrue(near(got["/search"]["mean"], 6.2 / 60) and near(got["/search"]["p50"], 0.1) and near(got["/search"]["p99"], 0.3), got)
        self.assertTrue(near(got["/cart"]["p99"], 0.01) and near(got["/home"]["p50"], 1), got)
        self.assertTrue(near(got["/cart"]["rate"] / got["/home"]["rate"], 100 / 3, 1e-9), got)
        shown = dict(zip(self.column(0), self.rows_of()))
        self.assertRegex(shown["/search"][3], r"^(60|61)\.?\d*%$")
        self.assertRegex(shown["/search"][6], r"^(29|30)\d(\.\d)?ms$")
        # By p99, both ways, and by a dimension: Enter on the head of the column.
        self.js("arguments[0].focus()", self.head("p99"))
        self.press(Keys.ENTER)
        self.wait_for_rows(0, ["/home", "/search", "/cart"], "the slowest first")
        self.assertEqual([sort for _, sort in self.heads() if sort], ["descending"])
        self.assertEqual(dict(self.heads())["p99"], "descending")
        self.press(Keys.SPACE)
        self.wait_for_rows(0, ["/cart", "/search", "/home"], "the fastest first")
        self.assertEqual(dict(self.heads())["p99"], "ascending")
        self.wait("location.hash.includes(';sort=p99')", "the link has it")
        self.js("arguments[0].focus()", self.head("script"))
        self.press(Keys.ENTER)
        self.wait_for_rows(0, ["/cart", "/home", "/search"], "by name")
        self.assertEqual(dict(self.heads())["script"], "ascending")
        # From row to row, and one is plotted.
        self.js("mmash.plots.plots[0].element.querySelector('.report').focus()")
        self.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
        self.wait("mmash.plots.plots[1]?.element.querySelector('.plot-title').textContent === 'app.seconds./search.web1'", "its plot")
        self.wait("[...document.querySelectorAll('.report .row.plotted')].map((row) => row.firstChild.textContent + row.getAttribute('aria-selected')).join() === '/searchtrue'", "it is marked")
        self.assertRegex(self.js("document.querySelector('.report').getAttribute('aria-activedescendant')"), r"^table-\d+-row-2$")
        self.press(Keys.ENTER)
        self.wait("mmash.plots.plots.length === 1 && !document.querySelector('.report .row.plotted')", "its plot is removed")
        self.press(Keys.HOME, Keys.ENTER, Keys.ARROW_DOWN)
        self.shift_enter()
        self.wait("mmash.plots.plots[1]?.keys.length === 2", "two in one plot")
        # Letters and Delete in its fields are theirs; Delete elsewhere removes it.
        self.control("Find rows").send_keys("p", Keys.ARROW_LEFT, Keys.DELETE)
        self.assertEqual(self.js("mmash.plots.plots.length"), 2)
        self.assertFalse(self.js("mmash.live.paused"))
        self.js("mmash.plots.plots[0].element.querySelector('.report').focus()")
        self.press(Keys.DELETE)
        self.wait("mmash.plots.plots.length === 1", "the table is gone")

    def test_rows_are_limited_and_found_and_the_link_is_such_a_view(self):
        file = self.publish("app", *seconds(("/cart", "/home", "/search"), ("web1", "web2")))
        self.serve()
        self.view(f"rate=200&history=1000&table={SECONDS};sort=@script")
        daemons.wait_until(lambda: len(self.rows_of()) == 6, "all rows")
        self.while_paused(lambda: [file.add(f"app.seconds.{script}.{server}", [0.1] * count) for (script, count) in (("/cart", 1), ("/home", 3)) for server in ("web1", "web2")])
        daemons.wait_until(lambda: self.column(3) == ["12.5%", "12.5%", "37.5%", "37.5%", "0%", "0%"], "shares of all")
        find = self.control("Find rows")
        find.send_keys("HOME web2")
        self.wait_for_rows(0, ["/home"], "one is found")
        self.assertEqual(self.column(3), ["37.5%"])
        self.assertIn("6 rows · 1 found", self.facts())
        # While the page stands, too: what it says of itself is of what it shows.
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused'", "it stands")
        find.send_keys(Keys.BACKSPACE)
        self.wait_for_rows(0, ["/home", "/home"], "two are found")
        self.assertIn("6 rows · 2 found", self.facts())
        self.js("(mmash.live.paused = false)")
        find.send_keys(Keys.BACKSPACE * 8)
        self.control("Only of this dimension").send_keys("server")
        self.control("Only this value").send_keys("web1", Keys.ENTER)
        self.wait_for_rows(3, ["25%", "75%", "0%"], "shares of those within the limits")
        find.send_keys("ar")
        self.wait_for_rows(0, ["/cart", "/search"], "two are found")
        self.control("Over how many samples").send_keys("10")
        self.wait("location.hash.includes(';sort=@script;over=10;find=ar;where=server:web1')", "the link")
        link = self.js("location.hash")
        self.view(link[1:])
        self.wait_for_rows(0, ["/cart", "/search"], "the view of the link")
        self.assertEqual(self.js("mmash.plots.plots[0].element.querySelector('.chip').textContent"), "server = web1 ×")
        self.assertEqual(self.js("mmash.plots.plots[0].element.querySelector('select').value"), "10")
        # From a table to a plot of the family within the same limits, and back.
        self.js("mmash.plots.plots[0].element.querySelector('[title=\"Plot the family by a dimension\"]').click()")
        self.wait("mmash.plots.plots[1]?.dygraph != null", "its plot")
        self.assertEqual(self.js("mmash.plots.plots[1].plain.where"), [["server", "web1"]])
        self.choose("Show as a table", 1)
        self.assertEqual(self.js("mmash.plots.plots.length"), 2)  # it is there
        self.view(f"rate=50&table={SECONDS};where=server:web1;where=script:%2Fcart")
        self.wait_for_rows(0, ["/cart"], "one row")
        daemons.wait_until(lambda: " · 1 row · " in self.facts(), "it is called so")

    def test_counters_have_a_rate_and_a_share_of_all_and_gauges_a_value(self):
        file = self.publish(
            "app",
            *writer.family("web.sent", ("path",), {("/a",): 100, ("/b",): 2**60, ("/c",): 7}, "counter", "bytes"),
            *writer.family("web.load", ("worker",), {("1",): 0.5, ("2",): 1.5}, "gauge"),
        )
        self.serve()
        self.view("rate=200&history=1000&table=counter:web.sent{path}bytes&table=gauge:web.load{worker};sort=-value")
        self.wait_for_rows(0, ["/a", "/b", "/c"], "counters")
        self.assertEqual([text for text, _ in self.heads()], ["path", "Rate/s", "Share", "Total", "Trend"])
        daemons.wait_until(lambda: self.column(2) == ["–"] * 3, "nothing came: there are no shares")
        self.while_paused(lambda: [file.incr("web.sent./a", 3000), file.incr("web.sent./b", 1000)])
        self.wait_for_rows(2, ["75%", "25%", "0%"], "shares of all that came")
        self.assertEqual(self.column(3)[1], "1,152,922TB")
        title = self.js("[...document.querySelectorAll('.report .row')].find((row) => row.firstChild.textContent === '/b').querySelector('.value').title")
        self.assertEqual(title, f"{2**60 + 1000:,} bytes")
        got = self.figures()
        self.assertTrue(near(got["/a"]["rate"], 3 * got["/b"]["rate"], 1e-9), got)
        self.assertEqual(got["/c"]["rate"], 0)
        self.wait_for_rows(0, ["2", "1"], "gauges", 1)
        self.assertEqual([text for text, _ in self.heads(1)], ["worker", "Value", "Trend"])
        self.assertEqual(self.column(1, 1), ["1.5", "0.5"])
        file.set("web.load.1", 9.25)
        self.wait_for_rows(1, ["9.25", "1.5"], "they change, and change places", 1)

    def test_rows_keep_their_places_while_somebody_is_at_them(self):
        file = self.publish("app", *writer.family("web.load", ("worker",), {(f"{at}",): float(at) for at in range(1, 5)}, "gauge"))
        self.serve()
        self.view("rate=50&table=gauge:web.load{worker}")
        self.wait_for_rows(0, ["4", "3", "2", "1"], "the greatest first")
        row = self.browser.find_element(By.CSS_SELECTOR, ".report .sizer .row")
        ActionChains(self.browser).move_to_element(row).perform()
        file.set("web.load.1", 100.0)
        daemons.wait_until(lambda: self.rows_of()[3][:2] == ["1", "100"], "its number changes in its place")
        self.assertIn("order held", self.facts())
        ActionChains(self.browser).move_to_element(self.browser.find_element(By.ID, "host")).perform()
        self.wait_for_rows(0, ["1", "4", "3", "2"], "it changes places when the pointer is gone")
        self.assertNotIn("order held", self.facts())
        # The same for who goes through the rows by keys; what was sorted by hand is sorted at once.
        self.js("arguments[0].focus()", self.head("worker"))
        ActionChains(self.browser).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        self.wait("document.activeElement.className === 'list report'", "the rows have the focus")
        file.set("web.load.2", 200.0)
        daemons.wait_until(lambda: self.rows_of()[3][:2] == ["2", "200"], "its number changes in its place")
        self.js("arguments[0].click()", self.head("worker"))
        self.wait_for_rows(0, ["1", "2", "3", "4"], "by name")

    def test_combinations_that_are_there_twice_are_one_row(self):
        self.publish("app", *writer.family("web.hits", ("a", "b"), {("x · y", "z"): 1, ("x", "y · z"): 2}))
        self.serve()
        self.view("rate=100&table=counter:web.hits{a,b}")
        daemons.wait_until(lambda: sorted(self.column(0)) == ["x", "x · y"], "two that read alike are two")
        rows = self.imported(
            "report.js",
            """m.rowsOf(args[0].map((values, at) => ({ key: `k${at}`, kind: "gauge", dimensions: { a: values[0] } })), ["a"]).map(({ values, members }) => [values[0], members.length])""",
            [["x"], ["y"], ["x"]],
        )
        self.assertEqual(rows, [["x", 2], ["y", 1]])

    def test_figures_over_some_samples_are_of_all_their_values(self):
        self.serve()
        self.view(wait_for=None)
        answer = self.browser.execute_async_script(
            """const done = arguments[1];
            Promise.all([import("/static/history.js"), import("/static/report.js")]).then(([{ History }, m]) => {
              const history = new History(8), all = [0, 1].map((at) => ({ key: `k${at}`, kind: "histogram", dimensions: { a: `${at}` } }));
              arguments[0].forEach((values, at) => history.tick(2 * at, values.map((value, at) => [all[at], value])));
              const told = (samples) => {
                const rows = m.rowsOf(all, ["a"]);
                const seconds = m.measure(rows, "histogram", history, samples);
                return [seconds, ...rows.map((row) => ["rate", "share", "p50", "p99"].map((name) => { const n = m.figure(row, name); return Number.isNaN(n) ? null : n; }))];
              };
              return [told(0), told(1), m.sorted(m.rowsOf(all, ["a"]), { by: "mean", down: true }, ["a"]).length];
            }).then(done).catch((error) => done(String(error)));""",
            [[[], []], [[960, 10], [992, 5]], [[960, 10], [992, 5]], [[960, 10, 1088, 90], [992, 5]]],
        )
        middle = lambda bucket: 2.0 ** (bucket // 32 - 30) * (1 + (bucket % 32 + 0.5) / 32)
        over_all, over_one, _ = answer
        time = 10 * middle(960) + 90 * middle(1088) + 5 * middle(992)
        self.assertEqual(over_all[0], 6)
        self.assertEqual(over_all[1][0], 100 / 6)
        self.assertTrue(near(over_all[1][1], (time - 5 * middle(992)) / time, 1e-9))
        self.assertEqual(over_all[1][2:], [middle(1088), middle(1088)])
        self.assertEqual(over_all[2][2:], [middle(992), middle(992)])
        self.assertEqual(over_one, [2, [45, 1, middle(1088), middle(1088)], [0, 0, None, None]])

    def test_hostile_values_are_text_and_nothing_else(self):
        evil = '<img src=x onerror="document[`title`]=1">'
        values = [evil, "", "=1+1", "a;b&c=d", "%41", "\u202eright", "x" * 255, "__proto__", "constructor", "tab\tline\n", "caf\u00e9 \U0001f4a9", "-1;=2"]
        self.publish("app", *writer.family("web.evil", ("a", "constructor"), {(value, "1"): at + 1 for at, value in enumerate(values)}, "counter", evil[:20], evil))
        self.serve()
        self.view("rate=100&table=counter:web.evil{a,constructor};sort=@a;where=constructor:1")
        daemons.wait_until(lambda: len(self.rows_of()) == len(values), "its rows")
        self.assertIn(evil, self.column(0))
        self.assertIn('""', self.column(0))
        self.assertEqual(self.js("[document.querySelectorAll('script').length, document.querySelectorAll('main img').length]"), [3, 0])
        self.assertFalse(self.js("/[\u202e]/.test(document.body.textContent)"))
        self.control("Find rows").send_keys("<img")
        self.wait_for_rows(0, [evil], "it is found")
        self.wait("location.hash.includes('find=%3Cimg')", "the link has it")
        # The same by HTTP, as the page's links ask for it.
        headers, text = self.get(self.link("CSV"))
        self.assertEqual(headers["Content-Type"], "text/csv; charset=utf-8; header=present")
        self.assertEqual(headers["Content-Disposition"], 'attachment; filename="web.evil.csv"')
        self.assertEqual([row["a"] for row in csv.DictReader(io.StringIO(text))], [evil])
        self.control("Find rows").send_keys(Keys.BACKSPACE * 4)
        daemons.wait_until(lambda: len(self.rows_of()) == len(values), "all rows")
        _, text = self.get(self.link("CSV"))
        self.assertEqual(text.count("\r\n"), text.count("\n"))
        table = list(csv.reader(io.StringIO(text), strict=True))
        self.assertEqual(table[0], ["a", "constructor", "value", "rate", "share"])
        self.assertEqual(len(table), len(values) + 1)
        for row in table[1:]:
            for part in row[0].split(";"):
                self.assertNotRegex(part, r"^\s*[=+@-]|^[\t\r\n]")
        self.assertIn("'=1+1", [row[0] for row in table])
        self.assertIn("'-1;'=2", [row[0] for row in table])
        self.assertIn("caf\u00e9 \U0001f4a9", [row[0] for row in table])
        _, text = self.get(self.link("JSON"))
        family = json.loads(text)["families"][0]
        self.assertEqual(sorted(row["values"][0] for row in family["rows"]), sorted(values))
        self.assertEqual({row["values"][0]: row["value"] for row in family["rows"]}, {value: at + 1 for at, value in enumerate(values)})

    def test_json_and_csv_have_totals_and_rates_since_somebody_asked(self):
        file = self.publish("app", *seconds(("/cart", "/home"), help="x"))
        self.serve()
        ask = lambda query="": json.loads(self.get("/table/app.seconds" + query)[1])["families"][0]
        first = ask()
        self.assertEqual([row["count"] for row in first["rows"]], [len(POWERS)] * 2)
        self.assertTrue(near(first["rows"][0]["sum"], sum(POWERS), 1e-9))
        self.assertEqual([row["share"] for row in first["rows"]], [0.5, 0.5])
        self.assertIsNone(first["seconds"])
        file.add("app.seconds./home.web1", [0.3] * 60)
        file.set("app.seconds./home.web1.sum", sum(POWERS) + 18)
        # The first one that is a second later; the next one's rates may be since that.
        told = daemons.wait_until(lambda: (told := ask("?sort=rate&top=1"))["seconds"] is not None and told, "a second has passed")
        home = told["rows"][0]
        self.assertEqual(home["values"], ["/home", "web1"])
        self.assertEqual(home["count"], len(POWERS) + 60)
        self.assertTrue(near(home["rate"] * told["seconds"], 60, 1e-6), told)
        self.assertTrue(near(home["mean"], (sum(POWERS) + 18) / (len(POWERS) + 60), 1e-9) and near(home["p50"], 0.3), home)
        self.assertEqual(told["other"]["rows"], 1)
        self.assertTrue(near(told["other"]["share"] + home["share"], 1, 1e-9))
        _, text = self.get("/table/app.seconds?format=csv&search=home")
        (row,) = csv.DictReader(io.StringIO(text))
        self.assertEqual(list(row), ["script", "server", "count", "sum", "rate", "share", "mean", "p50", "p99"])
        self.assertEqual((row["script"], row["count"], float(row["share"])), ("/home", "68", home["share"]))
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.get("/table/app.seconds?sort=value")
        self.assertEqual(refused.exception.code, 400)
        self.assertIn("no such column", json.loads(refused.exception.read())["error"])

    def test_too_many_histograms_say_so_and_are_shown_when_some_are_chosen(self):
        values = {(f"{at % 2}", f"/p/{at}"): [0.01] for at in range(1030)}
        self.publish("app", *writer.histogram_family("web.latency", ("tenant", "path"), values))
        self.serve()
        self.view("rate=100&table=histogram:web.latency{tenant,path}")
        daemons.wait_until(lambda: self.facts().startswith("Not shown: 1,030 histograms are more than the 1,024"), "it says so")
        self.assertEqual(self.rows_of(), [])
        self.assertEqual(len(self.get(self.link("CSV"))[1].splitlines()), 1031)
        self.control("Only this value").send_keys("1", Keys.ENTER)
        daemons.wait_until(lambda: "515 rows" in self.facts() and len(self.rows_of()) > 5, "one tenant is shown")

    def test_links_that_make_no_sense_harm_nothing(self):
        self.publish("app", *seconds(("/cart",)))
        self.serve()
        for what in ("table=", "table=;", "table=x", "table=%E0", f"table={SECONDS};sort=;over=7;where=x;find=%E0", f"table={SECONDS};sort=-@none", f"table={SECONDS};sort=value", "table=counter:none{x};sort=-rate"):
            with self.subTest(what):
                self.view(f"rate=100&{what}")
                self.wait_for_drawing()
        self.view(f"rate=100&table={SECONDS};sort=value")
        self.wait_for_rows(0, ["/cart"], "sorted as if nobody chose")
        self.assertEqual(dict(self.heads())["Share"], "descending")

    def test_a_thousand_rows_stay_fluid_and_are_changed_in_place(self):
        scripts = [f"/p/{at}" for at in range(500)]
        file = self.publish("app", *seconds(scripts, ("web1", "web2")))
        self.serve()
        self.view(f"rate=500&table={SECONDS};sort=-p99")
        daemons.wait_until(lambda: "1,000 rows" in self.facts() and len(self.rows_of()) > 5, "it is there")
        self.assertLess(self.js("document.querySelectorAll('.report .row').length"), 60)
        self.js("[...document.querySelectorAll('.report .sizer .row')].forEach((row) => { row.wasThere = true; })")
        for at, script in enumerate(scripts):
            file.add(f"app.seconds.{script}.web1", [0.01] * (1 + at % 7) + ([2.5] if at == 321 else [0.1]))
        daemons.wait_until(lambda: self.column(0)[0] == "/p/321", "the slowest is the first")
        self.assertLess(self.work_of_a_look(), self.work_of_drawing(5_000))
        self.assertTrue(self.js("[...document.querySelectorAll('.report .sizer .row')].every((row) => row.wasThere)"))
        self.js("mmash.plots.plots[0].element.querySelector('.report').focus()")
        self.press(Keys.END)
        daemons.wait_until(lambda: self.js("document.querySelector('.report').getAttribute('aria-activedescendant')").endswith("-row-999"), "the last row")
        self.picture("table-many")

    def test_it_looks_well_in_light_and_dark_and_on_a_phone(self):
        scripts = ["/", "/cart", "/checkout", "/search", "/user/:id", "/user/:id/orders", "/api/v1/items", "/api/v1/prices", "/login", "/static/:file"]
        file = self.publish("app", *seconds(scripts, ("web1", "web2", "web3", "web4", "web5")))
        self.serve()
        self.view(f"rate=100&table={SECONDS}")
        daemons.wait_until(lambda: len(self.rows_of()) > 5, "its rows")
        for step in range(1, 25):
            for at, script in enumerate(scripts):
                for server in range(1, 6):
                    count = 1 + (step * (at + 3) + server) % (3 * at + 2)
                    file.add(f"app.seconds.{script}.web{server}", [POWERS[at % 6]] * count + ([POWERS[at % 6 + 2]] if (step + server) % 3 == 0 else []))
            now = self.js("mmash.history.now")
            self.wait(f"mmash.history.now !== {json.dumps(now)}", "a tick")
        self.js("document.querySelector('.report .sizer .row').click()")
        self.wait("mmash.plots.plots[1]?.dygraph != null", "a row is plotted")
        seen = {self.picture("table-light")}
        self.media("dark")
        self.wait_for_drawing()
        seen.add(self.picture("table-dark"))
        self.media("light")
        self.size(390, 844)
        self.wait_for_drawing()
        self.assertLessEqual(self.js("document.documentElement.scrollWidth"), 390)
        self.js("document.querySelector('.stage').scrollIntoView()")
        self.wait_for_drawing()
        self.assertLessEqual(self.js("Math.max(...[...document.querySelectorAll('.plot, .plot > *')].map((one) => one.getBoundingClientRect().right))"), 390)
        seen.add(self.picture("table-phone"))
        # What there is no room for is scrolled to, and the name stays.
        self.js("document.querySelector('.report').scrollTo(10_000, 0)")
        self.wait("document.querySelector('.report').scrollLeft > 100", "it is scrolled")
        left = "document.querySelector('.report .sizer .row').firstChild.getBoundingClientRect().left - document.querySelector('.report').getBoundingClientRect().left"
        self.assertLess(self.js(left), 2)
        seen.add(self.picture("table-phone-scrolled"))
        self.assertEqual(len(seen), 4)


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
