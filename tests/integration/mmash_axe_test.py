"""mmash's page as axe-core sees it, which knows many faults that keep people out.

axe-core is in no Debian package: npm gets it, in the version named here, and checks it. It is kept beside the build.
Without npm, or without a registry that it can reach, the test is skipped.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import PICTURES, PageTest
from selenium.common.exceptions import WebDriverException

VERSION = "4.14.1"
KEPT = os.path.join(os.path.dirname(os.path.abspath(PICTURES)), f"axe-core-{VERSION}.js")


def axe():
    """axe-core's source."""
    if not os.path.exists(KEPT):
        npm = shutil.which("npm")
        if not npm:
            raise unittest.SkipTest(f"axe-core is not there: no npm to get axe-core@{VERSION} with (packaging/apt-get install npm)")
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", "--fetch-retries=0", "--fetch-timeout=30000", f"axe-core@{VERSION}"]
            try:
                subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
                raise unittest.SkipTest(f"axe-core is not there: {failure}: {str(failure.stderr or '').strip()[-300:]}") from failure
            with tarfile.open(os.path.join(folder, f"axe-core-{VERSION}.tgz")) as packed:
                source = packed.extractfile("package/axe.min.js").read()
        with open(f"{KEPT}.{os.getpid()}", "wb") as file:
            file.write(source)
        os.replace(file.name, KEPT)
    with open(KEPT, encoding="utf-8") as file:
        return file.read()


class MmashAxeTest(PageTest):
    @classmethod
    def setUpClass(cls):
        cls.source = axe()
        super().setUpClass()

    def faults(self, where):
        """What axe-core finds: rule, and where."""
        if not self.js("globalThis.axe !== undefined"):
            self.browser.execute_script(self.source)
        found = self.browser.execute_async_script(
            """const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => done(violations.map(({ id, nodes }) => [id, nodes.slice(0, 3).map(({ html, failureSummary }) => html.slice(0, 200) + " " + failureSummary)])), (error) => done([String(error)]));"""
        )
        return [(where, *fault) for fault in found]

    def test_axe_finds_nothing(self):
        found = []
        for scheme in ("light", "dark"):
            found += self.in_theme(scheme)
        self.assertEqual(found, [])

    def in_theme(self, scheme):
        self.media(scheme)
        self.size(1400, 900)
        found = []
        self.serve()
        self.view("rate=2000")
        self.wait("document.getElementById('no-series').checkVisibility()", "an empty page")
        found += self.faults(f"{scheme}: empty")
        self.stop_serving()

        self.publish("app", *writer.family("web.responses", ("status",), {("200",): 1, ("500",): 2}, "counter", "responses", "Responses sent"), writer.gauge("web.load", 0.5), writer.gauge("web.heap", 5))
        self.publish("times", *writer.distribution("web.latency", [], powers=range(-13, 3)))
        with open(os.path.join(self.folder, "bad.mmstats"), "wb") as file:
            file.write(b"no mmstats file")
        self.serve()
        family = "counter:web.responses{status}"
        self.view(f"rate=2000&open=web&family=auto,stack;{family};hide=200&plot=auto,log;gauge:web.load;gauge:web.heap&plot=auto;histogram:web.latency&plot=value;counter:web.requests&table={family}responses&family=auto;counter:none{{a}}")
        self.past()
        self.wait("!document.getElementById('problems').hidden", "the damaged file is told")
        found += self.faults(f"{scheme}: plots")
        for button, dialog in (("help", "help-dialog"), ("problems", "problem-dialog")):
            self.js(f"document.getElementById('{button}').click()")
            self.wait(f"document.getElementById('{dialog}').open", "the dialog")
            found += self.faults(f"{scheme}: {dialog}")
            self.js(f"document.getElementById('{dialog}').close()")
        self.js("document.querySelector('.menu-button').click()")
        found += self.faults(f"{scheme}: menu")
        self.js("document.querySelector('.drawing').focus()")
        self.press("p")
        self.wait("mmash.live.state === 'paused'", "paused")
        self.js("mmash.plots.zoomTo([mmash.history.now * 1000 - 60000, mmash.history.now * 1000])")
        self.wait_for_drawing()
        found += self.faults(f"{scheme}: zoomed")
        self.js("document.getElementById('search').value = 'web', document.getElementById('search').dispatchEvent(new Event('input'))")
        self.js("document.getElementById('tree').focus()")
        self.press("\ue015")  # down
        found += self.faults(f"{scheme}: a row is active")
        self.size(390, 844)
        self.wait_for_drawing()
        found += self.faults(f"{scheme}: phone")
        self.size(1400, 900)
        self.js("(mmash.live.paused = false)")
        self.stop_serving()
        self.wait("mmash.live.state === 'lost'", "no server")
        found += self.faults(f"{scheme}: server gone")
        for file in os.listdir(self.folder):
            if file.endswith(".mmstats"):
                os.remove(os.path.join(self.folder, file))
        return found


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
