// The page as a whole: which view is shown, the keys that hold everywhere, and what is still being read.

const KEYS = [
  ["In the list", [["\u2191 \u2193 or k j", "move"], ["Page, Home, End", "move further"], ["Enter", "open the trace"], ["/", "search"]]],
  ["In a trace", [["\u2193 \u2191 or j k", "next and previous step"], ["Home, End", "first and last step"], ["n p", "next and previous trace of the list"], ["g e i", "shade by gain, entropy drop, importance"], ["t", "tokens by entropy"], ["b", "side by side with another run"], ["Esc or u", "back to the list"]]],
  ["Everywhere", [["?", "these keys"]]],
];

class App {
  async start() {
    this.source = source();
    this.list = undefined;
    this.opened = undefined;
    try {
      this.state = await this.source.state();
    } catch (problem) {
      return this.alarm(problem.message);
    }
    this.drawTop();
    this.drawKeys();
    window.addEventListener("hashchange", () => this.show());
    document.addEventListener("keydown", (event) => this.key(event));
    byId("skip").addEventListener("click", () => byId("main").focus());
    byId("help").addEventListener("click", () => byId("keys").showModal());
    byId("home").addEventListener("click", (event) => { event.preventDefault(); this.go(this.listAddress()); });
    await this.show();
    this.follow();
  }

  // What is shown.

  async show() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const here = place();
    if (here.kind === "list") return this.showList(here.query);
    try {
      const datas = await this.load(here);
      if (turn !== this.turn) return;
      this.mount(new TraceView(this, here, datas));
      const { trace } = datas[0][1];
      document.title = `${trace.id} \u00b7 ${datas[0][0].name} \u00b7 entrace`;
      this.opened = datas[0][1].row;
      byId("main").focus({ preventScroll: true });
      scrollTo(0, 0);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.mount({ element: h("div", { class: "empty" }, h("p", { role: "alert" }, problem.message), h("p", {}, h("a", { href: this.listAddress() }, "All traces"))), close() {}, key: () => false });
    }
  }

  async load(here) {
    const run = this.state.runs[here.run];
    if (!run) throw new Problem(`there is no run ${here.run}`);
    const datas = [[run, await this.source.trace(here.run, here.name)]];
    const other = this.state.runs[here.beside];
    if (other) {
      try {
        datas.push([other, await this.source.trace(here.beside, here.name)]);
      } catch (problem) {
        say(`${other.name}: ${problem.message}`);
      }
    }
    return datas;
  }

  showList(query) {
    if (!this.state.runs[query.run]) query.run = 0;
    if (query.other !== undefined && (!this.state.runs[query.other] || query.other === query.run)) query.other = undefined;
    if (!location.hash && this.state.runs.length > 1) query.other = this.otherRun(query.run);
    document.title = `${this.state.runs[query.run].name} \u00b7 entrace`;
    const same = this.list && String(this.list.query.parameters()) === String(query.parameters());
    if (!same) this.list = new List(this, query);
    else this.list.watch.observe(this.list.scroller);
    this.mount(this.list);
    this.drawTop();
    this.list.come(this.opened);
    this.opened = undefined;
  }

  mount(view) {
    this.view?.close();
    this.view = view;
    byId("main").replaceChildren(view.element);
    document.body.classList.toggle("listing", view instanceof List);
  }

  go(address, replace) {
    if (location.hash === address) return this.show();
    if (replace) {
      history.replaceState(null, "", address);
      return this.show();
    }
    location.hash = address.slice(1);
  }

  listAddress() {
    const query = this.list?.query ?? new Query(new URLSearchParams({ run: this.view?.place?.run ?? 0 }));
    return listAddress(query);
  }

  otherRun(run) {
    return this.state.runs.length > 1 ? (run === 0 ? 1 : 0) : undefined;
  }

  /** The next or previous trace of the list. */
  async step(by) {
    const view = this.view;
    const query = this.list?.query ?? new Query(new URLSearchParams({ run: view.place.run }));
    const { position } = await this.source.rows(query, 0, 1, view.main.row.number);
    const to = (position ?? -1) + by;
    if (position === null && by < 0) return;
    const next = to < 0 ? undefined : (await this.source.rows(query, to, 1)).rows[0];
    if (!next) return say(by > 0 ? "This is the last trace of the list." : "This is the first trace of the list.");
    const { shade, tokens } = view;
    this.go(traceAddress(view.place.run, next, { shade, tokens, beside: view.place.beside }));
  }

  // Around it.

  drawTop() {
    const now = place();
    const run = now.kind === "list" ? (this.list?.query.run ?? now.query.run) : now.run;
    const links = this.state.runs.map((one, at) => h("a", { href: listAddress(new Query(new URLSearchParams(this.state.runs.length > 1 ? { run: at, other: this.otherRun(at) } : { run: at }))), class: at === run ? "on" : undefined, "aria-current": at === run ? "true" : undefined }, h("b", {}, one.name), " ", h("span", { class: "note" }, `${modelName(one.model)}, ${one.date}${one.finished ? "" : ", unfinished"}`)));
    byId("runs").replaceChildren(...links);
  }

  drawKeys() {
    const groups = KEYS.map(([title, keys]) => [h("h3", {}, title), h("dl", {}, keys.map(([key, does]) => h("div", {}, h("dt", {}, key), h("dd", {}, does))))]);
    byId("keys").replaceChildren(h("h2", { id: "keys-title" }, "Keys"), ...groups.flat(), h("form", { method: "dialog" }, h("button", {}, "Close")));
  }

  alarm(text) {
    byId("alert").replaceChildren(h("p", {}, text));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "?") byId("keys").showModal();
    else if (this.view instanceof List) {
      const { view } = this;
      const free = [document.body, byId("main")].includes(event.target);
      if (event.key === "/") view.search.focus();
      else if (!free || !view.press(event)) return;
      else if (this.view === view) view.grid.focus({ preventScroll: true });
    } else if (!this.view.key(event)) return;
    event.preventDefault();
  }

  /** Asks how far the reading is, until all is read. */
  async follow() {
    for (;;) {
      const reading = this.state.runs.map((run) => run.progress).filter((progress) => progress.reading);
      const problems = this.state.runs.filter((run) => run.progress.problem);
      if (problems.length) this.alarm(problems.map((run) => `${run.name}: ${run.progress.problem}`).join(" "));
      byId("progress").textContent = reading.length ? `reading ${reading[0].reading} ${Math.floor(100 * reading[0].share)}\u202f%` : "";
      if (reading.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 300));
      const before = JSON.stringify(this.state.runs.map((run) => [run.columns, run.progress.reading === "questions"]));
      try {
        this.state = await this.source.state();
      } catch (problem) {
        return this.alarm(problem.message);
      }
      const after = JSON.stringify(this.state.runs.map((run) => [run.columns, run.progress.reading === "questions"]));
      if (before !== after) this.list?.update();
    }
  }
}

/** A model without the folder that it lies in. */
function modelName(name) {
  return /^([/.~]|[A-Za-z]:)/.test(name) ? name.split(/[/\\]/).filter(Boolean).at(-1) : name;
}

new App().start();
