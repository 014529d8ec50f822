// A distribution over time: a column for each interval, or for a few where there is no room, and in it a cell
// for each band of values, as dark as there were many. Time is that of the lines above; values are on a
// logarithmic scale. A cell is chosen with the pointer or with the arrow keys, and told in words.
import { child, setText, style } from "./card.js";
import { kBuckets, kParts, lowerOf } from "./distribution.js";
import { clockOf, inWords } from "./format.js";
import { shown } from "./labels.js";

const kLevels = 6; // --heat-0 ...
const kHeight = 176;
const kTop = 4;
const kLeastColumn = 3; // pixels
const kLeastBand = 3;
const kLeastPowers = 3; // that are shown, as one value alone would be a stripe as high as all of it
const kLowestBand = 8; // pixels: what is as small as zero has a band of its own
const kLabelGap = 20;

const count = (number) => number.toLocaleString("en");

// The least number of 1, 2, 5, 10, 20, 50 ... that is not below: so that colours keep their meaning while the
// greatest count moves.
function roundedUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number);
}

// The first count of each level: by equal steps of a logarithm.
export function levelsOf(most) {
  const firsts = [];
  for (let level = 0; level < kLevels; level++) {
    const first = Math.max(Math.round(most ** (level / kLevels)), level === 0 ? 1 : firsts[level - 1] + 1);
    if (first > most) break;
    firsts.push(first);
  }
  return firsts;
}

// Bands of buckets, the lowest first: {first, end, bottom, top}, in pixels, and `isLowest` of what may be zero.
// 1 to 8 of each power of two.
export function bandsOf(buckets, height) {
  const above = buckets.filter((bucket) => bucket > 0);
  const bands = [];
  const hasLowest = above.length < buckets.length;
  const bottom = kTop + height - (hasLowest ? kLowestBand : 0);
  if (hasLowest) bands.push({ first: 0, end: 1, bottom: kTop + height, top: bottom, isLowest: true });
  if (above.length === 0) return bands;
  let least = Math.floor(Math.min(...above) / kParts);
  let end = Math.floor(Math.max(...above) / kParts) + 1;
  while (end - least < kLeastPowers) {
    if (least > 0) least--;
    if (end - least < kLeastPowers && end < kBuckets / kParts) end++;
  }
  const space = bottom - kTop;
  const each = [8, 4, 2].find((each) => space / (end - least) / each >= kLeastBand) ?? 1;
  const low = Math.log2(lowerOf(least * kParts));
  const y = (bucket) => bottom - ((Math.log2(lowerOf(bucket)) - low) / (end - least)) * space;
  for (let first = least * kParts; first < end * kParts; first += kParts / each) {
    bands.push({ first: hasLowest ? Math.max(1, first) : first, end: first + kParts / each, bottom: y(first), top: y(first + kParts / each) });
  }
  return bands;
}

export class Heatmap {
  columns = []; // {id, from, to (seconds), left, right (pixels), at (milliseconds of its last tick), total, cells: band -> count}
  bands = [];
  most = 0; // values in one cell
  #canvas;
  #said;
  #legend;
  #unit = "";
  #levels = [];
  #area = { x: 0, w: 0 };
  #chosen = null; // {id of a column, bucket in a band, byKeys}
  #chose;

  // chose(milliseconds): of the tick of the chosen cell, or null.
  constructor(parent, chose) {
    this.#chose = chose;
    this.element = child(parent, "div", "heat");
    this.#canvas = child(this.element, "canvas", "heat-drawing");
    this.#canvas.tabIndex = 0;
    this.#canvas.setAttribute("role", "application");
    this.#canvas.setAttribute("aria-roledescription", "heatmap");
    this.#canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.#canvas.addEventListener("pointerdown", (event) => this.#point(event));
    this.#canvas.addEventListener("pointerleave", () => !this.#chosen?.byKeys && this.#choose(null));
    this.#canvas.addEventListener("blur", () => this.#choose(null));
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    const foot = child(this.element, "div", "heat-foot");
    this.#said = child(foot, "p", "heat-cell");
    this.#said.setAttribute("aria-live", "polite");
    this.#legend = child(foot, "ul", "heat-legend");
    this.#legend.setAttribute("aria-label", "Values in a cell");
  }

