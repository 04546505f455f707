// One trace: its question, its text step by step, the curve beside it, and what was believed at the step that one looks at.

const SHADES = {
  gain: { key: "g", name: "gain", legend: "what the step brought towards the target (nats)", share: (value) => Math.log1p(value) / Math.log1p(8) },
  drop: { key: "e", name: "entropy drop", legend: "how much the step lowered the entropy (nats)", share: (value) => Math.log1p(value) / Math.log1p(3) },
  importance: { key: "i", name: "importance", legend: "how far belief moves when the step is changed (total variation)", share: (value) => value },
};
const TOKEN_SCALE = 3;

/** One run's trace of the question. */
class TracePanel {
  constructor(run, data, onstep) {
    this.run = run;
    this.trace = data.trace;
    this.row = data.row;
    this.own = this.trace.curves[0];
    this.onstep = onstep;
    this.figure = figure(this.trace, (step, chosen) => onstep(this, step, chosen));
    this.belief = h("section", { class: "belief", "aria-label": `Belief in ${run.name}` });
    this.items = new Map();
    this.stepList = h("ol", { class: "steps" }, this.stepItems());
  }

  get last() {
    return this.trace.steps.at(-1)?.step ?? 0;
  }

  /** Values by which steps are shaded: by step, undefined where there is none. */
  values(shade) {
    const points = new Map((this.own?.points ?? []).map((point) => [point.step, point]));
    const before = (step) => points.get(step - 1);
    if (shade === "importance") return new Map(importance(this.trace).map(({ step, tv }) => [step, tv]));
    const change = {
      gain: (a, b) => difference(b.gain, a.gain),
      drop: (a, b) => difference(a.entropy, b.entropy),
    }[shade];
    const steps = this.trace.steps.map(({ step }) => step);
    return new Map(steps.map((step) => [step, before(step) && points.get(step) ? change(before(step), points.get(step)) : undefined]));
  }

  shades() {
    const found = ["drop"];
    if (this.own?.points.some((point) => isNumber(point.gain))) found.unshift("gain");
    if (importance(this.trace).length) found.push("importance");
    return found;
  }

  stepItems() {
    const alone = this.item(0, [h("span", { class: "note" }, "the question alone")]);
    const items = this.trace.steps.map((step) => this.item(step.step, []));
    return [alone, ...items];
  }

  item(step, words) {
    const gutter = h("span", { class: "gutter" }, h("span", { class: "k" }, String(step)), h("span", { class: "value" }));
    const text = h("span", { class: "words", dir: "auto" }, words);
    const hear = (chosen) => () => this.onstep(this, step, chosen);
    const button = h("div", { class: "step", role: "button", tabindex: -1, "aria-label": undefined, onpointerenter: hear(false), onfocus: hear(false), onclick: hear(true) }, gutter, text);
    const item = h("li", {}, button);
    this.items.set(step, { item, button, gutter, text });
    return item;
  }

  /** Draws texts and shades. */
  draw(shade, tokens) {
    const values = this.values(shade);
    for (const step of this.trace.steps) {
      const { button, gutter, text } = this.items.get(step.step);
      const value = values.get(step.step);
      const share = isNumber(value) ? Math.min(1, SHADES[shade].share(Math.abs(value))) : 0;
      button.classList.toggle("brings", share > 0 && value > 0);
      button.classList.toggle("takes", share > 0 && value < 0);
      button.style.setProperty("--share", share.toFixed(3));
      gutter.querySelector(".value").textContent = value === undefined ? "" : shade === "importance" ? decimal(value) : signed(value);
      const words = trimmed(step.tokens);
      text.replaceChildren(...(tokens ? words.map((word, i) => token(word, step.entropies[i], step.logprobs[i])) : [document.createTextNode(clean(words.join("")))]));
    }
  }

