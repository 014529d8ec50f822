"""Slow requests on mmash's page, in a real browser: a link to a table, whose texts anybody may have sent."""

import json
import os
import unittest

import daemons
import mmstats_writer as writer
from mmash_browser import MMASH, PAGE, PageTest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.keys import Keys

EVIL = "<img src=x onerror=document.title='evil'>\u202e\x1b[2J"


def slow(script, seconds, **others):
    request = {
        "time": "2026-11-28T14:46:58.007Z", "from": "192.0.2.1:4711", "host": "web1", "server": "shop.example", "script": script,
        "schema": "https", "status": 200, "seconds": seconds, "user_seconds": 0.5, "system_seconds": 0.25, "bytes": 12000, "memory": 3000000,
        "tags": {}, "timers": [],
    }
    return {**request, **others}


class SlowMmash(daemons.Daemon):
    def __init__(self, workspace, slow_requests):
        self.port = daemons.free_port()
        argv = [MMASH, "--listen", f"127.0.0.1:{self.port}", "--page", PAGE, "--slow-requests", slow_requests, f"{workspace}/*.mmstats"]
        super().__init__("mmash", argv, os.path.join(workspace, "mmash"))

    def ready(self):
        return daemons.port_answers(self.port)


class MmashSlowTest(PageTest):
    def write_slow(self, *requests):
        path = os.path.join(self.folder, "slow.json")
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.writelines((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in requests)
        os.rename(f"{path}.new", path)

    def setUp(self):
        super().setUp()
        self.publish("app", writer.counter("web.requests", 9))

    def open_slow(self):
        self.start(SlowMmash(self.folder, os.path.join(self.folder, "slow.json")))
        self.view()
        self.wait("!document.querySelector('#slow').hidden", "the link")
        self.js("document.querySelector('#slow').focus()")
        self.press(Keys.ENTER)
        self.wait("document.querySelector('#slow-dialog').open", "the table")

    def note(self):
        return self.js("document.querySelector('#slow-dialog [role=status]').textContent")

    def table(self):
        rows = self.js(
            """[...document.querySelectorAll("#slow-dialog .slow-table > table > tbody > tr:not(.slow-details)")]
            .map((row) => [...row.cells].map((cell) => cell.textContent.replaceAll("\u202f", " ")))"""
        )
        return [tuple(row) for row in rows]

    def details(self):
        return self.js("[...document.querySelectorAll('#slow-dialog .slow-details:not([hidden])')].map((row) => row.textContent.replaceAll('\u202f', ' '))")

    def test_slow_requests_are_a_table_that_opens_to_timers(self):
        timers = [
            {"hits": 3, "seconds": 1.5, "user_seconds": 0.125, "system_seconds": 0, "tags": {"group": "db", "server": "db1"}},
            {"hits": 1, "seconds": 0.25, "user_seconds": 0, "system_seconds": 0, "tags": {}},
        ]
        self.write_slow(slow("/old", 1.25, status=0), slow("/cart", 2.5, status=500, tags={"region": "eu"}, timers=timers, timers_left_out=7))
        self.open_slow()
        time = "2026-11-28 14:46:58.007 UTC"
        want = [(time, "/cart", "500", "2.5 s", "2"), (time, "/old", "–", "1.25 s", "none")]
        daemons.wait_until(lambda: self.table() == want, "both, the newest first")
        self.assertEqual(self.note(), "2 requests, the newest first")
        self.assertEqual(self.details(), [])
        # By the keyboard alone.
        self.js("document.querySelector('#slow-dialog td button').focus()")
        self.press(Keys.ENTER)
        daemons.wait_until(lambda: len(self.details()) == 1, "its timers")
        self.assertEqual(self.js("document.activeElement.getAttribute('aria-expanded')"), "true")
        for text in ("host web1", "server shop.example", "user 500 ms", "size 12 kB", "region=eu", "31.5 s125 ms0 sgroup=db server=db1", "and 7 timers more"):
            self.assertIn(text, self.details()[0])
        # What is opened stays open when another one comes.
        self.write_slow(slow("/old", 1.25, status=0), slow("/cart", 2.5, status=500, tags={"region": "eu"}, timers=timers, timers_left_out=7), slow("/new", 9))
        self.js("[...document.querySelectorAll('#slow-dialog button')].find((one) => one.textContent === 'Look again').click()")
        daemons.wait_until(lambda: [row[1] for row in self.table()] == ["/new", "/cart", "/old"], "the new one")
        self.assertEqual(len(self.details()), 1)
        self.assertIn("group=db", self.details()[0])
        self.picture("mmash-slow")
        # Letters are no keys of the page meanwhile.
        self.press("p")
        self.assertFalse(self.js("mmash.live.paused"))
        self.press(Keys.ESCAPE)
        self.wait("!document.querySelector('#slow-dialog').open", "it is closed")
        self.press("p")
        self.assertTrue(self.js("mmash.live.paused"))

    def test_texts_of_packets_are_shown_and_harm_nothing(self):
        evil = slow(EVIL, "fast", status=EVIL, time=EVIL, tags={EVIL: EVIL, "__proto__": "x"}, host=[1], bytes={}, timers=[5, None, {"hits": EVIL, "tags": [EVIL]}], timers_left_out=EVIL)
        self.write_slow("no json", "[]", "null", '{"timers":"many"}', '{"seconds":1e999}', evil, *[slow(f"/{at}", 1) for at in range(600)], evil)
        self.open_slow()
        daemons.wait_until(lambda: len(self.table()) == 500, "the newest ones")
        self.assertEqual(self.note(), "500 requests, the newest first; 107 older ones are not shown")
        shown = EVIL.replace("\u202e", "\\u202e").replace("\x1b", "\\u001b")
        self.assertEqual(self.table()[0], (shown, shown, "–", "–", "1"))
        self.js("document.querySelector('#slow-dialog td button').click()")
        self.assertIn(f"{shown}={shown}", self.details()[0])
        self.assertIn("__proto__=x", self.details()[0])
        self.assertEqual(self.js("document.querySelectorAll('img[src=x]').length"), 0)
        self.assertNotEqual(self.js("document.title"), "evil")
        self.write_slow("no json", "[]", "null", '{"timers":"many"}', '{"seconds":1e999}', evil)
        self.js("[...document.querySelectorAll('#slow-dialog button')].find((one) => one.textContent === 'Look again').click()")
        daemons.wait_until(lambda: self.note() == "3 requests, the newest first; 3 lines cannot be read", "what can be read")

    def test_there_is_no_link_without_a_file_and_a_word_while_it_is_not_there(self):
        self.serve()
        self.view()
        self.assertTrue(self.js("document.querySelector('#slow').hidden"))
        self.open_slow()
        daemons.wait_until(lambda: "No such file" in self.note(), "why there are none")
        self.assertEqual(self.table(), [])
        self.assertEqual(len(self.complaints(but=("404",))), 0)
        self.write_slow(slow("/first", 1))
        self.js("[...document.querySelectorAll('#slow-dialog button')].find((one) => one.textContent === 'Look again').click()")
        daemons.wait_until(lambda: len(self.table()) == 1, "the first one")
        self.assertEqual(self.note(), "1 request")


if __name__ == "__main__":
    try:
        unittest.main()
    except WebDriverException as failure:
        raise SystemExit(f"no browser: {failure}") from failure
