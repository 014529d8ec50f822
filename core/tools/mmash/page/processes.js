// The processes that files are of.
import { age, moment } from "./format.js";
import { shown } from "./labels.js";
import { VirtualList } from "./list.js";

const kRowHeight = 26;
const kOrder = { alive: 0, unknown: 1, dead: 2 };
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
    cell.setAttribute("role", "cell");
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

  constructor(element, summary) {
    this.#element = element;
    this.#summary = summary;
    this.#list = new VirtualList(element, { rowHeight: kRowHeight, make: makeRow, fill: (row, process) => this.#fill(row, process) });
  }

  show(processes) {
    this.#now = Date.now() / 1000;
    const sorted = [...processes].sort(
      (a, b) => kOrder[a.state] - kOrder[b.state] || (a.command < b.command ? -1 : a.command > b.command ? 1 : a.pid - b.pid),
    );
    this.#list.show(sorted, -1);
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
  }
}
