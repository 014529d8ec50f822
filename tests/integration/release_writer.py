#!/usr/bin/python3
"""Writes files with fields of every class, as a service in Python does: for tests/data/releases, beside
release_writer.cc.

  release_writer.py FOLDER

All values are the same each time, but for those that the library writes itself. The files stay.
"""

import sys

import mmstats


class Stats(mmstats.MmStats):
    hits = mmstats.CounterField(unit="requests", help="Requests that were answered")
    shared = mmstats.SharedCounterField()
    int64 = mmstats.Int64Field(initial=-(2**63))
    uint64 = mmstats.UInt64Field(initial=2**64 - 1)
    int32 = mmstats.IntField(initial=-(2**31))
    uint32 = mmstats.UIntField(initial=2**32 - 1)
    int16 = mmstats.ShortField(initial=-(2**15))
    uint16 = mmstats.UShortField(initial=2**16 - 1)
    float = mmstats.FloatField(initial=0.5, unit="ratio")
    double = mmstats.DoubleField(initial=0.1)
    since = mmstats.DoubleField(initial=1.75e9, kind="timestamp")
    byte = mmstats.ByteField(initial=-128)
    ubyte = mmstats.UByteField(initial=255)
    bool = mmstats.BoolField(initial=True)
    string = mmstats.StringField(initial="text \u20ac")
    static_uint = mmstats.StaticUIntField(value=7)
    static_int64 = mmstats.StaticInt64Field(value=-7)
    static_double = mmstats.StaticDoubleField(value=0.25)
    static_text = mmstats.StaticTextField(value="fact")
    average = mmstats.AverageField(unit="seconds")
    moving = mmstats.MovingAverageField(size=2)
    window = mmstats.WindowAverageField(seconds=3600)
    timer = mmstats.TimerField(size=4)
    histogram = mmstats.HistogramField(unit="seconds", precision=8)
    moving_histogram = mmstats.MovingHistogramField(size=16, precision=4)
    window_histogram = mmstats.WindowHistogramField(seconds=3600, precision=4)
    responses = mmstats.FamilyField(mmstats.CounterField(help="Responses sent"), ["method", "status"])
    times = mmstats.FamilyField(mmstats.HistogramField(unit="seconds", precision=4), ["page"])
    info = mmstats.InfoField({"version": "1.2.3", "branch": "main"})


stats = Stats(path=sys.argv[1], filename="python-{TID}.mmstats", label_prefix="python.", remove_at_exit=False)
stats.hits.incr(2**53 + 1)
stats.shared.incr(7)
for number in range(1, 11):
    for field in (stats.average, stats.moving, stats.window, stats.timer, stats.histogram, stats.moving_histogram,
                  stats.window_histogram, stats.times.with_("/index.html")):
        field.add(number * 0.125)
stats.responses.with_("GET", 200).incr(20)
stats.responses.with_("a.b%c", "").incr(1)
