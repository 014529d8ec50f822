// The plots and tables, one below the other: plots over the same time, with one pointer.
import { DistributionPlot } from "./distribution_plot.js";
import { FamilyPlot } from "./family_plot.js";
import { FamilyTable } from "./family_table.js";
import { SeriesPlot } from "./series_plot.js";

const kShareOfTime = 4; // a drawing that took a while is not followed by another for so many times as long

const isOfFamily = (plot) => plot instanceof FamilyPlot || plot instanceof FamilyTable;

export class Plots {
  plots = [];
  pointed = null; // milliseconds of the tick that the pointer is at
  drawings = 0; // how often it drew
  #element;
  #context;
  #sight;
  #drawAt = 0;
  #frame = 0;
  #later = 0;

  // `context`: {find(key), findFamily(key), byProcess, history, settings, changed(), wake()}.
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

  // A distribution that is alone is shown as a whole; among others it is a line. A link may name it without its
  // kind, which is known when the series is.
  #kindOf(keys) {
    const whole = keys.length === 1 &&
      (/^histogram(#\d+)?:/.test(keys[0]) || this.#context.find(keys[0])?.kind === "histogram");
    return whole ? DistributionPlot : SeriesPlot;
  }

  // Keys of the series that are shown by process, where somebody sees it.
  get byProcess() {
    return new Set(this.plots.filter((plot) => plot.inSight && plot.plain.byProcess).map((plot) => plot.plain.family));
  }

  // All plotted series that are there.
  get series() {
    const found = new Set();
    for (const plot of this.plots) for (const series of plot.series) found.add(series);
    return found;
  }

  has(key) {
    return this.plots.some((plot) => plot.keys.includes(key));
  }

  add({ keys, mode = "auto", zero = null }) {
    return this.#append(this.#make({ keys: [...new Set(keys)], mode, zero }));
  }

  // Of a family: `plain` as FamilyPlot has it.
  addFamily({ mode = "auto", zero = null, ...plain }) {
    return this.#append(this.#seen(new FamilyPlot(this, this.#context, { ...plain, mode, zero })));
  }

  // Likewise. There is one of a family, unless a link says more.
  addTable(plain) {
    return this.#append(this.#seen(new FamilyTable(this, this.#context, plain)));
  }

  // That of a series by process, likewise brought into sight; of a figure of a histogram, the histogram's.
  showByProcess(key) {
    const series = this.#context.find(key);
    const family = (series?.of ?? series)?.key ?? key;
    if (series?.mean) return null; // of it there is nothing by process
    const there = this.plots.find((plot) => plot instanceof FamilyPlot && plot.plain.byProcess && plot.plain.family === family);
    const plot = there ?? this.addFamily({ family, byProcess: true, ...(series?.of && { figure: series.part }) });
    plot.element.scrollIntoView({ block: "nearest" });
    this.#context.wake();
    return plot;
  }

  // The table of a family, which is brought into sight.
  showTable(key) {
    const there = this.plots.find((plot) => plot instanceof FamilyTable && plot.family === key);
    const table = there ?? this.addTable({ table: key });
    table.element.scrollIntoView({ block: "nearest" });
    this.#context.wake();
    return table;
  }

  #append(plot) {
    this.plots.push(plot);
    this.#element.append(plot.element);
    this.changed();
    this.draw();
    return plot;
  }

  #make(plain) {
    return this.#seen(new (this.#kindOf(plain.keys))(this, this.#context, plain));
  }

  #seen(plot) {
    this.#sight.observe(plot.element);
    plot.write();
    return plot;
  }

  #setKeys(plot, keys) {
    if (keys.length === 0 || plot instanceof this.#kindOf(keys)) {
      plot.setKeys(keys);
    } else {
      const other = this.#make({ ...plot.plain, keys });
      this.plots[this.plots.indexOf(plot)] = other;
      plot.element.replaceWith(other.element);
      this.#forget(plot);
    }
    this.changed();
    this.draw();
  }

  #forget(plot) {
    this.#sight.unobserve(plot.element);
    plot.forgetDrawing();
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
    if (!last || isOfFamily(last)) {
      this.add({ keys });
      return;
    }
    this.#setKeys(last, [...new Set([...last.keys, ...keys])]);
  }

  // A link may have the name that a series had in another kind, or before it was of a family: it is what the
  // series is called now, by which the tree knows that it is plotted.
  nameAsFound() {
    for (const plot of [...this.plots]) {
      if (isOfFamily(plot)) continue;
      const keys = plot.keys.map((key) => this.#context.find(key)?.key ?? key);
      if (keys.some((key, at) => key !== plot.keys[at])) this.#setKeys(plot, [...new Set(keys)]);
    }
  }

  drop(plot, key) {
    this.#setKeys(plot, plot.keys.filter((one) => one !== key));
  }

  remove(plot) {
    const at = this.plots.indexOf(plot);
    const focused = plot.element.contains(document.activeElement);
    this.plots.splice(at, 1);
    this.#forget(plot);
    plot.element.remove();
    if (focused) this.plots[Math.min(at, this.plots.length - 1)]?.element.focus();
    this.changed();
  }

  clear() {
    for (const plot of [...this.plots]) this.remove(plot);
  }

  changed() {
    this.#context.changed();
    for (const plot of this.plots) plot.othersChanged();
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
      for (const plot of [...this.plots]) {
        if (!isOfFamily(plot) && !(plot instanceof this.#kindOf(plot.keys))) this.#setKeys(plot, plot.keys);
      }
      for (const plot of this.plots) {
        if (!plot.inSight) continue;
        plot.draw();
        plot.write();
      }
      const ended = performance.now();
      this.#drawAt = ended + kShareOfTime * (ended - started);
      ++this.drawings;
    });
  }
}

