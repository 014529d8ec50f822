// What all plots have: a legend, and lines over the same time as all others.
//
// dygraphs draws the lines. It puts series' names, and what its formatters return, into innerHTML: so its
// legend and titles are switched off, series are called s0, s1 ..., and formatters return numbers only.
import { button, Card, child, style } from "./card.js";
import { clockOf } from "./format.js";

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

const patternOf = (at) => kPatterns[Math.floor(at / kColours) % kPatterns.length];
export const kLines = kColours * kPatterns.length; // that can be told apart
export const colourOf = (at) => style(`--series-${at % kColours}`);
export const swatchOf = (at) => `swatch colour-${at % kColours}${patternOf(at).name}`;

export class LineCard extends Card {
  dygraph = null;
  rows = []; // [milliseconds, number of each line]
  #time;
  #zero;

  // `zero`: true, false, or null: what suits.
  constructor(plots, context, { keys, mode, zero }) {
    super(plots, context, "Plot");
    this.keys = keys;
    this.mode = mode;
    this.zero = zero;
    this.#time = document.createElement("span");
    this.#time.className = "plot-time";
    this.tools.before(this.#time);
    this.#zero = button("mode zero", "0", "Let the axis start at zero", () => {
      this.zero = !this.fromZero;
      this.changed();
    });
    this.tools.prepend(this.#zero);
    this.legend = child(this.element, "ul", "legend");
    this.canvas = child(this.element, "div", "drawing");
    this.canvas.setAttribute("role", "img");
  }

  get plain() {
    return { keys: this.keys, mode: this.mode, zero: this.zero };
  }

  get fromZero() {
    return this.zero ?? true;
  }

  // The row of the pointer, or the last one.
  get row() {
    const { pointed } = this.plots;
    return pointed === null ? this.rows[this.rows.length - 1] : this.rows.find((row) => row[0] === pointed);
  }

  writeHead(title, tooltip) {
    super.writeHead(title, tooltip);
    this.#zero.setAttribute("aria-pressed", this.fromZero);
    this.#time.textContent = this.plots.pointed === null || !this.row ? "" : clockOf(this.row[0] / 1000);
  }

  forgetDrawing() {
    this.dygraph?.destroy();
    this.dygraph = null;
    this.canvas.replaceChildren();
  }

  // Rings, by slot -> rows. Returns the least and the greatest number.
  compute(rings) {
    const { history } = this.context;
    let least = Infinity;
    let most = -Infinity;
    this.rows = history.order().map((slot) => {
      const row = [history.timeAt(slot) * 1000];
      for (const ring of rings) {
        const number = ring ? ring[slot] : NaN;
        if (number < least) least = number;
        if (number > most) most = number;
        row.push(number);
      }
      return row;
    });
    return { least, most };
  }

  // The axis: a bit more than what is there, never nothing.
  range({ least, most }, asTime = false) {
    if (least > most) return [0, 1];
    if (this.fromZero) {
      if (least === 0 && most === 0) return [0, 1];
      return [Math.min(0, least * 1.08), Math.max(0, most * 1.08)];
    }
    const pad = (most - least) * 0.08 || (asTime ? 60 : Math.abs(most) * 0.001) || 1;
    return [least - pad, most + pad];
  }

  // False: there is nothing to draw, or nowhere. label(number, digits): a number at the axis; it may not give
  // out foreign text. `logscale`: of the axis.
  drawLines({ range, label, colours, logscale = false }) {
    if (this.rows.length === 0 || this.canvas.clientWidth === 0) return false;
    const size = Math.max(Math.abs(range[0]), Math.abs(range[1]));
    const digits = logscale ? 3 : Math.max(3, Math.min(15, Math.ceil(Math.log10(size / (range[1] - range[0]))) + 3));
    const formatter = (number) => label(Math.abs(number) < size * 1e-9 ? 0 : number, digits);
    const last = this.rows[this.rows.length - 1][0];
    const window = [Math.min(this.rows[0][0], last - kLeastSamples * this.context.settings.rate), last];
    const labelWidth = 62 + Math.max(0, digits - 6) * 7;
    const changing = { dateWindow: window, valueRange: range, axes: { y: { axisLabelFormatter: formatter, axisLabelWidth: labelWidth, logscale } } };
    if (this.dygraph) {
      this.dygraph.updateOptions({ file: this.rows, ...changing });
    } else {
      this.dygraph = new Dygraph(this.canvas, this.rows, {
        ...changing,
        labels: ["time", ...colours.map((_, at) => `s${at}`)],
        colors: colours,
        series: Object.fromEntries(colours.map((_, at) => [`s${at}`, { strokePattern: patternOf(at).stroke }])),
        strokeWidth: 1.5,
        fillGraph: colours.length === 1,
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
        highlightCallback: (event, x) => this.plots.point(x),
        unhighlightCallback: () => this.plots.point(null),
        axes: {
          x: { drawGrid: false, axisTickSize: 6, axisLabelWidth: 64, pixelsPerLabel: 64, axisLabelFormatter: (date) => clockOf(date / 1000) },
          y: { ...changing.axes.y, pixelsPerLabel: 28 },
        },
      });
    }
    if (this.plots.pointed !== null) this.point();
    return true;
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
}
