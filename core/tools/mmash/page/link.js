// A view <-> the fragment of a URL, which never leaves the browser. Links are foreign input as labels are:
// what makes no sense in one is left out.
//
//   #family=rate;counter:web.responses{method,status}responses;by=status;top=5;where=method:GET;figure=p99
//   #byprocess=rate;counter:web.requests;top=5;order=least;where=process:gunicorn%204123
//   #table=histogram:web.latency{path}seconds;sort=-p99;over=10;find=words;where=path:/cart
//   #plot=rate;counter:web.requests&plot=auto,zero;gauge:web.latency.p50;gauge:web.latency.p99
//   #plot=auto,stack,wide,h320,hide0.2;counter:web.a;counter:web.b;counter:web.c&family=rate,log;KEY;hide=404;hide-rest
//    &search=web&open=web&open=web.latency&rate=2000&history=100&average=1&only=4123.1700000000&paused

import { kNames } from "./distribution.js";
import { kMostGroups } from "./groups.js";
import { kAllFigures } from "./report.js";

export const kDefaults = Object.freeze({ rate: 2000, history: 100, average: 1 });
export const kLimits = Object.freeze({ rate: [50, 10_000], history: [10, 1000], average: [1, 100], top: [1, kMostGroups], over: [0, 10] });
// Over how many samples a table is.
export const kOver = new Map([[0, "all samples"], [10, "10 samples"], [1, "1 sample"]]);
export const kTop = 8; // groups of a family that have a line of their own
const kFigure = "p99"; // of histograms
const kFigures = new Set(kNames.keys());
const kMostWhere = 100;
const kProcessId = /^(\d{1,20}\.\d{1,20}|file\.[0-9a-f]{1,16})$/;
const kModes = new Set(["auto", "rate", "value"]);
const kLooks = ["stack", "log", "wide"]; // words behind the mode of a plot
const kMostHidden = 100; // lines

export function limited(name, value, otherwise = name === "top" ? kTop : kDefaults[name]) {
  const number = Math.round(Number(value));
  if (value === "" || !Number.isFinite(number)) return otherwise;
  const [least, most] = kLimits[name];
  return Math.min(most, Math.max(least, number));
}