  // `track`: of the distribution. `area`: {x, w} of the lines, in pixels. toX(milliseconds). `zoom`: [from, to] in
  // milliseconds of what is shown, or null.
  show(track, history, { name, unit, area, toX, zoom = null }) {
    this.#unit = unit;
    this.#area = area;
    this.#canvas.setAttribute("aria-label", `Heatmap of ${name}; the arrow keys go from cell to cell`);
    this.#find(track, history, toX, zoom ?? [-Infinity, Infinity]);
    if (this.#chosen && !this.#cell()) {
      this.#chosen = null; // its time is over
      this.#chose(null);
    }
    this.#writeLegend();
    this.draw();
  }

  // Columns and what is in them.
  #find(track, history, toX, [from, to]) {
    const order = history.order();
    const isShown = (slot) => from < history.timeAt(slot) * 1000 && (history.timeAt(slot) - (track.seconds[slot] || 0)) * 1000 < to;
    const many = order.filter(isShown).length;
    const together = Math.max(1, Math.ceil((kLeastColumn * many) / Math.max(1, this.#area.w)));
    const columns = [];
    const used = new Set();
    order.forEach((slot, n) => {
      const column = track.columns[slot];
      if (!column || !isShown(slot)) return;
      // The same ticks stay together while all moves on.
      const id = `${together}:${Math.floor((history.first + n) / together)}`;
      const to = history.timeAt(slot);
      let last = columns[columns.length - 1];
      if (last?.id !== id) {
        last = { id, from: to - track.seconds[slot], parts: [], total: 0 };
        columns.push(last);
      }
      last.to = to;
      last.at = to * 1000;
      last.total += column.total;
      last.parts.push(column);
      for (const bucket of column.buckets) used.add(bucket);
    });
    this.bands = used.size === 0 ? [] : bandsOf([...used], kHeight - 2 * kTop);
    const bandAt = new Int16Array(kBuckets).fill(-1);
    this.bands.forEach(({ first, end }, at) => bandAt.fill(at, first, end));
    this.most = 0;
    for (const column of columns) {
      column.left = Math.max(this.#area.x, toX(column.from * 1000));
      column.right = Math.min(this.#area.x + this.#area.w, toX(column.to * 1000));
      column.cells = new Float64Array(this.bands.length);
      for (const { buckets, counts } of column.parts) buckets.forEach((bucket, at) => (column.cells[bandAt[bucket]] += counts[at]));
      delete column.parts;
      for (const cell of column.cells) this.most = Math.max(this.most, cell);
    }
    this.columns = columns;
    this.#levels = this.most === 0 ? [] : levelsOf(roundedUp(this.most));
    Object.assign(this.element.dataset, { columns: columns.length, bands: this.bands.length, most: this.most });
  }

  #level(number) {
    let level = this.#levels.length - 1;
    while (level > 0 && number < this.#levels[level]) level--;
    return level;
  }

  #writeLegend() {
    const texts = this.#levels.map((first, at) => {
      const last = at + 1 < this.#levels.length ? this.#levels[at + 1] - 1 : roundedUp(this.most);
      return first === last ? count(first) : `${count(first)}–${count(last)}`;
    });
    if (this.#legend.children.length === texts.length && texts.every((text, at) => this.#legend.children[at].textContent === text)) return;
    this.#legend.replaceChildren(
      ...texts.map((text, at) => {
        const item = document.createElement("li");
        const swatch = child(item, "span", `swatch heat-${at}`);
        swatch.setAttribute("aria-hidden", "true");
        item.append(text);
        return item;
      }),
    );
  }

  draw() {
    const width = this.element.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(kHeight * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(kHeight * ratio);
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, kHeight);
    this.#drawScale(context);
    const colours = this.#levels.map((_, level) => style(`--heat-${level}`));
    const edge = (pixels) => Math.round(pixels * ratio) / ratio; // no seams between cells
    for (const { left, right, cells } of this.columns) {
      const from = edge(left);
      const wide = Math.max(edge(right) - from, 1 / ratio);
      cells.forEach((number, at) => {
        if (number === 0) return;
        const top = edge(this.bands[at].top);
        context.fillStyle = colours[this.#level(number)];
        context.fillRect(from, top, wide, edge(this.bands[at].bottom) - top);
      });
    }
    const cell = this.#cell();
    if (cell) {
      const { left, right } = cell.column;
      const { top, bottom } = cell.band;
      // Two lines: one of them is seen on any colour.
      for (const [wide, colour] of [[4, "--panel"], [1.5, "--ink"]]) {
        context.lineWidth = wide;
        context.strokeStyle = style(colour);
        context.strokeRect(left - 1, top - 1, Math.max(1, right - left) + 2, bottom - top + 2);
      }
    }
    setText(this.#said, cell ? this.#words(cell) : this.columns.length > 0 && this.most === 0 ? "No values in this time" : "");
  }

  // Lines and numbers at powers of ten, with 2 and 5 between them where there is room.
  #drawScale(context) {
    const { x, w } = this.#area;
    context.font = `11px ${style("--sans")}`;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const mark = (y, text) => {
      context.fillStyle = style("--grid");
      context.fillRect(x, Math.round(y), w, 1);
      context.fillStyle = style("--muted");
      context.fillText(text, x - 5, Math.max(kTop + 4, Math.min(kHeight - kTop - 5, y)));
    };
    const bands = this.bands.filter(({ isLowest }) => !isLowest);
    if (bands.length < this.bands.length) mark((this.bands[0].top + this.bands[0].bottom) / 2, "0");
    if (bands.length === 0) return;
    const { bottom } = bands[0];
    const { top, end } = bands[bands.length - 1];
    const [low, high] = [lowerOf(bands[0].first), lowerOf(end)];
    const y = (value) => bottom - (Math.log(value / low) / Math.log(high / low)) * (bottom - top);
    const decade = y(1) - y(10);
    const steps = decade / 3.4 >= kLabelGap ? [1, 2, 5] : [1];
    const skipped = Math.max(1, Math.ceil(kLabelGap / decade)); // of powers of ten, all but one of so many
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      if (power % skipped !== 0) continue;
      for (const step of steps) {
        const value = Number(`${step}e${power}`);
        if (value >= low && value <= high) mark(y(value), inWords(value, shown(this.#unit || " ").trim(), { digits: 2 }));
      }
    }
  }

  // ---- one cell ----

  #cell() {
    if (!this.#chosen) return null;
    const column = this.columns.findIndex(({ id }) => id === this.#chosen.id);
    const band = this.bands.findIndex(({ first, end }) => first <= this.#chosen.bucket && this.#chosen.bucket < end);
    if (column < 0 || band < 0) return null;
    return { at: column, column: this.columns[column], bandAt: band, band: this.bands[band], count: this.columns[column].cells[band] };
  }

  // The band with most values of all time: where the keys begin.
  #busiest() {
    const sums = this.bands.map((_, at) => this.columns.reduce((sum, { cells }) => sum + cells[at], 0));
    return sums.indexOf(Math.max(...sums));
  }

  #words({ column, band, count: number }) {
    const value = (bucket) => inWords(lowerOf(bucket), this.#unit);
    const [from, to] = [clockOf(column.from), clockOf(column.to)];
    const range = band.isLowest ? `up to ${value(band.end)}` : `${value(band.first)} to ${value(band.end)}`;
    const share = column.total === 0 ? 0 : (100 * number) / column.total;
    const part = `${share === 0 || share >= 0.1 ? share.toFixed(1) : "< 0.1"}%`;
    return `${from === to ? from : `${from} to ${to}`} · ${shown(range)} · ${count(number)} of ${count(column.total)} values · ${part}`;
  }

  #choose(chosen) {
    const before = this.#chosen;
    if (chosen?.id === before?.id && chosen?.bucket === before?.bucket && chosen?.byKeys === before?.byKeys) return;
    this.#chosen = chosen;
    const cell = this.#cell();
    this.draw();
    this.#chose(cell ? cell.column.at : null);
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const column = this.columns.find(({ left, right }) => left <= x && x < right);
    const band = this.bands.find(({ top, bottom }) => top <= y && y < bottom);
    this.#choose(column && band ? { id: column.id, bucket: band.first, byKeys: false } : null);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const [right, up] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [-Infinity, 0], End: [Infinity, 0] }[event.key] ?? [];
    if (right === undefined || this.columns.length === 0 || this.bands.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const cell = this.#cell();
    const within = (at, all) => Math.max(0, Math.min(all.length - 1, at));
    const column = within(cell || right === -Infinity ? (cell?.at ?? 0) + right : this.columns.length - 1, this.columns);
    const band = cell ? within(cell.bandAt + up, this.bands) : this.#busiest();
    this.#choose({ id: this.columns[column].id, bucket: this.bands[band].first, byKeys: true });
  }
}
