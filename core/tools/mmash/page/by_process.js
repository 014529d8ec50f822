// Series by process, as if `process` were a dimension of theirs: what the server tells of each process becomes
// members of a family, which a plot shows as it shows any other.
import { button } from "./card.js";
import { Family, fullName } from "./families.js";
import { exactly, idRanges, withWholeNumbers } from "./live.js";

const kMostIds = 24; // of one request: ours takes no more
const kOthers = "others"; // whose histograms are too many for one answer

export const processName = ({ command, pid }) => (pid === 0 ? command : `${command} ${pid}`);

// For the tools of a plot.
export function byProcessButton(plot) {
  return button("mode", "by process", "Show each process (b in the tree)", () => plot.plots.showByProcess(plot.keys[0]));
}

export class ByProcess {
  #wanted;
  #find;
  #slots;
  #only = null;
  #known = new Map(); // key of a series -> {members: by id of a process, family, turn}
  #turn = 0;

  // `wanted()`: keys of the series to ask for. `find(key)`: such a series. `slots()`: for how many ticks those
  // that are gone are remembered.
  constructor({ wanted, find, slots }) {
    this.#wanted = wanted;
    this.#find = find;
    this.#slots = slots;
  }

  // An id: members are of this process alone. Null: of all.
  set only(id) {
    this.#only = id;
    for (const known of this.#known.values()) known.family = null;
  }

  // Undefined: the series is not there. One without members: nothing was told yet.
  family(key) {
    const series = this.#find(key);
    if (!series) return undefined;
    const known = this.#know(series.key); // a link may have another name of it
    if (known.family?.series !== series) {
      // In a server that was started again it has another id, also for those that it tells nothing of.
      for (const { byProcess } of known.members.values()) byProcess.series = series;
      const { kind, unit, help } = series;
      known.family = new Family(series.key, { family: fullName(series), kind, unit, help, dimensions: { process: "" } });
      known.family.series = series;
      known.family.members = [...known.members.values()].filter(({ byProcess }) => this.#only === null || byProcess.id === this.#only);
    }
    return known.family;
  }

  // Asks once for all: [member, value, time] for each process of each series. `get(path)`: the text of an answer;
  // those of another epoch are of other series.
  async ask(get, epoch) {
    const wanted = new Set([...this.#wanted()].map(this.#find).filter((series) => series?.id !== undefined));
    for (const key of this.#known.keys()) {
      if (!this.#find(key) || this.#turn - this.#known.get(key).turn > this.#slots()) this.#known.delete(key);
    }
    if (wanted.size === 0) return [];
    this.#turn++;
    const sorted = [...wanted].sort((a, b) => a.id - b.id);
    const lists = [];
    for (let at = 0; at < sorted.length; at += kMostIds) lists.push(sorted.slice(at, at + kMostIds));
    const answers = await Promise.all(
      lists.map(async (list) => JSON.parse(withWholeNumbers(await get(`/live/by_process?ids=${idRanges(list.map(({ id }) => id))}`)))),
    );
    if (answers.some((answer) => answer.epoch !== epoch)) return [];
    return answers.flatMap((answer, at) => lists[at].flatMap((series, place) => this.#take(series, place, answer)));
  }

  #know(key) {
    let known = this.#known.get(key);
    if (!known) this.#known.set(key, (known = { members: new Map(), family: null, turn: this.#turn }));
    return known;
  }

  #take(series, place, { time, processes, rest }) {
    const known = this.#know(series.key);
    known.turn = this.#turn;
    const told = processes.map((process) => [process, process.values[place]]);
    if (rest?.[place]) told.push([{ id: "", command: kOthers, pid: 0, state: "unknown" }, rest[place]]);
    const readings = new Map();
    for (const [process, value] of told) {
      let member = known.members.get(process.id);
      // What never had a value here has no line.
      if (!member && value === null) continue;
      if (!member) {
        const { kind, unit, help, aggregate } = series;
        const dimensions = { process: processName(process) };
        member = { key: `${series.key}\n${process.id}`, label: series.label, kind, unit, help, aggregate, dimensions, byProcess: { id: process.id } };
        known.members.set(process.id, member);
        known.family = null;
      }
      member.byProcess.series = series;
      member.byProcess.turn = this.#turn;
      member.ended = process.state === "dead";
      readings.set(member, exactly(value));
    }
    for (const [id, member] of known.members) {
      if (readings.has(member)) continue;
      member.ended = true;
      readings.set(member, null);
      if (this.#turn - member.byProcess.turn <= this.#slots()) continue;
      known.members.delete(id);
      known.family = null;
    }
    return [...readings].map(([member, value]) => [member, value, time]);
  }
}