// No half of a surrogate pair is in a URL.
export const escaped = (text) => encodeURIComponent(text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd"));

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

const escapedKey = (key) => escaped(key).replace("%3A", ":");

function familyParts({ family, by = null, top, where, figure, least, hide = [], hideRest = false }) {
  const parts = [escapedKey(family)];
  if (least) parts.push("order=least");
  if (by !== null) parts.push(`by=${escaped(by)}`);
  if (top !== kTop) parts.push(`top=${top}`);
  for (const [name, value] of where) parts.push(`where=${escaped(name)}:${escaped(value)}`);
  if (figure !== kFigure) parts.push(`figure=${figure}`);
  for (const name of hide) parts.push(`hide=${escaped(name)}`);
  if (hideRest) parts.push("hide-rest");
  return parts;
}

function readFamily([key, ...parts]) {
  const read = { family: unescaped(key ?? ""), by: null, top: kTop, where: [], figure: kFigure };
  const hide = [];
  for (const part of parts) {
    const [, name, text] = part.match(/^([a-z]+)=([^]*)$/) ?? [];
    if (name === "by") {
      read.by = unescaped(text);
    } else if (name === "top") {
      read.top = limited("top", text);
    } else if (name === "figure" && kFigures.has(text)) {
      read.figure = text;
    } else if (name === "order") {
      read.least = text === "least";
    } else if (name === "where") {
      readWhere(text, read.where);
    } else if (name === "hide" && hide.length < kMostHidden && unescaped(text) !== null) {
      hide.push(unescaped(text));
    } else if (part === "hide-rest") {
      read.hideRest = true;
    }
  }
  if (hide.length > 0) read.hide = hide;
  return read.family ? read : null;
}

function tableParts({ table, sort, over, where, find }) {
  const parts = [escapedKey(table)];
  if (sort !== null) parts.push(`sort=${sort.down ? "-" : ""}${escaped(sort.by).replace("%40", "@")}`);
  if (over !== 0) parts.push(`over=${over}`);
  if (find !== "") parts.push(`find=${escaped(find)}`);
  for (const [name, value] of where) parts.push(`where=${escaped(name)}:${escaped(value)}`);
  return parts;
}

function readTable([key, ...parts]) {
  const read = { table: unescaped(key ?? ""), sort: null, over: 0, where: [], find: "" };
  for (const part of parts) {
    const [, name, text] = part.match(/^([a-z]+)=([^]*)$/) ?? [];
    if (name === "sort") {
      const [, down, by] = unescaped(text)?.match(/^(-?)([^]+)$/) ?? [];
      if (by?.startsWith("@") || kAllFigures.includes(by)) read.sort = { by, down: down === "-" };
    } else if (name === "over" && kOver.has(Number(text))) {
      read.over = Number(text);
    } else if (name === "find") {
      read.find = unescaped(text) ?? "";
    } else if (name === "where") {
      readWhere(text, read.where);
    }
  }
  return read.table ? read : null;
}

function readWhere(text, where) {
  const end = text.search(/[:=]/);
  const pair = end < 0 ? [null] : [unescaped(text.slice(0, end)), unescaped(text.slice(end + 1))];
  if (!pair.includes(null) && where.length < kMostWhere) where.push(pair);
}

function readHow(text) {
  const [mode, ...words] = text.split(",");
  if (!kModes.has(mode)) return null;
  const read = { mode, zero: words.includes("zero") ? true : words.includes("fit") ? false : null };
  for (const word of words) {
    const [, name, numbers] = word.match(/^(h|hide)([0-9.]+)$/) ?? [];
    if (kLooks.includes(word)) read[word] = true;
    else if (name === "h" && Number(numbers) > 0) read.height = Number(numbers);
    else if (name === "hide") read.hide = numbers.split(".").slice(0, kMostHidden).map(Number);
  }
  return read;
}

function howText({ mode, zero, height = null, hide = [], ...look }) {
  const words = [mode];
  if (zero !== null) words.push(zero ? "zero" : "fit");
  words.push(...kLooks.filter((name) => look[name]));
  if (height !== null) words.push(`h${height}`);
  if (hide.length > 0) words.push(`hide${hide.join(".")}`);
  return words.join();
}

export function toFragment(view) {
  const parts = view.plots.map((what) => {
    if (what.table !== undefined) return `table=${tableParts(what).join(";")}`;
    // Lines of a family come and go: they are hidden by their names.
    if (what.family !== undefined) return `${what.byProcess ? "byprocess" : "family"}=${[howText({ ...what, hide: [] }), ...familyParts(what)].join(";")}`;
    return `plot=${[howText(what), ...what.keys.map(escapedKey)].join(";")}`;
  });
  if (view.search) parts.push(`search=${escaped(view.search)}`);
  for (const path of view.open) parts.push(`open=${escaped(path)}`);
  for (const name of Object.keys(kDefaults)) {
    if (view[name] !== kDefaults[name]) parts.push(`${name}=${view[name]}`);
  }
  if (view.only) parts.push(`only=${view.only}`);
  if (view.paused) parts.push("paused");
  return parts.join("&");
}

export function fromFragment(fragment) {
  const view = { plots: [], search: "", open: [], only: null, paused: false, ...kDefaults };
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const [, name, value] = part.match(/^([a-z]+)=?([^]*)$/) ?? [];
    if (name === "plot") {
      const [text, ...keys] = value.split(";");
      const how = readHow(text);
      const known = keys.map(unescaped).filter((key) => key !== null);
      if (how && known.length > 0) view.plots.push({ ...how, keys: known });
    } else if (name === "family" || name === "byprocess") {
      const [text, ...parts] = value.split(";");
      const { hide, ...how } = readHow(text) ?? {};
      const family = readFamily(parts);
      if (how.mode && family) view.plots.push({ ...how, ...family, ...(name === "byprocess" && { byProcess: true }) });
    } else if (name === "only" && kProcessId.test(value)) {
      view.only = value;
    } else if (name === "table") {
      const table = readTable(value.split(";"));
      if (table) view.plots.push(table);
    } else if (name === "search") {
      view.search = unescaped(value) ?? "";
    } else if (name === "open") {
      const path = unescaped(value);
      if (path !== null) view.open.push(path);
    } else if (name !== undefined && Object.hasOwn(kDefaults, name)) {
      view[name] = limited(name, value);
    } else if (name === "paused") {
      view.paused = true;
    }
  }
  return view;
}
