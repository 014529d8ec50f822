// What the rows of a family's table tell, over some of the samples that were seen.
import { overall } from "./distribution.js";
import { valuesText } from "./families.js";
import { aggregateOf, grouped, kEach, ringOf } from "./groups.js";
import { collator } from "./labels.js";

// By kind, in their order; the first is what a row is sorted by, the greatest first, if nobody chose.
const kFigures = {
  histogram: ["share", "rate", "mean", "p50", "p99"],
  counter: ["rate", "share", "value"],
};
export const figuresOfKind = (kind) => kFigures[kind] ?? ["value"];
export const kAllFigures = [...new Set([...Object.values(kFigures).flat(), "value"])];
const kPercentiles = new Set(["p50", "p99"]);

// Rows of members, one for each combination, in the order of their values.
export function rowsOf(members, names) {
  return grouped(members, kEach).map(({ key, members }) => {
    const [{ dimensions }] = members;
    const values = names.map((name) => dimensions[name]);
    return {
      key,
      members,
      values,
      name: valuesText(members[0]),
      text: names.map((name, at) => ` ${name}=${values[at]}`).join("").toLowerCase(),
      tracks: [], // of what is known
      trend: null, // a ring
      latest: null, // exact, where it is one series
      rate: NaN,
      share: NaN,
      mean: NaN,
      value: NaN,
      percentiles: null, // once somebody asked, of these samples
    };
  });
}

// Seconds since the sample before, by slot; NaN: that is not known.
function spansOf(history, order) {
  const spans = new Float64Array(history.slots).fill(NaN);
  for (let at = 1; at < order.length; at++) spans[order[at]] = history.timeAt(order[at]) - history.timeAt(order[at - 1]);
  return spans;
}

// How much came, of which a share can be: {count, part, seconds}. Of several at once, seconds are those of the longest.
function gainOf(tracks, slots, spans) {
  const all = { count: 0, part: 0, seconds: 0 };
  for (const track of tracks) {
    let seconds = 0;
    for (const slot of slots) {
      if (track.columns) {
        const column = track.columns[slot];
        if (!column) continue;
        seconds += track.seconds[slot];
        all.count += column.total;
        if (column.total > 0) all.part += column.total * track.parts.mean[slot];
      } else {
        const gained = track.rates[slot] * spans[slot];
        if (Number.isNaN(gained)) continue;
        seconds += spans[slot];
        all.count += gained;
        all.part += gained;
      }
    }
    all.seconds = Math.max(all.seconds, seconds);
  }
  return all;
}

const only = (tracks) => (tracks.length === 1 ? tracks[0].latest : null);

function together(tracks, how) {
  let number = NaN;
  let count = 0;
  for (const { latest } of tracks) {
    const one = latest === null ? NaN : Number(latest);
    if (Number.isNaN(one)) continue;
    if (count++ === 0) number = one;
    else if (how === "max") number = Math.max(number, one);
    else if (how === "min") number = Math.min(number, one);
    else number += one;
  }
  return how === "avg" ? number / count : number;
}

// Gives rows of one kind their figures over the last `samples`; 0: over all that are known. Returns how many seconds
// these are.
export function measure(rows, kind, history, samples) {
  const order = history.order();
  const slots = samples > 0 ? order.slice(-samples) : order;
  const spans = spansOf(history, order);
  const grows = kind === "histogram" || kind === "counter";
  let all = 0;
  for (const row of rows) {
    row.tracks = row.members.map((series) => history.of(series)).filter(Boolean);
    row.slots = slots;
    row.percentiles = null;
    row.trend = row.tracks.length === 1 ? (grows ? row.tracks[0].rates : row.tracks[0].values) : ringOf(row.members, history, order, { asRates: kind === "counter", how: aggregateOf(row.members, kind === "counter"), figure: "rate", samples: 1 });
    if (kind !== "histogram") {
      row.latest = only(row.tracks);
      row.value = together(row.tracks, aggregateOf(row.members, false));
    }
    if (!grows) continue;
    const { count, part, seconds } = gainOf(row.tracks, slots, spans);
    row.rate = seconds > 0 ? count / seconds : NaN;
    row.mean = count > 0 ? part / count : NaN;
    row.part = seconds > 0 ? part : NaN;
    if (seconds > 0) all += part;
  }
  if (grows) for (const row of rows) row.share = all > 0 ? row.part / all : NaN;
  return slots.reduce((sum, slot) => sum + (spans[slot] || 0), 0);
}

// A percentile is computed only of rows that are looked at, or sorted by it.
export function figure(row, name) {
  if (!kPercentiles.has(name)) return row[name];
  if (row.tracks.length === 0) return NaN;
  row.percentiles ??= overall(row.tracks, row.slots) ?? {};
  return row.percentiles[name] ?? NaN;
}

// Another list. `by`: a figure, or "@" and a dimension of `names`; what has no number comes last.
export function sorted(rows, { by, down }, names) {
  const sign = down ? -1 : 1;
  if (by.startsWith("@")) {
    const at = names.indexOf(by.slice(1));
    return [...rows].sort((a, b) => sign * collator.compare(a.values[at], b.values[at]));
  }
  const keys = new Map(rows.map((row) => [row, figure(row, by)]));
  return [...rows].sort((a, b) => {
    const [first, second] = [keys.get(a), keys.get(b)];
    if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
    return sign * (first - second);
  });
}
