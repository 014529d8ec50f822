// A line of a plot's legend: its name is a button that hides the line, and shows it again, or alone.
import { child } from "./card.js";

export const kLineHint = "Click the name: hide the line; Alt-click or double click: show it alone";

const meansAlone = (event) => event.altKey || event.ctrlKey || event.metaKey;

// So that `end`, which tells it from others, stays where the name is cut.
export function writeName(node, text, end = "") {
  if (node.textContent === text) return;
  node.textContent = end === "" ? text : "";
  if (end === "") return;
  child(node, "span", "name-start").textContent = text.slice(0, -end.length);
  child(node, "span", "name-end").textContent = end;
}

// {line, toggle, swatch, name, value}. choose(alone): it was chosen.
export function makeLine(swatchClass, choose) {
  const line = document.createElement("li");
  const toggle = child(line, "button", "line-toggle");
  toggle.type = "button";
  const swatch = child(toggle, "span", swatchClass);
  swatch.setAttribute("aria-hidden", "true");
  const name = child(toggle, "span", "line-name");
  const value = child(line, "span", "line-value");
  toggle.addEventListener("click", (event) => choose(meansAlone(event)));
  // Its two clicks have hidden it, and shown it again.
  toggle.addEventListener("dblclick", () => choose(true));
  toggle.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !meansAlone(event)) return;
    event.preventDefault();
    choose(true);
  });
  return { line, toggle, swatch, name, value };
}

// What is hidden of the lines `ids` once that at `at` is chosen; all are back when it was alone.
export function otherwiseHidden(ids, before, at, alone) {
  const hidden = new Set(before);
  if (!alone) {
    if (!hidden.delete(ids[at])) hidden.add(ids[at]);
    return hidden;
  }
  const others = ids.filter((_, one) => one !== at);
  const isAlone = !hidden.has(ids[at]) && others.every((id) => hidden.has(id));
  return new Set(isAlone ? [] : others);
}
