// Sets the colours before anything is drawn: so this is no module, and comes first.
"use strict";

const mmashTheme = {
  names: ["system", "light", "dark"],
  get current() {
    try {
      const kept = localStorage.getItem("mmash.theme");
      return this.names.includes(kept) ? kept : "system";
    } catch {
      return this.chosen ?? "system"; // a browser that keeps nothing
    }
  },
  apply(name) {
    this.chosen = name;
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem("mmash.theme", name);
    } catch {
      // Then it holds for this page.
    }
  },
};
document.documentElement.dataset.theme = mmashTheme.current;
