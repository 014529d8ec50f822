// What stands in the column of plots: a card with a heading and tools.

export const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Whoever speaks to the page says the word that is seen: so it is in the name. A sign is no word.
export function named(text, label) {
  const word = text.replace(/[×…]/g, "").trim();
  return /\p{L}/u.test(word) && !label.toLowerCase().includes(word.toLowerCase()) ? `${word}: ${label}` : label;
}

export function button(className, text, label, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = text;
  made.title = label;
  made.setAttribute("aria-label", named(text, label));
  made.addEventListener("click", onClick);
  return made;
}

export function child(parent, name, className) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

// The text, if it is another one: so that nothing is laid out or read out again for nothing.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export class Card {
  keys = []; // of the series that it was made for; of a family there are none
  inSight = true;
  #plots;
  #context;
  #title;
  #what;

  // `what`: it is a "Plot", or a "Table".
  constructor(plots, context, what) {
    this.#plots = plots;
    this.#context = context;
    this.element = document.createElement("article");
    this.element.className = "plot";
    this.element.tabIndex = -1;
    const head = child(this.element, "header", "plot-head");
    this.#title = child(head, "h3", "plot-title");
    this.#what = what;
    this.tools = child(head, "span", "plot-tools");
    this.tools.append(button("remove", "×", `Remove this ${what.toLowerCase()} (Delete)`, () => plots.remove(this)));
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Delete" && !event.target.matches("input, select")) plots.remove(this);
    });
  }

  get plots() {
    return this.#plots;
  }

  get title() {
    return this.#title.textContent;
  }

  get context() {
    return this.#context;
  }

  // Those that are there, of whose values it is made.
  get series() {
    return this.keys.map((key) => this.context.find(key)).filter(Boolean);
  }

  // What the link tells of it is another one.
  changed() {
    this.plots.changed();
    this.draw();
    this.write(); // of what is drawn now
  }

  writeHead(title, tooltip) {
    setText(this.#title, title);
    this.#title.title = tooltip;
    this.element.setAttribute("aria-label", `${this.#what} of ${title}`);
  }

  // Where the pointer is in another card is its time in all of them.
  point() {}
  // Colours, or the screen's pixels, are others now.
  forgetDrawing() {}
  // What is selected in all plots is another part.
  showSelection() {}
  // Others came or went.
  othersChanged() {}
}
