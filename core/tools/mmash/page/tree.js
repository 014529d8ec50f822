// The panel of all series: a search, a tree of labels with live values, and what there is to say about the
// active one.
import { setText } from "./card.js";
import { node, numberCell, safe, setNumber } from "./cells.js";
import { kNames } from "./distribution.js";
import { fullName } from "./families.js";
import { cut, exact, exactReading, figureText, inWords, quantity, rateUnit, reading } from "./format.js";
import { LabelTree, shown, shownLines } from "./labels.js";
import { VirtualList } from "./list.js";
import { drawSparkline } from "./sparkline.js";
import { whyEmpty } from "./why_empty.js";

const kRowHeight = 26;

function makeRow() {
  const row = node("div", "row", "row");
  const name = node("span", "name", "gridcell");
  const twisty = node("span", "twisty");
  twisty.setAttribute("aria-hidden", "true");
  name.append(twisty, node("span", "text"), node("span", "count"));
  const trend = node("span", "trend", "gridcell");
  trend.setAttribute("aria-hidden", "true");
  const canvas = document.createElement("canvas");
  trend.append(canvas);
  const numbers = ["value", "rate"].map(numberCell);
  row.append(name, trend, ...numbers);
  row.parts = { text: name.children[1], count: name.children[2], canvas, value: numbers[0], rate: numbers[1] };
  return row;
}

export class Tree {
  open = new Set(); // paths of branches
  #folded = new Set(); // closed by hand during a search
  #tree = new LabelTree();
  #search;
  #found;
  #detail;
  #element;
  #list;
  #activeKey = ""; // of a row, to find it again among others
  #history;
  #actions;
  #opensTrunk = true;

