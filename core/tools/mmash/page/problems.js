// What is wrong with files and folders, as long as it is: how many problems in the bar, and each behind that.
// Texts name files, which anybody may have made.
import { shown } from "./labels.js";

const kMostText = 1000;

export class Problems {
  #button;
  #lists;
  #texts = "";

  // `lists`: elements that show the problems themselves; each is hidden, with what is around it, if there are none.
  constructor(button, dialog, close, lists) {
    this.#button = button;
    this.#lists = lists;
    button.addEventListener("click", () => dialog.showModal());
    close.addEventListener("click", () => dialog.close());
  }

  // `count`: all of them. `texts`: those that are told.
  show(count = 0, texts = []) {
    const text = `${count.toLocaleString("en")} ${count === 1 ? "problem" : "problems"}`;
    if (this.#button.textContent !== text) this.#button.textContent = text;
    this.#button.hidden = count === 0;
    const lines = texts.map((one) => shown(one, kMostText));
    if (count > texts.length) lines.push(`and ${(count - texts.length).toLocaleString("en")} more`);
    if (lines.join("\n") === this.#texts) return;
    this.#texts = lines.join("\n");
    for (const list of this.#lists) {
      list.parentElement.hidden = lines.length === 0;
      list.replaceChildren(
        ...lines.map((line) => {
          const item = document.createElement("li");
          item.textContent = line;
          return item;
        }),
      );
    }
  }
}
