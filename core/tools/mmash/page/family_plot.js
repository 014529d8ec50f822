// A plot of a family: a line for each value of one dimension, or for the greatest of them, and one for the rest.
// Or of one series by process, as if `process` were its dimension: then the worst is named first.
import { button, setText, style } from "./card.js";
import { kNames } from "./distribution.js";
import { fullName } from "./families.js";
import { clockOf, exact, figureText, inWords, reading } from "./format.js";
import { aggregateOf, chosen, grouped, kEach, kMostGroups, kMostHistograms, level, matching, ringOf, weight } from "./groups.js";
import { shown, shownLines } from "./labels.js";
import { kLineHint, writeName } from "./legend.js";
import { colourOf, kNoSum, LineCard, swatchOf } from "./lines.js";
import { kTop, limited } from "./link.js";
import { field, option, Where } from "./where.js";

const kModes = { rate: "Show the change per second", value: "Show the value" };
const kShort = new Set(["bytes", "seconds", "percent"]); // units beside each number; others are told once
const kRest = Symbol("the line of all others");
const kHow = { sum: "summed", avg: "average of the series", max: "the greatest", min: "the least" };

export class FamilyPlot extends LineCard {
  #family; // its key
  #by; // a dimension, kEach, or "" for all together
  #top;
  #where;
  #figure;
  #byProcess; // it is of one series, whose key #family is
  #least; // the least are the worst
  #controls;
  #names = null; // that the controls offer: its dimensions
  #lines = []; // of the legend: {line, swatch, name, value, group}
  #groups = []; // that are drawn, {key, name, members}; the last may be the rest
  #rest = false; // it is
  #known = {}; // members and groups, for as long as nothing changes

  constructor(plots, context, { family, by = null, top = kTop, where = [], figure = "p99", byProcess = false, least = false, hide = [], hideRest = false, ...how }) {
    super(plots, context, { ...how, keys: [] });
    this.hidden = new Set(hideRest ? [...hide, kRest] : hide);
    this.element.classList.add("family");
    this.#family = family;
    this.#by = by;
    this.#top = top;
    this.#figure = figure;
    this.#byProcess = byProcess;
    this.#least = least;
    this.#makeControls(where);
  }

