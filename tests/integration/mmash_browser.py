"""mmash's page in a real browser: what tests of it share."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import unittest

import daemons
import mmstats_writer as writer
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

MMASH = os.environ["MMSTATS_MMASH"]
PAGE = os.environ["MMSTATS_MMASH_PAGE"]
PICTURES = os.environ["MMSTATS_PICTURES"]  # where screenshots are left, to be looked at

SWITCHES = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,900",
    "--no-proxy-server",
]


class Mmash(daemons.Daemon):
    def __init__(self, workspace, globs, port=None):
        self.port = port or daemons.free_port()
        argv = [MMASH, "--listen", f"127.0.0.1:{self.port}", "--page", PAGE, *globs]
        super().__init__("mmash", argv, os.path.join(workspace, "mmash"))

    def ready(self):
        return daemons.port_answers(self.port)


def start_browser(folder):
    options = Options()
    options.binary_location = daemons.program("chromium")
    for switch in [*SWITCHES, f"--user-data-dir={folder}/profile"]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # All that a browser leaves behind stays in the folder.
    env = {**os.environ, "HOME": folder, "TMPDIR": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
    for tries in (2, 1, 0):
        # By itself it would take a port that another test may get before the driver binds it.
        service = Service(daemons.program("chromedriver"), port=daemons.free_port(), env=env)
        try:
            browser = webdriver.Chrome(service=service, options=options)
        except WebDriverException:
            # Both give up when a busy machine takes a minute to start it.
            service.stop()
            if not tries:
                raise
            continue
        browser.set_script_timeout(600)  # of those that answer later: how long that takes depends on the machine
        return browser


def label_key(label, kind="counter"):
    return f"{kind}:{label}"


class PageTest(unittest.TestCase):
    """Tests of the page: each class has a browser, and each test a folder of files."""

    @classmethod
    def setUpClass(cls):
        os.makedirs(PICTURES, exist_ok=True)
        # A path of its own: a socket's in it must be short.
        cls.profile = tempfile.mkdtemp(prefix="mmb", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.profile, ignore_errors=True)
        cls.browser = start_browser(cls.profile)
        cls.addClassCleanup(cls.browser.quit)

    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.mmash = None
        self.expected = ()
        self.size(1400, 900)
        self.media("light")
        self.browser.get("about:blank")
        self.browser.get_log("browser")

    def tearDown(self):
        # Nothing may go wrong unseen: no exception, no refused file, nothing that the policy blocked.
        self.assertEqual(self.complaints(), [])
        self.browser.get("about:blank")

    # ---- tools ----

    def publish(self, name, *fields, **options):
        file = writer.MmstatsFile(os.path.join(self.folder, f"{name}.mmstats"), fields, **options)
        self.addCleanup(file.close)
        return file

    def serve(self, *globs):
        globs = globs or (os.path.join(self.folder, "*.mmstats"),)
        self.start(Mmash(self.folder, globs))

    def start(self, server):
        """Serves the page by it from now on, until the test ends."""
        self.mmash = server
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)

    def stop_serving(self):
        """Stops mmash under an open page, whose requests fail from then on: how many do is chance."""
        self.expected = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_CONNECTION_CLOSED", "ERR_EMPTY_RESPONSE",
                         "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONTENT_LENGTH_MISMATCH")
        self.mmash.stop()

    def view(self, fragment="", wait_for="live"):
        """Opens the page anew, and waits until it shows values."""
        self.browser.get("about:blank")
        self.browser.get(f"http://127.0.0.1:{self.mmash.port}/{'#' if fragment else ''}{fragment}")
        self.wait("globalThis.mmash !== undefined", "the page's script runs")
        # Storage outlives a page: a test begins with none.
        self.js("localStorage.clear()")
        if wait_for:
            self.wait(f"mmash.live.state === {json.dumps(wait_for)}", f"the page is {wait_for}")

    def js(self, script, *arguments):
        return self.browser.execute_script(f"return {script}", *arguments)

    def wait(self, condition, what, seconds=120):
        return daemons.wait_until(lambda: self.js(condition), what, seconds)

    def imported(self, module, expression, *arguments):
        """What `expression` is of a module `m` of the page."""
        answer = self.browser.execute_async_script(
            f"""const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);
            import("/static/{module}").then((m) => {expression}).then((found) => done([found])).catch((e) => done([String(e)]));""",
            *arguments,
        )
        return answer[0]

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()

    def wait_for_server(self, key, want):
        """Until the server itself tells that value of a series. It shares what it read for a moment, and may have read files
        when a test had written a half of what is to come at once."""
        ask = """(async (id) => JSON.stringify((await (await fetch(`/live/values?ids=${id}`)).json()).values[0]))(mmash.live.find(arguments[0]).id)"""
        daemons.wait_until(lambda: json.loads(self.js(ask, key)) == want, f"the server has {want}")

    def shift_enter(self):
        ActionChains(self.browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()

    def size(self, width, height):
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def media(self, scheme, motion="no-preference"):
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": name, "value": value} for name, value in features.items()]}
        )

    def complaints(self, but=()):
        log = [entry for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        return [entry["message"] for entry in log if not any(text in entry["message"] for text in (*but, *self.expected))]

    def rows(self):
        """(label part, value, rate) of each row in sight, in order."""
        return self.js(
            """[...document.querySelectorAll("#tree .sizer .row:not([hidden])")]
            .sort((a, b) => a.dataset.at - b.dataset.at)
            .map((row) => [".text", ".value", ".rate"].map((part) => row.querySelector(part).textContent))"""
        )

    def names(self):
        return [row[0] for row in self.rows()]

    def points(self, plot=0, column=1):
        """[seconds, value] that the plot draws, without gaps."""
        rows = self.js(
            """((g) => g ? Array.from({length: g.numRows()}, (_, at) => [g.getValue(at, 0) / 1000, g.getValue(at, arguments[1])]) : [])
            (mmash.plots.plots[arguments[0]]?.dygraph)""",
            plot,
            column,
        )
        # What is no number comes as None.
        return [(when, value) for when, value in rows if value is not None]

    def last(self, plot=0, column=1):
        points = self.points(plot, column)
        return points[-1][1] if points else None

    def counted(self, plot=0, column=1):
        """What the rates that a plot draws of a counter add up to. What came in a gap, as a machine that stood still leaves
        it, is in the rate at its end."""
        points = self.points(plot, column)
        return sum(rate * (when - before) for (before, _), (when, rate) in zip(points, points[1:]))

    def wait_for_drawing(self):
        """Waits until what the page is now is drawn. A slow machine is never done with a live one: ask if it drew since."""
        drawings = self.js("mmash.plots.drawings")
        self.js("mmash.plots.draw()")
        self.wait(f"mmash.plots.drawings > {drawings}", "it is drawn")

    def past(self, samples=100, step=2.0, gap=None):
        """Gives all series so many samples of waves, the last one now, as if the page had looked at them. `gap`: samples
        (first, end) at which the first gauge and the first series of each family had no value."""
        self.js(
            """((samples, step, [first, end]) => {
              const { live, history, plots } = mmash, end_time = Math.floor(Date.now() / 1000), totals = new Map(), families = new Set();
              const bucketOf = (value) => { const power = Math.floor(Math.log2(value)); return (power + 30) * 32 + Math.floor((value / 2 ** power - 1) * 32); };
              const silent = new Set([live.series.find((one) => one.kind === "gauge"), ...live.series.filter((one) => one.family && !families.has(one.family) && families.add(one.family))]);
              for (let n = 0; n < samples; n++) {
                const readings = live.series.map((series, at) => {
                  const swing = 0.95 + Math.sin((n + 5 * at) / (6 + at % 7)) + 0.15 * Math.sin(n * (at + 3));
                  const wave = Math.max(swing, series.kind === "gauge" ? 0 : 0.05);
                  if (series.kind === "histogram") {
                    const counts = totals.get(series) ?? totals.set(series, new Map()).get(series);
                    for (let one = 0; one < 40; one++) { const bucket = bucketOf(0.004 * wave * (1 + one * one / 60)); counts.set(bucket, (counts.get(bucket) ?? 0) + 1 + one % 3); }
                    return [series, [...counts].sort(([a], [b]) => a - b).flat()];
                  }
                  if (series.kind === "counter") {
                    totals.set(series, (totals.get(series) ?? 1000) + Math.round(120 * wave / (1 + at % 5)));
                    if (silent.has(series) && first <= n && n < end) return [series, null];
                    return [series, totals.get(series)];
                  }
                  return [series, silent.has(series) && first <= n && n < end ? null : Math.round(4000 * wave * (1 + at % 5)) / 100];
                });
                history.tick(end_time - (samples - 1 - n) * step, readings, step);
              }
              plots.draw();
            })(...arguments)""",
            samples,
            step,
            gap or (0, 0),
        )
        self.wait_for_drawing()

    def choose(self, item, plot=0):
        """An item of a plot's menu."""
        self.js("mmash.plots.plots[arguments[0]].element.querySelector('.menu-button').click()", plot)
        self.js("[...mmash.plots.plots[arguments[0]].element.querySelectorAll('.menu button')].find((one) => one.textContent.startsWith(arguments[1])).click()", plot, item)

    def work(self):
        """Seconds of processor time that the page's own thread has taken so far, whatever else the machine does."""
        self.browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        metrics = self.browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    def work_of_drawing(self, rows):
        """Such seconds for so many plain rows that are laid out once: a floor on this machine, as it is now."""
        before = self.work()
        self.js(
            """((rows) => {
              const box = document.body.appendChild(document.createElement("div"));
              for (let at = 0; at < rows; ++at) {
                const row = box.appendChild(document.createElement("div"));
                for (const text of ["name", at, at / 7]) row.appendChild(document.createElement("span")).textContent = text;
              }
              box.getBoundingClientRect();
              box.remove();
            })(arguments[0])""",
            rows,
        )
        return self.work() - before

    @contextlib.contextmanager
    def standing(self):
        """The page does not look meanwhile."""
        self.js("(mmash.live.paused = true)")
        self.wait("mmash.live.state === 'paused' && !mmash.plots.drawing", "it stands")
        yield
        self.js("(mmash.live.paused = false)")
        self.wait("mmash.live.state === 'live'", "it goes on")

    def work_of_a_look(self, looks=8):
        """The most that one of the next looks takes of it: what a key waits for on an idle machine."""
        most = 0
        for _ in range(looks):
            with self.standing():
                # The page itself stops after one: until we could, there would be others.
                before = self.work()
                self.js("mmash.live.addEventListener('values', () => { mmash.live.paused = true; }, { once: true })")
                self.js("(mmash.live.paused = false)")
                self.wait("mmash.live.paused && mmash.live.state === 'paused' && !mmash.plots.drawing", "the next look")
                most = max(most, self.work() - before)
        return most

    def pixels(self, plot=0):
        return self.js("mmash.plots.plots[arguments[0]].element.querySelector('canvas').toDataURL()", plot)

    def picture(self, name):
        path = os.path.join(PICTURES, f"{name}.png")
        self.assertTrue(self.browser.save_screenshot(path))
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
