// A view <-> the fragment of a URL, which never leaves the browser. Links are foreign input as labels are:
// what makes no sense in one is left out.
//
//   #plot=rate;counter:web.requests&plot=auto,zero;gauge:web.latency.p50;gauge:web.latency.p99
//    &search=web&open=web&open=web.latency&rate=2000&history=100&average=1&paused

export const kDefaults = Object.freeze({ rate: 2000, history: 100, average: 1 });
export const kLimits = Object.freeze({ rate: [50, 10_000], history: [10, 1000], average: [1, 100] });
const kModes = new Set(["auto", "rate", "value"]);

export function limited(name, value, otherwise = kDefaults[name]) {
  const number = Math.round(Number(value));
  if (value === "" || !Number.isFinite(number)) return otherwise;
  const [least, most] = kLimits[name];
  return Math.min(most, Math.max(least, number));
}

// No half of a surrogate pair is in a URL.
const escaped = (text) => encodeURIComponent(text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd"));

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

export function toFragment(view) {
  const parts = view.plots.map(({ mode, zero, keys }) => {
    const how = zero === null ? mode : `${mode},${zero ? "zero" : "fit"}`;
    return `plot=${[how, ...keys.map((key) => escaped(key).replace("%3A", ":"))].join(";")}`;
  });
  if (view.search) parts.push(`search=${escaped(view.search)}`);
  for (const path of view.open) parts.push(`open=${escaped(path)}`);
  for (const name of Object.keys(kDefaults)) {
    if (view[name] !== kDefaults[name]) parts.push(`${name}=${view[name]}`);
  }
  if (view.paused) parts.push("paused");
  return parts.join("&");
}

export function fromFragment(fragment) {
  const view = { plots: [], search: "", open: [], paused: false, ...kDefaults };
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const [, name, value] = part.match(/^([a-z]+)=?([^]*)$/) ?? [];
    if (name === "plot") {
      const [how, ...keys] = value.split(";");
      const [mode, axis] = how.split(",");
      const known = keys.map(unescaped).filter((key) => key !== null);
      if (!kModes.has(mode) || known.length === 0) continue;
      view.plots.push({ mode, zero: axis === "zero" ? true : axis === "fit" ? false : null, keys: known });
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
