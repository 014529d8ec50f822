"""Fields: what a model declares as class attributes.

    class WebStats(mmstats.MmStats):
        hits = mmstats.CounterField(help="Requests answered")
        queue = mmstats.IntField(label="queue.depth")

A field's label in the file is its `label`, else the attribute's name, behind the model's label_prefix. All
take `unit`, a word such as "seconds" or "bytes", and `help`, one sentence: both are written into the file.

    stats.hits.incr()                counters, averages, timers, histograms, families: an object with methods
    stats.queue = 7                  numbers and texts: plain assignment and reading
    stats.pid                        facts: plain reading

To assign a number to what has methods is a mistake (`stats.latency = 0.3`, for `stats.latency.add(0.3)`), and
a TypeError. For CounterField, AverageField, MovingAverageField and TimerField it is a RuntimeWarning, as the
original took it: the number is then an attribute of that object, and published nowhere.

Each thread has its own values, unless a field is `shared`, and readers put them together: counters and whole
numbers are added up, fractions averaged, distributions added bucket by bucket.

    CounterField, SharedCounterField       counts
    IntField UIntField Int64Field UInt64Field ShortField UShortField ByteField UByteField
    FloatField DoubleField                 numbers of this moment
    BoolField, StringField                 conditions and texts
    AverageField, MovingAverageField, WindowAverageField
                                           means: of all, of the last `size`, of the last `seconds`
    TimerField                             the mean of the last `size` durations, in seconds
    HistogramField, MovingHistogramField, WindowHistogramField
                                           distributions, with percentiles
    FamilyField                            one of the above for each combination of dimensions
    InfoField                              texts that belong together
    StaticUIntField StaticInt64Field StaticUInt64Field StaticFloatField StaticDoubleField
    StaticTextField                        facts that do not change

Writing never raises for a limit, takes no lock, and makes no system call once the thread has its file. Values
of a wrong type are a TypeError. A whole number that is too large wraps: 2**31 in an IntField is -2**31. Take
an Int64Field for what may grow.
"""

from __future__ import annotations

from ._native import (
    Average,
    AverageField,
    BoolField,
    ByteField,
    Counter,
    CounterField,
    DoubleField,
    DuplicateFieldName,
    Family,
    FamilyField,
    Field,
    FloatField,
    Histogram,
    HistogramField,
    Info,
    InfoField,
    Int64Field,
    IntField,
    MovingAverageField,
    MovingHistogramField,
    Number,
    Scope,
    SharedCounterField,
    ShortField,
    StaticDoubleField,
    StaticFloatField,
    StaticInt64Field,
    StaticTextField,
    StaticUInt64Field,
    StaticUIntField,
    String,
    StringField,
    SystemField,
    Timer,
    TimerField,
    UByteField,
    UInt64Field,
    UIntField,
    UShortField,
    WindowAverageField,
    WindowHistogramField,
)

__all__ = [
    "Average",
    "AverageField",
    "BoolField",
    "ByteField",
    "Counter",
    "CounterField",
    "DoubleField",
    "DuplicateFieldName",
    "Family",
    "FamilyField",
    "Field",
    "FloatField",
    "Histogram",
    "HistogramField",
    "Info",
    "InfoField",
    "Int64Field",
    "IntField",
    "MovingAverageField",
    "MovingHistogramField",
    "Number",
    "Scope",
    "SharedCounterField",
    "ShortField",
    "StaticDoubleField",
    "StaticFloatField",
    "StaticInt64Field",
    "StaticTextField",
    "StaticUInt64Field",
    "StaticUIntField",
    "String",
    "StringField",
    "SystemField",
    "Timer",
    "TimerField",
    "UByteField",
    "UInt64Field",
    "UIntField",
    "UShortField",
    "WindowAverageField",
    "WindowHistogramField",
]