  /** Shows the belief after a step. */
  show(step) {
    this.figure.show(step);
    for (const [at, { button }] of this.items) {
      button.classList.toggle("now", at === step);
      button.tabIndex = at === step ? 0 : -1;
      if (at === step) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    this.belief.replaceChildren(...this.beliefs(step));
  }

  beliefs(step) {
    const parts = [h("h2", { class: "small" }, step === 0 ? "Before any step" : `After step ${step}`)];
    const [own, ...others] = this.trace.curves.filter((curve) => curve.control === "none" && curve.cue === 0);
    for (const curve of [own, ...others]) {
      const point = curve?.points.find((candidate) => candidate.step === step);
      if (point) parts.push(answersOf(point, curve, this.trace.target, curve === own));
    }
    if (parts.length === 1) parts.push(h("p", { class: "note" }, "Belief was not measured here."));
    const decision = this.trace.decisions.find((candidate) => candidate.step === step);
    if (decision) parts.push(h("p", { class: "note" }, `The stopping rule: ${decision.decision} (${decimal(decision.stop_value, 3)})`));
    const changes = this.trace.changes.filter((change) => change.step === step);
    if (changes.length) parts.push(changesTable(changes));
    return parts;
  }

  spoken(step) {
    const point = this.own?.points.find((candidate) => candidate.step === step);
    if (!point) return `Step ${step}.`;
    const gain = isNumber(point.gain) ? `, gain ${signed(point.gain)}` : "";
    return `Step ${step} of ${this.last}: entropy ${decimal(point.entropy)}${gain}, leading answer ${point.leader} at ${probability(point.leader_prob)}.`;
  }

  // Parts of the page.

  facts() {
    const { trace } = this;
    const facts = [
      ["Answer", trace.answer === "[invalid]" ? "not readable" : (trace.answer ?? NONE)],
      ["Target", trace.target ?? NONE],
      ["Steps", `${trace.n_steps}, ${count(trace.n_trace_tokens, "token")}`],
      ["Lock-in", trace.lock_in_step === null ? "never" : `step ${trace.lock_in_step}`],
      ["Gain", isNumber(this.own?.points.at(-1)?.gain) ? `${signed(this.own.points.at(-1).gain)} nats` : NONE],
      ["Ended", trace.stop_reason ?? NONE],
    ];
    return h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value))));
  }

  tags() {
    const { trace } = this;
    return [tag(trace.correct), trace.outcome !== "measured" && h("span", { class: "tag" }, trace.outcome), trace.reason && h("p", { class: "note" }, trace.reason)];
  }

  text() {
    const { trace } = this;
    const parts = [this.stepList];
    if (trace.n_hidden_steps) parts.push(h("p", { class: "note" }, `${count(trace.n_hidden_steps, "further step")} are not shown.`));
    if (trace.rest.trim()) parts.push(h("h2", { class: "small" }, trace.steps.length ? "What follows the steps" : "Completion"), h("div", { class: "said", dir: "auto" }, trace.rest.trim()));
    return parts;
  }

  more() {
    const { trace } = this;
    const parts = [];
    if (this.own) parts.push(h("details", {}, h("summary", {}, "Numbers at each step"), numbers(this.own)));
    if (trace.signals.length) parts.push(h("details", {}, h("summary", {}, "Signals"), table(["signal", "value"], trace.signals.map((signal) => [signal.name, signal.value === null ? (signal.reason ?? NONE) : decimal(signal.value, 4)]))));
    if (trace.prompt) parts.push(h("details", {}, h("summary", {}, "Prompt"), h("div", { class: "said", dir: "auto", role: "region", tabindex: 0, "aria-label": "Prompt" }, trace.prompt)));
    return parts;
  }
}

/** Words without the space around them all: each keeps its place. */
function trimmed(words) {
  const first = words.findIndex((word) => word.trim());
  const last = words.findLastIndex((word) => word.trim());
  return words.map((word, i) => (i < first || i > last ? "" : i === first && i === last ? word.trim() : i === first ? word.trimStart() : i === last ? word.trimEnd() : word));
}

function difference(a, b) {
  return isNumber(a) && isNumber(b) ? a - b : undefined;
}

/** What a change of each step did: by rollouts of a step drawn anew, else the step left out, else the largest there is. */
function importance(trace) {
  const known = trace.changes.filter((change) => isNumber(change.tv) && change.step > 0);
  const ways = [
    (change) => change.kind === "resample" && change.variant === "" && change.reading === "rollout",
    (change) => change.kind === "delete" && change.reading === "forced",
    (change) => ["corrupt", "filler", "swap"].includes(change.kind) && change.reading === "forced",
  ];
  return ways.map((way) => known.filter(way)).find((found) => found.length) ?? [];
}

function token(word, entropy, logprob) {
  if (!isNumber(entropy)) return document.createTextNode(clean(word));
  const share = Math.min(1, entropy / TOKEN_SCALE);
  return h("span", { class: "token", style: { "--share": share.toFixed(3) }, title: `entropy ${decimal(entropy)} nats, ln p ${decimal(logprob)}` }, word);
}

