// What was seen of the series that somebody looks at, in rings: memory is bounded by their number, whatever
// the time. One tick of the server is one slot of every ring, so that series can be put side by side.
//
// A counter's rate is the difference of exact values over the time between them; where a total fell, or is
// of another life of the server, there is none. Nor is there one over much less time than a tick: a few
// events at once would look like a storm. Distributions are in distribution.js. What the server saw before this
// page did comes from past.js.
import { DistributionTrack } from "./distribution.js";
import { difference } from "./exact.js";
import { quotients } from "./means.js";

export const kGap = 2.5; // intervals without a tick are a gap

// Means over the last `samples` at each slot of `order`; what is no number does not count.
export function smoothed(ring, order, samples) {
  const means = new Float64Array(ring.length).fill(NaN);
  order.forEach((slot, n) => {
    if (Number.isNaN(ring[slot])) return;
    let sum = 0;
    let count = 0;
    for (let at = Math.max(0, n - samples + 1); at <= n; at++) {
      const one = ring[order[at]];
      if (Number.isNaN(one)) continue;
      sum += one;
      count++;
    }
    means[slot] = sum / count;
  });
  return means;
}

class Track {
  latest = null; // exact: a number, or a BigInt beyond 2^53
  rate = NaN; // per second
  first = null; // {value, time} that this page saw first
  pastFrom = Infinity; // Unix seconds from which on the server was asked for its past
  #before = null; // {value, time} that the next rate starts from

  constructor(slots, counts) {
    this.counts = counts;
    this.values = new Float64Array(slots).fill(NaN);
    this.rates = new Float64Array(slots).fill(NaN);
  }

  // `least`: seconds that a rate is over, or more.
  take(value, time, least) {
    this.first ??= { value, time };
    this.latest = value;
    if (value === null) {
      this.rate = NaN;
      if (!this.counts) this.#before = null;
      return;
    }
    const before = this.#before;
    if (before && time - before.time < least) return;
    if (before && time > before.time) {
      const gained = difference(value, before.value);
      this.rate = this.counts && gained < 0 ? NaN : gained / (time - before.time);
    }
    if (!before || time > before.time) this.#before = { value, time };
  }

  glance(value, time, least) {
    this.take(value, time, least);
  }

  has(slot) {
    return !Number.isNaN(this.values[slot]);
  }

  put(slot) {
    this.values[slot] = this.latest === null ? NaN : Number(this.latest);
    this.rates[slot] = this.rate;
  }

  clear(slot) {
    this.values[slot] = this.rates[slot] = NaN;
  }

  empty() {
    this.first = null;
    this.pastFrom = Infinity;
    this.forget();
    this.values.fill(NaN);
    this.rates.fill(NaN);
  }

  forget() {
    this.#before = null;
    this.rate = NaN;
  }

  // As smoothed().
  over(order, samples, asRates) {
    if (samples === 1) return asRates ? this.rates : this.values;
    return smoothed(asRates ? this.rates : this.values, order, samples);
  }

  // What is at `order` is in rings of `slots` then, after so many empty ones.
  resize(order, slots, before) {
    const copy = (ring) => {
      const next = new Float64Array(slots).fill(NaN);
      order.forEach((from, to) => (next[before + to] = ring[from]));
      return next;
    };
    this.values = copy(this.values);
    this.rates = copy(this.rates);
  }
}

export class History {
  #tracks = new Map(); // key of a series -> Track
  #times;
  #count = 0; // ticks ever; the slot of tick n is n % slots
  #from = 0; // ticks before this one are no longer known, even if they have their slots
  #past = 0; // those before this one are of the server's past
  #interval = NaN; // of the last tick, to the next one
  #nothing; // a ring

  constructor(slots) {
    this.#times = new Float64Array(slots).fill(NaN);
    this.#nothing = new Float64Array(slots).fill(NaN);
  }

  get slots() {
    return this.#times.length;
  }

  get length() {
    return this.#count - this.first;
  }

  // Unix seconds of the last tick, or NaN.
  get now() {
    return this.length === 0 ? NaN : this.#times[(this.#count - 1) % this.slots];
  }

  // The same of the oldest tick that is known.
  get timeOfFirst() {
    return this.#count === 0 ? NaN : this.#times[this.first % this.slots];
  }

  // Slots of what is known, the oldest first.
  order() {
    const { first, length } = this;
    return Array.from({ length }, (_, at) => (first + at) % this.slots);
  }

  timeAt(slot) {
    return this.#times[slot];
  }

  track(key) {
    return this.#tracks.get(key);
  }

