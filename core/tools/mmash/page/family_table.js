// A family as a table: a row for each combination of its dimensions, sorted by any column.
import { button, Card, child, setText } from "./card.js";
import { node, numberCell, safe, setNumber } from "./cells.js";
import { age, exact, exactReading, quantity, rateUnit, reading } from "./format.js";
import { kEach, kMostHistograms, matching } from "./groups.js";
import { shown, shownLines } from "./labels.js";
import { escaped, kOver, limited } from "./link.js";
import { VirtualList } from "./list.js";
import { figure, figuresOfKind, measure, rowsOf, sorted } from "./report.js";
import { drawSparkline } from "./sparkline.js";
import { field, option, Where } from "./where.js";

const kRowHeight = 26;
const kWidths = { rate: 88, share: 76, mean: 84, p50: 84, p99: 84, value: 124, trend: 64 };
const kGap = 10;
const kLeastName = 96; // of a dimension
const kNameLetters = [8, 40]; // that a dimension gets room by, at least and at most
const kHeads = { rate: "Rate/s", share: "Share", mean: "Mean", p50: "p50", p99: "p99" };
const kMostRows = 10_000; // that the server gives as CSV
const kLongest = 1000; // characters of a tooltip

let tables = 0; // ever: each has an id

export class FamilyTable extends Card {
  #key;
  #where;
  #find;
  #over;
  #sort; // {by, down}, or null: what suits
  #bar;
  #facts;
  #links;
  #element; // of the list
  #list = null; // when the family is there
  #family = null; // whose rows it has
  #heads = []; // {cell, by} that can be sorted by
  #known = {}; // members and rows, for as long as nothing changes
  #shown = []; // rows, as they are sorted
  #seconds = 0;
  #pointed = false; // the pointer is over rows
  #greatest = 0; // share
  #held = false; // rows keep their places, as somebody is at them
  #activeKey = "";

  constructor(plots, context, { table, sort = null, over = 0, where = [], find = "" }) {
    super(plots, context, "Table");
    this.element.classList.add("table");
    this.#key = table;
    this.#sort = sort;
    this.#over = over;
    this.#makeControls(where, find);
    this.#facts = child(this.element, "p", "facts-line");
    this.#element = child(this.element, "div", "list report");
    this.#element.id = `table-${++tables}`;
    this.#element.tabIndex = 0;
    this.#element.setAttribute("role", "grid");
    this.#element.setAttribute("aria-readonly", "true");
    this.#element.hidden = true;
  }

