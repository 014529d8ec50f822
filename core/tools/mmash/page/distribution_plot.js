// A plot of one distribution: percentiles of each interval as lines, and below them all its values as a
// heatmap. Where there was no value there is a gap.
import { byProcessButton } from "./by_process.js";
import { child, setText } from "./card.js";
import { kNames } from "./distribution.js";
import { fullName } from "./families.js";
import { exact, figureText, inWords } from "./format.js";
import { Heatmap } from "./heatmap.js";
import { shown, shownLines } from "./labels.js";
import { kLineHint } from "./legend.js";
import { colourOf, LineCard } from "./lines.js";

const kLines = ["p50", "p90", "p99", "max"];
const kLeast = 1e-9; // what is smaller may be zero, which is on no logarithmic scale

export class DistributionPlot extends LineCard {
  heatmap;
  #parts; // of the legend: {part, at of a line that is drawn, line, value}
  #facts;
  #rings = null;
  #order = []; // slots of rows

  constructor(plots, context, how) {
    super(plots, context, how);
    this.hidden = new Set((how.hide ?? []).map((at) => kLines[at]).filter(Boolean));
    this.element.classList.add("distribution");
    this.tools.prepend(byProcessButton(this));
    this.heatmap = new Heatmap(this.element, (milliseconds) => plots.point(milliseconds));
    this.addBelow(this.heatmap.element);
    this.#parts = [...kNames].map(([part, name]) => {
      const at = kLines.indexOf(part);
      if (at >= 0) {
        const made = this.makeLine(at);
        made.line.title = kLineHint;
        made.line.dataset.part = part;
        made.name.textContent = name;
        this.legend.append(made.line);
        return { part, at, ...made };
      }
      const line = child(this.legend, "li", "");
      line.dataset.part = part;
      child(line, "span", "line-name").textContent = name;
      return { part, at, line, value: child(line, "span", "line-value") };
    });
    this.#facts = child(this.legend, "li", "facts-line");
  }

  // Or a logarithmic scale, as the heatmap has: a maximum may be a hundred times a median.
  get fromZero() {
    return this.zero ?? false;
  }

  get isLog() {
    return !this.fromZero;
  }

  setLog(log) {
    this.zero = !log;
    this.changed();
  }

  get lineIds() {
    return kLines;
  }

  get stackRefusal() {
    return null; // percentiles do not add up
  }

  lineAt(at) {
    const series = this.#series;
    return { name: series ? fullName(series, `.${kLines[at]}`) : `${this.#label}.${kLines[at]}`, unit: series?.unit ?? "" };
  }

  get #series() {
    return this.context.find(this.keys[0]);
  }

  get #label() {
    return this.#series?.label ?? this.keys[0].slice(this.keys[0].indexOf(":") + 1);
  }

  setKeys(keys) {
    this.keys = keys;
    this.forgetDrawing();
    this.write();
  }

  write() {
    const series = this.#series;
    const title = shown(this.#label);
    this.writeHead(title, shownLines(this.#label, series?.help));
    const { row } = this;
    const slot = row && this.#order[this.rows.indexOf(row)];
    const spoken = [];
    for (const made of this.#parts) {
      const { part, at, value: element } = made;
      const number = this.#rings?.[part]?.[slot] ?? NaN;
      const text = shown(figureText(part, number, series?.unit));
      setText(element, text);
      element.title = Number.isNaN(number) ? "" : shown(exact(number, part === "rate" ? "values/s" : series?.unit));
      if (at < 0) continue;
      spoken[at] = `${kNames.get(part)} ${text}`;
      this.writeLine(at, made);
    }
    const facts = series ? [series.kind, series.unit, series.help].filter(Boolean).join(" · ") : "not there now";
    setText(this.#facts, shown(facts, 300));
    this.#facts.title = shown(facts, 1000);
    this.describe(spoken);
  }

  draw() {
    const { history, settings } = this.context;
    const series = this.#series;
    const track = history.of(series);
    this.#order = history.order();
    this.#rings = track ? track.over(this.#order, settings.average) : null;
    const bounds = this.compute(kLines.map((part) => this.#rings?.[part]));
    // Only units that we know may go through innerHTML.
    const unit = ["bytes", "seconds", "percent"].includes(series?.unit) ? series.unit : "";
    const logscale = !this.fromZero && kLeast <= bounds.least && bounds.least <= bounds.most;
    const drawn = this.drawLines({
      range: logscale ? [bounds.least / 1.15, bounds.most * 1.15] : this.range(bounds),
      logscale,
      label: (number, digits) => inWords(number, unit, { digits }),
      colours: kLines.map((_, at) => colourOf(at)),
    });
    if (!drawn || !track) return;
    const { x, w } = this.dygraph.getArea();
    this.heatmap.show(track, history, { name: shown(this.#label), unit: series.unit, area: { x, w }, zoom: this.plots.zoom, toX: (milliseconds) => this.dygraph.toDomXCoord(milliseconds) });
  }
}
