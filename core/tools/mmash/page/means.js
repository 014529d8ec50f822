// Means: where counters LABEL.sum and LABEL.count are there and no histogram LABEL, the mean of what was counted in
// each interval is what one gained by what the other gained. Such a series is the page's own: it has no id.
export class Means {
  all = [];
  #byLabel = new Map();

  // `find(key)`: a series of the server. Returns the new means of series that were added, and whether one is no more:
  // its histogram, or a gauge of its name, came.
  add(added, find) {
    const made = [];
    for (const { kind, label, dimensions } of added) {
      const stem = label.replace(/\.(sum|count)$/, "");
      if (kind !== "counter" || dimensions || stem === label || this.#byLabel.has(stem)) continue;
      const [sum, count] = [find(`counter:${stem}.sum`), find(`counter:${stem}.count`)];
      if (!sum || !count || this.#isTold(stem, find)) continue;
      const mean = {
        key: `mean:${stem}`,
        label: `${stem}.mean`,
        kind: "gauge",
        aggregate: "avg",
        unit: sum.unit,
        help: `What ${stem}.sum gained by what ${stem}.count gained, in each interval`,
        mean: { sum, count },
      };
      this.#byLabel.set(stem, mean);
      this.all.push(mean);
      made.push(mean);
    }
    let gone = false;
    for (const [stem, mean] of this.#byLabel) {
      if (mean.hidden || !this.#isTold(stem, find)) continue;
      mean.hidden = gone = true;
    }
    return { made, gone };
  }

  #isTold(stem, find) {
    return find(`histogram:${stem}`) !== undefined || find(`gauge:${stem}.mean`) !== undefined;
  }

  find(key) {
    return key.startsWith("mean:") ? this.#byLabel.get(key.slice(5)) : undefined;
  }

  clear() {
    this.all = [];
    this.#byLabel.clear();
  }
}

// What the values of a series are made of: series that the server has.
export function sourcesOf(series) {
  if (series.byProcess) return [series.byProcess.series];
  if (series.mean) return [series.mean.sum, series.mean.count];
  return [series.of ?? series];
}

// A ring: what one gained by what the other did; NaN where nothing was counted.
export function quotients(sums, counts) {
  return sums.map((sum, slot) => (counts[slot] > 0 ? sum / counts[slot] : NaN));
}
