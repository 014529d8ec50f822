// The plots: each shows one or more series, as rates or as values, over the same time as all others.
//
// dygraphs draws them. It puts series' names, and what its formatters return, into innerHTML: so its legend
// and titles are switched off, series are called s0, s1 ..., and formatters return numbers only.
import { clockOf, exact, exactReading, inWords, reading } from "./format.js";
import { shown, shownLines } from "./labels.js";

// Of dygraphs' plugins, those that write no foreign text and no style attributes, which the
// Content-Security-Policy forbids.
Dygraph.PLUGINS = [Dygraph.Plugins.Grid, Dygraph.Plugins.Axes];

const kColours = 8; // --series-0 ...
const kMostTogether = 24; // series in one plot
const kShareOfTime = 4; // a drawing that took a while is not followed by another for so many times as long
const kLeastSamples = 20; // that a new plot is wide

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colourOf = (at) => style(`--series-${at % kColours}`);

function button(className, text, label, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = text;
  made.title = label;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", onClick);
  return made;
}

function child(parent, name, className) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

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

class Plot {
  dygraph = null;
  inSight = true;
  #plots;
  #context;
  #lines = []; // of the legend, one for each key
  #canvas;
  #title;
  #time;
  #modes;
  #zero;
  #rows = [];

  constructor(plots, context, { keys, mode, zero }) {
    this.#plots = plots;
    this.#context = context;
    this.keys = keys.slice(0, kMostTogether);
    this.mode = mode;
    this.zero = zero; // true, false, or null: what suits the mode
    this.#build();
  }

  get plain() {
    return { keys: this.keys, mode: this.mode, zero: this.zero };
  }

