// The processes that files are of. One that is chosen filters everything by it; a head sorts.
import { button } from "./card.js";
import { age, moment } from "./format.js";
import { collator, shown } from "./labels.js";
import { VirtualList } from "./list.js";

const kRowHeight = 26;
const kOrder = { alive: 0, unknown: 1, dead: 2 };
// By the name of a column: what is compared, and whether it is the greatest that comes first.
const byCommand = (a, b) => collator.compare(a.command, b.command) || a.pid - b.pid;
const byState = (a, b) => kOrder[a.state] - kOrder[b.state];
const kColumns = {
  command: byCommand,
  pid: (a, b) => a.pid - b.pid,
  age: (a, b) => (b.created || Infinity) - (a.created || Infinity) || 0,
  files: (a, b) => b.files - a.files,
  state: byState,
};
const kStates = {
  alive: "The process runs",
  dead: "The process is gone; its files are still there",
  unknown: "The files do not say which process made them, or it cannot be seen from here",
};

function makeRow() {
  const row = document.createElement("div");
  row.className = "row process";
  row.setAttribute("role", "row");
  row.parts = {};
  for (const name of ["command", "pid", "age", "files", "state"]) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.setAttribute("role", "gridcell");
    row.parts[name] = cell;
    row.append(cell);
  }
  return row;
}

export class Processes {
  #element;
  #summary;
  #list;
  #now = NaN;
  #all = [];
  #chosen = null; // an id
  #choose;
  #sort = null; // {by, down}; null: those that live first, by their names

  // `choose(id)`: somebody wants this process alone, or with null all.
  constructor(element, summary, choose) {
    this.#element = element;
    this.#choose = choose;
    this.#summary = summary;
    this.#list = new VirtualList(element, { rowHeight: kRowHeight, make: makeRow, fill: (row, process) => this.#fill(row, process) });
    for (const [by, head] of this.#heads) {
      const sort = button("", head.textContent, "Sort by this column; again: the other way round", () => this.#sortBy(by));
      sort.removeAttribute("aria-label");
      head.replaceChildren(sort);
    }
    element.addEventListener("click", (event) => this.#toggle(this.#list.rowOf(event.target)));
    element.addEventListener("focus", () => this.#list.active < 0 && this.#list.activate(0, false));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  get #heads() {
    return [...this.#element.querySelectorAll('[role="columnheader"]')].map((head) => [head.className, head]);
  }

  // The id of the process that everything is filtered by, or null.
  set chosen(id) {
    this.#chosen = id;
    this.#list.refresh();
  }

  // Undefined: it is not there.
  find(id) {
    return this.#all.find((process) => process.id === id);
  }

  #sortBy(by) {
    const down = this.#sort?.by === by && !this.#sort.down;
    this.#sort = { by, down };
    for (const [name, head] of this.#heads) {
      if (name === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.show(this.#all);
  }

  #toggle(at) {
    const process = this.#list.rows[at];
    if (!process) return;
    this.#list.activate(at);
    this.#choose(process.id === this.#chosen ? null : process.id);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== this.#element) return;
    const list = this.#list;
    const moves = {
      ArrowDown: () => list.activate(list.active + 1),
      ArrowUp: () => list.activate(list.active - 1),
      PageDown: () => list.activate(list.active + list.page),
      PageUp: () => list.activate(list.active - list.page),
      Home: () => list.activate(0),
      End: () => list.activate(list.rows.length - 1),
      Enter: () => this.#toggle(list.active),
      " ": () => this.#toggle(list.active),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }

  show(processes) {
    this.#now = Date.now() / 1000;
    this.#all = processes;
    const active = this.#list.rows[this.#list.active]?.id;
    const { by, down } = this.#sort ?? {};
    const compare = by ? (a, b) => kColumns[by](a, b) * (down ? -1 : 1) || byCommand(a, b) : (a, b) => byState(a, b) || byCommand(a, b);
    const sorted = [...processes].sort(compare);
    this.#list.show(sorted, sorted.findIndex(({ id }) => id === active));
    this.#element.setAttribute("aria-rowcount", sorted.length + 1);
    const counts = Object.keys(kOrder).map((state) => [sorted.filter((process) => process.state === state).length, state]);
    this.#summary.replaceChildren(
      ...counts
        .filter(([count]) => count > 0)
        .map(([count, state]) => {
          const part = document.createElement("span");
          part.dataset.state = state;
          part.textContent = `${count.toLocaleString("en")} ${state}`;
          return part;
        }),
    );
    if (sorted.length === 0) this.#summary.textContent = "none";
    this.#element.hidden = sorted.length === 0;
  }

  #fill(row, process) {
    const { command, pid, age: since, files, state } = row.parts;
    command.textContent = shown(process.command);
    command.title = shown(process.command, 1000);
    pid.textContent = process.pid === 0 ? "–" : process.pid;
    since.textContent = process.created > 0 ? age(this.#now - process.created) : "–";
    since.title = process.created > 0 ? `Since ${moment(Math.round(process.created))}` : "The files do not say when it began";
    files.textContent = process.files.toLocaleString("en");
    state.textContent = process.state;
    state.title = kStates[process.state] ?? "";
    row.dataset.state = process.state;
    row.title = process.id === this.#chosen ? "Show all processes again" : "Show only this process";
    row.setAttribute("aria-selected", process.id === this.#chosen);
    row.classList.toggle("chosen", process.id === this.#chosen);
  }
}
