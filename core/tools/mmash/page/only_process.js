// The process that everything is filtered by, as the bar shows it: a button that takes the filter away.
import { processName } from "./by_process.js";
import { setText } from "./card.js";
import { shown } from "./labels.js";

export class OnlyProcess {
  id = null; // of it; null: all processes are shown
  #button;
  #name = ""; // as it was when it was there
  #state = "";

  // `changed()`: there is another one, or none.
  constructor(button, changed) {
    this.#button = button;
    this.changed = changed;
    button.addEventListener("click", () => this.choose(null));
  }

  choose(id) {
    if (id === this.id) return;
    this.id = id;
    this.#name = id === null ? "" : id.startsWith("file.") ? "one file" : `process ${id.split(".")[0]}`;
    this.#state = "";
    this.#write();
    this.changed();
  }

  // What is known of it by now: null, if it is gone; undefined: nothing new.
  know(process) {
    if (this.id === null || process === undefined) return;
    if (process) this.#name = processName(process);
    this.#state = process === null ? ", which is gone" : process.state === "dead" ? ", which has ended" : "";
    this.#write();
  }

  #write() {
    this.#button.hidden = this.id === null;
    setText(this.#button, `only ${shown(this.#name, 60)}${this.#state} ×`);
    this.#button.classList.toggle("gone", this.#state !== "");
  }
}
