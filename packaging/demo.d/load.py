#!/usr/bin/python3
"""The world outside of the demo's web services: asks in waves for pages that exist, that do not, and
that take long; and kills one of their processes now and then.

    load.py PORT PID [--pages PORT PID] [--kill-every SECONDS] [--shop PORT]

PID is a service's supervisor; --pages is the one in Python. The shop of the Pinba example is visited now and then.
Ends on SIGTERM or SIGINT, or when a supervisor is gone.
"""

import argparse
import asyncio
import itertools
import math
import os
import pathlib
import random
import signal
import time

STEP = 0.05  # seconds between two handfuls of requests
MEAN = 120  # requests a second
PAGES = 40  # the same of the service in Python
VISITS = 10  # of the shop, a second
MOST_WAITING = 300  # requests: who finds so many before him goes away


def wave(now):
    """How much is asked for at this moment: 0 to about 1.6, 1 on average."""
    swing = math.sin(now * 2 * math.pi / 37) + 0.45 * math.sin(now * 2 * math.pi / 11.3 + 1)
    return 1 + 0.4 * swing


def path():
    draw = random.random()
    if draw < 0.09:
        return "/nowhere"
    return "/search" if draw < 0.2 else f"/items/{random.randrange(1, 10_000)}"


def article():
    return "/nowhere" if random.random() < 0.06 else f"/articles/{random.randrange(1, 1_000)}"


async def ask(port, path):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return  # the process that would have answered was killed
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
    except OSError:
        pass
    finally:
        writer.close()


def workers(supervisor):
    return pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()


def several(mean):
    """How many come in one step, where so many come on average."""
    return max(0, round(random.gauss(mean, math.sqrt(mean))))


async def press(services, kill_every, shop):
    """`services`: (port, supervisor's pid, requests a second, what makes paths)."""
    asking = set()
    next_kill = time.monotonic() + kill_every
    victims = itertools.cycle(services)
    while True:
        wanted = [
            (port, path())
            for port, _, mean, path in services
            for _ in range(several(mean * wave(time.time()) * STEP))
        ]
        if shop:
            wanted += [(shop, f"/cart/user{random.randrange(100)}") for _ in range(several(VISITS * STEP))]
        for where, what in wanted:
            if len(asking) < MOST_WAITING:
                task = asyncio.create_task(ask(where, what))
                asking.add(task)
                task.add_done_callback(asking.discard)
        await asyncio.sleep(STEP)
        try:
            alive = {supervisor: workers(supervisor) for _, supervisor, *_ in services}
        except OSError:
            return
        if time.monotonic() > next_kill:
            next_kill += kill_every / len(services)
            _, supervisor, *_ = next(victims)
            if alive[supervisor]:
                os.kill(int(random.choice(alive[supervisor])), signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description="sends requests to the demo's web services")
    parser.add_argument("port", type=int)
    parser.add_argument("supervisor", type=int, metavar="pid")
    parser.add_argument("--pages", type=int, nargs=2, metavar=("PORT", "PID"))
    parser.add_argument("--kill-every", type=float, default=20, metavar="SECONDS")
    parser.add_argument("--shop", type=int, metavar="PORT")
    options = parser.parse_args()
    for end in signal.SIGTERM, signal.SIGINT:
        signal.signal(end, signal.SIG_DFL)
    services = [(options.port, options.supervisor, MEAN, path)]
    if options.pages:
        services.append((*options.pages, PAGES, article))
    asyncio.run(press(services, options.kill_every, options.shop))


if __name__ == "__main__":
    main()
