// What a plot shows, as a file for spreadsheets.
import { shown } from "./labels.js";

const kMostName = 4000; // characters
const kMostFile = 80;

// What begins a formula, or ours; the wide forms are what Asian keyboards write.
const kSign = /^(?:'| *[=+\-@'＝＋－＠])/;

// A foreign text as a field, as the server writes it: no part of it, where a semicolon parts, is a formula.
export function csvField(foreign) {
  const text = foreign === "" ? "" : shown(foreign, kMostName);
  const safe = text
    .split(/(?<=;)/)
    .map((part) => (kSign.test(part) ? `'${part}` : part))
    .join("");
  return /[",;]|^ | $/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// `lines`: {name, unit} of each column. `rows`: [milliseconds, number ...]; what is no number is left empty.
export function csvOf(lines, rows) {
  const head = ["time", "unix_seconds", ...lines.map(({ name, unit }) => csvField(unit === "" ? name : `${name} [${unit}]`))];
  const cells = rows.map(([time, ...numbers]) => [new Date(time).toISOString(), time / 1000, ...numbers.map((number) => (Number.isFinite(number) ? number : ""))]);
  return [head, ...cells].map((row) => `${row.join()}\r\n`).join("");
}

// The browser keeps it under the title and its last moment.
export function download(title, lines, rows) {
  const name = shown(title, kMostFile).replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[.-]+|-+$/g, "");
  const last = new Date(rows.at(-1)?.[0] ?? Date.now()).toISOString().slice(0, 19).replaceAll(":", "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(lines, rows)], { type: "text/csv" }));
  link.download = `${name || "plot"}-${last}Z.csv`;
  link.click();
  // Not before the browser has begun to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
