// The limits of a card to some values of dimensions: a button for each, and fields for one more.
import { button, child, named } from "./card.js";
import { collator, shown } from "./labels.js";

const kMostOptions = 200; // values that are offered at a time
let lists = 0; // ever: each has an id

export function option(select, value, text) {
  const made = child(select, "option", "");
  made.value = value;
  made.textContent = text;
}

// A select or an input with a word before it.
export function field(parent, word, name, label) {
  const made = child(parent, "label", "");
  child(made, "span", "").textContent = word;
  const control = child(made, name, "");
  control.setAttribute("aria-label", named(word, label));
  return control;
}

export class Where {
  pairs; // [name, value]; another list when they are others
  #family;
  #changed;
  #chips;
  #name;
  #value;
  #suggestions;
  #offered = new Set();
  #names = null; // that are offered
  #shown = null; // the pairs that have a button

  // `family()`: the one that it is of; undefined: it is not there. `changed()`: the pairs are others now.
  constructor(bar, pairs, family, changed) {
    this.pairs = pairs;
    this.#family = family;
    this.#changed = changed;
    this.#chips = child(bar, "span", "chips");
    const only = child(bar, "span", "only");
    const name = field(only, "only", "select", "Only of this dimension");
    const value = child(only, "input", "");
    value.placeholder = "value";
    value.setAttribute("aria-label", "Only this value");
    value.title = "Enter: show only this value; several of one dimension are alternatives";
    value.autocomplete = "off";
    value.spellcheck = false;
    this.#suggestions = child(only, "datalist", "");
    this.#suggestions.id = `values-${++lists}`;
    value.setAttribute("list", this.#suggestions.id);
    this.#name = name;
    this.#value = value;
    for (const [control, event] of [[value, "input"], [value, "focus"], [name, "change"]]) control.addEventListener(event, () => this.#suggest());
    value.addEventListener("input", ({ inputType }) => {
      // One of the list was chosen, and not typed: that is all there is to do.
      if ((inputType ?? "insertReplacementText") === "insertReplacementText" && this.#offered.has(value.value)) this.#add();
    });
    value.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.#add();
    });
  }

  set(pairs) {
    this.pairs = pairs;
    this.#changed();
  }

  #add() {
    const pair = [this.#name.value, this.#value.value];
    const isThere = this.#family()?.valuesOf(pair[0]).has(pair[1]) ?? false;
    this.#value.setCustomValidity(isThere ? "" : `No ${pair[0]} has this value`);
    if (!isThere) return;
    this.#value.value = "";
    if (!this.pairs.some((one) => one[0] === pair[0] && one[1] === pair[1])) this.set([...this.pairs, pair]);
    this.#suggest();
  }

  #suggest() {
    this.#value.setCustomValidity("");
    const typed = this.#value.value.toLowerCase();
    const values = [...(this.#family()?.valuesOf(this.#name.value).keys() ?? [])].filter((one) => one.toLowerCase().includes(typed));
    values.sort(collator.compare);
    this.#offered = new Set(values.slice(0, kMostOptions));
    this.#suggestions.replaceChildren();
    for (const one of this.#offered) option(this.#suggestions, one, "");
  }

  write() {
    const names = this.#family()?.names ?? [];
    if (this.#names !== names.join()) {
      this.#names = names.join();
      this.#name.replaceChildren();
      for (const one of names) option(this.#name, one, one);
      for (const control of [this.#name, this.#value]) control.disabled = names.length === 0;
    }
    if (this.#shown === this.pairs) return;
    this.#shown = this.pairs;
    this.#chips.replaceChildren(
      ...this.pairs.map((pair) => {
        const text = `${pair[0]} = ${pair[1] === "" ? '""' : shown(pair[1], 60)}`;
        return button("chip", `${text} ×`, `Remove the limit ${text}`, () => {
          this.set(this.pairs.filter((one) => one !== pair));
          this.#value.focus();
        });
      }),
    );
  }
}
