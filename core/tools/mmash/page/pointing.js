// How somebody points into a plot, and zooms: with the mouse or a finger, and with the keys.

const kDrag = 4; // pixels; what is less is a click
const kPage = 10; // samples
export const kTaller = 40; // pixels, of one key

// A drag over the lines selects a time, and zooms to it; a double click goes back.
export function followPointer(card) {
  const { canvas, plots } = card;
  const timeAt = ({ clientX }) => {
    const { x, w } = card.dygraph.getArea();
    const at = clientX - canvas.getBoundingClientRect().left;
    return card.dygraph.toDataXCoord(Math.min(x + w, Math.max(x, at)));
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !card.dygraph) return;
    const from = { x: event.clientX, time: timeAt(event) };
    let drags = false;
    canvas.setPointerCapture(event.pointerId);
    const move = (moved) => {
      if (!card.dygraph) return;
      if (!drags && Math.abs(moved.clientX - from.x) < kDrag) return;
      if (!drags) plots.hold();
      drags = true;
      plots.select([from.time, timeAt(moved)]);
    };
    const up = (ended) => {
      move(ended); // moves are told late, or not at all
      if (drags) plots.zoomToSelection();
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", up);
    // Also where the browser took the finger for its own, to scroll.
    canvas.addEventListener("lostpointercapture", () => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", up);
      plots.select(null);
    }, { once: true });
  });
  canvas.addEventListener("dblclick", () => plots.zoomTo(null));
}

// Arrows go from sample to sample, with Shift they select, Enter zooms, and Escape goes back. moved(): to another sample.
export function followKeys(card, moved) {
  const { canvas, plots } = card;
  canvas.addEventListener("blur", () => plots.leaveKeys());
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || card.rows.length === 0) return;
    const [from, to] = plots.zoom ?? [-Infinity, Infinity];
    const times = card.rows.map(([time]) => time).filter((time) => from <= time && time <= to);
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -kPage, PageDown: kPage, Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined && times.length > 0) {
      const there = times.indexOf(plots.pointed);
      const before = there < 0 ? times.length - 1 : there;
      // The first arrow shows the last sample.
      const stays = there < 0 && Number.isFinite(step) && !event.shiftKey;
      const at = stays ? before : Math.max(0, Math.min(times.length - 1, before + step));
      if (event.shiftKey) plots.hold();
      plots.select(event.shiftKey ? [plots.selection?.[0] ?? times[before], times[at]] : null);
      plots.point(times[at], true);
      moved();
    } else if (event.key === "Enter" && plots.selection) {
      plots.zoomToSelection();
    } else if (event.key === "Escape" && plots.selection) {
      plots.select(null);
    } else if (event.key === "Escape" && plots.zoom) {
      plots.zoomTo(null);
    } else if (event.key === "Escape" && plots.pointed !== null) {
      plots.point(null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
}

// The lower edge of a card, to drag: it is as high as that; keys do the same wherever in it. resize(height): it was let go;
// null: as there is room.
export function followGrip(card, resize) {
  const grip = document.createElement("span");
  grip.className = "grip";
  grip.title = "Drag to make it taller or lower; double click: as tall as there is room";
  grip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    const from = { y: event.clientY, height: card.canvas.clientHeight };
    let drags = false;
    grip.setPointerCapture(event.pointerId);
    const move = ({ clientY }) => {
      drags ||= clientY !== from.y;
      if (drags) card.height = from.height + clientY - from.y;
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", () => {
      grip.removeEventListener("pointermove", move);
      if (drags) resize(card.height);
    }, { once: true });
  });
  grip.addEventListener("dblclick", () => resize(null));
  card.element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select")) return;
    const step = { "+": kTaller, "=": kTaller, "-": -kTaller, "−": -kTaller }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    resize(card.canvas.clientHeight + step);
  });
  return grip;
}
