// How long plots look back, with one choice: how often values are taken, and how many are kept.

const kRanges = [
  { rate: 2000, history: 100 },
  { rate: 5000, history: 180 },
  { rate: 5000, history: 720 },
];
const kUnits = [["h", 3600], ["min", 60], ["s", 1]];

// "3 min 20 s"; of what is shorter than ten seconds one more digit.
export function spanText(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  let left = Math.round(seconds);
  const parts = kUnits.map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count > 0 ? `${count} ${unit}` : "";
  });
  return parts.filter(Boolean).join(" ");
}

const textOf = ({ rate, history }) => spanText((rate * history) / 1000);

export class Range {
  #select;
  #other; // what was set otherwise

  // chose({rate, history}): somebody did.
  constructor(select, chose) {
    this.#select = select;
    for (const range of kRanges) select.add(new Option(textOf(range)));
    this.#other = new Option("");
    select.add(this.#other);
    select.addEventListener("change", () => chose(kRanges[select.selectedIndex]));
  }

  show({ rate, history }) {
    const at = kRanges.findIndex((range) => range.rate === rate && range.history === history);
    this.#other.hidden = this.#other.disabled = at >= 0;
    this.#other.text = textOf({ rate, history });
    this.#select.selectedIndex = at >= 0 ? at : kRanges.length;
  }
}
