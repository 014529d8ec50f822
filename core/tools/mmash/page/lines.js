// What all plots have: a legend, and lines over the same time as all others.
//
// dygraphs draws the lines. It puts series' names, and what its formatters return, into innerHTML: so its
// legend and titles are switched off, series are called s0, s1 ..., and formatters return numbers only.
import { button, Card, child, style } from "./card.js";
import { Foot } from "./foot.js";
import { clockOf } from "./format.js";
import { makeLine, otherwiseHidden } from "./legend.js";
import { Menu } from "./menu.js";
import { followGrip, followKeys, followPointer, kTaller } from "./pointing.js";
import { download } from "./plot_csv.js";
import { asDrawn, drawBand } from "./stack.js";

// Of dygraphs' plugins, those that write no foreign text and no style attributes, which the
// Content-Security-Policy forbids.
Dygraph.PLUGINS = [Dygraph.Plugins.Grid, Dygraph.Plugins.Axes];

const kColours = 8; // --series-0 ...
// Lines that share a colour differ in this: of dygraphs, and the class of the swatch.
const kPatterns = [
  { stroke: null, name: "" },
  { stroke: [7, 3], name: " dashed" },
  { stroke: [2, 3], name: " dotted" },
];
const kLeastSamples = 20; // that a new plot is wide
const kHeights = { least: 80, most: 1600 }; // of the lines, in pixels
const kMostSpoken = 8; // lines

const patternOf = (at) => kPatterns[Math.floor(at / kColours) % kPatterns.length];
export const kLines = kColours * kPatterns.length; // that can be told apart
export const colourOf = (at) => style(`--series-${at % kColours}`);
export const swatchOf = (at) => `swatch colour-${at % kColours}${patternOf(at).name}`;
export const kNoSum = { avg: "an average", max: "the greatest", min: "the least" };
const heightWithin = (height) => Math.round(Math.min(kHeights.most, Math.max(kHeights.least, height)));

// Between two seconds there is more to tell.
function timeLabel(milliseconds) {
  const rest = Math.round(milliseconds % 1000);
  return clockOf(milliseconds / 1000) + (rest === 0 ? "" : `.${String(rest).padStart(3, "0").replace(/0+$/, "")}`);
}

export class LineCard extends Card {
  dygraph = null;
  rows = []; // [milliseconds, number of each line]
  hidden = new Set(); // ids of lines that are listed, and not drawn
  #drawn = { rows: [], bases: null, leftOut: 0 }; // as asDrawn() has it
  #refused = ""; // why what was asked for was not done
  #stack;
  #foot;
  #grip;
  #selection;
  #spoken = "";
  #height = null; // pixels; null: what there is room for

