// Where the data comes from: the server, or the file itself. Both answer the same three questions.

/** Thrown with a sentence for people. */
class Problem extends Error {}

class ServerSource {
  async ask(address) {
    let response;
    try {
      response = await fetch("api/" + address, { cache: "no-store" });
    } catch {
      throw new Problem("The server does not answer. Is `entrace view` still running?");
    }
    const answer = await response.json().catch(() => ({ problem: "The server's answer cannot be read." }));
    if (!response.ok) throw new Problem(answer.problem ?? "The server refused the request.");
    return answer;
  }

  state() {
    return this.ask("state");
  }

  rows(query, from, n, at) {
    const parameters = query.parameters();
    parameters.set("from", from);
    parameters.set("n", n);
    if (at !== undefined) parameters.set("at", at);
    return this.ask("rows?" + parameters);
  }

  trace(run, name) {
    const parameters = new URLSearchParams({ run, task: name.task, id: name.id, sample: name.sample });
    // Plus signs are for forms; the server takes them as they are.
    return this.ask("trace?" + encoded(parameters));
  }
}

function encoded(parameters) {
  return [...parameters].map(([name, value]) => encodeURIComponent(name) + "=" + encodeURIComponent(value)).join("&");
}

/** An exported file: all traces are here, so that filters and sorts are made here too. */
class FileSource {
  constructor(data) {
    this.data = data;
    this.names = data.traces.map((traces) => new Map(traces.map((trace, at) => [nameOf(trace.row), at])));
  }

  async state() {
    return this.data.state;
  }

  async rows(query, from, n, at) {
    const traces = this.data.traces[query.run];
    const columns = this.data.state.runs[query.run].columns.map((column) => column[0]);
    const value = (row, name) => row.values[columns.indexOf(name)];
    const other = (row) => {
      if (query.other === undefined) return undefined;
      const place = this.names[query.other].get(nameOf(row));
      return place === undefined ? undefined : this.data.traces[query.other][place].row;
    };
    let rows = traces.map((trace) => trace.row).filter((row) => query.holds(row, value, other(row)));
    rows = query.sorted(rows, value);
    const position = at === undefined ? null : rows.findIndex((row) => row.number === at);
    const gain = (row) => row.values[columns.indexOf("gain")] ?? null;
    const shown = rows.slice(from, from + n).map((row) => {
      const found = other(row);
      return found ? { ...row, other: { correct: found.correct, answer: found.answer, gain: gain(found) } } : row;
    });
    return { total: traces.length, found: rows.length, from, position: position === -1 ? null : position, columns, rows: shown };
  }

  async trace(run, name) {
    const place = this.names[run]?.get(nameOf(name));
    if (place === undefined) throw new Problem("there is no such trace");
    return this.data.traces[run][place];
  }
}

function nameOf({ task, id, sample }) {
  return JSON.stringify([task, id, Number(sample)]);
}

function source() {
  const data = byId("data");
  return data ? new FileSource(JSON.parse(data.textContent)) : new ServerSource();
}