  // What is known of a series: {values, rates, latest, rate}. One that is computed from a distribution is part
  // of what is known of that.
  of(series) {
    if (series?.mean) return this.#meanOf(series.mean);
    if (!series?.of) return this.#tracks.get(series?.key);
    const track = this.#tracks.get(series.of.key);
    return track && { values: track.parts[series.part], rates: this.#nothing, latest: track.figures()[series.part] ?? null, rate: NaN };
  }

  #meanOf({ sum, count }) {
    const [sums, counts] = [this.#tracks.get(sum.key), this.#tracks.get(count.key)];
    if (!sums || !counts) return undefined;
    const latest = counts.rate > 0 ? sums.rate / counts.rate : NaN;
    return { values: quotients(sums.rates, counts.rates), rates: this.#nothing, latest: Number.isNaN(latest) ? null : latest, rate: NaN };
  }

  // A ring to draw: over the last `samples` at each slot. Null: nothing is known.
  line(series, asRates, samples) {
    if (series?.mean) {
      const [sums, counts] = [series.mean.sum, series.mean.count].map((one) => this.line(one, true, samples));
      return !sums || !counts ? null : asRates ? this.#nothing : quotients(sums, counts);
    }
    const track = this.#tracks.get((series?.of ?? series)?.key);
    if (!track) return null;
    const order = this.order();
    if (series.of) return asRates ? this.#nothing : track.over(order, samples)[series.part];
    if (series.kind === "histogram") return track.over(order, samples)[asRates ? "rate" : "p99"];
    return track.over(order, samples, asRates);
  }

  // The number of the oldest tick that is known, of all.
  get first() {
    return Math.max(this.#from, this.#count - this.slots);
  }

  get tracked() {
    return this.#tracks.size;
  }

  // `readings`: [series, value] of one tick, with a time of their own where it is not quite the tick's. Series that are not among them have a gap; all have one where no
  // tick came for long. `interval`: seconds from tick to tick, as they are asked for. One that comes much
  // earlier has no slot of its own, but gives that of the last one to series that are new.
  tick(time, readings, interval = NaN) {
    if (time < this.now) this.#restart(); // a clock that was set back
    const passed = time - this.now;
    const early = passed > 0 && passed < interval / 2;
    if (passed > kGap * Math.max(interval, this.#interval || 0)) this.#begin((this.now + time) / 2);
    if (!early && passed !== 0) this.#begin(time);
    if (!early) this.#interval = interval;
    // A past is as long as what the page will have seen itself.
    this.dropBefore(time - (this.slots + 0.5) * interval, this.#past);
    const slot = (this.#count - 1) % this.slots;
    for (const [series, value, at = time] of readings) {
      const track = this.#have(series);
      const isNew = !track.has(slot);
      track.take(value, at, interval / 2);
      if (!early || isNew) track.put(slot);
    }
  }

  // Between two ticks: a value to show at once, without a slot of its own.
  glance(time, readings) {
    for (const [series, value] of readings) this.#have(series).glance(value, time, this.#interval / 2);
  }

  // Values to come are of another life of the server.
  breakRates() {
    for (const track of this.#tracks.values()) track.forget();
  }

  // Drops what nobody looks at any more.
  keepOnly(keys) {
    for (const key of this.#tracks.keys()) {
      if (!keys.has(key)) this.#tracks.delete(key);
    }
  }

  resize(slots) {
    if (slots !== this.slots) this.#place(this.order().slice(-slots), slots, []);
  }

  // Slots for times before all that are known, ascending: as many as there is room for, the latest of them. They are
  // to be filled. Returns whether there are any.
  addPast(times) {
    const room = Math.max(0, this.slots - this.length);
    if (this.length === 0 || room === 0 || times.length === 0) return false;
    this.#place(this.order(), this.slots, times.slice(-room));
    return true;
  }

  // Forgets ticks that are older, of those before tick `end`.
  dropBefore(time, end = this.#count) {
    while (this.first < Math.min(end, this.#count - 1) && this.#times[this.first % this.slots] < time) this.#from = this.first + 1;
  }

  // All but the latest values, so that a longer past finds room.
  startOver() {
    this.#restart();
  }

  // What is at the slots of `order` comes after slots for `before`, in rings of `slots`.
  #place(order, slots, before) {
    const times = new Float64Array(slots).fill(NaN);
    times.set(before);
    order.forEach((from, at) => (times[before.length + at] = this.#times[from]));
    const past = before.length + Math.max(0, Math.min(this.#past, this.#count) - (this.#count - order.length));
    this.#times = times;
    this.#nothing = new Float64Array(slots).fill(NaN);
    this.#from = 0;
    this.#past = past;
    this.#count = before.length + order.length;
    for (const track of this.#tracks.values()) track.resize(order, slots, before.length);
  }

  #begin(time) {
    const slot = this.#count++ % this.slots;
    this.#times[slot] = time;
    for (const track of this.#tracks.values()) track.clear(slot);
  }

  #have(series) {
    let track = this.#tracks.get(series.key);
    if (!track) {
      track = series.kind === "histogram" ? new DistributionTrack(this.slots) : new Track(this.slots, series.kind === "counter");
      this.#tracks.set(series.key, track);
    }
    return track;
  }

  #restart() {
    this.#count = this.#from = this.#past = 0;
    for (const track of this.#tracks.values()) track.empty();
  }
}