  // `actions`: plot(series), together(series[]), byProcess(series), family(family), table(family), plotted(key),
  // changed(), moved(), filtered(): whether values are of one process.
  constructor({ element, search, found, detail, history, actions }) {
    this.#element = element;
    this.#search = search;
    this.#found = found;
    this.#detail = detail;
    this.#history = history;
    this.#actions = actions;
    this.#list = new VirtualList(element, {
      rowHeight: kRowHeight,
      make: makeRow,
      fill: (row, what) => this.#fill(row, what),
      onMove: () => {
        this.#showDetail();
        actions.moved();
      },
    });
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("focus", () => {
      if (this.#list.active < 0) this.#list.activate(0, false);
    });
    search.addEventListener("input", () => {
      this.#folded.clear();
      this.#element.scrollTop = 0;
      this.#update();
      actions.changed();
    });
    search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") {
        event.preventDefault();
        element.focus();
        this.#list.activate(this.#firstSeries());
      }
    });
    detail.querySelector(".plot-it").addEventListener("click", (event) => {
      const series = this.#active?.series;
      if (series) actions.plot(series);
      else if (this.#active?.branch.family) actions.family(this.#active.branch.family);
      else if (this.#active) actions.together(LabelTree.leavesOf(this.#active.branch));
      event.currentTarget.blur();
      element.focus();
    });
    detail.querySelector(".table-it").addEventListener("click", () => {
      const family = this.#active?.branch?.family;
      if (family) actions.table(family);
    });
    detail.querySelector(".by-process").addEventListener("click", () => {
      if (this.#active?.series) actions.byProcess(this.#active.series);
    });
    detail.querySelector(".add-it").addEventListener("click", () => {
      if (this.#active?.series) actions.together([this.#active.series]);
      element.focus();
    });
  }

  get search() {
    return this.#search.value;
  }

  set search(text) {
    this.#search.value = text;
    this.#folded.clear();
    this.#update();
  }

  restore(open, search) {
    this.open = new Set(open);
    this.#opensTrunk = open.length === 0;
    this.search = search;
    this.#openTrunk();
  }

  add(series) {
    for (const one of series) this.#tree.add(one);
    this.#openTrunk();
    this.#update();
  }

  clear() {
    this.#tree = new LabelTree();
  }

  get inSight() {
    return this.#list.inSight.flatMap((row) => (row.series ? [row.series] : []));
  }

  refresh() {
    this.#list.refresh();
    this.#showDetail();
  }

  // Where there is one branch only, its series are what somebody came for.
  #openTrunk() {
    if (!this.#opensTrunk) return;
    const trunk = this.#tree.trunk();
    for (const path of trunk) this.open.add(path);
    if (trunk.length > 0) {
      this.#opensTrunk = false;
      this.#update();
    }
  }

  #update() {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const { rows, found, total } = this.#tree.rows(words, this.open, this.#folded);
    const active = rows.findIndex((row) => this.#keyOf(row) === this.#activeKey);
    this.#list.show(rows, active);
    this.#element.setAttribute("aria-rowcount", rows.length + 1);
    const count = (number) => number.toLocaleString("en");
    setText(this.#found, words.length > 0 ? `${count(found)} of ${count(total)}` : `${count(total)} series`);
    this.#showDetail();
  }

  #keyOf(row) {
    return row.series ? row.series.key : `/${row.branch.path}`;
  }

  get #active() {
    return this.#list.rows[this.#list.active];
  }

  #firstSeries() {
    return Math.max(0, this.#list.rows.findIndex((row) => row.series));
  }

  #activate(at) {
    this.#list.activate(at);
    this.#activeKey = this.#active ? this.#keyOf(this.#active) : "";
  }

  #toggle(row, open = !row.open) {
    const path = row.branch.path;
    const searching = this.search.trim() !== "";
    const [set, has] = searching ? [this.#folded, !open] : [this.open, open];
    if (has) set.add(path);
    else set.delete(path);
    this.#update();
    if (!searching) this.#actions.changed();
  }

  #choose(row, together) {
    if (row.series) (together ? this.#actions.together([row.series]) : this.#actions.plot(row.series));
    else if (together && row.branch.family) this.#actions.family(row.branch.family);
    else if (together) this.#actions.together(LabelTree.leavesOf(row.branch), true);
    else this.#toggle(row);
  }

  #click(event) {
    const at = this.#list.rowOf(event.target);
    if (at < 0) return;
    this.#activate(at);
    this.#choose(this.#active, event.shiftKey);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const at = this.#list.active;
    const row = this.#active;
    const list = this.#list;
    const moves = {
      ArrowDown: () => this.#activate(at + 1),
      ArrowUp: () => this.#activate(at - 1),
      PageDown: () => this.#activate(at + list.page),
      PageUp: () => this.#activate(at - list.page),
      Home: () => this.#activate(0),
      End: () => this.#activate(list.rows.length - 1),
      ArrowRight: () => {
        if (row?.branch && !row.open) this.#toggle(row);
        else if (row?.branch) this.#activate(at + 1);
      },
      ArrowLeft: () => {
        if (row?.branch && row.open) this.#toggle(row);
        else this.#activate(this.#parentOf(at));
      },
      Enter: () => row && this.#choose(row, event.shiftKey),
      " ": () => row && this.#choose(row, event.shiftKey),
      b: () => row?.series && this.#actions.byProcess(row.series),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }

  #parentOf(at) {
    const level = this.#list.rows[at]?.level ?? 1;
    for (let above = at - 1; above >= 0; above--) {
      const row = this.#list.rows[above];
      if (row.branch && row.level < level) return above;
    }
    return at;
  }

  #fill(element, row) {
    const { text, count, canvas, value, rate } = element.parts;
    const { series, branch } = row;
    element.dataset.level = Math.min(row.level, 12);
    element.setAttribute("aria-level", row.level);
    element.classList.toggle("branch", branch !== undefined);
    if (branch) {
      const { family } = branch;
      setText(text, shown(branch.part));
      setText(count, row.count.toLocaleString("en") + (family ? ` by ${family.names.join(", ")}` : ""));
      element.title = family ? shownLines(family.label, `by ${family.names.join(", ")}`, family.unit, family.help) : shown(branch.path, 500);
      element.setAttribute("aria-expanded", row.open);
      element.removeAttribute("aria-selected");
      element.classList.remove("plotted", "gone");
      canvas.hidden = true;
      setNumber(value, { number: "", unit: "" }, "");
      setNumber(rate, { number: "", unit: "" }, "");
      return;
    }
    const track = this.#history.of(series);
    const latest = track ? track.latest : null;
    const isCounter = series.kind === "counter";
    const isDistribution = series.kind === "histogram";
    const plotted = this.#actions.plotted(series.key);
    // A value may be empty, or look as several do.
    setText(text, series.inFamily && row.part === "" ? '""' : shown(row.part));
    setText(count, isDistribution ? "p99" : "");
    element.title = shownLines(fullName(series), isDistribution ? "The 99th percentile of the last interval, and how many values came a second" : "", series.help);
    element.removeAttribute("aria-expanded");
    element.setAttribute("aria-selected", plotted);
    element.classList.toggle("plotted", plotted);
    element.classList.toggle("gone", track !== undefined && latest === null);
    const why = whyEmpty(series, track);
    const said = why !== "" ? { number: "ended", unit: "" } : track ? safe(reading(series, latest, this.#history.now)) : { number: "", unit: "" };
    setNumber(value, said, why !== "" ? why : track ? shown(exactReading(series, latest)) : "");
    if (isCounter && track) {
      setNumber(rate, safe(quantity(track.rate, rateUnit(series.unit))), Number.isNaN(track.rate) ? "" : shown(exact(track.rate, `${series.unit}/s`)));
    } else if (isDistribution && track) {
      setNumber(rate, quantity(track.rate), Number.isNaN(track.rate) ? "" : exact(track.rate, "values/s"));
    } else {
      setNumber(rate, { number: "", unit: "" }, "");
    }
    canvas.hidden = !track;
    if (track) drawSparkline(canvas, this.#history, isCounter ? track.rates : track.values);
  }

  #showDetail() {
    const row = this.#active;
    this.#activeKey = row ? this.#keyOf(row) : this.#activeKey;
    const part = (name) => this.#detail.querySelector(name);
    this.#detail.classList.toggle("nothing", !row);
    if (!row) return;
    const { series, branch } = row;
    setText(part(".label"), shown(series ? fullName(series) : (branch.family?.label ?? branch.path), 2000));
    part(".add-it").hidden = !series;
    part(".by-process").hidden = !series || series.mean !== undefined;
    part(".table-it").hidden = !branch?.family;
    if (branch?.family) {
      const { kind, unit, help, names } = branch.family;
      const count = `${row.count.toLocaleString("en")} by ${names.join(", ")}`;
      setText(part(".facts"), shown([kind, unit && cut(unit, 40), count].filter(Boolean).join(" · "), 400));
      setText(part(".help"), help ? shown(help, 2000) : "");
      setText(part(".plot-it"), `Plot by ${names[0]}`);
      part(".plot-it").hidden = false;
      return;
    }
    if (branch) {
      const direct = LabelTree.leavesOf(branch).length;
      setText(part(".facts"), `${row.count.toLocaleString("en")} series${direct > 0 && direct !== row.count ? `, ${direct} of them directly here` : ""}`);
      setText(part(".help"), "");
      setText(part(".plot-it"), "Plot them together");
      part(".plot-it").hidden = direct === 0;
      return;
    }
    const track = this.#history.of(series);
    const facts = [series.kind];
    if (series.unit && !track) facts.push(cut(series.unit, 40));
    if (series.kind === "histogram" && track) {
      const figures = track.figures();
      for (const [part, name] of kNames) facts.push(`${name} ${figureText(part, figures[part], series.unit)}`);
    } else if (track) {
      facts.push(exactReading(series, track.latest));
      // Readers that began at different times have different totals.
      if (series.kind === "counter") facts.push(this.#actions.filtered() ? "what its files hold now" : "what files held when mmash began, and all since");
      if (whyEmpty(series, track)) facts.push(whyEmpty(series, track));
    }
    if (track && series.kind === "counter" && !Number.isNaN(track.rate)) facts.push(inWords(track.rate, series.unit, { perSecond: true }));
    setText(part(".facts"), shown(facts.join(" · "), 400));
    setText(part(".help"), series.help ? shown(series.help, 2000) : "");
    setText(part(".plot-it"), this.#actions.plotted(series.key) ? "Remove its plot" : "Plot");
    part(".plot-it").hidden = false;
  }
}
