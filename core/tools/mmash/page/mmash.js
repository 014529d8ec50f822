// The page: puts the parts together, and keeps the view in its address.
import { ByProcess } from "./by_process.js";
import { clockOf } from "./format.js";
import { History } from "./history.js";
import { shown } from "./labels.js";
import { fromFragment, kDefaults, limited, toFragment } from "./link.js";
import { Live } from "./live.js";
import { sourcesOf } from "./means.js";
import { OnlyProcess } from "./only_process.js";
import { Past } from "./past.js";
import { Plots } from "./plots.js";
import { Problems } from "./problems.js";
import { Processes } from "./processes.js";
import { Range } from "./range.js";
import { SlowRequests } from "./slow.js";
import { forgetColours } from "./sparkline.js";
import { Tree } from "./tree.js";

const kSettleMs = 150; // before a new view is written to the address, or rows that came into sight are asked for
const kNoticeMs = 4000;

const byId = (id) => document.getElementById(id);
const settings = { ...kDefaults };
const history = new History(settings.history);

// ---- the parts ----

const byProcess = new ByProcess({ wanted: () => plots.byProcess, find: (key) => live.find(key), slots: () => history.slots });
const live = new Live(wantedSeries, () => plots.plots.length > 0, (...how) => byProcess.ask(...how));
const plots = new Plots(byId("plots"), { find: (key) => live.find(key), findFamily: (key) => live.findFamily(key), byProcess, history, settings, changed: viewChanged, wake: () => live.wake(), paused: () => live.paused, pause: togglePause });
const only = new OnlyProcess(byId("only"), showOnly);
const processes = new Processes(byId("processes"), byId("process-count"), (id) => only.choose(id));
const problems = new Problems(byId("problems"), byId("problem-dialog"), byId("problem-close"), [byId("problem-texts"), byId("blank-problems")]);
const tree = new Tree({
  element: byId("tree"),
  search: byId("search"),
  found: byId("found"),
  detail: byId("detail"),
  history,
  actions: {
    plot: (series) => plots.toggle(series.key),
    together: (series, apart) => {
      const keys = series.map((one) => one.key);
      if (keys.length === 0) return;
      if (apart) plots.add({ keys });
      else plots.join(keys);
    },
    byProcess: (series) => plots.showByProcess(series.key),
    family: (family) => plots.addFamily({ family: family.key }),
    table: (family) => plots.showTable(family.key),
    plotted: (key) => plots.has(key),
    filtered: () => only.id !== null,
    changed: viewChanged,
    moved: glanceSoon,
  },
});

function plottedSeries() {
  return [...plots.series].flatMap(sourcesOf);
}

// What somebody looks at: rows in sight, and plots.
function wantedSeries() {
  return [...new Set([...tree.inSight.flatMap(sourcesOf), ...plottedSeries()])];
}

// What is known is of other processes; only what is told of each stays.
function showOnly() {
  history.keepOnly(new Set([...plots.series].filter((series) => series.byProcess).map(({ key }) => key)));
  byProcess.only = only.id;
  processes.chosen = only.id;
  only.know(processes.find(only.id));
  plots.draw();
  // There is nothing of it yet.
  if (live.paused) pause(false);
  live.only = only.id;
  viewChanged();
}

const past = new Past(live, history, settings, {
  // It is of all processes together.
  wanted: () => (only.id === null ? { plots: plottedSeries(), rows: tree.inSight.flatMap(sourcesOf) } : { plots: [], rows: [] }),
  filled: () => {
    plots.draw();
    tree.refresh();
  },
  isOwn: () => only.id !== null || [...plots.series].some((series) => series.byProcess),
});
const range = new Range(byId("range"), (chosen) => {
  for (const [name, value] of Object.entries(chosen)) set(name, value);
  viewChanged();
});

// ---- data ----

live.addEventListener("series", ({ detail: { added, anew, hidden } }) => {
  // Labels are what they were: so what was plotted goes on.
  if (anew) history.breakRates();
  if (anew || hidden) tree.clear();
  tree.add((hidden ? [...live.series, ...live.means] : added).filter((series) => !series.hidden));
  plots.nameAsFound();
  for (const plot of plots.plots) plot.write();
  showBlanks();
});

live.addEventListener("values", ({ detail }) => {
  const { time, readings, interval, process } = detail;
  only.know(process);
  if (interval === undefined) {
    history.glance(time, readings);
  } else {
    history.tick(time, readings, interval);
    // Rows may have come into sight since that was asked.
    history.keepOnly(new Set([...readings.map(([series]) => series), ...wantedSeries(), ...plots.series].map((series) => series.key)));
    plots.draw();
    past.ask();
  }
  tree.refresh();
});

live.addEventListener("processes", ({ detail }) => {
  processes.show(detail.processes);
  only.know(processes.find(only.id) ?? null);
  problems.show(detail.problems, detail.problem_texts);
  const host = detail.host ?? "";
  byId("host").textContent = host;
  document.title = host ? `${host} · mmash` : "mmash";
  const paths = detail.paths ?? ["the files that mmash was started with"];
  byId("paths").replaceChildren(
    ...paths.map((path) => {
      const item = document.createElement("li");
      item.textContent = shown(path, 1000);
      return item;
    }),
  );
});

