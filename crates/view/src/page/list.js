// The list of traces: filters, a table of any length, and its keys. Only the rows in sight are in the page.

const ROW = 38;
const TALLEST = 6_000_000;
const PAGE = 100;
const MAIN_COLUMNS = ["steps", "lock_in", "gain", "final_entropy"];

class List {
  constructor(app, query) {
    this.app = app;
    this.query = query;
    this.pages = new Map();
    this.active = 0;
    this.found = 0;
    this.signal = undefined;
    this.build();
    this.refresh();
  }

  get run() {
    return this.app.state.runs[this.query.run];
  }

  build() {
    this.count = h("p", { class: "count", id: "count" });
    this.filters = h("form", { class: "filters", role: "search", "aria-label": "Filter the traces", onsubmit: (event) => event.preventDefault() });
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.space = h("div", { class: "space", role: "presentation" }, this.body);
    this.scroller = h("div", { class: "scroller", role: "presentation", onscroll: () => this.scrolled() }, h("div", { class: "heads", role: "rowgroup" }, this.head), this.space);
    this.grid = h("div", { class: "grid", role: "grid", tabindex: 0, "aria-label": "Traces", "aria-describedby": "count", onkeydown: (event) => event.target === this.grid && this.press(event), onfocus: () => this.render() }, this.scroller);
    this.element = h("div", { class: "list" }, h("h1", { class: "unseen" }, "Traces"), this.filters, this.count, this.grid);
    this.buildFilters();
    this.watch = new ResizeObserver(() => this.render());
    this.watch.observe(this.scroller);
  }

  close() {
    this.watch.disconnect();
  }

  // Filters.

