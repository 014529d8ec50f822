// What the server saw before this page did: asked for once, when a series is looked at first, and put into the
// slots of history.js that are older than the page's own first look.
//
// The server has a value every few seconds, which are not those of the page's ticks. A value is the last one at or
// before a slot's time. A rate is that of the server's interval, or the mean of those that a slot's interval has parts
// of. The values of a distribution are spread over the slots that share an interval. What the page saw first ends the
// server's last interval: so that no gap is between the past and the page's own time.
import { gained, kBuckets } from "./distribution.js";
import { kGap } from "./history.js";

const kOld = 1.5; // intervals of the server that a value is shown for
const kSpread = (Math.sqrt(5) - 1) / 2; // multiples of it fall evenly into [0, 1)
const kBeside = 0.9; // slots of the past are not much closer to one another than ticks are

const kSame = 0.1; // of an interval: the server's last look is the page's first one
const kTrend = 60; // slots that a row of the tree shows
const kUsual = 5; // seconds from one value of the server to the next, until it tells
const kMost = 200; // series of one request
const kMostDistributions = 32; // of these

// Times for slots before `end`, not before `from`, no closer than `step` seconds; and one in each gap, which stays empty.
export function pastTimes(times, { from, end, step, interval }) {
  const chosen = [];
  for (let at = times.length - 1; at >= 0 && times[at] >= from; at--) {
    const next = chosen[0] ?? end;
    if (next - times[at] < kBeside * step) continue;
    if (next - times[at] > kGap * Math.max(step, interval)) chosen.unshift((times[at] + next) / 2);
    chosen.unshift(times[at]);
  }
  return chosen;
}

// [{slot, from, to}] of the slots that the page did not look at itself: their intervals. Of the first one that is
// since the server's time before.
function intervalsOf(order, timeAt, times, last) {
  const all = [];
  order.forEach((slot, at) => {
    const to = timeAt(slot);
    if (to > last) return;
    const from = at > 0 ? timeAt(order[at - 1]) : times.findLast((time) => time < to) ?? to;
    all.push({ slot, from, to });
  });
  return all;
}

// For each slot the server's intervals that it has a part of: calls part(slot's interval, number of the server's time
// that ends it, seconds that both share, whether that is all of it). In a gap nothing is known before its end.
function eachPart(intervals, times, interval, part) {
  let at = 1;
  for (const one of intervals) {
    while (at < times.length && times[at] <= one.from) at++;
    for (let number = at; number < times.length && times[number - 1] < one.to; number++) {
      const [from, to] = [times[number - 1], times[number]];
      if (to - from > kGap * interval) {
        if (to <= one.to) part(one, number, to - from, true);
        continue;
      }
      const shared = Math.min(to, one.to) - Math.max(from, one.from);
      if (shared > 0) part(one, number, shared, shared >= to - from);
    }
  }
}

// `values`: of a Track, at `times`, null where there was none.
export function fillNumbers(track, order, timeAt, times, values, interval) {
  const { first } = track;
  times = times.filter((time) => time < first.time - kSame * interval);
  values = values.slice(0, times.length).map((value) => value ?? NaN);
  times.push(first.time);
  values.push(first.value === null ? NaN : Number(first.value));
  const rates = values.map((value, at) => {
    const change = at === 0 ? NaN : value - values[at - 1];
    return track.counts && change < 0 ? NaN : change / (times[at] - times[at - 1]);
  });
  const intervals = intervalsOf(order, timeAt, times, first.time);
  let last = -1;
  for (const { slot, to } of intervals) {
    while (last + 1 < times.length && times[last + 1] <= to) last++;
    if (last >= 0 && to - times[last] <= kOld * interval && Number.isNaN(track.values[slot])) track.values[slot] = values[last];
  }
  const sums = new Map(); // slot -> [change, seconds]
  eachPart(intervals, times, interval, ({ slot }, number, seconds) => {
    if (Number.isNaN(rates[number])) return;
    const sum = sums.get(slot) ?? [0, 0];
    sums.set(slot, [sum[0] + rates[number] * seconds, sum[1] + seconds]);
  });
  for (const [slot, [change, seconds]] of sums) if (Number.isNaN(track.rates[slot])) track.rates[slot] = change / seconds;
  const rate = rates[rates.length - 1];
  if (Number.isNaN(track.rate) && times[times.length - 1] - times[times.length - 2] <= kGap * interval) track.rate = rate;
}

// The part [from, to) of what came in an interval: as many of each bucket, and all parts together have all of it.
// Few values of a bucket would all come at one time, for all buckets: so each has a time of its own to begin.
function share(list, from, to) {
  const part = [];
  for (let at = 0; at < list.length; at += 2) {
    const [bucket, count] = [list[at], list[at + 1]];
    const begin = (bucket * kSpread) % 1;
    const number = Math.floor(count * to + begin) - Math.floor(count * from + begin);
    if (number > 0) part.push(bucket, number);
  }
  return part;
}

