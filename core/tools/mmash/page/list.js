// A list of any length of which only the rows in sight are in the document: a fixed set of elements is
// filled again and again. Focus stays on the list, which points at its active row (aria-activedescendant).

const kSpare = 4; // rows above and below those in sight

export class VirtualList {
  rows = [];
  active = -1;
  #element; // scrolls, and has the focus
  #sizer;
  #pool = [];
  #make;
  #fill;
  #rowHeight;
  #prefix;
  #first = 0;
  #last = 0;
  #onMove;

  // `element`: has a child .sizer for the rows. make(): a new row's element. fill(element, row, at): shows
  // `row` in it. onMove(): other rows are in sight, or another one is active.
  constructor(element, { rowHeight, make, fill, onMove }) {
    this.#element = element;
    this.#sizer = element.querySelector(".sizer");
    this.#prefix = `${element.id}-row-`;
    this.#rowHeight = rowHeight;
    this.#make = make;
    this.#fill = fill;
    this.#onMove = onMove;
    element.addEventListener("scroll", () => this.#place(), { passive: true });
    new ResizeObserver(() => this.#place()).observe(element);
  }

  // Shows other rows. The active one is told by its index.
  show(rows, active) {
    this.rows = rows;
    this.active = Math.min(active, rows.length - 1);
    this.#element.style.setProperty("--rows", rows.length);
    this.#sizer.style.height = `${rows.length * this.#rowHeight}px`;
    for (const element of this.#pool) element.shownRow = null;
    this.#place();
  }

  get inSight() {
    return this.rows.slice(this.#first, this.#last);
  }

  // Fills the rows in sight again.
  refresh() {
    for (let at = this.#first; at < this.#last; at++) this.#fill(this.#elementOf(at), this.rows[at], at);
  }

  rowOf(target) {
    const element = target.closest?.("[data-at]");
    return element && this.#sizer.contains(element) ? Number(element.dataset.at) : -1;
  }

  // How many rows Page Down goes.
  get page() {
    return Math.max(1, Math.floor(this.#height / this.#rowHeight) - 1);
  }

  activate(at, reveal = true) {
    if (this.rows.length === 0) return;
    this.active = Math.max(0, Math.min(at, this.rows.length - 1));
    if (reveal) {
      const top = this.active * this.#rowHeight;
      const seen = this.#element.scrollTop;
      if (top < seen) this.#element.scrollTop = top;
      else if (top + this.#rowHeight > seen + this.#height) this.#element.scrollTop = top + this.#rowHeight - this.#height;
    }
    this.#place(true);
  }

  // What is left for rows below a sticky heading.
  get #height() {
    return this.#element.clientHeight - this.#sizer.offsetTop;
  }

  #elementOf(at) {
    return this.#pool[at % this.#pool.length];
  }

  #place(moved = false) {
    const sight = Math.ceil(Math.max(0, this.#height) / this.#rowHeight) + 1;
    const top = Math.floor(this.#element.scrollTop / this.#rowHeight);
    const first = Math.max(0, Math.min(top - kSpare, this.rows.length));
    const last = Math.min(this.rows.length, top + sight + kSpare);
    while (this.#pool.length < sight + 2 * kSpare) {
      const element = this.#make();
      element.shownRow = null;
      this.#pool.push(element);
      this.#sizer.append(element);
      for (const other of this.#pool) other.shownRow = null; // they change places
    }
    const used = new Set();
    for (let at = first; at < last; at++) {
      const element = this.#elementOf(at);
      used.add(element);
      if (element.shownRow !== this.rows[at] || element.dataset.at !== String(at)) {
        element.shownRow = this.rows[at];
        element.dataset.at = at;
        element.id = this.#prefix + at;
        element.hidden = false;
        element.setAttribute("aria-rowindex", at + 2); // after the heading
        element.style.transform = `translateY(${at * this.#rowHeight}px)`;
        this.#fill(element, this.rows[at], at);
        moved = true;
      }
      element.classList.toggle("active", at === this.active);
    }
    for (const element of this.#pool) {
      if (used.has(element)) continue;
      element.hidden = true;
      element.shownRow = null;
      element.removeAttribute("id");
      delete element.dataset.at;
    }
    this.#first = first;
    this.#last = last;
    if (this.active >= first && this.active < last) this.#element.setAttribute("aria-activedescendant", this.#prefix + this.active);
    else this.#element.removeAttribute("aria-activedescendant");
    if (moved) this.#onMove?.();
  }
}
