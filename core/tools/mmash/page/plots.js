// The plots and tables, one below the other: plots over the same time, with one pointer.
import { DistributionPlot } from "./distribution_plot.js";
import { FamilyPlot } from "./family_plot.js";
import { FamilyTable } from "./family_table.js";
import { SeriesPlot } from "./series_plot.js";

const kShareOfTime = 4; // a drawing that took a while is not followed by another for so many times as long

const kFew = 3; // plots that have all the width
const kSome = 4; // and so many have half of it
const kLeastZoom = 2; // samples

const isOfFamily = (plot) => plot instanceof FamilyPlot || plot instanceof FamilyTable;

export class Plots {
  plots = [];
  pointed = null; // milliseconds of the tick that the pointer is at
  zoom = null; // [from, to], milliseconds: all that is drawn
  selection = null; // likewise, while it is being chosen
  drawings = 0; // how often it drew
  #element;
  #context;
  #sight;
  #drawAt = 0;
  #frame = 0;
  #later = 0;
  #pointedByKeys = false;

  // `context`: {find(key), findFamily(key), byProcess, history, settings, changed(), wake(), paused(), pause()}.
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

  add({ keys, mode = "auto", zero = null, ...look }) {
    return this.#append(this.#make({ keys: [...new Set(keys)], mode, zero, ...look }));
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
      const { hide, ...plain } = plot.plain; // of other lines
      const other = this.#make({ ...plain, keys });
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
      if (keys.every((key, at) => key === plot.keys[at])) continue;
      plot.hidden = new Set([...plot.hidden].map((id) => keys[plot.keys.indexOf(id)] ?? id));
      this.#setKeys(plot, [...new Set(keys)]);
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
    this.select(null); // the pointer that chose it may have been in this one, and is told nothing more
    if (focused) this.plots[Math.min(at, this.plots.length - 1)]?.element.focus();
    this.changed();
  }

  clear() {
    for (const plot of [...this.plots]) this.remove(plot);
    this.zoom = null;
  }

  changed() {
    this.#context.changed();
    for (const plot of this.plots) plot.othersChanged();
    this.#layOut();
  }

  // One is wider or higher than it was.
  resized() {
    this.changed();
    this.draw();
  }

  // How many rows of cards there are, by the number of columns: so high are they. A table has its own height.
  #layOut() {
    const tables = this.plots.filter((plot) => plot instanceof FamilyTable).length;
    const wide = this.plots.filter((plot) => plot.wide).length;
    const others = this.plots.length - tables - wide;
    this.#element.classList.toggle("few", others + wide <= kFew);
    this.#element.classList.toggle("many", others > kSome);
    for (const columns of [1, 2, 3]) {
      this.#element.style.setProperty(`--rows-${columns}`, Math.max(1, 2 * tables + wide + Math.ceil(others / columns)));
    }
  }

  // Colours or the screen's pixels are others now.
  drawAnew() {
    for (const plot of this.plots) plot.forgetDrawing();
    this.draw();
  }

  // Whether nothing is asked for.
  get stands() {
    return this.#context.paused();
  }

  // What somebody wants to look at closely must not move.
  hold() {
    if (!this.stands) this.#context.pause();
  }

  // [from, to], in any order, or null.
  select(range) {
    if (range === null && this.selection === null) return;
    this.selection = range;
    for (const plot of this.plots) plot.showSelection();
  }

  // All plots draw this alone; null: all that there is.
  zoomTo(range) {
    if (range === null && this.zoom === null) return;
    this.zoom = range;
    this.draw();
  }

  // Samples that are not there any more cannot be shown: so it stands while it is zoomed.
  zoomToSelection() {
    const [from, to] = [...(this.selection ?? [])].sort((a, b) => a - b);
    this.select(null);
    if (from === undefined) return;
    const { history } = this.#context;
    const inside = history.order().filter((slot) => from <= history.timeAt(slot) * 1000 && history.timeAt(slot) * 1000 <= to);
    if (inside.length < kLeastZoom) return;
    this.hold();
    this.zoomTo([from, to]);
  }

  // The keys that chose what is pointed at or selected go elsewhere.
  leaveKeys() {
    if (!this.#pointedByKeys) return;
    this.select(null);
    this.point(null);
  }

  point(milliseconds, byKeys = false) {
    this.pointed = milliseconds;
    this.#pointedByKeys = byKeys && milliseconds !== null;
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
      if (this.pointed !== null && this.pointed < this.#context.history.timeOfFirst * 1000) this.pointed = null; // it is gone
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

