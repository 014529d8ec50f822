// Families: series that are one metric, told apart by the values of its dimensions.

// Of series that share label, kind, unit and names of dimensions. `key` names it in links.
export class Family {
  members = [];

  constructor(key, series) {
    this.key = key;
    this.label = series.family;
    this.kind = series.kind;
    this.unit = series.unit;
    this.help = series.help;
    this.names = Object.keys(series.dimensions);
  }

  // How often each value of a dimension is there, by value.
  valuesOf(name) {
    const values = new Map();
    for (const { dimensions } of this.members) values.set(dimensions[name], (values.get(dimensions[name]) ?? 0) + 1);
    return values;
  }
}

// What families may share but for their unit.
const withoutUnit = ({ kind, family, dimensions }) => `${kind}:${family}{${Object.keys(dimensions).join(",")}}`;

// No name of a dimension has a brace, and no unit that is escaped.
export const familyKey = (series) => withoutUnit(series) + encodeURIComponent(series.unit);

// web.responses{method="GET",status="404"}; `ending`: of the family's label.
export const fullName = ({ label, family, dimensions }, ending = "") =>
  dimensions
    ? `${family}${ending}{${Object.entries(dimensions)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join(",")}}`
    : label + ending;

export const valuesText = ({ dimensions }) => Object.values(dimensions).join(" · ");

// By key, as series come.
export class Families {
  #byKey = new Map();
  #anyUnit = new Map(); // the first one, by its key without a unit

  add(series) {
    if (!series.dimensions) return;
    const key = familyKey(series);
    let family = this.#byKey.get(key);
    if (!family) {
      this.#byKey.set(key, (family = new Family(key, series)));
      const any = withoutUnit(series);
      if (!this.#anyUnit.has(any)) this.#anyUnit.set(any, family);
    }
    family.members.push(series);
    series.inFamily = family;
  }

  // A link may leave the unit out.
  find(key) {
    return this.#byKey.get(key) ?? this.#anyUnit.get(key);
  }

  clear() {
    this.#byKey.clear();
    this.#anyUnit.clear();
  }
}