// `lists`: of a DistributionTrack, as the server tells what came in each interval; null: that is not known.
// `total`: all that there was at the last of `times`, or null.
export function fillColumns(track, order, timeAt, times, lists, total, interval) {
  const { first } = track;
  times = [...times];
  lists = [...lists];
  const end = times[times.length - 1];
  if (end < first.time) {
    const rest = total && first.value && gained(first.value, total);
    if (rest && first.time - end <= kGap * interval) track.begin(rest, first.time - end);
    times.push(first.time);
    lists.push(rest ? [...rest.buckets].flatMap((bucket, at) => [bucket, rest.counts[at]]) : null);
  }
  const counts = new Float64Array(kBuckets);
  const parts = new Map(); // slot -> {lists, seconds}
  eachPart(intervalsOf(order, timeAt, times, first.time), times, interval, (one, number, seconds, all) => {
    const list = lists[number];
    if (list === null || track.has(one.slot)) return;
    const [from, to] = [times[number - 1], times[number]];
    const at = (time) => Math.min(1, Math.max(0, (time - from) / (to - from)));
    const into = parts.get(one.slot) ?? { lists: [], seconds: 0 };
    into.lists.push(all ? list : share(list, at(one.from), at(one.to)));
    into.seconds += seconds;
    parts.set(one.slot, into);
  });
  for (const [slot, { lists, seconds }] of parts) {
    const used = new Set();
    for (const list of lists) {
      for (let at = 0; at < list.length; at += 2) {
        used.add(list[at]);
        counts[list[at]] += list[at + 1];
      }
    }
    const buckets = Uint16Array.from(used).sort();
    const column = { buckets, counts: Float64Array.from(buckets, (bucket) => counts[bucket]), total: 0 };
    for (const count of column.counts) column.total += count;
    for (const bucket of buckets) counts[bucket] = 0;
    track.fill(slot, column, seconds);
  }
}

// So many that one answer is not too long, by their ids.
function chosen(series) {
  let distributions = 0;
  const some = series.filter(({ kind }) => kind !== "histogram" || ++distributions <= kMostDistributions);
  return some.slice(0, kMost).sort((a, b) => a.id - b.id);
}

// Puts an answer of the server into the history. `readings`: [series, list of items, total].
export function fill(history, { from, step, interval, times, readings }) {
  const order = history.order();
  if (order.length === 0) return;
  const end = history.timeAt(order[0]);
  history.addPast(pastTimes(times, { from, end, step, interval }));
  const slots = history.order();
  const timeAt = (slot) => history.timeAt(slot);
  for (const [series, items, total] of readings) {
    const track = history.track(series.key);
    if (!track?.first || !items) continue;
    if (series.kind === "histogram") fillColumns(track, slots, timeAt, times, items, total, interval);
    else fillNumbers(track, slots, timeAt, times, items, interval);
  }
}

// Asks for the past of what is looked at, one request after the other.
export class Past {
  interval = null; // seconds, of the server's past; null: it keeps none, or that is not known
  #live;
  #history;
  #settings;
  #wanted;
  #filled;
  #isOwn;
  #busy = false;
  #epoch = null; // of the server that is known
  #begins = -Infinity; // Unix seconds: it knows nothing before

  // `wanted()`: {plots, rows} of series. filled(): there is more to draw. isOwn(): the page alone has samples of what
  // is shown.
  constructor(live, history, settings, { wanted, filled, isOwn }) {
    this.#live = live;
    this.#history = history;
    this.#settings = settings;
    this.#wanted = wanted;
    this.#filled = filled;
    this.#isOwn = isOwn;
  }

  // Asks for what is not known yet. To be called after each tick.
  async ask() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (await this.#askOnce());
    } finally {
      this.#busy = false;
    }
  }

  // Seconds to look back, and slots for them, are others now.
  rangeChanged() {
    if (this.interval === null || this.#history.length === 0) return;
    const since = this.#history.now - this.#seconds;
    const first = this.#history.timeAt(this.#history.order()[0]);
    if (first <= since + this.#step) this.#history.dropBefore(since);
    else if (!this.#isLost && first > this.#begins + 2 * this.interval) this.#history.startOver();
  }

  // Whether samples of the page that give way would not come back: the server has none of them.
  get #isLost() {
    return this.#isOwn() || this.#epoch !== this.#live.epoch;
  }

  get #step() {
    return this.#settings.rate / 1000;
  }

  get #seconds() {
    return this.#settings.history * this.#step;
  }

  // Of some series that the page has looked at, whose past it does not know. False: there is nothing to ask.
  async #askOnce() {
    const { now } = this.#history;
    if (Number.isNaN(now) || (this.#epoch === this.#live.epoch && this.interval === null)) return false;
    const { plots, rows } = this.#wanted();
    const step = this.#step;
    for (const [series, slots] of [[plots, this.#settings.history], [rows, Math.min(this.#settings.history, kTrend)]]) {
      const from = now - slots * step;
      const lacking = series.filter((one) => {
        const track = this.#history.track(one.key);
        return track?.first && Math.min(track.pastFrom, track.first.time) > from + step;
      });
      if (lacking.length > 0) return this.#askFor(chosen(lacking), from);
    }
    return false;
  }

  async #askFor(series, from) {
    const tracks = series.map((one) => this.#history.track(one.key)); // another choice of processes makes new ones
    const before = tracks.map((track) => track.pastFrom);
    for (const track of tracks) track.pastFrom = from;
    // A rate is since the time before.
    const since = from - 2 * Math.max(this.interval ?? kUsual, this.#step);
    let answer;
    try {
      answer = await this.#live.past(series, since);
    } catch {
      // live.js says what is wrong, and the next tick asks again.
      tracks.forEach((track, at) => (track.pastFrom = before[at]));
      return false;
    }
    if (answer === null) return false; // the server refuses, or is another one now
    const { epoch, interval, times, readings } = answer;
    if (epoch !== this.#epoch) this.#begins = -Infinity;
    this.#epoch = epoch;
    this.interval = interval;
    if (interval === null || times.length === 0) return interval !== null;
    if (times[0] > since + kGap * interval) this.#begins = Math.max(this.#begins, times[0]);
    const same = readings.filter(([one]) => tracks.includes(this.#history.track(one.key)));
    fill(this.#history, { from, step: this.#step, interval, times, readings: same });
    this.#filled();
    return true;
  }
}
