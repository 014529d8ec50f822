// Below a plot's lines, beside their time: how long it is, what is to be said about the lines, and the pointer's time.
import { button, child, setText } from "./card.js";
import { clockOf, spanOf } from "./format.js";

const kQuietMs = 300; // before a screen reader is told where the keys went

export class Foot {
  #plots;
  #span;
  #out;
  #note;
  #time;
  #said;
  #timer = 0;

  constructor(parent, plots) {
    this.#plots = plots;
    const foot = child(parent, "div", "plot-foot");
    this.#span = child(foot, "span", "plot-span");
    this.#out = button("zoom-out", "Zoom out", "Show all samples again (Escape, or double click)", () => plots.zoomTo(null));
    foot.append(this.#out);
    this.#note = child(foot, "span", "plot-note");
    this.#time = child(foot, "span", "plot-time");
    this.#said = child(foot, "span", "unseen");
    this.#said.setAttribute("aria-live", "polite");
  }

  // `row`: of the pointer, or none.
  write(rows, row, notes) {
    const { zoom, stands } = this.#plots;
    const shown = zoom ? rows.filter(([time]) => zoom[0] <= time && time <= zoom[1]) : rows;
    const last = shown[shown.length - 1]?.[0];
    const long = shown.length > 1 ? spanOf((last - shown[0][0]) / 1000) : "";
    setText(this.#span, long === "" ? "" : zoom || stands ? `${long} until ${clockOf(last / 1000)}` : `last ${long}`);
    this.#out.hidden = zoom === null;
    const note = notes.filter(Boolean).join(" · ");
    setText(this.#note, note);
    this.#note.title = note;
    setText(this.#time, row ? clockOf(row[0] / 1000) : "");
  }

  // For screen readers, once it is quiet: so that keys that are held down do not chatter.
  say(text) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => setText(this.#said, text()), kQuietMs);
  }
}
