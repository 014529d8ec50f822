// A line as high as a word: the last values, each between the least and the greatest of them.

const kSamples = 60;

// Colours of the page, and how many of the screen's pixels one of ours is, asked for once.
let pen = null;
export const forgetColours = () => (pen = null);

function currentPen() {
  pen ??= { colour: getComputedStyle(document.documentElement).getPropertyValue("--spark").trim(), ratio: window.devicePixelRatio || 1 };
  return pen;
}

export function drawSparkline(canvas, history, ring) {
  const { colour, ratio } = currentPen();
  const width = 64;
  const height = 18;
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);

  const slots = history.order().slice(-kSamples);
  let least = Infinity;
  let most = -Infinity;
  for (const slot of slots) {
    const value = ring[slot];
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least > most) return;
  const pad = 2.5;
  const span = most - least;
  const y = (value) => (span > 0 ? height - pad - ((value - least) / span) * (height - 2 * pad) : height / 2);
  const x = (at) => width - pad - ((slots.length - 1 - at) / (kSamples - 1)) * (width - 2 * pad);
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = 1.25;
  context.lineJoin = "round";
  context.beginPath();
  let drawing = false;
  let last = -1;
  slots.forEach((slot, at) => {
    const value = ring[slot];
    if (Number.isNaN(value)) {
      drawing = false;
      return;
    }
    if (drawing) context.lineTo(x(at), y(value));
    else context.moveTo(x(at), y(value));
    drawing = true;
    last = at;
  });
  context.stroke();
  context.beginPath();
  context.arc(x(last), y(ring[slots[last]]), 1.6, 0, 2 * Math.PI);
  context.fill();
}
