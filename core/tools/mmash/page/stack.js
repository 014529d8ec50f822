// Rows as they are drawn. Lines may stand on each other: the first one at the bottom. Numbers below zero hang below it, so that no area
// hides another. Where a line has no number it has no area, and those above stand on what is there.

// Rows -> `tops`: rows to draw; and `bases`: by line, by row, what its area stands on.
export function bandsOf(rows) {
  const bases = Array.from({ length: Math.max(0, (rows[0]?.length ?? 0) - 1) }, () => new Float64Array(rows.length));
  const tops = rows.map((row, n) => {
    let up = 0;
    let down = 0;
    return row.map((number, at) => {
      if (at === 0 || Number.isNaN(number)) return number;
      const base = number < 0 ? down : up;
      bases[at - 1][n] = base;
      if (number < 0) down += number;
      else up += number;
      return base + number;
    });
  });
  return { tops, bases };
}

// Rows of numbers -> {rows, bases, leftOut}: what is hidden has no numbers; on a logarithmic scale zero and below have
// none, and `leftOut` says how many these were; those of a stack are sums, with `bases` as above, else null.
export function asDrawn(rows, { isHidden, log, stacks }) {
  let leftOut = 0;
  const drawn = !log && !isHidden.includes(true) ? rows : rows.map((row) =>
    row.map((number, at) => {
      if (at === 0) return number;
      if (isHidden[at - 1]) return NaN;
      if (!log || !(number <= 0)) return number;
      leftOut++;
      return NaN;
    }),
  );
  if (!stacks) return { rows: drawn, bases: null, leftOut };
  const { tops, bases } = bandsOf(drawn);
  return { rows: tops, bases, leftOut };
}

const kAlpha = 0.45;
const kAlone = 2; // pixels: how wide the area of a sample between two gaps is

// The area of one line: `line` as dygraphs gives it to a plotter.
export function drawBand({ points, drawingContext: context, color, dygraph, plotArea: { y, h } }, bases) {
  const [low, high] = dygraph.yAxisRange();
  const bottom = ({ idx }) => y + h * (1 - (bases[idx] - low) / (high - low));
  context.fillStyle = color;
  context.globalAlpha = kAlpha;
  for (let at = 0; at < points.length; at++) {
    if (Number.isNaN(points[at].yval)) continue;
    let end = at + 1;
    while (end < points.length && !Number.isNaN(points[end].yval)) end++;
    const run = points.slice(at, end);
    if (run.length === 1) {
      context.fillRect(run[0].canvasx - kAlone / 2, run[0].canvasy, kAlone, bottom(run[0]) - run[0].canvasy);
    } else {
      context.beginPath();
      for (const point of run) context.lineTo(point.canvasx, point.canvasy);
      for (const point of run.reverse()) context.lineTo(point.canvasx, bottom(point));
      context.fill();
    }
    at = end;
  }
  context.globalAlpha = 1;
}