/** A belief: its entropy with the interval, its gain, and its answers as bars. */
function answersOf(point, curve, target, main) {
  const answers = point.answers.length ? point.answers : [[point.leader, point.leader_prob]];
  const few = main ? answers.slice(0, 6) : answers.slice(0, 3);
  const found = answers.find(([answer]) => answer === target);
  if (found && !few.includes(found)) few.push(found);
  const missing = target !== null && !found && isNumber(point.target_logprob);
  const drawn = point.n_samples !== null;
  if (missing) few.push([target, drawn ? 0 : Math.exp(point.target_logprob)]);
  const bars = few.map(([answer, prob]) => h("div", { class: "bar" + (answer === target ? " target" : "") },
    h("i", { style: { width: `${Math.min(100, 100 * (isNumber(prob) ? prob : 0)).toFixed(1)}%` }, "aria-hidden": "true" }),
    h("bdi", {}, answer === "[invalid]" ? "not readable" : answer), answer === target && h("span", { class: "hit" }, " \u2713", h("span", { class: "unseen" }, " target")), h("span", { class: "prob" }, probability(prob))));
  const heading = [curve.estimator, point.n_samples !== null && ` of ${point.n_samples} draws`];
  const rest = isNumber(point.residual) && point.residual >= 0.0005 ? `${probability(point.residual)} not explored` : null;
  const others = answers.length - few.length + point.n_more;
  const smoothed = missing && drawn && `the target was not drawn, and is smoothed to ${probability(Math.exp(point.target_logprob))}`;
  const notes = [others > 0 && count(others, "other answer"), rest, smoothed].filter(Boolean);
  return h("div", { class: "answers" }, h("p", { class: "sum" }, main ? "" : heading, main ? "" : ": ", "H ", h("b", {}, decimal(point.entropy)), " ", h("span", { class: "ci" }, `[${decimal(point.lower)}, ${decimal(point.upper)}]`), isNumber(point.gain) && [", g ", h("b", {}, signed(point.gain))]), bars, notes.length > 0 && h("p", { class: "note" }, notes.join(", ")));
}

function changesTable(changes) {
  const rows = changes.map((change) => [
    [change.kind, change.variant && ` ${change.variant}`],
    change.reading,
    change.tv === null ? h("span", { title: change.reason }, NONE) : [decimal(change.tv), isNumber(change.noise_floor) && h("span", { class: "ci" }, ` floor ${decimal(change.noise_floor)}`)],
    change.target_change === null ? NONE : signed(change.target_change),
    change.leader !== null && change.leader !== change.leader_before ? h("bdi", {}, `${change.leader_before} \u2192 ${change.leader}`) : "same",
  ]);
  return h("div", { class: "changes" }, h("h3", {}, "When the step is changed"), table(["change", "reading", "moves", "\u0394p target", "leader"], rows));
}

function numbers(own) {
  const rows = own.points.map((point) => [
    String(point.step),
    String(point.n_tokens),
    [decimal(point.entropy), " ", h("span", { class: "ci" }, `[${decimal(point.lower)}, ${decimal(point.upper)}]`)],
    signed(point.gain),
    h("bdi", {}, point.leader),
    probability(point.leader_prob),
  ]);
  return table(["step", "tokens", "H", "g", "leader", "p"], rows);
}

