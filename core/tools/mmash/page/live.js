// Talks to the server: one batched request a tick, for the series that somebody looks at. Whatever goes
// wrong, it says so, tries again, and goes on where it was.
import { computes, kNames } from "./distribution.js";
import { Families, fullName } from "./families.js";
import { Means } from "./means.js";

const kProcessesMs = 2000; // how often processes are asked for, at most
const kSeriesMs = 1000; // the same, for new series
const kHiddenMs = 10_000; // how often a page that nobody sees asks, if it has plots
const kPatienceMs = 10_000; // for one answer
const kRetryMs = [500, 1000, 2000, 4000, 5000];
const kMostIdText = 7000; // of one URL: servers take 8 KB
const kTotals = ["count", "sum"];
const kMostDistributions = 200; // of one answer: ours gives no more than 256

// "0-9,12" of sorted ids.
export function idRanges(ids) {
  const ranges = [];
  for (let at = 0; at < ids.length; ) {
    let end = at;
    while (end + 1 < ids.length && ids[end + 1] === ids[end] + 1) end++;
    ranges.push(end === at ? `${ids[at]}` : `${ids[at]}-${ids[end]}`);
    at = end + 1;
  }
  return ranges.join(",");
}

// Sorted ids, in as few lists as have ranges of `most` characters.
export function batches(ids, most = kMostIdText) {
  if (idRanges(ids).length <= most || ids.length < 2) return [ids];
  const half = ids.length >> 1;
  return [...batches(ids.slice(0, half), most), ...batches(ids.slice(half), most)];
}

// The same of sorted series, of which no list has too many distributions.
function batchesOf(sorted) {
  const distributions = sorted.filter((series) => series.kind === "histogram").length;
  if (distributions <= kMostDistributions) return batches(sorted.map((series) => series.id));
  const half = sorted.length >> 1;
  return [...batchesOf(sorted.slice(0, half)), ...batchesOf(sorted.slice(half))];
}

// JSON in which whole numbers that may be beyond 2^53 are texts, so that they keep all their digits. What is in
// texts already stays as it is.
export const withWholeNumbers = (text) =>
  text.replace(/"(?:[^"\\]|\\.)*"|(?<=[[,:]\s*)-?\d{16,}(?=\s*[,\]}])/g, (found) => (found[0] === '"' ? found : `"${found}"`));

// A value of such an answer, as BigInt if it is beyond 2^53. That of a distribution is a list.
export function exactly(value) {
  if (Array.isArray(value)) return value.map(exactly);
  if (typeof value !== "string") return value;
  const whole = BigInt(value);
  return whole >= -BigInt(Number.MAX_SAFE_INTEGER) && whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : whole;
}

export function parseValues(text) {
  const answer = JSON.parse(withWholeNumbers(text));
  answer.values = answer.values.map(exactly);
  return answer;
}

class Refused extends Error {}

// Events, each with its data in `detail`:
//   series     {added, anew, hidden}        new ones; each has a `key` that outlives the server. anew: the
//                                           server has started, and its series have other ids than before.
//                                           hidden: some that were told before are no longer listed
//   values     {time, readings, interval}   readings: [series, value] of each wanted series, with a time of its
//                                           own where it has one; interval: seconds to the next ones, or none,
//                                           if they are for a glance between. `process`: the one that they are
//                                           of, null: it is gone; undefined: of all. Series without a value have
//                                           `ended`, if their processes have
//   processes  {processes, paths, host, problems, problem_texts}
//   state      {state, message}             "connecting", "live", "paused", "away", "lost"
export class Live extends EventTarget {
  series = [];
  rateMs = 2000;
  requests = 0; // ever: for the tests, and for those who wonder
  #wanted;
  #hasPlots;
  #more;
  #only = null;
  #byKey = new Map();
  #byLabel = new Map(); // the first one, by its full name, and by its label
  #byKindAndLabel = new Map(); // likewise
  #families = new Families();
  #means = new Means();
  #epoch = null;
  #known = 0; // how many series the server has
  #seriesAt = -Infinity;
  #processesAt = -Infinity;
  #failures = 0;
  #paused = false;
  #state = "";
  #timer = 0;
  #busy = false;
  #again = false; // something changed while it was busy

  // `wanted()`: the series to ask values of; `hasPlots()`: whether a page that is not seen goes on; `more(get, epoch)`:
  // asks at each tick for other readings, of this life of the server: [series, value, time].
  constructor(wanted, hasPlots, more = async () => []) {
    super();
    this.#wanted = wanted;
    this.#hasPlots = hasPlots;
    this.#more = more;
    document.addEventListener("visibilitychange", () => this.wake());
    window.addEventListener("online", () => this.wake());
  }

  get state() {
    return this.#state;
  }