  #makeControls(where, find) {
    this.#bar = child(this.element, "form", "family-tools");
    this.#bar.addEventListener("submit", (event) => event.preventDefault());
    this.#find = child(this.#bar, "input", "find-in");
    Object.assign(this.#find, { type: "search", placeholder: "find", value: find, autocomplete: "off", spellcheck: false });
    this.#find.title = "Show rows that have all these words; shares stay those of all rows";
    this.#find.setAttribute("aria-label", "Find rows");
    this.#find.addEventListener("input", () => this.#change());
    const over = field(this.#bar, "over", "select", "Over how many samples");
    for (const [samples, name] of kOver) option(over, samples, name);
    over.value = this.#over;
    over.addEventListener("change", () => {
      this.#over = limited("over", over.value, 0);
      this.#change();
    });
    this.#where = new Where(this.#bar, where, () => this.#found, () => {
      this.#change();
      this.context.wake();
    });
    this.#links = ["csv", "json"].map((format) => {
      const link = document.createElement("a");
      link.textContent = format.toUpperCase();
      link.title = `These rows as ${format.toUpperCase()}, of all that was ever counted; rates since the last such request`;
      if (format === "json") Object.assign(link, { target: "_blank", rel: "noopener" });
      return { link, format };
    });
    const plot = button("mode", "plot", "Plot the family by a dimension", () => this.plots.addFamily({ family: this.#key, where: this.#where.pairs }));
    this.tools.prepend(...this.#links.map(({ link }) => link), plot);
  }

  get plain() {
    return { table: this.#key, sort: this.#sort, over: this.#over, where: this.#where.pairs, find: this.#find.value };
  }

  // The key that it has in all links.
  get family() {
    return this.#found?.key ?? this.#key;
  }

  get #found() {
    return this.context.findFamily(this.#key);
  }

  get series() {
    return this.#tooMany ? [] : this.#rows.members;
  }

  get #tooMany() {
    return this.#found?.kind === "histogram" && this.#rows.members.length > kMostHistograms;
  }

  // {members, rows}, until there are other series, or it is asked for others.
  get #rows() {
    const family = this.#found;
    const count = family?.members.length ?? 0;
    const where = this.#where.pairs;
    const known = this.#known;
    if (known.family === family && known.count === count && known.where === where) return known;
    const members = family ? matching(family, where) : [];
    this.#known = { family, count, where, members, rows: family ? rowsOf(members, family.names) : [] };
    return this.#known;
  }

  get #sortedBy() {
    const { kind, names } = this.#found;
    const figures = figuresOfKind(kind);
    const by = this.#sort?.by;
    if (by && (figures.includes(by) || (by.startsWith("@") && names.includes(by.slice(1))))) return this.#sort;
    return { by: figures[0], down: true };
  }

  #change() {
    this.#held = false;
    this.changed();
  }

  // ---- the list ----

  #makeList() {
    const { kind, names, unit } = this.#family;
    const figures = figuresOfKind(kind);
    const shares = kind === "histogram" && unit === "seconds" ? "Of the time of all rows" : "Of the sum of all rows";
    const order = ["rate", "share", "mean", "p50", "p99", "value"].filter((name) => figures.includes(name));
    const columns = [
      ...names.map((name) => ({ by: `@${name}`, className: "dimension", text: name, title: "" })),
      ...order.map((name) => ({
        by: name,
        className: `number ${name}`,
        text: kHeads[name] ?? (kind === "counter" ? "Total" : "Value"),
        title: name === "share" ? shares : "",
      })),
      { by: null, className: "trend", text: "Trend", title: order.includes("rate") ? "The rate at each sample" : "The value at each sample" },
    ];
    const list = this.#element;
    const heading = child(list, "div", "row heading");
    heading.setAttribute("role", "row");
    for (const { by, className, text, title } of columns) {
      const cell = node("span", className, "columnheader");
      if (by) {
        const sort = child(cell, "button", "");
        sort.type = "button";
        sort.textContent = text;
        sort.title = shownLines(title, "Sort by this column; again: the other way round");
        sort.addEventListener("click", () => this.#sortBy(by));
        this.#heads.push({ cell, by });
      } else {
        cell.textContent = text;
        cell.title = title;
      }
      heading.append(cell);
    }
    const sizer = child(list, "div", "sizer");
    sizer.setAttribute("role", "rowgroup");
    // A finger that has left points nowhere.
    sizer.addEventListener("pointerenter", ({ pointerType }) => (this.#pointed = pointerType !== "touch"));
    sizer.addEventListener("pointerleave", () => (this.#pointed = false));
    const widths = [...order, "trend"].map((name) => kWidths[name]);
    list.style.setProperty("--numbers", widths.map((width) => `${width}px`).join(" "));
    list.style.setProperty("--least", `${widths.reduce((sum, width) => sum + width + kGap, names.length * (kLeastName + kGap) + kGap)}px`);
    list.setAttribute("aria-colcount", columns.length);
    list.hidden = false;
    this.#list = new VirtualList(list, { rowHeight: kRowHeight, make: () => this.#makeRow(names, order), fill: (row, what) => this.#fill(row, what) });
    list.addEventListener("focus", () => {
      if (this.#list.active < 0) this.#list.activate(0, false);
    });
    list.addEventListener("click", (event) => {
      const at = this.#list.rowOf(event.target);
      if (at < 0) return;
      this.#activate(at);
      this.#choose(this.#list.rows[at], event.shiftKey);
    });
    list.addEventListener("keydown", (event) => this.#press(event));
  }

  // Those with long values get more of the room.
  #makeRoom(names, rows) {
    const parts = names.map((_, at) => rows.reduce((most, { values }) => Math.max(most, Math.min(kNameLetters[1], values[at].length)), kNameLetters[0]));
    this.#element.style.setProperty("--names", parts.map((part) => `minmax(${kLeastName}px, ${part}fr)`).join(" "));
  }

  #makeRow(names, figures) {
    const row = node("div", "row", "row");
    const dimensions = names.map(() => node("span", "dimension", "gridcell"));
    const numbers = figures.map((name) => [name, numberCell(name)]);
    const trend = node("span", "trend", "gridcell");
    trend.setAttribute("aria-hidden", "true");
    const canvas = child(trend, "canvas", "");
    row.append(...dimensions, ...numbers.map(([, cell]) => cell), trend);
    row.parts = { dimensions, numbers, canvas };
    return row;
  }

  #fill(element, row) {
    const { dimensions, numbers, canvas } = element.parts;
    row.values.forEach((value, at) => {
      setText(dimensions[at], value === "" ? '""' : shown(value));
    });
    const title = shownLines(...this.#family.names.map((name, at) => `${name} = ${row.values[at] === "" ? '""' : row.values[at]}`));
    if (element.title !== title) element.title = title;
    const plotted = row.members.length === 1 && this.plots.has(row.members[0].key);
    element.classList.toggle("plotted", plotted);
    element.setAttribute("aria-selected", plotted);
    for (const [name, cell] of numbers) this.#fillNumber(cell, row, name);
    canvas.hidden = !row.trend;
    if (row.trend) drawSparkline(canvas, this.context.history, row.trend);
  }

  #fillNumber(cell, row, name) {
    const family = this.#family;
    const number = figure(row, name);
    const told = (unit) => (Number.isNaN(number) ? "" : shown(exact(number, unit), kLongest));
    if (name === "share") {
      setNumber(cell, quantity(100 * number, "percent"), Number.isNaN(number) ? "" : `${exact(100 * number)} % of all rows`);
      const share = (Math.max(0, number / this.#greatest) || 0).toFixed(3);
      if (cell.dataset.share !== share) {
        cell.dataset.share = share;
        cell.style.setProperty("--share", share);
      }
    } else if (name === "rate") {
      const unit = family.kind === "histogram" ? "" : rateUnit(family.unit);
      setNumber(cell, safe(quantity(number, unit)), told(unit ? `${unit}/s` : "/s"));
    } else if (name === "value") {
      const value = row.latest ?? number;
      setNumber(cell, safe(reading(family, value, this.context.history.now)), Number.isNaN(number) ? "" : shown(exactReading(family, value), kLongest));
    } else {
      setNumber(cell, safe(quantity(number, family.unit)), told(family.unit));
    }
  }

  #activate(at) {
    this.#list.activate(at);
    this.#activeKey = this.#list.rows[this.#list.active]?.key ?? "";
  }

  #choose(row, together) {
    if (row.members.length > 1) {
      this.plots.addFamily({ family: this.#key, by: kEach, where: this.#family.names.map((name, at) => [name, row.values[at]]) });
    } else if (together) {
      this.plots.join([row.members[0].key]);
    } else {
      this.plots.toggle(row.members[0].key);
    }
    this.context.wake();
  }

  #press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== this.#element) return;
    const list = this.#list;
    const at = list.active;
    const choose = () => list.rows[at] && this.#choose(list.rows[at], event.shiftKey);
    const moves = {
      ArrowDown: () => this.#activate(at + 1),
      ArrowUp: () => this.#activate(at - 1),
      PageDown: () => this.#activate(at + list.page),
      PageUp: () => this.#activate(at - list.page),
      Home: () => this.#activate(0),
      End: () => this.#activate(list.rows.length - 1),
      Enter: choose,
      " ": choose,
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }

  #sortBy(by) {
    const now = this.#sortedBy;
    this.#sort = { by, down: now.by === by ? !now.down : !by.startsWith("@") };
    this.#change();
  }

  othersChanged() {
    this.#list?.refresh();
  }

  // ---- what is shown ----

  write() {
    const family = this.#found;
    const label = family?.label ?? this.#key.slice(this.#key.indexOf(":") + 1).replace(/\{[^{}]*\}[^{}]*$/, "");
    this.writeHead(shown(label), shownLines(label, family?.help));
    this.#where.write();
    setText(this.#facts, shown(this.#factText(), 400));
    this.#facts.classList.toggle("warning", this.#tooMany);
    for (const { link } of this.#links) link.hidden = !family;
    if (!family) return;
    const { by, down } = this.#sortedBy;
    for (const head of this.#heads) {
      if (head.by === by) head.cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.cell.removeAttribute("aria-sort");
    }
    for (const { link, format } of this.#links) {
      const href = this.#address(format);
      if (link.getAttribute("href") !== href) link.setAttribute("href", href);
    }
    const spoken = `${shown(label)} by ${family.names.join(", ")}`;
    if (this.#element.getAttribute("aria-label") !== spoken) this.#element.setAttribute("aria-label", spoken);
  }

  // Of the same rows, from the server.
  #address(format) {
    const { label, kind, unit, names } = this.#found;
    const { by, down } = this.#sortedBy;
    const parts = [
      `format=${format}`,
      `kind=${escaped(kind)}`,
      `unit=${escaped(unit)}`,
      `dimensions=${escaped(names.join(","))}`,
      ...this.#where.pairs.map(([name, value]) => `where=${escaped(name)}=${escaped(value)}`),
      `sort=${down && !by.startsWith("@") ? by : "name"}`,
      `top=${kMostRows}`,
    ];
    const find = this.#find.value.trim();
    if (find !== "") parts.push(`search=${escaped(find)}`);
    return `/table/${escaped(label)}?${parts.join("&")}`;
  }

  #factText() {
    const family = this.#found;
    if (!family) return "not there now";
    const count = (number) => number.toLocaleString("en");
    const { members, rows } = this.#rows;
    if (this.#tooMany) {
      return `Not shown: ${count(members.length)} histograms are more than the ${count(kMostHistograms)} that one table asks for. Limit them by “only”, or take them as CSV.`;
    }
    const found = this.#find.value.trim() === "" ? "" : `${count(this.#shown.length)} found`;
    const over = this.#seconds > 0 && figuresOfKind(family.kind).includes("rate") ? `over the last ${age(this.#seconds)}` : "";
    const held = this.#held ? "order held while you are at the rows" : "";
    return [family.kind, family.unit, rows.length === 1 ? "1 row" : `${count(rows.length)} rows`, found, over, held, family.help].filter(Boolean).join(" · ");
  }

  draw() {
    const family = this.#found;
    if (!family) return;
    this.#family = family;
    if (!this.#list) this.#makeList();
    const { rows } = this.#rows;
    const some = this.#tooMany ? [] : rows;
    if (this.#known.drawn === undefined) this.#makeRoom(family.names, some);
    this.#seconds = measure(some, family.kind, this.context.history, this.#over);
    this.#greatest = some.reduce((most, { share }) => Math.max(most, share || 0), 0);
    // Nothing moves away under a pointer, or from who goes through the rows by keys.
    const isAtRows = this.#pointed || this.#element.matches(":focus-visible");
    const words = this.#find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const drawn = `${words.join(" ")} ${JSON.stringify(this.#sortedBy)} ${this.#over}`;
    this.#held = isAtRows && this.#known.drawn === drawn && this.#shown.length > 0;
    if (this.#held) {
      this.#list.refresh();
      return;
    }
    this.#known.drawn = drawn;
    const found = words.length === 0 ? some : some.filter(({ text }) => words.every((word) => text.includes(word)));
    this.#shown = sorted(found, this.#sortedBy, family.names);
    this.#list.show(this.#shown, this.#activeKey === "" ? -1 : this.#shown.findIndex(({ key }) => key === this.#activeKey));
    this.#element.setAttribute("aria-rowcount", this.#shown.length + 1);
  }
}
