// Numbers for people. Nothing here gives out foreign text but `unit`, and that only where it is said.

// Steps, the biggest first.
const kSmall = [
  [1e-3, "m"],
  [1e-6, "µ"],
  [1e-9, "n"],
];
const kBig = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
const kLong = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
];

const kMinus = "\u2212";
const kMostUnit = 40; // characters of a foreign one
const kThin = "\u202f"; // between a number and its unit

// Making a formatter takes longer than using it a hundred times.
const formatters = Array.from({ length: 21 }, (_, digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }));

function rounded(size, significant) {
  const magnitude = size > 0 ? Math.floor(Math.log10(size)) : 0;
  return formatters[Math.max(0, Math.min(20, significant - 1 - magnitude))].format(size);
}

// {text, prefix} in the biggest step that is not above `size`, or null. Rounding must not show 1,000 k.
function scaled(size, steps, significant) {
  for (const [step, prefix] of steps) {
    if (size >= step * 0.9995) return { text: rounded(size / step, significant), prefix };
  }
  return null;
}

const kUnits = new Map([
  ["bytes", "B"],
  ["byte", "B"],
  ["B", "B"],
  ["seconds", "s"],
  ["second", "s"],
  ["s", "s"],
  ["percent", "%"],
  ["%", "%"],
]);

// At most so many of JavaScript's characters, and a sign that there were more. No pair of them that is one
// letter is halved.
export function cut(text, most) {
  if (text.length <= most) return text;
  const whole = /[\ud800-\udbff]/.test(text[most - 1]) && /[\udc00-\udfff]/.test(text[most]) ? most - 1 : most;
  return `${text.slice(0, whole)}…`;
}

const kNone = { number: "–", unit: "" };

function duration(size, digits) {
  if (size >= 120) return scaled(size, kLong, digits);
  const small = size < 1 ? scaled(size, kSmall, digits) : null;
  return small ? { ...small, prefix: `${small.prefix}s` } : null;
}

// A number and what it is counted in, apart: {number, unit}. `unit` is the file's own word, cut, where it
// is none that we know. `digits`: how many of them count, where it is not a big whole number.
export function quantity(value, unit = "", { perSecond = false, digits = 3 } = {}) {
  if (value === null || Number.isNaN(value)) return kNone;
  const size = Math.abs(Number(value));
  const sign = value < 0 ? kMinus : "";
  const each = perSecond ? "/s" : "";
  const known = kUnits.get(unit);
  const word = known ?? (unit.length > 12 ? cut(unit, 11) : unit);

  let scale = null;
  if (known === "s" && !perSecond) scale = duration(size, digits);
  else if (known === "B") scale = scaled(size, kBig, digits);
  else if (size >= 1e9 && size < 1e15) scale = scaled(size, kBig, Math.max(4, digits));
  if (scale) return { number: sign + scale.text, unit: known === "s" && !perSecond ? scale.prefix : scale.prefix + word + each };
  if (size >= 1e15 || (size !== 0 && size < 1e-6)) return { number: sign + size.toExponential(digits - 1).replace("e+", "e"), unit: word + each };
  return { number: sign + (size >= 1000 ? formatters[0].format(size) : rounded(size, digits)), unit: word + each };
}

// What a rate is counted in: seconds a second are a plain number.
export const rateUnit = (unit) => (kUnits.get(unit) === "s" ? "" : unit);

export function inWords(value, unit = "", options = {}) {
  const { number, unit: word } = quantity(value, unit, options);
  return word === "" || word === "%" ? number + word : number + kThin + word;
}

// Of a distribution: a percentile has its unit, and values are counted by the second.
export const figureText = (part, value, unit) => (part === "rate" ? inWords(value ?? NaN, "", { perSecond: true }) : inWords(value ?? NaN, unit));

// Every digit. A big integer is exact; a double gets the fewest digits that are it alone.
export function exact(value, unit = "") {
  if (value === null || Number.isNaN(value)) return "no value now";
  const digits = typeof value === "bigint" || Number.isInteger(value) ? BigInt(value).toLocaleString("en") : String(value);
  return unit === "" ? digits : `${digits} ${cut(unit, kMostUnit)}`;
}

// A moment, as what has passed since: "12 s", "3 min", "4 h", "2 d". In words that need no "ago".
export function age(seconds) {
  if (!(seconds >= 0)) return "0 s";
  const [step, name] = kLong.find(([step]) => seconds >= 2 * step) ?? [1, "s"];
  return `${Math.floor(seconds / step)}${kThin}${name}`;
}

// How long: "45 s", "3 min 20 s", "1 h 5 min". Two of the units at most.
export function spanOf(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 10) return `${rounded(seconds, seconds < 1 ? 1 : 2)}${kThin}s`;
  const units = [...kLong, [1, "s"]];
  let left = Math.round(seconds);
  const at = units.findIndex(([step]) => left >= step);
  const parts = units.slice(at, at + 2).map(([step, name]) => {
    const count = Math.floor(left / step);
    left -= count * step;
    return count > 0 ? `${count}${kThin}${name}` : "";
  });
  return parts.filter(Boolean).join(" ");
}

export const moment = (seconds) => {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace("T", " ").replace(".000Z", " UTC").replace("Z", " UTC");
};

// What a series has, by its kind: a moment as its age at `now` (Unix seconds).
export function reading(series, value, now) {
  if (series.kind !== "timestamp" || value === null || Number.isNaN(value)) return quantity(value, series.unit);
  const passed = now - Number(value);
  return { number: passed >= 0 ? age(passed) : `in${kThin}${age(-passed)}`, unit: passed >= 0 ? "ago" : "" };
}

export const exactReading = (series, value) =>
  series.kind === "timestamp" && value !== null && !Number.isNaN(value) ? moment(Number(value)) : exact(value, series.unit);

const two = (number) => String(number).padStart(2, "0");

// Unix seconds as the time of day here: "14:03:09".
export function clockOf(seconds) {
  const date = new Date(seconds * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
