// What series of a family make together: groups of those with the same value of a dimension.
import { overall, together } from "./distribution.js";
import { valuesText } from "./families.js";
import { smoothed } from "./history.js";
import { collator } from "./labels.js";

export const kMostGroups = 24; // of one plot
export const kMostHistograms = 1024; // of one plot: their buckets are asked for at each tick

// `where`: [name, value] pairs. Values of one dimension are alternatives; of several each must be met.
export function matching(family, where) {
  const wanted = new Map();
  for (const [name, value] of where) wanted.set(name, (wanted.get(name) ?? new Set()).add(value));
  if (wanted.size === 0) return family.members;
  return family.members.filter(({ dimensions }) => [...wanted].every(([name, values]) => values.has(dimensions[name])));
}

export const kEach = "*"; // each combination is a group

// [{key, name, members}], by name; names of several combinations may be equal. `by`: a dimension; kEach; else there is
// one group.
export function grouped(members, by) {
  const nameOf = by === kEach ? valuesText : by === "" ? () => "" : ({ dimensions }) => dimensions[by];
  const keyOf = by === kEach ? ({ dimensions }) => JSON.stringify(Object.values(dimensions)) : nameOf;
  const groups = new Map();
  for (const series of members) {
    const key = keyOf(series);
    const group = groups.get(key);
    if (group) group.members.push(series);
    else groups.set(key, { key, name: nameOf(series), members: [series] });
  }
  return [...groups.values()].sort((a, b) => collator.compare(a.name, b.name));
}

// How numbers of several series become one: counters and whole numbers are summed, fractions averaged, of moments it
// is the latest. Where some say this and some that, as the server decides about the files of a series.
export function aggregateOf(members, asRates) {
  const kind = members[0]?.kind;
  if (kind === "counter" || asRates) return "sum";
  const said = new Set(members.map(({ aggregate }) => aggregate ?? (kind === "timestamp" ? "max" : "sum")));
  if (said.size === 1) return [...said][0];
  return ["max", "avg"].find((one) => said.has(one)) ?? "sum";
}

function folded(rings, slots, order, how) {
  const ring = new Float64Array(slots).fill(NaN);
  for (const slot of order) {
    let number = NaN;
    let count = 0;
    for (const one of rings) {
      const value = one[slot];
      if (Number.isNaN(value)) continue;
      if (count++ === 0) number = value;
      else if (how === "max") number = Math.max(number, value);
      else if (how === "min") number = Math.min(number, value);
      else number += value;
    }
    ring[slot] = how === "avg" ? number / count : number;
  }
  return ring;
}

const present = (members, history) => members.map((series) => history.of(series)).filter(Boolean);

// How much a group is: the sum over the time that is known, of all its numbers or values.
export function weight(members, history, order, { asRates, how }) {
  let sum = 0;
  let count = 0;
  for (const track of present(members, history)) {
    if (track.columns) {
      for (const slot of order) sum += track.columns[slot]?.total ?? 0;
      continue;
    }
    const ring = asRates ? track.rates : track.values;
    for (const slot of order) {
      if (Number.isNaN(ring[slot])) continue;
      sum += Math.abs(ring[slot]);
      count++;
    }
  }
  return how === "avg" || how === "max" || how === "min" ? sum / Math.max(1, count) : sum;
}

// How great a group is: the mean of what it is over the time that is known; of distributions, `figure` of all
// values. NaN: it had none.
export function level(members, history, order, how) {
  const tracks = present(members, history);
  if (tracks[0]?.columns) {
    if (how.figure === "rate") return weight(members, history, order, how);
    return overall(tracks, order)?.[how.figure] ?? NaN;
  }
  let sum = 0;
  let count = 0;
  for (const number of ringOf(members, history, order, { ...how, samples: 1 }) ?? []) {
    if (Number.isNaN(number)) continue;
    sum += number;
    count++;
  }
  return sum / count;
}

// A ring of what they make together, over the last `samples` at each slot of `order`. Of distributions it is
// `figure`, of the values of all: buckets are added, as percentiles must not be.
export function ringOf(members, history, order, { asRates, how, figure, samples }) {
  const tracks = present(members, history);
  if (tracks.length === 0) return null;
  if (tracks[0].columns) return together(tracks, order, samples)[figure];
  const ring = folded(tracks.map((track) => (asRates ? track.rates : track.values)), history.slots, order, how);
  return samples === 1 ? ring : smoothed(ring, order, samples);
}

// The `most` groups that weigh most, and all others as one, without a name: {top, rest}. `before`: keys of those that
// were chosen, which keep their places, so that their colours stay.
export function chosen(groups, most, before, weightOf) {
  if (groups.length <= most) return { top: placed(groups, before), rest: [] };
  const weights = new Map(groups.map((group) => [group, weightOf(group)]));
  const sorted = [...groups].sort((a, b) => weights.get(b) - weights.get(a));
  return { top: placed(sorted.slice(0, most), before), rest: sorted.slice(most) };
}

function placed(groups, before) {
  const left = new Map(groups.map((group) => [group.key, group]));
  const places = new Array(groups.length).fill(null);
  before.slice(0, groups.length).forEach((key, at) => {
    places[at] = left.get(key) ?? null;
    left.delete(key);
  });
  const others = left.values();
  return places.map((group) => group ?? others.next().value);
}