  #makeControls(where) {
    const bar = document.createElement("form");
    bar.className = "family-tools";
    bar.addEventListener("submit", (event) => event.preventDefault());
    this.legend.before(bar);
    const by = field(bar, "by", "select", "Grouped by");
    by.addEventListener("change", () =>
      this.#change(() => {
        this.#by = by.value;
        this.hidden = new Set();
      }),
    );
    const figure = field(bar, "show", "select", "Figure of the histograms");
    for (const [part, name] of kNames) option(figure, part, part === "rate" ? "values/s" : name);
    figure.addEventListener("change", () => this.#change(() => (this.#figure = figure.value)));
    const top = field(bar, "top", "input", "How many have a line of their own");
    Object.assign(top, { type: "number", min: 1, max: kMostGroups, required: true });
    top.addEventListener("change", () => this.#change(() => (this.#top = limited("top", top.value, this.#top))));
    const order = field(bar, "first", "select", "Which come first");
    option(order, "", "the greatest");
    option(order, "least", "the least");
    order.addEventListener("change", () => this.#change(() => (this.#least = order.value === "least")));
    by.parentElement.hidden = this.#byProcess;
    order.parentElement.hidden = !this.#byProcess;
    this.#where = new Where(bar, where, () => this.#found, () => this.#change(() => {}));
    const modes = document.createElement("span");
    modes.className = "modes";
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "Shown as");
    const buttons = Object.entries(kModes).map(([mode, label]) => button("mode", mode, label, () => this.#change(() => (this.mode = mode))));
    modes.append(...buttons);
    this.tools.prepend(modes);
    this.#controls = { by, figure, top, order, rate: buttons[0], number: buttons[1], modes };
  }

  get plain() {
    const by = this.#byProcess ? { byProcess: true, least: this.#least } : { by: this.#by };
    return { family: this.#family, ...by, top: this.#top, where: this.#where.pairs, figure: this.#figure, ...this.look, ...this.hides };
  }

  // By the keys of their groups, which may come and go.
  get hides() {
    const hide = [...this.hidden].filter((id) => id !== kRest);
    return { ...(hide.length > 0 && { hide }), ...(this.hidden.has(kRest) && { hideRest: true }) };
  }

  get lineIds() {
    return this.#groups.map(({ key }, at) => (this.#isRest(at) ? kRest : key));
  }

  #isRest(at) {
    return this.#rest && at === this.#groups.length - 1;
  }

  get moreItems() {
    return this.#byProcess ? [] : [{ text: "Show as a table", run: () => this.plots.showTable(this.#found?.key ?? this.#family) }];
  }

  get stackRefusal() {
    if (this.#isHistogram) return this.#figure === "rate" ? "" : "percentiles and means do not add up";
    if (this.#found?.kind === "timestamp") return "times do not add up";
    const { how } = this.#how;
    return how === "sum" ? "" : `these are no sums: each line is ${kNoSum[how]}`;
  }

  // As a series of this group would be called.
  lineAt(at) {
    const part = this.#isHistogram ? `.${this.#figure}` : "";
    const { key, members } = this.#groups[at];
    const by = this.#groupedBy;
    const dimensions = by === "" ? "" : this.#isRest(at) ? "{others}" : by === kEach ? null : `{${by}=${JSON.stringify(key)}}`;
    const unit = this.#isHistogram && this.#figure === "rate" ? "values" : this.#unit;
    const isRate = this.#asRates || (this.#isHistogram && this.#figure === "rate");
    return { name: dimensions === null ? fullName(members[0], part) : this.#label + part + dimensions, unit: isRate ? `${unit}/s` : unit };
  }

  get #found() {
    if (this.#byProcess) return this.context.byProcess.family(this.#family);
    return this.context.findFamily(this.#family);
  }

  get #label() {
    return this.#found?.label ?? this.#family.slice(this.#family.indexOf(":") + 1).replace(/\{[^{}]*\}[^{}]*$/, "");
  }

  get #kind() {
    return this.#found?.kind ?? this.#family.match(/^[a-z]*/)[0];
  }

  get #isHistogram() {
    return this.#kind === "histogram";
  }

  // What it is grouped by: the first dimension, if nobody chose.
  get #groupedBy() {
    const names = this.#found?.names ?? [];
    if (this.#by === "" || this.#by === kEach || names.includes(this.#by)) return this.#by;
    return names[0] ?? "";
  }

  get series() {
    if (this.#tooMany) return [];
    // What they are the parts of is asked for, too: it tells when there is something to ask for.
    return this.#byProcess && this.#found ? [this.#found.series, ...this.#members] : this.#members;
  }

  get #tooMany() {
    return this.#isHistogram && this.#members.length > kMostHistograms;
  }

  get #members() {
    this.#know();
    return this.#known.members;
  }

  // Until there are other series, or it is asked for others.
  #know() {
    const family = this.#found;
    const by = this.#groupedBy;
    const count = family?.members.length ?? 0;
    const known = this.#known;
    if (known.family === family && known.count === count && known.by === by && known.where === this.#where.pairs) return;
    const members = family ? matching(family, this.#where.pairs) : [];
    this.#known = { family, count, by, where: this.#where.pairs, members, groups: grouped(members, by) };
  }

  #change(what) {
    what();
    this.#known = {};
    this.changed();
    this.context.wake();
  }

  #writeControls() {
    const { by, figure, top, order, modes, rate, number } = this.#controls;
    const names = this.#found?.names ?? [];
    if (this.#names !== names.join()) {
      this.#names = names.join();
      by.replaceChildren();
      for (const one of names) option(by, one, one);
      if (names.length > 1) option(by, kEach, "each combination");
      option(by, "", "all together");
      by.disabled = names.length === 0;
    }
    by.value = this.#groupedBy;
    if (document.activeElement !== top) top.value = this.#top;
    figure.value = this.#figure;
    order.value = this.#least ? "least" : "";
    figure.parentElement.hidden = !this.#isHistogram;
    modes.hidden = this.#isHistogram;
    rate.setAttribute("aria-pressed", this.#asRates);
    number.setAttribute("aria-pressed", !this.#asRates);
    this.#where.write();
  }

  get #asRates() {
    return !this.#isHistogram && (this.mode === "auto" ? this.#kind === "counter" : this.mode === "rate");
  }

  get #how() {
    return { asRates: this.#asRates, how: aggregateOf(this.#members, this.#asRates), figure: this.#figure, samples: this.context.settings.average };
  }

  // A total that is far from zero would be a flat line there.
  get fromZero() {
    return this.zero ?? (this.#asRates || this.#isHistogram || !/^(counter|timestamp)$/.test(this.#kind));
  }

  get #unit() {
    return this.#isHistogram && this.#figure === "rate" ? "" : (this.#found?.unit ?? "");
  }

  #nameOf(at) {
    if (this.#rest && at === this.#groups.length - 1) return "other";
    const { name, members } = this.#groups[at];
    if (this.#groupedBy === "") return "all";
    const ended = members.every((series) => series.ended) ? " (ended)" : "";
    return (name === "" ? '""' : shown(name, 80)) + (this.#byProcess ? ended : "");
  }

  #makeLegend() {
    this.#lines = this.#groups.map((_, at) => {
      const made = this.makeLine(at);
      made.only = button("only-this", "only", "", () => {
        const pair = [this.#groupedBy, made.group.name];
        this.#where.set([...this.#where.pairs.filter(([name]) => name !== pair[0]), pair]);
      });
      made.value.before(made.only);
      return made;
    });
    this.legend.replaceChildren(...this.#lines.map(({ line }) => line), this.#facts);
    this.forgetDrawing();
  }

  #facts = document.createElement("li");

  write() {
    this.#know();
    this.#writeControls();
    const family = this.#found;
    const by = this.#groupedBy;
    const title = shown(this.#label) + (by === "" || by === kEach ? "" : ` by ${by}`);
    this.writeHead(title, shownLines(title, family?.help));
    const { row } = this;
    const spoken = [];
    this.#lines.forEach((made, at) => {
      const { swatch, name, value, only } = made;
      const isRest = this.#isRest(at);
      const text = this.#nameOf(at);
      made.group = this.#groups[at];
      swatch.className = isRest ? "swatch colour-rest" : swatchOf(at);
      writeName(name, text, this.#byProcess && !isRest ? (text.match(/ \d+( \(ended\))?$/)?.[0] ?? "") : "");
      const count = made.group.members.length;
      const ended = this.#byProcess && !isRest && made.group.members.every((series) => series.ended);
      made.line.classList.toggle("ended", ended);
      const how = !this.#byProcess ? `${count.toLocaleString("en")} series` : ended ? "This process has ended" : "";
      made.line.title = shownLines(isRest ? `${this.#known.groups.length - this.#groups.length + 1} others` : made.group.name, how, kLineHint);
      this.writeLine(at, made);
      const number = row ? row[at + 1] : NaN;
      const said = shown(this.#words(number, (row?.[0] ?? NaN) / 1000));
      setText(value, said);
      value.title = Number.isNaN(number) ? "" : shown(exact(number, this.#unit && this.#asRates ? `${this.#unit}/s` : this.#unit));
      only.hidden = isRest || by === "" || by === kEach || this.#groups.length < 2;
      const label = `Show only ${by} ${text}`;
      if (only.title !== label) {
        only.title = label;
        only.setAttribute("aria-label", label);
      }
      spoken.push(`${text} ${said}`);
    });
    setText(this.#facts, shown(this.#factText(), 400));
    this.#facts.className = this.#tooMany ? "facts-line warning" : "facts-line";
    this.describe(spoken);
  }

  #words(number, time) {
    const family = this.#found;
    if (this.#isHistogram) return figureText(this.#figure, number, this.#unit);
    if (family?.kind === "timestamp" && !this.#asRates) return Object.values(reading(family, number, time)).join(" ");
    return inWords(number, kShort.has(this.#unit) ? this.#unit : "", { perSecond: this.#asRates });
  }

  #factText() {
    const family = this.#found;
    const count = (number) => number.toLocaleString("en");
    if (!family) return "not there now";
    if (this.#tooMany) {
      return `Not drawn: ${count(this.#members.length)} histograms are more than the ${count(kMostHistograms)} that one plot adds up. Limit them by “only”.`;
    }
    const groups = this.#known.groups.length;
    const how = this.#isHistogram ? (this.#figure === "rate" ? "" : `${kNames.get(this.#figure)} of all values`) : (kHow[this.#how.how] ?? "").replace("series", this.#byProcess ? "processes" : "series");
    const most = groups > this.#top ? `${this.#least ? "least" : "top"} ${this.#top} of ${count(groups)}` : "";
    const members = this.#members.length;
    const of = !this.#byProcess ? `${count(members)} series` : members === 1 ? "1 process" : `${count(members)} processes`;
    return [family.kind, family.unit, of, this.#byProcess && !this.#rest && !this.#isHistogram ? "" : how, most, family.help].filter(Boolean).join(" · ");
  }

  // Of a group: the worst is the greatest; what has no value comes last.
  #badness(history, order, how) {
    const known = new Map();
    return (group) => {
      if (!known.has(group)) {
        const number = level(group.members, history, order, how);
        known.set(group, Number.isNaN(number) ? -Infinity : this.#least ? -number : number);
      }
      return known.get(group);
    };
  }

  // The worst first. Nothing goes away from under a pointer.
  #sortLegend(weigh) {
    if (this.legend.matches(":hover, :focus-within")) return;
    const isRest = (at) => this.#rest && at === this.#groups.length - 1;
    const places = this.#groups.map((group, at) => ({ line: this.#lines[at].line, weight: isRest(at) ? NaN : weigh(group), last: isRest(at) }));
    places.sort((a, b) => a.last - b.last || b.weight - a.weight || 0);
    if (places.every(({ line }, at) => this.legend.children[at] === line)) return;
    this.legend.replaceChildren(...places.map(({ line }) => line), this.#facts);
  }

  draw() {
    const { history } = this.context;
    this.#know();
    const order = history.order();
    const how = this.#how;
    const groups = this.#tooMany ? [] : this.#known.groups;
    const before = this.#groups.map(({ key }) => key).slice(0, this.#groups.length - (this.#rest ? 1 : 0));
    const weigh = this.#byProcess ? this.#badness(history, order, how) : ({ members }) => weight(members, history, order, how);
    const { top, rest } = chosen(groups, Math.min(this.#top, kMostGroups), before, weigh);
    const others = rest.length > 0 ? [{ key: "", name: "", members: rest.flatMap(({ members }) => members) }] : [];
    const changed = top.length + others.length !== this.#groups.length || this.#rest !== rest.length > 0;
    this.#groups = [...top, ...others];
    this.#rest = rest.length > 0;
    if (changed || this.#lines.length === 0) this.#makeLegend();
    if (this.#byProcess) this.#sortLegend(weigh);
    if (groups.length === 0) {
      this.rows = [];
      this.forgetDrawing();
      return;
    }
    const bounds = this.compute(this.#groups.map(({ members }) => ringOf(members, history, order, how)));
    const asTime = this.#found.kind === "timestamp" && !this.#asRates;
    // Only units that we know may go through innerHTML.
    const unit = kShort.has(this.#unit) ? this.#unit : "";
    this.drawLines({
      ...this.scale(bounds, asTime),
      label: (number, digits) => (asTime ? clockOf(number) : inWords(number, unit, { perSecond: this.#asRates && unit === "bytes", digits })),
      colours: this.#groups.map((_, at) => (this.#isRest(at) ? style("--rest") : colourOf(at))),
    });
  }
}
