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

export function setNumber(cell, { number, unit }, title) {
  setText(cell.firstChild, number);
  setText(cell.lastChild, unit);
  if (cell.title !== title) cell.title = title;
}

const kMostUnit = 4; // characters: there is no room for more, and half a word tells nothing

// Of a foreign unit. The number's title has it in full.
export const safe = ({ number, unit }) => ({ number, unit: unit === "" || unit.length > kMostUnit ? "" : shown(unit) });
