// What a card offers less often: a button that opens a list of it.
import { button, child } from "./card.js";

const kEdge = 8; // pixels between the list and the window's edge
let menus = 0; // ever: each has an id

export class Menu {
  button;
  list;
  #items;

  // items(): asked each time that it opens, for [{text, run, checked, key, why}]. `checked`: true or false, or it is no
  // switch; `key`: that does the same; `why`: it cannot be chosen now.
  constructor(label, items) {
    this.#items = items;
    this.button = button("menu-button", "…", label, () => this.#toggle());
    this.button.setAttribute("aria-haspopup", "menu");
    this.button.setAttribute("aria-expanded", "false");
    this.list = document.createElement("div");
    this.list.className = "menu";
    this.list.id = `menu-${++menus}`;
    this.list.popover = "manual";
    this.list.setAttribute("role", "menu");
    this.list.setAttribute("aria-label", label);
    this.button.setAttribute("aria-controls", this.list.id);
    this.button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      if (!this.#isOpen) this.#toggle();
      if (event.key === "ArrowUp") this.#goTo(-1);
    });
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget !== this.button && !this.list.contains(relatedTarget)) this.#close();
    });
  }

  get #isOpen() {
    return this.list.matches(":popover-open");
  }

  get #entries() {
    return [...this.list.children];
  }

  #toggle() {
    if (this.#isOpen) {
      this.#close();
      return;
    }
    this.list.replaceChildren(...this.#items().map((item) => this.#make(item)));
    this.list.showPopover();
    this.button.setAttribute("aria-expanded", "true");
    const from = this.button.getBoundingClientRect();
    const { width, height } = this.list.getBoundingClientRect();
    const below = from.bottom + 4 + height + kEdge <= window.innerHeight;
    this.list.style.left = `${Math.max(kEdge, Math.min(from.right, window.innerWidth - kEdge) - width)}px`;
    this.list.style.top = `${below ? from.bottom + 4 : Math.max(kEdge, from.top - 4 - height)}px`;
    this.#goTo(0);
    window.addEventListener("pointerdown", this.#outside, true);
    window.addEventListener("scroll", this.#scrolled, true);
  }

  #outside = ({ target }) => {
    if (!this.list.contains(target) && !this.button.contains(target)) this.#close();
  };

  // It would stay where the card was.
  #scrolled = ({ target }) => {
    if (target !== this.list) this.#close();
  };

  #close(focus = false) {
    if (!this.#isOpen) return;
    window.removeEventListener("pointerdown", this.#outside, true);
    window.removeEventListener("scroll", this.#scrolled, true);
    if (focus) this.button.focus();
    this.list.hidePopover();
    this.button.setAttribute("aria-expanded", "false");
  }

  #make({ text, run, checked, key, why }) {
    const made = document.createElement("button");
    made.type = "button";
    made.tabIndex = -1;
    made.setAttribute("role", checked === undefined ? "menuitem" : "menuitemcheckbox");
    if (checked !== undefined) made.setAttribute("aria-checked", checked);
    child(made, "span", "menu-text").textContent = text;
    if (why) {
      made.setAttribute("aria-disabled", "true");
      child(made, "span", "menu-why").textContent = why;
    }
    if (key) {
      made.setAttribute("aria-keyshortcuts", key === "−" ? "-" : key);
      const shown = child(made, "kbd", "");
      shown.textContent = key;
      shown.setAttribute("aria-hidden", "true");
    }
    made.addEventListener("click", () => {
      if (why) return;
      this.#close(true);
      run();
    });
    return made;
  }

  #goTo(at) {
    this.#entries.at(at)?.focus({ preventScroll: true });
  }

  #key(event) {
    const entries = this.#entries;
    const at = entries.indexOf(document.activeElement);
    const moves = {
      ArrowDown: () => this.#goTo((at + 1) % entries.length),
      ArrowUp: () => this.#goTo(at < 1 ? -1 : at - 1),
      Home: () => this.#goTo(0),
      End: () => this.#goTo(-1),
      Escape: () => this.#close(true),
      Tab: () => this.#close(true),
    };
    // A key of the plot or of the page is none of the menu's.
    if (!["Enter", " "].includes(event.key)) event.stopPropagation();
    const move = moves[event.key];
    if (!move) return;
    if (event.key !== "Tab") event.preventDefault();
    move();
  }
}
