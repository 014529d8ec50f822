// Cells of lists whose numbers change.
import { setText } from "./card.js";
import { shown } from "./labels.js";

export function node(name, className, role) {
  const made = document.createElement(name);
  made.className = className;
  if (role) made.setAttribute("role", role);
  return made;
}

// Digits end, and units begin, in one line.
export function numberCell(column) {
  const cell = node("span", `number ${column}`, "gridcell");
  cell.append(node("span", "digits"), node("span", "unit"));
  return cell;
}

const kMostUnit = 4; // characters: there is no room for more, and half a word tells nothing

export function setNumber(cell, { number, unit }, title) {
  setText(cell.firstChild, number);
  setText(cell.lastChild, unit);
  // It is still read out, and is in the title.
  cell.lastChild.classList.toggle("long", unit.length > kMostUnit);
  if (cell.title !== title) cell.title = title;
}

// Of a foreign unit.
export const safe = ({ number, unit }) => ({ number, unit: unit === "" ? "" : shown(unit) });