  // `zero`: true, false, or null: what suits. `stack`, `log`, `wide`, `height`: as the link has them.
  constructor(plots, context, { keys, mode, zero, stack = false, log = false, wide = false, height = null }) {
    super(plots, context, "Plot");
    this.keys = keys;
    this.mode = mode;
    this.zero = zero;
    this.stack = stack;
    this.log = log && !stack;
    this.#stack = button("mode stack", "stack", "Stack the lines: each stands on those below", () => this.#toggleStack());
    const menu = new Menu("More for this plot", () => this.#menuItems());
    this.tools.prepend(this.#stack, menu.button);
    this.element.append(menu.list);
    this.legend = child(this.element, "ul", "legend");
    this.canvas = child(this.element, "div", "drawing");
    this.#makeDrawing();
    this.#foot = new Foot(this.element, plots);
    this.#grip = followGrip(this, (height) => this.#resize(height));
    this.element.append(this.#grip);
    this.wide = wide;
    this.height = height;
  }

  // Below all that the plot has.
  addBelow(element) {
    this.element.append(element, this.#grip);
  }

  get plain() {
    return { keys: this.keys, ...this.look, ...this.hides };
  }

  // How it looks, as the link has it: what is as usual is left out.
  get look() {
    const look = { mode: this.mode, zero: this.zero };
    for (const name of ["stack", "log", "wide"]) if (this[name]) look[name] = true;
    if (this.height !== null) look.height = this.height;
    return look;
  }

  // Which lines are hidden, as the link has it: by their places.
  get hides() {
    const hide = this.lineIds.flatMap((id, at) => (this.hidden.has(id) ? [at] : []));
    return hide.length > 0 ? { hide } : {};
  }

  // ---- what subclasses tell ----

  // Of each line, in order: what stays the same while others come and go.
  get lineIds() {
    return this.keys;
  }

  // Of one line, for a file: {name, unit}, foreign as they are.
  lineAt() {
    return { name: "", unit: "" };
  }

  // Why lines cannot be stacked; "": they can; null: nobody would want to.
  get stackRefusal() {
    return "";
  }

  // What else its menu has.
  get moreItems() {
    return [];
  }

  // What is to be said about the lines that are drawn.
  get notes() {
    return [];
  }

  // ---- how it looks ----

  get stacks() {
    return this.stack && this.stackRefusal === "";
  }

  get fromZero() {
    return this.zero ?? true;
  }

  get isLog() {
    return this.log;
  }

  setLog(log) {
    this.log = log;
    if (log) this.stack = false;
    this.changed();
  }

  get wide() {
    return this.element.classList.contains("wide");
  }

  set wide(wide) {
    this.element.classList.toggle("wide", wide);
  }

  get height() {
    return this.#height;
  }

  set height(height) {
    this.#height = height === null ? null : heightWithin(height);
    this.element.classList.toggle("sized", height !== null);
    if (height === null) this.element.style.removeProperty("--height");
    else this.element.style.setProperty("--height", `${this.#height}px`);
  }

  #toggleStack() {
    this.#refused = "";
    if (this.stackRefusal !== "") this.#refused = `Not stacked: ${this.stackRefusal}`;
    else this.stack = !this.stack;
    if (this.stacks) this.log = false;
    this.changed();
  }

  #resize(height) {
    this.height = height;
    this.plots.resized();
  }

  #menuItems() {
    const { isLog: log, stacks } = this;
    const fromZero = () => {
      this.zero = !this.fromZero || log;
      if (log) this.setLog(false);
      else this.changed();
    };
    const widen = () => {
      this.wide = !this.wide;
      this.plots.resized();
    };
    const tall = this.canvas.clientHeight;
    return [
      { text: "Axis starts at zero", checked: this.fromZero && !log, run: fromZero, why: stacks ? "a stack always does" : "" },
      { text: "Log scale", checked: log, run: () => this.setLog(!log), why: stacks ? "a stack has none" : "" },
      { text: "Full width", checked: this.wide, run: widen },
      { text: "Taller", key: "+", run: () => this.#resize(tall + kTaller) },
      { text: "Lower", key: "−", run: () => this.#resize(tall - kTaller) },
      ...(this.height === null ? [] : [{ text: "As tall as there is room", run: () => this.#resize(null) }]),
      ...(this.hidden.size === 0 ? [] : [{ text: "Show all lines", run: () => this.#setHidden(new Set()) }]),
      ...this.moreItems,
      { text: "Download as CSV", run: () => this.#download() },
    ];
  }

  #download() {
    const shown = this.lineIds.flatMap((id, at) => (this.hidden.has(id) ? [] : [at]));
    const [from, to] = this.plots.zoom ?? [-Infinity, Infinity];
    const rows = this.rows.filter(([time]) => from <= time && time <= to).map((row) => [row[0], ...shown.map((at) => row[at + 1])]);
    download(this.title, shown.map((at) => this.lineAt(at)), rows);
  }

  // ---- the legend ----

  // One line of it: its name hides and shows it.
  makeLine(at) {
    return makeLine(swatchOf(at), (alone) => this.#setHidden(otherwiseHidden(this.lineIds, this.hidden, at, alone)));
  }

  writeLine(at, { line, toggle }) {
    const isHidden = this.hidden.has(this.lineIds[at]);
    line.classList.toggle("hidden-line", isHidden);
    toggle.setAttribute("aria-pressed", !isHidden);
  }

  #setHidden(hidden) {
    this.hidden = hidden;
    this.changed();
  }

  // ---- texts ----

  // The row of the pointer, or the last one.
  get row() {
    const { pointed } = this.plots;
    return pointed === null ? this.rows[this.rows.length - 1] : this.rows.find((row) => row[0] === pointed);
  }

  writeHead(title, tooltip) {
    super.writeHead(title, tooltip);
    this.#stack.hidden = this.lineIds.length < 2 || this.stackRefusal === null;
    this.#stack.setAttribute("aria-pressed", this.stacks);
    this.#stack.setAttribute("aria-disabled", this.stackRefusal !== "");
    const gaps = this.#drawn.leftOut > 0 ? "Zero and below are gaps on a log scale" : "";
    this.#foot.write(this.rows, this.plots.pointed === null ? null : this.row, [this.#refused, ...this.notes, gaps]);
  }

  // What the drawing shows, in words. Nobody who is in it is told at each tick.
  describe(spoken) {
    this.#spoken = spoken.filter((_, at) => !this.hidden.has(this.lineIds[at])).slice(0, kMostSpoken).join(", ");
    if (document.activeElement === this.canvas) return;
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.#spoken}`);
  }

  // ---- the lines ----

  forgetDrawing() {
    this.dygraph?.destroy();
    this.dygraph = null;
    this.canvas.firstChild.replaceChildren();
  }

  // Rings, by slot -> rows. Returns the least and the greatest number that is drawn.
  compute(rings) {
    const { history } = this.context;
    this.rows = history.order().map((slot) => [history.timeAt(slot) * 1000, ...rings.map((ring) => (ring ? ring[slot] : NaN))]);
    const isHidden = this.lineIds.map((id) => this.hidden.has(id));
    this.#drawn = asDrawn(this.rows, { isHidden, log: this.log, stacks: this.stacks });
    const [from, to] = this.plots.zoom ?? [-Infinity, Infinity];
    let least = Infinity;
    let most = -Infinity;
    for (const row of this.#drawn.rows) {
      if (row[0] < from || row[0] > to) continue;
      for (let at = 1; at < row.length; at++) {
        if (row[at] < least) least = row[at];
        if (row[at] > most) most = row[at];
      }
    }
    return { least, most };
  }

  // The axis: a bit more than what is there, never nothing.
  range({ least, most }, asTime = false) {
    if (least > most) return [0, 1];
    if (this.fromZero || this.stacks) {
      if (least === 0 && most === 0) return [0, 1];
      return [Math.min(0, least * 1.08), Math.max(0, most * 1.08)];
    }
    const pad = (most - least) * 0.08 || (asTime ? 60 : Math.abs(most) * 0.001) || 1;
    return [least - pad, most + pad];
  }

  // {range, logscale}: of drawLines.
  scale(bounds, asTime = false) {
    const logscale = this.log && 0 < bounds.least && bounds.least <= bounds.most;
    return { logscale, range: logscale ? [bounds.least / 1.15, bounds.most * 1.15] : this.range(bounds, asTime) };
  }

  // False: there is nothing to draw, or nowhere. label(number, digits): a number at the axis; it may not give
  // out foreign text. `logscale`: of the axis.
  drawLines({ range, label, colours, logscale = false }) {
    if (this.rows.length === 0 || this.canvas.clientWidth === 0) return false;
    const size = Math.max(Math.abs(range[0]), Math.abs(range[1]));
    const digits = logscale ? 3 : Math.max(3, Math.min(15, Math.ceil(Math.log10(size / (range[1] - range[0]))) + 3));
    const formatter = (number) => label(Math.abs(number) < size * 1e-9 ? 0 : number, digits);
    const last = this.rows[this.rows.length - 1][0];
    const window = this.plots.zoom ?? [Math.min(this.rows[0][0], last - kLeastSamples * this.context.settings.rate), last];
    const labelWidth = 62 + Math.max(0, digits - 6) * 7;
    const changing = {
      dateWindow: window,
      valueRange: range,
      fillGraph: colours.length === 1 && !logscale,
      axes: { y: { axisLabelFormatter: formatter, axisLabelWidth: labelWidth, logscale } },
    };
    if (this.dygraph) {
      this.dygraph.updateOptions({ file: this.#drawn.rows, ...changing });
    } else {
      this.dygraph = new Dygraph(this.canvas.firstChild, this.#drawn.rows, {
        ...changing,
        labels: ["time", ...colours.map((_, at) => `s${at}`)],
        colors: colours,
        series: Object.fromEntries(colours.map((_, at) => [`s${at}`, { strokePattern: patternOf(at).stroke }])),
        strokeWidth: 1.5,
        fillAlpha: 0.1,
        plotter: (line) => this.#plot(line),
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
        highlightCallback: (event, x) => this.plots.point(x),
        unhighlightCallback: () => this.plots.point(null),
        axes: {
          x: { ticker: Dygraph.dateTicker, drawGrid: false, axisTickSize: 6, axisLabelWidth: 64, pixelsPerLabel: 64, axisLabelFormatter: timeLabel },
          y: { ...changing.axes.y, pixelsPerLabel: 28 },
        },
      });
    }
    if (this.plots.pointed !== null) this.point();
    this.showSelection();
    return true;
  }

  #plot(line) {
    if (this.#drawn.bases) drawBand(line, this.#drawn.bases[line.seriesIndex]);
    else Dygraph.Plotters.fillPlotter(line);
    Dygraph.Plotters.linePlotter(line);
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
    const row = this.plots.pointed === null ? -1 : this.rows.findIndex((row) => row[0] === this.plots.pointed);
    if (row < 0) this.dygraph.clearSelection();
    else this.dygraph.setSelection(row);
  }

  // ---- the pointer and the keys in it ----

  #makeDrawing() {
    const { canvas } = this;
    child(canvas, "div", "lines");
    this.#selection = child(canvas, "div", "selection");
    this.#selection.hidden = true;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "plot");
    followPointer(this);
    followKeys(this, () => this.#foot.say(() => (this.row ? `${clockOf(this.row[0] / 1000)}: ${this.#spoken}` : "")));
  }

  // What is selected, in all plots.
  showSelection() {
    const { selection } = this.plots;
    this.#selection.hidden = !selection || !this.dygraph;
    if (this.#selection.hidden) return;
    const { x, w, y, h } = this.dygraph.getArea();
    const [left, right] = selection.map((time) => Math.min(x + w, Math.max(x, this.dygraph.toDomXCoord(time)))).sort((a, b) => a - b);
    Object.assign(this.#selection.style, { left: `${left}px`, width: `${right - left}px`, top: `${y}px`, height: `${h}px` });
  }
}