  buildFilters() {
    const { query } = this;
    const changed = () => this.change();
    const select = (name, label, options) => labelled(label, h("select", { onchange: (event) => { query[name] = event.target.value || undefined; changed(); } }, options.map(([value, text]) => h("option", { value, selected: (query[name] ?? "") === value }, text))));
    let waiting;
    this.search = h("input", { type: "search", value: query.text ?? "", placeholder: "question, name, answer", spellcheck: "false", oninput: (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { query.text = event.target.value || undefined; changed(); }, 50);
    }, onkeydown: (event) => {
      if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); this.grid.focus(); }
    } });
    const runs = this.app.state.runs;
    const tasks = this.run.tasks;
    const fields = [
      labelled("Search", this.search, "/"),
      tasks.length > 1 && select("task", "Task", [["", "all"], ...tasks.map((task) => [task, task])]),
      select("verdict", "Verdict", [["", "any"], ["right", "right"], ["wrong", "wrong"], ["none", "no verdict"]]),
      select("outcome", "Measured", [["", "any"], ["measured", "measured"], ["skipped", "skipped"], ["failed", "failed"]]),
      select("locked", "Lock-in", [["", "any"], ["yes", "locks in"], ["no", "never"]]),
      runs.length > 1 && this.otherSelect(),
      query.other !== undefined && select("change", "Verdict there", [["", "any"], ["differs", "differs"], ["better", "wrong here, right there"], ["worse", "right here, wrong there"]]),
      this.rangeFields(),
      h("button", { type: "button", class: "quiet", onclick: () => this.app.go(listAddress(new Query(new URLSearchParams({ run: query.run })))) }, "Reset"),
    ];
    this.filters.replaceChildren(...fields.filter(Boolean));
  }

  otherSelect() {
    const { query } = this;
    const runs = this.app.state.runs.map((run, at) => [String(at), run.name]).filter(([at]) => Number(at) !== query.run);
    const options = [["", "none"], ...runs].map(([value, text]) => h("option", { value, selected: String(query.other ?? "") === value }, text));
    return labelled("Beside", h("select", { onchange: (event) => {
      query.other = event.target.value === "" ? undefined : Number(event.target.value);
      query.change = undefined;
      this.change();
      this.buildFilters();
    } }, options));
  }

  /** Bounds of one column, which a select names. */
  rangeFields() {
    const { query } = this;
    const columns = this.run.columns;
    const bounded = [...query.min.keys(), ...query.max.keys()][0];
    let column = bounded ?? this.ranged ?? "gain";
    const bound = (bounds, label) => h("input", { type: "number", step: "any", "aria-label": `${label} of the range`, placeholder: label, value: bounds.get(column) ?? "", oninput: (event) => {
      bounds.clear();
      if (event.target.value !== "") bounds.set(column, Number(event.target.value));
      this.change();
    } });
    const select = h("select", { "aria-label": "Column of the range", onchange: (event) => {
      column = this.ranged = event.target.value;
      for (const bounds of [query.min, query.max]) {
        const value = [...bounds.values()][0];
        bounds.clear();
        if (value !== undefined) bounds.set(column, value);
      }
      this.change();
    } }, columns.map(([name, label]) => h("option", { value: name, selected: name === column }, label)));
    return h("fieldset", { class: "range" }, h("legend", {}, "Range"), select, bound(query.min, "from"), bound(query.max, "to"));
  }

  /** The query changed: another list, under another address. */
  change() {
    history.replaceState(null, "", listAddress(this.query));
    this.active = 0;
    this.scroller.scrollTop = 0;
    this.refresh().then(() => say(this.count.textContent));
  }

  /** Columns that arrived since. */
  update() {
    if (!this.filters.contains(document.activeElement)) this.buildFilters();
    this.refresh();
  }

  // Columns and rows.

  columns() {
    const known = new Map(this.run.columns);
    const rest = [...known.keys()].filter((name) => !MAIN_COLUMNS.includes(name));
    if (!known.has(this.signal)) this.signal = rest.find((name) => name.startsWith("signal:")) ?? rest.find((name) => name === "token_entropy") ?? rest[0];
    return { known, rest };
  }

  buildHead() {
    const { known, rest } = this.columns();
    const label = { steps: "Steps", lock_in: "Lock-in", gain: "Gain", final_entropy: "H end" };
    const heads = [
      this.sorter("verdict", h("span", {}, h("span", { "aria-hidden": "true" }, "\u2713"), h("span", { class: "unseen" }, "Verdict")), "c-mark"),
      this.sorter("question", "Question", "c-question"),
      this.sorter("answer", "Answer", "c-answer"),
      h("div", { role: "columnheader", class: "cell c-answer" }, "Target"),
      h("div", { role: "columnheader", class: "cell c-spark" }, "Entropy"),
      ...MAIN_COLUMNS.map((name) => this.sorter(name, label[name], "c-number", !known.has(name))),
    ];
    if (this.signal) {
      const select = h("select", { "aria-label": "Last column", onchange: (event) => { this.signal = event.target.value; this.buildHead(); this.render(true); } }, rest.map((name) => h("option", { value: name, selected: name === this.signal }, known.get(name))));
      heads.push(h("div", { role: "columnheader", class: "cell c-signal", "aria-sort": this.sortOf(this.signal) }, select, this.sortButton(this.signal, "", known.get(this.signal))));
    }
    if (this.query.other !== undefined) heads.push(h("div", { role: "columnheader", class: "cell c-other" }, this.app.state.runs[this.query.other].name));
    this.head.replaceChildren(...heads);
    this.grid.setAttribute("aria-colcount", heads.length);
    this.grid.classList.toggle("with-other", this.query.other !== undefined);
  }

  sortOf(name) {
    if (this.query.sort === name) return "ascending";
    return this.query.sort === "-" + name ? "descending" : undefined;
  }

  sorter(name, label, kind, missing) {
    if (missing) return h("div", { role: "columnheader", class: "cell " + kind, title: "being read" }, label, " \u2026");
    return h("div", { role: "columnheader", class: "cell " + kind, "aria-sort": this.sortOf(name) }, this.sortButton(name, label));
  }

  sortButton(name, label, spoken) {
    const now = this.sortOf(name);
    const sign = { ascending: "\u2191", descending: "\u2193" }[now] ?? "\u2195";
    return h("button", { type: "button", class: "sort" + (now ? " on" : ""), "aria-label": spoken ? `Sort by ${spoken}` : undefined, onclick: () => {
      const text = ["question", "answer", "verdict"].includes(name);
      const first = text ? name : "-" + name;
      const second = text ? "-" + name : name;
      this.query.sort = this.query.sort === first ? second : this.query.sort === second ? undefined : first;
      this.change();
      this.grid.focus();
    } }, label, h("span", { class: "arrow", "aria-hidden": "true" }, sign));
  }

  async refresh() {
    this.pages.clear();
    this.buildHead();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const from = Math.floor(this.first() / PAGE) * PAGE;
    const answer = await this.ask(from);
    if (!answer || turn !== this.turn) return;
    this.found = answer.found;
    this.pages.set(from / PAGE, answer);
    this.count.textContent = answer.found === answer.total ? count(answer.total, "trace") : `${thousands(answer.found)} of ${count(answer.total, "trace")}`;
    this.active = Math.min(this.active, Math.max(0, this.found - 1));
    this.render(true);
  }

  async ask(from) {
    try {
      return await this.app.source.rows(this.query, from, PAGE);
    } catch (problem) {
      this.body.replaceChildren(h("p", { class: "empty", role: "alert" }, problem.message));
      return undefined;
    }
  }

  async load(page) {
    const { turn } = this;
    this.pages.set(page, null);
    const answer = await this.ask(page * PAGE);
    if (!answer || turn !== this.turn) return;
    this.pages.set(page, answer);
    this.render(true);
  }

  row(at) {
    const page = Math.floor(at / PAGE);
    const answer = this.pages.get(page);
    if (answer === undefined && at < this.found) this.load(page);
    return answer?.rows[at - page * PAGE];
  }

  // Scrolling: beyond a height that browsers can do, a pixel stands for more than one.

  geometry() {
    const height = this.found * ROW;
    const shown = this.scroller.clientHeight - this.head.offsetHeight;
    const space = Math.min(height, TALLEST);
    const scale = space > shown ? (height - shown) / (space - shown) : 1;
    return { height, shown, space, scale };
  }

  first() {
    return Math.floor((this.scroller.scrollTop * this.geometry().scale) / ROW);
  }

  scrolled() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  render(anew) {
    const { shown, space, scale } = this.geometry();
    this.space.style.setProperty("height", space + "px");
    const top = this.scroller.scrollTop * scale;
    const first = Math.max(0, Math.floor(top / ROW) - 4);
    const last = Math.min(this.found, Math.ceil((top + shown) / ROW) + 4);
    this.body.style.setProperty("transform", `translateY(${first * ROW - top + this.scroller.scrollTop}px)`);
    if (!anew && this.drawn === `${first}-${last}-${this.active}-${this.turn}`) return;
    this.drawn = `${first}-${last}-${this.active}-${this.turn}`;
    this.grid.setAttribute("aria-rowcount", this.found + 1);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.drawRow(at));
    if (this.found === 0) rows.push(h("div", { class: "empty", role: "row" }, h("div", { role: "gridcell" }, this.query.narrows ? "No trace fits these filters." : "This run has no traces yet.")));
    this.body.replaceChildren(...rows);
    if (this.found) this.grid.setAttribute("aria-activedescendant", "row-" + this.active);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  drawRow(at) {
    const row = this.row(at);
    const cell = (kind, ...children) => h("div", { role: "gridcell", class: "cell " + kind }, ...children);
    const properties = { class: "row" + (at === this.active ? " active" : ""), role: "row", id: "row-" + at, "aria-rowindex": at + 2, "aria-selected": String(at === this.active), onclick: () => { this.active = at; this.open(); } };
    if (!row) return h("div", properties, cell("c-question wait", "\u2026"));
    const columns = this.pages.get(Math.floor(at / PAGE)).columns;
    const number = (name) => row.values[columns.indexOf(name)];
    const digits = (name) => (["steps", "tokens"].includes(name) ? 0 : 2);
    const cells = [
      cell("c-mark", row.outcome === "measured" ? mark(row.correct) : h("span", { class: "tag", title: row.outcome }, row.outcome)),
      cell("c-question", h("a", { href: traceAddress(this.query.run, row, { beside: this.query.other }), tabindex: -1, dir: "auto", onclick: (event) => event.stopPropagation() }, h("span", { class: "id" }, this.label(row)), " ", row.question ?? "")),
      cell("c-answer", h("bdi", {}, row.answer === "[invalid]" ? "not readable" : (row.answer ?? NONE))),
      cell("c-answer", h("bdi", {}, row.target ?? NONE)),
      cell("c-spark", spark(row.curve)),
      ...MAIN_COLUMNS.map((name) => cell("c-number", decimal(number(name), digits(name)))),
    ];
    if (this.signal) cells.push(cell("c-signal", decimal(number(this.signal), this.signal === "tokens" ? 0 : 3)));
    if (this.query.other !== undefined) cells.push(cell("c-other", row.other ? [mark(row.other.correct), " ", signed(row.other.gain)] : NONE));
    return h("div", properties, ...cells);
  }

  label(row) {
    const task = this.run.tasks.length > 1 ? row.task + " " : "";
    return task + row.id + (row.sample > 0 ? "\u202f#" + (row.sample + 1) : "");
  }

  // Keys.

  /** Takes a key, and says whether it means something here. */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const page = Math.max(1, Math.floor(this.geometry().shown / ROW) - 1);
    const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      this.move(Math.min(this.found - 1, Math.max(0, this.active + moves[event.key])));
    } else if (event.key === "Enter") {
      this.open();
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  move(to) {
    if (this.found === 0) return;
    this.active = to;
    const { shown, scale } = this.geometry();
    const top = this.scroller.scrollTop * scale;
    if (to * ROW < top) this.scroller.scrollTop = (to * ROW) / scale;
    else if ((to + 1) * ROW > top + shown) this.scroller.scrollTop = ((to + 1) * ROW - shown) / scale;
    this.render(true);
  }

  open() {
    const row = this.row(this.active);
    if (row) this.app.go(traceAddress(this.query.run, row, { beside: this.query.other }));
  }

  /** Shows the trace that was looked at, when one comes back to the list. */
  async come(row) {
    if (row) {
      const answer = await this.app.source.rows(this.query, 0, 1, row.number).catch(() => undefined);
      if (answer?.position !== null && answer?.position !== undefined) {
        this.found = answer.found;
        this.move(answer.position);
      }
      this.grid.focus({ preventScroll: true });
    }
  }
}

function labelled(text, control, key) {
  return h("label", {}, h("span", {}, text, key && h("kbd", {}, key)), control);
}

