"""Plots of mmash's page, in a real browser: how they look, and what can be done with them."""

import csv
import glob
import io
import os
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import PageTest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

STATUSES = ("200", "301", "404", "500")
RESPONSES = "counter:web.responses{status}"
POOL = [f"gauge:pool.part{at:02}" for at in range(20)]


class MmashPlotsTest(PageTest):
    # ---- tools ----

    def site(self):
        """A site's series, whose values are waves."""
        self.publish(
            "site",
            *writer.family("web.responses", ("status",), {(status,): 0 for status in STATUSES}, "counter", "", "Responses sent"),
            *[writer.gauge(key.removeprefix("gauge:"), 0, type="q") for key in POOL],
        )
        self.publish("others", writer.gauge("web.load", 0.5), *writer.family("web.heap", ("pool",), {("a",): 1, ("b",): 2}, "gauge", "bytes"))
        self.publish("times", *writer.distribution("web.latency", [], powers=range(-13, -1)))
        self.serve("--history", "0", os.path.join(self.folder, "*.mmstats"))  # samples are those that the tests tell

    def still(self, fragment, samples=100, gap=None):
        """The page does not ask, and has seen waves."""
        self.view(f"paused&{fragment}", wait_for="paused")
        self.past(samples, gap=gap)

    def plot(self, script, plot=0):
        """What `script` is of a plot `p`."""
        return self.js(f"((p) => {script})(mmash.plots.plots[{plot}])")

    def element(self, selector, plot=0):
        return self.js("mmash.plots.plots[arguments[0]].element.querySelector(arguments[1])", plot, selector)

    def toggle(self, name, plot=0):
        """The button of a line in a legend."""
        return self.js(
            "[...mmash.plots.plots[arguments[0]].element.querySelectorAll('.line-toggle')].find((one) => one.textContent === arguments[1])", plot, name
        )

    def note(self, plot=0):
        return self.element(".plot-note", plot).get_property("textContent")

    def drag(self, element, start, end):
        """With the mouse, from one place of it to another: {x, y} from its middle."""
        ActionChains(self.browser, duration=50).move_to_element_with_offset(element, *start).click_and_hold().move_to_element_with_offset(element, *end).release().perform()

    def with_key(self, key, element):
        ActionChains(self.browser).key_down(key).click(element).key_up(key).perform()

    def drawn(self, plot=0):
        """Rows that dygraphs has, of [milliseconds, number ...]; None is a gap."""
        return self.plot("Array.from({length: p.dygraph.numRows()}, (_, row) => Array.from({length: p.dygraph.numColumns()}, (_, column) => p.dygraph.getValue(row, column)))", plot)

    def window(self, plot=0):
        return self.plot("p.dygraph.xAxisRange()", plot)

    def shown_lines(self, plot=0):
        """Names of lines that are not hidden."""
        return self.plot("[...p.element.querySelectorAll('.line-toggle[aria-pressed=true]')].map((one) => one.textContent)", plot)

    def same_view_again(self):
        """Opens the address of this view anew, with the same past."""
        fragment = self.js("location.hash.slice(1)")
        self.view(fragment, wait_for="paused")
        self.past()

    # ---- stacks ----

    def test_a_stack_stands_on_what_is_below_and_a_gap_is_a_gap(self):
        self.site()
        self.still(f"plot=auto;{';'.join(POOL[:3])}&family=value;{RESPONSES}", gap=(40, 50))
        plain = self.drawn()
        self.element(".stack").click()
        self.wait_for_drawing()
        stacked = self.drawn()
        gaps = 0
        for row, sums in zip(plain, stacked, strict=True):
            there = [number for number in row[1:] if number is not None]
            want = [sum(there[: 1 + sum(other is not None for other in row[1:at])]) if number is not None else None for at, number in enumerate(row[1:], 1)]
            for got, one in zip(sums[1:], want, strict=True):
                self.assertEqual(got is None, one is None)
                if one is not None:
                    self.assertAlmostEqual(got, one)
            gaps += row[1] is None
        self.assertEqual(gaps, 10)
        # The legend has each line's own number.
        own = self.plot("p.rows[p.rows.length - 1].slice(1)")
        self.assertEqual(own, plain[-1][1:])
        # A family's, too; and both are in the link.
        self.element(".stack", 1).click()
        self.wait_for_drawing()
        self.assertAlmostEqual(self.drawn(1)[-1][4], sum(self.plot("p.rows[p.rows.length - 1].slice(1)", 1)))
        self.wait("location.hash.includes('plot=auto,stack;gauge') && location.hash.includes('family=value,stack;counter')", "the link has them")
        self.same_view_again()
        self.assertEqual(self.plot("[p.stacks, p.plain.stack]"), [True, True])
        self.assertEqual(self.element(".stack", 1).get_attribute("aria-pressed"), "true")

    def test_numbers_below_zero_hang_below_it(self):
        self.serve()
        self.view(wait_for=None)
        rows = [[1, 2, -1, 3, -4], [2, None, 5, -2, 1]]
        got = self.imported(
            "stack.js",
            "(({tops, bases}) => [tops.map((row) => row.map(String)), bases.map((one) => [...one])])(m.bandsOf(args[0].map((row) => row.map((one) => one ?? NaN))))",
            rows,
        )
        self.assertEqual(got, [[["1", "2", "-1", "5", "-5"], ["2", "NaN", "5", "-2", "6"]], [[0, 0], [0, 0], [2, 0], [-1, 5]]])

    def test_an_area_ends_where_its_line_has_a_gap(self):
        self.site()
        self.still(f"plot=auto,stack;{';'.join(POOL[:2])}", gap=(40, 60))
        # The colour in the middle of a line's area, at a sample.
        colour = lambda row, line: self.plot(
            f"""((g, [, first, second]) => {{
              const drawn = p.element.querySelector("canvas"), ratio = devicePixelRatio;
              const canvas = Object.assign(document.createElement("canvas"), {{ width: drawn.width, height: drawn.height }});
              const context = canvas.getContext("2d", {{ willReadFrequently: true }});
              context.drawImage(drawn, 0, 0);
              const y = g.toDomYCoord({line} === 1 ? first / 2 : (first || 0) + second / 2), x = g.toDomXCoord(g.getValue({row}, 0));
              return [...context.getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data];
            }})(p.dygraph, p.rows[{row}])"""
        )
        # Where it is the widest.
        rows = self.plot("p.rows")
        widest = lambda line, those: colour(max(those, key=lambda row: rows[row][line]), line)
        first, second, gap = widest(1, range(2, 38)), widest(2, range(2, 38)), widest(2, range(42, 58))
        far = lambda one, other: max(abs(a - b) for a, b in zip(one, other, strict=True))
        self.assertGreater(far(first, second), 50)
        # In the gap the second one stands on nothing, and has its own colour alone.
        self.assertLess(far(gap, second), 25)

    def test_what_does_not_add_up_is_not_stacked_and_that_is_said(self):
        self.site()
        self.still(f"plot=auto,stack;gauge:web.load;{POOL[0]}&plot=auto;gauge:web.latency.p50;gauge:web.latency.p99&plot=auto;{POOL[0]};counter:web.responses.200&plot=auto;histogram:web.latency")
        for plot, why in ((0, "web.load is no sum: over workers it is an average"), (1, "percentiles do not add up"), (2, "they are counted in different units")):
            button = self.element(".stack", plot)
            self.assertEqual(button.get_attribute("aria-disabled"), "true")
            self.assertEqual(self.plot("p.stacks", plot), False)
            button.click()
            daemons.wait_until(lambda: f"Not stacked: {why}" in self.note(plot), f"why not: {self.note(plot)}")
            self.assertEqual(button.get_attribute("aria-pressed"), "false")
        self.assertFalse(self.element(".stack", 3).is_displayed())

    # ---- the legend ----

    def test_a_name_hides_its_line_and_alone_shows_it_alone(self):
        self.site()
        self.still(f"plot=auto;{';'.join(POOL[:3])}&family=auto;{RESPONSES};top=2&plot=auto;histogram:web.latency")
        for plot, names in ((0, ["part00", "part01", "part02"]), (1, self.shown_lines(1)), (2, ["p50", "p90", "p99", "max"])):
            self.assertEqual(self.shown_lines(plot), names)
            before = self.drawn(plot)[-1]
            self.toggle(names[1], plot).click()
            self.wait_for_drawing()
            self.assertEqual(self.shown_lines(plot), [name for name in names if name != names[1]])
            self.assertEqual(self.drawn(plot)[-1], [before[0], before[1], None, *before[3:]])
            self.assertTrue(self.toggle(names[1], plot).is_displayed())
            # By the keyboard it is there again.
            self.js("arguments[0].focus()", self.toggle(names[1], plot))
            self.press(Keys.ENTER)
            self.wait_for_drawing()
            self.assertEqual(self.drawn(plot)[-1], before)
            # Alone, in each of the ways; the second time all are back.
            for way in (
                lambda: self.with_key(Keys.ALT, self.toggle(names[2], plot)),
                lambda: self.with_key(Keys.CONTROL, self.toggle(names[2], plot)),
                lambda: ActionChains(self.browser).double_click(self.toggle(names[2], plot)).perform(),
                lambda: ActionChains(self.browser).key_down(Keys.ALT).send_keys(Keys.ENTER).key_up(Keys.ALT).perform(),
            ):
                self.js("arguments[0].focus()", self.toggle(names[2], plot))
                way()
                self.assertEqual(self.shown_lines(plot), [names[2]])
                self.js("arguments[0].focus()", self.toggle(names[2], plot))
                way()
                self.assertEqual(self.shown_lines(plot), names)
        # The axis is that of the lines that are drawn.
        most = self.plot("[1, 2, 3].map((line) => Math.max(...p.rows.map((row) => row[line])))")
        self.assertLess(most[1], max(most))
        self.with_key(Keys.ALT, self.toggle("part01"))
        self.wait_for_drawing()
        self.assertAlmostEqual(self.plot("p.dygraph.yAxisRange()[1]"), most[1] * 1.08)
        self.choose("Show all lines")
        self.wait_for_drawing()
        self.assertAlmostEqual(self.plot("p.dygraph.yAxisRange()[1]"), max(most) * 1.08)

    def test_a_legend_does_not_scroll_aside_and_what_it_offers_hides_no_number(self):
        self.publish("long", writer.gauge(f"pool.{'x' * 200}", 0, type="q"), with_sys=False)
        self.site()
        self.still(f"plot=auto;{';'.join(POOL[:14])};gauge:pool.{'x' * 200}&family=auto;{RESPONSES}")
        for width in (390, 1280, 1920):
            self.size(width, 900)
            self.wait_for_drawing()
            self.assertEqual(self.js("[...document.querySelectorAll('.legend')].map((one) => one.scrollWidth - one.clientWidth)"), [0, 0])
            over = self.js(
                """[...document.querySelectorAll(".legend li:has(.drop, .only-this)")].filter((line) => {
                  const [button, value] = [".drop, .only-this", ".line-value"].map((one) => line.querySelector(one).getBoundingClientRect());
                  return button.width < 24 || (button.left < value.right && value.left < button.right && button.top < value.bottom);
                }).length"""
            )
            self.assertEqual(over, 0)

    def test_hidden_lines_are_in_the_link(self):
        self.site()
        self.still(f"plot=auto;{';'.join(POOL[:3])}&family=auto;{RESPONSES};top=2&plot=auto;histogram:web.latency")
        hidden = [self.shown_lines(0)[1], self.shown_lines(1)[0], self.shown_lines(2)[3]]
        for plot, name in enumerate(hidden):
            self.toggle(name, plot).click()
        self.toggle("other", 1).click()
        self.wait(f"location.hash.includes('hide1') && location.hash.includes(';hide={hidden[1]};hide-rest') && location.hash.includes('hide3')", "the link has them")
        shown = [self.shown_lines(plot) for plot in range(3)]
        self.same_view_again()
        self.assertEqual([self.shown_lines(plot) for plot in range(3)], shown)
        # What is alone is drawn, whatever a link says; and places are those of the lines that there were.
        self.assertEqual(self.js("mmash.plots.add({keys: [arguments[0]], hide: [0]}).hidden.size", POOL[0]), 0)
        whole = "mmash.plots.add({keys: ['gauge:web.load', 'histogram:web.latency'], hide: [0]})"
        self.js(f"mmash.plots.drop({whole}, 'gauge:web.load')")
        self.assertEqual(self.js("mmash.plots.plots.at(-1).hidden.size"), 0)
        # A line that the link names by another kind stays hidden when it has its own.
        former = POOL[0].replace("gauge:", "counter:")
        self.js("void [mmash.plots.add({keys: arguments[0], hide: [0]}), mmash.plots.nameAsFound()]", [former, POOL[1]])
        self.assertEqual(self.js("[mmash.plots.plots.at(-1).keys, [...mmash.plots.plots.at(-1).hidden]]"), [POOL[:2], POOL[:1]])
        # A series that is taken out is not hidden when it comes back.
        self.js("mmash.plots.drop(mmash.plots.plots[0], arguments[0])", POOL[1])
        self.js("mmash.plots.plots[0].setKeys(arguments[0])", POOL[:3])
        self.wait_for_drawing()
        self.assertEqual(len(self.shown_lines()), 3)

    # ---- room ----

    def boxes(self):
        return self.js("mmash.plots.plots.map(({element}) => element.getBoundingClientRect()).map(({x, y, width, height}) => [x, y, width, height].map(Math.round))")

    def test_plots_use_the_room_that_is_there(self):
        self.site()
        for width, height in ((1280, 800), (1920, 1080), (390, 844)):
            self.size(width, height)
            for count, columns in ((1, 1), (2, 1), (4, 2), (20, 3 if width == 1920 else 2)):
                with self.subTest(width=width, count=count):
                    columns = 1 if width == 390 else columns
                    self.still("&".join(f"plot=auto;{key}" for key in POOL[:count]))
                    boxes = self.boxes()
                    self.assertEqual(len({x for x, *_ in boxes}), columns)
                    stage = self.js("((s) => [s.clientWidth, s.clientHeight, s.scrollHeight])(document.querySelector('.stage'))")
                    self.assertAlmostEqual(sum(box[2] for box in boxes[:columns]), stage[0], delta=24 + 12 * columns)
                    self.assertLessEqual(self.js("document.documentElement.scrollWidth"), width)
                    if width == 390:
                        continue
                    if count <= 4:
                        # All in sight, and no room left.
                        self.assertLessEqual(stage[2], stage[1])
                        lowest = max(y + tall for _, y, _, tall in boxes)
                        self.assertGreater(lowest, height - 80)
                    else:
                        self.assertGreater(stage[2], stage[1])
                        self.assertTrue(all(tall >= 260 for *_, tall in boxes))

    def test_a_plot_gets_the_height_and_the_width_that_somebody_gives_it(self):
        self.site()
        self.still("&".join(f"plot=auto;{key}" for key in POOL[:6]))
        tall = lambda: self.plot("p.canvas.clientHeight")
        before = tall()
        self.drag(self.element(".grip"), (0, 0), (0, 90))
        self.assertAlmostEqual(tall(), before + 90, delta=2)
        self.assertEqual(self.plot("p.dygraph.height_"), tall())
        # By keys, wherever in the plot; in a field they are what they are.
        self.js("mmash.plots.plots[0].canvas.focus()")
        self.press("+")
        self.assertAlmostEqual(tall(), before + 130, delta=2)
        self.press("-", "-")
        self.assertAlmostEqual(tall(), before + 50, delta=2)
        self.choose("Lower")
        self.wait_for_drawing()
        self.assertAlmostEqual(tall(), before + 10, delta=2)
        for _ in range(30):
            self.press("-")
        self.assertEqual(tall(), 80)
        self.choose("Taller")
        self.wait_for_drawing()
        self.assertEqual(tall(), 120)
        self.choose("Full width")
        self.wait_for_drawing()
        boxes = self.boxes()
        self.assertGreater(boxes[0][2], boxes[1][2] * 1.9)
        self.wait("location.hash.includes('plot=auto,wide,h120;')", "the link has both")
        self.same_view_again()
        self.assertEqual((self.boxes(), tall()), (boxes, 120))
        self.choose("As tall as there is room")
        self.wait_for_drawing()
        self.wait("location.hash.includes('plot=auto,wide;')", "the link is without it")
        self.assertGreater(tall(), 150)
        ActionChains(self.browser).double_click(self.element(".grip")).perform()
        self.assertEqual(self.plot("p.height"), None)

    # ---- zoom ----

    def test_a_plot_that_goes_while_it_is_dragged_over_leaves_no_selection(self):
        self.site()
        self.still(f"plot=auto;{POOL[0]}&plot=auto;{POOL[1]}")
        drawing = self.element(".drawing")
        wide = drawing.size["width"]
        ActionChains(self.browser, duration=50).move_to_element_with_offset(drawing, -wide // 4, 0).click_and_hold().move_to_element_with_offset(drawing, wide // 4, 0).perform()
        self.wait("mmash.plots.selection !== null", "it is being chosen")
        self.press(Keys.DELETE)
        self.wait("mmash.plots.plots.length === 1", "the plot is gone")
        ActionChains(self.browser).release().perform()
        self.assertTrue(self.js("mmash.plots.selection === null && mmash.plots.plots[0].element.querySelector('.selection').hidden"))

    def test_a_drag_zooms_all_plots_and_escape_goes_back(self):
        self.site()
        self.view(f"rate=10000&plot=auto;{POOL[0]}&plot=auto;histogram:web.latency&family=auto,stack;{RESPONSES}")
        self.past()
        ways_back = (
            lambda: ActionChains(self.browser).double_click(self.element(".drawing")).perform(),
            lambda: (self.js("mmash.plots.plots[0].canvas.focus()"), self.press(Keys.ESCAPE)),
            lambda: self.element(".zoom-out", 1).click(),
        )
        for way in ways_back:
            drawing = self.element(".drawing", 2)
            wide = drawing.size["width"]
            self.drag(drawing, (wide // 4, 0), (-wide // 8, 10))
            # What somebody looks at closely stands still.
            self.wait("mmash.live.state === 'paused'", "it stands")
            self.wait_for_drawing()
            first, last = self.plot("[p.rows[0][0], p.rows.at(-1)[0]]")
            whole = [min(first, last - 20 * 10_000), last]  # twenty samples have room at least
            zoomed = self.window()
            self.assertAlmostEqual((zoomed[1] - zoomed[0]) / (whole[1] - whole[0]), 3 / 8, delta=0.1)
            self.assertEqual([self.window(plot) for plot in (1, 2)], [zoomed, zoomed])
            # So does the heatmap, and the axis is that of what is seen.
            inside = self.plot(f"p.rows.filter(([time]) => {zoomed[0]} <= time && time <= {zoomed[1]}).map((row) => row[1])")
            self.assertAlmostEqual(self.plot("p.dygraph.yAxisRange()[1]"), max(inside) * 1.08)
            columns = self.plot("p.heatmap.columns.map(({from, to, left, right}) => [from * 1000, to * 1000, left, right])", 1)
            self.assertTrue(all(end > zoomed[0] and begin < zoomed[1] and right > left for begin, end, left, right in columns), columns)
            self.assertAlmostEqual(len(columns), len(inside), delta=2)
            self.assertRegex(self.element(".plot-span").text, "^1\u202fmin .* until ")
            way()
            self.wait_for_drawing()
            self.assertEqual(self.window(), whole)
            self.assertFalse(self.element(".zoom-out").is_displayed())
            self.assertEqual(self.js("mmash.live.state"), "paused")
        self.assertNotIn("zoom", self.js("location.hash"))
        # A click is no zoom; and what comes is not in it.
        self.element(".drawing").click()
        self.assertIsNone(self.js("mmash.plots.zoom"))
        drawing = self.element(".drawing")
        self.drag(drawing, (-50, 0), (50, 0))
        self.wait("mmash.plots.zoom !== null", "zoomed")
        self.press("p")
        self.wait("mmash.live.state === 'live' && mmash.plots.zoom === null", "it goes on, with all")
        # Escape goes back wherever one is, but in a field; and no link takes the zoom along.
        self.drag(drawing, (-50, 0), (50, 0))
        self.wait("mmash.plots.zoom !== null", "zoomed")
        self.js("document.getElementById('tree').focus()")
        self.press(Keys.ESCAPE)
        self.assertIsNone(self.js("mmash.plots.zoom"))
        self.drag(drawing, (-50, 0), (50, 0))
        self.wait("mmash.plots.zoom !== null", "zoomed")
        self.js("void (location.hash = arguments[0])", f"paused&plot=auto;{POOL[0]}")
        self.wait("mmash.plots.plots.length === 1 && mmash.plots.zoom === null", "another view")

    def test_a_drag_ends_where_the_button_is_let_go_though_no_move_was_told(self):
        self.site()
        self.still(f"plot=auto;{POOL[0]}")
        left, right, middle = self.js("((box) => [box.x + 100, box.x + 330, box.y + box.height / 2])(document.querySelector('.drawing').getBoundingClientRect())")
        want = self.plot(f"[{left}, {right}].map((at) => p.dygraph.toDataXCoord(at - p.canvas.getBoundingClientRect().left))")
        for kind, at in (("mousePressed", left), ("mouseReleased", right)):
            self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": at, "y": middle, "button": "left", "buttons": 1, "clickCount": 1})
        self.wait("mmash.plots.zoom !== null", "zoomed")
        for got, one in zip(self.js("mmash.plots.zoom"), want, strict=True):
            self.assertAlmostEqual(got, one, delta=2000)

    def test_a_finger_zooms_aside_and_scrolls_up(self):
        self.site()
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True})
        self.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        self.addCleanup(self.browser.execute_cdp_cmd, "Emulation.setTouchEmulationEnabled", {"enabled": False})
        self.still(f"family=auto,stack;{RESPONSES}&plot=auto;{';'.join(POOL[:4])}&plot=auto;histogram:web.latency")
        self.js("document.querySelector('.stage').scrollIntoView()")
        # What a mouse finds by pointing is there.
        self.assertEqual(self.js("[...document.querySelectorAll('.only-this, .drop')].map((one) => getComputedStyle(one).opacity)"), ["1"] * 8)
        self.picture("plots_touch")
        left, right, middle = self.js("((box) => [box.x + 100, box.x + 230, box.y + box.height / 2])(document.querySelector('.drawing').getBoundingClientRect())")
        want = self.plot(f"[{left}, {right}].map((at) => p.dygraph.toDataXCoord(at - p.canvas.getBoundingClientRect().left))")
        touch = lambda kind, *at: self.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at[0], "y": at[1]}] if at else []})
        touch("touchStart", left, middle)
        for part in range(11):
            touch("touchMove", left + (right - left) * part / 10, middle)
        touch("touchEnd")
        self.wait("mmash.plots.zoom !== null", "zoomed")
        zoom = self.js("mmash.plots.zoom")
        for got, one in zip(zoom, want, strict=True):
            self.assertAlmostEqual(got, one, delta=2000)  # milliseconds: less than three pixels
        touch("touchStart", left, middle)
        for part in range(11):
            touch("touchMove", left, middle - 20 * part)
        touch("touchEnd")
        self.wait("mmash.plots.selection === null", "nothing is selected")
        self.assertEqual(self.js("mmash.plots.zoom"), zoom)

    def test_the_keys_read_select_and_zoom(self):
        self.site()
        self.still(f"plot=auto;{POOL[0]};{POOL[1]}&plot=auto;{POOL[2]}")
        self.js("mmash.plots.plots[0].canvas.focus()")
        rows = self.plot("p.rows")
        label = self.js("mmash.plots.plots[0].canvas.getAttribute('aria-label')")
        pointed = lambda: [row[0] for row in rows].index(self.js("mmash.plots.pointed"))
        self.press(Keys.ARROW_LEFT)
        self.assertEqual(pointed(), 99)
        self.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
        self.assertEqual(pointed(), 98)
        self.press(Keys.HOME)
        self.assertEqual(pointed(), 0)
        self.press(Keys.PAGE_DOWN)
        self.assertEqual(pointed(), 10)
        # In the legend, and once in words, when the keys rest.
        values = self.plot("[...p.element.querySelectorAll('.line-value')].map((one) => one.textContent)")
        said = "mmash.plots.plots[0].element.querySelector('[aria-live]').textContent"
        self.wait(f"{said}.endsWith('part00 {values[0]}, part01 {values[1]}')", "it is said")
        self.assertRegex(self.js(said), r"^\d\d:\d\d:\d\d: ")
        self.press(Keys.END)
        self.press(*[Keys.ARROW_LEFT] * 9)
        # However fast the keys come: a reader waits until they rest.
        self.wait(f"{said}.startsWith(document.querySelector('.plot-time').textContent)", "the last one is said")
        waits, changes = self.browser.execute_async_script(
            """const node = mmash.plots.plots[0].element.querySelector("[aria-live]"), done = arguments[0], waits = []; let changes = 0;
            new MutationObserver(() => ++changes).observe(node, { childList: true, characterData: true, subtree: true });
            const before = node.textContent, { canvas } = mmash.plots.plots[0], later = window.setTimeout;
            window.setTimeout = (what, wait) => { waits.push(wait); return later(what, wait); };
            for (let n = 0; n < 20; n++) canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
            window.setTimeout = later;
            const look = () => (node.textContent === before ? later(look, 20) : later(() => done([waits, changes]), 100)); look();"""
        )
        self.assertEqual(changes, 1)
        self.assertEqual([wait for wait in waits if wait < 200], [])
        # The name of what has the focus does not change under it.
        self.assertEqual(self.js("mmash.plots.plots[0].canvas.getAttribute('aria-label')"), label)
        # Select, and zoom; back in two steps.
        self.press(Keys.HOME)
        for _ in range(20):
            self.press(Keys.ARROW_RIGHT)
        ActionChains(self.browser).key_down(Keys.SHIFT).send_keys(*[Keys.ARROW_RIGHT] * 30).key_up(Keys.SHIFT).perform()
        self.assertEqual(self.js("mmash.plots.selection"), [rows[20][0], rows[50][0]])
        self.assertTrue(self.element(".selection", 1).is_displayed())
        self.press(Keys.ENTER)
        self.wait_for_drawing()
        self.assertEqual(self.window(1), [rows[20][0], rows[50][0]])
        self.press(Keys.HOME)
        self.assertEqual(pointed(), 20)
        self.press(Keys.ESCAPE)
        self.wait_for_drawing()
        self.assertIsNone(self.js("mmash.plots.zoom"))
        self.press(Keys.ESCAPE)
        self.assertIsNone(self.js("mmash.plots.pointed"))

    # ---- axes ----

    def test_on_a_log_scale_zero_is_a_gap_and_that_is_said(self):
        self.publish("app", writer.gauge("level", 5.0))
        self.serve()
        self.view("rate=50&paused&plot=auto;gauge:level", wait_for="paused")
        values = [1, 10, 0, 1000, -3, 10000]
        self.js("arguments[0].forEach((value, at) => mmash.history.tick(1000 + 2 * at, [[mmash.live.series.find(({label}) => label === 'level'), value]], 2))", values)
        self.wait_for_drawing()
        self.assertEqual(self.note(), "")
        self.choose("Log scale")
        self.wait_for_drawing()
        self.assertEqual([row[1] for row in self.drawn()], [1, 10, None, 1000, None, 10000])
        self.assertIn("Zero and below are gaps", self.note())
        low, high = self.plot("p.dygraph.yAxisRange()")
        self.assertTrue(0.5 < low < 1 and 10000 < high < 20000, (low, high))
        # Equal factors are equal steps.
        at = lambda number: self.plot(f"p.dygraph.toDomYCoord({number})")
        self.assertAlmostEqual(at(1) - at(10), at(1000) - at(10000), delta=0.01)
        self.wait("location.hash.includes('plot=auto,log;')", "the link has it")
        # The legend tells what it is, all the same.
        self.assertEqual(self.plot("p.row[1]"), 10000)
        self.choose("Log scale")
        self.wait_for_drawing()
        self.assertEqual([row[1] for row in self.drawn()], values)
        self.assertEqual(self.note(), "")

    def test_units_that_share_an_axis_are_told(self):
        self.site()
        self.still(f"plot=auto;gauge:web.heap.a;gauge:web.load&plot=auto;{POOL[0]};gauge:web.load&plot=auto;counter:web.responses.200;gauge:web.load;gauge:web.heap.a")
        self.assertEqual(self.note(0), "bytes and plain numbers share this axis")
        self.assertEqual(self.note(1), "")
        self.assertEqual(self.note(2), "numbers/s, plain numbers and bytes share this axis")
        self.toggle("heap.a").click()
        daemons.wait_until(lambda: self.note(0) == "", "one unit is left")

    def test_a_plot_tells_how_long_its_time_is(self):
        self.site()
        self.view(f"plot=auto;{POOL[0]}")
        self.past(101)
        text = lambda: self.element(".plot-span").text.replace("\u202f", " ")
        self.assertRegex(text(), r"^last \d+ min( \d+ s)?$")
        self.press("p")
        self.wait("mmash.live.state === 'paused'", "paused")
        self.js("mmash.plots.draw()")
        daemons.wait_until(lambda: " until " in text(), "it is over")
        for seconds, want in ((0.35, "0.4 s"), (3.25, "3.3 s"), (9.96, "10 s"), (45, "45 s"), (200, "3 min 20 s"), (3600, "1 h"), (3900, "1 h 5 min"), (3630, "1 h"), (90061, "1 d 1 h")):
            self.assertEqual(self.imported("format.js", "m.spanOf(args[0])", seconds).replace("\u202f", " "), want)

    # ---- files ----

    def test_what_is_drawn_is_a_csv_file(self):
        self.site()
        downloads = os.path.join(self.folder, "downloads")
        os.mkdir(downloads)
        self.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": downloads})
        self.still(f"family=auto,stack;{RESPONSES};top=2&plot=auto;{POOL[0]};gauge:web.heap.a&plot=auto;histogram:web.latency", gap=(40, 50))
        rows = self.plot("p.rows", 0)
        self.toggle("other").click()
        self.js("mmash.plots.zoomTo([arguments[0], arguments[1]])", rows[30][0], rows[60][0])
        self.wait_for_drawing()

        def download(plot):
            self.choose("Download as CSV", plot)
            there = lambda: [name for name in glob.glob(os.path.join(downloads, "*.csv")) if os.path.getsize(name)]
            (name,) = daemons.wait_until(there, "the file")
            with open(name, encoding="utf-8", newline="") as file:
                table = list(csv.reader(file))
            os.remove(name)
            return os.path.basename(name), table

        name, (head, *lines) = download(0)
        self.assertRegex(name, r"^web\.responses-by-status-\d{4}-\d\d-\d\dT\d{6}Z\.csv$")
        lines_shown = self.shown_lines()
        self.assertEqual(head, ["time", "unix_seconds", *[f'web.responses{{status="{status}"}} [/s]' for status in lines_shown]])
        self.assertEqual(len(lines), 31)
        for line, row in zip(lines, rows[30:61], strict=True):
            self.assertRegex(line[0], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$")
            self.assertEqual(float(line[1]), row[0] / 1000)
            # Each line's own numbers, not what they stand on.
            self.assertEqual([None if cell == "" else float(cell) for cell in line[2:]], row[1:3])
        self.assertEqual(sum(line[2] == "" or line[3] == "" for line in lines), 10)
        self.assertEqual(download(1)[1][0], ["time", "unix_seconds", "pool.part00", 'web.heap{pool="a"} [bytes]'])
        self.assertEqual(download(2)[1][0][2:], [f"web.latency.{part} [seconds]" for part in ("p50", "p90", "p99", "max")])

    def test_names_in_a_csv_file_are_no_formulas(self):
        self.serve()
        self.view(wait_for=None)
        for text, want in (
            ("web.requests", "web.requests"),
            ("=1+2", "'=1+2"),
            ("  @sum", "'  @sum"),
            ("a,b", '"a,b"'),
            ('say "x"', '"say ""x"""'),
            ("a;=b;-c", "\"a;'=b;'-c\""),
            ("'quoted", "''quoted"),
            ("＋1", "'＋1"),
            ("tab\there", "tab\\there"),
            ("ends ", '"ends "'),
            ("a-b=c", "a-b=c"),
            ("", ""),
        ):
            self.assertEqual(self.imported("plot_csv.js", "m.csvField(args[0])", text), want, text)
        table = self.imported("plot_csv.js", "m.csvOf([{name: '=a', unit: 'b,c'}], [[1500, NaN], [2000.5, -2]])")
        self.assertEqual(list(csv.reader(io.StringIO(table))), [["time", "unix_seconds", "'=a [b,c]"], ["1970-01-01T00:00:01.500Z", "1.5", ""], ["1970-01-01T00:00:02.000Z", "2.0005", "-2"]])

    # ---- the menu, and links ----

    def test_the_menu_is_one_and_the_keys_go_through_it(self):
        self.site()
        self.still(f"plot=auto;{POOL[0]};{POOL[1]}&search=part")
        button = self.element(".menu-button")
        expanded = lambda: button.get_attribute("aria-expanded")
        self.assertEqual((expanded(), button.get_attribute("aria-haspopup")), ("false", "menu"))
        self.js("arguments[0].focus()", button)
        self.press(Keys.ENTER)
        self.assertEqual(expanded(), "true")
        active = lambda: self.js("[document.activeElement.getAttribute('role'), document.activeElement.firstChild.textContent]")
        self.assertEqual(active(), ["menuitemcheckbox", "Axis starts at zero"])
        self.press(Keys.ARROW_DOWN)
        self.assertEqual(active(), ["menuitemcheckbox", "Log scale"])
        self.press(Keys.ARROW_UP, Keys.ARROW_UP)
        self.assertEqual(active(), ["menuitem", "Download as CSV"])
        # Letters are no keys of the page in it, and Escape closes it alone.
        self.press("p", "+", Keys.DELETE)
        self.press(Keys.ESCAPE)
        self.assertEqual(expanded(), "false")
        self.assertTrue(self.js("document.activeElement === arguments[0]", button))
        self.assertEqual(self.js("[mmash.live.paused, mmash.plots.plots.length, mmash.plots.plots[0].height, mmash.tree.search]"), [True, 1, None, "part"])
        button.click()
        self.assertTrue(self.js("((box) => box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth)(document.querySelector('.menu:popover-open').getBoundingClientRect())"))
        self.browser.find_element(By.ID, "status").click()
        self.assertEqual(expanded(), "false")
        # What cannot be chosen says why.
        self.element(".stack").click()
        button.click()
        why = self.js("[...document.querySelectorAll('.menu [aria-disabled]')].map((one) => one.textContent)")
        self.assertEqual(why, ["Axis starts at zeroa stack always does", "Log scalea stack has none"])
        self.press(Keys.ENTER, Keys.ARROW_DOWN, Keys.ENTER, Keys.ESCAPE)
        self.assertEqual(self.plot("[p.stacks, p.zero, p.log]"), [True, None, False])
        # And there are few buttons beside it.
        self.assertLessEqual(len([one for one in self.browser.find_elements(By.CSS_SELECTOR, ".plot-tools button") if one.is_displayed()]), 5)

    def test_nonsense_about_looks_in_a_link_is_left_out(self):
        self.site()
        self.still(f"plot=auto,stack,log,h1e9,hx,h-5,hide,hide.9.x,wide,__proto__;{POOL[0]};{POOL[1]}&plot=value,h99999,constructor;{POOL[0]}&family=auto,hide3;{RESPONSES};hide=%ZZ;hide-rest=1")
        self.assertEqual(
            self.js("mmash.plots.plots.map((plot) => ({...plot.plain, keys: 0}))"),
            [
                {"keys": 0, "mode": "auto", "zero": None, "stack": True, "wide": True},
                {"keys": 0, "mode": "value", "zero": None, "height": 1600},
                {"keys": 0, "family": RESPONSES, "by": None, "top": 8, "where": [], "figure": "p99", "mode": "auto", "zero": None},
            ],
        )

    # ---- people who see or point less well ----

    def test_buttons_are_large_enough_and_their_names_have_the_word_that_is_seen(self):
        self.site()
        self.view(f"open=web&plot=auto;{POOL[0]};{POOL[1]}&family=auto,stack;{RESPONSES};top=2;where=status:200;where=status:404;where=status:500&plot=auto;histogram:web.latency&table={RESPONSES}")
        self.past()
        self.js("mmash.plots.hold()")
        self.js("mmash.plots.zoomTo([mmash.history.now * 1000 - 60000, mmash.history.now * 1000])")
        self.wait_for_drawing()
        for width in (1280, 390):
            self.size(width, 900)
            self.wait_for_drawing()
            self.js("document.querySelector('.menu-button').click()")
            small, nameless = self.js(
                """((buttons) => [
                  buttons.map((one) => [one.textContent || one.type, ...["width", "height"].map((side) => Math.round(10 * one.getBoundingClientRect()[side]) / 10)]).filter(([, ...sides]) => Math.min(...sides) < 24),
                  buttons.filter((one) => one.matches("button")).map((one) => [[...one.childNodes].filter((node) => node.nodeName !== "KBD").map((node) => node.textContent).join("").replace(/[×…?]/g, "").trim(), one.getAttribute("aria-label") ?? one.textContent])
                    .filter(([word, name]) => !name.toLowerCase().includes(word.toLowerCase())),
                ])([...document.querySelectorAll("button, select, input")].filter((one) => one.checkVisibility()))"""
            )
            self.assertEqual(small, [])
            self.assertEqual(nameless, [])
            fields = self.js("[...document.querySelectorAll('label:has([aria-label])')].map((one) => [one.firstChild.textContent, one.querySelector('[aria-label]').ariaLabel])")
            self.assertIn(["top", "top: How many have a line of their own"], fields)
            self.assertEqual([one for one in fields if one[0].lower() not in one[1].lower()], [])
            self.press(Keys.ESCAPE)

    # ---- what it costs ----

    def test_twenty_plots_cost_little_and_keep_nothing(self):
        self.site()
        self.view("rate=50&history=50&" + "&".join([f"family=auto,stack;{RESPONSES}", f"plot=auto,log;{POOL[1]};{POOL[2]}", *[f"plot=auto;{key}" for key in POOL[2:]]]))
        self.assertEqual(self.js("mmash.plots.plots.length"), 20)
        self.wait("mmash.history.length === 50", "it is full")
        self.assertLess(self.work_of_a_look(), self.work_of_drawing(5_000))

        def kept():
            self.browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
            metrics = {one["name"]: one["value"] for one in self.browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
            return metrics["JSHeapUsedSize"], metrics["Nodes"], metrics["JSEventListeners"]

        def looks(count):
            requests = self.js("mmash.live.requests")
            self.wait(f"mmash.live.requests > {requests} + {count}", f"{count} looks", 300)

        looks(50)
        before = kept()
        looks(400)
        after = kept()
        # The rows of the plots in sight, kept by mistake at each look, would be 1,300,000.
        self.assertLess(after[0] - before[0], 800_000, (before, after))
        self.assertLess(after[1] - before[1], 500, (before, after))
        self.assertLess(after[2] - before[2], 50, (before, after))

    # ---- pictures ----

    def test_pictures(self):
        self.site()
        family = f"family=auto,stack;{RESPONSES}"
        log = f"plot=auto,log;{POOL[0]};{POOL[9]};{POOL[14]}"
        views = {
            "1": [family],
            "1_line": [f"plot=auto;{POOL[3]}"],
            "2": [f"plot=auto;{POOL[3]}", family],
            "4": [family, f"family=auto;{RESPONSES};hide=301", log, "plot=auto;histogram:web.latency"],
            "20": [family, f"plot=auto,hide1;{';'.join(POOL[:4])}", log, *[f"plot=auto;{key}" for key in POOL[3:]]],
        }
        for scheme in ("light", "dark"):
            self.media(scheme)
            for name, plots in views.items():
                self.size(1280, 800)
                self.view("&".join(plots))
                self.past(gap=(40, 50))
                for width, height in ((1280, 800), (1920, 1080), (390, 844)):
                    if scheme == "dark" and width == 1280:
                        continue
                    self.size(width, height)
                    self.wait_for_drawing()
                    if width == 390:
                        self.js("document.querySelector('.stage').scrollIntoView()")
                        self.wait_for_drawing()
                    self.picture(f"plots_{scheme}_{name}_{width}")
                    self.js("window.scrollTo(0, 0)")
            # What is done with them.
            self.size(1280, 800)
            self.view("&".join(views["4"]))
            self.past(gap=(40, 50))
            ActionChains(self.browser).move_to_element(self.toggle("404")).perform()
            self.picture(f"plots_{scheme}_hover")
            self.element(".menu-button").click()
            self.picture(f"plots_{scheme}_menu")
            self.press(Keys.ESCAPE)
            self.js("mmash.plots.plots[0].canvas.focus()")
            self.press(*[Keys.ARROW_LEFT] * 30)
            ActionChains(self.browser).key_down(Keys.SHIFT).send_keys(*[Keys.ARROW_LEFT] * 30).key_up(Keys.SHIFT).perform()
            self.picture(f"plots_{scheme}_selection")
            self.press(Keys.ENTER)
            self.wait_for_drawing()
            self.picture(f"plots_{scheme}_zoomed")
            self.press(Keys.ESCAPE)
            self.browser.find_element(By.ID, "help").click()
            self.picture(f"plots_{scheme}_help")
            self.js("document.getElementById('help-dialog').close()")
            self.press("p")
            self.wait("mmash.live.state === 'live'", "live again")
        self.stop_serving()
        self.wait("mmash.live.state === 'lost'", "the page sees it")
        self.picture("plots_lost")


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
