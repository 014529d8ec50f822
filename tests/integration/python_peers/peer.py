"""What the services of python_peers_test.py have in common: what they publish, and a door before each thread.

A thread answers its first request only after the test has opened the door: once collectd and mmash have read the
thread's file. From then on nothing that it counts can be missed, however soon its process ends.
"""

import os
import threading

import daemons

import mmstats


class PeerStats(mmstats.MmStats):
    answers = mmstats.CounterField(help="Requests that came to the application")
    shared_answers = mmstats.SharedCounterField(help="The same, of all threads in one file")


stats = PeerStats(label_prefix="peer.")
_thread = threading.local()


def wait_at_the_door():
    if getattr(_thread, "pid", None) == os.getpid():
        return
    stats.open()
    stats.shared_answers.incr(0)
    path = os.path.join(os.environ["PEER_DOOR"], f"{os.getpid()}-{threading.get_native_id()}")
    with open(path, "w"):
        pass
    daemons.wait_until(lambda: not os.path.exists(path), "the test has seen this thread", 120)
    _thread.pid = os.getpid()


def count():
    """Counts a request; what tells the test who answered it."""
    wait_at_the_door()
    stats.answers.incr()
    stats.shared_answers.incr()
    return ("X-Worker", str(os.getpid()))