  #build() {
    this.element = document.createElement("article");
    this.element.className = "plot";
    this.element.tabIndex = -1;
    const head = child(this.element, "header", "plot-head");
    this.#title = child(head, "h3", "plot-title");
    this.#time = child(head, "span", "plot-time");
    const tools = child(head, "span", "plot-tools");
    const modes = child(tools, "span", "modes");
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "Shown as");
    this.#modes = { rate: button("mode", "rate", "Show the change per second", () => this.#setMode("rate")), value: button("mode", "value", "Show the value", () => this.#setMode("value")) };
    modes.append(this.#modes.rate, this.#modes.value);
    this.#zero = button("mode zero", "0", "Let the axis start at zero", () => this.#setZero());
    const remove = button("remove", "×", "Remove this plot (Delete)", () => this.#plots.remove(this));
    tools.append(this.#zero, remove);
    this.legend = child(this.element, "ul", "legend");
    this.#canvas = child(this.element, "div", "drawing");
    this.#canvas.setAttribute("role", "img");
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Delete") this.#plots.remove(this);
    });
    this.#buildLegend();
  }

  #buildLegend() {
    this.#lines = this.keys.map((key, at) => {
      const line = document.createElement("li");
      const swatch = child(line, "span", `swatch colour-${at % kColours}`);
      swatch.setAttribute("aria-hidden", "true");
      const name = child(line, "span", "line-name");
      const value = child(line, "span", "line-value");
      const facts = child(line, "span", "line-facts");
      const drop = button("drop", "×", "Take this series out", () => this.#plots.drop(this, key));
      if (this.keys.length > 1) line.append(drop);
      return { line, name, value, facts, drop };
    });
    this.legend.replaceChildren(...this.#lines.map(({ line }) => line));
    this.legend.classList.toggle("single", this.keys.length === 1);
  }

  setKeys(keys) {
    this.keys = keys.slice(0, kMostTogether);
    this.#buildLegend();
    this.forgetDrawing();
    this.write();
  }

  #setMode(mode) {
    this.mode = mode;
    this.#plots.changed();
    this.write();
    this.draw();
  }

  #setZero() {
    this.zero = !this.#fromZero;
    this.#plots.changed();
    this.write();
    this.draw();
  }

  #series(at) {
    return this.#context.find(this.keys[at]);
  }

  #asRate(series) {
    return this.mode === "auto" ? series?.kind === "counter" : this.mode === "rate";
  }

  // A total that is far from zero would be a flat line there.
  get #fromZero() {
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
    if (this.#title.textContent !== title) this.#title.textContent = title;
    this.#title.title = labels.length === 1 ? shownLines(labels[0], found[0]?.help) : title;
    this.element.setAttribute("aria-label", `Plot of ${title}`);

    const rates = found.map((series) => this.#asRate(series));
    this.#modes.rate.setAttribute("aria-pressed", rates.every(Boolean));
    this.#modes.value.setAttribute("aria-pressed", !rates.some(Boolean));
    this.#zero.setAttribute("aria-pressed", this.#fromZero);

    const row = this.#plots.pointed === null ? this.#rows[this.#rows.length - 1] : this.#rows.find((row) => row[0] === this.#plots.pointed);
    this.#time.textContent = this.#plots.pointed === null || !row ? "" : clockOf(row[0] / 1000);
    const spoken = [];
    this.#lines.forEach(({ name, value, facts, line, drop }, at) => {
      const series = found[at];
      const part = branch === "" ? labels[at] : labels[at].slice(branch.length + 1);
      const text = this.keys.length === 1 ? "" : shown(part);
      if (name.textContent !== text) name.textContent = text;
      drop.setAttribute("aria-label", `Take ${text} out`);
      const number = row ? row[at + 1] : NaN;
      const options = { perSecond: rates[at] };
      const foreign = !series ? "" : rates[at] || series.kind !== "timestamp" ? inWords(number, series.unit, options) : Object.values(reading(series, number, (row?.[0] ?? NaN) / 1000)).join(" ");
      const said = foreign === "" ? "" : shown(foreign);
      if (value.textContent !== said) value.textContent = said;
      const track = series && this.#context.history.track(series.key);
      value.title = !track ? "" : rates[at] ? shownLines(exact(number, series.unit ? `${series.unit}/s` : "/s"), `${exactReading(series, track.latest)} in total`) : shown(exactReading(series, this.#plots.pointed === null && this.#context.settings.average === 1 ? track.latest : number));
      const kind = series ? [series.kind, series.unit].filter(Boolean).join(", ") : "not there now";
      const more = this.keys.length === 1 ? [kind, series?.help].filter(Boolean).join(" · ") : series ? "" : kind;
      const factText = more === "" ? "" : shown(more, 300);
      if (facts.textContent !== factText) facts.textContent = factText;
      line.title = series ? shownLines(labels[at], kind, series.help) : "";
      line.classList.toggle("gone", !series);
      spoken.push(`${shown(part, 60)} ${said}`);
    });
    this.#canvas.setAttribute("aria-label", `${title}: ${spoken.slice(0, 8).join(", ")}`);
  }

  forgetDrawing() {
    this.dygraph?.destroy();
    this.dygraph = null;
    this.#canvas.replaceChildren();
  }

  // Rows of [milliseconds, number of each series]: averages over the last samples, where so set.
  #compute() {
    const { history, settings } = this.#context;
    const slots = history.order();
    const rings = this.keys.map((_, at) => {
      const series = this.#series(at);
      const track = series && history.track(series.key);
      return !track ? null : this.#asRate(series) ? track.rates : track.values;
    });
    let least = Infinity;
    let most = -Infinity;
    this.#rows = slots.map((slot, n) => {
      const row = [history.timeAt(slot) * 1000];
      for (const ring of rings) {
        let number = ring ? ring[slot] : NaN;
        if (settings.average > 1 && !Number.isNaN(number)) {
          let sum = 0;
          let count = 0;
          for (let at = Math.max(0, n - settings.average + 1); at <= n; at++) {
            const one = ring[slots[at]];
            if (Number.isNaN(one)) continue;
            sum += one;
            count++;
          }
          number = sum / count;
        }
        if (number < least) least = number;
        if (number > most) most = number;
        row.push(number);
      }
      return row;
    });
    return { least, most };
  }

  // The axis: a bit more than what is there, never nothing.
  #range(least, most, asTime) {
    if (least > most) return [0, 1];
    if (this.#fromZero) {
      if (least === 0 && most === 0) return [0, 1];
      return [Math.min(0, least * 1.08), Math.max(0, most * 1.08)];
    }
    const pad = (most - least) * 0.08 || (asTime ? 60 : Math.abs(most) * 0.001) || 1;
    return [least - pad, most + pad];
  }

  draw() {
    const { least, most } = this.#compute();
    if (this.#rows.length === 0 || this.#canvas.clientWidth === 0) return;
    const all = this.keys.map((_, at) => this.#series(at));
    const units = new Set(all.map((series) => series?.unit ?? ""));
    const asTime = all.every((series) => series?.kind === "timestamp" && !this.#asRate(series));
    const range = this.#range(least, most, asTime);
    // Only units that we know may go through innerHTML.
    const unit = units.size === 1 && ["bytes", "seconds", "percent"].includes([...units][0]) ? [...units][0] : "";
    const perSecond = all.every((series) => this.#asRate(series));
    const size = Math.max(Math.abs(range[0]), Math.abs(range[1]));
    const digits = Math.max(3, Math.min(15, Math.ceil(Math.log10(size / (range[1] - range[0]))) + 3));
    const label = (number) => (asTime ? clockOf(number) : inWords(Math.abs(number) < size * 1e-9 ? 0 : number, unit, { perSecond: perSecond && unit === "bytes", digits }));
    const last = this.#rows[this.#rows.length - 1][0];
    const window = [Math.min(this.#rows[0][0], last - kLeastSamples * this.#context.settings.rate), last];
    const labelWidth = 62 + Math.max(0, digits - 6) * 7;
    const changing = { dateWindow: window, valueRange: range, axes: { y: { axisLabelFormatter: label, axisLabelWidth: labelWidth } } };
    if (this.dygraph) {
      this.dygraph.updateOptions({ file: this.#rows, ...changing });
    } else {
      this.dygraph = new Dygraph(this.#canvas, this.#rows, {
        ...changing,
        labels: ["time", ...this.keys.map((_, at) => `s${at}`)],
        colors: this.keys.map((_, at) => colourOf(at)),
        strokeWidth: 1.5,
        fillGraph: this.keys.length === 1,
        fillAlpha: 0.1,
        axisLineColor: style("--grid"),
        gridLineColor: style("--grid"),
        gridLineWidth: 1,
        axisLineWidth: 1,
        axisLabelFontSize: 11,
        rightGap: 10,
        xAxisHeight: 22,
        resizable: "passive",
        interactionModel: {},
        highlightCircleSize: 3,
        drawHighlightPointCallback: (g, name, context, x, y, colour, radius) => this.#point(g, context, x, y, colour, radius),
        highlightCallback: (event, x) => this.#plots.point(x),
        unhighlightCallback: () => this.#plots.point(null),
        axes: {
          x: { drawGrid: false, axisTickSize: 6, axisLabelWidth: 64, pixelsPerLabel: 64, axisLabelFormatter: (date) => clockOf(date / 1000) },
          y: { axisLabelFormatter: label, axisLabelWidth: labelWidth, pixelsPerLabel: 28 },
        },
      });
    }
    if (this.#plots.pointed !== null) this.point();
  }

  // A line through all plots where the pointer is.
  #point(g, context, x, y, colour, radius) {
    const { y: top, h: height } = g.getArea();
    context.globalCompositeOperation = "destination-over"; // below the points that are there
    context.fillStyle = style("--hairline");
    context.fillRect(Math.round(x), top, 1, height);
    context.globalCompositeOperation = "source-over";
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }

  point() {
    if (!this.dygraph) return;
    const row = this.#plots.pointed === null ? -1 : this.#rows.findIndex((row) => row[0] === this.#plots.pointed);
    if (row < 0) this.dygraph.clearSelection();
    else this.dygraph.setSelection(row);
  }
}

export class Plots {
  plots = [];
  pointed = null; // milliseconds of the tick that the pointer is at
  #element;
  #context;
  #sight;
  #drawAt = 0;
  #frame = 0;
  #later = 0;

  // `context`: {find(key), history, settings, changed()}.
  constructor(element, context) {
    this.#element = element;
    this.#context = context;
    this.#sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const plot = this.plots.find((plot) => plot.element === target);
        if (plot) plot.inSight = isIntersecting;
      }
      this.draw();
    }, { rootMargin: "200px" });
  }

  // Keys of all plotted series.
  get keys() {
    return new Set(this.plots.flatMap((plot) => plot.keys));
  }

  has(key) {
    return this.plots.some((plot) => plot.keys.includes(key));
  }

  add({ keys, mode = "auto", zero = null }) {
    const plot = new Plot(this, this.#context, { keys: [...new Set(keys)], mode, zero });
    this.plots.push(plot);
    this.#element.append(plot.element);
    this.#sight.observe(plot.element);
    plot.write();
    this.changed();
    this.draw();
    return plot;
  }

  // A plot of its own, or none any more.
  toggle(key) {
    const own = this.plots.find((plot) => plot.keys.length === 1 && plot.keys[0] === key);
    if (own) this.remove(own);
    else this.add({ keys: [key] });
  }

  // Into the last plot.
  join(keys) {
    const last = this.plots[this.plots.length - 1];
    if (!last) {
      this.add({ keys });
      return;
    }
    last.setKeys([...new Set([...last.keys, ...keys])]);
    this.changed();
    this.draw();
  }

  drop(plot, key) {
    plot.setKeys(plot.keys.filter((one) => one !== key));
    this.changed();
    this.draw();
  }

  remove(plot) {
    const at = this.plots.indexOf(plot);
    const focused = plot.element.contains(document.activeElement);
    this.plots.splice(at, 1);
    this.#sight.unobserve(plot.element);
    plot.forgetDrawing();
    plot.element.remove();
    if (focused) this.plots[Math.min(at, this.plots.length - 1)]?.element.focus();
    this.changed();
  }

  clear() {
    for (const plot of [...this.plots]) this.remove(plot);
  }

  changed() {
    this.#context.changed();
  }

  // Colours or the screen's pixels are others now.
  drawAnew() {
    for (const plot of this.plots) plot.forgetDrawing();
    this.draw();
  }

  point(milliseconds) {
    this.pointed = milliseconds;
    for (const plot of this.plots) {
      if (!plot.inSight) continue;
      plot.point();
      plot.write();
    }
  }

  // Whether something is still to be drawn.
  get drawing() {
    return this.#frame !== 0 || this.#later !== 0;
  }

  // Draws those in sight at the next frame; later, if that took long the last time.
  draw() {
    if (this.#frame || this.#later) return;
    const wait = this.#drawAt - performance.now();
    if (wait > 0) {
      this.#later = setTimeout(() => {
        this.#later = 0;
        this.draw();
      }, wait);
      return;
    }
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const started = performance.now();
      for (const plot of this.plots) {
        if (!plot.inSight) continue;
        plot.draw();
        plot.write();
      }
      const ended = performance.now();
      this.#drawAt = ended + kShareOfTime * (ended - started);
    });
  }
}