let lostAt = 0;
live.addEventListener("state", ({ detail: { state, message } }) => {
  const words = { connecting: "Connecting", live: "Live", paused: "Paused", away: "Waiting until it is seen", lost: "No answer" };
  document.documentElement.dataset.state = state;
  byId("status-text").textContent = words[state];
  if (state === "lost") {
    lostAt ||= Date.now() / 1000;
    const notice = `${message} What is shown is of ${clockOf(lostAt)}.`;
    // Screen readers read it again when it is set.
    if (byId("notice").textContent !== notice) byId("notice").textContent = notice;
  } else {
    lostAt = 0;
  }
  byId("notice").hidden = state !== "lost";
});

let glanceTimer = 0;
function glanceSoon() {
  clearTimeout(glanceTimer);
  glanceTimer = setTimeout(() => {
    live.glance(tree.inSight.filter((series) => !history.of(series)).flatMap(sourcesOf));
  }, kSettleMs);
}

function showBlanks() {
  const none = live.series.length === 0;
  byId("no-series").hidden = !none || plots.plots.length > 0;
  byId("no-plots").hidden = none || plots.plots.length > 0;
}

// ---- the view, which is in the address ----

let writeTimer = 0;
let written = "";

function viewChanged() {
  tree.refresh();
  showBlanks();
  clearTimeout(writeTimer);
  writeTimer = setTimeout(writeView, kSettleMs);
}

function writeView() {
  clearTimeout(writeTimer);
  written = toFragment({
    plots: plots.plots.map((plot) => plot.plain),
    search: tree.search,
    open: tree.open,
    only: only.id,
    paused: live.paused,
    ...settings,
  });
  window.history.replaceState(null, "", written === "" ? location.pathname : `#${written}`);
}

function readView() {
  const view = fromFragment(location.hash);
  for (const name of Object.keys(kDefaults)) set(name, view[name]);
  plots.clear();
  for (const plot of view.plots) {
    if (plot.table !== undefined) plots.addTable(plot);
    else if (plot.family === undefined) plots.add(plot);
    else plots.addFamily(plot);
  }
  tree.restore(view.open, view.search);
  only.choose(view.only);
  pause(view.paused);
}

window.addEventListener("hashchange", () => {
  if (location.hash !== `#${written}`) readView();
});

// ---- settings ----

function set(name, value) {
  const number = limited(name, value, settings[name]);
  byId(name).value = number;
  if (settings[name] === number) return;
  settings[name] = number;
  range.show(settings);
  if (name === "rate") {
    live.rateMs = number;
    live.wake();
  } else if (name === "history" && !live.paused) {
    history.resize(number);
  }
  if (name !== "average") rangeChanged();
  plots.draw();
}

// Both are set together, or one after the other: what is known is looked at once.
let rangeTimer = 0;
function rangeChanged() {
  clearTimeout(rangeTimer);
  rangeTimer = setTimeout(() => {
    if (live.paused) return; // what is shown stays, until it goes on
    history.resize(settings.history);
    past.rangeChanged();
    live.wake();
  });
}

for (const name of Object.keys(kDefaults)) {
  byId(name).addEventListener("change", (event) => {
    set(name, event.target.value);
    viewChanged();
  });
}

function pause(paused) {
  live.paused = paused;
  if (!paused) rangeChanged();
  byId("pause").setAttribute("aria-pressed", paused);
  byId("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) plots.zoomTo(null); // what comes is not in it
}

function togglePause() {
  pause(!live.paused);
  viewChanged();
}

function showTheme() {
  byId("theme").textContent = `Theme: ${{ system: "auto", light: "light", dark: "dark" }[mmashTheme.current]}`;
}

function coloursChanged() {
  forgetColours();
  plots.drawAnew();
  tree.refresh();
}

function nextTheme() {
  const { names, current } = mmashTheme;
  mmashTheme.apply(names[(names.indexOf(current) + 1) % names.length]);
  showTheme();
  coloursChanged();
}

let linkTimer = 0;
async function copyLink() {
  writeView();
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    said = "See the address"; // only pages of this machine or with TLS may copy
  }
  byId("link").textContent = said;
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => (byId("link").textContent = "Copy link"), kNoticeMs);
}

const help = byId("help-dialog");
byId("pause").addEventListener("click", togglePause);
byId("theme").addEventListener("click", nextTheme);
byId("link").addEventListener("click", copyLink);
byId("help").addEventListener("click", () => help.showModal());
byId("help-close").addEventListener("click", () => help.close());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", coloursChanged);
window.addEventListener("resize", forgetColours);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || help.open) return;
  const typing = event.target.matches("input, select");
  if (event.key === "Escape") {
    if (!typing && plots.zoom) {
      plots.zoomTo(null);
    } else if (tree.search !== "") {
      tree.search = "";
      viewChanged();
    } else if (typing) {
      event.target.blur();
    } else if (only.id !== null) {
      only.choose(null);
    } else {
      return;
    }
    event.preventDefault();
    return;
  }
  if (typing) return;
  const does = { "/": () => byId("search").focus(), p: togglePause, t: nextTheme, l: copyLink, "?": () => help.showModal() }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});

new SlowRequests(byId("slow"));
showTheme();
range.show(settings);
readView();
showBlanks();
live.wake();

// For the console, and for tests.
globalThis.mmash = Object.freeze({ live, history, past, plots, tree, settings });
