"""The demo's web service in Python: a WSGI application, and how gunicorn is to run it.

    gunicorn --config python:pages --bind 127.0.0.1:8080

Its processes may be killed at any time. All that the service publishes is counted by one line of middleware, but
for the last counter.
"""

import random
import time

import mmstats.wsgi


class PagesStats(mmstats.MmStats):
    lost = mmstats.CounterField("workers.lost", help="Workers that died and were replaced")


# Made before the workers: each of them, and each of their threads, has values of its own.
stats = PagesStats(label_prefix="pages.")


def answer(environ, start_response):
    path = environ["PATH_INFO"]
    status = "200 OK"
    if route(environ) is None:
        status = "404 Not Found"
    else:
        time.sleep(random.gammavariate(2, 0.02))  # what a real one would ask a database
        if random.random() < 0.03:
            status = "500 Internal Server Error"
    start_response(status, [("Content-Type", "text/plain")])
    return [f"{path}: {status}\n".encode()]


def route(environ):
    """Few names for many paths."""
    return "/articles/{number}" if environ["PATH_INFO"].startswith("/articles/") else None


# Publishes pages.requests by method, status and route, pages.latency and pages.in_flight.
application = mmstats.wsgi.Middleware(answer, stats, prefix="", route=route)

# What gunicorn reads.
wsgi_app = "pages:application"
preload_app = True
workers = 2
threads = 4


def child_exit(server, worker):
    stats.lost.incr()
