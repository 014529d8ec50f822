// Distributions: how many values there were in each bucket, between two ticks of this page. The server tells
// how many there were ever; so what others ask of it changes nothing here.
//
// A bucket is one of 32 equal parts of a power of two, from 2^-30 to 2^50: its middle is off by 1.6 % of a
// value at most. The lowest one has all that is smaller, too, zero among it, and the highest one what is larger.
import { difference } from "./exact.js";

export const kParts = 32; // of a power of two
export const kBuckets = 80 * kParts;
const kLowestExponent = -30;

export const lowerOf = (bucket) => 2 ** (kLowestExponent + Math.floor(bucket / kParts)) * (1 + (bucket % kParts) / kParts);
const middleOf = (bucket) => (lowerOf(bucket) + lowerOf(bucket + 1)) / 2;

// By the names that series of the server have, which end in them.
const kPercents = new Map([
  ["min", 0],
  ["p50", 50],
  ["p90", 90],
  ["p99", 99],
  ["p999", 99.9],
  ["max", 100],
]);
export const kNames = new Map([
  ["p50", "p50"],
  ["p90", "p90"],
  ["p99", "p99"],
  ["p999", "p99.9"],
  ["max", "max"],
  ["min", "min"],
  ["mean", "mean"],
  ["rate", "count"],
]);

// Whether the page computes the series that has this ending, "p99" of "web.latency.p99".
export const computes = (ending) => kPercents.has(ending);

// The values of one interval: {buckets, counts, total}, ascending, without empty ones. `now`, `before`: lists
// of the server. Null: there are fewer than before, so these are not of one life.
export function gained(now, before) {
  const buckets = [];
  const counts = [];
  let total = 0;
  let old = 0;
  for (let at = 0; at < now.length; at += 2) {
    const bucket = now[at];
    if (before[old] < bucket) return null;
    let count = Number(now[at + 1]);
    if (before[old] === bucket) {
      count = difference(now[at + 1], before[old + 1]);
      old += 2;
    }
    if (count < 0) return null;
    if (count === 0) continue;
    buckets.push(bucket);
    counts.push(count);
    total += count;
  }
  if (old < before.length) return null;
  return { buckets: Uint16Array.from(buckets), counts: Float64Array.from(counts), total };
}

// Percentiles, by the nearest rank, and mean of one or more intervals; null: there was no value.
export function figuresOf({ buckets, counts, total }) {
  if (total === 0) return null;
  const figures = {};
  const ranks = [...kPercents].map(([name, percent]) => [name, Math.min(total, Math.max(1, Math.ceil((percent / 100) * total)))]);
  let next = 0;
  let seen = 0;
  let sum = 0;
  buckets.forEach((bucket, at) => {
    const middle = middleOf(bucket);
    seen += counts[at];
    sum += middle * counts[at];
    for (; next < ranks.length && ranks[next][1] <= seen; next++) figures[ranks[next][0]] = middle;
  });
  figures.mean = sum / total;
  return figures;
}

// Of intervals that come and go.
class Window {
  #counts = new Float64Array(kBuckets);
  #least = kBuckets; // that ever had some
  #most = -1;
  #total = 0;
  #seconds = 0;

