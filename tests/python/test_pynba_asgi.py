"""Applications of ASGI behind the middleware: each request its own, however many run at the same time."""

import asyncio
import time
import unittest

from pynba_served import PinbaServer, ask
from pynba.asgi import PynbaMiddleware, monitor, pynba
from pynba.core import logger
from pynba.stacked import LOCAL_STACK


async def answer(send, status=200, body=b"hello", more=()):
    await send({"type": "http.response.start", "status": status, "headers": []})
    for part in more:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": body})


class Requests(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(PinbaServer())

    def packet_of(self, app, path="/cart", config=None, **more):
        asyncio.run(ask(PynbaMiddleware(app, self.server.pair, **(config or {})), path, **more))
        return self.server.one()

    def test_are_sent_with_names_status_and_size(self):
        async def app(scope, receive, send):
            with pynba.timer(group="mysql"):
                await asyncio.sleep(0.02)
            pynba.tags["user"] = "guest"
            await answer(send, 201, b"12", [b"345"])

        packet = self.packet_of(app, config={"prefix": "shop", "tags": {"app": "shop"}})
        self.assertEqual((packet.script_name, packet.hostname), ("shop/cart", "web1"))
        self.assertEqual((packet.server_name, packet.schema), ("shop.example.com", "https"))
        self.assertEqual((packet.status, packet.document_size), (201, 5))
        self.assertEqual(packet.tags, (("app", "shop"), ("user", "guest")))
        self.assertGreaterEqual(packet.timer(group="mysql").value, 0.015)
        self.assertGreaterEqual(packet.request_time, packet.timer(group="mysql").value)

    def test_have_a_path_that_is_text(self):
        self.assertEqual(self.packet_of(lambda s, r, send: answer(send), "/grüße").script_name, "/grüße")

    def test_at_the_same_time_are_kept_apart(self):
        async def work(number):
            with pynba.timer(number=number):
                await asyncio.sleep(0)

        async def app(scope, receive, send):
            number = scope["path"]
            await asyncio.gather(*(work(number) for _ in range(3)))  # tasks of its own
            pynba.tags["number"] = number
            await answer(send, body=number.encode())

        async def run():
            wrapped = PynbaMiddleware(app, self.server.pair)
            await asyncio.gather(*(ask(wrapped, f"/{i}") for i in range(100)))
            self.assertIsNone(LOCAL_STACK.pynba)

        asyncio.run(run())
        for packet in self.server.wait(100):
            self.assertEqual(packet.tags, (("number", packet.script_name),))
            self.assertEqual([timer.tags for timer in packet.timers], [packet.tags] * 3)

    def test_one_after_the_other_in_a_task_do_not_meet(self):
        async def app(scope, receive, send):
            self.assertEqual(len(pynba.timers), 0)
            pynba.timer(a="b").start()
            await answer(send)

        async def run():
            wrapped = PynbaMiddleware(app, self.server.pair)
            for _ in range(3):
                await ask(wrapped)
                self.assertIs(pynba.enabled, False)

        asyncio.run(run())
        self.assertEqual([len(packet.timers) for packet in self.server.wait(3)], [1, 1, 1])

    def test_take_until_the_answer_is_complete_and_later_timers_count(self):
        begin = time.monotonic()

        async def app(scope, receive, send):
            await answer(send)
            with pynba.timer(where="background"):
                await asyncio.sleep(time.monotonic() - begin + 0.1)  # longer than the request, however slow

        packet = self.packet_of(app)
        self.assertGreaterEqual(packet.timer(where="background").value, 0.09)
        self.assertLess(packet.request_time, packet.timer(where="background").value)

    def test_that_raise_have_status_500(self):
        async def app(scope, receive, send):
            raise KeyError("mine")

        with self.assertRaises(KeyError):
            self.packet_of(app)
        self.assertEqual(self.server.one().status, 500)

    def test_that_are_cancelled_are_sent(self):
        started = []

        async def app(scope, receive, send):
            started.append(True)
            await asyncio.sleep(3600)

        async def run():
            task = asyncio.create_task(ask(PynbaMiddleware(app, self.server.pair)))
            while not started:
                await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(run())
        self.assertEqual(self.server.one().script_name, "/cart")

    def test_in_worker_threads_are_still_known(self):
        def work():
            with pynba.timer(where="thread"):
                pass

        async def app(scope, receive, send):
            await asyncio.to_thread(work)
            await answer(send)

        self.assertEqual(self.packet_of(app).timer(where="thread").hits, 1)

    def test_of_decorated_coroutines_count_for_the_request_that_runs(self):
        @pynba.timer(what="query")
        async def query():
            await asyncio.sleep(0)

        async def app(scope, receive, send):
            await asyncio.gather(query(), query())
            await answer(send)

        self.assertEqual(len(self.packet_of(app).timers), 2)

    def test_of_head_have_no_bytes(self):
        self.assertEqual(self.packet_of(lambda s, r, send: answer(send), method="HEAD").document_size, 0)

    def test_leave_no_timers_with_tasks_that_outlive_them(self):
        async def run():
            go_on, seen = asyncio.Event(), []

            async def outlives():
                await go_on.wait()
                with pynba.timer(too="late"):
                    seen.append(pynba.timers)

            async def app(scope, receive, send):
                tasks.append(asyncio.create_task(outlives()))
                await answer(send)

            tasks = []
            await ask(PynbaMiddleware(app, self.server.pair))
            go_on.set()
            await tasks[0]
            self.assertEqual(seen, [set()])

        asyncio.run(run())
        self.assertEqual(self.server.one().timers, [])

    def test_of_other_kinds_are_handed_on(self):
        seen = []

        async def app(scope, receive, send):
            seen.append((scope["type"], pynba.enabled))

        wrapped = PynbaMiddleware(app, self.server.pair)
        for kind in ("lifespan", "websocket"):
            asyncio.run(ask(wrapped, type=kind))
        self.assertEqual(seen, [("lifespan", False), ("websocket", False)])
        self.assertEqual(self.server.packets(), [])

    def test_with_odd_scopes_and_messages_do_not_crash(self):
        async def app(scope, receive, send):
            await send({"type": "http.response.start"})
            await send({"type": "http.response.body", "body": None})
            await send({})

        for odd in ({"server": None}, {"headers": None}, {"path": None}, {"scheme": None}, {"method": None}):
            asyncio.run(ask(PynbaMiddleware(app, self.server.pair), **odd))
        self.server.wait(5)

    def test_fail_without_the_application(self):
        def broken(*_, **__):
            raise KeyError("mine")

        for config in ({"reporter": broken}, {"ctx_factory": broken}, {"route": broken}):
            with self.assertLogs(logger):
                wrapped = monitor(self.server.pair, **config)(lambda s, r, send: answer(send))
                messages = asyncio.run(ask(wrapped))
            self.assertEqual(messages[-1]["body"], b"hello")


if __name__ == "__main__":
    unittest.main()
