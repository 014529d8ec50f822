// Labels -> a tree, split at their dots. Labels are foreign input: any text, of any length, is one.

import { valuesText } from "./families.js";
import { cut } from "./format.js";

// A label of nothing but dots must not make a tree of thousands of levels: what is left over after so many
// parts is the last part.
const kMaxDepth = 24;

export const collator = new Intl.Collator("en", { numeric: true });
const compare = (a, b) => collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);

export function partsOf(label) {
  const parts = label.split(".");
  if (parts.length > kMaxDepth) parts.push(parts.splice(kMaxDepth - 1).join("."));
  return parts;
}

const kEscapes = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

// A label for people: what cannot be seen, or would turn the text around it, is escaped; what is longer than
// `most` is cut.
export function shown(label, most = 200) {
  if (label === "") return "(empty)";
  return cut(label, most).replace(
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (sign) => kEscapes[sign] ?? `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

// The same of several, a line each; empty ones are left out.
export const shownLines = (...texts) =>
  texts
    .filter(Boolean)
    .map((text) => shown(text, 1000))
    .join("\n");

class Branch {
  branches = new Map(); // part -> Branch
  leaves = []; // {part, series}
  sorted = true;
  count = 0; // series below
  search = 0; // the number of the last search that found something here
  hits = 0; // of that search

  // `family`: its leaves are the combinations of this.
  constructor(parent, part, family = null) {
    this.parent = parent;
    this.part = part;
    this.family = family;
    this.depth = parent ? parent.depth + 1 : 0;
    // Names the branch in links. The first part of ".a" is empty, and so is its path.
    this.path = family ? family.key : parent?.parent ? `${parent.path}.${part}` : part;
  }

  sort() {
    if (this.sorted) return;
    this.branches = new Map([...this.branches].sort((a, b) => compare(a[0], b[0])));
    this.leaves.sort((a, b) => compare(a.part, b.part) || compare(a.series.kind, b.series.kind));
    this.sorted = true;
  }
}

// Rows are {branch, open} or {series, part}, with `level` from 1.
export class LabelTree {
  #root = new Branch(null, "");
  #leaves = []; // {part, series, branch, text}
  #search = 0;

  add(series) {
    const family = series.inFamily;
    const parts = partsOf(family ? family.label : series.label);
    const last = parts.pop();
    let branch = this.#root;
    branch.count++;
    for (const part of parts) {
      let next = branch.branches.get(part);
      if (!next) {
        next = new Branch(branch, part);
        branch.branches.set(part, next);
        branch.sorted = false;
      }
      branch = next;
      branch.count++;
    }
    if (family) branch = this.#familyIn(branch, last, family);
    branch.leaves.push({ part: family ? valuesText(series) : last, series });
    branch.sorted = false;
    const values = family ? Object.entries(series.dimensions).map(([name, value]) => ` ${name}=${value}`) : [];
    this.#leaves.push({ series, branch, text: (series.label + values.join("")).toLowerCase() });
  }

  // A branch beside others of the same label.
  #familyIn(branch, part, family) {
    const key = `${part}\0${family.key}`;
    let found = branch.branches.get(key);
    if (!found) {
      found = new Branch(branch, part, family);
      branch.branches.set(key, found);
      branch.sorted = false;
    }
    found.count++;
    return found;
  }

  // The branches that somebody who opens everything with one branch only would open.
  trunk() {
    const paths = [];
    for (let at = this.#root; at.branches.size === 1 && at.leaves.length === 0; ) {
      at = at.branches.values().next().value;
      if (at.family) break;
      paths.push(at.path);
    }
    return paths;
  }

  // All series below a branch that are directly in it.
  static leavesOf(branch) {
    branch.sort();
    return branch.leaves.map((leaf) => leaf.series);
  }

  // What is to be seen: with `words`, series whose label has each of them, and the branches that lead
  // there, but for those in `folded`; without, what hangs on branches in `open`.
  rows(words, open, folded) {
    const searching = words.length > 0;
    let found = this.#leaves.length;
    let hit = () => true;
    if (searching) {
      const hits = this.#find(words);
      found = hits.size;
      hit = (leaf) => hits.has(leaf.series);
    }
    const rows = [];
    const stack = [{ branches: this.#start(this.#root, rows, hit), level: 1 }];
    while (stack.length > 0) {
      const { branches, level } = stack[stack.length - 1];
      const { value: branch, done } = branches.next();
      if (done) {
        stack.pop();
        continue;
      }
      if (searching && branch.search !== this.#search) continue;
      const isOpen = searching ? !folded.has(branch.path) : open.has(branch.path);
      rows.push({ branch, open: isOpen, level, count: searching ? branch.hits : branch.count });
      if (isOpen) stack.push({ branches: this.#start(branch, rows, hit), level: level + 1 });
    }
    return { rows, found, total: this.#leaves.length };
  }

  // Leaves come before branches.
  #start(branch, rows, hit) {
    branch.sort();
    for (const leaf of branch.leaves) {
      if (hit(leaf)) rows.push({ series: leaf.series, part: leaf.part, level: branch.depth + 1 });
    }
    return branch.branches.values();
  }

  #find(words) {
    this.#search++;
    const hits = new Set();
    for (const { series, branch, text } of this.#leaves) {
      if (!words.every((word) => text.includes(word))) continue;
      hits.add(series);
      for (let at = branch; at; at = at.parent) {
        if (at.search !== this.#search) {
          at.search = this.#search;
          at.hits = 0;
        }
        at.hits++;
      }
    }
    return hits;
  }
}