function table(heads, rows) {
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": heads.join(", ") }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}

/** The page of a trace, in one run or two side by side. */
class TraceView {
  constructor(app, place, datas) {
    this.app = app;
    this.place = place;
    this.panels = datas.map(([run, data]) => new TracePanel(run, data, (panel, step, chosen) => this.hear(panel, step, chosen)));
    const shades = this.shades();
    this.shade = shades.includes(place.shade) ? place.shade : shades[0];
    this.tokens = place.tokens;
    this.build();
    this.draw();
    this.show(Math.min(place.step ?? this.main.last, this.main.last));
  }

  get main() {
    return this.panels[0];
  }

  shades() {
    return Object.keys(SHADES).filter((shade) => this.panels.some((panel) => panel.shades().includes(shade)));
  }

  close() {
    clearTimeout(this.remembering);
  }

  build() {
    const { trace } = this.main;
    const pair = this.panels.length > 1;
    this.controls = h("div", { class: "controls", role: "toolbar", "aria-label": "How the trace is shown" });
    const columns = this.panels.map((panel) => h("article", { class: "panel", "aria-label": `In ${panel.run.name}` },
      pair && h("h2", {}, panel.run.name, " ", panel.tags()),
      h("div", { class: "beside", role: "region", tabindex: 0, "aria-label": "Curves and belief" }, panel.figure.element, panel.belief),
      h("div", { class: "text" }, pair && panel.facts(), panel.text(), panel.more())));
    const to = (by) => h("button", { type: "button", class: "quiet", onclick: () => this.app.step(by) }, by < 0 ? "\u2190 Previous" : "Next \u2192", " ", h("kbd", {}, by < 0 ? "p" : "n"));
    this.element = h("div", { class: "trace" + (pair ? " pair" : "") },
      h("nav", { class: "crumbs", "aria-label": "Traces" }, h("a", { href: this.app.listAddress(), class: "back" }, "All traces ", h("kbd", {}, "esc")), h("span", { class: "spacer" }), to(-1), to(1)),
      h("header", { class: "title" },
        h("p", { class: "kicker" }, `${trace.task}${trace.sample > 0 ? `, trace ${trace.sample + 1}` : ""}`),
        h("h1", { dir: "auto" }, trace.id, " ", !pair && this.main.tags()),
        h("div", { class: "said question", dir: "auto" }, trace.question),
        choicesOf(trace),
        !pair && this.main.facts()),
      this.controls,
      h("div", { class: "panels-of-runs" }, columns));
    for (const panel of this.panels) panel.stepList.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.target.click(); }
    });
  }

  drawControls() {
    const shadeButton = (shade) => h("button", { type: "button", "aria-pressed": String(shade === this.shade), onclick: () => this.setShade(shade) }, SHADES[shade].name, " ", h("kbd", {}, SHADES[shade].key));
    const parts = [
      h("span", { class: "group", role: "group", "aria-label": "Shade steps by" }, h("span", { class: "note" }, "Shade"), this.shades().map(shadeButton)),
      h("button", { type: "button", "aria-pressed": String(this.tokens), onclick: () => this.setTokens(!this.tokens) }, "tokens by entropy ", h("kbd", {}, "t")),
      this.app.state.runs.length > 1 && h("button", { type: "button", "aria-pressed": String(this.panels.length > 1), onclick: () => this.toggleBeside() }, "side by side ", h("kbd", {}, "b")),
      h("span", { class: "scale" }, h("span", { class: "ramp", "aria-hidden": "true" }), SHADES[this.shade].legend),
    ];
    const focused = [...this.controls.querySelectorAll("button")].indexOf(document.activeElement);
    this.controls.replaceChildren(...parts.filter(Boolean));
    if (focused >= 0) this.controls.querySelectorAll("button")[focused]?.focus();
  }

  draw() {
    this.drawControls();
    this.controls.classList.toggle("one-sided", this.shade === "importance");
    for (const panel of this.panels) panel.draw(this.shade, this.tokens);
  }

  hear(panel, step, chosen) {
    const main = panel === this.main ? step : this.translated(step, panel, this.main);
    if (main !== this.step) this.show(main);
    if (chosen) reveal(panel.items.get(step)?.button ?? panel.stepList);
  }

  /** The step of another trace at the same relative depth. */
  translated(step, from, to) {
    return from.last === 0 ? 0 : Math.round((step / from.last) * to.last);
  }

  show(step) {
    this.step = step;
    for (const panel of this.panels) panel.show(panel === this.main ? step : this.translated(step, this.main, panel));
    this.remember();
  }

  /** Puts what is shown into the address; not at every move of the pointer, which browsers forbid. */
  remember() {
    const { run, name, beside } = this.place;
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const shown = { step: this.step, shade: this.shade, tokens: this.tokens, beside };
      history.replaceState(null, "", traceAddress(run, name, shown));
    }, 150);
  }

  move(by) {
    const step = Math.min(this.main.last, Math.max(0, this.step + by));
    const { button } = this.main.items.get(step) ?? {};
    this.show(step);
    button?.focus({ preventScroll: true });
    if (button) reveal(button);
    say(this.panels.map((panel) => panel.spoken(panel === this.main ? step : this.translated(step, this.main, panel))).join(" "));
  }

  setShade(shade) {
    if (!this.shades().includes(shade)) return say("This trace has no such numbers.");
    this.shade = shade;
    this.draw();
    this.remember();
    say(`Shaded by ${SHADES[shade].name}.`);
  }

  setTokens(tokens) {
    this.tokens = tokens;
    this.draw();
    this.remember();
    say(tokens ? "Tokens are coloured by entropy." : "Tokens are plain.");
  }

  toggleBeside() {
    const { run, name, beside } = this.place;
    const other = beside === undefined ? this.app.otherRun(run) : undefined;
    this.app.go(traceAddress(run, name, { step: this.step, shade: this.shade, tokens: this.tokens, beside: other }), true);
  }

  key(event) {
    const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, Home: -Infinity, End: Infinity };
    if (event.key in moves) this.move(moves[event.key]);
    else if (event.key === "n") this.app.step(1);
    else if (event.key === "p") this.app.step(-1);
    else if (event.key === "t") this.setTokens(!this.tokens);
    else if (event.key === "b" && this.app.state.runs.length > 1) this.toggleBeside();
    else if (event.key === "Escape" || event.key === "u") this.app.go(this.app.listAddress());
    else {
      const shade = Object.keys(SHADES).find((name) => SHADES[name].key === event.key);
      if (!shade) return false;
      this.setShade(shade);
    }
    return true;
  }
}

function choicesOf(trace) {
  const { labels, texts } = trace.choices ?? {};
  if (!Array.isArray(labels) || !Array.isArray(texts)) return null;
  return h("ol", { class: "choices" }, labels.map((label, i) => h("li", { dir: "auto" }, h("b", {}, label), " ", texts[i] ?? "", label === trace.target && [" ", h("span", { class: "tag right" }, "target")])));
}