  add({ buckets, counts, total }, seconds, sign) {
    buckets.forEach((bucket, at) => (this.#counts[bucket] += sign * counts[at]));
    if (total > 0) {
      this.#least = Math.min(this.#least, buckets[0]);
      this.#most = Math.max(this.#most, buckets[buckets.length - 1]);
    }
    this.#total += sign * total;
    this.#seconds += sign * seconds;
  }

  // Null: it has no value.
  figures() {
    const buckets = [];
    for (let bucket = this.#least; bucket <= this.#most; bucket++) if (this.#counts[bucket] > 0) buckets.push(bucket);
    return figuresOf({ buckets, counts: buckets.map((bucket) => this.#counts[bucket]), total: this.#total });
  }

  get rate() {
    return this.#total / this.#seconds;
  }

  clear() {
    this.#counts.fill(0, this.#least, this.#most + 1);
    this.#least = kBuckets;
    this.#most = -1;
    this.#total = this.#seconds = 0;
  }
}

// As history.js has a Track of a series of numbers: its value is p99, its rate how many values came a second.
export class DistributionTrack {
  columns; // by slot: what gained() gives, or null, as one does not know
  seconds; // by slot: how long its interval was
  parts; // name -> ring; NaN where there was no value
  first = null; // as history.js has it
  pastFrom = Infinity;
  #before = null; // {value, time}
  #gained = null; // in the last interval
  #seconds = NaN;

  constructor(slots) {
    this.#make(slots);
  }

  #make(slots) {
    this.columns = new Array(slots).fill(null);
    this.seconds = new Float64Array(slots).fill(NaN);
    this.parts = Object.fromEntries([...kNames.keys()].map((name) => [name, new Float64Array(slots).fill(NaN)]));
  }

  // As history.js has it.
  take(value, time, least) {
    this.first ??= { value, time };
    if (value === null) {
      this.forget();
      return;
    }
    if (this.#before && (time <= this.#before.time || time - this.#before.time < least)) return; // the same scan again
    this.#gained = this.#before && gained(value, this.#before.value);
    this.#seconds = this.#before ? time - this.#before.time : NaN;
    this.#before = { value, time };
  }

  // An interval ends with a tick alone, as it has its slot.
  glance(value, time, least) {
    if (!this.#before) this.take(value, time, least);
  }

  has(slot) {
    return this.columns[slot] !== null;
  }

  put(slot) {
    this.fill(slot, this.#gained, this.#seconds);
  }

  // The figures of now, until a tick knows them: those of the interval before the first look.
  begin(column, seconds) {
    if (this.#gained || !this.#before) return;
    this.#gained = column;
    this.#seconds = seconds;
  }

  // `column`: what gained() gives.
  fill(slot, column, seconds) {
    this.columns[slot] = column;
    this.seconds[slot] = seconds;
    const figures = column ? { ...figuresOf(column), rate: column.total / seconds } : {};
    for (const [name, ring] of Object.entries(this.parts)) ring[slot] = figures[name] ?? NaN;
  }

  clear(slot) {
    this.columns[slot] = null;
    this.seconds[slot] = NaN;
    for (const ring of Object.values(this.parts)) ring[slot] = NaN;
  }

  empty() {
    this.first = null;
    this.pastFrom = Infinity;
    this.forget();
    this.#make(this.columns.length);
  }

  forget() {
    this.#before = null;
    this.#gained = null;
    this.#seconds = NaN;
  }

  resize(order, slots, before) {
    const { columns, seconds, parts } = this;
    this.#make(slots);
    order.forEach((from, at) => {
      const to = before + at;
      this.columns[to] = columns[from];
      this.seconds[to] = seconds[from];
      for (const [name, ring] of Object.entries(this.parts)) ring[to] = parts[name][from];
    });
  }

  // Of the last interval, by name; what is not known is not there.
  figures() {
    return this.#gained ? { ...figuresOf(this.#gained), rate: this.#gained.total / this.#seconds } : {};
  }

  get values() {
    return this.parts.p99;
  }

  get rates() {
    return this.parts.rate;
  }

  get latest() {
    return this.figures().p99 ?? null;
  }

  get rate() {
    return this.figures().rate ?? NaN;
  }

  // name -> ring, over the last `samples` intervals at each slot of `order`: percentiles of all their values,
  // as a mean of percentiles is none.
  over(order, samples) {
    return samples === 1 ? this.parts : together([this], order, samples);
  }
}

// The same of the values of several, whose buckets are added.
export function together(tracks, order, samples) {
  const slots = tracks[0].columns.length;
  const rings = Object.fromEntries([...kNames.keys()].map((name) => [name, new Float64Array(slots).fill(NaN)]));
  const window = new Window();
  const known = (slot) => tracks.filter(({ columns }) => columns[slot]);
  const change = (those, slot, sign) => {
    const seconds = Math.max(...those.map((track) => track.seconds[slot]));
    those.forEach((track, at) => window.add(track.columns[slot], at === 0 ? seconds : 0, sign));
  };
  order.forEach((slot, at) => {
    const gone = at >= samples ? known(order[at - samples]) : [];
    if (gone.length > 0) change(gone, order[at - samples], -1);
    const come = known(slot);
    if (come.length === 0) return;
    change(come, slot, 1);
    for (const [name, number] of Object.entries({ ...window.figures(), rate: window.rate })) rings[name][slot] = number;
  });
  return rings;
}

const scratch = new Window(); // as it has an entry for each bucket

// Percentiles and mean of all values of several in the intervals at `slots`; null: there was none.
export function overall(tracks, slots) {
  scratch.clear();
  for (const { columns } of tracks) for (const slot of slots) if (columns[slot]) scratch.add(columns[slot], 0, 1);
  return scratch.figures();
}