  // Of the server: one that is started again has another. Null: none is known.
  get epoch() {
    return this.#epoch;
  }

  get paused() {
    return this.#paused;
  }

  set paused(paused) {
    if (paused === this.#paused) return;
    this.#paused = paused;
    this.wake();
  }

  // The id of a process whose values alone are asked for; null: those of all together.
  get only() {
    return this.#only;
  }

  set only(id) {
    if (id === this.#only) return;
    this.#only = id;
    this.wake();
  }

  // By key; else, for links that outlive a change of kind, or were made before it was of a family, by name.
  find(key) {
    return this.#byKey.get(key) ?? this.#means.find(key) ?? this.#byLabel.get(key.slice(key.indexOf(":") + 1));
  }

  // Means that the page makes of series.
  get means() {
    return this.#means.all;
  }

  // Undefined: nothing of it is there.
  findFamily(key) {
    return this.#families.find(key);
  }

  // Asks now, and from now on at the rate.
  wake() {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#turn();
  }

  // Asks for the values of some series between two ticks, to show them at once.
  async glance(series) {
    if (this.#state !== "live" || series.length === 0) return;
    try {
      const [epoch, only] = [this.#epoch, this.#only];
      const answer = await this.#values(series);
      if (epoch === this.#epoch && answer.epoch === epoch && only === this.#only) this.#tell("values", answer);
    } catch {
      // The next turn will see what is wrong.
    }
  }

  async #turn() {
    this.#busy = true;
    this.#again = false;
    const started = performance.now();
    let wait;
    try {
      wait = await this.#ask(started);
      this.#failures = 0;
    } catch (error) {
      wait = kRetryMs[Math.min(this.#failures++, kRetryMs.length - 1)];
      const why = error instanceof Refused ? error.message : "The server does not answer";
      this.#enter("lost", `${why}. Trying again every ${wait < 1000 ? "moment" : wait === 1000 ? "second" : `${wait / 1000} seconds`}.`);
    }
    this.#busy = false;
    if (this.#again) {
      this.wake();
    } else if (wait !== Infinity) {
      this.#timer = setTimeout(() => this.#turn(), Math.max(0, wait - (performance.now() - started)));
    }
  }

  // One turn. Returns milliseconds from its start to the next one; Infinity: not before wake().
  async #ask(now) {
    if (this.#paused && this.#epoch !== null) {
      this.#enter("paused");
      return Infinity;
    }
    if (document.hidden && this.#epoch !== null && !this.#hasPlots()) {
      this.#enter("away");
      return Infinity;
    }
    if (this.#epoch === null) {
      if (this.#state === "") this.#enter("connecting");
      await this.#fetchSeries(now);
    }
    const wanted = this.#wanted();
    if (wanted.length > 0) {
      const only = this.#only;
      const [answer, more] = await Promise.all([this.#values(wanted), this.#more((path) => this.#get(path), this.#epoch)]);
      if (answer.epoch !== this.#epoch) {
        this.#startOver();
        return 0;
      }
      if (only !== this.#only) return 0; // it was chosen meanwhile
      answer.readings.push(...more);
      this.#known = answer.series;
      this.#enter("live");
      this.#tell("values", { ...answer, interval: this.#intervalMs / 1000 });
    }
    if ((wanted.length === 0 || this.#known > this.series.length) && now - this.#seriesAt >= kSeriesMs) {
      await this.#fetchSeries(now);
      if (this.#epoch === null) return 0;
      this.#enter("live");
    }
    if (!document.hidden && now - this.#processesAt >= kProcessesMs) {
      this.#processesAt = now;
      const answer = JSON.parse(await this.#get("/live/processes"));
      if (answer.epoch === this.#epoch) this.#tell("processes", answer);
    }
    return this.#intervalMs;
  }

  get #intervalMs() {
    return document.hidden ? Math.max(kHiddenMs, this.rateMs) : this.rateMs;
  }

  async #fetchSeries(now) {
    const from = this.#epoch === null ? 0 : this.series.length;
    const answer = JSON.parse(await this.#get(`/live/series?from=${from}`));
    this.#seriesAt = now;
    if (this.#epoch !== null && answer.epoch !== this.#epoch) {
      this.#startOver();
      return;
    }
    const anew = this.#epoch === null;
    this.#epoch = answer.epoch;
    this.#known = from + answer.series.length;
    for (const series of answer.series) {
      // The same name may be there in several kinds, or even twice in one.
      const name = fullName(series);
      let kind = series.kind;
      for (let more = 2; this.#byKey.has(`${kind}:${name}`); more++) kind = `${series.kind}#${more}`;
      series.key = `${kind}:${name}`;
      this.#byKey.set(series.key, series);
      const first = (map, key) => map.has(key) || map.set(key, series);
      first(this.#byLabel, name);
      first(this.#byLabel, series.label);
      first(this.#byKindAndLabel, `${series.kind}:${series.label}`);
      this.series.push(series);
      this.#families.add(series);
    }
    const { made, gone } = this.#means.add(answer.series, (key) => this.#byKey.get(key));
    const hidden = this.#findParts(answer.series) || gone;
    if (anew || answer.series.length > 0) this.#tell("series", { added: [...answer.series, ...made], anew, hidden });
  }

  // What the server computes from a distribution is of its interval between two scans, which is not this
  // page's: this page computes it anew, as the `part` p99 `of` the distribution, and does not list it. Returns
  // whether there are such among series that are not `added`.
  #findParts(added) {
    let hidden = false;
    const isNew = new Set(added);
    const hide = (series) => {
      series.hidden = true;
      if (!isNew.has(series)) hidden = true;
    };
    const mark = (series, distribution, part) => {
      if (distribution?.kind !== "histogram" || series?.kind !== "gauge" || series.of) return;
      series.of = distribution;
      series.part = part;
      hide(series);
    };
    // Of a family's it tells count and sum, too: they are no families of their own.
    const hideTotal = (series, distribution) => {
      if (series && distribution?.dimensions) hide(series);
    };
    // That of this name, of the same combination if both are of a family: others may have the same label.
    const find = (kind, name, label, series) => {
      const found = this.#byKey.get(`${kind}:${name}`);
      if (found) return found;
      const other = this.#byKindAndLabel.get(`${kind}:${label}`);
      return other?.dimensions && series.dimensions ? undefined : other;
    };
    for (const series of added) {
      const { label, family, dimensions } = series;
      const part = label.slice(label.lastIndexOf(".") + 1);
      if (computes(part) || kTotals.includes(part)) {
        const shorter = (text) => text?.slice(0, -part.length - 1);
        const whole = { label: shorter(label), family: shorter(family), dimensions };
        const distribution = find("histogram", fullName(whole), whole.label, series);
        if (computes(part)) mark(series, distribution, part);
        else if (series.kind === "counter") hideTotal(series, distribution);
      }
      if (series.kind !== "histogram") continue;
      const partOf = (kind, name) => find(kind, fullName(series, `.${name}`), `${label}.${name}`, series);
      for (const name of kTotals) hideTotal(partOf("counter", name), series);
      for (const name of kNames.keys()) mark(partOf("gauge", name), computes(name) ? series : null, name);
    }
    return hidden;
  }

  #startOver() {
    this.#epoch = null;
    this.series = [];
    this.#byKey.clear();
    this.#byLabel.clear();
    this.#byKindAndLabel.clear();
    this.#families.clear();
    this.#means.clear();
    this.#processesAt = -Infinity;
  }

  // {epoch, time, series, readings}; of several answers, the last one's time.
  async #values(wanted) {
    const sorted = [...wanted].sort((a, b) => a.id - b.id);
    const only = this.#only === null ? "" : `&process=${encodeURIComponent(this.#only)}`;
    const answers = await Promise.all(
      batchesOf(sorted).map(async (ids) => parseValues(await this.#get(`/live/values?ids=${idRanges(ids)}${only}`))),
    );
    const last = answers[answers.length - 1];
    const values = answers.flatMap((answer) => answer.values);
    for (const series of sorted) series.ended = false;
    answers.reduce((first, answer) => {
      for (const at of answer.ended ?? []) sorted[first + at].ended = true;
      return first + answer.values.length;
    }, 0);
    return { epoch: last.epoch, time: last.time, series: last.series, process: last.process, readings: sorted.map((series, at) => [series, values[at] ?? null]) };
  }

  // What the server saw of some series, sorted by id, since Unix seconds: {epoch, interval, times, readings}, readings:
  // [series, list of what there was at the times or null, total of a distribution at the last one or null]. Null: it
  // refuses, or is another one now.
  async past(series, since) {
    try {
      const answer = JSON.parse(await this.#get(`/live/history?ids=${idRanges(series.map(({ id }) => id))}&from=${since}`));
      if (answer.epoch !== this.#epoch) return null;
      return { ...answer, readings: series.map((one, at) => [one, answer.values[at] ?? null, answer.totals[one.id] ?? null]) };
    } catch (error) {
      if (error instanceof Refused) return null;
      throw error;
    }
  }

  async #get(path) {
    this.requests++;
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(kPatienceMs) });
    const text = await answer.text();
    if (answer.ok) return text;
    let why = `status ${answer.status}`;
    try {
      why = JSON.parse(text).error ?? why;
    } catch {
      // A proxy's page: the status says enough.
    }
    throw new Refused(`The server refuses: ${why}`);
  }

  #enter(state, message = "") {
    if (state === this.#state && message === "") return;
    this.#state = state;
    this.#tell("state", { state, message });
  }

  #tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}
