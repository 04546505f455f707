// What is looked at stands in the address after `#`, so that a link leads to a list or a trace as it is.

/** Which traces a list has, and in which order. */
class Query {
  constructor(parameters = new URLSearchParams()) {
    const get = (name) => parameters.get(name) || undefined;
    this.run = Number(get("run") ?? 0);
    this.other = get("other") === undefined ? undefined : Number(get("other"));
    for (const name of Query.WORDS) this[name] = get(name);
    this.min = Query.bounds(parameters.getAll("min"));
    this.max = Query.bounds(parameters.getAll("max"));
  }

  static WORDS = ["text", "task", "verdict", "outcome", "locked", "change", "sort"];

  static bounds(texts) {
    return new Map(texts.map((text) => [text.slice(0, text.lastIndexOf(":")), Number(text.slice(text.lastIndexOf(":") + 1))]));
  }

  parameters() {
    const parameters = new Parameters();
    parameters.set("run", this.run);
    if (this.other !== undefined) parameters.set("other", this.other);
    for (const name of Query.WORDS) if (this[name] !== undefined) parameters.set(name, this[name]);
    for (const [column, bound] of this.min) parameters.add("min", `${column}:${bound}`);
    for (const [column, bound] of this.max) parameters.add("max", `${column}:${bound}`);
    return parameters;
  }

  /** Whether anything is left out. */
  get narrows() {
    const words = Query.WORDS.filter((name) => name !== "sort" && this[name] !== undefined);
    return words.length + this.min.size + this.max.size > 0;
  }

  /** Whether a row belongs to the list; used where the data is in the file. */
  holds(row, value, other) {
    const verdict = { right: true, wrong: false, none: null }[this.verdict];
    if (this.verdict && row.correct !== verdict) return false;
    if (this.task && row.task !== this.task) return false;
    if (this.outcome && row.outcome !== this.outcome) return false;
    if (this.locked && (value(row, "lock_in") !== null) !== (this.locked === "yes")) return false;
    if (this.change) {
      const [here, there] = [row.correct, other?.correct ?? null];
      if (here === null || there === null || here === there) return false;
      if (this.change === "better" && here) return false;
      if (this.change === "worse" && !here) return false;
    }
    for (const [column, bound] of this.min) if (!(value(row, column) >= bound) || value(row, column) === null) return false;
    for (const [column, bound] of this.max) if (!(value(row, column) <= bound) || value(row, column) === null) return false;
    if (!this.text) return true;
    const text = this.text.toLowerCase();
    return [row.question, row.id, row.answer, row.target].some((candidate) => candidate?.toLowerCase().includes(text));
  }

  /** Rows in the order of the list; those without a value last, equals as they stand. */
  sorted(rows, value) {
    if (!this.sort) return rows;
    const descending = this.sort.startsWith("-");
    const name = descending ? this.sort.slice(1) : this.sort;
    const key = {
      question: (row) => row.id,
      verdict: (row) => (row.correct === null ? null : Number(row.correct)),
      answer: (row) => row.answer,
    }[name] ?? ((row) => value(row, name) ?? null);
    const keyed = rows.map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return (a < b ? -1 : a > b ? 1 : 0) * (descending ? -1 : 1);
    });
    return keyed.map(([, row]) => row);
  }
}

/** Names and values as the server and the address take them. */
class Parameters {
  pairs = [];

  set(name, value) {
    this.pairs = this.pairs.filter(([known]) => known !== name);
    this.add(name, value);
  }

  add(name, value) {
    this.pairs.push([name, String(value)]);
  }

  toString() {
    return this.pairs.map(([name, value]) => encodeURIComponent(name) + "=" + encodeURIComponent(value)).join("&");
  }
}

/** The place that the address names: a list, or a trace with how it is shown. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parameters = new URLSearchParams(query.replaceAll("+", "%2B"));
  if (path !== "/trace") return { kind: "list", query: new Query(parameters) };
  const number = (name, otherwise) => (parameters.get(name) === null ? otherwise : Number(parameters.get(name)));
  return {
    kind: "trace",
    run: number("run", 0),
    name: { task: parameters.get("task") ?? "", id: parameters.get("id") ?? "", sample: number("sample", 0) },
    step: number("step", undefined),
    shade: parameters.get("shade") ?? undefined,
    tokens: parameters.get("tokens") === "1",
    beside: number("beside", undefined),
  };
}

function listAddress(query) {
  return "#/?" + query.parameters();
}

function traceAddress(run, { task, id, sample }, shown = {}) {
  const parameters = new Parameters();
  const all = { run, task, id, sample, ...shown };
  for (const [name, value] of Object.entries(all)) if (value !== undefined && value !== false) parameters.set(name, value === true ? 1 : value);
  return "#/trace?" + parameters;
}

