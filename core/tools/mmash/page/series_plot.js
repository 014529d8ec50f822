// A plot of one or more series, as rates or as values.
import { byProcessButton } from "./by_process.js";
import { button, child, setText } from "./card.js";
import { fullName } from "./families.js";
import { clockOf, cut, exact, exactReading, inWords, reading } from "./format.js";
import { aggregateOf } from "./groups.js";
import { shown, shownLines } from "./labels.js";
import { kLineHint } from "./legend.js";
import { colourOf, kLines, kNoSum, LineCard } from "./lines.js";
import { whyEmpty } from "./why_empty.js";

const kMostUnit = 24;

// The branch that all labels are in: "web.latency" of "web.latency.p50" and "web.latency.p99".
function commonBranch(labels) {
  const [first, ...others] = labels.map((label) => label.split(".").slice(0, -1));
  let length = first.length;
  for (const other of others) {
    let same = 0;
    while (same < length && other[same] === first[same]) same++;
    length = same;
  }
  return first.slice(0, length).join(".");
}

export class SeriesPlot extends LineCard {
  #lines = []; // of the legend, one for each key
  #modes;
  #byProcess;

  constructor(plots, context, { keys, hide = [], ...how }) {
    super(plots, context, { keys, ...how });
    // One that is alone has no name to show it again by.
    if (keys.length > 1) this.hidden = new Set(hide.map((at) => keys[at]).filter((key) => key !== undefined));
    const modes = document.createElement("span");
    modes.className = "modes";
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "Shown as");
    this.#modes = { rate: button("mode", "rate", "Show the change per second", () => this.#setMode("rate")), value: button("mode", "value", "Show the value", () => this.#setMode("value")) };
    modes.append(this.#modes.rate, this.#modes.value);
    this.tools.prepend(modes);
    this.tools.prepend((this.#byProcess = byProcessButton(this)));
    this.#buildLegend();
  }

  // More than can be told apart are left out, and that is said.
  #buildLegend() {
    const left = this.keys.length - kLines;
    if (left > 0) this.keys = this.keys.slice(0, kLines);
    this.#lines = this.keys.map((key, at) => {
      const made = this.makeLine(at);
      made.facts = child(made.line, "span", "line-facts");
      made.drop = button("drop", "×", "Take this series out", () => this.plots.drop(this, key));
      if (this.keys.length > 1) made.line.append(made.drop);
      return made;
    });
    this.legend.replaceChildren(...this.#lines.map(({ line }) => line));
    this.legend.classList.toggle("single", this.keys.length === 1);
    this.#byProcess.hidden = this.keys.length !== 1 || this.keys[0].startsWith("mean:");
    if (left <= 0) return;
    const note = child(this.legend, "li", "left-out");
    note.textContent = `${left} more are not drawn: a plot has ${kLines} lines at most`;
    this.legend.prepend(note); // in sight, however many names follow
  }

  setKeys(keys) {
    this.keys = keys;
    this.hidden = new Set(keys.length > 1 ? keys.filter((key) => this.hidden.has(key)) : []);
    this.#buildLegend();
    this.forgetDrawing();
    this.write();
  }

