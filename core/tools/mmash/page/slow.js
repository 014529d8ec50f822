// Slow requests that a Pinba server keeps, as a table behind a link: the newest first, and each opens to its
// timers. What is in them came in packets: any text, any number, or neither.
import { exact, inWords } from "./format.js";
import { shown } from "./labels.js";

const kPatienceMs = 10_000; // for one answer
const kMostRows = 500; // of the newest
const kMostTimers = 100; // of one request: those that took longest come first
const kMostText = 300;
const kNone = "–";

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const wordOf = (value) => (typeof value === "string" ? shown(value, kMostText) : kNone);
const amountOf = (value, unit) => (Number.isFinite(value) ? inWords(value, unit) : kNone);
const countOf = (value) => (Number.isFinite(value) ? exact(value) : kNone);
const listOf = (value) => (Array.isArray(value) ? value.filter(isObject) : []);

function timeOf(value) {
  const milliseconds = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(milliseconds) ? wordOf(value) : new Date(milliseconds).toISOString().replace("T", " ").replace("Z", " UTC");
}

// "name=value name=value"
const tagsOf = (tags) => (isObject(tags) ? Object.entries(tags).map(([name, value]) => `${shown(name, kMostText)}=${wordOf(value)}`) : []).join(" ");

// {requests, older, unreadable} of JSON lines: at most `most` of the last ones, the last one first; how many
// lines come before these, and how many of these are no objects.
export function readLines(text, most = kMostRows) {
  const lines = text.split("\n").filter((line) => line !== "");
  const last = lines.slice(-most).reverse();
  const requests = last.flatMap((line) => {
    try {
      const request = JSON.parse(line);
      return isObject(request) ? [{ line, request }] : [];
    } catch {
      return [];
    }
  });
  return { requests, older: lines.length - last.length, unreadable: last.length - requests.length };
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const headings = (...names) => element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col", textContent: name }))));
const cells = (...texts) => texts.map((text) => element("td", { textContent: text }));

function timerTable(timers) {
  const rows = timers.map((timer) =>
    element(
      "tr",
      {},
      ...cells(countOf(timer.hits), amountOf(timer.seconds, "seconds"), amountOf(timer.user_seconds, "seconds"), amountOf(timer.system_seconds, "seconds"), tagsOf(timer.tags)),
    ),
  );
  return element("table", {}, headings("Hits", "Took", "User", "System", "Tags"), element("tbody", {}, ...rows));
}

// What a row opens to.
function details(request) {
  const facts = [
    ["host", wordOf(request.host)],
    ["server", wordOf(request.server)],
    ["schema", wordOf(request.schema)],
    ["from", wordOf(request.from)],
    ["user", amountOf(request.user_seconds, "seconds")],
    ["system", amountOf(request.system_seconds, "seconds")],
    ["size", amountOf(request.bytes, "bytes")],
    ["memory", amountOf(request.memory, "bytes")],
  ].map(([name, value]) => `${name} ${value}`);
  const parts = [element("p", { className: "slow-facts", textContent: facts.join(" · ") })];
  const tags = tagsOf(request.tags);
  if (tags !== "") parts.push(element("p", { className: "slow-facts", textContent: tags }));
  const timers = listOf(request.timers);
  const listed = timers.slice(0, kMostTimers);
  if (listed.length > 0) parts.push(timerTable(listed));
  const left = timers.length - listed.length + (Number.isFinite(request.timers_left_out) ? request.timers_left_out : 0);
  if (left > 0) parts.push(element("p", { className: "slow-facts", textContent: `and ${exact(left)} timers more` }));
  return parts;
}

export class SlowRequests {
  #dialog;
  #note = element("p");
  #rows = element("tbody");
  #opened = new Set(); // lines of requests that were opened

  // `link`: shown if the server has a file of slow requests.
  constructor(link) {
    const again = element("button", { type: "button", textContent: "Look again" });
    const close = element("button", { type: "button", textContent: "Close" });
    const table = element("table", {}, headings("Time", "Script", "Status", "Took", "Timers"), this.#rows);
    const scrolled = element("div", { className: "slow-table", tabIndex: 0 }, table);
    this.#note.setAttribute("role", "status");
    this.#dialog = element("dialog", { id: "slow-dialog" }, element("h2", { id: "slow-title", textContent: "Slow requests" }), this.#note, scrolled, again, " ", close);
    this.#dialog.setAttribute("aria-labelledby", "slow-title");
    document.body.append(this.#dialog);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.shiftKey || event.metaKey || event.altKey) return; // the lines themselves, in a tab
      event.preventDefault();
      this.#dialog.showModal();
      this.#look();
    });
    again.addEventListener("click", () => this.#look());
    close.addEventListener("click", () => this.#dialog.close());
    // Letters are no keys of the page meanwhile, wherever the focus is.
    window.addEventListener("keydown", (event) => this.#dialog.open && event.stopPropagation(), { capture: true });
    this.#offer(link);
  }

  async #offer(link) {
    try {
      const answer = await fetch("/live/slow", { cache: "no-store", signal: AbortSignal.timeout(kPatienceMs) });
      link.hidden = !(answer.ok && (await answer.json()).slow_requests === true);
    } catch {
      // Then there is no link.
    }
  }

  async #look() {
    this.#note.textContent = "Looking";
    try {
      const answer = await fetch("/slow", { cache: "no-cache", signal: AbortSignal.timeout(kPatienceMs) });
      const text = await answer.text();
      if (answer.ok) this.#show(text);
      else this.#fail(JSON.parse(text).error);
    } catch {
      this.#fail("The server does not answer");
    }
  }

  #fail(why) {
    this.#rows.replaceChildren();
    this.#note.textContent = wordOf(why);
  }

  #show(text) {
    const { requests, older, unreadable } = readLines(text);
    this.#opened = new Set(requests.map(({ line }) => line).filter((line) => this.#opened.has(line)));
    this.#rows.replaceChildren(...requests.flatMap(({ line, request }) => this.#rowsOf(line, request)));
    const parts = [requests.length === 0 ? "None so far" : requests.length === 1 ? "1 request" : `${exact(requests.length)} requests, the newest first`];
    if (older > 0) parts.push(`${exact(older)} older ones are not shown`);
    if (unreadable > 0) parts.push(`${exact(unreadable)} lines cannot be read`);
    this.#note.textContent = parts.join("; ");
  }

  #rowsOf(line, request) {
    const timers = listOf(request.timers).length;
    const opens = element("button", { type: "button", textContent: timers === 0 ? "none" : exact(timers) });
    const inside = element("td", { colSpan: 5 });
    const below = element("tr", { className: "slow-details", hidden: true }, inside);
    const open = (isOpen) => {
      opens.setAttribute("aria-expanded", isOpen);
      opens.setAttribute("aria-label", `Timers and more: ${isOpen ? "close" : "open"}`);
      below.hidden = !isOpen;
      if (isOpen) {
        this.#opened.add(line);
        inside.replaceChildren(...details(request));
      } else {
        this.#opened.delete(line);
        inside.replaceChildren();
      }
    };
    opens.addEventListener("click", () => open(below.hidden));
    open(this.#opened.has(line));
    const status = request.status === 0 ? kNone : countOf(request.status); // 0: the sender did not tell
    const row = element("tr", {}, ...cells(timeOf(request.time), wordOf(request.script), status, amountOf(request.seconds, "seconds")), element("td", {}, opens));
    return [row, below];
  }
}
