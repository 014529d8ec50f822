#!/usr/bin/python3
"""The world outside of the demo's web service: asks in waves for pages that exist, that do not, and
that take long; and kills one of its processes now and then.

    load.py PORT PID [--kill-every SECONDS]

PID is the service's supervisor. Ends on SIGTERM or SIGINT, or when the supervisor is gone.
"""

import argparse
import asyncio
import math
import os
import pathlib
import random
import signal
import time

STEP = 0.05  # seconds between two handfuls of requests
MEAN = 120  # requests a second
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


async def ask(port):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return  # the process that would have answered was killed
    try:
        writer.write(f"GET {path()} HTTP/1.1\r\nHost: demo\r\n\r\n".encode())
        await reader.read()
    except OSError:
        pass
    finally:
        writer.close()


def workers(supervisor):
    return pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()


async def press(port, supervisor, kill_every):
    asking = set()
    next_kill = time.monotonic() + kill_every
    while True:
        wanted = MEAN * wave(time.time()) * STEP
        for _ in range(round(random.gauss(wanted, math.sqrt(wanted)))):
            if len(asking) < MOST_WAITING:
                task = asyncio.create_task(ask(port))
                asking.add(task)
                task.add_done_callback(asking.discard)
        await asyncio.sleep(STEP)
        try:
            alive = workers(supervisor)
        except OSError:
            return
        if alive and time.monotonic() > next_kill:
            next_kill += kill_every
            os.kill(int(random.choice(alive)), signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description="sends requests to the demo's web service")
    parser.add_argument("port", type=int)
    parser.add_argument("supervisor", type=int, metavar="pid")
    parser.add_argument("--kill-every", type=float, default=20, metavar="SECONDS")
    options = parser.parse_args()
    for end in signal.SIGTERM, signal.SIGINT:
        signal.signal(end, signal.SIG_DFL)
    asyncio.run(press(options.port, options.supervisor, options.kill_every))


if __name__ == "__main__":
    main()