  #setMode(mode) {
    this.mode = mode;
    this.changed();
  }

  #series(at) {
    return this.context.find(this.keys[at]);
  }

  #asRate(series) {
    return this.mode === "auto" ? series?.kind === "counter" : this.mode === "rate";
  }

  // What a line is counted in, in words: of those that share an axis.
  #unitAt(at) {
    const series = this.#series(at);
    const asRate = this.#asRate(series);
    const unit = series?.kind === "timestamp" && !asRate ? "time" : series?.kind === "histogram" && asRate ? "values" : (series?.unit ?? "");
    return asRate ? `${unit}/s` : unit;
  }

  get notes() {
    const there = this.keys.flatMap((key, at) => (this.#series(at) && !this.hidden.has(key) ? [this.#unitAt(at)] : []));
    const units = [...new Set(there)].map((unit) => (unit === "" ? "plain numbers" : unit.startsWith("/") ? `numbers${unit}` : shown(cut(unit, kMostUnit))));
    if (units.length < 2) return [];
    return [`${units.slice(0, -1).join(", ")} and ${units.at(-1)} share this axis`];
  }

  get stackRefusal() {
    const there = this.keys.map((_, at) => this.#series(at)).filter(Boolean);
    if (there.some(({ of, kind }, at) => of || (kind === "histogram" && !this.#asRate(there[at])))) return "percentiles do not add up";
    if (there.some((series) => series.kind === "timestamp")) return "times do not add up";
    if (new Set(this.keys.map((_, at) => this.#unitAt(at))).size > 1) return "they are counted in different units";
    const other = there.find((series) => aggregateOf([series], this.#asRate(series)) !== "sum");
    return other ? `${shown(other.label, 60)} is no sum: over workers it is ${kNoSum[aggregateOf([other], false)]}` : "";
  }

  lineAt(at) {
    const series = this.#series(at);
    const part = series?.kind === "histogram" && !this.#asRate(series) ? ".p99" : "";
    return { name: series ? fullName(series, part) : this.keys[at].slice(this.keys[at].indexOf(":") + 1), unit: this.#unitAt(at) };
  }

  // A total that is far from zero would be a flat line there.
  get fromZero() {
    if (this.zero !== null) return this.zero;
    return this.keys.every((_, at) => {
      const series = this.#series(at);
      return this.#asRate(series) || (series?.kind !== "counter" && series?.kind !== "timestamp");
    });
  }

  // Texts: names, kinds, and the values at the last tick or where the pointer is.
  write() {
    const found = this.keys.map((_, at) => this.#series(at));
    const labels = found.map((series, at) => series?.label ?? this.keys[at].slice(this.keys[at].indexOf(":") + 1));
    const branch = labels.length > 1 ? commonBranch(labels) : "";
    const title = labels.length === 1 ? shown(labels[0]) : branch === "" ? `${labels.length} series` : shown(branch);
    this.writeHead(title, labels.length === 1 ? shownLines(labels[0], found[0]?.help) : title);

    const rates = found.map((series) => this.#asRate(series));
    this.#modes.rate.setAttribute("aria-pressed", rates.every(Boolean));
    this.#modes.value.setAttribute("aria-pressed", !rates.some(Boolean));
    const { row } = this;
    const spoken = [];
    this.#lines.forEach((made, at) => {
      const { name, value, facts, line, drop } = made;
      const series = found[at];
      const isDistribution = series?.kind === "histogram";
      const part = (branch === "" ? labels[at] : labels[at].slice(branch.length + 1)) + (isDistribution && !rates[at] ? " p99" : "");
      const unit = isDistribution && rates[at] ? "" : series?.unit;
      const text = this.keys.length === 1 ? "" : shown(part);
      if (name.textContent !== text) name.textContent = text;
      drop.setAttribute("aria-label", `Take ${text} out`);
      const number = row ? row[at + 1] : NaN;
      const options = { perSecond: rates[at] };
      const foreign = !series ? "" : rates[at] || series.kind !== "timestamp" ? inWords(number, unit, options) : Object.values(reading(series, number, (row?.[0] ?? NaN) / 1000)).join(" ");
      const said = foreign === "" ? "" : shown(foreign);
      if (value.textContent !== said) value.textContent = said;
      const track = series && this.context.history.of(series);
      value.title = !track ? "" : rates[at] ? shownLines(exact(number, unit ? `${unit}/s` : "/s"), isDistribution ? "" : `${exactReading(series, track.latest)} in total`) : shown(exactReading(series, this.plots.pointed === null && this.context.settings.average === 1 ? track.latest : number));
      const kind = series ? [series.kind, series.unit].filter(Boolean).join(", ") : "not there now";
      const why = series ? whyEmpty(series, track) : "";
      const more = this.keys.length === 1 ? [kind, why, series?.help].filter(Boolean).join(" · ") : series ? why : kind;
      const factText = more === "" ? "" : shown(more, 300);
      if (facts.textContent !== factText) facts.textContent = factText;
      line.title = series ? shownLines(labels[at], kind, series.help, this.keys.length > 1 ? kLineHint : "") : "";
      this.writeLine(at, made);
      line.classList.toggle("gone", !series);
      spoken.push(`${shown(part, 60)} ${said}`);
    });
    this.describe(spoken);
  }

  draw() {
    const { history, settings } = this.context;
    const all = this.keys.map((_, at) => this.#series(at));
    const bounds = this.compute(all.map((series) => history.line(series, this.#asRate(series), settings.average)));
    const units = new Set(all.map((series) => series?.unit ?? ""));
    const asTime = all.every((series) => series?.kind === "timestamp" && !this.#asRate(series));
    // Only units that we know may go through innerHTML.
    const unit = units.size === 1 && ["bytes", "seconds", "percent"].includes([...units][0]) ? [...units][0] : "";
    const perSecond = all.every((series) => this.#asRate(series));
    this.drawLines({
      ...this.scale(bounds, asTime),
      label: (number, digits) => (asTime ? clockOf(number) : inWords(number, unit, { perSecond: perSecond && unit === "bytes", digits })),
      colours: this.keys.map((_, at) => colourOf(at)),
    });
  }
}
